//! What the unit tests of this module share: a protocol whose functions are recorded and can be
//! scripted, behind the real C ABI.

#![allow(unsafe_code, reason = "plays the part of a library")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use kuzzle_kernel::{Kernel, Settings, SystemEnvironment};
use kuzzle_protocol_abi::raw::*;
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Host;
#[cfg(feature = "loom")]
use super::abi::Completion;
use super::abi::Functions;
use super::connections::{Connection, Handle};
use super::outbox::Outbox;
use super::protocol::{Description, Protocol};
use crate::installation::OnPanic;

/// How long a test waits for something that happens on another thread.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What a scripted function does before it returns its status.
type Script = Arc<dyn Fn(&'static Probe) -> i32 + Send + Sync>;

/// A call into a test protocol that is watched.
pub(super) enum Seen<'a> {
    Broadcast { channels: Vec<&'a str>, payload: Payload<'a> },
    Notify { connection: u64, payload: Payload<'a> },
    Join { connection: u64, channel: &'a str },
    Leave { connection: u64, channel: &'a str },
    Disconnect { connection: u64 },
    Response { request_id: &'a str, status: u32, content: &'a [u8] },
    Other,
}

/// The payload of a message, borrowed for a call.
pub(super) struct Payload<'a>(&'a kuzzle_buf);

impl Payload<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the host's buffer lives until the call returns.
        unsafe { std::slice::from_raw_parts(self.0.data, self.0.len) }
    }

    /// Keeps it beyond the call.
    pub(super) fn retain(&self) -> Retained {
        // SAFETY: the host's operations, made for this owner.
        unsafe { ((*self.0.ops).retain.unwrap())(self.0.owner) };
        Retained(*self.0)
    }
}

/// A payload that is released when this is dropped.
pub(super) struct Retained(kuzzle_buf);

// SAFETY: the ABI lets payloads be released on any thread.
unsafe impl Send for Retained {}

impl Drop for Retained {
    fn drop(&mut self) {
        // SAFETY: retained by `Payload::retain`, released once.
        unsafe { ((*self.0.ops).release.unwrap())(self.0.owner) }
    }
}

/// Sees every call into a test protocol instead of its script and its events.
type Watch = Box<dyn Fn(&Seen<'_>) -> i32 + Send + Sync>;

/// The library's side of a test protocol.
pub(super) struct Probe {
    name: String,
    entry_point: Mutex<Option<usize>>,
    watch: OnceLock<Watch>,
    scripts: Mutex<HashMap<&'static str, Script>>,
    events: mpsc::Sender<String>,
    shutdown_deadline: AtomicU32,
}

/// The test's side of it.
pub(super) struct TestProtocol {
    pub protocol: &'static Protocol,
    pub probe: &'static Probe,
    events: mpsc::Receiver<String>,
}

/// A protocol that is initialised, of a host without threads and with a closed gate.
#[cfg(feature = "loom")]
pub(super) fn initialised(name: &str) -> TestProtocol {
    let host = Host::new(Kernel::new(Settings::default(), Box::new(SystemEnvironment)), 1 << 20);
    let test = make(host, name);
    NEXT.with(|next| next.set(Some(test.probe)));
    test.protocol.init().expect("init succeeds");
    test
}

/// A host with protocols of these names, initialised, with an open gate.
pub(super) fn host_with<const N: usize>(names: [&str; N]) -> (&'static Host, [TestProtocol; N]) {
    let host = Host::new(Kernel::new(Settings::default(), Box::new(SystemEnvironment)), 1 << 20);
    let protocols = names.map(|name| make(host, name));
    host.register(protocols.iter().map(|test| test.protocol).collect());
    for test in &protocols {
        // `init` has no argument of its own: the probe is handed over beside it.
        NEXT.with(|next| next.set(Some(test.probe)));
        test.protocol.init().expect("init succeeds");
    }
    host.open_gate();
    (host, protocols)
}

thread_local! {
    static NEXT: std::cell::Cell<Option<&'static Probe>> = const { std::cell::Cell::new(None) };
}

/// A protocol that is never initialised.
pub(super) fn protocol(name: &str) -> &'static Protocol {
    let host = Host::new(Kernel::new(Settings::default(), Box::new(SystemEnvironment)), 1 << 20);
    make(host, name).protocol
}

fn make(host: &'static Host, name: &str) -> TestProtocol {
    let (sender, events) = mpsc::channel();
    let probe: &'static Probe = Box::leak(Box::new(Probe {
        name: name.into(),
        entry_point: Mutex::default(),
        watch: OnceLock::new(),
        scripts: Mutex::default(),
        events: sender,
        shutdown_deadline: AtomicU32::new(0),
    }));
    let description = Description {
        name: name.into(),
        version: None,
        entry: name.into(),
        on_panic: OnPanic::Stop,
        max_connections: 3_000_000,
        options: json!({ name: { "number": 7, "nested": { "flag": true }, "text": "t", "nothing": null } }),
        config: "{}".into(),
        server_host: None,
        server_port: 7512,
    };
    let functions = Functions {
        init,
        start: None,
        broadcast,
        notify,
        join_channel,
        leave_channel,
        disconnect,
        shutdown: Some(shutdown),
        get_extension: None,
    };
    // Tests run side by side in one process, each with a host of its own.
    static LOADED: AtomicU16 = AtomicU16::new(0);
    let index = LOADED.fetch_add(1, Ordering::Relaxed);
    TestProtocol { protocol: Protocol::new(host, index, description, functions), probe, events }
}

