//! The way of a request through the kernel: every check before the action, in Kuzzle's order.
//!
//! Source: Kuzzle, lib/api/funnel.js.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::controllers;
use crate::errors::KuzzleError;
use crate::json::{self, Kind};
use crate::kernel::Kernel;
use crate::outbound::{Channel, ConnectionId, Outbound};
use crate::request::{Arguments, Request};
use crate::response::{Envelope, PendingJoin, Response};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The connection. `None` for protocols without connections: their clients cannot subscribe.
    pub connection: Option<ConnectionId>,
    /// The id of the connection that people see, in texts of errors.
    pub uuid: Option<Uuid>,
    /// The name of the protocol that notifications and statistics show, such as `websocket`. With an empty one the
    /// request is not counted.
    pub protocol: &'a str,
    /// The headers of the request: names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Those that the connection began with; they count where the request has none of that name.
    pub connection_headers: &'a [(Box<str>, Box<str>)],
}

impl Caller<'_> {
    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        let is_it = |given: &str| given.eq_ignore_ascii_case(name);
        let own = self.headers.iter().find(|(given, _)| is_it(given)).map(|(_, value)| *value);
        own.or_else(|| {
            self.connection_headers.iter().find(|(given, _)| is_it(given)).map(|(_, value)| &**value)
        })
    }
}

/// A request while it runs.
pub(crate) struct Call<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) request: &'a Request<'a>,
    pub(crate) caller: &'a Caller<'a>,
    pub(crate) request_id: &'a str,
    pub(crate) now_ms: u64,
}

impl Call<'_> {
    /// When the request was made, for notifications: what the client says (any number but 0), or now.
    pub(crate) fn timestamp(&self) -> Cow<'_, str> {
        match self.request.arguments().timestamp {
            Some(value) if json::kind(value) == Kind::Number && !json::is_falsy(value) => {
                Cow::Borrowed(value.get())
            }
            _ => Cow::Owned(self.now_ms.to_string()),
        }
    }
}

/// What an action gives back.
pub(crate) struct Outcome {
    /// A JSON value.
    pub(crate) result: Cow<'static, str>,
    /// The channel that the connection is to enter before it gets the result.
    pub(crate) join: Option<Channel>,
    /// Why the answer is a failure, result or not.
    pub(crate) error: Option<Box<KuzzleError>>,
}

impl Outcome {
    pub(crate) fn new(result: impl Into<Cow<'static, str>>) -> Outcome {
        Outcome { result: result.into(), join: None, error: None }
    }
}

impl Kernel {
    /// Executes a request on this thread, without waiting for anything but short locks. What has to happen outside
    /// is appended to `outbound`, before the answer is returned.
    pub fn execute(
        &self,
        request: &Request<'_>,
        caller: &Caller<'_>,
        outbound: &mut dyn Outbound,
    ) -> Response {
        let request_id = self.request_id(request.request_id());
        let call = Call {
            kernel: self,
            request,
            caller,
            request_id: &request_id,
            now_ms: self.environment.now_ms(),
        };
        let envelope = Envelope { request: Some(request), request_id: &request_id, node_id: self.node_id() };
        let ongoing = self.statistics.start(caller.protocol);
        let outcome = self.process(&call, outbound);
        ongoing.end(matches!(&outcome, Ok(Outcome { error: None, .. })));
        match outcome {
            Ok(Outcome { result, error: Some(error), .. }) => envelope.failure_with_result(&error, &result),
            Ok(outcome) => {
                let mut response = envelope.success(&outcome.result);
                response.pending_join = outcome.join.map(|channel| {
                    let error = KuzzleError::new("protocol.runtime.join_refused", &[&channel]);
                    PendingJoin { channel, refused: Box::new(envelope.failure(&error)) }
                });
                response
            }
            Err(error) => envelope.failure(&error),
        }
    }

