//! Retained messages, as a tree of topic levels.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::Message;

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    message: Option<Arc<Message>>,
}

/// The last retained message of each topic, within limits.
#[derive(Debug)]
pub(super) struct Retained {
    root: Node,
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
}

impl Retained {
    pub(super) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self { root: Node::default(), count: 0, bytes: 0, max_count, max_bytes }
    }

    /// Keeps the message in place of the one before. Answers false if a limit is reached; the one
    /// before is gone all the same, as it is out of date.
    pub(super) fn set(&mut self, message: &Arc<Message>) -> bool {
        self.remove(&message.topic);
        let cost = cost(message);
        if self.count >= self.max_count || self.bytes + cost > self.max_bytes {
            return false;
        }
        let mut node = &mut self.root;
        for level in message.topic.split('/') {
            if !node.children.contains_key(level) {
                node.children.insert(level.into(), Node::default());
            }
            node = node.children.get_mut(level).expect("it has just been made");
        }
        node.message = Some(Arc::clone(message));
        self.count += 1;
        self.bytes += cost;
        true
    }

    pub(super) fn remove(&mut self, topic: &str) {
        let levels: Vec<&str> = topic.split('/').collect();
        if let Some(old) = take(&mut self.root, &levels) {
            self.count -= 1;
            self.bytes -= cost(&old);
        }
    }

    /// All messages whose topics match the filter and that have not expired.
    pub(super) fn matching(&self, filter: &str, now: u64) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        let mut open = vec![(&self.root, Some(filter), true)];
        while let Some((node, rest, first)) = open.pop() {
            let Some(rest) = rest else {
                found.extend(node.message.as_ref().filter(|message| !message.is_expired(now)).cloned());
                continue;
            };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            // Wildcards at the first level do not match topics of the server.
            let visible = |name: &str| !(first && name.starts_with('$'));
            let children = node.children.iter().filter(|(name, _)| visible(name)).map(|(_, child)| child);
            match level {
                "#" => {
                    found.extend(node.message.as_ref().filter(|message| !message.is_expired(now)).cloned());
                    open.extend(children.map(|child| (child, Some("#"), false)));
                }
                "+" => {
                    open.extend(children.map(|child| (child, rest, false)));
                }
                level => open.extend(node.children.get(level).map(|child| (child, rest, false))),
            }
        }
        found
    }
}

fn cost(message: &Message) -> usize {
    // Each level of the topic is a node.
    let levels = message.topic.split('/').count();
    message.cost() + levels * size_of::<Node>() * 2
}

/// Takes the message of the topic, and removes the nodes on the way to it that hold nothing else.
/// As deep as topics may be.
fn take(node: &mut Node, levels: &[&str]) -> Option<Arc<Message>> {
    let Some((level, rest)) = levels.split_first() else { return node.message.take() };
    let child = node.children.get_mut(*level)?;
    let message = take(child, rest);
    if child.message.is_none() && child.children.is_empty() {
        node.children.remove(*level);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message { payload: "x".into(), ..Message::to_topic(topic) })
    }

    fn topics(retained: &Retained, filter: &str) -> Vec<String> {
        let mut topics: Vec<_> =
            retained.matching(filter, 0).iter().map(|message| message.topic.to_string()).collect();
        topics.sort();
        topics
    }

    #[test]
    fn finds_by_wildcards_what_a_subscription_would_have_got() {
        let mut retained = Retained::new(100, 100_000);
        for topic in ["a", "a/b", "a/b/c", "/b", "$SYS/b", "a//c"] {
            assert!(retained.set(&message(topic)));
        }
        assert_eq!(topics(&retained, "a/#"), ["a", "a//c", "a/b", "a/b/c"]);
        assert_eq!(topics(&retained, "+/b"), ["/b", "a/b"]);
        assert_eq!(topics(&retained, "#"), ["/b", "a", "a//c", "a/b", "a/b/c"]);
        assert_eq!(topics(&retained, "$SYS/#"), ["$SYS/b"]);
        assert_eq!(topics(&retained, "a/+/c"), ["a//c", "a/b/c"]);
        assert_eq!(topics(&retained, "b"), [""; 0]);
    }

    #[test]
    fn keeps_to_its_limits_and_leaves_nothing_behind() {
        let mut retained = Retained::new(2, 100_000);
        assert!(retained.set(&message("a/b")) && retained.set(&message("a/c")));
        assert!(!retained.set(&message("a/d")));
        assert!(retained.set(&message("a/c")), "replacing needs no further place");
        ["a/b", "a/c", "a/c", "x/y"].iter().for_each(|topic| retained.remove(topic));
        assert_eq!((retained.count, retained.bytes), (0, 0));
        assert!(retained.root.children.is_empty());
    }
}