/// A connection that no table knows.
pub(super) fn connection(handle: Handle, protocol: &'static Protocol) -> Connection {
    protocol.counters.connections.add();
    Connection {
        handle,
        uuid: Uuid::nil(),
        protocol,
        label: None,
        ips: Box::default(),
        headers: Box::default(),
        outbox: Outbox::default(),
    }
}

impl Probe {
    fn happens(
        &'static self,
        function: &'static str,
        seen: &Seen<'_>,
        event: impl FnOnce() -> String,
    ) -> i32 {
        if let Some(watch) = self.watch.get() {
            return watch(seen);
        }
        let script = self.scripts.lock().get(function).cloned();
        let _ = self.events.send(event());
        script.map_or(KUZZLE_OK, |script| script(self))
    }

    /// From now on every call is only told to `watch`, and returns what it returns.
    pub(super) fn watch(&self, watch: impl Fn(&Seen<'_>) -> i32 + Send + Sync + 'static) {
        assert!(self.watch.set(Box::new(watch)).is_ok(), "it is watched already");
    }

    fn table(&self) -> &'static kuzzle_entry_point {
        let address = self.entry_point.lock().expect("init was called");
        // SAFETY: given by the host to `init`; lives for ever.
        unsafe { &*(address as *const kuzzle_entry_point) }
    }

    /// The milliseconds that `shutdown` was given.
    pub(super) fn shutdown_deadline(&self) -> u32 {
        self.shutdown_deadline.load(Ordering::Relaxed)
    }

    /// The completion of a request; its answer is an event.
    #[cfg(feature = "loom")]
    pub(super) fn completion(&'static self) -> Completion {
        let context = std::ptr::from_ref(self).cast_mut().cast();
        Completion::new(kuzzle_completion { function: Some(completed), context })
    }

