//! The WebSocket half: clients, their sessions, and what the host sends to them.

mod clients;
mod connection;
mod decoder;
mod deflate;
mod frame;
mod framing;
pub(crate) mod handshake;
mod outbox;
mod session;

use std::sync::Arc;

use kuzzle_protocol_abi::{Channels, ConnectionId, DisconnectReason, Payload};

pub(crate) use clients::Clients;
pub(crate) use connection::{Opened, serve};

use crate::Shared;
use crate::clock::Clock;
use crate::config::WebSocket;

/// What a client is told for which too much waits.
pub(crate) const TOO_SLOW: &str = "too much backpressure: client is too slow";
/// How long a client may take to answer a close frame, in milliseconds.
const CLOSING: u64 = 2_000;
/// The same when the server ends.
const LAST_CLOSING: u64 = 300;

/// Sends `payload` to all who listen to one of the channels, framed once for each of these.
pub(crate) fn broadcast(shared: &Shared, channels: Channels<'_>, payload: &Payload<'_>) {
    let Some(options) = &shared.config.websocket else { return };
    let now = shared.clock.now();
    for channel in channels.iter() {
        shared.clients.listeners(channel, |listeners| {
            let frame = framing::payload(payload, channel);
            for client in listeners {
                if options.reset_idle_timeout_on_send {
                    client.touch(now);
                }
                client.outbox.push(&frame, options.max_queued_bytes, now);
            }
        });
    }
}

/// Sends `payload` to one client, for each of the channels.
pub(crate) fn notify(shared: &Shared, id: ConnectionId, channels: Channels<'_>, payload: &Payload<'_>) {
    let Some(options) = &shared.config.websocket else { return };
    let Some(client) = shared.clients.get(id) else { return };
    let now = shared.clock.now();
    for channel in channels.iter() {
        client.outbox.push(&framing::payload(payload, channel), options.max_queued_bytes, now);
    }
    if options.reset_idle_timeout_on_send {
        client.touch(now);
    }
}

/// Closes a client by force; false: it is none of these.
pub(crate) fn disconnect(shared: &Shared, id: ConnectionId, reason: DisconnectReason, message: &str) -> bool {
    let Some(client) = shared.clients.get(id) else { return false };
    let (code, message) = match (reason, message) {
        (DisconnectReason::Shutdown, "") => (1001, "the server is shutting down"),
        (DisconnectReason::Shutdown, message) => (1001, message),
        (DisconnectReason::Overflow, _) => (1011, TOO_SLOW),
        (_, "") => (1011, "Connection closed by remote host"),
        (_, message) => (1011, message),
    };
    let instead = reason == DisconnectReason::Overflow;
    client.outbox.close(code, message, instead, shared.clock.now());
    true
}

/// Ends the clients that were silent, or took nothing, for too long. To be called now and then.
pub(crate) fn sweep(clients: &Clients, options: &WebSocket, clock: &Clock, is_stopping: bool) {
    let now = clock.now();
    for client in clients.all() {
        let stalled = client.outbox.stalled_since();
        match client.outbox.ending() {
            Some(outbox::Ending::Abort) => {}
            Some(outbox::Ending::Close) => {
                // What is on its way out has the usual time, counted anew.
                let since = client.closing_since(now).max(stalled.unwrap_or(0));
                let limit = match stalled {
                    Some(_) => options.slow_timeout,
                    None if is_stopping => LAST_CLOSING,
                    None => CLOSING,
                };
                if now.saturating_sub(since) > limit {
                    client.outbox.abort();
                }
            }
            None => {
                if stalled.is_some_and(|since| now.saturating_sub(since) > options.slow_timeout) {
                    client.outbox.close(1011, TOO_SLOW, true, now);
                    continue;
                }
                let idle = now.saturating_sub(client.active.load(std::sync::atomic::Ordering::Relaxed));
                if idle > options.idle_timeout {
                    // As Kuzzle's engine does: no close frame.
                    client.outbox.abort();
                } else if options.send_pings_automatically && client.wants_ping(idle, options.idle_timeout) {
                    let ping = frame::control(frame::Opcode::Ping, b"").into();
                    client.outbox.push(&ping, options.max_queued_bytes, now);
                }
            }
        }
    }
}

/// Tells everybody that the server goes away.
pub(crate) fn close_all(shared: &Arc<Shared>) {
    for client in shared.clients.all() {
        client.outbox.close(1001, "the server is shutting down", false, shared.clock.now());
    }
}
