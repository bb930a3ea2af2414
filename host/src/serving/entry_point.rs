//! What the host does for a protocol: the functions of EntryPoint and Context, in safe types.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use kuzzle_kernel::{Caller, InvalidRequest, Listener, Request};
use kuzzle_protocol_abi::raw;
use serde_json::Value;
use uuid::Uuid;

use super::abi::{Completion, Failure};
use super::access_log::Record;
use super::calls;
use super::connections::{Connection, Handle};
use super::outbox::{Answer, Outbox};
use super::protocol::{Protocol, State};
use super::sync::fence;
use super::turn::Turn;
use crate::diagnostics::escape;

/// A client that has connected, as its protocol describes it.
pub(crate) struct ConnectionInfo<'a> {
    pub label: &'a str,
    pub ips: Vec<&'a str>,
    pub headers: Vec<(&'a str, &'a str)>,
}

/// A request, as its protocol hands it over.
pub(crate) struct RequestInfo<'a> {
    pub connection: u64,
    pub document: Cow<'a, [u8]>,
    pub label: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub method: &'a str,
    pub url: &'a str,
}

fn serving(protocol: &Protocol) -> Result<State, Failure> {
    match protocol.state() {
        State::Stopped => {
            Err(Failure::new(raw::KUZZLE_STOPPED, "this protocol has been stopped after a fault"))
        }
        State::Suspended => Err(Failure::new(
            raw::KUZZLE_STOPPED,
            "this protocol is suspended: one of its functions did not return",
        )),
        State::Shutdown => Err(Failure::new(raw::KUZZLE_SHUTDOWN, "this protocol has been shut down")),
        state => Ok(state),
    }
}

fn bad_handle() -> Failure {
    Failure::new(
        raw::KUZZLE_BAD_HANDLE,
        "no such connection: it was removed, or never was this protocol's; close the client",
    )
}

/// Declares a client. Calls nobody.
pub(crate) fn new_connection(
    protocol: &'static Protocol,
    info: &ConnectionInfo<'_>,
) -> Result<(Handle, Uuid), Failure> {
    let host = protocol.host;
    serving(protocol)?;
    if host.is_shutting_down() {
        return Err(Failure::new(raw::KUZZLE_SHUTTING_DOWN, "the host is shutting down"));
    }
    if !host.gate_is_open() {
        return Err(Failure::new(
            raw::KUZZLE_NOT_STARTED,
            "not all protocols are initialised yet: accept clients from kuzzle_protocol_start on, or try again",
        ));
    }
    let most = protocol.description.max_connections;
    if protocol.counters.connections.add() > most {
        protocol.counters.connections.subtract();
        return Err(Failure::new(
            raw::KUZZLE_LIMIT,
            format!("the protocol has {most} connections, as many as its option maxConnections allows"),
        ));
    }
    let uuid = Uuid::new_v4();
    let owned = |text: &&str| Box::<str>::from(*text);
    let connection = host
        .connections
        .add(|handle| Connection {
            handle,
            uuid,
            protocol,
            label: (!info.label.is_empty() && info.label != protocol.name).then(|| info.label.into()),
            ips: info.ips.iter().map(owned).collect(),
            headers: info.headers.iter().map(|(name, value)| (owned(name), owned(value))).collect(),
            outbox: Outbox::default(),
        })
        .ok_or_else(|| {
            protocol.counters.connections.subtract();
            Failure::new(raw::KUZZLE_LIMIT, "the host serves as many connections as it can")
        })?;
    host.kernel.add_connection(connection.handle.id());
    host.kernel.statistics().connected(connection.label());
    fence(Ordering::SeqCst);
    if serving(protocol).is_err() || host.is_shutting_down() {
        // Since a moment ago: nobody may have seen the connection to remove or disconnect it.
        let mut turn = Turn::inside(protocol);
        if host.connections.remove(connection.handle, protocol).is_some() {
            turn.removed(&connection);
        } else {
            // Somebody has, maybe before the kernel knew it.
            host.kernel.remove_connection(connection.handle.id(), &mut turn);
        }
        return Err(bad_handle());
    }
    Ok((connection.handle, uuid))
}

/// Ends a connection; its notifications go out when the outermost host function returns.
pub(crate) fn remove_connection(protocol: &'static Protocol, connection: u64) -> Result<(), Failure> {
    if protocol.state() == State::Shutdown {
        return Err(Failure::new(raw::KUZZLE_SHUTDOWN, "this protocol has been shut down"));
    }
    let mut turn = Turn::inside(protocol);
    let connection = protocol.host.connections.remove(Handle(connection), protocol).ok_or_else(bad_handle)?;
    turn.removed(&connection);
    Ok(())
}

