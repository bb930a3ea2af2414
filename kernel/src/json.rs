//! Reading JSON without building it, and writing JSON into a buffer.
//!
//! Requests are mostly passed on: their parts stay slices of the document until somebody needs their meaning.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deeply arrays and objects may be nested in a document, the document itself included.
pub(crate) const MAX_DEPTH: usize = 128;

/// Whether arrays and objects are nested deeper than [`MAX_DEPTH`]. Takes no stack, and linear time.
pub(crate) fn is_too_deep(document: &[u8]) -> bool {
    let opens = |byte: &u8| matches!(byte, b'{' | b'[');
    if document.len() <= MAX_DEPTH || document.iter().filter(|byte| opens(byte)).count() <= MAX_DEPTH {
        return false;
    }
    let mut depth = 0usize;
    let mut bytes = document.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => {
                        bytes.next();
                    }
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Hands every member of an object, name and value, to `member`, in order, duplicates included.
///
/// # Errors
/// The text is not exactly one JSON object.
pub(crate) fn parse_object<'a>(
    object: &'a str,
    member: impl FnMut(&'a RawValue, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(Members { member, lifetime: PhantomData })?;
    deserializer.end()
}

/// Like [`parse_object`], for a value that is known to be valid JSON. One that is not an object has no members.
pub(crate) fn for_each_member<'a>(value: &'a RawValue, member: impl FnMut(&'a RawValue, &'a RawValue)) {
    if kind(value) == Kind::Object {
        parse_object(value.get(), member).expect("a raw value is valid JSON, and this one is an object");
    }
}

/// Whether a string reads so, however it is written. `name` holds nothing that JSON has to escape.
pub(crate) fn is_name(value: &RawValue, name: &str) -> bool {
    string(value).is_ok_and(|text| text.as_deref() == Some(name))
}

struct Members<'a, F> {
    member: F,
    lifetime: PhantomData<&'a ()>,
}

impl<'a, F: FnMut(&'a RawValue, &'a RawValue)> Visitor<'a> for Members<'a, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            (self.member)(name, value);
        }
        Ok(())
    }
}

/// The kind of a JSON value, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// The kind of this value.
pub(crate) fn kind(value: &RawValue) -> Kind {
    match value.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// Whether JavaScript takes this value for false: `null`, `false`, `0`, `""`.
pub(crate) fn is_falsy(value: &RawValue) -> bool {
    match kind(value) {
        Kind::Null => true,
        Kind::Boolean => value.get() == "false",
        Kind::String => value.get() == "\"\"",
        Kind::Number => value.get().parse::<f64>() == Ok(0.0),
        Kind::Array | Kind::Object => false,
    }
}

/// The text of a JSON string; `None` if the value is not a string.
///
/// # Errors
/// The string has an escape that stands for no character (half a surrogate pair).
pub(crate) fn string(value: &RawValue) -> Result<Option<Cow<'_, str>>, serde_json::Error> {
    let Some(quoted) = value.get().strip_prefix('"') else { return Ok(None) };
    match quoted.strip_suffix('"') {
        Some(plain) if !plain.contains('\\') => Ok(Some(Cow::Borrowed(plain))),
        _ => serde_json::from_str(value.get()).map(|text: String| Some(Cow::Owned(text))),
    }
}

/// Appends a JSON value as it was received, except that line breaks between its tokens are left out: some
/// protocols end a message with one. (Inside strings JSON has none.)
pub(crate) fn push_raw(out: &mut Vec<u8>, value: &str) {
    let bytes = value.as_bytes();
    if bytes.iter().any(breaks_line) {
        out.extend(bytes.iter().filter(|byte| !breaks_line(byte)));
    } else {
        out.extend_from_slice(bytes);
    }
}

fn breaks_line(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Appends the value, or `null`.
pub(crate) fn push_raw_or_null(out: &mut Vec<u8>, value: Option<&RawValue>) {
    push_raw(out, value.map_or("null", RawValue::get));
}

/// Appends a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
}

/// Appends a number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("writing a number to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn counts_levels_but_not_brackets_in_strings() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(is_too_deep("[".repeat(200_000).as_bytes()));
        assert!(!is_too_deep(format!("[\"\\\"{}\"]", "[".repeat(1000)).as_bytes()));
        assert!(!is_too_deep("[],".repeat(1000).as_bytes()));
        assert!(!is_too_deep("]".repeat(1000).as_bytes()));
    }

    #[test]
    fn knows_what_javascript_takes_for_false() {
        for json in ["null", "false", "0", "-0", "0.0", "0e7", "\"\""] {
            assert!(is_falsy(raw(json)), "{json}");
        }
        for json in ["true", "1", "1e999", "\"0\"", "[]", "{}"] {
            assert!(!is_falsy(raw(json)), "{json}");
        }
    }

    #[test]
    fn reads_strings_with_and_without_escapes() {
        assert!(matches!(string(raw("\"plain\"")), Ok(Some(Cow::Borrowed("plain")))));
        assert_eq!(string(raw(r#""a\u0062\"""#)).unwrap().unwrap(), "ab\"");
        assert_eq!(string(raw("12")).unwrap(), None);
        assert!(string(raw(r#""\ud800""#)).is_err());
    }

    #[test]
    fn leaves_out_line_breaks_between_tokens_only() {
        let mut out = Vec::new();
        push_raw(&mut out, "{\r\n  \"a\\n\": [\n1]}");
        assert_eq!(out, b"{  \"a\\n\": [1]}");
    }

    #[test]
    fn hands_out_members_in_order_with_duplicates() {
        let mut seen = Vec::new();
        parse_object(r#" {"a":1, "\ud800" :2,"\u0061": [2] } "#, |name, value| {
            seen.push((name.get(), value.get()));
        })
        .unwrap();
        assert_eq!(seen, [("\"a\"", "1"), (r#""\ud800""#, "2"), (r#""\u0061""#, "[2]")]);
        assert!(parse_object("{} x", |_, _| ()).is_err());
        assert!(parse_object("{1:2}", |_, _| ()).is_err());
        assert!(parse_object("{null:2}", |_, _| ()).is_err());
        assert!(parse_object("[]", |_, _| ()).is_err());
    }

    #[test]
    fn only_objects_have_members() {
        for json in ["[1]", "1", "\"a\"", "null"] {
            for_each_member(raw(json), |_, _| panic!("{json}"));
        }
    }

    #[test]
    fn recognises_names_however_they_are_written() {
        assert!(is_name(raw("\"sdk\""), "sdk"));
        assert!(is_name(raw(r#""s\u0064k""#), "sdk"));
        assert!(!is_name(raw(r#""\ud800""#), "sdk"));
    }
}
