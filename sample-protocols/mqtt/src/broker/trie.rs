//! All subscriptions by their filters, as a tree of topic levels.

use std::sync::Arc;

use foldhash::HashMap;
use slab::Slab;

use super::members::Members;
use super::memory::{Kept, Memory};
use crate::codec::packet::Options;
use crate::codec::topic::Filter;

/// One subscription of one session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Subscriber {
    pub(super) session: u32,
    /// 0: none.
    pub(super) id: u32,
    pub(super) options: Options,
}

/// A shared subscription: each message goes to one of its members.
#[derive(Debug)]
pub(super) struct Share {
    /// With its filter, as its members wrote it.
    pub(super) whole: Arc<str>,
    pub(super) members: Members,
    /// Who is asked first next time.
    pub(super) next: usize,
}

/// What a matching filter holds.
#[derive(Debug)]
pub(super) enum Found<'a> {
    One(&'a Subscriber),
    Share(&'a mut Share),
}

#[derive(Debug, Default)]
struct Node {
    parent: u32,
    /// How the parent knows it; empty for the root.
    level: Box<str>,
    children: HashMap<Box<str>, u32>,
    /// The child `+`.
    one: Option<u32>,
    /// The child `#`.
    all: Option<u32>,
    subscribers: Members,
    /// By their names.
    shares: HashMap<Box<str>, Share>,
}

/// All subscriptions.
#[derive(Debug)]
pub(super) struct Trie {
    /// Each by itself, so that those that go leave no hole.
    nodes: Slab<Box<Node>>,
    /// How many subscriptions there are.
    pub(super) len: usize,
    /// What the nodes take.
    pub(super) kept: Kept,
}

const ROOT: usize = 0;

/// What a level of a filter takes that nobody else has, in bytes.
fn node_cost(level: &str) -> usize {
    size_of::<Node>() + 2 * level.len() + 128
}

/// What the nodes of a filter take that shares none of them, in bytes.
pub(super) fn nodes_cost(filter: &str) -> usize {
    filter.split('/').map(node_cost).sum()
}

impl Trie {
    pub(super) fn new(memory: &Memory) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Box::default());
        Self { nodes, len: 0, kept: memory.keep(0) }
    }

    /// Adds or replaces a subscription. Answers whether it was there.
    pub(super) fn subscribe(&mut self, filter: &Filter<'_>, subscriber: Subscriber) -> bool {
        let node = self.make(filter.filter);
        let node = &mut self.nodes[node];
        let members = match filter.share {
            None => &mut node.subscribers,
            Some(name) if node.shares.contains_key(name) => {
                &mut node.shares.get_mut(name).expect("it has just been seen").members
            }
            Some(name) => {
                let share = Share { whole: filter.whole.into(), members: Members::default(), next: 0 };
                &mut node.shares.entry(name.into()).or_insert(share).members
            }
        };
        let existed = members.set(subscriber);
        self.len += usize::from(!existed);
        existed
    }

    /// Removes a subscription. Answers whether it was there.
    pub(super) fn unsubscribe(&mut self, filter: &Filter<'_>, session: u32) -> bool {
        let Some(index) = self.find(filter.filter) else { return false };
        let node = &mut self.nodes[index];
        let removed = match filter.share {
            None => node.subscribers.remove(session),
            Some(name) => {
                let Some(share) = node.shares.get_mut(name) else { return false };
                let removed = share.members.remove(session);
                if share.members.is_empty() {
                    node.shares.remove(name);
                }
                if node.shares.is_empty() {
                    node.shares = HashMap::default();
                }
                removed
            }
        };
        self.len -= usize::from(removed);
        self.prune(index);
        removed
    }

    /// Calls `each` with what every filter that matches the topic holds.
    pub(super) fn matching(&mut self, topic: &str, mut each: impl FnMut(Found<'_>)) {
        let mut found = |node: &mut Node| {
            node.subscribers.iter().for_each(|subscriber| each(Found::One(subscriber)));
            node.shares.values_mut().for_each(|share| each(Found::Share(share)));
        };
        // Wildcards at the first level do not match topics of the server.
        let wildcards = !topic.starts_with('$');
        let mut open = vec![(ROOT, Some(topic))];
        while let Some((index, rest)) = open.pop() {
            let node = &self.nodes[index];
            let wildcards = wildcards || index != ROOT;
            let all = if wildcards { node.all } else { None };
            match rest {
                None => found(&mut self.nodes[index]),
                Some(rest) => {
                    let (level, rest) = match rest.split_once('/') {
                        Some((level, rest)) => (level, Some(rest)),
                        None => (rest, None),
                    };
                    if wildcards {
                        open.extend(node.one.map(|child| (child as usize, rest)));
                    }
                    open.extend(node.child(level).map(|child| (child, rest)));
                }
            }
            if let Some(all) = all {
                found(&mut self.nodes[all as usize]);
            }
        }
    }

    /// Subscribers and shared subscriptions whose filter is exactly this topic.
    pub(super) fn exact(&mut self, topic: &str) -> Option<(&[Subscriber], impl Iterator<Item = &mut Share>)> {
        let index = self.find(topic)?;
        let node = &mut *self.nodes[index];
        Some((&node.subscribers, node.shares.values_mut()))
    }

    /// A shared subscription.
    pub(super) fn share(&mut self, filter: &Filter<'_>) -> Option<&mut Share> {
        let index = self.find(filter.filter)?;
        self.nodes[index].shares.get_mut(filter.share?)
    }

    fn find(&self, filter: &str) -> Option<usize> {
        filter.split('/').try_fold(ROOT, |node, level| self.nodes[node].child(level))
    }

    fn make(&mut self, filter: &str) -> usize {
        let mut index = ROOT;
        for level in filter.split('/') {
            index = match self.nodes[index].child(level) {
                Some(child) => child,
                None => {
                    let node = Node { parent: index as u32, level: level.into(), ..Node::default() };
                    self.kept.add(node_cost(level));
                    let child = self.nodes.insert(Box::new(node));
                    self.nodes[index].set_child(level, Some(child as u32));
                    child
                }
            };
        }
        index
    }

    /// Removes the node and those above it that hold nothing any more.
    fn prune(&mut self, mut index: usize) {
        while index != ROOT {
            let node = &mut self.nodes[index];
            if node.has_children() || !node.subscribers.is_empty() || !node.shares.is_empty() {
                return;
            }
            let node = self.nodes.remove(index);
            self.kept.sub(node_cost(&node.level));
            index = node.parent as usize;
            self.nodes[index].set_child(&node.level, None);
        }
        if self.nodes[ROOT].children.is_empty() {
            self.nodes[ROOT].children = HashMap::default();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        (self.nodes.len(), self.len, self.kept.bytes()) == (1, 0, 0)
    }
}

impl Node {
    fn child(&self, level: &str) -> Option<usize> {
        let child = match level {
            "+" => self.one,
            "#" => self.all,
            _ => self.children.get(level).copied(),
        };
        child.map(|child| child as usize)
    }

    fn set_child(&mut self, level: &str, child: Option<u32>) {
        match (level, child) {
            ("+", _) => self.one = child,
            ("#", _) => self.all = child,
            (_, Some(child)) => drop(self.children.insert(level.into(), child)),
            (_, None) => drop(self.children.remove(level)),
        }
    }

    fn has_children(&self) -> bool {
        self.one.is_some() || self.all.is_some() || !self.children.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::packet::Version;

    fn subscriber(session: u32) -> Subscriber {
        Subscriber { session, id: 0, options: Options::default() }
    }

    fn filter(text: &str) -> Filter<'_> {
        Filter::parse(text, Version::V5).expect("it is well formed")
    }

    fn matching(filters: &[&str], topic: &str) -> Vec<u32> {
        let mut trie = Trie::new(&Memory::new(1_000_000));
        for (session, text) in (0..).zip(filters) {
            assert!(!trie.subscribe(&filter(text), subscriber(session)));
        }
        let mut found = Vec::new();
        trie.matching(topic, |one| match one {
            Found::One(subscriber) => found.push(subscriber.session),
            Found::Share(_) => panic!("nothing is shared"),
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn multi_level_wildcards_match_the_parent_and_everything_below() {
        let filters = ["sport/tennis/player1/#", "sport/#", "#", "sport/tennis/#"];
        assert_eq!(matching(&filters, "sport/tennis/player1"), [0, 1, 2, 3]);
        assert_eq!(matching(&filters, "sport/tennis/player1/score/wimbledon"), [0, 1, 2, 3]);
        assert_eq!(matching(&filters, "sport"), [1, 2]);
    }

    #[test]
    fn single_level_wildcards_match_one_level_also_an_empty_one() {
        let filters = ["sport/tennis/+", "sport/+", "+", "+/+", "/+"];
        assert_eq!(matching(&filters, "sport/tennis/player1"), [0]);
        assert_eq!(matching(&filters, "sport"), [2]);
        assert_eq!(matching(&filters, "sport/"), [1, 3]);
        assert_eq!(matching(&filters, "/finance"), [3, 4]);
    }

    #[test]
    fn wildcards_at_the_beginning_do_not_match_topics_that_begin_with_a_dollar_sign() {
        let filters = ["#", "+/monitor/Clients", "$SYS/#", "$SYS/monitor/+"];
        assert_eq!(matching(&filters, "$SYS/monitor/Clients"), [2, 3]);
    }

    #[test]
    fn topics_are_compared_byte_by_byte() {
        let filters = ["ACCOUNTS", "Accounts", "/Accounts", "Accounts payable"];
        assert_eq!(matching(&filters, "Accounts"), [1]);
        assert_eq!(matching(&filters, "Accounts payable"), [3]);
    }

    #[test]
    fn a_subscription_to_the_same_filter_replaces_the_old_one() {
        let mut trie = Trie::new(&Memory::new(1_000_000));
        assert!(!trie.subscribe(&filter("a/b"), subscriber(1)));
        assert!(trie.subscribe(&filter("a/b"), Subscriber { id: 7, ..subscriber(1) }));
        let (subscribers, _) = trie.exact("a/b").expect("there is one");
        assert_eq!(subscribers.iter().map(|one| one.id).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn nothing_is_left_when_all_have_unsubscribed() {
        let mut trie = Trie::new(&Memory::new(1_000_000));
        for text in ["a/b/c", "a/+/c", "#", "$share/g/a/b", "$share/h/a/b"] {
            trie.subscribe(&filter(text), subscriber(1));
        }
        assert!(!trie.unsubscribe(&filter("a/b"), 1));
        assert!(!trie.unsubscribe(&filter("a/b/c"), 2));
        for text in ["a/b/c", "a/+/c", "#", "$share/g/a/b", "$share/h/a/b"] {
            assert!(trie.unsubscribe(&filter(text), 1), "{text}");
        }
        assert!(trie.is_empty());
    }
}