/// Executes a request on this thread: kernel, then the notifications that it caused, then the
/// completion.
pub(crate) fn execute(
    protocol: &'static Protocol,
    info: &RequestInfo<'_>,
    completion: Completion,
) -> Result<(), Failure> {
    let host = protocol.host;
    serving(protocol)?;
    if calls::inside_callback() {
        return Err(Failure::new(
            raw::KUZZLE_REENTRANT,
            "execute was called inside a callback: queue the request and execute it after the callback",
        ));
    }
    let connection = match info.connection {
        0 => None,
        handle => {
            let found = host.connections.get(Handle(handle), protocol);
            Some(found.filter(|connection| !connection.outbox.has_overflowed()).ok_or_else(bad_handle)?)
        }
    };
    let connection_label =
        connection.as_ref().map_or(protocol.name.as_str(), |connection| connection.label());
    let caller = Caller {
        connection: connection.as_ref().map(|connection| connection.handle.id()),
        uuid: connection.as_ref().map(|connection| connection.uuid),
        protocol: if info.label.is_empty() { connection_label } else { info.label },
        headers: &info.headers,
        connection_headers: connection.as_ref().map_or(&[], |connection| &connection.headers),
    };

    // What a protocol asks for itself in its init is no client's request.
    let is_logged = host.access_log().is_some() && host.gate_is_open();
    let access = is_logged.then(|| Box::new(Record::new(protocol, connection.as_ref(), info)));
    let mut turn = Turn::inside(protocol);
    let response = if info.document.len() > host.max_request_size {
        host.kernel.oversized(None)
    } else {
        let request = Request::parse(&info.document).map_err(|invalid| refused(protocol, invalid))?;
        host.kernel.execute(&request, &caller, &mut turn)
    };
    let join = turn.take_join();
    turn.deliver();
    match connection {
        Some(connection) => turn.complete(&connection, Answer { completion, response, join, access }),
        None => turn.complete_with(protocol, completion, &response, access),
    }
    Ok(())
}

/// The protocol answers these itself, and has them logged.
fn refused(protocol: &Protocol, invalid: InvalidRequest) -> Failure {
    protocol.counters.answered(invalid.to_error().status);
    match invalid {
        InvalidRequest::Json { message } => Failure::new(raw::KUZZLE_INVALID_JSON, message),
        InvalidRequest::Request { message, request_id, .. } => {
            Failure { request_id, ..Failure::new(raw::KUZZLE_INVALID_REQUEST, message) }
        }
    }
}

/// Tells of an answer that did not come from `execute`.
pub(crate) fn log_access(protocol: &'static Protocol, request: &RequestInfo<'_>, status: u32, size: u64) {
    if let Some(log) = protocol.host.access_log() {
        let connection = protocol.host.connections.get(Handle(request.connection), protocol);
        log.answered_by_protocol(Record::new(protocol, connection.as_ref(), request), status, size);
    }
}

/// Remembers an address that a protocol has bound.
pub(crate) fn report_listener(protocol: &Protocol, transport: &str, address: &str) -> Result<(), Failure> {
    const MOST: usize = 64;
    serving(protocol)?;
    if transport.is_empty() || address.is_empty() || transport.len() > 64 || address.len() > 512 {
        return Err(Failure::new(
            raw::KUZZLE_INVALID_ARGUMENT,
            "a listener needs a transport (at most 64 bytes) and an address (at most 512 bytes)",
        ));
    }
    if protocol.listeners().len() >= MOST {
        return Err(Failure::new(raw::KUZZLE_LIMIT, "a protocol can report 64 listeners"));
    }
    protocol.report_listener(Listener { transport: escape(transport), address: escape(address) });
    protocol.host.refresh_info();
    Ok(())
}

/// Writes a line of a protocol to the log: one line, whatever clients have made it say.
pub(crate) fn log(protocol: &Protocol, level: u32, topic: &str, message: &str) {
    if protocol.log.is_enabled(level) {
        protocol.log.write(level, &protocol.name, &escape(topic), &escape(message));
    }
}

/// The value of an option.
pub(crate) enum OptionValue<'a> {
    Json(&'a Value),
    Text(&'a str),
    Integer(i64),
}

impl<'a> OptionValue<'a> {
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Json(value) => value.as_i64(),
            Self::Integer(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Json(value) => value.as_bool(),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Json(value) => value.as_str(),
            Self::Text(text) => Some(text),
            Self::Integer(_) => None,
        }
    }
}

/// An option by its dotted path: of the protocol's own section, or of the section that the first
/// segment names if it owns several; `/host` and `/port` are the server's.
pub(crate) fn option(protocol: &'static Protocol, path: &str) -> Option<OptionValue<'static>> {
    let description = &protocol.description;
    match path {
        "/host" => return description.server_host.as_deref().map(OptionValue::Text),
        "/port" => return Some(OptionValue::Integer(description.server_port)),
        _ => {}
    }
    let sections = description.options.as_object()?;
    let root = match sections.len() {
        1 => sections.values().next()?,
        _ => &description.options,
    };
    let found = path.split('.').try_fold(root, |value, key| value.get(key))?;
    (!found.is_null()).then_some(OptionValue::Json(found))
}
