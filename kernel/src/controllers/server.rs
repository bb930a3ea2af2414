//! The controller `server`: the time, what this server is and can do, and how it is.
//!
//! Source: Kuzzle, lib/api/controllers/serverController.js, lib/core/statistics/statistics.ts.

use std::sync::atomic::Ordering;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::date;
use crate::errors::KuzzleError;
use crate::funnel::{Call, Outcome};
use crate::json::{self, Kind};
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

/// `server:adminExists`: there are no users yet.
pub(super) fn admin_exists(_call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(r#"{"exists":false}"#))
}

/// `server:capabilities`. There are neither plugins nor services.
pub(super) fn capabilities(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let settings = &call.kernel.settings;
    let limits = json!({
        "concurrentRequests": settings.concurrent_requests,
        "requestsBufferSize": settings.requests_buffer_size,
        "requestsBufferWarningThreshold": settings.requests_buffer_warning_threshold,
        "subscriptionConditionsCount": settings.subscription_conditions_count,
        "subscriptionRooms": settings.subscription_rooms,
    });
    let (routes, version) = (&call.kernel.public_api, crate::KUZZLE_VERSION);
    Ok(Outcome::new(format!(
        r#"{{"limits":{limits},"plugins":{{}},"routes":{routes},"services":{{}},"version":"{version}"}}"#
    )))
}

/// `server:getConfig`: what the host has shown to be shown.
pub(super) fn get_config(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(call.kernel.settings.config.clone()))
}

/// `server:getStats`: the frames between `startTime` and `stopTime`, which are milliseconds or dates.
pub(super) fn get_stats(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    require_statistics(call)?;
    let arguments = call.request.arguments();
    let start_ms = time(arguments.start_time, "startTime")?;
    let stop_ms = time(arguments.stop_time, "stopTime")?;
    Ok(Outcome::new(call.kernel.statistics.between(start_ms, stop_ms, call.now_ms).to_string()))
}

/// `server:getAllStats`: all frames.
pub(super) fn get_all_stats(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    require_statistics(call)?;
    Ok(Outcome::new(call.kernel.statistics.between(None, None, call.now_ms).to_string()))
}

/// `server:getLastStats`: the last frame, with the time at which it was taken (in Kuzzle: the time of the request).
pub(super) fn get_last_stats(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    require_statistics(call)?;
    Ok(Outcome::new(call.kernel.statistics.last(call.now_ms).to_string()))
}

/// `server:metrics`: how much there is to do at this moment. There is no queue: pending are the requests that run
/// beyond the number of those that should run at once. The member `protocols` is an addition of ours.
pub(super) fn metrics(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let kernel = call.kernel;
    let running = kernel.running.load(Ordering::SeqCst);
    let concurrent = running.min(kernel.settings.concurrent_requests);
    let mut metrics = json!({
        "api": { "concurrentRequests": concurrent, "pendingRequests": running - concurrent },
        "network": { "connections": kernel.statistics.connections() },
        "realtime": { "rooms": kernel.rooms(), "subscriptions": kernel.subscriptions() },
    });
    if let Some(watch) = kernel.watch.get() {
        metrics["protocols"] = Value::Object(watch.metrics());
    }
    Ok(Outcome::new(metrics.to_string()))
}

/// `server:healthCheck`: red, with an error, if a protocol that ought to serve does not. Kuzzle's three services do
/// not exist here and so are always well; `services`, names with commas between them, says which are told.
pub(super) fn health_check(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let services = call.request.arguments().services.and_then(|value| json::string(value).ok().flatten());
    let is_wanted = |service: &&str| {
        services.as_ref().is_none_or(|services| services.split(',').any(|wanted| wanted == *service))
    };
    let services: Map<String, Value> = ["internalCache", "memoryStorage", "storageEngine"]
        .into_iter()
        .filter(is_wanted)
        .map(|service| (service.to_owned(), GREEN.into()))
        .collect();
    let protocols = call.kernel.watch.get().map(|watch| watch.health()).unwrap_or_default();
    let ill: Vec<&str> = protocols.iter().filter(|(_, serves)| !serves).map(|(name, _)| &**name).collect();
    let error = (!ill.is_empty()).then(|| {
        let what = format!("protocol {} does not serve", ill.join(", "));
        Box::new(KuzzleError::new("core.fatal.service_unavailable", &[&what]))
    });
    let colour = |well: bool| if well { GREEN } else { "red" };
    let protocols: Map<String, Value> =
        protocols.iter().map(|(name, serves)| (name.clone(), colour(*serves).into())).collect();
    let result = json!({ "services": services, "protocols": protocols, "status": colour(error.is_none()) });
    Ok(Outcome { error, ..Outcome::new(result.to_string()) })
}

