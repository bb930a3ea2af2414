//! What the boundary costs: a call through the ABI against a direct one, and a whole request.

#![allow(unsafe_code, reason = "plays the part of a library")]
#![allow(missing_docs, reason = "a benchmark has no public items")]

mod library;

use std::hint::black_box;
use std::sync::atomic::Ordering;

use criterion::{Criterion, criterion_group, criterion_main};
use kuzzle_host::config::{AccessLogFormat, AccessLogOutput, AccessLogs};
use kuzzle_host::serving::AccessLog;
use kuzzle_kernel::{Caller, Discard, Request};
use kuzzle_protocol_abi::raw::*;

const NOW: &[u8] = br#"{"controller":"server","action":"now","requestId":"b5e1b0a2"}"#;
const SUBSCRIBE: &[u8] =
    br#"{"controller":"realtime","action":"subscribe","index":"i","collection":"c","body":{}}"#;
const PUBLISH: &[u8] =
    br#"{"controller":"realtime","action":"publish","index":"i","collection":"c","body":{"message":"hello"}}"#;

#[inline(never)]
fn direct(connection: u64, name: &str) -> i32 {
    black_box((connection, name));
    KUZZLE_OK
}

fn boundary(criterion: &mut Criterion) {
    let (host, [library]) = library::serve(["bench"]);
    let connection = library.connect();

    let mut group = criterion.benchmark_group("call");
    group.bench_function("direct", |bencher| bencher.iter(|| direct(black_box(7), black_box("channel"))));
    let pointer: kuzzle_protocol_channel_fn = black_box(library::channel);
    group.bench_function("abi", |bencher| {
        // SAFETY: the function touches nothing.
        bencher.iter(|| unsafe {
            pointer(std::ptr::null_mut(), black_box(7), kuzzle_str::new(black_box("channel")))
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("execute server:now");
    let direct = library::kernel();
    group.bench_function("kernel", |bencher| {
        let caller =
            Caller { connection: None, uuid: None, protocol: "bench", headers: &[], connection_headers: &[] };
        bencher.iter(|| {
            let request = Request::parse(black_box(NOW)).expect("it is a request");
            direct.execute(&request, &caller, &mut Discard)
        });
    });
    group.bench_function("abi, no connection", |bencher| bencher.iter(|| library.execute(0, black_box(NOW))));
    group.bench_function("abi, connection", |bencher| {
        bencher.iter(|| library.execute(connection, black_box(NOW)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("execute realtime:publish");
    group.bench_function("abi, no subscriber", |bencher| {
        bencher.iter(|| library.execute(connection, black_box(PUBLISH)));
    });
    library.execute(connection, SUBSCRIBE);
    group.bench_function("abi, own subscriber", |bencher| {
        bencher.iter(|| library.execute(connection, black_box(PUBLISH)));
    });
    group.finish();

    // The last one, as there is no way back: mostly lines that are dropped, no thread writes as fast.
    let output = AccessLogOutput { file: Some("/dev/null".into()), format: AccessLogFormat::Combined };
    let settings = AccessLogs { outputs: vec![output], ip_offset: 0 };
    host.log_accesses(AccessLog::open(&settings).expect("it can be opened").expect("there is an output"));
    criterion.bench_function("execute server:now/abi, connection, access log", |bencher| {
        bencher.iter(|| library.execute(connection, black_box(NOW)));
    });
    assert!(library::ANSWERS.load(Ordering::Relaxed) > 0);
}

criterion_group!(benches, boundary);
criterion_main!(benches);
