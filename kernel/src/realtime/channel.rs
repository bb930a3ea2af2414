//! Channels: the variants of a room, by what their members want to hear of.
//!
//! Source: Kuzzle, lib/core/realtime/channel.ts.

use serde_json::value::RawValue;

use crate::errors::KuzzleError;
use crate::json;
use crate::request::Arguments;

/// The four answers to "which ones?", for the documents that a filter matches (`scope`: those that come to match,
/// those that cease to) and for the members of a room (`users`: those who enter, those who leave).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    All,
    In,
    Out,
    None,
}

impl Choice {
    /// Reads an argument; one that is absent is the default. `None`: not one of the four.
    fn parse(value: Option<&RawValue>, default: Choice) -> Option<Choice> {
        let Some(value) = value else { return Some(default) };
        match &*json::string(value).ok()?? {
            "all" => Some(Choice::All),
            "in" => Some(Choice::In),
            "out" => Some(Choice::Out),
            "none" => Some(Choice::None),
            _ => None,
        }
    }

    pub(super) fn includes_in(self) -> bool {
        matches!(self, Choice::All | Choice::In)
    }

    pub(super) fn is_all(self) -> bool {
        self == Choice::All
    }

    /// Those who leave, and not those who enter.
    pub(super) fn is_out(self) -> bool {
        self == Choice::Out
    }
}

/// What the members of a channel want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelOptions {
    pub(super) scope: Choice,
    pub(super) users: Choice,
}

impl ChannelOptions {
    /// Reads the arguments `scope` (default `all`) and `users` (default `none`).
    ///
    /// # Errors
    /// `core.realtime.invalid_scope`, `core.realtime.invalid_users`, looked at in this order.
    pub(super) fn parse(arguments: &Arguments<'_>) -> Result<ChannelOptions, KuzzleError> {
        let scope = Choice::parse(arguments.scope, Choice::All)
            .ok_or_else(|| KuzzleError::new("core.realtime.invalid_scope", &[]))?;
        let users = Choice::parse(arguments.users, Choice::None)
            .ok_or_else(|| KuzzleError::new("core.realtime.invalid_users", &[]))?;
        Ok(ChannelOptions { scope, users })
    }

    /// The channel's name: the room's id, a dash, then a digit for the users, one for the cluster (always 1: spread
    /// to all nodes) and one for the scope. As in Kuzzle, the users `out` and `none` have the same digit, so that
    /// they share a channel, and the scope `none` has no digit. (In Kuzzle who opens such a channel decides what
    /// all its members hear; here those who asked for `out` are told one by one.)
    pub(super) fn channel_name(self, room_id: &str) -> String {
        let users = match self.users {
            Choice::All => "1",
            Choice::In => "2",
            Choice::Out | Choice::None => "3",
        };
        let scope = match self.scope {
            Choice::All => "1",
            Choice::In => "2",
            Choice::Out => "3",
            Choice::None => "",
        };
        format!("{room_id}-{users}1{scope}")
    }
}

/// The id of the room of a channel.
pub(super) fn room_id(channel: &str) -> Option<&str> {
    channel.split_once('-').map(|(room_id, _)| room_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(scope: &RawValue, users: &RawValue) -> Result<ChannelOptions, KuzzleError> {
        let (scope, users) = (Some(scope), Some(users));
        ChannelOptions::parse(&Arguments { scope, users, ..Arguments::default() })
    }

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(&format!("\"{text}\"")).unwrap()
    }

    #[test]
    fn names_channels_like_kuzzle() {
        for (users, scope, suffix) in [
            ("none", "all", "311"),
            ("all", "all", "111"),
            ("none", "in", "312"),
            ("none", "out", "313"),
            ("none", "none", "31"),
            ("in", "none", "21"),
            ("out", "all", "311"),
        ] {
            let options = parse(&raw(scope), &raw(users)).unwrap();
            let name = options.channel_name("abc");
            assert_eq!(name, format!("abc-{suffix}"));
            assert_eq!(room_id(&name), Some("abc"));
        }
        let default = ChannelOptions::parse(&Arguments::default()).unwrap();
        assert_eq!(default.channel_name("abc"), "abc-311");
    }

    #[test]
    fn refuses_the_scope_before_the_users() {
        fn id(scope: &RawValue, users: &RawValue) -> &'static str {
            parse(scope, users).unwrap_err().id.unwrap()
        }
        assert_eq!(id(&raw("x"), &raw("x")), "core.realtime.invalid_scope");
        assert_eq!(id(&raw("in"), &raw("x")), "core.realtime.invalid_users");
        for wrong in ["1", "null", "\"\"", "\"\\ud800\""] {
            let wrong: Box<RawValue> = serde_json::from_str(wrong).unwrap();
            assert_eq!(id(&wrong, &raw("all")), "core.realtime.invalid_scope");
        }
    }
}
