//! What only the host knows of its protocols, for `server:metrics` and `server:healthCheck`.

use serde_json::{Map, Value};

/// Tells how the host's protocols are. It is asked while a request is executed, so it must not wait.
pub trait ProtocolWatch: Send + Sync {
    /// The member `protocols` of `server:metrics`: by name, whatever the host counts.
    fn metrics(&self) -> Map<String, Value>;
    /// Every protocol that ought to serve, by name, and whether it does.
    fn health(&self) -> Vec<(String, bool)>;
}
