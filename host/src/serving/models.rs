//! Models: loom runs each with every order in which threads can take their steps (with at most so many
//! switches that nothing forces), and every value that an atomic may be seen with.
//!
//! `cargo test -p kuzzle-host --features loom --lib serving::models`
//!
//! Locks of the kernel and of the queues are not modelled; they are never held at a step that is.

use std::sync::Arc;

use kuzzle_kernel::{Caller, Discard, Outbound, Payload, Request};
use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use parking_lot::Mutex;

use super::Host;
use super::connections::{Connection, Connections, Handle};
use super::entry_point::{ConnectionInfo, new_connection};
use super::outbox::{Answer, DisconnectReason};
use super::protocol::{Protocol, State};
use super::testing::{self, Probe, Seen, TestProtocol};
use super::turn::{self, Turn};

/// Runs a model with every order of steps.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(run);
}

fn connect(protocol: &'static Protocol) -> Option<Handle> {
    let info = ConnectionInfo { label: "", ips: Vec::new(), headers: Vec::new() };
    new_connection(protocol, &info).ok().map(|(handle, _)| handle)
}

/// A connection of a protocol that records what it is told, and that it is told one thing at a time.
struct Model {
    protocol: &'static Protocol,
    probe: &'static Probe,
    connection: Arc<Connection>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Model {
    fn new() -> Self {
        let TestProtocol { protocol, probe, .. } = testing::initialised("p");
        protocol.host.open_gate();
        let handle = connect(protocol).unwrap();
        let connection = protocol.host.connections.find(handle).unwrap();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (record, inside) = (told.clone(), AtomicBool::new(false));
        probe.watch(move |seen| {
            let overlaps = inside.swap(true, Ordering::SeqCst);
            record.lock().push(match seen {
                _ if overlaps => "two at once".into(),
                Seen::Join { channel, .. } => format!("join {channel}"),
                Seen::Leave { channel, .. } => format!("leave {channel}"),
                Seen::Notify { payload, .. } => String::from_utf8_lossy(payload.bytes()).into_owned(),
                Seen::Disconnect { .. } => "disconnect".into(),
                Seen::Response { status, .. } => format!("answer {status}"),
                _ => "other".into(),
            });
            inside.store(false, Ordering::SeqCst);
            0
        });
        Self { protocol, probe, connection, told }
    }

    /// A turn on one of the protocol's threads.
    fn turn(&self) -> Turn {
        Turn::inside(self.protocol)
    }

    fn notify(&self, turn: &mut Turn, text: &str) {
        let payload = Payload::from(text.as_bytes().to_vec());
        turn.notify(self.connection.handle.id(), Arc::new([]), payload);
    }

    /// What `execute` does when the kernel has returned.
    fn answer(&self, turn: &mut Turn) {
        let request = Request::parse(br#"{"controller":"server","action":"now","requestId":"r"}"#).unwrap();
        let caller =
            Caller { connection: None, uuid: None, protocol: "p", headers: &[], connection_headers: &[] };
        let response = self.protocol.host.kernel.execute(&request, &caller, &mut Discard);
        turn.deliver();
        let answer = Answer { completion: self.probe.completion(), response, join: None, access: None };
        turn.complete(&self.connection, answer);
    }

    /// The protocol's own thread does what waits now.
    fn serve(&self) {
        let protocol = self.protocol;
        while protocol.queue.has_work() {
            turn::serve(protocol, protocol.queue.take());
        }
    }

    /// What the protocol was told, when all has been done.
    fn told(&self) -> Vec<String> {
        self.serve();
        assert!(self.connection.outbox.is_idle(), "something is lost");
        std::mem::take(&mut *self.told.lock())
    }
}

fn place(told: &[String], text: &str) -> usize {
    told.iter().position(|what| what == text).unwrap_or_else(|| panic!("no {text} in {told:?}"))
}

#[test]
fn outbox_loses_nothing_and_delivers_in_order_one_at_a_time() {
    model(|| {
        let model = Arc::new(Model::new());
        let other = model.clone();
        let thread = thread::spawn(move || {
            let mut turn = other.turn();
            other.notify(&mut turn, "a1");
            other.notify(&mut turn, "a2");
            other.notify(&mut turn, "a3");
        });
        let mut turn = model.turn();
        turn.join(model.connection.handle.id(), &"c".into());
        model.answer(&mut turn);
        drop(turn);
        model.serve();
        thread.join().unwrap();
        let told = model.told();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(place(&told, "join c") < place(&told, "answer 200"), "{told:?}");
        assert!(
            place(&told, "a1") < place(&told, "a2") && place(&told, "a2") < place(&told, "a3"),
            "{told:?}"
        );
    });
}

#[test]
fn outbox_delivers_each_of_two_answers_once() {
    model(|| {
        let model = Arc::new(Model::new());
        let other = model.clone();
        let thread = thread::spawn(move || other.answer(&mut other.turn()));
        model.answer(&mut model.turn());
        thread.join().unwrap();
        assert_eq!(model.told(), ["answer 200", "answer 200"]);
    });
}

#[test]
fn outbox_of_a_connection_that_is_removed_delivers_only_answers() {
    model(|| {
        let model = Arc::new(Model::new());
        let other = model.clone();
        let thread = thread::spawn(move || {
            let mut turn = other.turn();
            other.notify(&mut turn, "a1");
            other.notify(&mut turn, "a2");
            other.answer(&mut turn);
        });
        let protocol = model.protocol;
        let mut turn = model.turn();
        let removed = protocol.host.connections.remove(model.connection.handle, protocol).unwrap();
        turn.removed(&removed);
        let before = model.told.lock().len();
        model.answer(&mut turn);
        drop(turn);
        thread.join().unwrap();
        let told = model.told();
        assert_eq!(told.iter().filter(|what| what.starts_with("answer")).count(), 2, "{told:?}");
        assert!(
            told.contains(&"answer 400".into()),
            "the connection is gone, and its answer says so: {told:?}"
        );
        // The one that another thread had taken out before.
        assert!(
            told[before..].iter().filter(|what| what.starts_with('a') && what.len() == 2).count() <= 1,
            "{told:?}"
        );
        assert!(!told.contains(&"two at once".into()), "{told:?}");
    });
}

#[test]
fn outbox_that_overflows_delivers_its_answers_and_a_disconnect() {
    model(|| {
        let model = Arc::new(Model::new());
        let other = model.clone();
        let thread = thread::spawn(move || {
            let mut turn = other.turn();
            (0..3).for_each(|_| other.notify(&mut turn, "a"));
        });
        let mut turn = model.turn();
        (0..3).for_each(|_| model.notify(&mut turn, "b"));
        model.answer(&mut turn);
        drop(turn);
        thread.join().unwrap();
        let told = model.told();
        assert_eq!(told.iter().filter(|what| *what == "answer 200").count(), 1, "{told:?}");
        assert!(!told.contains(&"two at once".into()), "{told:?}");
        if model.connection.outbox.has_overflowed() {
            let end = place(&told, "disconnect");
            assert!(told[end + 1..].iter().all(|what| what == "answer 200"), "{told:?}");
        } else {
            assert_eq!(told.len(), 7, "{told:?}");
        }
    });
}

#[test]
fn outbox_in_which_a_disconnect_waits_ends_with_it() {
    model(|| {
        let model = Arc::new(Model::new());
        let other = model.clone();
        let thread = thread::spawn(move || {
            let mut turn = other.turn();
            other.notify(&mut turn, "a1");
            other.notify(&mut turn, "a2");
        });
        turn::disconnect(&model.connection, DisconnectReason::Requested, "bye");
        model.serve();
        thread.join().unwrap();
        let told = model.told();
        let expected = ["a1", "a2", "disconnect"];
        assert!(
            told.len() <= 3 && told == expected[3 - told.len()..] || told == ["a1", "disconnect"],
            "{told:?}"
        );
    });
}

#[test]
fn gate_lets_nobody_in_before_every_init_has_succeeded() {
    model(|| {
        let protocol = testing::protocol("p");
        let thread = thread::spawn(move || connect(protocol).map(|_| protocol.state()));
        assert!(protocol.host.connections.is_empty());
        protocol.advance(State::Initialised);
        assert!(protocol.host.connections.is_empty());
        protocol.host.open_gate();
        let seen = thread.join().unwrap();
        assert!(seen.is_none_or(|state| state == State::Initialised), "{seen:?}");
        assert_eq!(protocol.host.connections.len(), usize::from(seen.is_some()));
    });
}

fn metrics(host: &Host) -> String {
    let request = Request::parse(br#"{"controller":"server","action":"metrics"}"#).unwrap();
    let caller = Caller { connection: None, uuid: None, protocol: "", headers: &[], connection_headers: &[] };
    let answer = host.kernel.execute(&request, &caller, &mut Discard);
    String::from_utf8(answer.content.as_bytes().to_vec()).unwrap()
}

#[test]
fn gate_leaves_no_connection_of_a_protocol_that_is_stopped_meanwhile() {
    model(|| {
        let test = testing::initialised("p");
        let (protocol, host) = (test.protocol, test.protocol.host);
        host.open_gate();
        // One that somebody else has, of the same label.
        host.kernel.statistics().connected("p");
        let thread = thread::spawn(move || connect(protocol));
        protocol.advance(State::Stopped);
        turn::abandon(protocol);
        thread.join().unwrap();
        assert!(metrics(host).contains(r#""connections":{"p":1}"#), "{}", metrics(host));
        assert_eq!((host.connections.len(), host.kernel.connections()), (0, 0));
        assert_eq!(protocol.counters.connections.get(), 0);
        assert!(connect(protocol).is_none());
    });
}

#[test]
fn gate_leaves_no_connection_that_is_not_told_of_a_shutdown() {
    model(|| {
        let model = Model::new();
        let protocol = model.protocol;
        let thread = thread::spawn(move || connect(protocol));
        protocol.host.begin_shutdown();
        protocol.host.disconnect_all();
        let connected = thread.join().unwrap();
        // A connection that is refused may be told all the same: its protocol ignores it.
        let (told, live) = (model.told(), protocol.host.connections.len());
        assert_eq!(live, 1 + usize::from(connected.is_some()));
        assert!(told.len() >= live, "{told:?}");
        assert_eq!(protocol.host.kernel.connections(), live);
    });
}

fn add(table: &Connections, protocol: &'static Protocol) -> Handle {
    table.add(|handle| testing::connection(handle, protocol)).unwrap().handle
}

#[test]
fn handle_is_removed_once_and_never_finds_another_connection() {
    model(|| {
        let protocol = testing::protocol("p");
        let table = Arc::new(Connections::default());
        let old = add(&table, protocol);
        let remover = |table: &Arc<Connections>| {
            let table = table.clone();
            thread::spawn(move || table.remove(old, protocol).is_some())
        };
        let removers = [remover(&table), remover(&table)];
        let new = add(&table, protocol);
        assert_ne!(new, old);
        assert!(table.find(old).is_none_or(|connection| connection.handle == old));
        assert_eq!(table.find(new).unwrap().handle, new);
        let removed = removers.map(|remover| remover.join().unwrap());
        assert!(removed[0] != removed[1], "{removed:?}");
        assert!(table.find(old).is_none());
        assert_eq!(table.find(new).unwrap().handle, new);
        assert_eq!(table.len(), 1);
    });
}

#[test]
fn handles_of_connections_that_come_and_go_at_once_differ_and_slots_are_used_in_turn() {
    model(|| {
        let protocol = testing::protocol("p");
        let table = Arc::new(Connections::default());
        let first = [add(&table, protocol), add(&table, protocol)];
        let comes_and_goes = |handle| {
            let table = table.clone();
            thread::spawn(move || {
                assert!(table.remove(handle, protocol).is_some());
                add(&table, protocol)
            })
        };
        let [a, b] = first.map(comes_and_goes).map(|thread| thread.join().unwrap());
        assert!(a != b && !first.contains(&a) && !first.contains(&b));
        // Each free slot is used before a new one is made.
        let slots = |handles: [Handle; 2]| handles.map(|handle| handle.0 & 0xff_ffff);
        let (mut before, mut after) = (slots(first), slots([a, b]));
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(before, after);
        // First in, first out.
        table.remove(b, protocol);
        table.remove(a, protocol);
        assert_eq!(slots([add(&table, protocol), add(&table, protocol)]), slots([b, a]));
    });
}

#[test]
fn slot_at_the_end_of_its_generations_is_not_used_again() {
    model(|| {
        let protocol = testing::protocol("p");
        let table = Arc::new(Connections::default());
        let first = add(&table, protocol);
        table.remove(first, protocol);
        table.wear_out(first);
        let last = add(&table, protocol);
        assert_eq!(last.0 >> 24, (1 << 40) - 1);
        let other = table.clone();
        let thread = thread::spawn(move || other.remove(last, protocol).is_some());
        let next = add(&table, protocol);
        assert!(thread.join().unwrap());
        let another = add(&table, protocol);
        let slots = [last, next, another].map(|handle| handle.0 & 0xff_ffff);
        assert!(slots[0] != slots[1] && slots[0] != slots[2] && slots[1] != slots[2], "{slots:?}");
        assert!(table.find(last).is_none());
    });
}
