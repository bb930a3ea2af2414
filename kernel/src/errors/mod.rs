//! The errors of the API: a catalogue of kinds, and errors built from it.
//!
//! Source: Kuzzle, lib/kerror/index.ts, lib/kerror/errors/*.ts, lib/kerror/codes/*.json.

mod catalogue;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// The class of an error. It decides the status; its name is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say everything: they are Kuzzle's class names without `Error`")]
pub enum ErrorClass {
    BadRequest,
    ExternalService,
    Forbidden,
    GatewayTimeout,
    Internal,
    MultipleErrors,
    NotFound,
    Partial,
    PluginImplementation,
    Precondition,
    ServiceUnavailable,
    SizeLimit,
    TooManyRequests,
    Unauthorized,
}

impl ErrorClass {
    /// The status of errors of this class, with the meaning of an HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            ErrorClass::Partial => 206,
            ErrorClass::BadRequest | ErrorClass::MultipleErrors => 400,
            ErrorClass::Unauthorized => 401,
            ErrorClass::Forbidden => 403,
            ErrorClass::NotFound => 404,
            ErrorClass::Precondition => 412,
            ErrorClass::SizeLimit => 413,
            ErrorClass::TooManyRequests => 429,
            ErrorClass::ExternalService | ErrorClass::Internal | ErrorClass::PluginImplementation => 500,
            ErrorClass::ServiceUnavailable => 503,
            ErrorClass::GatewayTimeout => 504,
        }
    }

    /// Kuzzle's name of the class, such as `BadRequestError`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ErrorClass::BadRequest => "BadRequestError",
            ErrorClass::ExternalService => "ExternalServiceError",
            ErrorClass::Forbidden => "ForbiddenError",
            ErrorClass::GatewayTimeout => "GatewayTimeoutError",
            ErrorClass::Internal => "InternalError",
            ErrorClass::MultipleErrors => "MultipleErrorsError",
            ErrorClass::NotFound => "NotFoundError",
            ErrorClass::Partial => "PartialError",
            ErrorClass::PluginImplementation => "PluginImplementationError",
            ErrorClass::Precondition => "PreconditionError",
            ErrorClass::ServiceUnavailable => "ServiceUnavailableError",
            ErrorClass::SizeLimit => "SizeLimitError",
            ErrorClass::TooManyRequests => "TooManyRequestsError",
            ErrorClass::Unauthorized => "UnauthorizedError",
        }
    }
}

/// One kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    /// `<domain>.<subdomain>.<name>`.
    pub id: &'static str,
    /// The domain in the highest byte, the subdomain in the next, then a number of 16 bits.
    pub code: u32,
    /// The class.
    pub class: ErrorClass,
    /// The class's status, with the meaning of an HTTP status.
    pub status: u16,
    /// The template of the message: each `%s` stands for one value.
    pub message: &'static str,
}

/// The kind of error of this id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static ErrorEntry> {
    let position = catalogue::CATALOGUE.binary_search_by(|entry| entry.id.cmp(id)).ok()?;
    Some(&catalogue::CATALOGUE[position])
}

/// Every kind of error, sorted by id.
#[must_use]
pub fn all() -> &'static [ErrorEntry] {
    catalogue::CATALOGUE
}

/// An error as clients see it. Serialised, its members have Kuzzle's order, and those that are `None` are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KuzzleError {
    /// The number of the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// The id of the kind; `None` for the few errors that Kuzzle makes outside its catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'static str>,
    /// The text for people.
    pub message: Cow<'static, str>,
    /// The values put into the message; `None` outside the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub props: Option<Vec<String>>,
    /// The status, with the meaning of an HTTP status.
    pub status: u16,
}

impl KuzzleError {
    /// An error of the catalogue. An unknown id gives `core.fatal.unexpected_error` that names it, as in Kuzzle
    /// (lib/kerror/index.ts).
    #[must_use]
    pub fn new(id: &str, props: &[&str]) -> KuzzleError {
        match by_id(id) {
            Some(entry) => KuzzleError::from_entry(entry, props),
            None => {
                let unexpected = by_id("core.fatal.unexpected_error")
                    .expect("the catalogue is constant and has this id, as a test asserts");
                KuzzleError::from_entry(unexpected, &[id])
            }
        }
    }

