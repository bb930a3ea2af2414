//! The limits and names that a kernel is made with.

/// What a kernel is made with. Names and defaults are those of Kuzzle's `limits`, `server` and `stats`
/// sections
/// (Kuzzle: lib/config/default.config.ts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of this node, in every response and notification. Kuzzle's have the form
    /// `knode-<adjective>-<name>-<digits>`.
    pub node_id: String,
    /// How many requests may run at once before others would queue.
    pub concurrent_requests: usize,
    /// How many requests may queue. The kernel has no queue: beyond `concurrent_requests` plus this number of
    /// running requests the answer is `api.process.overloaded`.
    pub requests_buffer_size: usize,
    /// Above this number of running requests beyond `concurrent_requests`, [`Outbound::overloaded`] is called.
    ///
    /// [`Outbound::overloaded`]: crate::Outbound::overloaded
    pub requests_buffer_warning_threshold: usize,
    /// How many different rooms may exist; 0 means no limit.
    pub subscription_rooms: usize,
    /// How many conditions one filter may have. No filter that is accepted today has more than one.
    pub subscription_conditions_count: usize,
    /// The largest request document in bytes. The host compares, see [`Kernel::oversized`](crate::Kernel::oversized).
    pub max_request_size: usize,
    /// Whether SDKs of an incompatible version are refused.
    pub strict_sdk_version: bool,
    /// The result of `server:getConfig`: a JSON object without secrets.
    pub config: String,
    /// Whether the cookie `authToken` holds a token.
    pub cookie_authentication: bool,
    /// Whether frames of statistics are taken, and told by the API.
    pub stats_enabled: bool,
    /// How long a frame of statistics is kept, in seconds.
    pub stats_ttl: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            node_id: "knode-local-kuzzle-1".to_owned(),
            concurrent_requests: 100,
            requests_buffer_size: 50_000,
            requests_buffer_warning_threshold: 5_000,
            subscription_rooms: 1_000_000,
            subscription_conditions_count: 100,
            max_request_size: 1024 * 1024,
            strict_sdk_version: true,
            config: "{}".to_owned(),
            cookie_authentication: true,
            stats_enabled: true,
            stats_ttl: 3_600,
        }
    }
}
