//! What a client's message means, and how it is answered. Knows no socket.

use serde_json::Value;

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Ignore,
    /// The application's ping: answer [`PONG`].
    Pong,
    /// Too many in this second: answer the error.
    Limited,
    Execute,
}

/// The answer to `{"p":1}`.
pub(crate) const PONG: &[u8] = br#"{"p":2}"#;

/// The state of one connection's conversation.
#[derive(Debug)]
pub(crate) struct Session {
    /// Messages a second; 0: no limit.
    rate_limit: u32,
    second: u64,
    count: u32,
}

impl Session {
    pub(crate) fn new(rate_limit: u32) -> Self {
        Self { rate_limit, second: 0, count: 0 }
    }

    /// Decides on a message that comes in the given second of the clock.
    pub(crate) fn message(&mut self, message: &[u8], second: u64) -> Action {
        if message.is_empty() {
            return Action::Ignore;
        }
        if self.rate_limit > 0 {
            if self.second != second {
                (self.second, self.count) = (second, 0);
            }
            self.count = self.count.saturating_add(1);
            if self.count > self.rate_limit {
                return Action::Limited;
            }
        }
        if is_ping(message) { Action::Pong } else { Action::Execute }
    }
}

/// An object with exactly one member, `p`, which is 1.
fn is_ping(message: &[u8]) -> bool {
    if message == br#"{"p":1}"# {
        return true;
    }
    // However it is written; nobody writes more blanks than that.
    message.len() <= 64
        && message.windows(3).any(|window| window == b"\"p\"")
        && serde_json::from_slice::<Value>(message).is_ok_and(|value| {
            value.as_object().is_some_and(|object| {
                object.len() == 1 && object.get("p").and_then(Value::as_f64) == Some(1.0)
            })
        })
}

/// The `requestId` of a document, of whatever type, if it can be read.
pub(crate) fn request_id(document: &[u8]) -> Option<Value> {
    let mut document: Value = serde_json::from_slice(document).ok()?;
    let id = document.get_mut("requestId")?.take();
    let truthy = match &id {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    truthy.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_ping_from_a_request() {
        let mut session = Session::new(0);
        for (message, expected) in [
            (&br#"{"p":1}"#[..], Action::Pong),
            (br#" { "p" : 1 } "#, Action::Pong),
            (br#"{"p":1,"x":2}"#, Action::Execute),
            (br#"{"p":2}"#, Action::Execute),
            (br#"{"p":"1"}"#, Action::Execute),
            (br#"["p"]"#, Action::Execute),
            (br#"{"x":"p"}"#, Action::Execute),
            (br#"{"q":{"p":1}}"#, Action::Execute),
            (b"{\"p\"", Action::Execute),
            (b"", Action::Ignore),
        ] {
            assert_eq!(session.message(message, 0), expected, "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn the_limit_counts_pings_and_starts_again_with_each_second() {
        let mut session = Session::new(2);
        let mut actions = |second, count| -> Vec<Action> {
            (0..count).map(|_| session.message(br#"{"p":1}"#, second)).collect()
        };
        assert_eq!(actions(7, 3), [Action::Pong, Action::Pong, Action::Limited]);
        assert_eq!(actions(8, 3), [Action::Pong, Action::Pong, Action::Limited]);
    }

    #[test]
    fn finds_ids_of_all_types() {
        assert_eq!(request_id(br#"{"requestId":12}"#), Some(12.into()));
        assert_eq!(request_id(br#"{"requestId":"r1"}"#), Some("r1".into()));
        for none in [&br#"{"requestId":null}"#[..], b"{}", b"[]", b"{", br#"{"requestId":""}"#] {
            assert_eq!(request_id(none), None);
        }
    }
}
