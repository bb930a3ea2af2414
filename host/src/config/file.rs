//! A configuration file: JSON with comments, and where each value of it stands.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast, parse_to_serde_value};
use serde_json::{Value, json};

use super::convert::convert_all;
use super::excerpt::{all_secrets, excerpt, excerpt_of_broken, line_and_column};
use super::type_name;
use crate::diagnostics::{Diagnostic, Id};

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 4 << 20;

const SYNTAX: &str = "Write one JSON object; comments and trailing commas are allowed.";

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    /// Where it lies.
    pub(super) path: PathBuf,
    text: String,
    spots: OnceLock<HashMap<Vec<String>, Spot>>,
    secrets: OnceLock<Vec<(usize, usize)>>,
}

/// Where a value begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot {
    offset: usize,
    /// Counted from 1.
    pub(super) line: usize,
    /// Counted from 1, in characters.
    pub(super) column: usize,
}

impl File {
    /// Reads a file and its values; texts in it are converted.
    pub(super) fn read(path: &Path) -> Result<(Self, Value), Diagnostic> {
        let text = read_text(path)?;
        let broken = |offset: usize, reason: &str| {
            let (line, column) = line_and_column(&text, offset);
            let shown = excerpt_of_broken(&text, offset);
            wrong(path, &format!("line {line}, column {column}: {reason}{}", quoted(&shown)), SYNTAX)
        };
        let value: Value = parse_to_serde_value(&text, &parse_options())
            .map_err(|error| broken(error.range().start, &error.kind().to_string()))?;
        let value = match value {
            Value::Null if is_blank(&text) => json!({}),
            Value::Object(_) => value,
            other => {
                let diagnostic = wrong(path, "it does not hold a JSON object", SYNTAX);
                return Err(diagnostic.expected("object").found(type_name(&other)));
            }
        };
        let file = Self { path: path.to_owned(), text, spots: OnceLock::new(), secrets: OnceLock::new() };
        let value = convert_all(value).map_err(|keys| {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let message = format!(
                "The value of \"{}\" begins with *json: but no JSON follows ({}).",
                keys.join("."),
                file.place(&keys)
            );
            Diagnostic::error(Id::ConfigurationCannotParse, path, message, "Correct that value.")
        })?;
        Ok((file, value))
    }

    /// Where the value that `path` of keys leads to begins.
    pub(super) fn spot(&self, path: &[&str]) -> Option<Spot> {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        self.spots.get_or_init(|| spots(&self.text)).get(&path).copied()
    }

    fn secrets(&self) -> &[(usize, usize)] {
        self.secrets.get_or_init(|| all_secrets(&self.text))
    }

    /// The place of a value in words: file, line, column, and the line itself.
    pub(super) fn place(&self, path: &[&str]) -> String {
        match self.spot(path) {
            Some(spot) => format!(
                "{}, line {}, column {}{}",
                self.path.display(),
                spot.line,
                spot.column,
                quoted(&excerpt(&self.text, spot.offset, self.secrets()))
            ),
            None => self.path.display().to_string(),
        }
    }
}

/// A line as it is told behind its number.
fn quoted(line: &str) -> String {
    if line.is_empty() { String::new() } else { format!(": `{line}`") }
}

fn wrong(path: &Path, reason: &str, help: &str) -> Diagnostic {
    let message = format!("Could not read the configuration file {}: {reason}.", path.display());
    Diagnostic::error(Id::ConfigurationCannotParse, path, message, help)
}

fn read_text(path: &Path) -> Result<String, Diagnostic> {
    let readable = "Make it a regular file that the user of this process may read, or remove it.";
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong(path, &error.to_string(), "Create it, or name another file."),
        _ => wrong(path, &error.to_string(), readable),
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(wrong(path, "it is not a regular file", readable));
    }
    if metadata.len() > MAX_FILE {
        return Err(wrong(path, &format!("it has more than {MAX_FILE} bytes"), "Make it smaller."));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        wrong(path, &format!("it is not UTF-8: {}", error.utf8_error()), "Save it as UTF-8.")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// Whether nothing but blanks and comments stands there.
fn is_blank(text: &str) -> bool {
    parse_to_ast(text, &CollectOptions::default(), &parse_options())
        .is_ok_and(|parsed| parsed.value.is_none())
}

fn parse_options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// Where every value in an object begins; of a key that is there twice, the last one.
fn spots(text: &str) -> HashMap<Vec<String>, Spot> {
    let mut walk = Walk { text, cursor: Spot { offset: 0, line: 1, column: 1 }, found: HashMap::new() };
    if let Ok(parsed) = parse_to_ast(text, &CollectOptions::default(), &parse_options())
        && let Some(root) = parsed.value
    {
        walk.value(&mut Vec::new(), &root);
    }
    walk.found
}

/// Goes through a file once, from its beginning to its end.
struct Walk<'t> {
    text: &'t str,
    cursor: Spot,
    found: HashMap<Vec<String>, Spot>,
}

impl Walk<'_> {
    fn value(&mut self, path: &mut Vec<String>, value: &ast::Value<'_>) {
        self.advance(value.range().start);
        self.found.insert(path.clone(), self.cursor);
        if let ast::Value::Object(object) = value {
            for property in &object.properties {
                path.push(property.name.as_str().to_owned());
                self.value(path, &property.value);
                path.pop();
            }
        }
    }

    fn advance(&mut self, offset: usize) {
        for character in self.text.get(self.cursor.offset..offset).unwrap_or_default().chars() {
            if character == '\n' {
                self.cursor.line += 1;
                self.cursor.column = 1;
            } else {
                self.cursor.column += 1;
            }
        }
        self.cursor.offset = offset;
    }
}
