//! Typed access to the merged values: every key that the host uses is checked here, and an error
//! names the source of the value, never the value itself where it could be a secret.

use serde_json::Value;

use super::layers::{self, Layer, find, type_name};
use crate::diagnostics::{Diagnostic, Id};

/// Reads keys and collects what is wrong with them.
pub(super) struct Checker<'a> {
    root: &'a Value,
    layers: &'a [Layer],
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(root: &'a Value, layers: &'a [Layer]) -> Self {
        Self { root, layers, diagnostics: Vec::new() }
    }

    /// Everything that was wrong.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// The value at `path`; null is absent. A parent that is no object is reported once, by
    /// [`object`](Self::object).
    fn get(&mut self, path: &[&str]) -> Option<&'a Value> {
        for depth in 1..path.len() {
            if !self.object(&path[..depth]) {
                return None;
            }
        }
        find(self.root, path).filter(|value| !value.is_null())
    }

    /// Whether an object, or nothing, stands at `path`; reports anything else, once.
    pub(super) fn object(&mut self, path: &[&str]) -> bool {
        match find(self.root, path) {
            None | Some(Value::Null | Value::Object(_)) => true,
            Some(other) => {
                self.wrong(Id::ConfigurationInvalidType, path, "an object", type_name(other));
                false
            }
        }
    }

    pub(super) fn text(&mut self, path: &[&str], default: &str) -> String {
        match self.get(path) {
            None => default.to_owned(),
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(other) => {
                let found = if other == "" { "an empty string" } else { type_name(other) };
                self.wrong(Id::ConfigurationInvalidType, path, "a non-empty string", found);
                default.to_owned()
            }
        }
    }

    pub(super) fn integer(&mut self, path: &[&str], default: u64, least: u64, most: u64) -> u64 {
        let Some(value) = self.get(path) else { return default };
        let range = if most == u64::MAX {
            format!("an integer of at least {least}")
        } else {
            format!("an integer from {least} to {most}")
        };
        let Value::Number(number) = value else {
            self.wrong(Id::ConfigurationInvalidType, path, &range, type_name(value));
            return default;
        };
        match number.as_u64() {
            Some(number) if (least..=most).contains(&number) => number,
            None if number.is_f64() => {
                self.wrong(Id::ConfigurationInvalidType, path, &range, &number.to_string());
                default
            }
            _ => {
                self.wrong(Id::ConfigurationOutOfRange, path, &range, &number.to_string());
                default
            }
        }
    }

    /// A size: a number of bytes, or a text such as `1MB` (`lib/util/bytes.js`).
    pub(super) fn bytes(&mut self, path: &[&str], default: u64) -> u64 {
        let Some(value) = self.get(path) else { return default };
        let size = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => parse_bytes(text),
            _ => None,
        };
        size.filter(|size| *size > 0).unwrap_or_else(|| {
            let expected = "a number of bytes, or a text such as \"1MB\" (kb, mb, gb, tb)";
            self.wrong(Id::ConfigurationInvalidType, path, expected, type_name(value));
            default
        })
    }

    pub(super) fn texts(&mut self, path: &[&str]) -> Vec<String> {
        let Some(value) = self.get(path) else { return Vec::new() };
        let texts = value.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        texts.unwrap_or_else(|| {
            self.wrong(Id::ConfigurationInvalidType, path, "an array of strings", type_name(value));
            Vec::new()
        })
    }

    fn wrong(&mut self, id: Id, path: &[&str], expected: &str, found: &str) {
        let (file, place) = layers::place(self.layers, path).unwrap_or_default();
        let key = path.join(".");
        let message = format!("The configuration key \"{key}\" can not be used ({place}).");
        let help = format!("Set \"{key}\" to {expected}, or remove it to get the default.");
        let diagnostic = Diagnostic::error(id, file, message, help).expected(expected).found(found);
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }
}

/// Kuzzle's reading of a size: the first run of digits, times the unit that occurs anywhere.
fn parse_bytes(text: &str) -> Option<u64> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let digits: String = text[start..].chars().take_while(char::is_ascii_digit).collect();
    let lower = text.to_ascii_lowercase();
    let shift = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40)]
        .iter()
        .find_map(|(unit, shift)| lower.contains(unit).then_some(*shift))
        .unwrap_or(0);
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
