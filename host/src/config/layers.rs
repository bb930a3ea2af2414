//! Where values come from: defaults, the nearest `.kuzzlerc`, the environment; and how they are
//! merged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast, parse_to_serde_value};
use serde_json::{Map, Number, Value, json};

use crate::diagnostics::{Diagnostic, Id};

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The values of one source.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its values.
    pub(super) value: Value,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Defaults,
    File { path: PathBuf, text: String },
    Environment { home: PathBuf, names: Vec<String> },
}

impl Layer {
    /// What holds without any file or variable.
    ///
    /// No protocol has defaults here: each brings its own.
    pub(super) fn defaults() -> Self {
        let value = json!({
            "server": {
                "host": "127.0.0.1",
                "port": 7512,
                "maxRequestSize": "1MB",
                "strictSdkVersion": true,
                "shutdownTimeout": 5000,
                "protocols": {},
            },
            "limits": {
                "concurrentRequests": 100,
                "requestsBufferSize": 50000,
                "subscriptionConditionsCount": 100,
                "subscriptionRooms": 1_000_000,
            },
            "services": { "common": { "defaultInitTimeout": 120_000 } },
        });
        Self { value, source: Source::Defaults }
    }

    /// The file that `path` of keys comes from, and its place there in words.
    fn place(&self, path: &[&str]) -> (PathBuf, String) {
        match &self.source {
            Source::Defaults => (PathBuf::new(), "the defaults".to_owned()),
            Source::File { path: file, text } => {
                let place = match position(text, path) {
                    Some((line, column)) => format!("{}, line {line}, column {column}", file.display()),
                    None => file.display().to_string(),
                };
                (file.clone(), place)
            }
            Source::Environment { home, names } => {
                // The variable may have set an object above the key, or the key itself.
                let sets = |name: &&String| {
                    let mut path = path.iter();
                    keys(name).all(|key| path.next().is_none_or(|wanted| *wanted == key))
                };
                let name = names.iter().filter(sets).max_by_key(|name| keys(name).count());
                let place = match name {
                    Some(name) => format!("the environment variable kuzzle_{name}"),
                    None => "the environment".to_owned(),
                };
                (home.clone(), place)
            }
        }
    }
}

/// The place, in the last layer that has it, of what `path` of keys leads to.
pub(super) fn place(layers: &[Layer], path: &[&str]) -> Option<(PathBuf, String)> {
    layers.iter().rev().find(|layer| find(&layer.value, path).is_some()).map(|layer| layer.place(path))
}

/// What a path of keys leads to.
pub(super) fn find<'v>(root: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, key| value.get(key))
}

/// The keys in the name of a variable, without its prefix.
fn keys(name: &str) -> impl Iterator<Item = &str> {
    name.split("__").filter(|key| !key.is_empty())
}

/// Lays `over` over `under`: objects are merged, everything else is replaced.
pub(super) fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(key) {
                    Some(existing) => merge(existing, value),
                    None => {
                        under.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// The `.kuzzlerc` of `home` or of the nearest folder above it.
pub(super) fn nearest_file(home: &Path, diagnostics: &mut Vec<Diagnostic>) -> Option<Layer> {
    let start = home.canonicalize().unwrap_or_else(|_| home.to_path_buf());
    let path = start
        .ancestors()
        .map(|folder| folder.join(".kuzzlerc"))
        .find(|path| path.symlink_metadata().is_ok())?;
    match read_file(&path) {
        Ok(layer) => Some(layer),
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            None
        }
    }
}

fn read_file(path: &Path) -> Result<Layer, Diagnostic> {
    let wrong = |reason: String, help: &str| {
        let message = format!("Could not read the configuration file {}: {reason}.", path.display());
        Diagnostic::error(Id::ConfigurationCannotParse, path, message, help)
    };
    let readable = "Make it a regular file that the user of this process may read, or remove it.";
    let metadata = std::fs::metadata(path).map_err(|error| wrong(error.to_string(), readable))?;
    if !metadata.is_file() {
        return Err(wrong("it is not a regular file".to_owned(), readable));
    }
    if metadata.len() > MAX_FILE {
        return Err(wrong(format!("it has more than {MAX_FILE} bytes"), "Make it smaller."));
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string(), readable))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| wrong(format!("it is not UTF-8: {error}"), "Save it as UTF-8."))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    let syntax = "Write one JSON object; comments and trailing commas are allowed.";
    let value: Value = parse_to_serde_value(&text, &parse_options()).map_err(|error| {
        let (line, column) = (error.line_display(), error.column_display());
        wrong(format!("line {line}, column {column}: {}", error.kind()), syntax)
    })?;
    let value = match value {
        Value::Null if text_is_blank(&text) => json!({}),
        Value::Object(_) => value,
        other => {
            let diagnostic = wrong("it does not hold a JSON object".to_owned(), syntax);
            return Err(diagnostic.expected("object").found(type_name(&other)));
        }
    };
    let value = convert_all(value).map_err(|key| {
        wrong(format!("the value of \"{key}\" begins with *json: but no JSON follows"), "Correct that value.")
    })?;
    Ok(Layer { value, source: Source::File { path: path.to_path_buf(), text } })
}

