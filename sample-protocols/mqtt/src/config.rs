//! The options, `server.protocols.mqtt`.

use crate::broker::Settings;

/// All options. What each means stands in the README; the manifest's schema has checked their ranges.
#[derive(Debug, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Config {
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
    pub(crate) server: Server,
    pub(crate) request_topic: String,
    pub(crate) response_topic: String,
    pub(crate) allow_pub_sub: bool,
    pub(crate) open_channels: bool,
    pub(crate) development_mode: bool,
    pub(crate) disconnect_delay: u64,
    pub(crate) connect_timeout: u64,
    pub(crate) max_waiting: usize,
    pub(crate) max_keep_alive: u16,
    pub(crate) max_packet_size: usize,
    pub(crate) max_queue_size: usize,
    pub(crate) max_in_flight: u16,
    pub(crate) receive_maximum: u16,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) max_subscriptions: usize,
    pub(crate) max_topic_length: usize,
    pub(crate) max_topic_levels: usize,
    pub(crate) max_session_expiry: u32,
    pub(crate) max_sessions: usize,
    pub(crate) max_retained: usize,
    pub(crate) max_retained_size: usize,
}

/// Where Kuzzle has the port.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) port: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: None,
            port: 1883,
            server: Server::default(),
            request_topic: "Kuzzle/request".to_owned(),
            response_topic: "Kuzzle/response".to_owned(),
            allow_pub_sub: false,
            open_channels: false,
            development_mode: false,
            disconnect_delay: 250,
            connect_timeout: 30_000,
            max_waiting: 4096,
            max_keep_alive: 0,
            max_packet_size: 1 << 20,
            max_queue_size: 4 << 20,
            max_in_flight: 64,
            receive_maximum: 1024,
            topic_alias_maximum: 32,
            max_subscriptions: 1000,
            max_topic_length: 4096,
            max_topic_levels: 64,
            max_session_expiry: 86_400,
            max_sessions: 100_000,
            max_retained: 10_000,
            max_retained_size: 64 << 20,
        }
    }
}

impl Config {
    /// Kuzzle's place of the port wins.
    pub(crate) fn port(&self) -> u16 {
        self.server.port.unwrap_or(self.port)
    }

    /// What is wrong with options that the schema cannot judge.
    pub(crate) fn problem(&self) -> Option<String> {
        let topics = [("requestTopic", &self.request_topic), ("responseTopic", &self.response_topic)];
        for (name, topic) in topics {
            if crate::codec::topic::check_name(topic).is_err() || topic.contains('\0') {
                return Some(format!(
                    "`{name}` is no topic name: it must not be empty, nor hold `+`, `#` or U+0000"
                ));
            }
            if topic.len() > self.max_topic_length {
                return Some(format!("`{name}` is longer than `maxTopicLength` allows: shorten it"));
            }
        }
        if self.request_topic == self.response_topic {
            return Some("`requestTopic` and `responseTopic` are the same: change one".to_owned());
        }
        None
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            allow_pub_sub: self.allow_pub_sub,
            open_channels: self.open_channels,
            development_mode: self.development_mode,
            request_topic: self.request_topic.as_str().into(),
            response_topic: self.response_topic.as_str().into(),
            disconnect_delay: self.disconnect_delay,
            connect_timeout: self.connect_timeout,
            max_waiting: self.max_waiting,
            max_keep_alive: self.max_keep_alive,
            max_packet_size: self.max_packet_size,
            max_queue_size: self.max_queue_size,
            max_in_flight: self.max_in_flight,
            receive_maximum: self.receive_maximum,
            topic_alias_maximum: self.topic_alias_maximum,
            max_subscriptions: self.max_subscriptions,
            max_topic_length: self.max_topic_length,
            max_topic_levels: self.max_topic_levels,
            max_session_expiry: self.max_session_expiry,
            max_sessions: self.max_sessions,
            max_retained: self.max_retained,
            max_retained_size: self.max_retained_size,
        }
    }
}
