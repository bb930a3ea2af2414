//! The options, `server.protocols.mqtt`.

use crate::broker::Settings;

/// All options.
#[derive(Debug, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) host: Option<String>,
    port: u16,
    server: Server,
    #[serde(flatten)]
    pub(crate) settings: Settings,
}

/// Where Kuzzle has the port.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Server {
    port: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self { host: None, port: 1883, server: Server::default(), settings: Settings::default() }
    }
}

impl Config {
    /// Kuzzle's place of the port wins.
    pub(crate) fn port(&self) -> u16 {
        self.server.port.unwrap_or(self.port)
    }

    /// What is wrong with options that the schema cannot judge.
    pub(crate) fn problem(&self) -> Option<String> {
        let Settings { request_topic, response_topic, max_topic_length, .. } = &self.settings;
        for (name, topic) in [("requestTopic", request_topic), ("responseTopic", response_topic)] {
            if crate::codec::topic::check_name(topic).is_err() || topic.contains('\0') {
                return Some(format!(
                    "`{name}` is no topic name: it must not be empty, nor hold `+`, `#` or U+0000"
                ));
            }
            if topic.len() > *max_topic_length {
                return Some(format!("`{name}` is longer than `maxTopicLength` allows: shorten it"));
            }
        }
        if request_topic == response_topic {
            return Some("`requestTopic` and `responseTopic` are the same: change one".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn read(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Names and defaults as the documentation has them: rows like "| `a`, `b` | `1`, `2` | … |".
    fn documented() -> BTreeMap<String, String> {
        let text = read("../../docs/administration.md");
        let section = text.split("\n## MQTT\n").nth(1).expect("there is a section");
        let section = section.split("\nWhat is refused").next().expect("there is a beginning");
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let row = |row: &str| {
            let cells: Vec<&str> = row.split('|').collect();
            let [names, defaults] = [cells[1], cells[2]].map(|cell| {
                cell.split(',').map(|one| one.trim().trim_matches('`').to_owned()).collect::<Vec<_>>()
            });
            names.into_iter().zip(defaults).collect::<Vec<_>>()
        };
        rows.flat_map(row).collect()
    }

    #[test]
    fn options_are_the_same_in_the_code_in_the_manifest_and_in_the_documentation() {
        let settings = serde_json::to_value(Settings::default()).expect("it is an object");
        let mut known: BTreeMap<String, String> = settings
            .as_object()
            .expect("it is an object")
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().map_or(value.to_string(), str::to_owned)))
            .collect();
        known.insert("port".to_owned(), Config::default().port().to_string());
        known.insert("host".to_owned(), "server.host".to_owned());
        assert_eq!(documented(), known);
        let manifest: Value = serde_json::from_str(&read("manifest.json")).expect("it is JSON");
        let properties = manifest["config"]["properties"].as_object().expect("it is an object");
        let names: Vec<&String> = properties.keys().filter(|name| *name != "server").collect();
        assert!(names.iter().all(|name| known.contains_key(*name)) && names.len() == known.len());
        // Each default is one that the manifest allows, and each name is read.
        for (name, schema) in properties {
            let default = &settings[name];
            let within = |bound: &str, is: fn(i64, i64) -> bool| {
                let bound = schema[bound].as_i64();
                bound.is_none_or(|bound| default.as_i64().is_none_or(|default| is(default, bound)))
            };
            assert!(within("minimum", |a, b| a >= b) && within("maximum", |a, b| a <= b), "{name}");
        }
        for (name, value) in settings.as_object().expect("it is an object") {
            let other = match value {
                Value::Bool(value) => Value::Bool(!value),
                Value::Number(value) => Value::from(value.as_u64().expect("none is negative") + 1),
                _ => Value::from("other"),
            };
            let text = serde_json::json!({ name: other }).to_string();
            let config: Config = serde_json::from_str(&text).expect("it is an option");
            assert_eq!(
                serde_json::to_value(&config.settings).expect("it is an object")[name],
                other,
                "{name}"
            );
        }
    }
}
