//! Retained messages, as a tree of topic levels.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use foldhash::HashSet;

use super::memory::{Kept, Memory};
use super::message::Message;
use crate::codec::packet::Options;
use crate::codec::topic;

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    entry: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    message: Arc<Message>,
    /// The number of its publish.
    number: u64,
}

/// The last retained message of each topic, within limits.
#[derive(Debug)]
pub(super) struct Retained {
    root: Node,
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
    /// When messages expire, and their topics.
    expiring: BTreeSet<(u64, Arc<str>)>,
    /// Their place in the timers.
    pub(super) deadline: Option<u64>,
    memory: Memory,
    /// What the nodes take.
    pub(super) kept: Kept,
}

/// What a session has still to get of the retained messages, after it has subscribed to a filter.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) filter: Box<str>,
    pub(super) options: Options,
    /// Of the subscription; 0: none.
    pub(super) id: u32,
    /// Later publishes have been delivered already.
    pub(super) until: u64,
    /// The topic up to which it has been looked; `None`: not yet.
    pub(super) after: Option<Box<str>>,
    /// Topics behind that whose messages have been sent already, before newer ones.
    pub(super) done: HashSet<Arc<str>>,
}

impl Replay {
    /// What it takes, in bytes.
    pub(super) fn cost(&self) -> usize {
        2 * self.filter.len()
            + size_of::<Self>()
            + self.done.iter().map(|topic| done_cost(topic)).sum::<usize>()
    }

    /// Whether a retained message of the topic would still come.
    pub(super) fn is_to_come(&self, topic: &str) -> bool {
        let passed = self.after.as_ref().is_some_and(|after| topic.split('/').le(after.split('/')));
        !passed && !self.done.contains(topic) && topic::matches(&self.filter, topic)
    }
}

/// What a topic in [`Replay::done`] takes.
pub(super) fn done_cost(topic: &str) -> usize {
    topic.len() + 64
}

/// Some of the messages that are looked for.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) messages: Vec<Arc<Message>>,
    /// Where to go on, for [`Replay::after`]; `None`: these were the last ones.
    pub(super) after: Option<Box<str>>,
}

impl Retained {
    pub(super) fn new(max_count: usize, max_bytes: usize, memory: &Memory) -> Self {
        Self {
            root: Node::default(),
            count: 0,
            bytes: 0,
            max_count,
            max_bytes,
            expiring: BTreeSet::new(),
            deadline: None,
            memory: memory.clone(),
            kept: memory.keep(0),
        }
    }

    /// Keeps the message of this publish in place of the one before. Answers false if a limit is
    /// reached; the one before is gone all the same, as it is out of date.
    pub(super) fn set(&mut self, message: &Arc<Message>, number: u64) -> bool {
        self.remove(&message.topic);
        let cost = cost(message);
        if !self.fits(self.count, self.bytes, cost) {
            return false;
        }
        let mut node = &mut self.root;
        for level in message.topic.split('/') {
            if !node.children.contains_key(level) {
                node.children.insert(level.into(), Node::default());
                self.kept.add(node_cost(level));
            }
            node = node.children.get_mut(level).expect("it has just been made");
        }
        node.entry = Some(Entry { message: Arc::clone(message), number });
        if let Some(at) = message.expires {
            self.expiring.insert((at, Arc::clone(&message.topic)));
        }
        self.count += 1;
        self.bytes += cost;
        true
    }

    /// Whether the message, if it is to be retained, can be kept in place of the one before.
    pub(super) fn has_room(&self, message: &Message) -> bool {
        if !message.retain || message.payload.is_empty() {
            return true;
        }
        let old = self.entry(&message.topic).map_or((0, 0), |entry| (1, cost(&entry.message)));
        self.fits(self.count - old.0, self.bytes - old.1, cost(message))
    }

    fn fits(&self, count: usize, bytes: usize, cost: usize) -> bool {
        count < self.max_count && bytes + cost <= self.max_bytes && self.memory.has_room(bytes, cost)
    }

    /// The message of the topic, if it has not expired and was published before or with this number.
    pub(super) fn get(&self, topic: &str, until: u64, now: u64) -> Option<&Arc<Message>> {
        let entry = self.entry(topic).filter(|entry| entry.number <= until)?;
        Some(&entry.message).filter(|message| !message.is_expired(now))
    }

    fn entry(&self, topic: &str) -> Option<&Entry> {
        let node = topic.split('/').try_fold(&self.root, |node, level| node.children.get(level))?;
        node.entry.as_ref()
    }

