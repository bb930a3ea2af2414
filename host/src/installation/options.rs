//! A protocol's options: what the configuration says in its sections, compared with its manifest's
//! schema.

use std::path::Path;

use serde_json::Value;

use super::manifest::Manifest;
use super::{OnPanic, schema};
use crate::config::Config;
use crate::diagnostics::{Diagnostic, Id};

/// Compares the options of each section with the manifest's schema for it.
pub(super) fn check(manifest: &Manifest, config: &Config, path: &Path) -> Vec<Diagnostic> {
    let options = config.options_for(&manifest.sections);
    let mut diagnostics = Vec::new();
    for (section, wanted) in &manifest.schemas {
        let given = options.get(section).unwrap_or(&Value::Null);
        for violation in schema::validate(wanted, given) {
            let key = format!("server.protocols.{section}{}", violation.pointer.replace('/', "."));
            let message = format!(
                "The option \"{key}\" does not satisfy the protocol's schema: expected {}, found {}.",
                violation.expected, violation.found
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

/// Whether clients get server notifications: what the first section that says so says.
pub(super) fn realtime_notifications(sections: &[String], config: &Config) -> Option<bool> {
    sections.iter().find_map(|section| host_key(config, section, "realtimeNotifications")?.as_bool())
}

fn host_key<'c>(config: &'c Config, section: &str, key: &str) -> Option<&'c Value> {
    config.protocol(section)?.get(key)
}
