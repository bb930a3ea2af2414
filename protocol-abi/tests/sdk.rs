//! The SDK against a host in this process: panics, re-entrancy, ownership, bad arguments.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::panic::panic_any;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use kuzzle_protocol_abi::__private::{Exports, Identity};
use kuzzle_protocol_abi::raw::*;
use kuzzle_protocol_abi::{
    Channels, ConnectionId, ConnectionInfo, Content, Context, DisconnectReason, EntryPoint, Error, Extension,
    Payload, Protocol, Request, Status,
};
use support::{Counters, ENTRY_POINT, Host, PATIENCE, counted, in_callback, logged, release};

const IDENTITY: Identity = Identity::new("kuzzle-protocol-test");

/// Does what its options say, and counts how often its code is entered.
struct Scripted {
    entry_point: EntryPoint,
    options: Options,
    entered: AtomicUsize,
    shut_down: AtomicUsize,
    kept: Mutex<Vec<Content>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Options {
    panic_in: String,
    bomb: bool,
    fail_in: String,
    execute_in_broadcast: bool,
    port: u16,
}

/// Panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload of a panic panics");
    }
}

impl Scripted {
    fn at(&self, place: &str) {
        self.entered.fetch_add(1, Ordering::SeqCst);
        self.options.at(place);
    }
}

impl Options {
    fn at(&self, place: &str) {
        if self.panic_in == place {
            if self.bomb {
                panic_any(Bomb);
            }
            panic!("scripted panic in {place}");
        }
    }
}

static TABLE: u64 = 5;

impl Protocol for Scripted {
    type Config = Options;

    fn init(entry_point: EntryPoint, _: Context, options: Options) -> Result<Self, Error> {
        options.at("init");
        if options.fail_in == "init" {
            return Err(Error::new(Status::Limit, "scripted failure"));
        }
        Ok(Self {
            entry_point,
            options,
            entered: AtomicUsize::new(0),
            shut_down: AtomicUsize::new(0),
            kept: Mutex::default(),
        })
    }
    fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.at("start");
        Ok(())
    }
    fn broadcast(&self, _: Channels<'_>, payload: &Payload<'_>) {
        self.at("broadcast");
        self.kept.lock().unwrap().extend((0..100).map(|_| payload.retain()));
        if self.options.execute_in_broadcast {
            let document = payload.to_vec();
            self.entry_point.execute(Request::new(&document), |answer| {
                answer.expect("the SDK executes it where that is allowed");
            });
        }
    }
    fn notify(&self, _: ConnectionId, channels: Channels<'_>, _: &Payload<'_>) {
        self.at("notify");
        assert_eq!(channels.iter().collect::<Vec<_>>(), ["room"]);
    }
    fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
        self.at("join_channel");
        Ok(())
    }
    fn leave_channel(&self, _: ConnectionId, _: &str) {
        self.at("leave_channel");
    }
    fn disconnect(&self, _: ConnectionId, reason: DisconnectReason, _: &str) {
        self.at("disconnect");
        assert_eq!(reason, DisconnectReason::Overflow);
    }
    fn shutdown(&self, _: Duration) {
        self.shut_down.fetch_add(1, Ordering::SeqCst);
        self.options.at("shutdown");
    }
    fn get_extension(this: Option<&Self>, id: &str) -> Option<Extension> {
        if let Some(this) = this {
            this.at("get_extension");
        }
        (id == "test.table/1").then(|| Extension::new(&TABLE))
    }
}

const EXPORTS: Exports = Exports::new::<Scripted>();

struct Loaded {
    host: &'static Host,
    this: *mut kuzzle_protocol,
}

