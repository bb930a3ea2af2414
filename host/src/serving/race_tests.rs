//! What happens at the same time as something else: joins that are refused, ends of connections, of
//! protocols and of the host. Through the real C ABI with scripted protocols.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use kuzzle_protocol_abi::raw;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::testing::{DEADLINE, Probe, TestProtocol, host_with};
use super::{Function, Outcome};

fn now(request_id: &str) -> Value {
    json!({ "controller": "server", "action": "now", "requestId": request_id })
}

/// Makes the first call of a function wait until the gate is dropped; `entered` tells that it waits.
fn hold_first(test: &TestProtocol, function: &'static str) -> (mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (gate, wait) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let (wait, calls) = (Mutex::new(wait), AtomicUsize::new(0));
    test.script(function, move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            enter.send(()).unwrap();
            let _ = wait.lock().recv();
        }
        0
    });
    (gate, entered)
}

#[test]
fn the_refusal_of_a_join_is_told_to_the_request_that_asked_for_it() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    let joins = AtomicUsize::new(0);
    p.script("join", move |probe| {
        if joins.fetch_add(1, Ordering::SeqCst) > 0 {
            return raw::KUZZLE_OK;
        }
        // Meanwhile somebody else subscribes the same client to the same channel.
        thread::spawn(move || probe.subscribe(client, "c")).join().unwrap();
        raw::KUZZLE_FAILED
    });
    let first = json!({
        "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c", "body": {},
        "requestId": "first", "users": "all",
    });
    p.probe.execute(client, &first);
    let mut events: [String; 4] = p.events();
    events.sort();
    assert_eq!(events, ["join", "join", "response first 500", "response subscribe-c 200"]);
    assert_eq!(host.kernel.rooms(), 1, "the protocol has the client in the channel, and so has the kernel");
}

