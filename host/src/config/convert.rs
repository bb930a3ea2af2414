//! The conversion of texts to values, as Kuzzle does it for every source
//! (`unstringify` in `lib/config/index.ts`).

use serde_json::{Number, Value};

/// The text after `*json:` is none.
#[derive(Debug)]
pub(super) struct NotJson;

/// Converts a text: booleans, integers, decimals, `*json:`; keys that end in `version` keep their
/// text.
pub(super) fn convert(key: &str, text: &str) -> Result<Value, NotJson> {
    if is_version(key) {
        return Ok(Value::String(text.to_owned()));
    }
    match text {
        "true" => return Ok(Value::Bool(true)),
        "false" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if let Some(json) = text.strip_prefix("*json:") {
        return serde_json::from_str(json).map_err(|_| NotJson);
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = if digits(unsigned) {
        match text.parse::<i64>() {
            Ok(integer) => Some(Number::from(integer)),
            Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64),
        }
    } else {
        match unsigned.split_once('.') {
            Some((whole, fraction)) if digits(whole) && digits(fraction) => {
                text.parse::<f64>().ok().and_then(Number::from_f64)
            }
            _ => None,
        }
    };
    Ok(number.map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// Converts every text of a file; `Err` is the path of keys to the value that is no JSON.
pub(super) fn convert_all(value: Value) -> Result<Value, Vec<String>> {
    let mut path = Vec::new();
    walk(&mut path, value).map_err(|NotJson| path)
}

/// On failure `path` leads to the value that failed.
fn walk(path: &mut Vec<String>, value: Value) -> Result<Value, NotJson> {
    let key = path.last().map_or("", String::as_str);
    if is_version(key) {
        return Ok(value);
    }
    match value {
        Value::String(text) => convert(key, &text),
        Value::Array(items) => {
            // The elements have no names; where one fails, the array has failed.
            let convert = |item| walk(&mut Vec::new(), item);
            Ok(Value::Array(items.into_iter().map(convert).collect::<Result<_, _>>()?))
        }
        Value::Object(map) => {
            let mut converted = serde_json::Map::new();
            for (key, value) in map {
                path.push(key.clone());
                converted.insert(key, walk(path, value)?);
                path.pop();
            }
            Ok(Value::Object(converted))
        }
        other => Ok(other),
    }
}

fn is_version(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("version")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn converts_as_kuzzle_does() {
        for (text, value) in [
            ("true", json!(true)),
            ("True", json!("True")),
            ("+7", json!(7)),
            ("-1.5", json!(-1.5)),
            (".5", json!(".5")),
            ("1.", json!("1.")),
            ("1e3", json!("1e3")),
            ("", json!("")),
            ("-", json!("-")),
            ("99999999999999999999", json!(1e20)),
            ("*json:[1, \"2\"]", json!([1, "2"])),
        ] {
            assert_eq!(convert("key", text).unwrap(), value, "{text}");
        }
        assert_eq!(convert("apiVersion", "2").unwrap(), json!("2"));
        assert!(convert("key", "*json:{").is_err());
    }

    #[test]
    fn names_the_value_of_a_file_that_is_no_json() {
        assert_eq!(
            convert_all(json!({"a": {"b": "1", "version": "*json:"}, "c": ["true"]})).unwrap(),
            json!({"a": {"b": 1, "version": "*json:"}, "c": [true]})
        );
        assert_eq!(convert_all(json!({"a": {"b": "*json:x"}})).unwrap_err(), ["a", "b"]);
        assert_eq!(convert_all(json!({"a": [{"b": "*json:x"}]})).unwrap_err(), ["a"]);
    }
}
