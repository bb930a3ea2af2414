//! What systemd is told if it has started the host: that it serves, reloads, ends, and is well.
//!
//! Without the variable `NOTIFY_SOCKET` nothing is told to anybody. One thread tells: a socket that nobody
//! reads holds up no other.

use std::env;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use kuzzle_kernel::{Caller, Discard, Request};
use sd_notify::NotifyState;

use crate::diagnostics::escape;
use crate::platform;
use crate::serving::Host;

/// Messages that may wait.
const MOST: usize = 64;

/// How long the last message may take.
const PATIENCE: Duration = Duration::from_millis(200);

enum Message {
    Ready(String),
    Status(String),
    Reloading,
    /// The answer comes when it is told.
    Stopping(SyncSender<()>),
}

static MESSAGES: OnceLock<SyncSender<Message>> = OnceLock::new();

/// Begins to tell, if anybody wants to know. If systemd wants signs of life it is given them, twice in the
/// time that it allows, as long as the host answers requests.
pub fn begin(host: &'static Host) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (sender, messages) = sync_channel(MOST);
    let serve = move || {
        platform::block_termination_signals();
        serve(host, &messages);
    };
    match thread::Builder::new().name("kuzzle-systemd".into()).spawn(serve) {
        Ok(_) => drop(MESSAGES.set(sender)),
        Err(error) => {
            tracing::error!(%error, "no thread to notify systemd: it will not know that the host serves")
        }
    }
}

/// All protocols serve; `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    tell(Message::Ready(status.to_owned()));
}

/// What `systemctl status` is to show has changed.
pub fn status(status: &str) {
    tell(Message::Status(status.to_owned()));
}

/// The host reads its configuration anew; [`ready`] says that it has done so.
pub fn reloading() {
    tell(Message::Reloading);
}

/// The host ends. Returns when that is told, or soon.
pub fn stopping() {
    let (told, is_told) = sync_channel(1);
    tell(Message::Stopping(told));
    let _ = is_told.recv_timeout(PATIENCE);
}

fn tell(message: Message) {
    if let Some(messages) = MESSAGES.get()
        && messages.try_send(message).is_err()
    {
        tracing::debug!("systemd does not read what it is told");
    }
}

fn serve(host: &Host, messages: &Receiver<Message>) {
    let pause = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let mut due = Instant::now();
    loop {
        // Signs of life begin when the host serves; until then the start has a limit of its own.
        let message = match pause.filter(|_| host.gate_is_open()) {
            Some(_) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            // A line end in it would begin another message.
            Ok(Message::Ready(status)) => {
                notify(&[NotifyState::Ready, NotifyState::Status(&escape(&status))])
            }
            Ok(Message::Status(status)) => notify(&[NotifyState::Status(&escape(&status))]),
            // `Type=notify-reload` wants to know since when.
            Ok(Message::Reloading) => match NotifyState::monotonic_usec_now() {
                Ok(now) => notify(&[NotifyState::Reloading, now]),
                Err(_) => notify(&[NotifyState::Reloading]),
            },
            Ok(Message::Stopping(told)) => {
                notify(&[NotifyState::Stopping, NotifyState::Status("Shutting down")]);
                let _ = told.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                answers(host);
                notify(&[NotifyState::Watchdog]);
                due = Instant::now() + pause.unwrap_or_default();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Returns when the host has answered a request that needs all of the kernel's locks. Any answer will
/// do: a host with too much to do lives. One whose locks nobody gives back does not.
fn answers(host: &Host) {
    let request = Request::parse(br#"{"controller":"server","action":"metrics","requestId":"systemd"}"#)
        .expect("the text is a request");
    // Without a label it is not counted as anybody's.
    let caller = Caller { connection: None, uuid: None, protocol: "", headers: &[], connection_headers: &[] };
    host.kernel.execute(&request, &caller, &mut Discard);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
