//! The functions that a library exports, for any protocol type: each behind a panic guard.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::ConnectionId;
use super::context::{Context, LogLevel};
use super::entry_point::EntryPoint;
use super::error::{Error, Status};
use super::guard::catch;
use super::host::{ContextTable, EntryPointTable};
use super::metrics::{self, Metrics};
use super::payload::Payload;
use super::protocol::{Channels, DisconnectReason, Protocol};
use super::queue::InCallback;
use super::{config, logging};
use crate::raw::metrics::{KUZZLE_EXTENSION_METRICS, kuzzle_metric, kuzzle_metrics};
use crate::raw::{
    KUZZLE_INVALID_ARGUMENT, KUZZLE_OK, KUZZLE_PANIC, kuzzle_broadcast, kuzzle_context, kuzzle_disconnect,
    kuzzle_entry_point, kuzzle_error, kuzzle_notification, kuzzle_protocol, kuzzle_protocol_broadcast_fn,
    kuzzle_protocol_channel_fn, kuzzle_protocol_disconnect_fn, kuzzle_protocol_get_extension_fn,
    kuzzle_protocol_notify_fn, kuzzle_protocol_shutdown_fn, kuzzle_protocol_start_fn, kuzzle_str,
};

/// How long the SDK waits for its own threads when `init` has failed.
const CLEAN_UP: Duration = Duration::from_secs(1);

/// Who the author is, as `export_protocol!` finds out in the author's crate.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    package: &'static str,
}

impl Identity {
    /// `package` is the author's `CARGO_PKG_NAME`.
    pub const fn new(package: &'static str) -> Self {
        Self { package }
    }

    /// A short name for threads: Linux shows 15 bytes of it.
    fn thread_name(self) -> &'static str {
        ["kuzzle-protocol-", "kuzzle-"]
            .iter()
            .find_map(|prefix| self.package.strip_prefix(prefix))
            .unwrap_or(self.package)
    }
}

/// `init`, with the author's identity in front.
type InitFn = unsafe fn(
    identity: Identity,
    entry_point: *const kuzzle_entry_point,
    context: *const kuzzle_context,
    out: *mut *mut kuzzle_protocol,
    error: *mut kuzzle_error,
) -> i32;

/// What a library exports, for one protocol type. None of these functions unwinds.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header documents each function")]
pub struct Exports {
    pub init: InitFn,
    pub start: kuzzle_protocol_start_fn,
    pub broadcast: kuzzle_protocol_broadcast_fn,
    pub notify: kuzzle_protocol_notify_fn,
    pub join_channel: kuzzle_protocol_channel_fn,
    pub leave_channel: kuzzle_protocol_channel_fn,
    pub disconnect: kuzzle_protocol_disconnect_fn,
    pub shutdown: kuzzle_protocol_shutdown_fn,
    pub get_extension: kuzzle_protocol_get_extension_fn,
}

impl Exports {
    /// The functions for `P`.
    pub const fn new<P: Protocol>() -> Self {
        Self {
            init: init::<P>,
            start: start::<P>,
            broadcast: broadcast::<P>,
            notify: notify::<P>,
            join_channel: join_channel::<P>,
            leave_channel: leave_channel::<P>,
            disconnect: disconnect::<P>,
            shutdown: shutdown::<P>,
            get_extension: get_extension::<P>,
        }
    }
}

/// What a `kuzzle_protocol *` of ours points to. Lives until the process ends, because calls that had
/// begun before `shutdown` may still be running.
struct Instance<P> {
    protocol: Arc<P>,
    entry_point: EntryPoint,
}

pub(crate) unsafe fn init<P: Protocol>(
    identity: Identity,
    entry_point: *const kuzzle_entry_point,
    context: *const kuzzle_context,
    out: *mut *mut kuzzle_protocol,
    error: *mut kuzzle_error,
) -> i32 {
    let result = catch(|| {
        // SAFETY: the host passes its tables, which live until the process ends.
        let (entry_point, context) =
            unsafe { (EntryPointTable::new(entry_point)?, Context::new(ContextTable::new(context)?)) };
        if out.is_null() {
            return Err(Error::new(
                Status::InvalidArgument,
                "init was called without a place for its result",
            ));
        }
        logging::install(context);
        let entry_point = EntryPoint::new(entry_point, context, identity.thread_name());
        let protocol = catch(|| {
            let config = config::read(entry_point.config())?;
            P::init(entry_point.clone(), context, config)
        })
        .unwrap_or_else(|message| {
            entry_point.poison().set();
            Err(Error::new(Status::Panic, format!("panicked during init: {message}")))
        });
        match protocol {
            Ok(protocol) => {
                let instance = Box::new(Instance { protocol: Arc::new(protocol), entry_point });
                // SAFETY: not null; the host has a place for one pointer there.
                unsafe { *out = Box::into_raw(instance).cast::<kuzzle_protocol>() };
                Ok(())
            }
            Err(failure) => {
                entry_point.stop(CLEAN_UP);
                Err(failure)
            }
        }
    });
    let failure = match result {
        Ok(Ok(())) => return KUZZLE_OK,
        Ok(Err(failure)) => failure,
        Err(message) => Error::new(Status::Panic, format!("panicked during init: {message}")),
    };
    // SAFETY: the host passes null or its error with its size.
    catch(|| unsafe { failure.fill(error) }).unwrap_or(KUZZLE_PANIC)
}

