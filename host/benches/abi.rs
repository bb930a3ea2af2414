//! What the boundary costs: a call through the ABI against a direct one, and a whole request.

#![allow(unsafe_code, reason = "plays the part of a library")]
#![allow(missing_docs, reason = "a benchmark has no public items")]

use std::ffi::c_void;
use std::hint::black_box;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kuzzle_host::config::{AccessLogFormat, AccessLogOutput, AccessLogs};
use kuzzle_host::installation::OnPanic;
use kuzzle_host::loading;
use kuzzle_host::serving::abi::Functions;
use kuzzle_host::serving::{AccessLog, Description, Host, Protocol};
use kuzzle_kernel::{Caller, Discard, Kernel, Request, Settings, SystemEnvironment};
use kuzzle_protocol_abi::raw::*;

const NOW: &[u8] = br#"{"controller":"server","action":"now","requestId":"b5e1b0a2"}"#;
const SUBSCRIBE: &[u8] =
    br#"{"controller":"realtime","action":"subscribe","index":"i","collection":"c","body":{}}"#;
const PUBLISH: &[u8] =
    br#"{"controller":"realtime","action":"publish","index":"i","collection":"c","body":{"message":"hello"}}"#;

static ENTRY_POINT: AtomicPtr<kuzzle_entry_point> = AtomicPtr::new(std::ptr::null_mut());
static ANSWERS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn init(
    entry_point: *const kuzzle_entry_point,
    _: *const kuzzle_context,
    _: *mut *mut kuzzle_protocol,
    _: *mut kuzzle_error,
) -> i32 {
    ENTRY_POINT.store(entry_point.cast_mut(), Ordering::Release);
    KUZZLE_OK
}
unsafe extern "C" fn broadcast(_: *mut kuzzle_protocol, message: *const kuzzle_broadcast) -> i32 {
    black_box(message);
    KUZZLE_OK
}
unsafe extern "C" fn notify(_: *mut kuzzle_protocol, _: *const kuzzle_notification) -> i32 {
    KUZZLE_OK
}
unsafe extern "C" fn channel(_: *mut kuzzle_protocol, connection: u64, name: kuzzle_str) -> i32 {
    black_box((connection, name));
    KUZZLE_OK
}
unsafe extern "C" fn disconnect(_: *mut kuzzle_protocol, _: *const kuzzle_disconnect) -> i32 {
    KUZZLE_OK
}
unsafe extern "C" fn completed(_: *mut c_void, response: *const kuzzle_response) -> i32 {
    black_box(response);
    ANSWERS.fetch_add(1, Ordering::Relaxed);
    KUZZLE_OK
}

fn entry_point() -> &'static kuzzle_entry_point {
    // SAFETY: stored by `init`, lives for ever.
    unsafe { &*ENTRY_POINT.load(Ordering::Acquire) }
}

fn execute(connection: u64, document: &[u8]) {
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
    let completion = kuzzle_completion { function: Some(completed), context: std::ptr::null_mut() };
    // SAFETY: everything lives until the call returns.
    let status = unsafe {
        entry_point().execute.expect("the host fills the table")(
            entry_point(),
            &request,
            completion,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(status, KUZZLE_OK);
}

fn connect() -> u64 {
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
    let mut handle = 0;
    // SAFETY: everything lives until the call returns.
    let status = unsafe {
        entry_point().new_connection.expect("the host fills the table")(
            entry_point(),
            &info,
            &mut handle,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(status, KUZZLE_OK);
    handle
}

#[inline(never)]
fn direct(connection: u64, name: &str) -> i32 {
    black_box((connection, name));
    KUZZLE_OK
}

fn kernel() -> Kernel {
    Kernel::new(Settings::default(), Box::new(SystemEnvironment))
}

fn boundary(criterion: &mut Criterion) {
    let functions = Functions {
        init,
        start: None,
        broadcast,
        notify,
        join_channel: channel,
        leave_channel: channel,
        disconnect,
        shutdown: None,
    };
    let host = Host::new(kernel(), 1 << 20);
    let description = Description {
        name: "bench".into(),
        version: None,
        entry: "bench".into(),
        on_panic: OnPanic::Stop,
        max_connections: u64::MAX,
        options: serde_json::json!({ "bench": {} }),
        config: "{}".into(),
        server_host: None,
        server_port: 7512,
    };
    let protocol = Protocol::new(host, 0, description, functions);
    host.register(vec![protocol]);
    assert!(loading::init(&[protocol], Duration::from_secs(5)).is_empty());
    host.open_gate();
    let connection = connect();

    let mut group = criterion.benchmark_group("call");
    group.bench_function("direct", |bencher| bencher.iter(|| direct(black_box(7), black_box("channel"))));
    let pointer: kuzzle_protocol_channel_fn = black_box(channel);
    group.bench_function("abi", |bencher| {
        // SAFETY: the function touches nothing.
        bencher.iter(|| unsafe {
            pointer(std::ptr::null_mut(), black_box(7), kuzzle_str::new(black_box("channel")))
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("execute server:now");
    let direct = kernel();
    group.bench_function("kernel", |bencher| {
        let caller = Caller { connection: None, uuid: None, protocol: "bench", headers: &[] };
        bencher.iter(|| {
            let request = Request::parse(black_box(NOW)).expect("it is a request");
            direct.execute(&request, &caller, &mut Discard)
        });
    });
    group.bench_function("abi, no connection", |bencher| bencher.iter(|| execute(0, black_box(NOW))));
    group.bench_function("abi, connection", |bencher| bencher.iter(|| execute(connection, black_box(NOW))));
    group.finish();

    let mut group = criterion.benchmark_group("execute realtime:publish");
    group.bench_function("abi, no subscriber", |bencher| {
        bencher.iter(|| execute(connection, black_box(PUBLISH)));
    });
    execute(connection, SUBSCRIBE);
    group.bench_function("abi, own subscriber", |bencher| {
        bencher.iter(|| execute(connection, black_box(PUBLISH)));
    });
    group.finish();

    // The last one, as there is no way back: mostly lines that are dropped, no thread writes as fast.
    let output = AccessLogOutput { file: Some("/dev/null".into()), format: AccessLogFormat::Combined };
    let settings = AccessLogs { outputs: vec![output], ip_offset: 0 };
    host.log_accesses(AccessLog::open(&settings).expect("it can be opened").expect("there is an output"));
    criterion.bench_function("execute server:now/abi, connection, access log", |bencher| {
        bencher.iter(|| execute(connection, black_box(NOW)));
    });
    assert!(ANSWERS.load(Ordering::Relaxed) > 0);
}

criterion_group!(benches, boundary);
criterion_main!(benches);