    pub(super) fn remove(&mut self, topic: &str) {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut pruned = 0;
        if let Some(Entry { message, .. }) = take(&mut self.root, &levels, &mut pruned) {
            self.count -= 1;
            self.bytes -= cost(&message);
            if let Some(at) = message.expires {
                self.expiring.remove(&(at, Arc::clone(&message.topic)));
            }
        }
        self.kept.sub(pruned);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// When the next message expires.
    pub(super) fn expires(&self) -> Option<u64> {
        self.expiring.first().map(|(at, _)| *at)
    }

    /// Forgets a message that has expired. False: there is none.
    pub(super) fn drop_expired(&mut self, now: u64) -> bool {
        let Some((_, topic)) = self.expiring.first().filter(|(at, _)| *at <= now) else { return false };
        let topic = Arc::clone(topic);
        self.remove(&topic);
        true
    }

    /// So many of the messages whose topics match and that have not expired, in the order of the tree.
    /// `nodes`: how many may be looked at, and how many of them are left then.
    pub(super) fn matching(&self, replay: &Replay, most: usize, nodes: &mut usize, now: u64) -> Portion {
        let until = replay.until;
        let mut walk = Walk { now, until, most, nodes, path: Vec::new(), found: Vec::new() };
        let after: Option<Vec<&str>> = replay.after.as_ref().map(|topic| topic.split('/').collect());
        let is_all = walk.node(&self.root, Some(&replay.filter), after.as_deref());
        Portion { messages: walk.found, after: (!is_all).then(|| walk.path.join("/").into()) }
    }

    /// All messages.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Arc<Message>> {
        let mut open = vec![&self.root];
        let mut all = Vec::new();
        while let Some(node) = open.pop() {
            all.extend(node.entry.as_ref().map(|entry| Arc::clone(&entry.message)));
            open.extend(node.children.values());
        }
        assert_eq!((self.count, self.bytes), (all.len(), all.iter().map(|one| cost(one)).sum()));
        assert_eq!(self.expiring.len(), all.iter().filter(|message| message.expires.is_some()).count());
        all
    }
}

/// A walk over the tree: a node before its children, these by their names.
struct Walk<'a> {
    now: u64,
    until: u64,
    most: usize,
    /// How many more may be looked at.
    nodes: &'a mut usize,
    /// The levels of the node.
    path: Vec<&'a str>,
    found: Vec<Arc<Message>>,
}

impl<'a> Walk<'a> {
    /// `rest`: what is left of the filter. `after`: levels from here to the node that was the last one
    /// before. Answers false when a limit is reached; the path is that of the last node then. As deep
    /// as topics may be.
    fn node(&mut self, node: &'a Node, rest: Option<&str>, after: Option<&[&str]>) -> bool {
        if after.is_none() && !self.visit(node, matches!(rest, None | Some("#"))) {
            return false;
        }
        let Some(rest) = rest else { return true };
        let (level, below) = match rest.split_once('/') {
            Some((level, below)) => (level, Some(below)),
            None => (rest, if rest == "#" { Some("#") } else { None }),
        };
        let (from, after) = match after {
            Some([from, after @ ..]) => (Some(*from), after),
            _ => (None, &[][..]),
        };
        let after = |name: &str| (from == Some(name)).then_some(after);
        if level != "#" && level != "+" {
            let child = node.children.get_key_value(level).filter(|_| from.is_none_or(|from| from <= level));
            return child.is_none_or(|(name, child)| self.child(name, child, below, after(name)));
        }
        // Wildcards at the first level do not match topics of the server.
        let first = self.path.is_empty();
        let start = from.map_or(Bound::Unbounded, Bound::Included);
        node.children
            .range::<str, _>((start, Bound::Unbounded))
            .filter(|(name, _)| !(first && name.starts_with('$')))
            .all(|(name, child)| self.child(name, child, below, after(name)))
    }

    fn child(&mut self, name: &'a str, node: &'a Node, rest: Option<&str>, after: Option<&[&str]>) -> bool {
        self.path.push(name);
        let goes_on = self.node(node, rest, after);
        if goes_on {
            self.path.pop();
        }
        goes_on
    }

    fn visit(&mut self, node: &Node, matches: bool) -> bool {
        *self.nodes = self.nodes.saturating_sub(1);
        if matches
            && let Some(Entry { message, number }) = &node.entry
            && *number <= self.until
            && !message.is_expired(self.now)
        {
            self.found.push(Arc::clone(message));
        }
        self.path.is_empty() || (self.found.len() < self.most && *self.nodes > 0)
    }
}

fn cost(message: &Message) -> usize {
    message.cost() + message.topic.split('/').map(node_cost).sum::<usize>()
}

fn node_cost(level: &str) -> usize {
    2 * size_of::<Node>() + level.len()
}