fn init(host: &'static Host) -> Result<Loaded, (i32, String)> {
    let (mut this, mut error) = (ptr::null_mut(), kuzzle_error::empty());
    // SAFETY: the tables are leaked, the other pointers are ours.
    let status = unsafe {
        (EXPORTS.init)(IDENTITY, host.entry_point(), host.context(), &raw mut this, &raw mut error)
    };
    if status == KUZZLE_OK {
        return Ok(Loaded { host, this });
    }
    // SAFETY: the SDK has filled the error.
    let message = unsafe { error.message.text() }.unwrap().to_owned();
    let release = error.release.expect("a filled error can be released");
    // SAFETY: the error was filled by the SDK; releasing it again must be harmless.
    unsafe {
        release(&raw mut error);
        assert!(error.release.is_none() && error.owner.is_null() && error.message.len == 0);
        release(&raw mut error);
    }
    assert_eq!(error.struct_size as usize, size_of::<kuzzle_error>());
    Err((status, message))
}

fn load(options: &str) -> Loaded {
    let config = format!(r#"{{"host": "0.0.0.0", "protocols": {{"test": {options}}}}}"#);
    init(Host::new(&config)).expect("the scripted protocol initialises")
}

impl Loaded {
    /// An entry point of the same host, as a protocol receives it.
    fn entry_point(&self) -> EntryPoint {
        struct Taker;
        static TAKEN: Mutex<Option<EntryPoint>> = Mutex::new(None);
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        impl Protocol for Taker {
            type Config = serde_json::Value;
            fn init(entry_point: EntryPoint, _: Context, _: serde_json::Value) -> Result<Self, Error> {
                *TAKEN.lock().unwrap() = Some(entry_point);
                Ok(Self)
            }
            fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
            fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
            fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
                Ok(())
            }
            fn leave_channel(&self, _: ConnectionId, _: &str) {}
            fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
        }
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        let mut this = ptr::null_mut();
        // SAFETY: the tables are leaked, the other pointers are ours.
        let status = unsafe {
            (Exports::new::<Taker>().init)(
                IDENTITY,
                self.host.entry_point(),
                self.host.context(),
                &raw mut this,
                ptr::null_mut(),
            )
        };
        assert_eq!(status, KUZZLE_OK);
        TAKEN.lock().unwrap().take().unwrap()
    }

    /// Calls one export with good arguments.
    fn call(&self, function: &str) -> i32 {
        let channel = kuzzle_str::new("room");
        let bytes = br#"{"a":1}"#;
        let part =
            kuzzle_buf { data: bytes.as_ptr(), len: bytes.len(), owner: ptr::null_mut(), ops: ptr::null() };
        let notification = kuzzle_notification {
            struct_size: size_of::<kuzzle_notification>() as u32,
            reserved: 0,
            connection: 1,
            channels: &raw const channel,
            channels_len: 1,
            parts: &raw const part,
            parts_len: 1,
        };
        let disconnect = kuzzle_disconnect {
            struct_size: size_of::<kuzzle_disconnect>() as u32,
            reason: KUZZLE_DISCONNECT_OVERFLOW,
            connection: 1,
            message: channel,
        };
        // SAFETY: `this` is what `init` gave; all else outlives the calls.
        unsafe {
            match function {
                "start" => (EXPORTS.start)(self.this, ptr::null_mut()),
                "broadcast" => self.broadcast(&[part]),
                "notify" => in_callback(|| (EXPORTS.notify)(self.this, &raw const notification)),
                "join_channel" => in_callback(|| (EXPORTS.join_channel)(self.this, 1, channel)),
                "leave_channel" => in_callback(|| (EXPORTS.leave_channel)(self.this, 1, channel)),
                "disconnect" => in_callback(|| (EXPORTS.disconnect)(self.this, &raw const disconnect)),
                "shutdown" => (EXPORTS.shutdown)(self.this, 1000),
                other => unreachable!("{other}"),
            }
        }
    }

    fn broadcast(&self, parts: &[kuzzle_buf]) -> i32 {
        let channel = kuzzle_str::new("room");
        let message = kuzzle_broadcast {
            struct_size: size_of::<kuzzle_broadcast>() as u32,
            reserved: 0,
            channels: &raw const channel,
            channels_len: 1,
            parts: parts.as_ptr(),
            parts_len: parts.len(),
        };
        // SAFETY: `this` is what `init` gave; the message outlives the call.
        in_callback(|| unsafe { (EXPORTS.broadcast)(self.this, &raw const message) })
    }
}

