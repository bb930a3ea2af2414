//! `manifest.json`: read within bounds, every property checked, all that is wrong collected.
//!
//! Kuzzle's rules (`lib/core/shared/abstractManifest.js`), with the brief's where they differ: a
//! missing `kuzzleVersion` is a warning.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::target::Surroundings;
use super::{file, nearest, npm_range, schema};
use crate::config::type_name;
use crate::diagnostics::{Diagnostic, Id};

/// The file's name in a protocol's folder.
pub const FILE_NAME: &str = "manifest.json";
/// What a missing `kuzzleVersion` means.
pub const DEFAULT_RANGE: &str = ">=2.0.0 <3.0.0";

const MAX_BYTES: u64 = 1 << 20;
const MAX_DEPTH: usize = 128;
const MAX_NAME: usize = 128;
const MAX_SECTIONS: usize = 64;
/// Unknown properties that are told.
const MAX_UNKNOWN: usize = 32;
const PROPERTIES: [&str; 8] =
    ["name", "kuzzleVersion", "main", "version", "description", "sections", "config", "sha256"];

/// A manifest that is a JSON object; properties that can not be used are left out.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The protocol's name.
    pub name: Option<String>,
    /// The range of Kuzzle versions, or what a missing one means.
    pub kuzzle_version: String,
    /// Where the library is.
    pub main: Main,
    /// The protocol's version.
    pub version: Option<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// The names under `server.protocols` that it owns; its name unless it says otherwise.
    pub sections: Vec<String>,
    /// The schema of each section's options.
    pub schemas: Vec<(String, Value)>,
    /// What the SHA-256 of libraries must be: the path in the folder, or `None` for the one library
    /// there is, and 64 hexadecimal digits.
    pub pins: Vec<(Option<PathBuf>, String)>,
}

/// The property `main`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Main {
    /// Absent: the one library in the folder.
    #[default]
    Any,
    /// This path in the folder, with or without the platform's prefix and suffix.
    Path(PathBuf),
    /// It names libraries of these platforms only.
    OtherPlatforms(Vec<String>),
}

/// Reads the manifest in `folder`. `None` if it is no JSON object.
pub fn read(folder: &Path, surroundings: &Surroundings) -> (Option<Manifest>, Vec<Diagnostic>) {
    let path = folder.join(FILE_NAME);
    match load(&path) {
        Ok(properties) => {
            let mut reader = Reader { path: &path, properties: &properties, diagnostics: Vec::new() };
            let manifest = reader.manifest(surroundings);
            (Some(manifest), reader.diagnostics)
        }
        Err((reason, help)) => {
            let message = format!("Could not load the manifest: {reason}.");
            (None, vec![Diagnostic::error(Id::ManifestCannotLoad, path, message, help)])
        }
    }
}

/// Everything that stands in the manifest in `folder`, if it is a JSON object.
pub(crate) fn properties(folder: &Path) -> Option<Map<String, Value>> {
    load(&folder.join(FILE_NAME)).ok()
}

