//! What a protocol does wrong stays its own trouble.

use kuzzle_tests::{Client, Finished, Host, Installation, LineClient, UdpClient, cc};
use serde_json::{Value, json};

pub(crate) const SUBSCRIBE: &str =
    r#"{"controller":"realtime","action":"subscribe","index":"i","collection":"c","body":{}}"#;
pub(crate) const PUBLISH: &str =
    r#"{"controller":"realtime","action":"publish","index":"i","collection":"c","body":{}}"#;
pub(crate) const NOW: &str = r#"{"controller":"server","action":"now"}"#;

/// A host with `line` and the fixture `panicky`.
pub(crate) struct Panicky {
    pub(crate) host: Host,
    pub(crate) line: LineClient,
    pub(crate) client: UdpClient,
    _installation: Installation,
}

impl Panicky {
    /// One that panics in this function.
    fn start(test: &str, panic_in: &str) -> Option<Self> {
        Self::with(test, &json!({ "panicIn": panic_in }))
    }

    /// One with these options.
    pub(crate) fn with(test: &str, options: &Value) -> Option<Self> {
        let compiler = cc(test)?;
        let installation = Installation::new();
        installation.line(&compiler).rust("panicky", "kuzzle_fixture_panicky");
        installation.options("panicky", options);
        let mut host = Host::start(&installation);
        let mut line = LineClient::connect(host.address("line"));
        line.is_served();
        let client = UdpClient::connect(host.address("panicky"));
        Some(Self { host, line, client, _installation: installation })
    }

    fn send(&mut self, request: &str) {
        self.client.send_text(request);
    }

    fn ask(&mut self, request: &str) -> Value {
        self.send(request);
        self.client.receive()
    }

    /// Waits until the host has stopped the protocol because of this function; `line` serves on.
    fn stops_because_of(mut self, function: &str) {
        let line = self.host.wait_log("panicked and is stopped");
        assert!(
            line.contains("protocol=panicky") && line.contains(&format!("function={function}")),
            "{line}"
        );
        // Its threads end, as those of any protocol.
        assert!(self.host.wait_log("panicky is shut down").contains("protocol=panicky"));
        self.line.is_served();
        let info = self.line.request(&json!({ "controller": "server", "action": "info" }));
        let protocols = &info["result"]["serverInfo"]["kuzzle"]["protocols"];
        assert_eq!(protocols.as_array().unwrap().len(), 1, "{protocols}");
        assert_eq!(protocols[0]["name"], "line");
        let host = self.host.terminate();
        host.is_clean();
        let shutdowns = host.log.lines().filter(|line| line.contains("panicky is shut down")).count();
        assert_eq!(shutdowns, 1, "shutdown is called once:\n{}", host.log);
    }

    /// Ends the host, and makes sure that it tells of a panic in this function.
    fn ends_well_but_tells_of(mut self, function: &str) -> Finished {
        self.line.is_served();
        let host = self.host.terminate();
        host.is_clean();
        assert!(
            host.log.contains(&format!("panicky panics in {function}")),
            "it did not even panic:\n{}",
            host.log
        );
        host
    }
}

#[test]
fn a_panic_in_join_channel_stops_only_its_protocol() {
    let test = "a_panic_in_join_channel_stops_only_its_protocol";
    let Some(mut panicky) = Panicky::start(test, "join_channel") else { return };
    panicky.send(SUBSCRIBE);
    panicky.stops_because_of("joinChannel");
}

#[test]
fn a_panic_in_leave_channel_stops_only_its_protocol() {
    let test = "a_panic_in_leave_channel_stops_only_its_protocol";
    let Some(mut panicky) = Panicky::start(test, "leave_channel") else { return };
    let answer = panicky.ask(SUBSCRIBE);
    let body = json!({ "roomId": answer["result"]["roomId"] });
    panicky.send(&json!({ "controller": "realtime", "action": "unsubscribe", "body": body }).to_string());
    panicky.stops_because_of("leaveChannel");
}

#[test]
fn a_panic_in_broadcast_during_its_own_request_stops_only_its_protocol() {
    let test = "a_panic_in_broadcast_during_its_own_request_stops_only_its_protocol";
    let Some(mut panicky) = Panicky::start(test, "broadcast") else { return };
    panicky.ask(SUBSCRIBE);
    panicky.send(PUBLISH);
    panicky.stops_because_of("broadcast");
}

