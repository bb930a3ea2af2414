//! The subset of JSON Schema that manifests may use for options: `type`, `properties`, `required`,
//! `enum`, `minimum`, `maximum`, `minLength`, `maxLength`, `items`, `pattern`,
//! `additionalProperties`, and annotations. No `$ref`: a schema is whole and finite.
//!
//! Values are never part of a message, except numbers: options hold passwords.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::config::type_name;

/// Annotations, which decide nothing.
const ANNOTATIONS: [&str; 6] = ["$schema", "$comment", "title", "description", "default", "examples"];
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// One place where a value does not satisfy its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// The JSON pointer of the place; empty for the whole value.
    pub(super) pointer: String,
    /// What the schema demands there.
    pub(super) expected: String,
    /// What is there, without its value.
    pub(super) found: String,
}

/// What the schemas of one manifest may cost.
pub(super) struct Budget {
    /// Regular expressions, each of which has to be compiled.
    patterns: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { patterns: 64 }
    }
}

/// Whether `schema` is one of the subset; `Err` says what is not.
pub(super) fn check(schema: &Value, budget: &mut Budget) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return Err(format!("a schema that is of type {}", type_name(schema)));
    };
    for (keyword, value) in keywords {
        let ok = match keyword.as_str() {
            "type" => types(value).is_some(),
            "properties" => match value {
                Value::Object(properties) => {
                    properties.values().try_for_each(|schema| check(schema, budget))?;
                    true
                }
                _ => false,
            },
            "items" => {
                check(value, budget)?;
                true
            }
            "additionalProperties" => {
                if !value.is_boolean() {
                    check(value, budget)?;
                }
                true
            }
            "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
            "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
            "minimum" | "maximum" => value.is_number(),
            "minLength" | "maxLength" => value.is_u64(),
            "pattern" => {
                budget.patterns = budget.patterns.checked_sub(1).ok_or("too many patterns: at most 64")?;
                value.as_str().is_some_and(|pattern| compile(pattern).is_some())
            }
            annotation if ANNOTATIONS.contains(&annotation) => true,
            _ => return Err(format!("the keyword \"{keyword}\", which is not supported")),
        };
        if !ok {
            return Err(format!("a \"{keyword}\" that can not be used"));
        }
    }
    Ok(())
}

/// Every place where `value` does not satisfy `schema`, which [`check`] has accepted.
pub(super) fn validate(schema: &Value, value: &Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    if let Value::Object(keywords) = schema {
        visit(keywords, value, "", &mut violations);
    }
    violations
}

fn visit(keywords: &Map<String, Value>, value: &Value, pointer: &str, violations: &mut Vec<Violation>) {
    let mut violated = |expected: String, found: String| {
        violations.push(Violation { pointer: pointer.to_owned(), expected, found });
    };
    if let Some(types) = keywords.get("type").and_then(types)
        && !types.iter().any(|wanted| is_of(value, wanted))
    {
        violated(types.join(" or "), type_name(value).to_owned());
        return;
    }
    if let Some(Value::Array(allowed)) = keywords.get("enum")
        && !allowed.iter().any(|allowed| same(allowed, value))
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        violated(format!("one of {}", allowed.join(", ")), "another value".to_owned());
    }
    match value {
        Value::Number(number) => {
            let bound = |keyword| keywords.get(keyword).and_then(Value::as_f64);
            let float = number.as_f64().unwrap_or(f64::NAN);
            if let Some(least) = bound("minimum").filter(|least| float < *least) {
                violated(format!("at least {least}"), number.to_string());
            }
            if let Some(most) = bound("maximum").filter(|most| float > *most) {
                violated(format!("at most {most}"), number.to_string());
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as u64;
            let bound = |keyword| keywords.get(keyword).and_then(Value::as_u64);
            if let Some(least) = bound("minLength").filter(|least| length < *least) {
                violated(format!("at least {least} characters"), format!("{length}"));
            }
            if let Some(most) = bound("maxLength").filter(|most| length > *most) {
                violated(format!("at most {most} characters"), format!("{length}"));
            }
            if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str)
                && compile(pattern).is_some_and(|regex| !regex.is_match(text))
            {
                violated(format!("a string that matches {pattern}"), "another string".to_owned());
            }
        }
        Value::Array(items) => {
            if let Some(Value::Object(schema)) = keywords.get("items") {
                for (index, item) in items.iter().enumerate() {
                    visit(schema, item, &format!("{pointer}/{index}"), violations);
                }
            }
        }
        Value::Object(members) => object(keywords, members, pointer, violations),
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(
    keywords: &Map<String, Value>,
    members: &Map<String, Value>,
    pointer: &str,
    violations: &mut Vec<Violation>,
) {
    let place = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    if let Some(Value::Array(required)) = keywords.get("required") {
        for name in required.iter().filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
            let expected = "a value: it is required".to_owned();
            violations.push(Violation { pointer: place(name), expected, found: "nothing".to_owned() });
        }
    }
    let properties = keywords.get("properties").and_then(Value::as_object);
    for (name, member) in members {
        match properties.and_then(|properties| properties.get(name)) {
            Some(Value::Object(schema)) => visit(schema, member, &place(name), violations),
            Some(_) => {}
            None => match keywords.get("additionalProperties") {
                Some(Value::Bool(false)) => {
                    let known: Vec<&str> =
                        properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                    let expected = match super::nearest::nearest(name, known.iter().copied()) {
                        Some(near) => format!("a known option; did you mean \"{near}\"?"),
                        None => format!("one of the options {}", known.join(", ")),
                    };
                    let found = format!("the unknown option \"{name}\"");
                    violations.push(Violation { pointer: place(name), expected, found });
                }
                Some(Value::Object(schema)) => visit(schema, member, &place(name), violations),
                _ => {}
            },
        }
    }
}

