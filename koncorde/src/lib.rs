//! Real-time filters: a filter is parsed once, named by its room id, then matched against documents.
//!
//! Today only the filter that lets everything through is understood; every other one is refused with a clear
//! text. Source of syntax, texts and ids: Koncorde 4.7.0 as used by Kuzzle 2.56.0.
#![forbid(unsafe_code)]

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// The key of the room id's HMAC, the same in every Kuzzle (Kuzzle: lib/config/index.ts).
const ROOM_ID_KEY: &[u8; 32] = b"^m&mOISKBvb1xpl1mRsrylaQXpjb&IJX";

/// The keywords that Koncorde knows.
const KEYWORDS: [&str; 18] = [
    "and",
    "bool",
    "equals",
    "exists",
    "geoBoundingBox",
    "geoDistance",
    "geoDistanceRange",
    "geoPolygon",
    "ids",
    "in",
    "match",
    "missing",
    "not",
    "nothing",
    "or",
    "range",
    "regexp",
    "select",
];

/// Why a filter is refused. The texts are meant for the person who wrote the filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filter is not valid JSON (or nested deeper than 128 levels).
    #[error("Invalid filter syntax. The filter is not valid JSON: {0}")]
    Json(String),
    /// A filter is an object with exactly one member.
    #[error("Invalid filter syntax. Filters must have one keyword only")]
    NotOneKeyword,
    /// Koncorde has no such keyword.
    #[error("\"{0}\": unknown keyword")]
    UnknownKeyword(String),
    /// Koncorde knows the keyword, this crate does not yet.
    #[error("\"{0}\": keyword not supported yet")]
    UnsupportedKeyword(String),
}

/// A filter that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The normal form as canonical JSON: an array (or) of arrays (and) of conditions.
    normal_form: &'static str,
}

impl Filter {
    /// Parses a filter given as JSON text. `{}`, `[]` and `null` let everything through.
    ///
    /// # Errors
    /// Every other filter is refused, with Koncorde's text where Koncorde refuses it too.
    pub fn parse(json: &str) -> Result<Filter, Error> {
        let filter: Value = serde_json::from_str(json).map_err(|error| Error::Json(error.to_string()))?;
        match &filter {
            Value::Null => Ok(Filter::everything()),
            Value::Array(elements) => match elements.len() {
                0 => Ok(Filter::everything()),
                // Koncorde takes an array for an object whose keys are the positions.
                1 => Err(Error::UnknownKeyword("0".to_owned())),
                _ => Err(Error::NotOneKeyword),
            },
            Value::Object(members) => match members.keys().next() {
                None => Ok(Filter::everything()),
                Some(_) if members.len() > 1 => Err(Error::NotOneKeyword),
                Some(keyword) if KEYWORDS.contains(&keyword.as_str()) => {
                    Err(Error::UnsupportedKeyword(keyword.clone()))
                }
                Some(keyword) => Err(Error::UnknownKeyword(keyword.clone())),
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(Error::NotOneKeyword),
        }
    }

    /// The filter that lets everything through.
    #[must_use]
    pub fn everything() -> Filter {
        Filter { normal_form: r#"[[{"everything":true}]]"# }
    }

    /// The id of the room of this filter in a collection: 64 lowercase hexadecimal digits, equal to the id that
    /// Kuzzle computes. It is the HMAC-SHA256 of `{"filter":<normal form>,"index":"<index>/<collection>"}`.
    #[must_use]
    pub fn room_id(&self, index: &str, collection: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(ROOM_ID_KEY).expect("HMAC accepts keys of any length");
        mac.update(br#"{"filter":"#);
        mac.update(self.normal_form.as_bytes());
        mac.update(br#","index":"#);
        mac.update(Value::String(format!("{index}/{collection}")).to_string().as_bytes());
        mac.update(b"}");
        hexadecimal(&mac.finalize().into_bytes())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_everything_through_for_an_empty_filter() {
        for json in ["{}", "[]", "null", " { } "] {
            assert_eq!(Filter::parse(json), Ok(Filter::everything()), "{json}");
        }
    }

    #[test]
    fn computes_the_room_id_of_kuzzle() {
        assert_eq!(
            Filter::everything().room_id("nyc-open-data", "yellow-taxi"),
            "508a79aa1dd1118a980a3cbeb403662fd5c4cd9885c632ea19c03d236f3cd110"
        );
    }

    #[test]
    fn gives_each_collection_its_own_room_id() {
        let filter = Filter::everything();
        assert_ne!(filter.room_id("i", "c"), filter.room_id("i", "d"));
        assert_ne!(filter.room_id("i", "c"), filter.room_id("j", "c"));
        assert_eq!(filter.room_id("\"\u{e9}\n", "c").len(), 64);
    }

    #[test]
    fn refuses_what_is_not_supported_with_a_clear_text() {
        let text = |json: &str| Filter::parse(json).map(|_| ()).unwrap_err().to_string();
        assert_eq!(text(r#"{"equals":{"a":1}}"#), r#""equals": keyword not supported yet"#);
        for keyword in KEYWORDS {
            assert_eq!(
                text(&format!(r#"{{"{keyword}":1}}"#)),
                format!(r#""{keyword}": keyword not supported yet"#)
            );
        }
    }

    #[test]
    fn refuses_bad_filters_with_koncordes_texts() {
        let text = |json: &str| Filter::parse(json).map(|_| ()).unwrap_err().to_string();
        let one_only = "Invalid filter syntax. Filters must have one keyword only";
        assert_eq!(text(r#""str""#), one_only);
        assert_eq!(text("[1]"), r#""0": unknown keyword"#);
        assert_eq!(text("[1,2]"), one_only);
        assert_eq!(text(r#"{"foo":1}"#), r#""foo": unknown keyword"#);
        assert_eq!(text(r#"{"term":{"a":1}}"#), r#""term": unknown keyword"#);
        assert_eq!(text(r#"{"equals":{"a":1},"exists":"b"}"#), one_only);
        assert_eq!(text("7"), one_only);
    }

    #[test]
    fn refuses_what_is_not_json_without_panicking() {
        let deep = "[".repeat(200_000);
        for json in ["", "{", "{} {}", "nul", deep.as_str()] {
            assert!(matches!(Filter::parse(json), Err(Error::Json(_))), "{}", &json[..json.len().min(20)]);
        }
    }
}
