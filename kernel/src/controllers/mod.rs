//! The API: one table of all actions, from which requests are dispatched and the API describes itself.

mod realtime;
mod server;

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::errors::KuzzleError;
use crate::funnel::{Call, Outcome};
use crate::json;
use crate::outbound::Outbound;

type Run = fn(&Call<'_>, &mut dyn Outbound) -> Result<Outcome, KuzzleError>;

/// One action of the API.
pub(crate) struct Action {
    controller: &'static str,
    name: &'static str,
    /// The HTTP routes: verb and path, in Kuzzle's order (lib/api/httpRoutes.js).
    routes: &'static [(&'static str, &'static str)],
    pub(crate) run: Run,
}

const fn action(
    controller: &'static str,
    name: &'static str,
    routes: &'static [(&'static str, &'static str)],
    run: Run,
) -> Action {
    Action { controller, name, routes, run }
}

static ACTIONS: [Action; 13] = [
    action("realtime", "count", &[], realtime::count),
    action("realtime", "join", &[], realtime::join),
    action("realtime", "publish", &[("POST", "/:index/:collection/_publish")], realtime::publish),
    action("realtime", "subscribe", &[], realtime::subscribe),
    action("realtime", "unsubscribe", &[], realtime::unsubscribe),
    action("server", "getAllStats", &[("GET", "/_getAllStats")], server::get_all_stats),
    action("server", "getLastStats", &[("GET", "/_getLastStats")], server::get_last_stats),
    action("server", "getStats", &[("GET", "/_getStats")], server::get_stats),
    action("server", "healthCheck", &[("GET", "/_healthCheck")], server::health_check),
    action("server", "info", &[("GET", "/"), ("GET", "/_serverInfo")], server::info),
    action("server", "metrics", &[("GET", "/_metrics")], server::metrics),
    action("server", "now", &[("GET", "/_now")], server::now),
    action("server", "publicApi", &[("GET", "/_publicApi")], server::public_api),
];

/// The action of these names.
///
/// # Errors
/// `api.process.controller_not_found`, `api.process.action_not_found`.
pub(crate) fn find(controller: &str, name: &str) -> Result<&'static Action, KuzzleError> {
    let mut actions = ACTIONS.iter().filter(|action| action.controller == controller).peekable();
    if actions.peek().is_none() {
        return Err(KuzzleError::new("api.process.controller_not_found", &[controller]));
    }
    actions
        .find(|action| action.name == name)
        .ok_or_else(|| KuzzleError::new("api.process.action_not_found", &[controller, name]))
}

/// The result of `server:publicApi` (Kuzzle: lib/api/controllers/serverController.js, `_buildApiDefinition`).
pub(crate) fn public_api() -> String {
    let mut controllers = Map::new();
    for action in &ACTIONS {
        let mut description = json!({ "action": action.name, "controller": action.controller });
        if !action.routes.is_empty() {
            let route = |(verb, path): &(&str, &str)| json!({ "path": path, "url": path, "verb": verb });
            description["http"] = action.routes.iter().map(route).collect();
        }
        let controller = controllers.entry(action.controller).or_insert_with(|| Value::Object(Map::new()));
        controller[action.name] = description;
    }
    Value::Object(controllers).to_string()
}

/// A string that has to be there.
///
/// # Errors
/// `api.assert.missing_argument`, `api.assert.invalid_type`.
fn required_string<'a>(value: Option<&'a RawValue>, name: &str) -> Result<Cow<'a, str>, KuzzleError> {
    let value = value.ok_or_else(|| KuzzleError::new("api.assert.missing_argument", &[name]))?;
    let text = json::string(value).ok().flatten();
    text.ok_or_else(|| KuzzleError::new("api.assert.invalid_type", &[name, "string"]))
}

/// The body, which has to be there.
///
/// # Errors
/// `api.assert.body_required`.
fn required_body<'a>(call: &Call<'a>) -> Result<&'a RawValue, KuzzleError> {
    call.request.body().ok_or_else(|| KuzzleError::new("api.assert.body_required", &[]))
}
