//! A protocol's options: what the configuration says in its sections, compared with its manifest's
//! schema.

use std::path::Path;

use serde_json::Value;

use super::manifest::Manifest;
use super::{OnPanic, schema};
use crate::config::{Config, type_name};
use crate::diagnostics::{Diagnostic, Id};

/// Checks the host's own keys of each section, and compares the others with the manifest's schema.
pub(super) fn check(manifest: &Manifest, config: &Config, path: &Path) -> Vec<Diagnostic> {
    let options = config.options_for(&manifest.sections);
    let mut diagnostics: Vec<_> =
        manifest.sections.iter().flat_map(|section| own_keys(section, config)).collect();
    for (section, wanted) in &manifest.schemas {
        // A section that is switched off is not looked at.
        let Some(given) = options.get(section).filter(|given| !given.is_null()) else { continue };
        for violation in schema::validate(wanted, given) {
            let key = format!("server.protocols.{section}{}", violation.pointer.replace('/', "."));
            let message = format!(
                "The option \"{key}\" does not satisfy the protocol's schema: expected {}, found {}{}.",
                violation.expected,
                violation.found,
                place(section, &violation.pointer, config)
            );
            let help =
                format!("Correct \"{key}\" in the configuration; the schema is \"config\" in the manifest.");
            diagnostics.push(
                Diagnostic::error(Id::ConfigInvalid, path, message, help)
                    .expected(violation.expected)
                    .found(violation.found),
            );
        }
    }
    diagnostics
}

/// Where the value at a JSON pointer into a section comes from, or what is around it if that is not
/// there, in parentheses; nothing if the section is absent.
fn place(section: &str, pointer: &str, config: &Config) -> String {
    let keys: Vec<String> =
        pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
    let path: Vec<&str> =
        ["server", "protocols", section].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let sources = (3..=path.len()).rev().find_map(|depth| config.source(&path[..depth]));
    sources.map_or_else(String::new, |(_, place)| format!(" ({place})"))
}

/// What is wrong with a section as the host reads it.
fn own_keys(section: &str, config: &Config) -> Vec<Diagnostic> {
    let wrong = |path: &[&str], expected: &str, found: &Value| {
        let key = path.join(".");
        let (file, place) = config.source(path).unwrap_or_default();
        let message = format!("The configuration key \"{key}\" can not be used ({place}).");
        let help = format!("Set \"{key}\" to {expected}, or remove it.");
        Diagnostic::error(Id::ConfigInvalid, file, message, help).expected(expected).found(type_name(found))
    };
    let options = match config.protocol(section) {
        None => return Vec::new(),
        Some(Value::Object(options)) => options,
        Some(other) => return vec![wrong(&["server", "protocols", section], "an object", other)],
    };
    let is_boolean: fn(&Value) -> bool = Value::is_boolean;
    let is_number = |value: &Value| value.as_u64().is_some_and(|number| number > 0);
    let is_reaction = |value: &Value| value == "stop" || value == "abort";
    let rules = [
        ("enabled", "true or false", is_boolean),
        ("realtimeNotifications", "true or false", is_boolean),
        ("maxConnections", "an integer of at least 1", is_number),
        ("onPanic", "\"stop\" or \"abort\"", is_reaction),
    ];
    let wrong_ones = rules.iter().filter_map(|(key, expected, fits)| {
        let value = options.get(*key).filter(|value| !value.is_null() && !fits(value))?;
        Some(wrong(&["server", "protocols", section, key], expected, value))
    });
    wrong_ones.collect()
}

/// Whether the configuration switches the protocol off: all of its sections are.
pub(super) fn disabled(sections: &[String], config: &Config) -> bool {
    !sections.is_empty()
        && sections.iter().all(|section| host_key(config, section, "enabled") == Some(&Value::Bool(false)))
}

/// What to do when the protocol panics: what the first section that says so says.
pub(super) fn on_panic(sections: &[String], config: &Config) -> OnPanic {
    let said = sections.iter().find_map(|section| host_key(config, section, "onPanic")?.as_str());
    if said == Some("abort") { OnPanic::Abort } else { OnPanic::Stop }
}

/// How many connections the protocol may have: the smallest number that one of its sections says.
pub(super) fn max_connections(sections: &[String], config: &Config) -> Option<u64> {
    sections.iter().filter_map(|section| host_key(config, section, "maxConnections")?.as_u64()).min()
}

fn host_key<'c>(config: &'c Config, section: &str, key: &str) -> Option<&'c Value> {
    config.protocol(section)?.get(key)
}
