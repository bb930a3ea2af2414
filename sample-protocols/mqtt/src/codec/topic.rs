//! Topic names and topic filters (MQTT 5.0, section 4.7 and 4.8.2).

use super::decode::DecodeError;
use super::packet::Version;
use super::reason::Reason;

/// A topic filter that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// As the client wrote it.
    pub whole: &'a str,
    /// The share's name, if it is a shared subscription.
    pub share: Option<&'a str>,
    /// Without `$share/NAME/`.
    pub filter: &'a str,
}

impl<'a> Filter<'a> {
    /// Shared subscriptions exist from MQTT 5.0 on; before, `$share/…` is a filter like others.
    ///
    /// # Errors
    /// It is empty, or `+`, `#` or `$share` are used wrongly.
    pub fn parse(whole: &'a str, version: Version) -> Result<Self, DecodeError> {
        let shared = whole.strip_prefix("$share/").filter(|_| version.is_5());
        let (share, filter) = match shared {
            None => (None, whole),
            Some(rest) => {
                let (share, filter) = rest
                    .split_once('/')
                    .ok_or(DecodeError::protocol("a shared subscription has no filter"))?;
                if share.is_empty() || share.contains(['+', '#']) {
                    return Err(DecodeError::protocol("a share's name is empty or holds a wildcard"));
                }
                (Some(share), filter)
            }
        };
        if filter.is_empty() {
            return Err(DecodeError::protocol("a topic filter is empty"));
        }
        if has_wildcard(filter) {
            let mut levels = filter.split('/').peekable();
            while let Some(level) = levels.next() {
                let alone = level.len() == 1 || !has_wildcard(level);
                if !alone || (level == "#" && levels.peek().is_some()) {
                    return Err(DecodeError::malformed("a wildcard of a topic filter is in a wrong place"));
                }
            }
        }
        Ok(Self { whole, share, filter })
    }

    /// Whether it matches more than one topic.
    pub fn is_wildcard(&self) -> bool {
        has_wildcard(self.filter)
    }
}

/// Whether the text holds `+` or `#`.
pub fn has_wildcard(text: &str) -> bool {
    text.bytes().any(|byte| byte == b'+' || byte == b'#')
}

/// Whether the filter, without `$share/NAME/`, matches the topic.
pub fn matches(filter: &str, topic: &str) -> bool {
    let mut topic_levels = topic.split('/');
    for (index, level) in filter.split('/').enumerate() {
        // Wildcards at the first level do not match topics of the server.
        if index == 0 && matches!(level, "#" | "+") && topic.starts_with('$') {
            return false;
        }
        match (level, topic_levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

/// Checks a topic name: not empty, no wildcards.
///
/// # Errors
/// It is no topic name.
pub fn check_name(topic: &str) -> Result<(), DecodeError> {
    if topic.is_empty() {
        return Err(DecodeError::protocol("a topic name is empty"));
    }
    if has_wildcard(topic) {
        return Err(DecodeError::new(Reason::TOPIC_NAME_INVALID, "a topic name holds a wildcard"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_wildcards_that_stand_alone() {
        for filter in ["a", "/", "a/+/b", "+", "#", "+/#", "a/#", "/+", "$SYS/#", "a//b", " "] {
            assert!(Filter::parse(filter, Version::V311).is_ok(), "{filter}");
        }
    }

    #[test]
    fn matches_what_the_standard_says() {
        for (filter, topics, others) in [
            (
                "sport/tennis/player1/#",
                &["sport/tennis/player1", "sport/tennis/player1/score/wimbledon"][..],
                &["sport"][..],
            ),
            (
                "sport/tennis/+",
                &["sport/tennis/player1", "sport/tennis/"],
                &["sport/tennis", "sport/tennis/a/b"],
            ),
            ("#", &["a", "/a", "a/$b"], &["$SYS/a"]),
            ("+/+", &["/finance", "a/b"], &["finance", "$SYS/b", "a/b/c"]),
            ("$SYS/#", &["$SYS", "$SYS/a"], &["SYS/a"]),
            ("a", &["a"], &["A", "a/", "/a", "b"]),
        ] {
            assert!(topics.iter().all(|topic| matches(filter, topic)), "{filter}");
            assert!(!others.iter().any(|topic| matches(filter, topic)), "{filter}");
        }
    }

    #[test]
    fn refuses_wildcards_that_do_not() {
        for filter in ["", "a#", "a/#/b", "a+", "+a", "#/", "##", "a/b#"] {
            assert!(Filter::parse(filter, Version::V5).is_err(), "{filter}");
        }
    }

    #[test]
    fn splits_shared_subscriptions_from_version_5_on() {
        let shared = Filter::parse("$share/group/a/+", Version::V5).expect("it is well formed");
        assert_eq!((shared.share, shared.filter), (Some("group"), "a/+"));
        let plain = Filter::parse("$share/group/a", Version::V311).expect("it is well formed");
        assert_eq!((plain.share, plain.filter), (None, "$share/group/a"));
        for filter in ["$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g#/a"] {
            assert!(Filter::parse(filter, Version::V5).is_err(), "{filter}");
        }
    }
}
