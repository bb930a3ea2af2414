//! Order, re-entrancy and containment, through the real C ABI with scripted protocols.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kuzzle_kernel::{Outbound, Payload};
use kuzzle_protocol_abi::raw;
use serde_json::json;

use super::testing::{self, DEADLINE, host_with};
use super::turn::Turn;
use super::{Outcome, State, shutdown};

#[test]
fn a_subscriber_is_joined_before_its_answer_and_notified_before_its_own_publish_is_answered() {
    let (_, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    assert_eq!(p.probe.subscribe(client, "c"), raw::KUZZLE_OK);
    assert_eq!(p.so_far(), ["join", "response subscribe-c 200"]);
    assert_eq!(p.probe.publish(client, "c"), raw::KUZZLE_OK);
    assert_eq!(p.so_far(), ["broadcast \"document\"", "response publish 200"]);
}

#[test]
fn who_enters_is_told_after_the_join_even_if_another_thread_delivers_it() {
    let (_, [p]) = host_with(["p"]);
    let (stays, joins) = (p.probe.connect().unwrap(), p.probe.connect().unwrap());
    assert_eq!(p.probe.subscribe(stays, "c"), raw::KUZZLE_OK);
    let _ = p.so_far();
    // A thread is held in an answer to the joiner, so that it delivers what comes meanwhile.
    let (held, is_held) = mpsc::channel();
    let (release, hold) = mpsc::channel::<()>();
    let hold = parking_lot::Mutex::new(hold);
    p.script("response", move |_| {
        let _ = held.send(());
        let _ = hold.lock().recv();
        0
    });
    let answering = thread::spawn(move || {
        p.probe.execute(joins, &json!({ "controller": "server", "action": "now", "requestId": "now" }))
    });
    is_held.recv_timeout(DEADLINE).unwrap();
    assert_eq!(p.probe.subscribe(joins, "c"), raw::KUZZLE_OK);
    assert_eq!(p.so_far(), ["response now 200"], "the join waits, and so does what tells of it");
    drop(release);
    assert_eq!(answering.join().unwrap(), raw::KUZZLE_OK);
    let rest: Vec<_> = (0..3).map(|_| p.next()).collect();
    assert_eq!(rest, ["join", "broadcast user in", "response subscribe-c 200"]);
}

#[test]
fn another_protocols_broadcast_comes_on_its_own_thread() {
    let (_, [a, b]) = host_with(["a", "b"]);
    let subscriber = b.probe.connect().unwrap();
    b.probe.subscribe(subscriber, "c");
    let _ = b.so_far();
    let (sender, thread) = mpsc::channel();
    b.script("broadcast", move |_| {
        sender.send(thread::current().name().map(str::to_owned)).unwrap();
        0
    });
    a.probe.publish(0, "c");
    assert_eq!(thread.recv_timeout(DEADLINE).unwrap().as_deref(), Some("kuzzle-b"));
    assert_eq!(b.next(), "broadcast \"document\"");
}

#[test]
fn messages_that_a_protocol_is_too_slow_for_are_dropped_and_counted() {
    let (host, [a, b]) = host_with(["a", "b"]);
    let (release, hold) = mpsc::channel::<()>();
    let (held, is_held) = mpsc::channel();
    let hold = parking_lot::Mutex::new(hold);
    b.script("broadcast", move |_| {
        let _ = held.send(());
        let _ = hold.lock().recv();
        0
    });
    // 64 MiB may wait.
    let payload = Payload::from([b"{".as_slice(), &vec![b' '; 20 << 20], b"}"].concat());
    let broadcast = || Turn::outside(host).broadcast(Arc::new(["c".into()]), payload.clone());
    broadcast();
    is_held.recv_timeout(DEADLINE).unwrap();
    for _ in 0..5 {
        broadcast();
        let delivered = a.protocol.counters.notifications.get();
        let goes_on = || a.protocol.counters.notifications.get() > delivered || a.protocol.queue.is_idle();
        assert!(shutdown::wait(Instant::now() + DEADLINE, goes_on), "nobody else waits");
    }
    assert_eq!((a.protocol.counters.dropped.get(), b.protocol.counters.dropped.get()), (0, 2));
    drop(release);
    let delivered = || b.protocol.counters.notifications.get() == 4;
    assert!(shutdown::wait(Instant::now() + DEADLINE, delivered), "what was accepted is delivered");
}

#[test]
fn a_slow_protocol_does_not_delay_the_publisher_of_another() {
    let (_, [a, b]) = host_with(["a", "b"]);
    b.probe.subscribe(b.probe.connect().unwrap(), "c");
    let _ = b.so_far();
    let (release, hold) = mpsc::channel::<()>();
    let hold = parking_lot::Mutex::new(hold);
    b.script("broadcast", move |_| {
        let _ = hold.lock().recv();
        0
    });
    for _ in 0..10 {
        assert_eq!(a.probe.publish(0, "c"), raw::KUZZLE_OK);
    }
    assert_eq!(a.so_far().iter().filter(|event| *event == "response publish 200").count(), 10);
    drop(release);
    for _ in 0..10 {
        assert_eq!(b.next(), "broadcast \"document\"");
    }
}

#[test]
fn execute_is_refused_inside_every_callback() {
    let (_, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    for function in ["join", "leave", "broadcast", "response"] {
        let refused = refused.clone();
        p.script(function, move |probe| {
            let status = probe.execute(0, &json!({ "controller": "server", "action": "now" }));
            assert_eq!(status, raw::KUZZLE_REENTRANT);
            refused.fetch_add(1, Ordering::Relaxed);
            0
        });
    }
    p.probe.subscribe(client, "c");
    p.probe.publish(client, "c");
    let events = p.so_far();
    assert_eq!(refused.load(Ordering::Relaxed), events.len());
    assert_eq!(
        events,
        ["join", "response subscribe-c 200", "broadcast \"document\"", "response publish 200"]
    );
}

#[test]
fn another_thread_may_publish_while_a_callback_waits_for_it() {
    let (_, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    for function in ["join", "broadcast", "response"] {
        p.script(function, move |probe| {
            if thread::current().name() != Some("helper") {
                let publish = move || probe.publish(0, "elsewhere");
                let helper = thread::Builder::new().name("helper".into()).spawn(publish).unwrap();
                assert_eq!(helper.join().unwrap(), raw::KUZZLE_OK);
            }
            0
        });
    }
    p.probe.subscribe(client, "c");
    p.probe.publish(client, "c");
    let events = p.so_far();
    assert!(events.contains(&"broadcast \"document\"".to_owned()), "{events:?}");
    assert_eq!(events.iter().filter(|event| *event == "response publish 200").count(), 5);
}

#[test]
fn a_refused_join_undoes_the_subscription_and_answers_an_error() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.script("join", |_| raw::KUZZLE_FAILED);
    assert_eq!(p.probe.subscribe(client, "c"), raw::KUZZLE_OK);
    assert_eq!(p.so_far(), ["join", "response subscribe-c 500"]);
    assert_eq!(host.kernel.rooms(), 0);
    p.script("join", |_| raw::KUZZLE_OK);
    p.probe.subscribe(client, "c");
    assert_eq!(p.so_far(), ["join", "response subscribe-c 200"]);
    assert_eq!(host.kernel.rooms(), 1);
}

#[test]
fn a_connection_removed_inside_a_callback_is_stale_at_once_and_told_from_a_loop() {
    const CLIENTS: usize = 3_000;
    let (host, [p]) = host_with(["p"]);
    let witness = p.probe.connect().unwrap();
    p.probe.subscribe(witness, "c");
    let clients: Vec<_> = (0..CLIENTS).map(|_| p.probe.connect().unwrap()).collect();
    for client in &clients {
        p.probe.subscribe(*client, "c");
    }
    let _ = p.so_far();
    // Each removal causes a broadcast, in which the next client is found dead.
    let (left, deepest, depth) = (
        Arc::new(parking_lot::Mutex::new(clients)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let seen = deepest.clone();
    p.script("broadcast", move |probe| {
        seen.fetch_max(depth.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let next = left.lock().pop();
        if let Some(client) = next {
            assert_eq!(probe.remove(client), raw::KUZZLE_OK);
            assert_eq!(probe.remove(client), raw::KUZZLE_BAD_HANDLE);
            assert_eq!(probe.publish(client, "c"), raw::KUZZLE_REENTRANT);
        }
        depth.fetch_sub(1, Ordering::Relaxed);
        0
    });
    p.probe.publish(witness, "c");
    assert_eq!(deepest.load(Ordering::Relaxed), 1, "broadcasts were nested");
    assert_eq!(host.connections.len(), 1);
    assert_eq!(p.so_far().iter().filter(|event| *event == "broadcast user out").count(), CLIENTS);
}

#[test]
fn the_answer_to_a_connection_that_went_away_meanwhile_says_so() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.script("join", move |probe| {
        assert_eq!(probe.remove(client), raw::KUZZLE_OK);
        0
    });
    assert_eq!(p.probe.subscribe(client, "c"), raw::KUZZLE_OK);
    assert_eq!(p.so_far(), ["join", "response subscribe-c 400"]);
    assert_eq!((host.kernel.rooms(), host.connections.len()), (0, 0));
    assert_eq!(p.probe.publish(client, "c"), raw::KUZZLE_BAD_HANDLE);
}

/// Has the kernel's side notify a connection, as a turn of its own protocol.
fn notify(test: &testing::TestProtocol, connection: u64) {
    let payload = kuzzle_kernel::Payload::new(br#"{"type":"TokenExpired"}"#.to_vec());
    let channels = Arc::new(["kuzzle:notification:server".into()]);
    super::turn::Turn::inside(test.protocol).notify(
        kuzzle_kernel::ConnectionId(connection),
        channels,
        payload,
    );
}

#[test]
fn a_notification_for_one_connection_comes_in_its_order_and_not_after_its_removal() {
    let (_, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.script("notify", move |probe| {
        assert_eq!(probe.execute(0, &json!({ "controller": "server" })), raw::KUZZLE_REENTRANT);
        thread::spawn(move || assert_eq!(probe.publish(0, "elsewhere"), raw::KUZZLE_OK)).join().unwrap();
        0
    });
    notify(&p, client);
    assert_eq!(p.so_far(), ["notify", "response publish 200"]);
    p.probe.remove(client);
    notify(&p, client);
    assert!(p.so_far().is_empty());
}

#[test]
fn a_protocol_that_panics_in_notify_is_stopped() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.script("notify", |_| raw::KUZZLE_PANIC);
    notify(&p, client);
    assert_eq!(p.events(), ["notify", "shutdown"]);
    assert_eq!(host.connections.len(), 0);
}

#[test]
fn a_foreign_handle_is_refused() {
    let (_, [a, b]) = host_with(["a", "b"]);
    let client = a.probe.connect().unwrap();
    assert_eq!(b.probe.publish(client, "c"), raw::KUZZLE_BAD_HANDLE);
    assert_eq!(b.probe.remove(client), raw::KUZZLE_BAD_HANDLE);
    assert_eq!(a.probe.remove(client), raw::KUZZLE_OK);
}

#[test]
fn a_stale_handle_is_refused_when_its_slot_is_used_again() {
    let (host, [p]) = host_with(["p"]);
    let stale = p.probe.connect().unwrap();
    assert_eq!(p.probe.remove(stale), raw::KUZZLE_OK);
    let client = p.probe.connect().unwrap();
    assert_eq!(stale & 0xff_ffff, client & 0xff_ffff, "the same slot");
    for hostile in [stale, 0xff_ffff, u64::MAX, client ^ 1, client + (1 << 24), client | 1 << 63] {
        assert_eq!(p.probe.subscribe(hostile, "c"), raw::KUZZLE_BAD_HANDLE, "{hostile:x}");
        assert_eq!(p.probe.remove(hostile), raw::KUZZLE_BAD_HANDLE, "{hostile:x}");
    }
    assert_eq!(p.probe.remove(0), raw::KUZZLE_BAD_HANDLE);
    assert!(p.so_far().is_empty());
    assert_eq!((host.connections.len(), host.kernel.rooms()), (1, 0));
    assert_eq!(p.probe.subscribe(client, "c"), raw::KUZZLE_OK);
    assert_eq!(p.so_far(), ["join", "response subscribe-c 200"]);
}

/// Whatever a protocol does with its completion: it may have freed the context when it returns.
#[test]
fn an_answer_is_given_once_whatever_its_completion_does() {
    type Does = fn(&'static testing::Probe, u64) -> i32;
    let fails: Does = |_, _| raw::KUZZLE_FAILED;
    let removes: Does = |probe, client| probe.remove(client);
    let removes_and_fails: Does = |probe, client| probe.remove(client) + raw::KUZZLE_FAILED;
    let asks: Does = |probe, client| probe.publish(client, "c");
    let panics: Does = |_, _| raw::KUZZLE_PANIC;
    for does in [fails, removes, removes_and_fails, asks, panics] {
        let (host, [p]) = host_with(["p"]);
        let client = p.probe.connect().unwrap();
        p.script("response", move |probe| does(probe, client));
        assert_eq!(p.probe.publish(client, "c"), raw::KUZZLE_OK);
        assert_eq!(p.next(), "response publish 200");
        // Everything that could still come has come then.
        assert_eq!(host.shut_down(DEADLINE), Outcome::Clean);
        let answers = p.so_far().iter().filter(|event| event.starts_with("response")).count();
        assert_eq!(answers, 0, "it is answered again");
    }
}

/// A refused request is not answered: its context may be freed as soon as `execute` has returned.
#[test]
fn a_refused_request_is_never_answered() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.probe.remove(client);
    assert_eq!(p.probe.publish(client, "c"), raw::KUZZLE_BAD_HANDLE);
    assert_eq!(p.probe.execute_bytes(0, b"{"), raw::KUZZLE_INVALID_JSON);
    host.stop(p.protocol, super::Function::Broadcast);
    let status = p.probe.publish(0, "c");
    assert!([raw::KUZZLE_STOPPED, raw::KUZZLE_SHUTDOWN].contains(&status), "{status}");
    assert_eq!(p.next(), "shutdown");
    assert_eq!(host.shut_down(DEADLINE), Outcome::Clean);
    assert_eq!(p.probe.publish(0, "c"), raw::KUZZLE_SHUTDOWN);
    assert!(p.so_far().is_empty());
}

#[test]
fn a_request_of_many_levels_needs_little_stack() {
    let (_, [p]) = host_with(["p"]);
    let probe = p.probe;
    let nested = |levels: usize, member: &str| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(
            r#"{{"controller":"realtime","action":"publish","index":"i","collection":"c","body":{{}},"{member}":{open}{close}}}"#
        )
    };
    // As much stack as a protocol has to have for `execute`.
    let small = thread::Builder::new().stack_size(512 << 10);
    let asking = small.spawn(move || {
        for member in ["volatile", "else", "requestId"] {
            let status = probe.execute_bytes(0, nested(10_000, member).as_bytes());
            assert_eq!(status, raw::KUZZLE_INVALID_JSON, "{member}");
        }
        for unclosed in ["[", "{\"a\":"] {
            assert_eq!(probe.execute_bytes(0, unclosed.repeat(10_000).as_bytes()), raw::KUZZLE_INVALID_JSON);
        }
        assert_eq!(probe.execute_bytes(0, nested(100, "else").as_bytes()), raw::KUZZLE_OK);
        let (open, close) = (r#"{"not":"#.repeat(100), "}".repeat(100));
        let filter = format!(
            r#"{{"controller":"realtime","action":"subscribe","index":"i","collection":"c","requestId":"deep",
                "body":{open}{{"exists":"a"}}{close}}}"#
        );
        let client = probe.connect().unwrap();
        assert_eq!(probe.execute_bytes(client, filter.as_bytes()), raw::KUZZLE_OK);
        assert_eq!(probe.publish(client, "c"), raw::KUZZLE_OK);
    });
    asking.unwrap().join().unwrap();
    assert!(p.next().ends_with("200"));
    assert_eq!(p.so_far().last().unwrap(), "response publish 200");
}

#[test]
fn what_is_no_request_is_refused_without_an_answer() {
    let (_, [p]) = host_with(["p"]);
    for (document, status) in [
        (&b"{"[..], raw::KUZZLE_INVALID_JSON),
        (b"", raw::KUZZLE_INVALID_JSON),
        (b"\xff{}", raw::KUZZLE_INVALID_JSON),
        (b"[]", raw::KUZZLE_INVALID_REQUEST),
        (b"null", raw::KUZZLE_INVALID_REQUEST),
        (br#"{"requestId": 12}"#, raw::KUZZLE_INVALID_REQUEST),
        (br#"{"controller": {}}"#, raw::KUZZLE_INVALID_REQUEST),
    ] {
        assert_eq!(p.probe.execute_bytes(0, document), status, "{}", String::from_utf8_lossy(document));
    }
    assert!(p.so_far().is_empty());
    assert_eq!(p.probe.execute_bytes(0, &[b' '; (1 << 20) + 1]), raw::KUZZLE_OK);
    assert!(p.next().ends_with("413"));
}

#[test]
fn the_gate_is_closed_until_every_init_has_succeeded() {
    let (host, [p]) = host_with(["p"]);
    host.gate.store(false, Ordering::Release);
    assert_eq!(p.probe.connect(), Err(raw::KUZZLE_NOT_STARTED));
    assert_eq!(p.probe.execute(0, &json!({ "controller": "server", "action": "now" })), raw::KUZZLE_OK);
    host.open_gate();
    assert!(p.probe.connect().is_ok());
}

#[test]
fn a_panicking_protocol_is_stopped_and_the_other_goes_on() {
    let (host, [a, b]) = host_with(["a", "b"]);
    let (client, witness) = (a.probe.connect().unwrap(), b.probe.connect().unwrap());
    b.probe.subscribe(witness, "c");
    a.probe.subscribe(client, "c");
    assert_eq!(b.events(), ["join", "response subscribe-c 200", "broadcast user in"]);
    let _ = a.so_far();
    a.script("broadcast", |_| raw::KUZZLE_PANIC);
    b.probe.publish(witness, "c");
    assert_eq!(a.events(), ["broadcast \"document\"", "shutdown"]);
    // That the stopped protocol's client has left is told on another thread than the answer.
    let mut told: [String; 3] = b.events();
    told.sort();
    assert_eq!(told, ["broadcast \"document\"", "broadcast user out", "response publish 200"]);
    assert_eq!(host.connections.len(), 1);
    assert_ne!(a.protocol.state(), State::Initialised);
    assert!([raw::KUZZLE_STOPPED, raw::KUZZLE_SHUTDOWN].contains(&a.probe.connect().unwrap_err()));
    b.probe.publish(witness, "c");
    assert_eq!(b.events(), ["broadcast \"document\"", "response publish 200"]);
    assert!(a.so_far().is_empty(), "a stopped protocol is not called");
}

#[test]
fn a_protocol_that_panics_in_a_completion_is_stopped() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.script("response", |_| raw::KUZZLE_PANIC);
    assert_eq!(p.probe.subscribe(client, "c"), raw::KUZZLE_OK);
    assert_eq!(p.events(), ["join", "response subscribe-c 200", "shutdown"]);
    assert_eq!((host.connections.len(), host.kernel.rooms()), (0, 0));
}

#[test]
fn shutdown_tells_clients_then_protocols_in_reverse() {
    let (host, [a, b]) = host_with(["a", "b"]);
    let client = a.probe.connect().unwrap();
    a.script("disconnect", move |probe| probe.remove(client));
    let (sender, order) = mpsc::channel();
    for test in [&a, &b] {
        let (sender, name) = (sender.clone(), test.protocol.name.clone());
        test.script("shutdown", move |_| {
            sender.send(name.clone()).unwrap();
            0
        });
    }
    assert_eq!(host.shut_down(Duration::from_secs(10)), Outcome::Clean);
    assert_eq!(order.try_iter().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(a.so_far(), ["disconnect 2", "shutdown"]);
    assert_eq!(a.probe.connect(), Err(raw::KUZZLE_SHUTDOWN));
    assert_eq!(a.probe.execute(0, &json!({})), raw::KUZZLE_SHUTDOWN);
}

#[test]
fn while_shutting_down_requests_are_answered_so() {
    let (host, [p]) = host_with(["p"]);
    host.kernel.begin_shutdown();
    p.probe.execute(0, &json!({ "controller": "server", "action": "now", "requestId": "r" }));
    assert_eq!(p.so_far(), ["response r 503"]);
}

#[test]
fn a_hanging_shutdown_is_named() {
    let (host, [p]) = host_with(["p"]);
    let (release, hold) = mpsc::channel::<()>();
    let hold = parking_lot::Mutex::new(hold);
    p.script("shutdown", move |_| {
        let _ = hold.lock().recv();
        0
    });
    let Outcome::Late(waited_for) = host.shut_down(Duration::from_millis(50)) else { panic!("it is late") };
    assert_eq!(waited_for, ["shutdown of protocol \"p\""]);
    drop(release);
}

#[test]
fn answers_of_many_threads_on_one_connection_come_exactly_once() {
    let (_, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.probe.subscribe(client, "c");
    let _ = p.so_far();
    const THREADS: usize = 4;
    const EACH: usize = 500;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| assert_eq!(p.probe.publish(client, "c"), raw::KUZZLE_OK)));
        }
    });
    let (mut responses, mut broadcasts) = (0, 0);
    while responses < THREADS * EACH {
        match p.next().as_str() {
            "response publish 200" => responses += 1,
            "broadcast \"document\"" => broadcasts += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(broadcasts, THREADS * EACH);
    assert!(p.so_far().is_empty());
}

#[test]
fn options_are_found_by_their_path() {
    let protocol = testing::protocol("p");
    let option = |path| super::entry_point::option(protocol, path);
    assert_eq!(option("number").and_then(|value| value.integer()), Some(7));
    assert_eq!(option("nested.flag").and_then(|value| value.boolean()), Some(true));
    assert_eq!(option("text").and_then(|value| value.text()), Some("t"));
    assert_eq!(option("/port").and_then(|value| value.integer()), Some(7512));
    assert_eq!(option("text").and_then(|value| value.integer()), None);
    for absent in ["nothing", "", "nested.", "number.x", "p.number", "/host", "/protocols", "/"] {
        assert!(option(absent).is_none(), "{absent:?}");
    }
}

#[test]
fn connections_that_come_and_go_on_many_threads_leave_nothing_behind() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 150;
    let (host, protocols) = host_with(["a", "b", "c"]);
    let accepted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for test in &protocols {
            for seed in 0..THREADS {
                let (probe, accepted) = (test.probe, &accepted);
                scope.spawn(move || {
                    let execute = |status: i32| {
                        assert_eq!(status, raw::KUZZLE_OK);
                        accepted.fetch_add(1, Ordering::Relaxed);
                    };
                    for round in 0..ROUNDS {
                        let clients: Vec<_> = (0..3).map(|_| probe.connect().unwrap()).collect();
                        for (number, client) in clients.iter().enumerate() {
                            let collection = format!("c{}", (seed + round + number) % 5);
                            execute(probe.subscribe(*client, &collection));
                            execute(probe.publish(*client, &collection));
                        }
                        clients.iter().for_each(|client| assert_eq!(probe.remove(*client), raw::KUZZLE_OK));
                    }
                });
            }
        }
    });
    assert_eq!(host.shut_down(DEADLINE), Outcome::Clean);
    assert_eq!((host.connections.len(), host.kernel.rooms(), host.kernel.connections()), (0, 0, 0));
    let events: Vec<_> = protocols.iter().flat_map(testing::TestProtocol::so_far).collect();
    let answers =
        events.iter().filter(|event| event.starts_with("response ") && event.ends_with(" 200")).count();
    assert_eq!(answers, accepted.load(Ordering::Relaxed));
    assert_eq!(answers, 3 * THREADS * ROUNDS * 6);
}

#[test]
fn a_connection_that_its_protocol_does_not_remove_after_disconnect_is_removed() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    p.probe.subscribe(client, "c");
    let connection = host.connections.find(super::Handle(client)).unwrap();
    super::turn::disconnect(&connection, super::DisconnectReason::Requested, "bye");
    assert_eq!(p.events(), ["join", "response subscribe-c 200", "disconnect 1"]);
    let deadline = std::time::Instant::now() + DEADLINE;
    while host.kernel.rooms() > 0 {
        assert!(std::time::Instant::now() < deadline, "it is still there");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(p.probe.remove(client), raw::KUZZLE_BAD_HANDLE);
    assert!(p.so_far().is_empty(), "nothing follows a disconnect");
}

#[test]
fn an_overload_is_told_in_the_log() {
    #[derive(Clone, Default)]
    struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (host, _) = host_with(["p"]);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || Turn::outside(host).overloaded(66.67));
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(
        text.contains("WARN") && text.contains("core:overload") && text.contains("percent=66.67"),
        "{text}"
    );
}
