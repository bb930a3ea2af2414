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
