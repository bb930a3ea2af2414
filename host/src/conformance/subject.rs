//! The protocol under test: its library, and options that it accepts.

use std::path::PathBuf;

use kuzzle_protocol_abi::testing::{Builder, FakeHost};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::installation::Candidate;
use crate::installation::manifest;
use crate::installation::target::Surroundings;

/// A protocol that has passed the static gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// The manifest's name.
    pub name: String,
    /// The library, links resolved.
    pub(super) library: PathBuf,
    /// The sections that it owns.
    sections: Vec<String>,
    /// The schema of each section's options.
    schemas: Vec<(String, Value)>,
}

/// What stands in one property of the options: where, and what its schema says.
pub(super) struct Property {
    /// Section, then the keys.
    pub(super) path: Vec<String>,
    pub(super) schema: Value,
}

impl Subject {
    /// What can be tested of a candidate.
    pub fn of(candidate: &Candidate) -> Self {
        let manifest = manifest::read(&candidate.entry, &Surroundings::default()).0.unwrap_or_default();
        Self {
            name: candidate.name.clone(),
            library: candidate.library.clone(),
            sections: candidate.sections.clone(),
            schemas: manifest.schemas,
        }
    }

    /// Options that it must accept: ports that the system chooses, the local host, and what its schema
    /// requires.
    pub(super) fn options(&self) -> Value {
        let mut options = Map::new();
        for section in &self.sections {
            let schema = self.schemas.iter().find(|(name, _)| name == section).map(|(_, schema)| schema);
            options.insert(section.clone(), schema.map_or_else(|| json!({}), plain));
        }
        Value::Object(options)
    }

    /// All properties of its schemas, those of objects in objects too.
    pub(super) fn properties(&self) -> Vec<Property> {
        let mut found = Vec::new();
        for (section, schema) in &self.schemas {
            collect(schema, &mut vec![section.clone()], &mut found);
        }
        found
    }

    /// A host with these options.
    pub(super) fn host(&self, options: &Value, port: u16) -> Builder {
        let mut builder =
            FakeHost::builder(&self.name).server("host", json!("127.0.0.1")).server("port", json!(port));
        for (section, options) in options.as_object().into_iter().flatten() {
            builder = builder.section(section, options.clone());
        }
        builder
    }
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Property>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        found.push(Property { path: path.clone(), schema: schema.clone() });
        collect(schema, path, found);
        path.pop();
    }
}

/// Whether a schema allows values of this type.
fn allows(schema: &Value, wanted: &str) -> bool {
    match &schema["type"] {
        Value::String(name) => name == wanted,
        Value::Array(names) => names.iter().any(|name| name == wanted),
        _ => true,
    }
}

/// Whether this is the number of a port.
pub(super) fn is_port(name: &str, schema: &Value) -> bool {
    name.to_lowercase().ends_with("port") && allows(schema, "integer")
}

/// An object that satisfies the schema: what is required, ports that the system chooses, the local host.
fn plain(schema: &Value) -> Value {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let mut object = Map::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let nested = schema["properties"].is_object().then(|| plain(schema));
        let value = match nested {
            _ if is_port(name, schema) => Some(json!(0)),
            _ if name == "host" && allows(schema, "string") => Some(json!("127.0.0.1")),
            Some(nested) if required(name) || nested.as_object().is_some_and(|inner| !inner.is_empty()) => {
                Some(nested)
            }
            _ => required(name).then(|| example(schema)),
        };
        object.extend(value.map(|value| (name.clone(), value)));
    }
    Value::Object(object)
}

/// Some value that satisfies a schema.
fn example(schema: &Value) -> Value {
    let given = [&schema["default"], &schema["examples"][0], &schema["enum"][0]];
    if let Some(given) = given.into_iter().find(|given| !given.is_null()) {
        return given.clone();
    }
    let number = || match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), _) => json!(least),
        (None, Some(most)) => json!(most.min(1)),
        (None, None) => json!(1),
    };
    let candidates: [(&str, &dyn Fn() -> Value); 6] = [
        ("string", &|| json!("x".repeat(schema["minLength"].as_u64().unwrap_or(1).max(1) as usize))),
        ("integer", &number),
        ("number", &number),
        ("boolean", &|| json!(false)),
        ("array", &|| json!([])),
        ("object", &|| plain(schema)),
    ];
    candidates.iter().find(|(name, _)| allows(schema, name)).map_or(Value::Null, |(_, make)| make())
}

/// A value of another type than any that the schema allows; `None` if it allows all that we know.
pub(super) fn wrong_type(schema: &Value) -> Option<Value> {
    let candidates = [
        ("string", json!("seventeen")),
        ("integer", json!(17)),
        ("array", json!([17])),
        ("object", json!({ "seven": "teen" })),
    ];
    let named = schema["type"].is_string() || schema["type"].is_array();
    candidates
        .into_iter()
        .find(|(name, _)| named && !allows(schema, name) && !(*name == "integer" && allows(schema, "number")))
        .map(|(_, value)| value)
}

/// The options with one value at a path.
pub(super) fn with(options: &Value, path: &[String], value: &Value) -> Value {
    let mut options = options.clone();
    let mut place = &mut options;
    for key in path {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key.as_str()];
    }
    *place = value.clone();
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(schema: Value) -> Subject {
        Subject {
            name: "p".into(),
            library: PathBuf::new(),
            sections: vec!["p".into()],
            schemas: vec![("p".into(), schema)],
        }
    }

    #[test]
    fn options_have_what_is_required_and_ports_of_the_systems_choice() {
        let subject =
            subject(json!({ "type": "object", "required": ["topic", "level", "mode"], "properties": {
                "port": { "type": "integer" },
                "host": { "type": "string" },
                "tls": { "type": "object", "properties": { "listenPort": { "type": "integer" } } },
                "topic": { "type": "string", "minLength": 3 },
                "level": { "type": "integer", "minimum": 2 },
                "mode": { "enum": ["a", "b"] },
                "free": { "type": "string" },
            }}));
        let expected = json!({ "p": {
            "port": 0, "host": "127.0.0.1", "tls": { "listenPort": 0 }, "topic": "xxx", "level": 2, "mode": "a"
        }});
        assert_eq!(subject.options(), expected);
    }

    #[test]
    fn a_wrong_type_is_none_of_those_that_are_allowed() {
        assert_eq!(wrong_type(&json!({ "type": "integer" })), Some(json!("seventeen")));
        assert_eq!(wrong_type(&json!({ "type": "string" })), Some(json!(17)));
        assert_eq!(wrong_type(&json!({ "type": ["string", "number"] })), Some(json!([17])));
        assert_eq!(wrong_type(&json!({})), None);
    }
}