/// Takes the message of the topic, and removes the nodes on the way to it that hold nothing else:
/// `pruned` is what they have taken. As deep as topics may be.
fn take(node: &mut Node, levels: &[&str], pruned: &mut usize) -> Option<Entry> {
    let Some((level, rest)) = levels.split_first() else { return node.entry.take() };
    let child = node.children.get_mut(*level)?;
    let entry = take(child, rest, pruned);
    if child.entry.is_none() && child.children.is_empty() {
        node.children.remove(*level);
        *pruned += node_cost(level);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = usize::MAX;

    fn retained(max_count: usize) -> Retained {
        Retained::new(max_count, 100_000, &Memory::new(1_000_000))
    }

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message { payload: "x".into(), ..Message::to_topic(topic) })
    }

    fn replay(filter: &str) -> Replay {
        Replay {
            filter: filter.into(),
            options: Options::default(),
            id: 0,
            until: 10,
            after: None,
            done: HashSet::default(),
        }
    }

    fn topics(messages: &[Arc<Message>]) -> Vec<String> {
        messages.iter().map(|message| message.topic.to_string()).collect()
    }

    fn matching(retained: &Retained, filter: &str) -> Vec<String> {
        let Portion { messages, after } = retained.matching(&replay(filter), ALL, &mut ALL.clone(), 0);
        assert_eq!(after, None);
        topics(&messages)
    }

    const TOPICS: [&str; 9] = ["a", "a/b", "a/b/c", "/b", "$SYS/b", "a//c", "", "b/x/y/z", "a/c"];

    #[test]
    fn finds_by_wildcards_what_a_subscription_would_have_got() {
        let mut retained = retained(100);
        for topic in TOPICS {
            assert!(retained.set(&message(topic), 1));
        }
        assert_eq!(matching(&retained, "a/#"), ["a", "a//c", "a/b", "a/b/c", "a/c"]);
        assert_eq!(matching(&retained, "+/b"), ["/b", "a/b"]);
        assert_eq!(matching(&retained, "#"), ["", "/b", "a", "a//c", "a/b", "a/b/c", "a/c", "b/x/y/z"]);
        assert_eq!(matching(&retained, "$SYS/#"), ["$SYS/b"]);
        assert_eq!(matching(&retained, "a/+/c"), ["a//c", "a/b/c"]);
        assert_eq!(matching(&retained, "b"), [""; 0]);
    }

    #[test]
    fn portions_of_any_size_are_together_the_whole() {
        let mut retained = retained(100);
        for topic in TOPICS {
            assert!(retained.set(&message(topic), 1));
        }
        for filter in ["#", "a/#", "+/b", "+/+/c", "a/b", "+", "+/#", "$SYS/+", "x/#", "b/+/y/#"] {
            let whole = matching(&retained, filter);
            for size in 1..5 {
                for (most, nodes) in [(size, ALL), (ALL, size)] {
                    let mut replay = replay(filter);
                    let mut found = Vec::new();
                    loop {
                        let portion = retained.matching(&replay, most, &mut nodes.clone(), 0);
                        assert!(portion.messages.len() <= size);
                        found.extend(topics(&portion.messages));
                        replay.after = portion.after;
                        if replay.after.is_none() {
                            break;
                        }
                    }
                    assert_eq!(found, whole, "{filter} {most} {nodes}");
                }
            }
        }
    }

    #[test]
    fn goes_on_where_it_was_also_if_that_is_gone() {
        let mut retained = retained(100);
        for topic in ["a", "b", "b/x", "c", "d"] {
            assert!(retained.set(&message(topic), 1));
        }
        let mut replay = replay("#");
        let first = retained.matching(&replay, 2, &mut ALL.clone(), 0);
        assert_eq!(
            (topics(&first.messages), first.after.as_deref()),
            (vec!["a".into(), "b".into()], Some("b"))
        );
        replay.after = first.after;
        retained.remove("b");
        retained.remove("b/x");
        // What comes later is another publish, which has been delivered.
        assert!(retained.set(&message("c"), 11));
        assert_eq!(topics(&retained.matching(&replay, ALL, &mut ALL.clone(), 0).messages), ["d"]);
    }

    #[test]
    fn keeps_to_its_limits_and_leaves_nothing_behind() {
        let mut retained = retained(2);
        assert!(retained.set(&message("a/b"), 1) && retained.set(&message("a/c"), 2));
        assert!(!retained.set(&message("a/d"), 3));
        assert!(retained.set(&message("a/c"), 4), "replacing needs no further place");
        ["a/b", "a/c", "a/c", "x/y"].iter().for_each(|topic| retained.remove(topic));
        assert_eq!((retained.count, retained.bytes, retained.kept.bytes()), (0, 0, 0));
        assert!(retained.root.children.is_empty());
    }

    #[test]
    fn keeps_to_the_memory_that_is_left() {
        let memory = Memory::new(10_000);
        let mut retained = Retained::new(1000, 100_000, &memory);
        let set = (0..1000)
            .take_while(|number| {
                let message = Message { payload: "x".into(), ..Message::to_topic(&number.to_string()) };
                retained.set(&Arc::new(message.kept_in(&memory)), 1)
            })
            .count();
        assert!((5..50).contains(&set) && memory.left() > 4000, "{set}, {}", memory.left());
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mut retained = retained(2);
        let expiring = |topic, at| Arc::new(Message { expires: Some(at), ..Message::to_topic(topic) });
        assert!(retained.set(&expiring("a", 10), 1) && retained.set(&expiring("b", 20), 2));
        assert!(retained.set(&expiring("a", 30), 3));
        assert_eq!(retained.expires(), Some(20));
        assert!(!retained.drop_expired(19) && retained.drop_expired(20) && !retained.drop_expired(20));
        assert_eq!(topics(&retained.all()), ["a"]);
        retained.remove("a");
        assert!(retained.expires().is_none() && retained.all().is_empty());
    }
}