    /// The client's id of the request, or a new one.
    pub(crate) fn request_id<'a>(&self, given: Option<&'a str>) -> Cow<'a, str> {
        match given {
            Some(id) if !id.is_empty() => Cow::Borrowed(id),
            _ => Cow::Owned(self.environment.uuid().to_string()),
        }
    }

    fn process(&self, call: &Call<'_>, outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
        let request = call.request;
        let controller = required(request.controller(), "controller")?;
        let action = required(request.action(), "action")?;
        check_targets(request.arguments())?;
        if let Some(allows) = self.origins.get()
            && let Some(origin) = call.caller.header("origin")
            && !allows(origin)
        {
            return Err(KuzzleError::new("api.process.unauthorized_origin", &[origin]));
        }

        let slot = Slot::take(&self.running);
        if self.shutting_down.load(Ordering::SeqCst) {
            // As in Kuzzle, where HTTP does not go through the entry point.
            let is_http = call.caller.protocol == "http";
            let id = if is_http { "api.process.shutting_down" } else { "network.entrypoint.shutting_down" };
            return Err(KuzzleError::new(id, &[]));
        }
        let running = slot.taken_before + 1;
        if running > self.settings.concurrent_requests
            && let Some(percent) = self.overload.look(running, &self.settings, call.now_ms)
        {
            outbound.overloaded(percent);
        }
        let limit = self.settings.concurrent_requests.saturating_add(self.settings.requests_buffer_size);
        if slot.taken_before >= limit {
            return Err(KuzzleError::new("api.process.overloaded", &[]));
        }
        if call.caller.connection.is_some_and(|connection| !self.realtime.knows(connection)) {
            return Err(KuzzleError::new("api.process.connection_dropped", &[]));
        }
        self.check_token(call, controller, action)?;
        let action = controllers::find(controller, action)?;
        if self.settings.strict_sdk_version {
            check_sdk_version(request.volatile())?;
        }
        (action.run)(call, outbound)
    }
}

impl Kernel {
    /// There are no users yet, so nobody has handed out a token: one that is given, in the request or in a cookie, is
    /// invalid.
    fn check_token(&self, call: &Call<'_>, controller: &str, action: &str) -> Result<(), KuzzleError> {
        let request = call.request;
        let wants_cookie = request.arguments().cookie_auth.is_some_and(|value| !json::is_falsy(value));
        if wants_cookie && !self.settings.cookie_authentication {
            return Err(KuzzleError::new("security.cookie.unsupported", &[]));
        }
        let is_exempt =
            wants_cookie && controller == "auth" && matches!(action, "login" | "logout" | "checkToken");
        let cookie = if self.settings.cookie_authentication && !is_exempt {
            call.caller.header("cookie").and_then(auth_token)
        } else {
            None
        };
        let has_token = request.jwt().is_some_and(|token| !token.is_empty());
        match (cookie, has_token) {
            (None, false) => Ok(()),
            (Some(_), true) => {
                let reason = "Both token and cookie are present, could not decide which one to use";
                Err(KuzzleError::new("security.token.verification_error", &[reason]))
            }
            _ => Err(KuzzleError::new("security.token.invalid", &[])),
        }
    }
}

/// The token in a header `Cookie`.
fn auth_token(cookies: &str) -> Option<&str> {
    let token = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("authToken="))?;
    Some(token.trim_matches('"')).filter(|token| !token.is_empty() && *token != "null")
}

fn required<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, KuzzleError> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| KuzzleError::new("api.assert.missing_argument", &[name]))
}

/// A request names several collections in `targets`, or one in `index` and `collection`, not both.
fn check_targets(arguments: &Arguments<'_>) -> Result<(), KuzzleError> {
    let Some(targets) = arguments.targets else { return Ok(()) };
    if json::kind(targets) != Kind::Array {
        return Err(KuzzleError::new("api.assert.invalid_type", &["targets", "array"]));
    }
    let is_empty = targets.get().bytes().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(b']');
    let is_given = |value: Option<&RawValue>| value.is_some_and(|value| !json::is_falsy(value));
    if !is_empty && (is_given(arguments.index) || is_given(arguments.collection)) {
        return Err(KuzzleError::new("api.assert.mutually_exclusive", &["index, collection", "targets"]));
    }
    Ok(())
}

/// The lowest accepted major version of each SDK (Kuzzle: lib/config/sdkCompatibility.json).
const SDK_MAJORS: [(&str, u32); 7] =
    [("js", 7), ("csharp", 2), ("cpp", 2), ("java", 3), ("android", 5), ("go", 3), ("php", 4)];

