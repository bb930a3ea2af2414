//! Calls from the host into a library: its functions, and the completions of its requests.

use kuzzle_kernel::{Channel, Payload, Response};
use kuzzle_protocol_abi::raw;
use kuzzle_protocol_abi::raw::metrics::{
    KUZZLE_EXTENSION_METRICS, KUZZLE_METRICS_MOST, kuzzle_metric, kuzzle_metrics,
};
use kuzzle_protocol_abi::raw::{
    kuzzle_broadcast, kuzzle_completion, kuzzle_disconnect, kuzzle_error, kuzzle_header, kuzzle_notification,
    kuzzle_protocol, kuzzle_response, kuzzle_str,
};

use super::super::outbox::DisconnectReason;
use super::{Failure, MOST_TEXT, OK, Tables, borrow};

/// What a library exports, bound once.
#[derive(Clone, Copy)]
pub struct Functions {
    /// `kuzzle_protocol_init`.
    pub init: raw::kuzzle_protocol_init_fn,
    /// `kuzzle_protocol_start`.
    pub start: Option<raw::kuzzle_protocol_start_fn>,
    /// `kuzzle_protocol_broadcast`.
    pub broadcast: raw::kuzzle_protocol_broadcast_fn,
    /// `kuzzle_protocol_notify`.
    pub notify: raw::kuzzle_protocol_notify_fn,
    /// `kuzzle_protocol_join_channel`.
    pub join_channel: raw::kuzzle_protocol_channel_fn,
    /// `kuzzle_protocol_leave_channel`.
    pub leave_channel: raw::kuzzle_protocol_channel_fn,
    /// `kuzzle_protocol_disconnect`.
    pub disconnect: raw::kuzzle_protocol_disconnect_fn,
    /// `kuzzle_protocol_shutdown`.
    pub shutdown: Option<raw::kuzzle_protocol_shutdown_fn>,
    /// `kuzzle_protocol_get_extension`.
    pub get_extension: Option<raw::kuzzle_protocol_get_extension_fn>,
}

/// A protocol's table for the extension `kuzzle.metrics/1`.
#[derive(Clone, Copy)]
pub(crate) struct MetricsTable(
    unsafe extern "C" fn(*mut kuzzle_protocol, *mut kuzzle_metric, usize, *mut usize) -> i32,
);

/// A number as a protocol tells it: nothing of it has been checked.
pub(crate) struct RawMetric {
    pub(crate) name: Option<&'static [u8]>,
    pub(crate) kind: u32,
    pub(crate) value: i64,
}

/// What `init` made. The protocol's own; the host only passes it back.
pub(crate) struct Instance(*mut kuzzle_protocol);

// SAFETY: the ABI lets the host pass the pointer to the protocol's functions on any thread.
unsafe impl Send for Instance {}
// SAFETY: as above; the functions' tags say which calls may be concurrent, and serving keeps to it.
unsafe impl Sync for Instance {}

impl Functions {
    pub(crate) fn init(&self, tables: &'static Tables) -> Result<Instance, Failure> {
        let mut instance = std::ptr::null_mut();
        let mut error = kuzzle_error::empty();
        // SAFETY: bound from a symbol of that name in a library whose note promises this ABI; the
        // tables live for ever, the other two until the call returns.
        let code = unsafe {
            let (entry_point, context) = tables.raw();
            (self.init)(entry_point, context, &mut instance, &mut error)
        };
        if code == OK { Ok(Instance(instance)) } else { Err(take_error(code, error)) }
    }

    /// Asks for the extension `kuzzle.metrics/1`; `None`: the protocol does not have it.
    pub(crate) fn metrics(&self, instance: &Instance) -> Option<MetricsTable> {
        let get_extension = self.get_extension?;
        // SAFETY: as for `init`; the instance is what `init` made, the id lives until the call returns.
        let table = unsafe { get_extension(instance.0, kuzzle_str::new(KUZZLE_EXTENSION_METRICS)) };
        let table = table.cast::<kuzzle_metrics>();
        if !table.is_aligned() {
            return None;
        }
        // SAFETY: null, or the table of the extension that was asked for, which lives for ever.
        let read = unsafe { table.as_ref() }?.read?;
        Some(MetricsTable(read))
    }

    /// Reads the numbers that the protocol exposes: its status, and each name, kind and value if that was
    /// success.
    pub(crate) fn read_metrics(
        &self,
        table: MetricsTable,
        instance: &Instance,
    ) -> (i32, Option<Vec<RawMetric>>) {
        let mut metrics = [kuzzle_metric::EMPTY; KUZZLE_METRICS_MOST];
        let mut count = 0;
        // SAFETY: the function of the extension's table, the instance of the same library; both places
        // live until the call returns.
        let status = unsafe { (table.0)(instance.0, metrics.as_mut_ptr(), metrics.len(), &mut count) };
        if status != OK {
            return (status, None);
        }
        let told = metrics.iter().take(count).map(|metric| RawMetric {
            // SAFETY: the extension promises names that live until the process ends.
            name: unsafe { metric.name.bytes() }.map(|name| &name[..name.len().min(MOST_TEXT)]),
            kind: metric.kind,
            value: metric.value,
        });
        (status, Some(told.collect()))
    }

    pub(crate) fn start(&self, instance: &Instance) -> Result<(), Failure> {
        let Some(start) = self.start else { return Ok(()) };
        let mut error = kuzzle_error::empty();
        // SAFETY: as for `init`; the instance is what `init` made.
        let code = unsafe { start(instance.0, &mut error) };
        if code == OK { Ok(()) } else { Err(take_error(code, error)) }
    }

