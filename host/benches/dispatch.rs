//! What it costs to bring notifications to protocols: to the publisher's own at once, to another one
//! through its queue; and what connections and subscriptions cost.

#![allow(missing_docs, reason = "a benchmark has no public items")]

mod library;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use kuzzle_host::serving::Host;
use kuzzle_kernel::{Caller, Discard, Request};
use library::Library;
use serde_json::Value;

/// Broadcasts that are queued before the publisher waits: less than the queue holds.
const AHEAD: u64 = 1000;

fn publish(collection: &str) -> Vec<u8> {
    format!(
        r#"{{"controller":"realtime","action":"publish","index":"i","collection":"{collection}","body":{{"message":"hello"}}}}"#
    )
    .into_bytes()
}

fn subscribe(collection: &str, users: &str) -> Vec<u8> {
    format!(
        r#"{{"controller":"realtime","action":"subscribe","index":"i","collection":"{collection}","body":{{}},"users":"{users}"}}"#
    )
    .into_bytes()
}

/// The room's id is a digest, as Kuzzle makes it.
fn unsubscribe(room: &str) -> Vec<u8> {
    format!(r#"{{"controller":"realtime","action":"unsubscribe","body":{{"roomId":"{room}"}}}}"#).into_bytes()
}

fn wait_for(counter: &AtomicU64, number: u64) {
    while counter.load(Ordering::Acquire) < number {
        spin_loop();
    }
}

fn room(host: &Host, library: &Library, collection: &str) -> String {
    let before = rooms(host);
    library.execute(library.connect(), &subscribe(collection, "none"));
    rooms(host).into_iter().find(|room| !before.contains(room)).expect("it is a new room")
}

fn rooms(host: &Host) -> Vec<String> {
    let request = br#"{"controller":"realtime","action":"list"}"#;
    let request = Request::parse(request).expect("it is a request");
    let caller =
        Caller { connection: None, uuid: None, protocol: "bench", headers: &[], connection_headers: &[] };
    let response = host.kernel.execute(&request, &caller, &mut Discard);
    let list: Value = serde_json::from_slice(response.content.as_bytes()).expect("it is JSON");
    let collections = list["result"]["i"].as_object().into_iter().flatten();
    collections
        .flat_map(|(_, rooms)| rooms.as_object().into_iter().flatten())
        .map(|(id, _)| id.clone())
        .collect()
}

fn dispatch(criterion: &mut Criterion) {
    let (host, [own]) = library::serve(["own"]);
    let publisher = own.connect();

    let mut group = criterion.benchmark_group("publish to");
    for subscribers in [1, 100, 10_000] {
        let collection = format!("to{subscribers}");
        (0..subscribers).for_each(|_| own.execute(own.connect(), &subscribe(&collection, "none")));
        let request = publish(&collection);
        let before = own.broadcasts.load(Ordering::Acquire);
        own.execute(publisher, &request);
        let calls = own.broadcasts.load(Ordering::Acquire) - before;
        assert_eq!(calls, 1, "one broadcast whatever the number of subscribers");
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter(|| own.execute(publisher, black_box(&request)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("connection");
    group.bench_function("connect + remove", |bencher| bencher.iter(|| own.remove(own.connect())));
    let client = own.connect();
    let room_id = room(host, own, "comes");
    let (come, go) = (subscribe("comes", "none"), unsubscribe(&room_id));
    group.bench_function("subscribe + unsubscribe", |bencher| {
        bencher.iter(|| {
            own.execute(client, black_box(&come));
            own.execute(client, black_box(&go));
        });
    });
    // The same with a connection that is told who leaves: one more `notify`, its outbox is idle.
    own.execute(own.connect(), &subscribe("comes", "out"));
    group.bench_function("subscribe + unsubscribe + notify", |bencher| {
        bencher.iter(|| {
            own.execute(client, black_box(&come));
            own.execute(client, black_box(&go));
        });
    });
    group.finish();
}

fn queue(criterion: &mut Criterion) {
    let (host, [own, other]) = library::serve(["own", "other"]);
    let publisher = own.connect();
    let client = own.connect();
    other.execute(other.connect(), &subscribe("queued", "none"));
    let request = publish("queued");

    // Publishes `times`; waits for the other protocol whenever it is `ahead` of it.
    let publish = |times: u64, ahead: u64| {
        let mut sent = other.broadcasts.load(Ordering::Acquire);
        let (mut total, began) = (Duration::ZERO, Instant::now());
        for round in 0..times {
            let asked = Instant::now();
            own.execute(publisher, black_box(&request));
            total += asked.elapsed();
            sent += 1;
            if (round + 1) % ahead == 0 {
                wait_for(&other.broadcasts, sent);
            }
        }
        wait_for(&other.broadcasts, sent);
        (total, began.elapsed())
    };
    let mut group = criterion.benchmark_group("publish to another protocol");
    group.bench_function("publisher's time", |bencher| bencher.iter_custom(|times| publish(times, AHEAD).0));
    group.bench_function("until delivered, many", |bencher| {
        bencher.iter_custom(|times| publish(times, AHEAD).1)
    });
    group.bench_function("until delivered, one by one", |bencher| {
        bencher.iter_custom(|times| publish(times, 1).1)
    });
    group.finish();

    // Somebody in the other protocol is told who leaves: its outbox is drained by its own thread.
    let room_id = room(host, own, "leaves");
    let (come, go) = (subscribe("leaves", "none"), unsubscribe(&room_id));
    other.execute(other.connect(), &subscribe("leaves", "out"));
    let mut group = criterion.benchmark_group("connection");
    group.bench_function("subscribe + unsubscribe + notify, queued", |bencher| {
        bencher.iter_custom(|times| {
            let mut sent = other.notifications.load(Ordering::Acquire);
            let began = Instant::now();
            for round in 0..times {
                own.execute(client, black_box(&come));
                own.execute(client, black_box(&go));
                sent += 1;
                if round % AHEAD == 0 {
                    wait_for(&other.notifications, sent);
                }
            }
            wait_for(&other.notifications, sent);
            began.elapsed()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = dispatch, queue
}
criterion_main!(benches);
