//! The controller `server`: the time, and what this server is and can do.
//!
//! Source: Kuzzle, lib/api/controllers/serverController.js.

use crate::errors::KuzzleError;
use crate::funnel::{Call, Outcome};
use crate::outbound::Outbound;

/// `server:now`: the time in milliseconds since the Unix epoch.
pub(super) fn now(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(format!(r#"{{"now":{}}}"#, call.now_ms)))
}

/// `server:info`.
pub(super) fn info(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(call.kernel.info(call.now_ms)))
}

/// `server:publicApi`: every action with its HTTP routes.
pub(super) fn public_api(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(call.kernel.public_api.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, json, text};
    use crate::{Listener, ProtocolInfo};

    #[test]
    fn tells_the_time_like_kuzzle() {
        let response = World::new().ask(r#"{"controller":"server","action":"now","requestId":"rid"}"#);
        assert_eq!(
            text(&response),
            r#"{"action":"now","controller":"server","error":null,"headers":{},"node":"N","requestId":"rid","result":{"now":1700000000000},"status":200,"volatile":null}"#
        );
    }

    #[test]
    fn describes_every_action_with_its_routes() {
        let response = World::new().ask(r#"{"controller":"server","action":"publicApi"}"#);
        let api = &json(&response)["result"];
        assert_eq!(
            api["server"]["info"],
            json!({
                "action": "info",
                "controller": "server",
                "http": [
                    { "path": "/", "url": "/", "verb": "GET" },
                    { "path": "/_serverInfo", "url": "/_serverInfo", "verb": "GET" },
                ],
            })
        );
        assert_eq!(
            api["realtime"]["publish"]["http"],
            json!([{ "path": "/:index/:collection/_publish", "url": "/:index/:collection/_publish", "verb": "POST" }])
        );
        assert_eq!(api["realtime"]["subscribe"], json!({ "action": "subscribe", "controller": "realtime" }));
        assert_eq!(api["server"]["now"]["http"][0]["path"], "/_now");
        assert_eq!(api["server"]["publicApi"]["http"][0]["path"], "/_publicApi");
        for (controller, actions) in api.as_object().unwrap() {
            for action in actions.as_object().unwrap().keys() {
                assert!(super::super::find(controller, action).is_ok());
            }
        }
    }

    #[test]
    fn shows_the_protocols_that_serve() {
        let mut world = World::new();
        world.kernel.set_protocols(vec![
            ProtocolInfo {
                name: "http-ws".to_owned(),
                version: Some("1.0.0".to_owned()),
                listeners: vec![Listener {
                    transport: "tcp".to_owned(),
                    address: "127.0.0.1:7512".to_owned(),
                }],
            },
            ProtocolInfo { name: "\"".to_owned(), version: None, listeners: Vec::new() },
        ]);
        let info =
            json(&world.ask(r#"{"controller":"server","action":"info"}"#))["result"]["serverInfo"].take();
        let public_api = json(&world.ask(r#"{"controller":"server","action":"publicApi"}"#))["result"].take();
        assert_eq!(
            info,
            json!({
                "kuzzle": {
                    "api": { "routes": public_api },
                    "nodeVersion": "",
                    "plugins": {},
                    "protocols": [
                        {
                            "name": "http-ws",
                            "version": "1.0.0",
                            "listeners": [{ "transport": "tcp", "address": "127.0.0.1:7512" }],
                        },
                        { "name": "\"", "listeners": [] },
                    ],
                    "system": {},
                    "uptime": "0.0s",
                    "version": "2.56.0",
                },
                "services": {},
            })
        );
    }
}
