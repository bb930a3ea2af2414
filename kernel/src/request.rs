//! A request: which parts of the document are what, and the type rules that hold before anything is executed.
//!
//! Source: Kuzzle, lib/api/request/requestInput.ts, kuzzleRequest.ts, lib/util/assertType.js.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::errors::KuzzleError;
use crate::json::{self, Kind};

/// A parsed request. It borrows from the document, whose parts are only interpreted where they are needed.
///
/// Of a member given twice the last one counts; members that no action knows are ignored.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    request_id: Option<Cow<'a, str>>,
    controller: Option<Cow<'a, str>>,
    action: Option<Cow<'a, str>>,
    jwt: Option<Cow<'a, str>>,
    volatile: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    arguments: Arguments<'a>,
}

/// The members that are not checked before an action asks for them; `null` is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arguments<'a> {
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) index: Option<&'a RawValue>,
    pub(crate) collection: Option<&'a RawValue>,
    pub(crate) scope: Option<&'a RawValue>,
    pub(crate) users: Option<&'a RawValue>,
    pub(crate) targets: Option<&'a RawValue>,
    pub(crate) timestamp: Option<&'a RawValue>,
    pub(crate) services: Option<&'a RawValue>,
    pub(crate) strategy: Option<&'a RawValue>,
    pub(crate) cookie_auth: Option<&'a RawValue>,
    pub(crate) start_time: Option<&'a RawValue>,
    pub(crate) stop_time: Option<&'a RawValue>,
}

/// Why a document is not a request. Displayed, it is the message for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The document is not JSON in UTF-8, or it is nested too deeply.
    #[error("{message}")]
    Json {
        /// What is wrong, and where.
        message: String,
    },
    /// The document is JSON, but it breaks a rule of requests.
    #[error("{message}")]
    Request {
        /// Kuzzle's text.
        message: String,
        /// The request's own id, if that could be read.
        request_id: Option<String>,
        /// The status, with the meaning of an HTTP status.
        status: u16,
    },
}

impl InvalidRequest {
    /// The request's own id, if that could be read.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self {
            InvalidRequest::Json { .. } => None,
            InvalidRequest::Request { request_id, .. } => request_id.as_deref(),
        }
    }

    /// The error to answer. Like Kuzzle's it has neither id nor code; a document that is not JSON has status 400.
    /// (In Kuzzle each protocol wraps the text of bad JSON into an error of its own, such as
    /// `network.websocket.unexpected_error`; the host may do so.)
    #[must_use]
    pub fn to_error(&self) -> KuzzleError {
        let status = match self {
            InvalidRequest::Json { .. } => 400,
            InvalidRequest::Request { status, .. } => *status,
        };
        KuzzleError::uncatalogued(self.to_string(), status)
    }
}

impl From<serde_json::Error> for InvalidRequest {
    fn from(error: serde_json::Error) -> InvalidRequest {
        InvalidRequest::Json { message: error.to_string() }
    }
}

impl<'a> Request<'a> {
    /// Parses one document. Takes time linear in its length and a bounded amount of stack, whatever it holds.
    ///
    /// # Errors
    /// - [`InvalidRequest::Json`]: not UTF-8, not exactly one JSON value, or nested deeper than 128 levels.
    /// - [`InvalidRequest::Request`]: not an object (status 500), or a member of the wrong type (status 400).
    pub fn parse(document: &'a [u8]) -> Result<Request<'a>, InvalidRequest> {
        let text = std::str::from_utf8(document).map_err(|error| InvalidRequest::Json {
            message: format!("invalid UTF-8 at byte {}", error.valid_up_to()),
        })?;
        if json::is_too_deep(document) {
            return Err(InvalidRequest::Json {
                message: format!("nested deeper than {} levels", json::MAX_DEPTH),
            });
        }
        if !text.trim_ascii_start().starts_with('{') {
            serde_json::from_str::<IgnoredAny>(text)?;
            return Err(InvalidRequest::Request {
                message: "Input request data must be a non-null object".to_owned(),
                request_id: None,
                status: 500,
            });
        }

        let mut members = Members::default();
        json::parse_object(text, |name, value| {
            // A name that stands for no characters is none that we know.
            if let Ok(Some(name)) = json::string(name) {
                members.set(&name, value);
            }
        })?;
        members.check()
    }

    /// The id that the client gave; `None` if there is none, or an empty one: then the kernel makes one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The controller, as given: it may be empty or unknown.
    #[must_use]
    pub fn controller(&self) -> Option<&str> {
        self.controller.as_deref()
    }

    /// The action, as given: it may be empty or unknown.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    /// The authentication token, as given: it may be empty.
    #[must_use]
    pub fn jwt(&self) -> Option<&str> {
        self.jwt.as_deref()
    }

    /// The client's own data, a JSON object that responses and notifications carry along.
    #[must_use]
    pub fn volatile(&self) -> Option<&'a RawValue> {
        self.volatile
    }

