//! The built library, loaded as a host loads it, and real datagrams.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../protocol-abi/tests/support/mod.rs"]
mod support;

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::raw::*;
use libloading::Library;
use serde_json::Value;
use support::{Host, PATIENCE, counted, in_callback, release};

struct Udp {
    host: &'static Host,
    library: &'static Library,
    this: *mut kuzzle_protocol,
    address: String,
}

/// Builds the library, which Cargo does not do for the tests of a package that has no other, and opens
/// it as a host does.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "--package", env!("CARGO_PKG_NAME"), "--target-dir"])
            .arg(target)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the library is built");
        let path = target.join("debug").join(libloading::library_filename("kuzzle_protocol_udp"));
        // SAFETY: the library is ours and has no constructors; it stays loaded.
        unsafe { Library::new(&path) }.unwrap_or_else(|error| panic!("{path:?}: {error}"))
    })
}

impl Udp {
    fn start(options: &str) -> Self {
        let host = Host::new(&format!(r#"{{"protocols": {{"udp": {options}}}}}"#));
        let library = library();
        let mut this = ptr::null_mut();
        // SAFETY: the symbols have the header's types; tables are leaked, other pointers are ours.
        unsafe {
            let init = library.get::<kuzzle_protocol_init_fn>("kuzzle_protocol_init").unwrap();
            let start = library.get::<kuzzle_protocol_start_fn>("kuzzle_protocol_start").unwrap();
            assert_eq!(init(host.entry_point(), host.context(), &raw mut this, ptr::null_mut()), KUZZLE_OK);
            assert_eq!(start(this, ptr::null_mut()), KUZZLE_OK);
        }
        let (transport, address) = host.state.lock().unwrap().listeners[0].clone();
        assert_eq!(transport, "udp");
        Self { host, library, this, address }
    }

    fn client(&self) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(&self.address).unwrap();
        Client(socket)
    }

    fn join(&self, connection: u64, channel: &str) -> i32 {
        // SAFETY: the symbol has the header's type; `this` is what `init` gave.
        in_callback(|| unsafe {
            let join =
                self.library.get::<kuzzle_protocol_channel_fn>("kuzzle_protocol_join_channel").unwrap();
            join(self.this, connection, kuzzle_str::new(channel))
        })
    }

    fn leave(&self, connection: u64, channel: &str) {
        // SAFETY: the symbol has the header's type; `this` is what `init` gave.
        in_callback(|| unsafe {
            let leave =
                self.library.get::<kuzzle_protocol_channel_fn>("kuzzle_protocol_leave_channel").unwrap();
            assert_eq!(leave(self.this, connection, kuzzle_str::new(channel)), KUZZLE_OK);
        });
    }

    fn broadcast(&self, channels: &[&str], payload: &str) {
        let part = counted(&Arc::default(), payload.as_bytes());
        let channels: Vec<_> = channels.iter().map(|channel| kuzzle_str::new(channel)).collect();
        let message = kuzzle_broadcast {
            struct_size: size_of::<kuzzle_broadcast>() as u32,
            reserved: 0,
            channels: channels.as_ptr(),
            channels_len: channels.len(),
            parts: &raw const part,
            parts_len: 1,
        };
        // SAFETY: the symbol has the header's type; the message outlives the call.
        in_callback(|| unsafe {
            let call = self.library.get::<kuzzle_protocol_broadcast_fn>("kuzzle_protocol_broadcast").unwrap();
            assert_eq!(call(self.this, &raw const message), KUZZLE_OK);
        });
        release(part);
    }

    fn shut_down(self) {
        // SAFETY: the symbol has the header's type; `this` is what `init` gave.
        unsafe {
            let call = self.library.get::<kuzzle_protocol_shutdown_fn>("kuzzle_protocol_shutdown").unwrap();
            assert_eq!(call(self.this, 5000), KUZZLE_OK);
        }
    }
}

struct Client(UdpSocket);

impl Client {
    fn send(&self, document: &str) {
        self.0.send(document.as_bytes()).unwrap();
    }

    fn receive(&self) -> Value {
        let mut buffer = vec![0; 65_536];
        let len = self.0.recv(&mut buffer).expect("a datagram comes");
        serde_json::from_slice(&buffer[..len]).expect("it is JSON")
    }