/// Removes a connection when its thread ends.
struct Goodbye(&'static Probe, u64, mpsc::Sender<i32>);

impl Drop for Goodbye {
    fn drop(&mut self) {
        let _ = self.2.send(self.0.remove(self.1));
    }
}

thread_local! {
    static GOODBYE: RefCell<Option<Goodbye>> = const { RefCell::new(None) };
}

#[test]
fn a_connection_can_be_removed_while_its_thread_ends() {
    let (host, [p]) = host_with(["p"]);
    let (probe, (sender, status)) = (p.probe, mpsc::channel());
    let witness = probe.connect().unwrap();
    probe.subscribe(witness, "c");
    thread::spawn(move || {
        // Registered before what the host keeps for the thread, so dropped after it.
        GOODBYE.with(|goodbye| *goodbye.borrow_mut() = None);
        let client = probe.connect().unwrap();
        probe.subscribe(client, "c");
        GOODBYE.with(|goodbye| *goodbye.borrow_mut() = Some(Goodbye(probe, client, sender)));
    })
    .join()
    .unwrap();
    assert_eq!(status.recv_timeout(DEADLINE), Ok(raw::KUZZLE_OK));
    assert_eq!((host.connections.len(), host.kernel.connections()), (1, 1));
    while p.next() != "broadcast user out" {}
}

#[test]
fn what_a_stopped_protocol_has_asked_is_answered_before_its_shutdown() {
    let (host, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    let (gate, entered) = hold_first(&p, "response");
    let probe = p.probe;
    let asking = thread::spawn(move || probe.execute(client, &now("1")));
    entered.recv_timeout(DEADLINE).unwrap();
    for id in ["2", "3", "4"] {
        assert_eq!(probe.execute(client, &now(id)), raw::KUZZLE_OK);
    }
    host.stop(p.protocol, Function::Broadcast);
    drop(gate);
    assert_eq!(asking.join().unwrap(), raw::KUZZLE_OK);
    let events: [String; 5] = p.events();
    assert_eq!(events[0], "response 1 200");
    assert!(events[1..4].iter().all(|event| event.starts_with("response ")), "{events:?}");
    assert_eq!(events[4], "shutdown");
}

#[test]
fn a_client_for_which_too_many_answers_wait_is_disconnected() {
    let (_, [p]) = host_with(["p"]);
    let client = p.probe.connect().unwrap();
    let (gate, entered) = hold_first(&p, "response");
    let probe = p.probe;
    let asking = thread::spawn(move || probe.execute(client, &now("1")));
    entered.recv_timeout(DEADLINE).unwrap();
    let mut accepted = 1;
    while probe.execute(client, &now("r")) == raw::KUZZLE_OK {
        accepted += 1;
        assert!(accepted <= super::outbox::BOUND + 2, "nothing bounds it");
    }
    assert_eq!(probe.execute(client, &now("r")), raw::KUZZLE_BAD_HANDLE);
    drop(gate);
    asking.join().unwrap();
    let (mut responses, mut disconnects) = (0, 0);
    while responses < accepted || disconnects < 1 {
        match p.next().as_str() {
            "disconnect 3" => disconnects += 1,
            _ => responses += 1,
        }
    }
    assert_eq!((responses, disconnects), (accepted, 1));
}

#[test]
fn clients_of_a_protocol_that_is_far_behind_are_disconnected_in_time() {
    let (host, [a, b]) = host_with(["a", "b"]);
    let client = b.probe.connect().unwrap();
    b.probe.subscribe(client, "c");
    b.script("broadcast", |_| {
        thread::sleep(Duration::from_millis(20));
        0
    });
    b.script("disconnect", move |probe| probe.remove(client));
    for _ in 0..500 {
        a.probe.publish(0, "c");
    }
    assert_eq!(host.shut_down(Duration::from_secs(2)), Outcome::Clean);
    let events = b.so_far();
    assert!(events.contains(&"disconnect 2".to_owned()) && events.last().unwrap() == "shutdown");
    assert!(events.len() < 200, "the backlog was delivered: {}", events.len());
}

#[test]
fn shutdown_waits_for_calls_that_have_begun_and_none_begins_after_it() {
    let (host, [a, b, c]) = host_with(["a", "b", "c"]);
    for test in [&a, &b] {
        test.probe.subscribe(test.probe.connect().unwrap(), "c");
    }
    let leaving = b.probe.connect().unwrap();
    b.probe.subscribe(leaving, "c");
    let inside = Arc::new(AtomicUsize::new(0));
    let counted = inside.clone();
    a.script("broadcast", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
        counted.fetch_sub(1, Ordering::SeqCst);
        0
    });
    // While the last one shuts down, a client of another leaves, which is told to all.
    let probe = b.probe;
    c.script("shutdown", move |_| {
        thread::spawn(move || probe.remove(leaving)).join().unwrap();
        0
    });
    let (sender, seen) = mpsc::channel();
    a.script("shutdown", move |_| {
        sender.send(inside.load(Ordering::SeqCst)).unwrap();
        0
    });
    assert_eq!(host.shut_down(DEADLINE), Outcome::Clean);
    assert_eq!(seen.recv_timeout(DEADLINE), Ok(0));
    assert_eq!(a.so_far().last().unwrap(), "shutdown");
}

#[test]
fn a_protocol_that_hangs_does_not_use_up_the_time_of_the_others() {
    let (host, [a, b]) = host_with(["a", "b"]);
    let (gate, entered) = hold_first(&b, "broadcast");
    a.probe.publish(0, "c");
    b.probe.subscribe(b.probe.connect().unwrap(), "c");
    a.probe.publish(0, "c");
    entered.recv_timeout(DEADLINE).unwrap();
    let (sender, deadline) = mpsc::channel();
    let sender = Mutex::new(sender);
    a.script("shutdown", move |probe| {
        sender.lock().send(probe.shutdown_deadline()).unwrap();
        0
    });
    let Outcome::Late(waited_for) = host.shut_down(Duration::from_secs(4)) else { panic!("b hangs") };
    assert!(waited_for.contains(&"broadcast of protocol \"b\"".to_owned()), "{waited_for:?}");
    let deadline = deadline.recv_timeout(DEADLINE).unwrap();
    assert!(deadline >= 200, "only {deadline} ms are left for the other one");
    drop(gate);
}