    /// The body, a JSON object or array.
    #[must_use]
    pub fn body(&self) -> Option<&'a RawValue> {
        self.body
    }

    /// The index, as given: it may be of any type.
    #[must_use]
    pub fn index(&self) -> Option<&'a RawValue> {
        self.arguments.index
    }

    /// The collection, as given: it may be of any type.
    #[must_use]
    pub fn collection(&self) -> Option<&'a RawValue> {
        self.arguments.collection
    }

    pub(crate) fn arguments(&self) -> &Arguments<'a> {
        &self.arguments
    }
}

/// The members of the document before their types are checked.
#[derive(Default)]
struct Members<'a> {
    request_id: Option<&'a RawValue>,
    controller: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    jwt: Option<&'a RawValue>,
    volatile: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    arguments: Arguments<'a>,
}

impl<'a> Members<'a> {
    fn set(&mut self, name: &str, value: &'a RawValue) {
        let member = match name {
            "requestId" => &mut self.request_id,
            "controller" => &mut self.controller,
            "action" => &mut self.action,
            "jwt" => &mut self.jwt,
            "volatile" => &mut self.volatile,
            "body" => &mut self.body,
            "_id" => &mut self.arguments.id,
            "index" => &mut self.arguments.index,
            "collection" => &mut self.arguments.collection,
            "scope" => &mut self.arguments.scope,
            "users" => &mut self.arguments.users,
            "targets" => &mut self.arguments.targets,
            "timestamp" => &mut self.arguments.timestamp,
            "services" => &mut self.arguments.services,
            "strategy" => &mut self.arguments.strategy,
            "cookieAuth" => &mut self.arguments.cookie_auth,
            "startTime" => &mut self.arguments.start_time,
            "stopTime" => &mut self.arguments.stop_time,
            _ => return,
        };
        *member = Some(value);
    }

    /// Applies the type rules in Kuzzle's order.
    fn check(self) -> Result<Request<'a>, InvalidRequest> {
        let given_id = self.request_id.filter(|value| !json::is_falsy(value));
        let request_id = given_id.map(json::string).transpose()?.flatten();
        let wrong_type = |name: &str, expected: &str| InvalidRequest::Request {
            message: format!("Attribute {name} must be of type {expected}"),
            request_id: request_id.as_deref().map(str::to_owned),
            status: 400,
        };
        let string = |name, value: Option<&'a RawValue>| match value.filter(|value| !is_null(value)) {
            None => Ok(None),
            Some(value) => json::string(value)?.ok_or_else(|| wrong_type(name, "\"string\"")).map(Some),
        };

        let jwt = string("jwt", self.jwt)?;
        let volatile = self.volatile.filter(|value| !is_null(value));
        if volatile.is_some_and(|value| json::kind(value) != Kind::Object) {
            return Err(wrong_type("volatile", "\"object\""));
        }
        let body = self.body.filter(|value| !is_null(value));
        if body.is_some_and(|value| !matches!(json::kind(value), Kind::Object | Kind::Array)) {
            return Err(wrong_type("body", "\"object\" or \"array\""));
        }
        let controller = string("controller", self.controller)?;
        let action = string("action", self.action)?;
        if given_id.is_some() && request_id.is_none() {
            return Err(wrong_type("requestId", "\"string\""));
        }
        Ok(Request { request_id, controller, action, jwt, volatile, body, arguments: self.arguments })
    }
}

