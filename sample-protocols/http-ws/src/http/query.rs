//! `application/x-www-form-urlencoded`, in query strings and bodies, as Node's `querystring` reads it.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The most pairs that are read, as in Node.
const MOST: usize = 1000;

/// Percent-decodes; what is no escape stays as it is, what is not UTF-8 is replaced. `plus`: `+` is a blank.
pub(crate) fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let hex = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, hex(bytes.get(at)), hex(bytes.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 2;
            }
            (b'+', ..) if plus => out.push(b' '),
            _ => out.push(byte),
        }
    }
    Cow::Owned(match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// All pairs as one object: a name that is repeated has an array, one without `=` the empty text.
pub(crate) fn parse(query: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()).take(MOST) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        add(&mut all, &decode(name, true), decode(value, true).into_owned().into());
    }
    all
}

/// Adds a member; of a name that is there already, the values become an array.
pub(crate) fn add(all: &mut Map<String, Value>, name: &str, value: Value) {
    match all.get_mut(name) {
        None => {
            all.insert(name.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_pairs_as_node_does() {
        for (query, expected) in [
            ("", json!({})),
            ("a=1&b=x+y%20z", json!({"a": "1", "b": "x y z"})),
            ("k", json!({"k": ""})),
            ("k&k=1&k=2", json!({"k": ["", "1", "2"]})),
            ("&&a=b=c&", json!({"a": "b=c"})),
            ("a=%&b=%zz&c=%4", json!({"a": "%", "b": "%zz", "c": "%4"})),
            ("a=%ff", json!({"a": "\u{fffd}"})),
            ("%61%3d=%C3%A9", json!({"a=": "é"})),
        ] {
            assert_eq!(Value::Object(parse(query)), expected, "{query}");
        }
    }
}
