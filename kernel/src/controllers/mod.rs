//! The API: one table of all actions, from which requests are dispatched and the API describes itself.

mod auth;
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
#[derive(Debug)]
pub struct Action {
    /// The controller that it belongs to.
    pub controller: &'static str,
    /// Its name in the controller.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// What it reads of a request.
    pub arguments: &'static [Argument],
    /// The HTTP routes: verb and path, in Kuzzle's order (lib/api/httpRoutes.js).
    pub routes: &'static [(&'static str, &'static str)],
    pub(crate) run: Run,
}

/// Something that an action reads of a request.
#[derive(Debug)]
pub struct Argument {
    /// The member of the request; `body.x` is a member of its body.
    pub name: &'static str,
    /// What it has to be.
    pub kind: &'static str,
    /// Whether it has to be there.
    pub required: bool,
}

const fn needs(name: &'static str, kind: &'static str) -> Argument {
    Argument { name, kind, required: true }
}

const fn takes(name: &'static str, kind: &'static str) -> Argument {
    Argument { name, kind, required: false }
}

const INDEX: Argument = needs("index", "string");
const COLLECTION: Argument = needs("collection", "string");
const ROOM_ID: Argument = needs("body.roomId", "string");
const SCOPE: Argument = takes("scope", "`all`, `in`, `out` or `none`");
const USERS: Argument = takes("users", "`all`, `in`, `out` or `none`");

/// All actions, by controller and name. A client that has no connection cannot subscribe.
pub static ACTIONS: &[Action] = &[
    Action {
        controller: "auth",
        name: "checkToken",
        about: "whether a token is valid",
        arguments: &[takes("body.token", "string")],
        routes: &[("POST", "/_checkToken")],
        run: auth::check_token,
    },
    Action {
        controller: "auth",
        name: "getCurrentUser",
        about: "who asks: the anonymous user",
        arguments: &[],
        routes: &[("GET", "/_me"), ("GET", "/users/_me")],
        run: auth::get_current_user,
    },
    Action {
        controller: "auth",
        name: "getMyRights",
        about: "what the one who asks may do",
        arguments: &[],
        routes: &[("GET", "/_me/_rights"), ("GET", "/users/_me/_rights")],
        run: auth::get_my_rights,
    },
    Action {
        controller: "auth",
        name: "getStrategies",
        about: "Kuzzle's list of authentication strategies",
        arguments: &[],
        routes: &[("GET", "/strategies")],
        run: auth::get_strategies,
    },
    Action {
        controller: "auth",
        name: "login",
        about: "refused: there are no users yet, so every strategy is unknown",
        arguments: &[needs("strategy", "string")],
        routes: &[("GET", "/_login/:strategy"), ("POST", "/_login/:strategy")],
        run: auth::login,
    },
    Action {
        controller: "auth",
        name: "logout",
        about: "refused: the anonymous user is not logged in",
        arguments: &[],
        routes: &[("POST", "/_logout")],
        run: auth::logout,
    },
    Action {
        controller: "realtime",
        name: "count",
        about: "how many connections are in a room",
        arguments: &[ROOM_ID],
        routes: &[],
        run: realtime::count,
    },
    Action {
        controller: "realtime",
        name: "join",
        about: "enters a room that exists",
        arguments: &[ROOM_ID, SCOPE, USERS],
        routes: &[],
        run: realtime::join,
    },
    Action {
        controller: "realtime",
        name: "list",
        about: "all rooms and how many connections are in each, by index and collection",
        arguments: &[],
        routes: &[("GET", "/_listSubscriptions")],
        run: realtime::list,
    },
    Action {
        controller: "realtime",
        name: "publish",
        about: "sends a message to everybody whose filter it satisfies",
        arguments: &[INDEX, COLLECTION, needs("body", "object"), takes("_id", "string")],
        routes: &[("POST", "/:index/:collection/_publish")],
        run: realtime::publish,
    },
    Action {
        controller: "realtime",
        name: "subscribe",
        about: "enters the room of a filter, which is made if need be",
        arguments: &[INDEX, COLLECTION, needs("body", "a filter"), SCOPE, USERS],
        routes: &[],
        run: realtime::subscribe,
    },
    Action {
        controller: "realtime",
        name: "unsubscribe",
        about: "leaves a room",
        arguments: &[ROOM_ID],
        routes: &[],
        run: realtime::unsubscribe,
    },
    Action {
        controller: "realtime",
        name: "validate",
        about: "whether a document satisfies its collection's specification: there are none, so it does",
        arguments: &[INDEX, COLLECTION, needs("body", "object")],
        routes: &[],
        run: realtime::validate,
    },
    Action {
        controller: "server",
        name: "adminExists",
        about: "whether there is an administrator: there are no users yet",
        arguments: &[],
        routes: &[("GET", "/_adminExists")],
        run: server::admin_exists,
    },
    Action {
        controller: "server",
        name: "capabilities",
        about: "what this server can do, and its limits",
        arguments: &[],
        routes: &[("GET", "/_capabilities")],
        run: server::capabilities,
    },
    Action {
        controller: "server",
        name: "getAllStats",
        about: "all frames of statistics",
        arguments: &[],
        routes: &[("GET", "/_getAllStats")],
        run: server::get_all_stats,
    },
    Action {
        controller: "server",
        name: "getConfig",
        about: "the configuration, without secrets",
        arguments: &[],
        routes: &[("GET", "/_getConfig")],
        run: server::get_config,
    },
    Action {
        controller: "server",
        name: "getLastStats",
        about: "the last frame of statistics",
        arguments: &[],
        routes: &[("GET", "/_getLastStats")],
        run: server::get_last_stats,
    },
    Action {
        controller: "server",
        name: "getStats",
        about: "the frames of statistics between two times",
        arguments: &[
            takes("startTime", "milliseconds, or a date"),
            takes("stopTime", "milliseconds, or a date"),
        ],
        routes: &[("GET", "/_getStats")],
        run: server::get_stats,
    },
    Action {
        controller: "server",
        name: "healthCheck",
        about: "whether everything that ought to serve does",
        arguments: &[takes("services", "names, with commas between them")],
        routes: &[("GET", "/_healthCheck")],
        run: server::health_check,
    },
    Action {
        controller: "server",
        name: "info",
        about: "version, uptime, API and protocols",
        arguments: &[],
        routes: &[("GET", "/"), ("GET", "/_serverInfo")],
        run: server::info,
    },
    Action {
        controller: "server",
        name: "metrics",
        about: "how much there is to do at this moment",
        arguments: &[],
        routes: &[("GET", "/_metrics")],
        run: server::metrics,
    },
    Action {
        controller: "server",
        name: "now",
        about: "the time, in milliseconds since the Unix epoch",
        arguments: &[],
        routes: &[("GET", "/_now")],
        run: server::now,
    },
    Action {
        controller: "server",
        name: "publicApi",
        about: "every action with its HTTP routes",
        arguments: &[],
        routes: &[("GET", "/_publicApi")],
        run: server::public_api,
    },
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
    for action in ACTIONS {
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