/// Whether nothing but blanks and comments stands there.
fn text_is_blank(text: &str) -> bool {
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

/// Line and column of the value that `path` of keys leads to, counted from 1.
fn position(text: &str, path: &[&str]) -> Option<(usize, usize)> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &parse_options()).ok()?;
    let root = parsed.value?;
    let mut value = &root;
    for key in path {
        let ast::Value::Object(object) = value else { return None };
        value = &object.properties.iter().rfind(|property| property.name.as_str() == *key)?.value;
    }
    let before = text.get(..value.range().start)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}

/// The variables `kuzzle_<key>__<key>…`, case kept.
pub(super) fn environment(
    home: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Layer> {
    let variables: BTreeMap<String, String> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("kuzzle_")?.to_owned(), value)))
        .collect();
    let mut root = Value::Object(Map::new());
    for (name, text) in &variables {
        let keys: Vec<&str> = keys(name).collect();
        let Some((last, parents)) = keys.split_last() else { continue };
        // The path of another file, not a key.
        if keys == ["config"] {
            continue;
        }
        let value = match convert(last, text) {
            Ok(value) => value,
            Err(NotJson) => {
                let message = format!(
                    "The value of the environment variable kuzzle_{name} begins with *json: but no JSON follows."
                );
                diagnostics.push(Diagnostic::error(
                    Id::ConfigurationCannotParse,
                    home,
                    message,
                    "Write one JSON value after *json:, in quotes of the shell.",
                ));
                continue;
            }
        };
        let mut cursor = &mut root;
        for key in parents {
            if !cursor.is_object() {
                *cursor = Value::Object(Map::new());
            }
            let Value::Object(object) = cursor else { unreachable!("just made an object") };
            cursor = object.entry((*key).to_owned()).or_insert_with(|| json!({}));
        }
        if !cursor.is_object() {
            *cursor = Value::Object(Map::new());
        }
        if let Value::Object(object) = cursor {
            object.insert((*last).to_owned(), value);
        }
    }
    let empty = root.as_object().is_some_and(Map::is_empty);
    (!empty).then(|| Layer {
        value: root,
        source: Source::Environment { home: home.to_path_buf(), names: variables.into_keys().collect() },
    })
}

/// The text after `*json:` is none.
struct NotJson;

/// Converts a text as Kuzzle does: booleans, integers, decimals, `*json:`; keys that end in
/// `version` keep their text.
fn convert(key: &str, text: &str) -> Result<Value, NotJson> {
    if key.to_ascii_lowercase().ends_with("version") {
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
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = if !unsigned.is_empty() && digits(unsigned) {
        match text.parse::<i64>() {
            Ok(integer) => Some(Number::from(integer)),
            Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64),
        }
    } else {
        match unsigned.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() && digits(whole) && digits(fraction) => {
                text.parse::<f64>().ok().and_then(Number::from_f64)
            }
            _ => None,
        }
    };
    Ok(number.map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// Converts every text of a file; `Err` names the key whose value is no JSON.
fn convert_all(value: Value) -> Result<Value, String> {
    fn walk(key: &str, value: Value) -> Result<Value, String> {
        match value {
            Value::String(text) => convert(key, &text).map_err(|NotJson| key.to_owned()),
            Value::Array(items) => {
                Ok(Value::Array(items.into_iter().map(|item| walk("", item)).collect::<Result<_, _>>()?))
            }
            Value::Object(map) => {
                let walked = map.into_iter().map(|(key, value)| {
                    let value = walk(&key, value)?;
                    Ok((key, value))
                });
                Ok(Value::Object(walked.collect::<Result<_, String>>()?))
            }
            other => Ok(other),
        }
    }
    walk("", value)
}

/// What JSON calls the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
