//! What `server:metrics` and `server:healthCheck` tell of the protocols.

use kuzzle_kernel::ProtocolWatch;
use serde_json::{Map, Value, json};

use super::{Host, State};

impl ProtocolWatch for &'static Host {
    fn metrics(&self) -> Map<String, Value> {
        let told = |protocol: &&'static super::Protocol| {
            let counters = &protocol.counters;
            let requests: Map<String, Value> = counters
                .requests()
                .map(|(status, count)| {
                    (if status == 0 { "other".to_owned() } else { status.to_string() }, count.into())
                })
                .collect();
            let state = protocol.state();
            let mut metrics = json!({
                "connections": counters.connections.get(),
                "requests": requests,
                "notifications": counters.notifications.get(),
                "dropped": counters.dropped.get(),
                "panics": counters.panics.get(),
                "slowCalls": counters.slow_calls.get(),
                "suspended": state == State::Suspended,
                "state": state.name(),
            });
            // Read a moment ago: nobody is asked while a request is executed.
            let reported = protocol.reported.values();
            if !reported.is_empty() {
                metrics["reported"] = Value::Object(reported);
            }
            (protocol.name.clone(), metrics)
        };
        self.protocols().iter().map(told).collect()
    }

    fn health(&self) -> Vec<(String, bool)> {
        let left_out = self.left_out();
        let serving = self.protocols().iter().map(|protocol| (protocol.name.clone(), protocol.serves()));
        let missing = left_out.iter().map(|name| (name.clone(), false));
        serving.filter(|(name, _)| !left_out.contains(name)).chain(missing).collect()
    }
}