const GREEN: &str = "green";

/// # Errors
/// `services.statistics.not_available`.
fn require_statistics(call: &Call<'_>) -> Result<(), KuzzleError> {
    if call.kernel.settings.stats_enabled {
        Ok(())
    } else {
        Err(KuzzleError::new("services.statistics.not_available", &[]))
    }
}

/// A time in milliseconds: a number, a string that holds one, or a date. What JavaScript takes for false is none.
///
/// # Errors
/// `api.assert.invalid_argument`.
fn time(value: Option<&RawValue>, name: &str) -> Result<Option<f64>, KuzzleError> {
    let Some(value) = value.filter(|value| !json::is_falsy(value)) else { return Ok(None) };
    let time = match json::kind(value) {
        Kind::Number => value.get().parse().ok(),
        Kind::String => json::string(value).ok().flatten().and_then(|text| {
            text.trim().parse().ok().filter(|time: &f64| time.is_finite()).or_else(|| date::parse(&text))
        }),
        _ => None,
    };
    time.map(Some).ok_or_else(|| KuzzleError::new("api.assert.invalid_argument", &[name, "number"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::sync::atomic::Ordering;

    use serde_json::{Map, Value};

    use crate::testing::{NOW_MS, World, error_id, json, settings, text};
    use crate::{Listener, ProtocolInfo, ProtocolWatch, Settings};

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

    fn server(world: &mut World, action: &str, rest: &str) -> Value {
        let response = world.ask(&format!(r#"{{"controller":"server","action":"{action}"{rest}}}"#));
        json(&response)
    }

    #[test]
    fn tells_statistics_like_kuzzle() {
        let mut world = World::new();
        server(&mut world, "now", "");
        server(&mut world, "unknown", "");
        let current = server(&mut world, "getLastStats", "")["result"].take();
        let expected = json!({
            "completedRequests": { "websocket": 1 },
            "connections": {},
            "failedRequests": { "websocket": 1 },
            "ongoingRequests": { "websocket": 1 },
            "timestamp": NOW_MS,
        });
        assert_eq!(current, expected);
        world.kernel.statistics().store_frame(NOW_MS - 10);
        let all = server(&mut world, "getAllStats", "")["result"].take();
        assert_eq!((&all["total"], &all["hits"][0]["timestamp"]), (&json!(1), &json!(NOW_MS - 10)));
        for (rest, total) in [
            (String::new(), 1),
            (format!(r#","startTime":{}"#, NOW_MS - 10), 1),
            (format!(r#","startTime":{}"#, NOW_MS - 9), 0),
            (format!(r#","stopTime":"{}""#, NOW_MS - 11), 0),
            (r#","startTime":"2023-11-14T22:13:19Z","stopTime":"2023-11-15""#.to_owned(), 1),
            (r#","startTime":0,"stopTime":"""#.to_owned(), 1),
        ] {
            assert_eq!(server(&mut world, "getStats", &rest)["result"]["total"], total, "{rest}");
        }
    }

    #[test]
    fn refuses_times_that_are_none() {
        for (rest, name) in [
            (r#","startTime":"yesterday""#, "startTime"),
            (r#","stopTime":{}"#, "stopTime"),
            (r#","stopTime":"infinity""#, "stopTime"),
            (r#","startTime":true"#, "startTime"),
        ] {
            let answer = server(&mut World::new(), "getStats", rest);
            assert_eq!(answer["error"]["id"], "api.assert.invalid_argument", "{rest}");
            assert_eq!(answer["error"]["props"], json!([name, "number"]));
        }
    }

    #[test]
    fn statistics_can_be_switched_off() {
        for action in ["getStats", "getAllStats", "getLastStats"] {
            let mut world = World::with(Settings { stats_enabled: false, ..settings() });
            let response = world.ask(&format!(r#"{{"controller":"server","action":"{action}"}}"#));
            assert_eq!((&*error_id(&response), response.status), ("services.statistics.not_available", 500));
        }
    }

    #[test]
    fn tells_what_it_can_do() {
        let mut world = World::with(Settings { subscription_rooms: 7, ..settings() });
        let capabilities = server(&mut world, "capabilities", "")["result"].take();
        assert_eq!(capabilities["limits"]["subscriptionRooms"], 7);
        assert_eq!(capabilities["limits"]["concurrentRequests"], 100);
        assert_eq!(capabilities["routes"], server(&mut world, "publicApi", "")["result"]);
        assert_eq!(
            (&capabilities["version"], &capabilities["plugins"], &capabilities["services"]),
            (&json!("2.56.0"), &json!({}), &json!({}))
        );
        assert_eq!(server(&mut world, "adminExists", "")["result"], json!({ "exists": false }));
    }

    #[test]
    fn shows_the_configuration_that_it_was_given() {
        let config = r#"{"server":{"port":7512}}"#;
        let mut world = World::with(Settings { config: config.to_owned(), ..settings() });
        assert_eq!(server(&mut world, "getConfig", "")["result"], json!({ "server": { "port": 7512 } }));
    }

    struct Watch;

    impl ProtocolWatch for Watch {
        fn metrics(&self) -> Map<String, Value> {
            Map::from_iter([("udp".to_owned(), json!({ "panics": 1 }))])
        }
        fn health(&self) -> Vec<(String, bool)> {
            vec![("line".to_owned(), true), ("udp".to_owned(), false)]
        }
    }

    #[test]
    fn tells_metrics_like_kuzzle() {
        let mut world = World::with_connections(2);
        world.subscribe(1, "");
        world.kernel.statistics().connected("WebSocket");
        let mut expected = json!({
            "api": { "concurrentRequests": 1, "pendingRequests": 0 },
            "network": { "connections": { "websocket": 1 } },
            "realtime": { "rooms": 1, "subscriptions": 1 },
        });
        assert_eq!(server(&mut world, "metrics", "")["result"], expected);
        world.kernel.running.store(104, Ordering::SeqCst);
        let api = server(&mut world, "metrics", "")["result"]["api"].take();
        assert_eq!(api, json!({ "concurrentRequests": 100, "pendingRequests": 5 }));
        world.kernel.running.store(0, Ordering::SeqCst);
        world.kernel.set_protocol_watch(Box::new(Watch));
        expected["protocols"] = json!({ "udp": { "panics": 1 } });
        assert_eq!(server(&mut world, "metrics", "")["result"], expected);
    }

    #[test]
    fn is_well_as_long_as_all_protocols_serve() {
        let mut world = World::new();
        let answer = server(&mut world, "healthCheck", "");
        let services =
            json!({ "internalCache": "green", "memoryStorage": "green", "storageEngine": "green" });
        assert_eq!(answer["result"], json!({ "services": services, "protocols": {}, "status": "green" }));
        assert_eq!(answer["status"], 200);
        let answer = server(&mut world, "healthCheck", r#","services":"storageEngine,unknown""#);
        assert_eq!(answer["result"]["services"], json!({ "storageEngine": "green" }));

        world.kernel.set_protocol_watch(Box::new(Watch));
        let answer = server(&mut world, "healthCheck", "");
        assert_eq!(answer["result"]["protocols"], json!({ "line": "green", "udp": "red" }));
        assert_eq!((&answer["result"]["status"], &answer["status"]), (&json!("red"), &json!(500)));
        assert_eq!(answer["error"]["id"], "core.fatal.service_unavailable");
        assert_eq!(answer["error"]["message"], "Service unavailable: protocol udp does not serve.");
    }
}
