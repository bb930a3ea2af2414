//! Feature `tokio`: `execute_async`, panics in tasks, and the end of the runtime.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(feature = "tokio")]

mod support;

use std::future::pending;
use std::ptr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::__private::{Exports, Identity};
use kuzzle_protocol_abi::raw::{KUZZLE_OK, kuzzle_protocol};
use kuzzle_protocol_abi::{
    Channels, ConnectionId, ConnectionInfo, Context, DisconnectReason, EntryPoint, Error, Payload, Protocol,
    Request, Status,
};
use support::{Host, PATIENCE, logged};

/// What the protocol's task does in `start`, handed in by the test that loads it.
type Script = Box<dyn FnOnce(EntryPoint) + Send>;
static SCRIPT: Mutex<Option<Script>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Scripted {
    entry_point: EntryPoint,
    script: Mutex<Option<Script>>,
}

impl Protocol for Scripted {
    type Config = serde_json::Value;

    fn init(entry_point: EntryPoint, _: Context, _: serde_json::Value) -> Result<Self, Error> {
        Ok(Self { entry_point, script: Mutex::new(SCRIPT.lock().unwrap().take()) })
    }
    fn start(self: &Arc<Self>) -> Result<(), Error> {
        let script = self.script.lock().unwrap().take().expect("start is called once");
        script(self.entry_point.clone());
        Ok(())
    }
    fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
    fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
    fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
        Ok(())
    }
    fn leave_channel(&self, _: ConnectionId, _: &str) {}
    fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
}

const EXPORTS: Exports = Exports::new::<Scripted>();

fn started(script: impl FnOnce(EntryPoint) + Send + 'static) -> (&'static Host, *mut kuzzle_protocol) {
    let host = Host::new("{}");
    let mut this = ptr::null_mut();
    let guard = ONE_AT_A_TIME.lock().unwrap();
    *SCRIPT.lock().unwrap() = Some(Box::new(script));
    // SAFETY: the tables are leaked, the other pointers are ours.
    let status = unsafe {
        let identity = Identity::new("kuzzle-protocol-test");
        (EXPORTS.init)(identity, host.entry_point(), host.context(), &raw mut this, ptr::null_mut())
    };
    drop(guard);
    assert_eq!(status, KUZZLE_OK);
    // SAFETY: `this` is what `init` gave.
    assert_eq!(unsafe { (EXPORTS.start)(this, ptr::null_mut()) }, KUZZLE_OK);
    (host, this)
}

fn shut_down(this: *mut kuzzle_protocol, deadline_ms: u32) -> i32 {
    // SAFETY: `this` is what `init` gave.
    unsafe { (EXPORTS.shutdown)(this, deadline_ms) }
}

/// Tells when it is dropped.
struct Farewell(Sender<&'static str>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn a_task_awaits_its_answer_inline_or_later() {
    let (sender, receiver) = channel();
    let (_, this) = started(move |entry_point| {
        let inner = entry_point.clone();
        entry_point
            .spawn(async move {
                for document in ["{\"now\":1}", "{\"later\":1}", "refuse"] {
                    let answer = inner.execute_async(Request::new(document.as_bytes())).await;
                    sender.send(answer.map(|answer| answer.content.into_bytes())).unwrap();
                }
                assert_eq!(std::thread::current().name(), Some("test"));
                sender.send(Ok("done".into())).unwrap();
            })
            .unwrap();
    });
    let next = || receiver.recv_timeout(PATIENCE).expect("the task goes on");
    assert_eq!(next().unwrap(), &b"{\"now\":1}"[..]);
    assert_eq!(next().unwrap(), &b"{\"later\":1}"[..]);
    assert_eq!(next().unwrap_err().status(), Status::InvalidRequest);
    assert_eq!(next().unwrap(), &b"done"[..]);
    assert_eq!(shut_down(this, 5000), KUZZLE_OK);
}

#[test]
fn a_panic_in_a_task_removes_its_connection_and_poisons_nothing() {
    let (host, this) = started(|entry_point| {
        let connection = entry_point.new_connection(&ConnectionInfo::new()).unwrap();
        entry_point
            .spawn(async move {
                let _connection = connection;
                tokio::task::yield_now().await;
                panic!("scripted panic in a task");
            })
            .unwrap();
    });
    host.wait("the removal", |state| (state.removed.len() == 1).then_some(()));
    assert!(logged("scripted panic in a task").is_some());
    // SAFETY: `this` is what `init` gave.
    let joined =
        unsafe { (EXPORTS.join_channel)(this, 1, kuzzle_protocol_abi::raw::kuzzle_str::new("channel")) };
    assert_eq!(joined, KUZZLE_OK);
    assert_eq!(shut_down(this, 5000), KUZZLE_OK);
}

#[test]
fn shutdown_drops_waiting_tasks_and_refuses_new_ones() {
    let (sender, receiver) = channel();
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let (_, this) = started(move |entry_point| {
        let farewell = Farewell(sender.clone());
        entry_point
            .spawn(async move {
                let _farewell = farewell;
                sender.send("running").unwrap();
                pending::<()>().await;
            })
            .unwrap();
        *keep.lock().unwrap() = Some(entry_point);
    });
    assert_eq!(receiver.recv_timeout(PATIENCE), Ok("running"));
    let began = Instant::now();
    assert_eq!(shut_down(this, 10_000), KUZZLE_OK);
    assert!(began.elapsed() < Duration::from_secs(5), "nothing is running: it is done at once");
    assert_eq!(receiver.try_recv(), Ok("dropped"), "before shutdown returns");
    let entry_point = kept.lock().unwrap().take().unwrap();
    let error = entry_point.spawn(async {}).expect_err("the runtime has ended");
    assert_eq!(error.status(), Status::Shutdown);
}

#[test]
fn shutdown_returns_at_the_deadline_when_a_task_does_not_yield() {
    let (sender, receiver) = channel();
    let (release, wait) = channel::<()>();
    let (_, this) = started(move |entry_point| {
        entry_point
            .spawn(async move {
                sender.send(()).unwrap();
                let _ = wait.recv_timeout(PATIENCE);
            })
            .unwrap();
    });
    receiver.recv_timeout(PATIENCE).expect("the task runs");
    let began = Instant::now();
    assert_eq!(shut_down(this, 100), KUZZLE_OK);
    assert!(began.elapsed() < PATIENCE / 2, "it does not wait for the task");
    assert!(logged("did not end in time").is_some());
    drop(release);
}
