//! `config`: the configuration as the host sees it, all sources merged, and where each value comes
//! from. Secrets are masked.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::{CommandError, ConfigOptions, EXIT_OK, EXIT_REFUSED, Format, Output};
use crate::config::{self, Leaf, Origin, Sources};
use crate::diagnostics::{Diagnostic, Style, escape};

/// Prints the configuration of the installation at `home`: status 0, or 78 if it is refused. What is
/// wrong with it is told on standard error.
///
/// # Errors
/// None of its own.
pub fn run(
    home: &Path,
    sources: &Sources,
    options: &ConfigOptions,
    out: &mut Output,
) -> Result<u8, CommandError> {
    let (config, problems) = config::load_from(home, sources);
    let style = Style::of(&std::io::stderr());
    for problem in &problems {
        let _ = write!(std::io::stderr(), "{}", problem.text(0, style));
    }
    match (options.format, options.show_origin) {
        (Format::Json, false) => out.json(&config.masked()),
        (Format::Json, true) => {
            let leaves = config.leaves();
            out.json(&Document { values: leaves.iter().map(Row::of).collect() });
        }
        (Format::Text, with_origin) => {
            for leaf in config.leaves() {
                let line = format!("{} = {}", escape(&key(&leaf.path)), escape(&leaf.value.to_string()));
                if with_origin {
                    out.line(format!("{line}  # {}", escape(&leaf.origin.to_string())));
                } else {
                    out.line(line);
                }
            }
        }
    }
    Ok(if problems.iter().any(Diagnostic::is_error) { EXIT_REFUSED } else { EXIT_OK })
}

/// A path of keys with dots; keys that are no plain words are quoted.
fn key(path: &[String]) -> String {
    let is_plain =
        |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
    let keys = path.iter().map(|key| if is_plain(key) { key.clone() } else { json!(key).to_string() });
    keys.collect::<Vec<_>>().join(".")
}

/// The document of `config --show-origin --format json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    values: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    key: String,
    path: &'a [String],
    value: &'a Value,
    origin: Value,
}

impl<'a> Row<'a> {
    fn of(leaf: &'a Leaf) -> Self {
        let origin = match &leaf.origin {
            Origin::Default => json!({ "type": "default" }),
            Origin::File { path, line, column } => {
                json!({ "type": "file", "path": path.to_string_lossy(), "line": line, "column": column })
            }
            Origin::Environment(name) => json!({ "type": "environment", "name": name }),
            Origin::Flag(name) => json!({ "type": "flag", "name": name }),
        };
        Self { key: key(&leaf.path), path: &leaf.path, value: &leaf.value, origin }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KUZZLERC: &str = "{\n  \"server\": { \"port\": 9, \"protocols\": { \"a.b\": {} } },\n  \
        \"security\": { \"jwt\": { \"secret\": \"hunter2\" } }\n}";

    fn printed(kuzzlerc: &str, show_origin: bool, format: Format) -> (u8, String, String) {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".kuzzlerc"), kuzzlerc).unwrap();
        let sources = Sources {
            environment: vec![("kuzzle_server__host".to_owned(), "::1".to_owned())],
            flags: vec![("stats.ttl".to_owned(), "5".to_owned())],
            ..Sources::default()
        };
        let mut out = Output::plain();
        let status = run(home.path(), &sources, &ConfigOptions { show_origin, format }, &mut out).unwrap();
        let file = home.path().canonicalize().unwrap().join(".kuzzlerc");
        (status, out.text, file.to_str().unwrap().to_owned())
    }

    #[test]
    fn text_tells_every_value_and_its_origin() {
        let (status, text, file) = printed(KUZZLERC, true, Format::Text);
        assert_eq!(status, EXIT_OK);
        for line in [
            format!("server.port = 9  # {file}:2:23"),
            "server.host = \"::1\"  # environment variable kuzzle_server__host".to_owned(),
            "stats.ttl = 5  # flag --set stats.ttl".to_owned(),
            "stats.enabled = true  # default".to_owned(),
            format!("server.protocols.\"a.b\" = {{}}  # {file}:2:48"),
            format!("security.jwt.secret = \"***\"  # {file}:3:36"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let (_, text, _) = printed(KUZZLERC, false, Format::Text);
        assert!(
            text.contains("server.port = 9\n") && !text.contains('#') && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn json_is_the_merged_configuration_or_a_list_of_values() {
        let (_, text, _) = printed(KUZZLERC, false, Format::Json);
        let tree: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&tree["server"]["port"], &tree["server"]["host"]), (&json!(9), &json!("::1")));
        assert_eq!(tree["security"], json!({"jwt": {"secret": "***"}}));

        let (_, text, file) = printed(KUZZLERC, true, Format::Json);
        let document: Value = serde_json::from_str(&text).unwrap();
        let values = document["values"].as_array().unwrap();
        let port = values.iter().find(|row| row["key"] == "server.port").unwrap();
        let origin = json!({"type": "file", "path": file, "line": 2, "column": 23});
        assert_eq!(
            port,
            &json!({"key": "server.port", "path": ["server", "port"], "value": 9, "origin": origin})
        );
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn a_refused_configuration_is_printed_as_it_was_given() {
        let (status, text, _) = printed(r#"{"server": {"port": "no"}}"#, true, Format::Text);
        assert_eq!(status, EXIT_REFUSED);
        assert!(text.contains("server.port = \"no\"  # "), "{text}");
    }
}