/// Enters the protocol's code, unless it is poisoned; poisons it if it panics.
///
/// # Safety
/// `this` is null or what `init` of the same `P` gave.
unsafe fn enter<P: Protocol>(
    this: *mut kuzzle_protocol,
    f: impl FnOnce(&Instance<P>) -> Result<(), Error>,
) -> Result<(), Error> {
    // SAFETY: null, or the instance that `init` made, which is never freed.
    let Some(instance) = (unsafe { this.cast::<Instance<P>>().as_ref() }) else {
        return Err(Error::new(Status::InvalidArgument, "the protocol's state is null"));
    };
    if instance.entry_point.poison().is_set() {
        return Err(Error::of(Status::Panic));
    }
    catch(|| f(instance)).unwrap_or_else(|message| {
        instance.entry_point.poison().set();
        Err(Error::new(Status::Panic, format!("panicked: {message}")))
    })
}

/// [`enter`] for the functions during which the host refuses `execute`.
///
/// # Safety
/// As for [`enter`].
unsafe fn enter_callback<P: Protocol>(
    this: *mut kuzzle_protocol,
    f: impl FnOnce(&P) -> Result<(), Error>,
) -> i32 {
    // The outer guard is for what `enter` itself drops.
    catch(|| {
        let _inside = InCallback::enter();
        // SAFETY: the caller's promise is the same.
        match unsafe { enter::<P>(this, |instance| f(&instance.protocol)) } {
            Ok(()) => KUZZLE_OK,
            Err(error) => error.status().as_raw(),
        }
    })
    .unwrap_or(KUZZLE_PANIC)
}

unsafe extern "C" fn start<P: Protocol>(this: *mut kuzzle_protocol, error: *mut kuzzle_error) -> i32 {
    catch(|| {
        // SAFETY: the host passes what `init` gave.
        match unsafe { enter::<P>(this, |instance| instance.protocol.start()) } {
            Ok(()) => KUZZLE_OK,
            // SAFETY: the host passes null or its error with its size.
            Err(failure) => unsafe { failure.fill(error) },
        }
    })
    .unwrap_or(KUZZLE_PANIC)
}

/// Reads an extensible struct, if it is there and large enough.
///
/// # Safety
/// `message` is null or points to a struct that begins with its `u32` size and lives for `'a`.
unsafe fn sized<'a, T>(message: *const T) -> Result<&'a T, Error> {
    // SAFETY: not null, and it begins with its size.
    if message.is_null() || unsafe { message.cast::<u32>().read() } < size_of::<T>() as u32 {
        return Err(Error::new(Status::InvalidArgument, "the host sent a message that is too short"));
    }
    // SAFETY: not null and large enough; the caller vouches for the rest.
    Ok(unsafe { &*message })
}

/// # Safety
/// As for [`kuzzle_str::bytes`].
unsafe fn text<'a>(text: kuzzle_str) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise is the same.
    unsafe { text.text() }
        .ok_or_else(|| Error::new(Status::InvalidArgument, "the host sent text that is not UTF-8"))
}

unsafe extern "C" fn broadcast<P: Protocol>(
    this: *mut kuzzle_protocol,
    message: *const kuzzle_broadcast,
) -> i32 {
    // SAFETY: the host passes what `init` gave, and a message that it lends for this call.
    unsafe {
        enter_callback::<P>(this, |protocol| {
            let message = sized(message)?;
            let channels = Channels::from_raw(message.channels, message.channels_len)?;
            protocol.broadcast(channels, &Payload::from_raw(message.parts, message.parts_len)?);
            Ok(())
        })
    }
}