const CALLBACKS: [&str; 6] = ["start", "broadcast", "notify", "join_channel", "leave_channel", "disconnect"];

#[test]
fn every_export_of_a_sound_protocol_answers_ok() {
    let loaded = load("{}");
    for function in CALLBACKS {
        assert_eq!(loaded.call(function), KUZZLE_OK, "{function}");
    }
    assert_eq!(loaded.call("shutdown"), KUZZLE_OK);
}

#[test]
fn every_export_survives_a_panic_and_poisons_all_but_shutdown() {
    for function in CALLBACKS {
        for bomb in [false, true] {
            let loaded = load(&format!(r#"{{"panic_in": "{function}", "bomb": {bomb}}}"#));
            assert_eq!(loaded.call(function), KUZZLE_PANIC, "{function}");
            for later in CALLBACKS {
                assert_eq!(loaded.call(later), KUZZLE_PANIC, "{later} after {function}");
            }
            assert_eq!(loaded.call("shutdown"), KUZZLE_OK, "shutdown after {function}");
        }
        let (level, target, _) =
            logged(&format!("scripted panic in {function}")).expect("the panic is logged");
        assert_eq!((level, target.as_str()), (KUZZLE_LOG_ERROR, "panic"));
    }
}

#[test]
fn a_panic_in_init_is_an_error_with_its_text() {
    let host = Host::new(r#"{"protocols": {"test": {"panic_in": "init"}}}"#);
    let (status, message) = init(host).err().expect("it panics");
    assert_eq!(status, KUZZLE_PANIC);
    assert!(message.contains("scripted panic in init"), "{message}");
}

#[test]
fn a_panic_in_shutdown_is_answered() {
    assert_eq!(load(r#"{"panic_in": "shutdown"}"#).call("shutdown"), KUZZLE_PANIC);
}

#[test]
fn a_panic_in_get_extension_is_null_and_poisons() {
    let loaded = load(r#"{"panic_in": "get_extension"}"#);
    let id = kuzzle_str::new("test.table/1");
    // SAFETY: `this` is what `init` gave, or null as before `init`.
    let ask = |this| unsafe { (EXPORTS.get_extension)(this, id) };
    assert_eq!(ask(ptr::null_mut()).cast(), &raw const TABLE);
    assert!(ask(loaded.this).is_null());
    assert_eq!(loaded.call("broadcast"), KUZZLE_PANIC);
    let sound = load("{}");
    assert_eq!(ask(sound.this).cast(), &raw const TABLE);
}

#[test]
fn init_answers_the_protocols_own_error() {
    let host = Host::new(r#"{"protocols": {"test": {"fail_in": "init"}}}"#);
    assert_eq!(init(host).err(), Some((KUZZLE_LIMIT, "scripted failure".to_owned())));
}

#[test]
fn init_names_the_option_that_has_the_wrong_type() {
    let host = Host::new(r#"{"protocols": {"test": {"port": "secret"}}}"#);
    let (status, message) = init(host).err().expect("a port is a number");
    assert_eq!(status, KUZZLE_FAILED);
    assert!(
        message.contains("`server.protocols.test.port`: invalid type: string, expected u16"),
        "{message}"
    );
}

#[test]
fn init_names_a_function_that_the_host_lacks() {
    let host = Host::new("{}");
    let broken = host.entry_point_with(kuzzle_entry_point { execute: None, ..ENTRY_POINT });
    let (mut this, mut error) = (ptr::null_mut(), kuzzle_error::empty());
    // SAFETY: the tables are leaked, the other pointers are ours.
    let status = unsafe { (EXPORTS.init)(IDENTITY, broken, host.context(), &raw mut this, &raw mut error) };
    assert_eq!(status, KUZZLE_INVALID_ARGUMENT);
    // SAFETY: the SDK has filled the error.
    let message = unsafe { error.message.text() }.unwrap();
    assert!(message.contains("kuzzle_entry_point.execute"), "{message}");
    for (entry_point, context) in [(ptr::null(), host.context()), (host.entry_point(), ptr::null())] {
        // SAFETY: null tables are what is tested.
        let status =
            unsafe { (EXPORTS.init)(IDENTITY, entry_point, context, &raw mut this, ptr::null_mut()) };
        assert_eq!(status, KUZZLE_INVALID_ARGUMENT);
    }
}

#[test]
fn an_error_that_is_too_short_is_not_written() {
    let host = Host::new(r#"{"protocols": {"test": {"fail_in": "init"}}}"#);
    let mut error = kuzzle_error { struct_size: 8, ..kuzzle_error::empty() };
    let mut this = ptr::null_mut();
    // SAFETY: the tables are leaked, the other pointers are ours.
    let status = unsafe {
        (EXPORTS.init)(IDENTITY, host.entry_point(), host.context(), &raw mut this, &raw mut error)
    };
    assert_eq!(status, KUZZLE_LIMIT);
    assert!(error.release.is_none() && error.message.ptr.is_null());
}

#[test]
fn messages_that_break_the_rules_are_refused_without_entering_the_protocol() {
    let loaded = load(r#"{"panic_in": "broadcast"}"#);
    let null_bytes = kuzzle_buf { data: ptr::null(), len: 3, owner: ptr::null_mut(), ops: ptr::null() };
    assert_eq!(loaded.broadcast(&[null_bytes]), KUZZLE_INVALID_ARGUMENT);
    let latin1 = b"\xe9";
    let bad_name = kuzzle_str { ptr: latin1.as_ptr().cast(), len: 1 };
    let null_name = kuzzle_str { ptr: ptr::null(), len: 1 };
    let good = kuzzle_broadcast {
        struct_size: size_of::<kuzzle_broadcast>() as u32,
        reserved: 0,
        channels: ptr::null(),
        channels_len: 0,
        parts: ptr::null(),
        parts_len: 0,
    };
    let broken = [
        kuzzle_broadcast { struct_size: 8, ..good },
        kuzzle_broadcast { channels_len: 1, ..good },
        kuzzle_broadcast { parts_len: 1, ..good },
        kuzzle_broadcast { channels: &raw const bad_name, channels_len: 1, ..good },
        kuzzle_broadcast { channels: &raw const null_name, channels_len: 1, ..good },
    ];
    // SAFETY: `this` is what `init` gave or null; broken messages are what is tested.
    unsafe {
        for message in &broken {
            assert_eq!((EXPORTS.broadcast)(loaded.this, message), KUZZLE_INVALID_ARGUMENT, "{message:?}");
        }
        assert_eq!((EXPORTS.broadcast)(loaded.this, ptr::null()), KUZZLE_INVALID_ARGUMENT);
        assert_eq!((EXPORTS.broadcast)(ptr::null_mut(), &raw const good), KUZZLE_INVALID_ARGUMENT);
        assert_eq!((EXPORTS.notify)(loaded.this, ptr::null()), KUZZLE_INVALID_ARGUMENT);
        assert_eq!((EXPORTS.disconnect)(loaded.this, ptr::null()), KUZZLE_INVALID_ARGUMENT);
        for name in [bad_name, null_name] {
            assert_eq!((EXPORTS.join_channel)(loaded.this, 1, name), KUZZLE_INVALID_ARGUMENT);
            assert_eq!((EXPORTS.leave_channel)(loaded.this, 1, name), KUZZLE_INVALID_ARGUMENT);
            assert!((EXPORTS.get_extension)(loaded.this, name).is_null());
        }
        assert_eq!((EXPORTS.start)(ptr::null_mut(), ptr::null_mut()), KUZZLE_INVALID_ARGUMENT);
        assert_eq!((EXPORTS.shutdown)(ptr::null_mut(), 0), KUZZLE_INVALID_ARGUMENT);
    }
    assert_eq!(loaded.call("join_channel"), KUZZLE_OK, "none of this has poisoned it");
}

#[test]
fn an_answer_is_given_with_everything_the_host_sent() {
    let entry_point = load("{}").entry_point();
    let (sender, receiver) = mpsc::channel();
    entry_point.execute(Request::new(b"{\"a\":").part(b"1}"), move |answer| {
        let answer = answer.expect("it is executed");
        assert_eq!(answer.headers().collect::<Vec<_>>(), [("x-test", "yes")]);
        sender.send(answer.to_owned()).unwrap();
    });
    let answer = receiver.try_recv().expect("it is answered inline");
    assert_eq!((answer.status, answer.raw, answer.request_id.as_str()), (200, false, "the-id"));
    assert_eq!(answer.content.to_vec_with_room("the-id"), br#"{"a":1,"room":"the-id"}"#);
    assert_eq!(answer.content.into_bytes(), &br#"{"a":1}"#[..]);
}

#[test]
fn a_refused_request_is_answered_once_and_its_error_released() {
    let loaded = load("{}");
    let entry_point = loaded.entry_point();
    let token = Arc::new(());
    let (held, (sender, receiver)) = (Arc::clone(&token), mpsc::channel());
    entry_point.execute(Request::new(b"refuse"), move |answer| {
        let _held = held;
        sender.send(answer.expect_err("it is refused")).unwrap();
    });
    let error = receiver.try_recv().expect("it is refused inline");
    assert_eq!(error.status(), Status::InvalidRequest);
    assert_eq!((error.message(), error.request_id()), ("refused by the test", Some("the-id")));
    assert_eq!(loaded.host.errors_released.load(Ordering::SeqCst), 1);
    assert_eq!(Arc::strong_count(&token), 1, "the completion's context is freed");
    assert!(receiver.try_recv().is_err());
}

#[test]
fn a_panicking_completion_stops_the_protocol_and_is_freed_once() {
    let entry_point = load("{}").entry_point();
    let token = Arc::new(());
    let held = Arc::clone(&token);
    entry_point.execute(Request::new(b"{}"), move |_| {
        let _held = held;
        panic!("scripted panic in a completion");
    });
    assert_eq!(Arc::strong_count(&token), 1);
    assert!(logged("scripted panic in a completion").is_some());
    let error = entry_point.new_connection(&ConnectionInfo::new()).expect_err("it is stopped");
    assert_eq!(error.status(), Status::Stopped);
    let held = Arc::clone(&token);
    entry_point.execute(Request::new(b"{}"), move |_| {
        let _held = held;
        unreachable!("a stopped protocol is not entered");
    });
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn execute_inside_a_completion_is_queued_and_keeps_its_order() {
    let loaded = load("{}");
    let entry_point = loaded.entry_point();
    let inner = entry_point.clone();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    entry_point.execute(Request::new(b"1"), move |_| {
        for document in ["2", "3"] {
            let (deeper, seen_inside) = (inner.clone(), Arc::clone(&seen));
            inner.execute(Request::new(document.as_bytes()), move |_| {
                seen_inside.lock().unwrap().push(document);
                deeper.execute(Request::new(format!("after {document}").as_bytes()), |_| ());
            });
        }
        seen.lock().unwrap().push("1");
    });
    assert_eq!(*order.lock().unwrap(), ["1", "2", "3"]);
    let state = loaded.host.state.lock().unwrap();
    assert_eq!(state.executed, ["1", "2", "3", "after 2", "after 3"]);
    assert_eq!(state.refused_as_reentrant, 0);
}

#[test]
fn a_long_pipeline_does_not_recurse() {
    fn next(entry_point: EntryPoint, left: u32) {
        let again = entry_point.clone();
        entry_point.execute(Request::new(b"{}"), move |_| {
            if left > 0 {
                next(again, left - 1);
            }
        });
    }
    let loaded = load("{}");
    let entry_point = loaded.entry_point();
    thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(move || next(entry_point, 20_000))
        .unwrap()
        .join()
        .expect("the stack suffices");
    assert_eq!(loaded.host.state.lock().unwrap().executed.len(), 20_001);
}

#[test]
fn execute_inside_a_broadcast_on_a_host_thread_is_done_elsewhere_in_order() {
    let loaded = load(r#"{"execute_in_broadcast": true}"#);
    let counters = Arc::default();
    for document in ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"] {
        let part = counted(&counters, document.as_bytes());
        assert_eq!(loaded.broadcast(&[part]), KUZZLE_OK);
        release(part);
    }
    let executed =
        loaded.host.wait("three requests", |s| (s.executed.len() == 3).then(|| s.executed.clone()));
    assert_eq!(executed, ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    assert_eq!(loaded.host.state.lock().unwrap().refused_as_reentrant, 0);
    assert_eq!(loaded.call("shutdown"), KUZZLE_OK);
}

#[test]
fn a_callback_that_the_sdk_does_not_know_of_is_retried_elsewhere() {
    let loaded = load("{}");
    let entry_point = loaded.entry_point();
    let (sender, receiver) = mpsc::channel();
    in_callback(|| {
        entry_point.execute(Request::new(b"{}"), move |answer| {
            sender.send(answer.map(|answer| answer.status())).unwrap();
        });
    });
    assert_eq!(receiver.recv_timeout(PATIENCE).expect("it is executed"), Ok(200));
    assert_eq!(loaded.host.state.lock().unwrap().refused_as_reentrant, 1);
}

#[test]
fn a_completion_may_come_on_another_thread() {
    let entry_point = load("{}").entry_point();
    let (sender, receiver) = mpsc::channel();
    entry_point.execute(Request::new(b"later"), move |answer| {
        sender.send(answer.map(|answer| answer.content().retain().into_bytes())).unwrap();
    });
    let content = receiver.recv_timeout(PATIENCE).expect("it is answered").expect("it is executed");
    assert_eq!(content, &b"later"[..]);
}

#[test]
fn a_payload_is_retained_once_for_many_clones_and_released_once() {
    let loaded = load("{}");
    let counters: Arc<Counters> = Arc::default();
    let part = counted(&counters, b"{}");
    assert_eq!(loaded.broadcast(&[part]), KUZZLE_OK);
    release(part);
    assert_eq!(counters.retained.load(Ordering::SeqCst), 1, "one for a hundred clones");
    assert_eq!(counters.freed.load(Ordering::SeqCst), 0, "the protocol still has them");
}

#[test]
fn retains_equal_releases_under_threads() {
    let host = Host::new("{}");
    let entry_point = init(host).expect("it initialises").entry_point();
    let answers: Vec<_> = (0..4)
        .map(|_| {
            let entry_point = entry_point.clone();
            thread::spawn(move || {
                for _ in 0..500 {
                    let (sender, receiver) = mpsc::channel();
                    entry_point.execute(Request::new(b"{\"a\":1}"), move |answer| {
                        sender.send(answer.expect("it is executed").content().retain()).unwrap();
                    });
                    let content: Content = receiver.recv().unwrap();
                    let readers: Vec<_> = (0..2)
                        .map(|_| {
                            let content = content.clone();
                            thread::spawn(move || assert_eq!(content.into_bytes(), &b"{\"a\":1}"[..]))
                        })
                        .collect();
                    drop(content);
                    readers.into_iter().for_each(|reader| reader.join().unwrap());
                }
            })
        })
        .collect();
    answers.into_iter().for_each(|thread| thread.join().unwrap());
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    assert_eq!(count(&host.buffers.retained), 2000);
    assert_eq!(count(&host.buffers.released), 2000);
    assert_eq!(count(&host.buffers.freed), 2000);
}

#[test]
fn a_dropped_connection_is_removed_also_by_a_panic() {
    let loaded = load("{}");
    let entry_point = loaded.entry_point();
    let first = entry_point.new_connection(&ConnectionInfo::new().ip("10.0.0.1")).unwrap();
    assert_eq!(first.uuid().to_string(), "abababab-abab-abab-abab-abababababab");
    let first_id = first.id().as_raw();
    drop(first);
    let second = entry_point.new_connection(&ConnectionInfo::new()).unwrap();
    let second_id = second.id().as_raw();
    let ended = thread::spawn(move || {
        let _second = second;
        panic!("scripted panic in a client's thread");
    });
    ended.join().expect_err("it panicked");
    assert_eq!(loaded.host.state.lock().unwrap().removed, [first_id, second_id]);
    assert!(entry_point.new_connection(&ConnectionInfo::new()).is_ok(), "nothing is poisoned");
}

#[test]
fn the_context_reads_options_errors_and_uuids() {
    struct Reader;
    impl Protocol for Reader {
        type Config = serde_json::Value;
        fn init(entry_point: EntryPoint, context: Context, _: serde_json::Value) -> Result<Self, Error> {
            assert_eq!(context.kuzzle_version(), "2.56.0");
            assert_eq!(context.option_i64("port")?, Some(7));
            assert_eq!(context.option_i64("absent")?, None);
            let error = context.option_i64("name").expect_err("a name is text");
            assert_eq!(error.status(), Status::WrongType);
            assert_eq!(context.option_string("/host")?, Some("127.0.0.1"));
            let known = context.error_by_id("api.process.controller_not_found").unwrap();
            assert_eq!((known.status, known.class), (404, "NotFoundError"));
            assert_eq!(context.errors().collect::<Vec<_>>(), [known]);
            assert_eq!(context.uuid().as_bytes(), &[0x11; 16]);
            assert!(context.get_extension("kuzzle.none/1").is_none());
            entry_point.report_listener("udp", "127.0.0.1:1")?;
            Ok(Self)
        }
        fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
        fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
        fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
            Ok(())
        }
        fn leave_channel(&self, _: ConnectionId, _: &str) {}
        fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
    }
    let host = Host::new("{}");
    let mut this = ptr::null_mut();
    // SAFETY: the tables are leaked, the other pointers are ours.
    let status = unsafe {
        (Exports::new::<Reader>().init)(
            IDENTITY,
            host.entry_point(),
            host.context(),
            &raw mut this,
            ptr::null_mut(),
        )
    };
    assert_eq!(status, KUZZLE_OK);
    let listeners = &host.state.lock().unwrap().listeners;
    assert_eq!(*listeners, [("udp".to_owned(), "127.0.0.1:1".to_owned())]);
}

#[test]
fn events_go_to_the_hosts_log_with_their_target_and_fields() {
    load("{}");
    tracing::info!(target: "my_target", port = 7, name = "x", "scripted event");
    tracing::debug!("scripted event that is not wanted");
    let (level, target, message) = logged("scripted event").expect("it is logged");
    assert_eq!((level, target.as_str()), (KUZZLE_LOG_INFO, "my_target"));
    assert_eq!(message, "scripted event port=7 name=\"x\"");
    assert!(logged("not wanted").is_none());
}

#[test]
fn what_is_queued_after_shutdown_is_answered_as_shut_down() {
    struct Late(EntryPoint);
    static ANSWER: Mutex<Option<Status>> = Mutex::new(None);
    impl Protocol for Late {
        type Config = serde_json::Value;
        fn init(entry_point: EntryPoint, _: Context, _: serde_json::Value) -> Result<Self, Error> {
            Ok(Self(entry_point))
        }
        fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
        fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
        fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
            self.0.execute(Request::new(b"{}"), |answer| {
                *ANSWER.lock().unwrap() = answer.err().map(|error| error.status());
            });
            Ok(())
        }
        fn leave_channel(&self, _: ConnectionId, _: &str) {}
        fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
    }
    let host = Host::new("{}");
    let exports = Exports::new::<Late>();
    let mut this = ptr::null_mut();
    // SAFETY: the tables are leaked, the other pointers are ours.
    unsafe {
        let null = ptr::null_mut();
        assert_eq!(
            (exports.init)(IDENTITY, host.entry_point(), host.context(), &raw mut this, null),
            KUZZLE_OK
        );
        assert_eq!((exports.shutdown)(this, 1000), KUZZLE_OK);
        assert_eq!((exports.join_channel)(this, 1, kuzzle_str::new("c")), KUZZLE_OK);
    }
    assert_eq!(*ANSWER.lock().unwrap(), Some(Status::Shutdown));
    assert!(host.state.lock().unwrap().executed.is_empty());
}