#[test]
fn a_panic_in_broadcast_because_of_another_protocol_stops_only_its_own() {
    let test = "a_panic_in_broadcast_because_of_another_protocol_stops_only_its_own";
    let Some(mut panicky) = Panicky::start(test, "broadcast") else { return };
    panicky.ask(SUBSCRIBE);
    panicky.line.send_text(PUBLISH);
    assert_eq!(panicky.line.receive()["status"], 200);
    panicky.stops_because_of("broadcast");
}

#[test]
fn a_panic_in_a_completion_stops_only_its_protocol() {
    let test = "a_panic_in_a_completion_stops_only_its_protocol";
    let Some(mut panicky) = Panicky::start(test, "completion") else { return };
    panicky.send(NOW);
    let line = panicky.host.wait_log("panicky panics in completion");
    assert!(line.contains("protocol=panicky"), "{line}");
    panicky.stops_because_of("completion");
}

#[test]
fn a_panic_ends_the_host_if_the_configuration_says_so() {
    let installation = Installation::new();
    installation.rust("panicky", "kuzzle_fixture_panicky");
    installation.options("panicky", &json!({ "panicIn": "completion", "onPanic": "abort" }));
    let mut host = Host::start(&installation);
    let mut client = UdpClient::connect(host.address("panicky"));
    client.send_text(NOW);
    let host = host.wait();
    assert_eq!(host.status, None, "a signal ends it:\n{}", host.log);
    assert!(host.log.contains("its onPanic is \"abort\""), "{}", host.log);
}

#[test]
fn a_panic_in_disconnect_does_not_disturb_the_end() {
    let test = "a_panic_in_disconnect_does_not_disturb_the_end";
    let Some(mut panicky) = Panicky::start(test, "disconnect") else { return };
    panicky.ask(NOW);
    let host = panicky.ends_well_but_tells_of("disconnect");
    let line = &host.log.lines().nth(host.line_of("panicked and is stopped")).unwrap();
    assert!(line.contains("protocol=panicky") && line.contains("function=disconnect"), "{line}");
}

#[test]
fn a_panic_in_shutdown_does_not_disturb_the_end() {
    let test = "a_panic_in_shutdown_does_not_disturb_the_end";
    let Some(mut panicky) = Panicky::start(test, "shutdown") else { return };
    panicky.ask(NOW);
    let host = panicky.ends_well_but_tells_of("shutdown");
    let line = &host.log.lines().nth(host.line_of("shutdown failed")).unwrap();
    assert!(line.contains("protocol=panicky"), "{line}");
}

#[test]
fn a_panic_in_a_task_removes_only_the_client_that_it_owns() {
    let test = "a_panic_in_a_task_removes_only_the_client_that_it_owns";
    let Some(mut panicky) = Panicky::start(test, "nowhere") else { return };
    panicky.line.subscribe_with(&json!({ "index": "i", "collection": "c", "users": "all" }));
    panicky.send("task");
    let counts = [panicky.line.receive(), panicky.line.receive()]
        .map(|notification| (notification["user"].clone(), notification["result"]["count"].clone()));
    assert_eq!(counts, [(json!("in"), json!(2)), (json!("out"), json!(1))]);
    let line = panicky.host.wait_log("panicky panics in a task of its own");
    assert!(line.contains("protocol=panicky"), "{line}");
    assert_eq!(panicky.ask(NOW)["status"], 200, "the protocol goes on");
    panicky.line.is_served();
    let host = panicky.host.terminate();
    assert!(!host.is_clean().log.contains("is stopped"), "{}", host.log);
}

#[test]
fn execute_is_refused_inside_every_callback() {
    let Some(compiler) = cc("execute_is_refused_inside_every_callback") else { return };
    let installation = Installation::new();
    installation.fixture("reentrant", &compiler, "reentrant.c", &[]);
    let host = Host::start(&installation).terminate();
    host.is_clean();
    for callback in ["join_channel", "broadcast", "completion", "leave_channel", "disconnect"] {
        assert!(host.log.contains(&format!("execute in {callback}: 6 ")), "{callback}:\n{}", host.log);
    }
    assert!(host.log.contains("execute in start: 0 "), "start is no callback:\n{}", host.log);
}

#[test]
fn the_sdk_executes_later_what_is_asked_inside_a_callback() {
    let installation = Installation::new();
    installation.rust("queueing", "kuzzle_fixture_queueing");
    let mut host = Host::start(&installation);
    for callback in ["join_channel", "broadcast", "completion", "leave_channel"] {
        let line = host.wait_log(&format!("answered what {callback} asked: "));
        assert!(line.contains(": 200 "), "{line}");
    }
    let host = host.terminate();
    host.is_clean();
    for callback in ["join_channel", "broadcast", "completion", "leave_channel", "disconnect"] {
        let asked = host.line_of(&format!("{callback} has asked"));
        let answered = host.line_of(&format!("answered what {callback} asked"));
        assert!(asked < answered, "{callback} was answered before it returned:\n{}", host.log);
    }
}