fn types(value: &Value) -> Option<Vec<&str>> {
    let names = match value {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) if !names.is_empty() => {
            names.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?
        }
        _ => return None,
    };
    names.iter().all(|name| TYPES.contains(name)).then_some(names)
}

fn is_of(value: &Value, wanted: &str) -> bool {
    match wanted {
        "number" => value.is_number(),
        // As JSON Schema has it, 1.0 is an integer.
        "integer" => {
            value.is_i64()
                || value.is_u64()
                || value.as_f64().is_some_and(|number| number.fract() == 0.0 && number.is_finite())
        }
        other => type_name(value) == other,
    }
}

/// Equal as JSON Schema has it: numbers by value.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(1 << 18).dfa_size_limit(1 << 18).build().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(schema: Value, value: Value) -> Vec<String> {
        assert_eq!(check(&schema, &mut Budget::default()), Ok(()), "{schema}");
        validate(&schema, &value).into_iter().map(|violation| violation.pointer).collect()
    }

    #[test]
    fn finds_every_violation_of_each_keyword() {
        let schema = json!({"type": "object", "required": ["host"], "additionalProperties": false, "properties": {
            "host": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
            "port": {"type": "integer", "minimum": 0, "maximum": 65535},
            "mode": {"enum": ["a", 1, null]},
            "list": {"type": "array", "items": {"type": ["number", "null"]}},
            "free": {"type": "object", "additionalProperties": {"type": "boolean"}},
        }});
        let good = json!({"host": "abc", "port": 1.0, "mode": 1.0, "list": [1.5, null], "free": {"x": true}});
        assert_eq!(pointers(schema.clone(), good), [""; 0]);
        let bad =
            json!({"host": "A", "port": 70000, "mode": "b", "list": [1, "x"], "free": {"a/b": 1}, "prot": 1});
        assert_eq!(
            pointers(schema.clone(), bad),
            ["/host", "/host", "/port", "/mode", "/list/1", "/free/a~1b", "/prot"]
        );
        assert_eq!(pointers(schema.clone(), json!({"port": "x"})), ["/host", "/port"]);
        assert_eq!(pointers(schema, json!([])), [""]);
    }

    #[test]
    fn a_value_is_not_part_of_the_message() {
        let schema = json!({"properties": {"password": {"type": "string", "maxLength": 3, "enum": ["x"], "pattern": "^x$"}}});
        let text = format!("{:?}", validate(&schema, &json!({"password": "hunter2"})));
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn refuses_schemas_outside_the_subset() {
        for schema in [
            json!(true),
            json!({"$ref": "#"}),
            json!({"type": "text"}),
            json!({"type": []}),
            json!({"items": {"anyOf": []}}),
            json!({"properties": {"a": {"pattern": "(?=x)"}}}),
            json!({"pattern": "(a{1000}){1000}"}),
            json!({"required": "a"}),
            json!({"enum": []}),
            json!({"minLength": -1}),
            json!({"minimum": "1"}),
            json!({"additionalProperties": 1}),
        ] {
            assert!(check(&schema, &mut Budget::default()).is_err(), "{schema}");
        }
    }
}