    pub(crate) fn broadcast(&self, instance: &Instance, channels: &[Channel], payload: &Payload) -> i32 {
        let (channels, part) = (strings(channels), borrow(payload));
        let channels = channels.as_slice();
        let message = kuzzle_broadcast {
            struct_size: size_of::<kuzzle_broadcast>() as u32,
            reserved: 0,
            channels: channels.as_ptr(),
            channels_len: channels.len(),
            parts: &part,
            parts_len: 1,
        };
        // SAFETY: as for `start`; everything in the message lives until the call returns.
        unsafe { (self.broadcast)(instance.0, &message) }
    }

    pub(crate) fn notify(
        &self,
        instance: &Instance,
        connection: u64,
        channels: &[Channel],
        payload: &Payload,
    ) -> i32 {
        let (channels, part) = (strings(channels), borrow(payload));
        let channels = channels.as_slice();
        let message = kuzzle_notification {
            struct_size: size_of::<kuzzle_notification>() as u32,
            reserved: 0,
            connection,
            channels: channels.as_ptr(),
            channels_len: channels.len(),
            parts: &part,
            parts_len: 1,
        };
        // SAFETY: as for `broadcast`.
        unsafe { (self.notify)(instance.0, &message) }
    }

    pub(crate) fn join_channel(&self, instance: &Instance, connection: u64, channel: &str) -> i32 {
        // SAFETY: as for `start`; the channel lives until the call returns.
        unsafe { (self.join_channel)(instance.0, connection, kuzzle_str::new(channel)) }
    }

    pub(crate) fn leave_channel(&self, instance: &Instance, connection: u64, channel: &str) -> i32 {
        // SAFETY: as for `join_channel`.
        unsafe { (self.leave_channel)(instance.0, connection, kuzzle_str::new(channel)) }
    }

    pub(crate) fn disconnect(
        &self,
        instance: &Instance,
        connection: u64,
        reason: DisconnectReason,
        message: &str,
    ) -> i32 {
        let message = kuzzle_disconnect {
            struct_size: size_of::<kuzzle_disconnect>() as u32,
            reason: match reason {
                DisconnectReason::Requested => raw::KUZZLE_DISCONNECT_REQUESTED,
                DisconnectReason::Shutdown => raw::KUZZLE_DISCONNECT_SHUTDOWN,
                DisconnectReason::Overflow => raw::KUZZLE_DISCONNECT_OVERFLOW,
            },
            connection,
            message: kuzzle_str::new(message),
        };
        // SAFETY: as for `broadcast`.
        unsafe { (self.disconnect)(instance.0, &message) }
    }

    pub(crate) fn shutdown(&self, instance: &Instance, deadline_ms: u32) -> i32 {
        match self.shutdown {
            // SAFETY: as for `start`.
            Some(shutdown) => unsafe { shutdown(instance.0, deadline_ms) },
            None => OK,
        }
    }
}

/// Items for one call: a few need no allocation.
enum Few<T, const N: usize> {
    Few([T; N], usize),
    Many(Vec<T>),
}

impl<T: Copy, const N: usize> Few<T, N> {
    fn collect<S>(filler: T, items: &[S], convert: impl Fn(&S) -> T) -> Self {
        if items.len() > N {
            return Self::Many(items.iter().map(convert).collect());
        }
        let mut few = [filler; N];
        for (place, item) in few.iter_mut().zip(items) {
            *place = convert(item);
        }
        Self::Few(few, items.len())
    }

    fn as_slice(&self) -> &[T] {
        match self {
            Self::Few(few, len) => &few[..*len],
            Self::Many(many) => many,
        }
    }
}

/// The channels of one message.
fn strings(channels: &[Channel]) -> Few<kuzzle_str, 8> {
    Few::collect(kuzzle_str::EMPTY, channels, |channel| kuzzle_str::new(channel))
}

/// Copies what a protocol answered, then lets it free its error.
fn take_error(code: i32, mut error: kuzzle_error) -> Failure {
    // SAFETY: the ABI promises readable bytes until `release`.
    let message = unsafe { error.message.bytes() }.unwrap_or_default();
    let message = String::from_utf8_lossy(&message[..message.len().min(MOST_TEXT)]).into_owned();
    if let Some(release) = error.release {
        // SAFETY: set by the callee for exactly this call.
        unsafe { release(&mut error) };
    }
    Failure::new(code, if message.is_empty() { format!("status {code}") } else { message })
}

/// Whom to tell a response to, once.
pub(crate) struct Completion(pub(super) kuzzle_completion);

// SAFETY: the ABI lets the host call a completion on any thread.
unsafe impl Send for Completion {}

impl Completion {
    /// As a protocol makes it.
    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn new(completion: kuzzle_completion) -> Self {
        Self(completion)
    }

    /// What the protocol answered.
    pub(crate) fn call(self, response: &Response) -> i32 {
        let Some(function) = self.0.function else { return OK };
        let part = borrow(&response.content);
        let none = kuzzle_header { name: kuzzle_str::EMPTY, value: kuzzle_str::EMPTY };
        let headers = Few::<_, 4>::collect(none, &response.headers, |(name, value)| kuzzle_header {
            name: kuzzle_str::new(name),
            value: kuzzle_str::new(value),
        });
        let headers = headers.as_slice();
        let response = kuzzle_response {
            struct_size: size_of::<kuzzle_response>() as u32,
            status: u32::from(response.status),
            raw: u8::from(response.raw),
            reserved: [0; 7],
            request_id: kuzzle_str::new(&response.request_id),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
            parts: &part,
            parts_len: 1,
        };
        // SAFETY: given by the protocol with its `execute`, called once as `self` is consumed;
        // everything in the response lives until the call returns.
        unsafe { function(self.0.context, &response) }
    }
}