#[test]
fn a_callback_that_waits_for_another_thread_to_publish_is_no_deadlock() {
    let Some(compiler) = cc("a_callback_that_waits_for_another_thread_to_publish_is_no_deadlock") else {
        return;
    };
    let installation = Installation::new();
    installation.line(&compiler).fixture("waiting", &compiler, "waiting.c", &[]);
    let mut host = Host::start(&installation);
    LineClient::connect(host.address("line")).is_served();
    let host = host.terminate();
    host.is_clean();
    for callback in ["join_channel", "broadcast", "completion", "leave_channel", "disconnect"] {
        let text = format!("published during {callback}: 0 0 ");
        assert!(host.log.contains(&text), "{callback}:\n{}", host.log);
    }
}

#[test]
fn a_protocol_that_hangs_in_broadcast_does_not_hold_up_the_others() {
    let Some(compiler) = cc("a_protocol_that_hangs_in_broadcast_does_not_hold_up_the_others") else {
        return;
    };
    let installation = Installation::new();
    installation.line(&compiler).udp().fixture("stuck", &compiler, "minimal.c", &[]);
    installation.options("stuck", &json!({ "broadcast": "hang" }));
    let mut host = Host::start(&installation);
    let (mut line, mut udp) =
        (LineClient::connect(host.address("line")), UdpClient::connect(host.address("udp")));
    line.subscribe("i", "c");
    udp.send_text(PUBLISH);
    assert_eq!(udp.receive()["status"], 200);
    host.wait_log("broadcast hangs");
    assert_eq!(line.receive()["event"], "publish");
    for _ in 0..100 {
        udp.send_text(PUBLISH);
        assert_eq!(udp.receive()["status"], 200);
        assert_eq!(line.receive()["event"], "publish");
    }
}

#[test]
fn a_protocol_can_refuse_a_subscription() {
    let Some(compiler) = cc("a_protocol_can_refuse_a_subscription") else { return };
    let installation = Installation::new();
    installation.line(&compiler).fixture("refusing", &compiler, "refusing.c", &[]);
    let mut host = Host::start(&installation);
    let answer = host.wait_log_json("answer: ");
    assert_eq!(answer["error"]["id"], "protocol.runtime.join_refused", "{answer}");
    assert_eq!((&answer["result"], &answer["requestId"]), (&Value::Null, &json!("refused")));
    let mut line = LineClient::connect(host.address("line"));
    let room = "508a79aa1dd1118a980a3cbeb403662fd5c4cd9885c632ea19c03d236f3cd110";
    assert_eq!(line.count(room), 0);
    // The room can be had all the same.
    assert_eq!(line.subscribe("nyc-open-data", "yellow-taxi").0, room);
    assert_eq!(line.count(room), 1);
}

/// A host with `line`, `udp` and two protocols that keep every payload for each of three clients;
/// one message has been published, and the host has ended.
fn kept(test: &str) -> Option<Finished> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.line(&compiler).udp();
    installation.fixture("keeping-a", &compiler, "keeping.c", &[]);
    installation.fixture("keeping-b", &compiler, "keeping.c", &[]);
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    line.subscribe("i", "c");
    line.send_text(PUBLISH);
    line.receive();
    line.receive();
    let host = host.terminate();
    host.is_clean();
    Some(host)
}

#[test]
fn all_subscribers_share_the_bytes_of_a_message() {
    let Some(host) = kept("all_subscribers_share_the_bytes_of_a_message") else { return };
    let places: Vec<_> = host
        .log
        .lines()
        .filter_map(|line| line.split_once("keeps the payload at "))
        .map(|(_, rest)| rest.split(' ').next().unwrap())
        .collect();
    assert_eq!(places.len(), 6, "{}", host.log);
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
}

#[test]
fn every_payload_that_was_retained_is_released() {
    let Some(host) = kept("every_payload_that_was_retained_is_released") else { return };
    let line = host.log.lines().nth(host.line_of("payload references of protocols")).unwrap();
    let count = |name: &str| -> u64 {
        let (_, rest) = line.split_once(&format!("{name}=")).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(count("retained"), count("released"), "{line}");
    assert!(count("retained") >= 6, "{line}");
}