    fn ask(&self, document: &str) -> Value {
        self.send(document);
        self.receive()
    }
}

#[test]
fn answers_with_the_requests_id_as_room() {
    let udp = Udp::start(r#"{"port": 0}"#);
    assert_eq!(udp.client().ask(r#"{"a":1}"#).to_string(), r#"{"a":1,"room":"the-id"}"#);
    udp.shut_down();
}

#[test]
fn pipelined_requests_keep_their_order() {
    let udp = Udp::start(r#"{"port": 0}"#);
    let client = udp.client();
    (0..50).for_each(|n| client.send(&format!(r#"{{"n":{n}}}"#)));
    (0..50).for_each(|n| assert_eq!(client.receive()["n"], n));
    udp.shut_down();
}

#[test]
fn answers_what_the_api_refuses_in_the_shape_of_its_answers() {
    let udp = Udp::start(r#"{"port": 0}"#);
    let expected = r#"{"action":null,"controller":null,"error":{"id":"network.udp.unexpected_error","message":"Caught an unexpected UDP error: refused by the test","status":400},"requestId":"the-id","result":null,"status":400,"volatile":null,"room":"the-id"}"#;
    assert_eq!(udp.client().ask("refuse").to_string(), expected);
    udp.shut_down();
}

#[test]
fn an_answer_that_does_not_fit_is_an_error() {
    let udp = Udp::start(r#"{"port": 0}"#);
    let answer = udp.client().ask("huge");
    assert_eq!((&answer["status"], &answer["room"]), (&413.into(), &"the-id".into()));
    udp.shut_down();
}

#[test]
fn notifications_reach_those_who_joined_with_the_channel_as_room() {
    let udp = Udp::start(r#"{"port": 0}"#);
    let (first, second) = (udp.client(), udp.client());
    first.ask("{}");
    second.ask("{}");
    let connections = udp.host.state.lock().unwrap().asked_by.clone();
    for connection in &connections {
        assert_eq!(udp.join(*connection, "news"), KUZZLE_OK);
    }
    assert_eq!(udp.join(999, "news"), KUZZLE_BAD_HANDLE, "an unknown client is refused");
    udp.broadcast(&["nobody", "news"], r#"{"x":1}"#);
    for client in [&first, &second] {
        assert_eq!(client.receive().to_string(), r#"{"x":1,"room":"news"}"#);
    }
    udp.leave(connections[0], "news");
    udp.broadcast(&["news"], r#"{"x":2}"#);
    assert_eq!(second.receive()["x"], 2);
    assert_eq!(first.ask(r#"{"mine":1}"#)["mine"], 1, "nothing came in between");
    udp.shut_down();
}

#[test]
fn a_silent_client_is_forgotten() {
    let udp = Udp::start(r#"{"port": 0, "idleTimeout": 30}"#);
    udp.client().ask("{}");
    let asked_by = udp.host.state.lock().unwrap().asked_by[0];
    udp.host.wait("the removal", |state| state.removed.contains(&asked_by).then_some(()));
    udp.shut_down();
}

#[test]
fn a_client_too_many_is_refused_with_503() {
    let udp = Udp::start(r#"{"port": 0, "maxClients": 1}"#);
    let first = udp.client();
    first.ask("{}");
    let answer = udp.client().ask("{}");
    assert_eq!(answer["status"], 503);
    assert_eq!(answer["error"]["id"], "network.udp.unexpected_error");
    assert_eq!(first.ask(r#"{"again":1}"#)["again"], 1);
    udp.shut_down();
}

#[test]
fn a_client_that_the_host_has_forgotten_is_made_anew() {
    let udp = Udp::start(r#"{"port": 0}"#);
    let client = udp.client();
    client.ask("{}");
    let old = {
        let mut state = udp.host.state.lock().unwrap();
        let old = state.asked_by[0];
        state.forgotten.push(old);
        old
    };
    assert_eq!(client.ask(r#"{"again":1}"#)["again"], 1);
    let state = udp.host.state.lock().unwrap();
    assert_eq!(state.removed, [old]);
    assert_ne!(state.asked_by[1], old);
    drop(state);
    udp.shut_down();
}

#[test]
fn shutting_down_takes_less_than_a_second_and_ends_the_listener() {
    let udp = Udp::start(r#"{"port": 0}"#);
    udp.client().ask("{}");
    let address = udp.address.clone();
    let began = Instant::now();
    udp.shut_down();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    client.connect(address).unwrap();
    client.send(b"{}").unwrap();
    client.recv(&mut [0; 100]).expect_err("nobody answers any more");
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = Host::new(&format!(r#"{{"protocols": {{"udp": {{"port": {port}}}}}}}"#));
    let (mut this, mut error) = (ptr::null_mut(), kuzzle_error::empty());
    // SAFETY: the symbol has the header's type; tables are leaked, other pointers are ours.
    let message = unsafe {
        let init = library().get::<kuzzle_protocol_init_fn>("kuzzle_protocol_init").unwrap();
        let status = init(host.entry_point(), host.context(), &raw mut this, &raw mut error);
        assert_eq!(status, KUZZLE_FAILED);
        error.message.text().unwrap()
    };
    assert!(message.contains(&format!("cannot bind UDP 127.0.0.1:{port}")), "{message}");
}