/// Refuses SDKs that are too old. `volatile.sdkVersion` comes from SDKs for Kuzzle 1 only; later ones send
/// `volatile.sdkName`, `<name>@<version>`. Unknown SDKs pass.
fn check_sdk_version(volatile: Option<&RawValue>) -> Result<(), KuzzleError> {
    let Some(volatile) = volatile else { return Ok(()) };
    // A name of a member can only be spelt otherwise with such an escape.
    if !volatile.get().contains("sdk") && !volatile.get().contains("\\u") {
        return Ok(());
    }
    let (mut sdk_version, mut sdk_name) = (None, None);
    json::for_each_member(volatile, |name, value| {
        if json::is_name(name, "sdkVersion") {
            sdk_version = Some(value);
        } else if json::is_name(name, "sdkName") {
            sdk_name = Some(value);
        }
    });

    let incompatible = |version: &str, hint: &str| {
        Err(KuzzleError::new("api.process.incompatible_sdk_version", &[version, hint]))
    };
    if let Some(value) = sdk_version.filter(|value| !json::is_falsy(value)) {
        let version = json::string(value).ok().flatten().unwrap_or(Cow::Borrowed(value.get()));
        return incompatible(&version, "Kuzzle v2");
    }
    let Some(sdk) = sdk_name.and_then(|value| json::string(value).ok().flatten()) else { return Ok(()) };
    let Some((name, version)) = sdk.split_once('@') else { return Ok(()) };
    let known = SDK_MAJORS.iter().find(|(known, _)| *known == name);
    match known {
        Some(&(_, lowest)) if !version.is_empty() && leading_number(version) < Some(lowest) => {
            incompatible(version, &format!("min: {lowest}, max: none"))
        }
        _ => Ok(()),
    }
}

/// The number that the text begins with.
fn leading_number(text: &str) -> Option<u32> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..end].parse().ok()
}

/// Counts a request as running while it exists.
struct Slot<'a> {
    running: &'a AtomicUsize,
    taken_before: usize,
}

