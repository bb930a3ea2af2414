//! The options that concern the broker. What each means for an administrator stands in
//! `docs/administration.md`; the manifest's schema has checked their ranges.

/// What the broker is told.
#[derive(Clone, Debug, serde::Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) request_topic: String,
    pub(crate) response_topic: String,
    pub(crate) allow_pub_sub: bool,
    pub(crate) open_channels: bool,
    pub(crate) development_mode: bool,
    /// In milliseconds.
    pub(crate) disconnect_delay: u64,
    /// In milliseconds.
    pub(crate) connect_timeout: u64,
    /// Connections that have not sent CONNECT yet.
    pub(crate) max_waiting: usize,
    /// In seconds; 0: no ceiling.
    pub(crate) max_keep_alive: u16,
    /// In bytes.
    pub(crate) max_packet_size: usize,
    /// In bytes: of what waits for a client, and again of what is in flight.
    pub(crate) max_queue_size: usize,
    /// QoS 1 and 2 messages on their way to a client.
    pub(crate) max_in_flight: u16,
    /// QoS 2 messages on their way from a client.
    pub(crate) receive_maximum: u16,
    pub(crate) topic_alias_maximum: u16,
    /// For each client.
    pub(crate) max_subscriptions: usize,
    /// In bytes.
    pub(crate) max_topic_length: usize,
    pub(crate) max_topic_levels: usize,
    /// In seconds.
    pub(crate) max_session_expiry: u32,
    pub(crate) max_sessions: usize,
    /// In bytes, of all that is kept.
    pub(crate) max_memory: usize,
    pub(crate) max_retained: usize,
    /// In bytes.
    pub(crate) max_retained_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
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
            max_memory: 256 << 20,
            max_retained: 10_000,
            max_retained_size: 64 << 20,
        }
    }
}
