//! Whether a document satisfies a filter, read off the filter as it is written. No normal form, no index, and of the
//! crate only what tests a single regular expression or place.

use koncorde::{Document, Filter, Limits};
use serde_json::{Map, Value, json};

/// Whether the document satisfies the filter, which is valid.
pub(crate) fn matches(filter: &Value, document: &Value) -> bool {
    evaluate(filter, &flat(document.as_object().unwrap()), document, false)
}

/// All fields by their paths.
pub(crate) fn flat(document: &Map<String, Value>) -> Map<String, Value> {
    fn step(out: &mut Map<String, Value>, object: &Map<String, Value>, prefix: &str) {
        for (key, value) in object {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if let Value::Object(members) = value {
                step(out, members, &path);
            }
            out.insert(path, value.clone());
        }
    }
    let mut out = Map::new();
    step(&mut out, document, "");
    out
}

fn evaluate(filter: &Value, fields: &Map<String, Value>, document: &Value, negated: bool) -> bool {
    let Some((keyword, value)) = filter.as_object().and_then(|members| members.iter().next()) else {
        return !negated;
    };
    let any = |list: &Value, negated| {
        list.as_array().unwrap().iter().any(|part| evaluate(part, fields, document, negated))
    };
    let all = |list: &Value, negated| {
        list.as_array().unwrap().iter().all(|part| evaluate(part, fields, document, negated))
    };
    match keyword.as_str() {
        "not" => evaluate(value, fields, document, !negated),
        "and" if negated => any(value, true),
        "and" => all(value, false),
        "or" if negated => all(value, true),
        "or" => any(value, false),
        "bool" => {
            let parts = value.as_object().unwrap();
            let mut checks = parts.iter().map(|(name, list)| match (name.as_str(), negated) {
                ("must", false) => all(list, false),
                ("must", true) => any(list, true),
                ("must_not", false) => all(list, true),
                ("must_not", true) => any(list, false),
                ("should", false) => any(list, false),
                ("should", true) => all(list, true),
                ("should_not", false) => any(list, true),
                ("should_not", true) => all(list, false),
                _ => unreachable!(),
            });
            if negated { checks.any(|check| check) } else { checks.all(|check| check) }
        }
        "regexp" | "geoBoundingBox" | "geoDistance" | "geoDistanceRange" | "geoPolygon" => {
            let alone = if negated { json!({ "not": filter }) } else { filter.clone() };
            let parsed = Filter::parse(&alone.to_string(), &Limits::default()).unwrap();
            parsed.matches(&Document::parse(&document.to_string(), None).unwrap())
        }
        _ => condition(keyword, value, fields) != negated,
    }
}

fn condition(keyword: &str, value: &Value, fields: &Map<String, Value>) -> bool {
    let single = || value.as_object().and_then(|members| members.iter().next()).unwrap();
    match keyword {
        "nothing" => false,
        "equals" => {
            let (field, wanted) = single();
            fields.get(field).is_some_and(|found| same(found, wanted))
        }
        "in" => {
            let (field, wanted) = single();
            let wanted = wanted.as_array().unwrap();
            fields.get(field).is_some_and(|found| wanted.iter().any(|wanted| same(found, wanted)))
        }
        "ids" => {
            let wanted = value["values"].as_array().unwrap();
            fields.get("_id").is_some_and(|found| wanted.iter().any(|wanted| same(found, wanted)))
        }
        "exists" | "missing" => {
            let text = value.as_str().unwrap_or_else(|| value["field"].as_str().unwrap());
            let is_there = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
                None => fields.contains_key(text),
                Some((path, element)) => {
                    let wanted: Value = serde_json::from_str(element).unwrap();
                    let array = fields.get(path).and_then(Value::as_array);
                    array.is_some_and(|array| array.iter().any(|found| same(found, &wanted)))
                }
            };
            is_there == (keyword == "exists")
        }
        "range" => {
            let (field, bounds) = single();
            let Some(found) = fields.get(field).and_then(Value::as_f64) else { return false };
            bounds.as_object().unwrap().iter().all(|(name, bound)| {
                let bound = bound.as_f64().unwrap();
                match name.as_str() {
                    "gte" => found >= bound,
                    "lte" => found <= bound,
                    "gt" => found >= bound + 1e-10,
                    "lt" => found <= bound - 1e-10,
                    _ => unreachable!(),
                }
            })
        }
        "match" => subset(&Value::Object(fields.clone()), value),
        "select" => {
            let array = fields.get(value["field"].as_str().unwrap()).and_then(Value::as_array);
            let position = value["index"].as_f64().unwrap() as i64;
            array.is_some_and(|array| {
                let position = if position < 0 { position + array.len() as i64 } else { position };
                let element = usize::try_from(position).ok().and_then(|position| array.get(position));
                element.is_some_and(|element| matches(&value["query"], &json!({ "value": element })))
            })
        }
        _ => unreachable!("{keyword}"),
    }
}

/// Equality in JavaScript.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(_) | Value::Object(_), _) => false,
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

fn subset(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| subset(found, wanted)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            let mut left: Vec<&Value> = found.iter().collect();
            wanted.iter().all(|wanted| {
                let position = left.iter().position(|found| subset(found, wanted));
                position.map(|position| left.remove(position)).is_some()
            })
        }
        _ => same(found, wanted),
    }
}