    /// An error of this kind with these values in its message.
    #[must_use]
    pub fn from_entry(entry: &ErrorEntry, props: &[&str]) -> KuzzleError {
        KuzzleError {
            code: Some(entry.code),
            id: Some(entry.id),
            message: format_message(entry.message, props),
            props: Some(props.iter().map(|&prop| prop.to_owned()).collect()),
            status: entry.status,
        }
    }

    /// An error outside the catalogue: a message and a status, nothing else.
    #[must_use]
    pub fn uncatalogued(message: impl Into<Cow<'static, str>>, status: u16) -> KuzzleError {
        KuzzleError { code: None, id: None, message: message.into(), props: None, status }
    }
}

impl fmt::Display for KuzzleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for KuzzleError {}

/// Puts the values in the places of `%s`, like Node's `util.format`: a place without a value stays, a value
/// without a place follows after a space.
fn format_message(template: &'static str, props: &[&str]) -> Cow<'static, str> {
    if props.is_empty() {
        return Cow::Borrowed(template);
    }
    let mut message =
        String::with_capacity(template.len() + props.iter().map(|prop| prop.len()).sum::<usize>());
    let mut props = props.iter();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("%s") {
        let Some(prop) = props.next() else { break };
        message.push_str(before);
        message.push_str(prop);
        rest = after;
    }
    message.push_str(rest);
    for prop in props {
        message.push(' ');
        message.push_str(prop);
    }
    Cow::Owned(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: &str = include_str!("../../tests/vectors/kuzzle-error-codes.tsv");

    #[test]
    fn has_every_error_of_kuzzle() {
        let mut count = 0;
        for line in UPSTREAM.lines().skip(1) {
            let [id, code, _hexadecimal, class, status, message] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let entry = by_id(id).unwrap_or_else(|| panic!("{id} is missing"));
            assert_eq!(entry.id, id);
            assert_eq!(entry.code.to_string(), code, "{id}");
            assert_eq!(entry.class.name(), class, "{id}");
            assert_eq!(entry.status.to_string(), status, "{id}");
            assert_eq!(entry.message, message, "{id}");
            count += 1;
        }
        assert_eq!(count, 274);
        assert_eq!(all().len(), 275, "Kuzzle's and one of our own");
    }

    #[test]
    fn has_the_refused_join() {
        let entry = by_id("protocol.runtime.join_refused").unwrap();
        assert_eq!((entry.code, entry.status), (0x0601_0004, 500));
    }

    #[test]
    fn is_sorted_and_unambiguous() {
        assert!(all().windows(2).all(|pair| pair[0].id < pair[1].id));
        let mut codes: Vec<u32> = all().iter().map(|entry| entry.code).collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn codes_begin_with_the_number_of_the_domain() {
        let domains =
            ["core", "services", "api", "network", "plugin", "validation", "protocol", "security", "cluster"];
        for entry in all() {
            let domain = entry.id.split('.').next().unwrap();
            assert_eq!(domains[(entry.code >> 24) as usize], domain, "{}", entry.id);
        }
    }

    #[test]
    fn serialises_in_kuzzles_order() {
        assert_eq!(
            serde_json::to_string(&KuzzleError::new("api.process.controller_not_found", &["foo"])).unwrap(),
            r#"{"code":33685508,"id":"api.process.controller_not_found","message":"API controller \"foo\" not found.","props":["foo"],"status":404}"#
        );
        assert_eq!(
            serde_json::to_string(&KuzzleError::uncatalogued("no", 400)).unwrap(),
            r#"{"message":"no","status":400}"#
        );
    }

    #[test]
    fn formats_messages_like_node() {
        assert_eq!(format_message("a %s b %s", &["1", "2"]), "a 1 b 2");
        assert_eq!(format_message("a %s b %s", &["1"]), "a 1 b %s");
        assert_eq!(format_message("a %s", &["1", "2"]), "a 1 2");
        assert_eq!(format_message("a %s", &["%s"]), "a %s");
        assert_eq!(format_message("a %s", &[]), "a %s");
    }

    #[test]
    fn an_unknown_id_is_an_unexpected_error() {
        let error = KuzzleError::new("no.such.id", &["x"]);
        assert_eq!(error.id, Some("core.fatal.unexpected_error"));
        assert_eq!(error.message, "Caught an unexpected error: no.such.id.");
    }
}