impl Slot<'_> {
    fn take(running: &AtomicUsize) -> Slot<'_> {
        Slot { taken_before: running.fetch_add(1, Ordering::SeqCst), running }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Event, FIRST_UUID, World, error_id, json, settings, text};

    const NOW: &str = r#"{"controller":"server","action":"now","requestId":"rid"}"#;

    fn failure(document: &str) -> (String, String) {
        let response = World::new().ask(document);
        (error_id(&response), json(&response)["error"]["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn answers_an_unknown_controller_like_kuzzle() {
        let response = World::new().ask(r#"{"controller":"foo","action":"bar","requestId":"rid"}"#);
        assert_eq!(
            text(&response),
            r#"{"action":"bar","controller":"foo","error":{"code":33685508,"id":"api.process.controller_not_found","message":"API controller \"foo\" not found.","props":["foo"],"status":404},"headers":{},"node":"N","requestId":"rid","result":null,"status":404,"volatile":null}"#
        );
    }

    #[test]
    fn echoes_the_request() {
        let response = World::new().ask(
            r#"{"controller":"server","action":"now","requestId":"rid","index":"i","collection":["c"],
                "volatile":{ "a":1.50,"b":"\u00e9" }}"#,
        );
        assert_eq!(
            text(&response),
            r#"{"action":"now","collection":["c"],"controller":"server","error":null,"headers":{},"index":"i","node":"N","requestId":"rid","result":{"now":1700000000000},"status":200,"volatile":{ "a":1.50,"b":"\u00e9" }}"#
        );
        assert_eq!(response.pending_join, None);
    }

    #[test]
    fn escapes_what_it_echoes() {
        let response =
            World::new().ask(r#"{"controller":"a\"\n\u0000","action":"\\","requestId":"\"\ud83d\ude00"}"#);
        assert_eq!(json(&response)["controller"], "a\"\n\0");
        assert_eq!(json(&response)["action"], "\\");
        assert_eq!(json(&response)["requestId"], "\"\u{1F600}");
    }

    #[test]
    fn answers_stay_on_one_line() {
        let response = World::new().ask(
            "{\"controller\":\"server\",\r\n\"action\":\"now\",\n\"volatile\":{\n\"a\":\r1},\"index\":[\n1]}",
        );
        assert!(!text(&response).contains(['\n', '\r']));
        assert_eq!(json(&response)["volatile"]["a"], 1);
    }

    #[test]
    fn makes_an_id_where_the_client_gave_none() {
        for id in ["\"\"", "null", "false", "0"] {
            let response =
                World::new().ask(&format!(r#"{{"controller":"server","action":"now","requestId":{id}}}"#));
            assert_eq!(response.request_id, FIRST_UUID);
        }
    }

    #[test]
    fn asks_for_the_controller_first_and_the_action_second() {
        let missing =
            |name: &str| ("api.assert.missing_argument".into(), format!("Missing argument \"{name}\"."));
        assert_eq!(failure("{}"), missing("controller"));
        assert_eq!(failure(r#"{"controller":"","targets":1}"#), missing("controller"));
        assert_eq!(failure(r#"{"controller":"foo"}"#), missing("action"));
        assert_eq!(failure(r#"{"controller":"foo","action":"","jwt":"x"}"#), missing("action"));
    }

    #[test]
    fn refuses_targets_beside_an_index_or_a_collection() {
        let both = (
            "api.assert.mutually_exclusive".to_owned(),
            r#"Arguments "index, collection" and "targets" are mutually exclusive"#.to_owned(),
        );
        for rest in [r#""index":"i","targets":[ 1]"#, r#""collection":"c","targets":[{}]"#] {
            assert_eq!(failure(&format!(r#"{{"controller":"foo","action":"bar",{rest}}}"#)), both);
        }
        for rest in [r#""index":"i","targets":[ ]"#, r#""targets":[1]"#, r#""index":"","targets":[1]"#] {
            let document = format!(r#"{{"controller":"server","action":"now",{rest}}}"#);
            assert_eq!(World::new().ask(&document).status, 200, "{rest}");
        }
        let wrong = failure(r#"{"controller":"foo","action":"bar","targets":{}}"#);
        assert_eq!(wrong.0, "api.assert.invalid_type");
    }

    #[test]
    fn refuses_everything_while_shutting_down() {
        let mut world = World::new();
        world.kernel.begin_shutdown();
        let response = world.ask(NOW);
        assert_eq!(error_id(&response), "network.entrypoint.shutting_down");
        assert_eq!((response.status, &*response.request_id), (503, "rid"));
        let caller =
            Caller { connection: None, uuid: None, protocol: "http", headers: &[], connection_headers: &[] };
        let request = Request::parse(NOW.as_bytes()).unwrap();
        let response = world.kernel.execute(&request, &caller, &mut crate::Discard);
        assert_eq!(error_id(&response), "api.process.shutting_down");
        assert_eq!(world.kernel.running_requests(), 0);
    }

    #[test]
    fn refuses_requests_above_the_limit() {
        let mut world =
            World::with(crate::Settings { concurrent_requests: 1, requests_buffer_size: 1, ..settings() });
        world.kernel.running.store(1, Ordering::SeqCst);
        assert_eq!(world.ask(NOW).status, 200);
        world.kernel.running.store(2, Ordering::SeqCst);
        let response = world.ask(NOW);
        assert_eq!((error_id(&response), response.status), ("api.process.overloaded".to_owned(), 503));
        assert_eq!(world.kernel.running_requests(), 2, "a refused request does not count");
    }

    fn ask_with(kernel: &Kernel, headers: &[(&str, &str)], rest: &str) -> Value {
        let document = format!(r#"{{"controller":"server","action":"now"{rest}}}"#);
        let request = Request::parse(document.as_bytes()).unwrap();
        let of_connection = [("Cookie".into(), "authToken=of-the-connection".into())];
        let connection_headers: &[_] = if rest.is_empty() { &of_connection } else { &[] };
        let caller = Caller { connection: None, uuid: None, protocol: "p", headers, connection_headers };
        json(&kernel.execute(&request, &caller, &mut crate::Discard))["error"]["id"].take()
    }

    #[test]
    fn cookies_hold_tokens_too() {
        let kernel = World::new().kernel;
        for (cookie, rest, id) in [
            ("a=b", r#","x":1"#, None),
            ("authToken=null; a=b", r#","x":1"#, None),
            ("a=b; authToken=kauth-x", r#","x":1"#, Some("security.token.invalid")),
            ("authToken=kauth-x", r#","jwt":"y""#, Some("security.token.verification_error")),
            ("other=of the request", "", None),
        ] {
            let id = id.map_or(Value::Null, Value::from);
            assert_eq!(ask_with(&kernel, &[("cookie", cookie)], rest), id, "{cookie}");
        }
        assert_eq!(ask_with(&kernel, &[], ""), "security.token.invalid", "the connection's counts");
        let check = r#","controller":"auth","action":"checkToken","cookieAuth":true"#;
        assert_eq!(ask_with(&kernel, &[("cookie", "authToken=x")], check), Value::Null);
        let without = World::with(crate::Settings { cookie_authentication: false, ..settings() }).kernel;
        assert_eq!(ask_with(&without, &[("cookie", "authToken=x")], r#","x":1"#), Value::Null);
        assert_eq!(ask_with(&without, &[], r#","cookieAuth":true"#), "security.cookie.unsupported");
    }

    #[test]
    fn origins_can_be_restricted() {
        let kernel = World::new().kernel;
        let ask = |headers: &[(&str, &str)]| ask_with(&kernel, headers, r#","x":1"#);
        assert_eq!(ask(&[("Origin", "https://evil.example")]), Value::Null, "by default all are allowed");
        kernel.restrict_origins(Box::new(|origin| origin == "https://good.example"));
        assert_eq!(ask(&[("Origin", "https://evil.example")]), "api.process.unauthorized_origin");
        assert_eq!(ask(&[("origin", "https://good.example")]), Value::Null);
        assert_eq!(ask(&[]), Value::Null, "who says nothing is no browser");
    }

    #[test]
    fn tells_of_an_overload() {
        let limits = crate::Settings {
            concurrent_requests: 1,
            requests_buffer_size: 4,
            requests_buffer_warning_threshold: 1,
            ..settings()
        };
        let mut world = World::with(limits);
        world.kernel.running.store(1, Ordering::SeqCst);
        assert_eq!(world.ask(NOW).status, 200);
        assert_eq!(world.outbound.take(), []);
        world.kernel.running.store(2, Ordering::SeqCst);
        assert_eq!(world.ask(NOW).status, 200);
        assert_eq!(world.outbound.take(), [Event::Overloaded("50".into())]);
    }

    #[test]
    fn drops_requests_of_connections_that_are_gone() {
        let mut world = World::new();
        assert_eq!(error_id(&world.ask_as(Some(1), NOW)), "api.process.connection_dropped");
        world.kernel.add_connection(ConnectionId(1));
        assert_eq!(world.ask_as(Some(1), NOW).status, 200);
        world.kernel.remove_connection(ConnectionId(1), &mut world.outbound);
        assert_eq!(error_id(&world.ask_as(Some(1), NOW)), "api.process.connection_dropped");
    }

    #[test]
    fn refuses_tokens_before_it_looks_for_the_action() {
        let response = World::new().ask(r#"{"controller":"foo","action":"bar","jwt":"token"}"#);
        assert_eq!((error_id(&response), response.status), ("security.token.invalid".to_owned(), 401));
        let response = World::new().ask(r#"{"controller":"server","action":"now","jwt":""}"#);
        assert_eq!(response.status, 200);
    }

    #[test]
    fn names_the_action_that_it_does_not_find() {
        assert_eq!(
            failure(r#"{"controller":"server","action":"bar","volatile":{"sdkVersion":"1"}}"#),
            ("api.process.action_not_found".to_owned(), "API action \"server\":\"bar\" not found".to_owned())
        );
    }

    #[test]
    fn refuses_old_sdks() {
        let ask = |settings, volatile: &str| {
            let document = format!(r#"{{"controller":"server","action":"now","volatile":{volatile}}}"#);
            let response = World::with(settings).ask(&document);
            json(&response)["error"]["props"].take()
        };
        for (volatile, version, hint) in [
            (r#"{"sdkVersion":"6.1"}"#, "6.1", "Kuzzle v2"),
            (r#"{"sdkVersion":6}"#, "6", "Kuzzle v2"),
            (r#"{"sdkName":"js@6.2.1"}"#, "6.2.1", "min: 7, max: none"),
            (r#"{"sdk\u004eame":"js@6"}"#, "6", "min: 7, max: none"),
            (r#"{"sdkName":"js@x"}"#, "x", "min: 7, max: none"),
            (r#"{"sdkName":"php@3"}"#, "3", "min: 4, max: none"),
        ] {
            assert_eq!(ask(settings(), volatile), serde_json::json!([version, hint]), "{volatile}");
            let lenient = crate::Settings { strict_sdk_version: false, ..settings() };
            assert!(ask(lenient, volatile).is_null(), "{volatile}");
        }
        for volatile in [
            r#"{"sdkName":"js@7.17.1-beta.1","sdkInstanceId":"x"}"#,
            r#"{"sdkName":"js@10"}"#,
            r#"{"sdkName":"js"}"#,
            r#"{"sdkName":"js@"}"#,
            r#"{"sdkName":"@1"}"#,
            r#"{"sdkName":"rust@1"}"#,
            r#"{"sdkName":1}"#,
            r#"{"sdkVersion":null}"#,
            r#"{"sdkVersion":""}"#,
            r#"{"a":{"sdkVersion":"1"}}"#,
        ] {
            assert!(ask(settings(), volatile).is_null(), "{volatile}");
        }
        // No test can read the answer to these: half a surrogate pair is no character.
        for volatile in [r#"{"sdkName":"\ud800@1"}"#, r#"{"\ud800sdkVersion":1}"#] {
            let volatile: &RawValue = serde_json::from_str(volatile).unwrap();
            assert_eq!(check_sdk_version(Some(volatile)), Ok(()));
        }
    }
}
