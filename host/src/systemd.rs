//! What systemd is told if it has started the host: that it serves, reloads, ends, and is well.
//!
//! Without the variable `NOTIFY_SOCKET` nothing is told to anybody.

use std::thread;

use kuzzle_kernel::{Caller, Discard, Request};
use sd_notify::NotifyState;

use crate::diagnostics::escape;
use crate::platform;
use crate::serving::Host;

/// All protocols serve; `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    // A line end in it would begin another message.
    notify(&[NotifyState::Ready, NotifyState::Status(&escape(status))]);
}

/// The host reads its configuration anew; [`ready`] says that it has done so.
pub fn reloading() {
    // `Type=notify-reload` wants to know since when.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The host ends.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("Shutting down")]);
}

/// If systemd wants signs of life: gives them, twice in the time that it allows, as long as the host
/// answers requests.
pub fn watch(host: &'static Host) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let watch = move || {
        platform::block_termination_signals();
        loop {
            answers(host);
            notify(&[NotifyState::Watchdog]);
            thread::sleep(limit / 2);
        }
    };
    if let Err(error) = thread::Builder::new().name("kuzzle-systemd".into()).spawn(watch) {
        tracing::error!(%error, "no thread for signs of life to systemd: it will restart the host");
    }
}

/// Returns when the host has answered a request that needs all of the kernel's locks. Any answer will
/// do: a host with too much to do lives. One whose locks nobody gives back does not.
fn answers(host: &Host) {
    let request = Request::parse(br#"{"controller":"server","action":"metrics","requestId":"systemd"}"#)
        .expect("the text is a request");
    // Without a label it is not counted as anybody's.
    let caller = Caller { connection: None, uuid: None, protocol: "", headers: &[] };
    host.kernel.execute(&request, &caller, &mut Discard);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