fn load(path: &Path) -> Result<Map<String, Value>, (String, String)> {
    let bytes = file::read(path, MAX_BYTES).map_err(|error| {
        let help = match error {
            file::ReadError::Absent => {
                "Put a manifest.json into the protocol's folder; at least {\"name\": …, \"kuzzleVersion\": …}."
            }
            file::ReadError::TooLarge { .. } => "A manifest holds at most 1 MiB: make it smaller.",
            _ => "Make manifest.json a regular file that the user of this process may read.",
        };
        (error.to_string(), help.to_owned())
    })?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| (format!("it is not UTF-8: {error}"), "Save manifest.json as UTF-8.".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if depth(text) > MAX_DEPTH {
        let reason = format!("arrays and objects are nested more than {MAX_DEPTH} levels deep");
        return Err((reason, "Make manifest.json flatter.".to_owned()));
    }
    let not_json = |error: serde_json::Error| {
        (format!("it is not JSON: {error}"), "Correct the syntax; JSON has no comments.".to_owned())
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // The depth is bounded above, at exactly the level that the contract names.
    deserializer.disable_recursion_limit();
    let value = Value::deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    match value {
        Value::Object(properties) => Ok(properties),
        other => Err((
            format!("it holds a JSON {}, not an object", type_name(&other)),
            "Write one JSON object: {\"name\": …, \"kuzzleVersion\": …}.".to_owned(),
        )),
    }
}

/// How deep arrays and objects are nested in a JSON text.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Reader<'a> {
    path: &'a Path,
    properties: &'a Map<String, Value>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn manifest(&mut self, surroundings: &Surroundings) -> Manifest {
        let name = self.name();
        let sections = self.sections(name.as_deref());
        let manifest = Manifest {
            kuzzle_version: self.kuzzle_version(&surroundings.kuzzle_version),
            main: self.main(&surroundings.target.key),
            version: self.text("version"),
            description: self.text("description"),
            schemas: self.schemas(&sections),
            pins: self.pins(&surroundings.target.key),
            name,
            sections,
        };
        self.unknown();
        manifest
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn name(&mut self) -> Option<String> {
        let help = "Set \"name\" to a unique identifier of letters, digits, hyphens and underscores.";
        let reason = match self.properties.get("name") {
            None | Some(Value::Null) => {
                let message = "The manifest has no \"name\".";
                self.push(Diagnostic::error(Id::ManifestMissingName, self.path, message, help));
                return None;
            }
            Some(Value::String(name)) if name.is_empty() => "it is empty".to_owned(),
            Some(Value::String(name)) if name.len() > MAX_NAME => {
                format!("it has {} bytes, more than {MAX_NAME}", name.len())
            }
            Some(Value::String(name)) if name.chars().any(char::is_control) => {
                "it holds control characters".to_owned()
            }
            Some(Value::String(name)) => {
                self.usual(name);
                return Some(name.clone());
            }
            Some(other) => format!("it is of type {}", type_name(other)),
        };
        let message = format!("The manifest's \"name\" can not be used: {reason}.");
        self.push(
            Diagnostic::error(Id::ManifestInvalidNameType, self.path, message, help)
                .expected(format!("a string of 1 to {MAX_NAME} bytes without control characters"))
                .found(reason),
        );
        None
    }

    fn usual(&mut self, name: &str) {
        let usual = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.chars().all(usual) || name.contains("__") {
            let message = format!("The name \"{name}\" is hard to use in environment variables and shells.");
            let help = "Prefer letters, digits, hyphens and single underscores.";
            self.push(
                Diagnostic::warning(Id::ManifestUnusualName, self.path, message, help)
                    .expected("[A-Za-z0-9_-]+ without \"__\"")
                    .found(name),
            );
        }
    }

    fn kuzzle_version(&mut self, running: &str) -> String {
        let help = format!("Set \"kuzzleVersion\" to an npm version range, for example \"{DEFAULT_RANGE}\".");
        let range = match self.properties.get("kuzzleVersion") {
            None | Some(Value::Null) => {
                let message = format!(
                    "The manifest has no \"kuzzleVersion\": the protocol is taken to support Kuzzle v2.x only \
                     ({DEFAULT_RANGE})."
                );
                self.push(Diagnostic::warning(Id::ManifestMissingVersion, self.path, message, &help));
                DEFAULT_RANGE
            }
            Some(Value::String(range)) if !range.is_empty() => range.as_str(),
            Some(other) => {
                let found = if other == "" { "an empty string" } else { type_name(other) };
                let message = format!("The manifest's \"kuzzleVersion\" can not be used: it is {found}.");
                self.push(
                    Diagnostic::error(Id::ManifestInvalidVersion, self.path, message, help)
                        .expected("a non-empty string: an npm version range")
                        .found(found),
                );
                return String::new();
            }
        };
        match npm_range::satisfies(range, running) {
            Ok(true) => {}
            Ok(false) => {
                let message = format!(
                    "The protocol supports Kuzzle {range}; this host speaks the API of Kuzzle {running}."
                );
                let help =
                    "Install a version of the protocol that supports this Kuzzle version, or another host.";
                self.push(
                    Diagnostic::error(Id::ManifestVersionMismatch, self.path, message, help)
                        .expected(range)
                        .found(running),
                );
            }
            Err(error) => {
                let message = format!("The manifest's \"kuzzleVersion\" can not be used: {error}.");
                self.push(
                    Diagnostic::error(Id::ManifestInvalidVersion, self.path, message, help)
                        .expected("an npm version range")
                        .found(range),
                );
            }
        }
        range.to_owned()
    }

    /// Reports that a property can not be used.
    fn invalid(&mut self, property: &str, expected: &str, found: &str) {
        let message =
            format!("The manifest's \"{property}\" can not be used: expected {expected}, found {found}.");
        let help = format!("Correct \"{property}\" in manifest.json, or remove it.");
        self.push(
            Diagnostic::error(Id::ManifestInvalidProperty, self.path, message, help)
                .expected(expected)
                .found(found),
        );
    }

    fn text(&mut self, property: &str) -> Option<String> {
        match self.properties.get(property)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.invalid(property, "a string", type_name(other));
                None
            }
        }
    }

    fn main(&mut self, platform: &str) -> Main {
        match self.properties.get("main") {
            None => Main::Any,
            Some(Value::String(path)) => self.inside("main", path).map_or(Main::Any, Main::Path),
            Some(Value::Object(paths)) => {
                let mut own = Main::OtherPlatforms(paths.keys().cloned().collect());
                for (key, path) in paths {
                    let property = format!("main.{key}");
                    let Some(path) = path.as_str() else {
                        self.invalid(&property, "a string", type_name(path));
                        continue;
                    };
                    let path = self.inside(&property, path);
                    if key == platform {
                        own = path.map_or(Main::Any, Main::Path);
                    }
                }
                own
            }
            Some(other) => {
                self.invalid("main", "a string, or an object from platform to string", type_name(other));
                Main::Any
            }
        }
    }

    /// A path of `property`, if it stays in the protocol's folder.
    fn inside(&mut self, property: &str, text: &str) -> Option<PathBuf> {
        use std::path::Component;
        let path = Path::new(text);
        let (mut depth, mut leaves) = (0_i32, false);
        for component in path.components() {
            match component {
                Component::Normal(_) => depth += 1,
                Component::CurDir => {}
                Component::ParentDir => depth -= 1,
                Component::RootDir | Component::Prefix(_) => leaves = true,
            }
            leaves |= depth < 0;
        }
        let names_a_file = depth > 0 && !text.ends_with('/') && path.file_name().is_some();
        if leaves || !names_a_file || text.chars().any(char::is_control) {
            self.invalid(property, "the path of a file in the protocol's folder", &format!("\"{text}\""));
            return None;
        }
        Some(path.to_path_buf())
    }

    fn sections(&mut self, name: Option<&str>) -> Vec<String> {
        let default: Vec<String> = name.map(str::to_owned).into_iter().collect();
        let Some(value) = self.properties.get("sections") else { return default };
        let expected = "1 to 64 different strings of 1 to 128 bytes";
        let Some(items) = value.as_array() else {
            self.invalid("sections", expected, type_name(value));
            return default;
        };
        if items.len() > MAX_SECTIONS {
            self.invalid("sections", expected, &format!("{} of them", items.len()));
            return default;
        }
        let mut sections: Vec<String> = Vec::new();
        for item in items {
            match item.as_str() {
                Some(section)
                    if !section.is_empty()
                        && section.len() <= MAX_NAME
                        && !section.chars().any(char::is_control)
                        && !sections.iter().any(|known| known == section) =>
                {
                    sections.push(section.to_owned());
                }
                Some(section) => {
                    let shown: String = section.chars().take(MAX_NAME).collect();
                    self.invalid("sections", expected, &format!("\"{shown}\""));
                    return default;
                }
                None => {
                    self.invalid("sections", expected, type_name(item));
                    return default;
                }
            }
        }
        if sections.is_empty() {
            self.invalid("sections", expected, "an empty array");
            return default;
        }
        sections
    }

    fn schemas(&mut self, sections: &[String]) -> Vec<(String, Value)> {
        let Some(value) = self.properties.get("config") else { return Vec::new() };
        let Value::Object(object) = value else {
            self.invalid("config", "an object: a JSON Schema", type_name(value));
            return Vec::new();
        };
        let (mut schemas, mut foreign) = (Vec::new(), Vec::new());
        let mut budget = schema::Budget::default();
        if let [section] = sections {
            if self.schema("config", value, &mut budget) {
                schemas.push((section.clone(), value.clone()));
            }
            return schemas;
        }
        for (section, value) in object {
            let property = format!("config.{section}");
            if !sections.contains(section) {
                foreign.push(section.chars().take(MAX_NAME).collect::<String>());
            } else if self.schema(&property, value, &mut budget) {
                schemas.push((section.clone(), value.clone()));
            }
        }
        if !foreign.is_empty() {
            let found = format!("{} others: {}", foreign.len(), foreign[..foreign.len().min(5)].join(", "));
            self.invalid("config", &format!("one of the sections {}", sections.join(", ")), &found);
        }
        schemas
    }

    fn schema(&mut self, property: &str, value: &Value, budget: &mut schema::Budget) -> bool {
        match schema::check(value, budget) {
            Ok(()) => true,
            Err(reason) => {
                self.invalid(property, "a JSON Schema of the documented subset", &reason);
                false
            }
        }
    }

    fn pins(&mut self, platform: &str) -> Vec<(Option<PathBuf>, String)> {
        let expected = "64 hexadecimal digits";
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self.properties.get("sha256") {
            None => Vec::new(),
            Some(Value::String(hash)) if is_hash(hash) => vec![(None, hash.to_ascii_lowercase())],
            Some(Value::Object(hashes)) => {
                let mut pins = Vec::new();
                for (key, hash) in hashes {
                    let property = format!("sha256.{key}");
                    match hash.as_str() {
                        Some(hash) if is_hash(hash) => {
                            let hash = hash.to_ascii_lowercase();
                            if key == platform {
                                pins.push((None, hash));
                            } else if !super::target::Target::KEYS.contains(&key.as_str())
                                && let Some(path) = self.inside(&property, key)
                            {
                                pins.push((Some(path), hash));
                            }
                        }
                        Some(_) => self.invalid(&property, expected, "another string"),
                        None => self.invalid(&property, expected, type_name(hash)),
                    }
                }
                pins
            }
            Some(Value::String(_)) => {
                self.invalid("sha256", expected, "another string");
                Vec::new()
            }
            Some(other) => {
                self.invalid("sha256", "a string, or an object from library to string", type_name(other));
                Vec::new()
            }
        }
    }

    fn unknown(&mut self) {
        let unknown = self.properties.keys().filter(|key| !PROPERTIES.contains(&key.as_str()));
        for property in unknown.take(MAX_UNKNOWN) {
            let near = nearest::nearest(property, PROPERTIES);
            let hint = near.map(|near| format!("Did you mean \"{near}\"? ")).unwrap_or_default();
            let message = format!("Nobody reads the manifest's property \"{property}\".");
            let help = format!("{hint}The known properties are {}.", PROPERTIES.join(", "));
            let mut diagnostic = Diagnostic::warning(Id::ManifestUnknownProperty, self.path, message, help);
            diagnostic.expected = near.map(str::to_owned);
            self.diagnostics.push(diagnostic.found(property));
        }
    }
}