    /// `new_connection`.
    pub(super) fn connect(&self) -> Result<u64, i32> {
        let info = kuzzle_connection_info {
            struct_size: size_of::<kuzzle_connection_info>() as u32,
            reserved: 0,
            label: kuzzle_str::EMPTY,
            ips: std::ptr::null(),
            ips_len: 0,
            headers: std::ptr::null(),
            headers_len: 0,
            url: kuzzle_str::EMPTY,
            verb: kuzzle_str::EMPTY,
        };
        let (mut handle, mut uuid) = (0, [0; 16]);
        // SAFETY: everything lives until the call returns.
        let status = unsafe {
            (self.table().new_connection.unwrap())(
                self.table(),
                &info,
                &mut handle,
                uuid.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        if status == KUZZLE_OK { Ok(handle) } else { Err(status) }
    }

    /// `remove_connection`.
    pub(super) fn remove(&self, connection: u64) -> i32 {
        // SAFETY: the table is the host's.
        unsafe { (self.table().remove_connection.unwrap())(self.table(), connection) }
    }

    /// `execute`; the answer is recorded as an event, `response <request id> <status>`.
    pub(super) fn execute(&'static self, connection: u64, request: &Value) -> i32 {
        self.execute_bytes(connection, request.to_string().as_bytes())
    }

    pub(super) fn execute_bytes(&'static self, connection: u64, document: &[u8]) -> i32 {
        let part = kuzzle_buf {
            data: document.as_ptr(),
            len: document.len(),
            owner: std::ptr::null_mut(),
            ops: std::ptr::null(),
        };
        let request = kuzzle_request {
            struct_size: size_of::<kuzzle_request>() as u32,
            reserved: 0,
            connection,
            parts: &part,
            parts_len: 1,
            label: kuzzle_str::EMPTY,
            headers: std::ptr::null(),
            headers_len: 0,
            method: kuzzle_str::EMPTY,
            url: kuzzle_str::EMPTY,
        };
        let completion = kuzzle_completion {
            function: Some(completed),
            context: std::ptr::from_ref(self).cast_mut().cast(),
        };
        let mut error = kuzzle_error::empty();
        // SAFETY: everything lives until the call returns; the probe lives for ever.
        unsafe {
            let status = (self.table().execute.unwrap())(self.table(), &request, completion, &mut error);
            if let Some(release) = error.release {
                assert_eq!(error.code, status);
                assert!(error.message.len > 0);
                release(&mut error);
                assert!(error.release.is_none() && error.owner.is_null() && error.message.len == 0);
            }
            status
        }
    }

    /// A request to subscribe to everything in a collection.
    pub(super) fn subscribe(&'static self, connection: u64, collection: &str) -> i32 {
        let request = json!({
            "controller": "realtime", "action": "subscribe", "index": "i", "collection": collection,
            "body": {}, "requestId": format!("subscribe-{collection}"), "users": "all",
        });
        self.execute(connection, &request)
    }

    /// A request to publish a message.
    pub(super) fn publish(&'static self, connection: u64, collection: &str) -> i32 {
        let request = json!({
            "controller": "realtime", "action": "publish", "index": "i", "collection": collection,
            "body": { "n": 1 }, "requestId": "publish",
        });
        self.execute(connection, &request)
    }
}

impl TestProtocol {
    /// From now on the function does this, and returns what it returns.
    pub(super) fn script(
        &self,
        function: &'static str,
        script: impl Fn(&'static Probe) -> i32 + Send + Sync + 'static,
    ) {
        self.probe.scripts.lock().insert(function, Arc::new(script));
    }

    /// What was called next, on whatever thread.
    pub(super) fn next(&self) -> String {
        self.events
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("nothing more happens to {}", self.probe.name))
    }

    /// The next so many events.
    pub(super) fn events<const N: usize>(&self) -> [String; N] {
        std::array::from_fn(|_| self.next())
    }

    /// What has been called already, without waiting.
    pub(super) fn so_far(&self) -> Vec<String> {
        self.events.try_iter().collect()
    }
}

fn probe(this: *mut kuzzle_protocol) -> &'static Probe {
    // SAFETY: `init` wrote the address of a probe that lives for ever.
    unsafe { &*this.cast::<Probe>() }
}

unsafe extern "C" fn init(
    entry_point: *const kuzzle_entry_point,
    _: *const kuzzle_context,
    out: *mut *mut kuzzle_protocol,
    _: *mut kuzzle_error,
) -> i32 {
    let probe = NEXT.with(std::cell::Cell::take).expect("set before init");
    *probe.entry_point.lock() = Some(entry_point as usize);
    // SAFETY: the host gives a place for the pointer.
    unsafe { out.write(std::ptr::from_ref(probe).cast_mut().cast()) };
    KUZZLE_OK
}

unsafe extern "C" fn broadcast(this: *mut kuzzle_protocol, message: *const kuzzle_broadcast) -> i32 {
    // SAFETY: the host's message lives until we return.
    let (channels, part) = unsafe {
        let message = &*message;
        let channels = std::slice::from_raw_parts(message.channels, message.channels_len);
        (channels.iter().map(|channel| channel.text().unwrap()).collect(), &*message.parts)
    };
    let payload = Payload(part);
    probe(this).happens("broadcast", &Seen::Broadcast { channels, payload: Payload(part) }, || {
        let payload: Value = serde_json::from_slice(payload.bytes()).unwrap();
        let what = payload["user"]
            .as_str()
            .map_or_else(|| payload["type"].to_string(), |user| format!("user {user}"));
        format!("broadcast {what}")
    })
}

unsafe extern "C" fn notify(this: *mut kuzzle_protocol, message: *const kuzzle_notification) -> i32 {
    // SAFETY: the host's message lives until we return.
    let (connection, payload) = unsafe { ((*message).connection, Payload(&*(*message).parts)) };
    probe(this).happens("notify", &Seen::Notify { connection, payload }, || "notify".into())
}

unsafe extern "C" fn join_channel(this: *mut kuzzle_protocol, connection: u64, channel: kuzzle_str) -> i32 {
    // SAFETY: the host's text lives until we return.
    let channel = unsafe { channel.text() }.unwrap();
    probe(this).happens("join", &Seen::Join { connection, channel }, || "join".into())
}

unsafe extern "C" fn leave_channel(this: *mut kuzzle_protocol, connection: u64, channel: kuzzle_str) -> i32 {
    // SAFETY: as above.
    let channel = unsafe { channel.text() }.unwrap();
    probe(this).happens("leave", &Seen::Leave { connection, channel }, || "leave".into())
}

unsafe extern "C" fn disconnect(this: *mut kuzzle_protocol, message: *const kuzzle_disconnect) -> i32 {
    // SAFETY: the host's message lives until we return.
    let (connection, reason) = unsafe { ((*message).connection, (*message).reason) };
    let seen = Seen::Disconnect { connection };
    probe(this).happens("disconnect", &seen, || format!("disconnect {reason}"))
}

unsafe extern "C" fn shutdown(this: *mut kuzzle_protocol, deadline_ms: u32) -> i32 {
    probe(this).shutdown_deadline.store(deadline_ms, Ordering::Relaxed);
    probe(this).happens("shutdown", &Seen::Other, || "shutdown".into())
}

unsafe extern "C" fn completed(context: *mut std::ffi::c_void, response: *const kuzzle_response) -> i32 {
    // SAFETY: the context is a probe that lives for ever; the response lives until we return.
    let (probe, request_id, status, content) = unsafe {
        let response = &*response;
        let request_id = response.request_id.text().unwrap();
        (&*context.cast::<Probe>(), request_id, response.status, Payload(&*response.parts))
    };
    let seen = Seen::Response { request_id, status, content: content.bytes() };
    probe.happens("response", &seen, || format!("response {request_id} {status}"))
}