unsafe extern "C" fn notify<P: Protocol>(
    this: *mut kuzzle_protocol,
    message: *const kuzzle_notification,
) -> i32 {
    // SAFETY: the host passes what `init` gave, and a message that it lends for this call.
    unsafe {
        enter_callback::<P>(this, |protocol| {
            let message = sized(message)?;
            let channels = Channels::from_raw(message.channels, message.channels_len)?;
            let payload = Payload::from_raw(message.parts, message.parts_len)?;
            protocol.notify(ConnectionId::from_raw(message.connection), channels, &payload);
            Ok(())
        })
    }
}

unsafe extern "C" fn join_channel<P: Protocol>(
    this: *mut kuzzle_protocol,
    connection: u64,
    channel: kuzzle_str,
) -> i32 {
    // SAFETY: the host passes what `init` gave, and a string that it lends for this call.
    unsafe {
        enter_callback::<P>(this, |protocol| {
            protocol.join_channel(ConnectionId::from_raw(connection), text(channel)?)
        })
    }
}

unsafe extern "C" fn leave_channel<P: Protocol>(
    this: *mut kuzzle_protocol,
    connection: u64,
    channel: kuzzle_str,
) -> i32 {
    // SAFETY: the host passes what `init` gave, and a string that it lends for this call.
    unsafe {
        enter_callback::<P>(this, |protocol| {
            protocol.leave_channel(ConnectionId::from_raw(connection), text(channel)?);
            Ok(())
        })
    }
}

unsafe extern "C" fn disconnect<P: Protocol>(
    this: *mut kuzzle_protocol,
    message: *const kuzzle_disconnect,
) -> i32 {
    // SAFETY: the host passes what `init` gave, and a message that it lends for this call.
    unsafe {
        enter_callback::<P>(this, |protocol| {
            let message = sized(message)?;
            let reason = DisconnectReason::from_raw(message.reason);
            let connection = ConnectionId::from_raw(message.connection);
            protocol.disconnect(connection, reason, text(message.message)?);
            Ok(())
        })
    }
}

/// Exempt from poisoning: whatever happened, the protocol's threads must end.
unsafe extern "C" fn shutdown<P: Protocol>(this: *mut kuzzle_protocol, deadline_ms: u32) -> i32 {
    let deadline = Duration::from_millis(u64::from(deadline_ms));
    let until = Instant::now() + deadline;
    // SAFETY: null, or the instance that `init` made, which is never freed.
    let Some(instance) = (unsafe { this.cast::<Instance<P>>().as_ref() }) else {
        return KUZZLE_INVALID_ARGUMENT;
    };
    let theirs = catch(|| instance.protocol.shutdown(deadline));
    if theirs.is_err() {
        instance.entry_point.poison().set();
    }
    let ours = catch(|| instance.entry_point.stop(until.saturating_duration_since(Instant::now())));
    if theirs.is_ok() && ours.is_ok() { KUZZLE_OK } else { KUZZLE_PANIC }
}

unsafe extern "C" fn get_extension<P: Protocol>(this: *mut kuzzle_protocol, id: kuzzle_str) -> *const c_void {
    let ask = |this: Option<&P>| {
        // SAFETY: the host lends the string for this call.
        let id = unsafe { id.text() }?;
        P::get_extension(this, id).or_else(|| {
            (id == KUZZLE_EXTENSION_METRICS).then(|| {
                super::protocol::Extension::new(const { &kuzzle_metrics { read: Some(read_metrics::<P>) } })
            })
        })
    };
    catch(|| {
        // SAFETY: null, or the instance that `init` made, which is never freed.
        let Some(instance) = (unsafe { this.cast::<Instance<P>>().as_ref() }) else {
            return ask(None);
        };
        if instance.entry_point.poison().is_set() {
            return None;
        }
        let _inside = InCallback::enter();
        catch(|| ask(Some(&instance.protocol))).unwrap_or_else(|message| {
            instance.entry_point.poison().set();
            instance.entry_point.context().log(
                LogLevel::Error,
                "panic",
                &format!("get_extension panicked: {message}"),
            );
            None
        })
    })
    .ok()
    .flatten()
    .map_or(std::ptr::null(), super::protocol::Extension::as_ptr)
}

/// `kuzzle.metrics/1`, for the host.
unsafe extern "C" fn read_metrics<P: Protocol>(
    this: *mut kuzzle_protocol,
    out: *mut kuzzle_metric,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    let tell = |metrics: &mut Metrics<'_>| {
        // SAFETY: the host passes what `init` gave.
        let told = unsafe {
            enter::<P>(this, |instance| {
                instance.protocol.metrics(metrics);
                Ok(())
            })
        };
        told.map_or_else(|error| error.status().as_raw(), |()| KUZZLE_OK)
    };
    // SAFETY: the host passes places as the extension demands.
    unsafe { metrics::fill(out, capacity, count, tell) }
}