fn is_null(value: &RawValue) -> bool {
    json::kind(value) == Kind::Null
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &str) -> Result<Request<'_>, InvalidRequest> {
        Request::parse(document.as_bytes())
    }

    fn refused(document: &str) -> (String, Option<String>, u16) {
        match parse(document) {
            Err(InvalidRequest::Request { message, request_id, status }) => (message, request_id, status),
            other => panic!("{other:?}"),
        }
    }

    fn is_not_json(document: &[u8]) -> bool {
        matches!(Request::parse(document), Err(InvalidRequest::Json { message }) if !message.is_empty())
    }

    #[test]
    fn reads_all_members() {
        let document = r#"{"requestId":"r","controller":"c","action":"a","jwt":"j","volatile":{"v":1},
            "body":{"b":[]},"index":"i","collection":"k","unknown":[{}]}"#;
        let request = parse(document).unwrap();
        assert_eq!(request.request_id(), Some("r"));
        assert_eq!(request.controller(), Some("c"));
        assert_eq!(request.action(), Some("a"));
        assert_eq!(request.jwt(), Some("j"));
        assert_eq!(request.volatile().unwrap().get(), r#"{"v":1}"#);
        assert_eq!(request.body().unwrap().get(), r#"{"b":[]}"#);
        assert_eq!(request.index().unwrap().get(), r#""i""#);
        assert_eq!(request.collection().unwrap().get(), r#""k""#);
    }

    #[test]
    fn takes_null_and_absent_for_the_same() {
        for document in [
            "{}",
            r#"{"requestId":null,"controller":null,"action":null,"jwt":null,"volatile":null,"body":null}"#,
        ] {
            let request = parse(document).unwrap();
            assert_eq!(request.request_id(), None);
            assert_eq!(request.controller(), None);
            assert_eq!(request.action(), None);
            assert_eq!(request.jwt(), None);
            assert!(request.volatile().is_none());
            assert!(request.body().is_none());
        }
    }

    #[test]
    fn takes_an_empty_request_id_for_none() {
        for id in ["\"\"", "null", "false", "0"] {
            assert_eq!(parse(&format!(r#"{{"requestId":{id}}}"#)).unwrap().request_id(), None, "{id}");
        }
    }

    #[test]
    fn the_last_of_duplicate_members_counts() {
        let request = parse(r#"{"action":12,"action":"a","\u0061ction":"b"}"#).unwrap();
        assert_eq!(request.action(), Some("b"));
    }

    #[test]
    fn undoes_escapes() {
        let request = parse(r#"{"\u0061ction":"n\u006fw","requestId":"\ud83d\ude00\n"}"#).unwrap();
        assert_eq!(request.action(), Some("now"));
        assert_eq!(request.request_id(), Some("\u{1F600}\n"));
    }

    #[test]
    fn refuses_members_of_the_wrong_type() {
        for name in ["jwt", "controller", "action"] {
            for value in ["12", "true", "false", "0", "{}", "[]"] {
                assert_eq!(
                    refused(&format!(r#"{{"{name}":{value},"requestId":"r1"}}"#)),
                    (format!("Attribute {name} must be of type \"string\""), Some("r1".to_owned()), 400)
                );
            }
        }
        for value in ["12", "true", "false", "\"\"", "[]"] {
            assert_eq!(
                refused(&format!(r#"{{"requestId":"r1","volatile":{value}}}"#)),
                ("Attribute volatile must be of type \"object\"".to_owned(), Some("r1".to_owned()), 400)
            );
        }
        for value in ["12", "true", "false", "\"x\""] {
            assert_eq!(
                refused(&format!(r#"{{"body":{value}}}"#)),
                ("Attribute body must be of type \"object\" or \"array\"".to_owned(), None, 400)
            );
        }
        for value in ["12", "-1e9", "true", "{}", "[]"] {
            assert_eq!(
                refused(&format!(r#"{{"requestId":{value}}}"#)),
                ("Attribute requestId must be of type \"string\"".to_owned(), None, 400)
            );
        }
    }

    #[test]
    fn refuses_what_is_not_an_object() {
        for document in ["null", "12", " \"s\" ", "[]", "true", "[{}]"] {
            assert_eq!(
                refused(document),
                ("Input request data must be a non-null object".to_owned(), None, 500),
                "{document}"
            );
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        let documents: [&[u8]; 16] = [
            b"",
            b" ",
            b"{",
            b"{}}",
            b"{} {}",
            b"{\"a\":}",
            b"{a:1}",
            b"{\"a\":1,}",
            b"nul",
            b"[1",
            b"{\"a\":\"\x01\"}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"\xff",
            b"{\"action\":\"\\ud800\"}",
            b"{\"a\":01}",
        ];
        for document in documents {
            assert!(is_not_json(document), "{}", document.escape_ascii());
        }
    }

    #[test]
    fn refuses_deep_nesting_wherever_it_is() {
        for levels in [129, 10_000, 200_000] {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            assert!(is_not_json(open.as_bytes()));
            assert!(is_not_json(format!("{open}{close}").as_bytes()));
            for name in ["body", "volatile", "requestId", "anything"] {
                assert!(is_not_json(format!(r#"{{"{name}":{open}{close}}}"#).as_bytes()), "{name}");
            }
            let (open, close) = ("{\"a\":".repeat(levels), "}".repeat(levels));
            assert!(is_not_json(format!(r#"{{"body":{open}1{close}}}"#).as_bytes()));
        }
        let (open, close) = ("[".repeat(127), "]".repeat(127));
        assert!(parse(&format!(r#"{{"body":{open}{close}}}"#)).is_ok());
    }

    #[test]
    fn accepts_huge_strings() {
        let huge = "x".repeat(4 << 20);
        let document = format!(r#"{{"requestId":"{huge}","controller":"{huge}"}}"#);
        let request = parse(&document).unwrap();
        assert_eq!(request.request_id().unwrap().len(), huge.len());
    }
}
