//! The layers of a configuration: the values of each source, and how they are merged.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::convert::{NotJson, convert};
use super::file::File;
use super::keys;
use crate::diagnostics::{Diagnostic, Id};

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
    File(File),
    Environment { home: PathBuf, set: Vec<Set> },
    Flags { home: PathBuf, set: Vec<Set> },
}

/// The keys that a variable or a flag has set, and its name.
type Set = (Vec<String>, String);

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It holds without any file, variable or flag.
    Default,
    /// It stands in a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line on which it begins, counted from 1.
        line: usize,
        /// The column at which it begins, counted from 1, in characters.
        column: usize,
    },
    /// A variable of the environment, by its name.
    Environment(String),
    /// A flag, with the key that it sets.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => write!(formatter, "environment variable {name}"),
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
        }
    }
}

impl Layer {
    /// What holds without any file, variable or flag.
    pub(super) fn defaults() -> Self {
        Self { value: keys::defaults(), source: Source::Defaults }
    }

    /// The values of a file.
    pub(super) fn file(path: &Path) -> Result<Self, Diagnostic> {
        let (file, value) = File::read(path)?;
        Ok(Self { value, source: Source::File(file) })
    }

    /// The variables `kuzzle_<key>__<key>…`, case kept; `None` if there are none.
    pub(super) fn environment(
        home: &Path,
        variables: &[(String, String)],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let mut settings: Vec<Setting<'_>> = variables
            .iter()
            .filter_map(|(name, text)| {
                let keys = name.strip_prefix("kuzzle_")?.split("__").filter(|key| !key.is_empty());
                Some(Setting { name: name.clone(), keys: keys.map(str::to_owned).collect(), text })
            })
            // One variable is the path of another file, not a key.
            .filter(|setting| !setting.keys.is_empty() && setting.keys != ["config"])
            .collect();
        settings.sort_by(|one, other| one.keys.cmp(&other.keys));
        let (value, set) = assign(home, "environment variable", settings, diagnostics)?;
        Some(Self { value, source: Source::Environment { home: home.to_owned(), set } })
    }

    /// The flags `--set KEY=VALUE`, in their order; `None` if there are none.
    pub(super) fn flags(
        home: &Path,
        flags: &[(String, String)],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let settings = flags.iter().map(|(key, text)| Setting {
            name: format!("--set {key}"),
            keys: key.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect(),
            text,
        });
        let settings = settings.filter(|setting| !setting.keys.is_empty()).collect();
        let (value, set) = assign(home, "flag", settings, diagnostics)?;
        Some(Self { value, source: Source::Flags { home: home.to_owned(), set } })
    }

    /// The file that `path` of keys comes from, and its place there in words.
    fn place(&self, path: &[&str]) -> (PathBuf, String) {
        match &self.source {
            Source::Defaults => (PathBuf::new(), "the defaults".to_owned()),
            Source::File(file) => (file.path.clone(), file.place(path)),
            Source::Environment { home, set } => {
                let place = match setter(set, path) {
                    Some(name) => format!("the environment variable {name}"),
                    None => "the environment".to_owned(),
                };
                (home.clone(), place)
            }
            Source::Flags { home, set } => {
                let place = setter(set, path)
                    .map_or_else(|| "the flags".to_owned(), |name| format!("the flag {name}"));
                (home.clone(), place)
            }
        }
    }

    fn origin(&self, path: &[&str]) -> Origin {
        let name = |set| setter(set, path).unwrap_or_default().to_owned();
        match &self.source {
            Source::Defaults => Origin::Default,
            Source::File(file) => {
                // Values in arrays have no place of their own.
                let spot =
                    (0..=path.len()).rev().find_map(|depth| file.spot(&path[..depth])).unwrap_or_default();
                Origin::File { path: file.path.clone(), line: spot.line, column: spot.column }
            }
            Source::Environment { set, .. } => Origin::Environment(name(set)),
            Source::Flags { set, .. } => Origin::Flag(name(set)),
        }
    }
}

/// The name of the last setting that gave `path` of keys its value: it may have set an object above,
/// or something below.
fn setter<'s>(set: &'s [Set], path: &[&str]) -> Option<&'s str> {
    let agrees = |(keys, _): &&Set| keys.iter().zip(path).all(|(key, wanted)| key == wanted);
    let above = set.iter().filter(|(keys, _)| keys.len() <= path.len()).rfind(agrees);
    above.or_else(|| set.iter().rfind(agrees)).map(|(_, name)| name.as_str())
}

/// A variable or a flag.
struct Setting<'s> {
    name: String,
    keys: Vec<String>,
    text: &'s str,
}

/// The values that settings give, and the name of each setting; `None` if there are no settings.
fn assign(
    home: &Path,
    what: &str,
    settings: Vec<Setting<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Value, Vec<Set>)> {
    let mut root = json!({});
    let mut set = Vec::new();
    for Setting { name, keys, text } in settings {
        let Some((last, parents)) = keys.split_last() else { continue };
        let Ok(value) = convert(last, text).map_err(|NotJson| {
            let message = format!("The value of the {what} {name} begins with *json: but no JSON follows.");
            let help = "Write one JSON value after *json:, in quotes of the shell.";
            diagnostics.push(Diagnostic::error(Id::ConfigurationCannotParse, home, message, help));
        }) else {
            continue;
        };
        let mut cursor = &mut root;
        for key in parents {
            cursor = object(cursor).entry(key.clone()).or_insert_with(|| json!({}));
        }
        match object(cursor).get_mut(last) {
            Some(existing) => merge(existing, &value),
            None => {
                object(cursor).insert(last.clone(), value);
            }
        }
        set.push((keys, name));
    }
    (!set.is_empty()).then_some((root, set))
}

/// The object that stands there; anything else gives way to an empty one.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("just made an object")
}

/// The place, in the last layer that has it, of what `path` of keys leads to.
pub(super) fn place(layers: &[Layer], path: &[&str]) -> Option<(PathBuf, String)> {
    Some(last_with(layers, path)?.place(path))
}

/// Where what `path` of keys leads to comes from.
pub(super) fn origin(layers: &[Layer], path: &[&str]) -> Option<Origin> {
    Some(last_with(layers, path)?.origin(path))
}

fn last_with<'l>(layers: &'l [Layer], path: &[&str]) -> Option<&'l Layer> {
    layers.iter().rev().find(|layer| find(&layer.value, path).is_some())
}

/// What a path of keys leads to.
pub(super) fn find<'v>(root: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, key| value.get(key))
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
