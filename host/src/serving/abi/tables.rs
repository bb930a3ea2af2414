//! Calls from a library into the host: the two tables, and the checks of everything that comes in.

use std::borrow::Cow;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kuzzle_protocol_abi::raw;
use kuzzle_protocol_abi::raw::metrics::{
    KUZZLE_EXTENSION_METRICS, KUZZLE_METRIC_COUNTER, KUZZLE_METRIC_GAUGE, kuzzle_host_metrics, kuzzle_metric,
};
use kuzzle_protocol_abi::raw::{
    kuzzle_completion, kuzzle_connection_info, kuzzle_context, kuzzle_entry_point, kuzzle_error,
    kuzzle_error_info, kuzzle_header, kuzzle_request, kuzzle_str,
};

use super::super::entry_point::{self, ConnectionInfo, RequestInfo};
use super::super::protocol::Protocol;
use super::{Completion, Failure, MOST_TEXT, OK};

#[repr(C)]
struct EntryPoint {
    table: kuzzle_entry_point,
    protocol: &'static Protocol,
}

#[repr(C)]
struct Context {
    table: kuzzle_context,
    protocol: &'static Protocol,
}

/// The two tables of a protocol.
pub(crate) struct Tables {
    entry_point: EntryPoint,
    context: Context,
}

impl Tables {
    pub(crate) fn new(protocol: &'static Protocol) -> Self {
        Self {
            entry_point: EntryPoint {
                table: kuzzle_entry_point {
                    new_connection: Some(new_connection),
                    remove_connection: Some(remove_connection),
                    execute: Some(execute),
                    log_access: Some(log_access),
                    is_shutting_down: Some(is_shutting_down),
                    report_listener: Some(report_listener),
                    config: Some(config),
                    suggested_worker_threads: Some(suggested_worker_threads),
                },
                protocol,
            },
            context: Context {
                table: kuzzle_context {
                    host_version: Some(host_version),
                    kuzzle_version: Some(kuzzle_version),
                    node_id: Some(node_id),
                    log: Some(log),
                    log_enabled: Some(log_enabled),
                    option_i64: Some(option_i64),
                    option_bool: Some(option_bool),
                    option_string: Some(option_string),
                    error_count: Some(error_count),
                    error_at: Some(error_at),
                    error_by_id: Some(error_by_id),
                    uuid: Some(uuid),
                    get_extension: Some(get_extension),
                },
                protocol,
            },
        }
    }

    /// What a library is given: pointers to the whole of each struct, of which it sees the table.
    pub(super) fn raw(&'static self) -> (*const kuzzle_entry_point, *const kuzzle_context) {
        (std::ptr::from_ref(&self.entry_point).cast(), std::ptr::from_ref(&self.context).cast())
    }
}

/// The protocol that a table was made for.
///
/// # Safety
/// `table` must be null or what the host gave to `init`.
unsafe fn of_entry_point(table: *const kuzzle_entry_point) -> Result<&'static Protocol, Failure> {
    // SAFETY: the table is the first field of an `EntryPoint` that lives for ever.
    unsafe { table.cast::<EntryPoint>().as_ref() }
        .map(|entry_point| entry_point.protocol)
        .ok_or_else(null_table)
}

/// The protocol that a table was made for.
///
/// # Safety
/// As for [`of_entry_point`].
unsafe fn of_context(table: *const kuzzle_context) -> Result<&'static Protocol, Failure> {
    // SAFETY: the table is the first field of a `Context` that lives for ever.
    unsafe { table.cast::<Context>().as_ref() }.map(|context| context.protocol).ok_or_else(null_table)
}

fn null_table() -> Failure {
    invalid("the first argument must be the table itself, found null")
}

fn invalid(message: &'static str) -> Failure {
    Failure::new(raw::KUZZLE_INVALID_ARGUMENT, message)
}

/// Runs a host function: nothing unwinds into C, and a failure is written where the caller wants it.
fn guard(error: *mut kuzzle_error, function: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(function)).unwrap_or_else(|_| {
        Err(Failure::other("the host failed: this is a defect of the host, please report it"))
    });
    match outcome {
        Ok(()) => OK,
        Err(failure) => {
            let code = failure.code;
            give_error(error, failure);
            code
        }
    }
}

/// Runs a host function that cannot fail; `otherwise` answers for a null table or a defect.
fn answer<R>(otherwise: R, function: impl FnOnce() -> Result<R, Failure>) -> R {
    match catch_unwind(AssertUnwindSafe(function)) {
        Ok(Ok(answer)) => answer,
        _ => otherwise,
    }
}

struct ErrorOwner {
    failure: Failure,
}

fn give_error(error: *mut kuzzle_error, failure: Failure) {
    // SAFETY: the ABI: null, or a struct of the caller's that is valid during the call.
    let Some(error) = (unsafe { error.as_mut() }) else { return };
    if (error.struct_size as usize) < size_of::<kuzzle_error>() {
        return;
    }
    let owner = Box::new(ErrorOwner { failure });
    error.code = owner.failure.code;
    error.message = kuzzle_str::new(&owner.failure.message);
    error.request_id = owner.failure.request_id.as_deref().map_or(kuzzle_str::EMPTY, kuzzle_str::new);
    error.owner = Box::into_raw(owner).cast();
    error.release = Some(release_error);
}

unsafe extern "C" fn release_error(error: *mut kuzzle_error) {
    // SAFETY: the ABI: the struct that `give_error` filled.
    let Some(error) = (unsafe { error.as_mut() }) else { return };
    let owner =
        std::mem::replace(error, kuzzle_error { struct_size: error.struct_size, ..kuzzle_error::empty() })
            .owner;
    if !owner.is_null() {
        // SAFETY: made by `give_error`, and taken out of the struct just now, so freed once.
        drop(unsafe { Box::from_raw(owner.cast::<ErrorOwner>()) });
    }
}

/// An array of the ABI as a slice.
///
/// # Safety
/// Unless it is null, `items` must point to `len` readable items that do not change for `'a`.
unsafe fn slice<'a, T>(items: *const T, len: usize) -> Result<&'a [T], Failure> {
    if len == 0 {
        Ok(&[])
    } else if items.is_null() || !items.is_aligned() || len > isize::MAX as usize / size_of::<T>().max(1) {
        Err(invalid("an array of more than 0 items must not be null"))
    } else {
        // SAFETY: checked above what can be checked; the caller vouches for the rest.
        Ok(unsafe { std::slice::from_raw_parts(items, len) })
    }
}

/// # Safety
/// As for [`kuzzle_str::bytes`].
unsafe fn text<'a>(string: kuzzle_str) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise is the same.
    unsafe { string.text() }.ok_or_else(|| invalid("a text is null with a length, or not UTF-8"))
}

/// # Safety
/// As for [`slice`], and for [`kuzzle_str::bytes`] of each.
unsafe fn headers<'a>(items: *const kuzzle_header, len: usize) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    // SAFETY: the caller's promise is the same.
    let items = unsafe { slice(items, len) }?;
    if items.len() > MOST_HEADERS {
        return Err(invalid("more than 1000 headers"));
    }
    // SAFETY: as above.
    items.iter().map(|header| unsafe { Ok((text(header.name)?, text(header.value)?)) }).collect()
}

const MOST_HEADERS: usize = 1000;
const MOST_IPS: usize = 64;

unsafe extern "C" fn new_connection(
    this: *const kuzzle_entry_point,
    info: *const kuzzle_connection_info,
    out: *mut u64,
    uuid_out: *mut u8,
    error: *mut kuzzle_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the ABI: the table that was given to `init`.
        let protocol = unsafe { of_entry_point(this) }?;
        // SAFETY: the ABI: null, or readable during the call; its size is checked before its fields.
        let info = unsafe { info.as_ref() }.ok_or_else(|| invalid("the connection's description is null"))?;
        if (info.struct_size as usize) < size_of::<kuzzle_connection_info>() {
            return Err(invalid("kuzzle_connection_info.struct_size is too small: set it to sizeof"));
        }
        if out.is_null() {
            return Err(invalid("`out` is null: there is nowhere to write the handle to"));
        }
        // SAFETY: the ABI: strings and arrays are borrowed until the call returns.
        let info = unsafe {
            let ips = slice(info.ips, info.ips_len)?;
            if ips.len() > MOST_IPS {
                return Err(invalid("more than 64 addresses"));
            }
            ConnectionInfo {
                label: text(info.label)?,
                ips: ips.iter().map(|ip| text(*ip)).collect::<Result<_, _>>()?,
                headers: headers(info.headers, info.headers_len)?,
            }
        };
        let (handle, uuid) = entry_point::new_connection(protocol, &info)?;
        // SAFETY: not null; the ABI: writable. The UUID's place may be null, else has 16 bytes.
        unsafe {
            out.write(handle.0);
            if !uuid_out.is_null() {
                std::ptr::copy_nonoverlapping(uuid.as_bytes().as_ptr(), uuid_out, 16);
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn remove_connection(this: *const kuzzle_entry_point, connection: u64) -> i32 {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the ABI: the table that was given to `init`.
        entry_point::remove_connection(unsafe { of_entry_point(this) }?, connection)
    })
}

unsafe extern "C" fn execute(
    this: *const kuzzle_entry_point,
    request: *const kuzzle_request,
    completion: kuzzle_completion,
    error: *mut kuzzle_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the ABI: the table that was given to `init`.
        let protocol = unsafe { of_entry_point(this) }?;
        if completion.function.is_none() {
            return Err(invalid("the completion's function is null"));
        }
        // SAFETY: the ABI: everything reached from the request is borrowed until the call returns.
        let info = unsafe { request_info(request)? };
        entry_point::execute(protocol, &info, Completion(completion))
    })
}

/// # Safety
/// `request` must be null, or it and all that it points to be readable and unchanged for `'a`.
unsafe fn request_info<'a>(request: *const kuzzle_request) -> Result<RequestInfo<'a>, Failure> {
    // SAFETY: the caller's promise; the size is checked before the fields are read.
    let request = unsafe { request.as_ref() }.ok_or_else(|| invalid("the request is null"))?;
    if (request.struct_size as usize) < size_of::<kuzzle_request>() {
        return Err(invalid("kuzzle_request.struct_size is too small: set it to sizeof"));
    }
    // SAFETY: the caller's promise.
    unsafe {
        let parts = slice(request.parts, request.parts_len)?;
        let document = match parts {
            [part] => Cow::Borrowed(slice(part.data, part.len)?),
            parts => {
                let mut document = Vec::new();
                for part in parts {
                    document.extend_from_slice(slice(part.data, part.len)?);
                }
                Cow::Owned(document)
            }
        };
        Ok(RequestInfo {
            connection: request.connection,
            document,
            label: text(request.label)?,
            headers: headers(request.headers, request.headers_len)?,
            method: text(request.method)?,
            url: text(request.url)?,
        })
    }
}

unsafe extern "C" fn log_access(
    this: *const kuzzle_entry_point,
    request: *const kuzzle_request,
    status: u32,
    size: u64,
) -> i32 {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the ABI: the table that was given to `init`.
        let protocol = unsafe { of_entry_point(this) }?;
        // SAFETY: the ABI: everything reached from the request is borrowed until the call returns.
        let request = unsafe { request_info(request)? };
        entry_point::log_access(protocol, &request, status, size);
        Ok(())
    })
}

unsafe extern "C" fn is_shutting_down(this: *const kuzzle_entry_point) -> u8 {
    answer(0, || {
        // SAFETY: the ABI: the table that was given to `init`.
        let protocol = unsafe { of_entry_point(this) }?;
        Ok(u8::from(protocol.host.is_shutting_down()))
    })
}

unsafe extern "C" fn report_listener(
    this: *const kuzzle_entry_point,
    transport: kuzzle_str,
    address: kuzzle_str,
) -> i32 {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the ABI: the table that was given to `init`, texts borrowed until the call returns.
        let (protocol, transport, address) =
            unsafe { (of_entry_point(this)?, text(transport)?, text(address)?) };
        entry_point::report_listener(protocol, transport, address)
    })
}

unsafe extern "C" fn config(this: *const kuzzle_entry_point) -> kuzzle_str {
    // SAFETY: the ABI: the table that was given to `init`.
    answer(kuzzle_str::EMPTY, || Ok(kuzzle_str::new(&unsafe { of_entry_point(this) }?.description.config)))
}

unsafe extern "C" fn suggested_worker_threads(_this: *const kuzzle_entry_point) -> u32 {
    answer(2, || Ok(std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2) as u32)))
}

unsafe extern "C" fn host_version(_this: *const kuzzle_context) -> kuzzle_str {
    kuzzle_str::new(env!("CARGO_PKG_VERSION"))
}

unsafe extern "C" fn kuzzle_version(_this: *const kuzzle_context) -> kuzzle_str {
    kuzzle_str::new(kuzzle_kernel::KUZZLE_VERSION)
}

unsafe extern "C" fn node_id(this: *const kuzzle_context) -> kuzzle_str {
    // SAFETY: the ABI: the table that was given to `init`.
    answer(kuzzle_str::EMPTY, || Ok(kuzzle_str::new(unsafe { of_context(this) }?.host.kernel.node_id())))
}

unsafe extern "C" fn log(this: *const kuzzle_context, level: u32, target: kuzzle_str, message: kuzzle_str) {
    answer((), || {
        // SAFETY: the ABI: the table that was given to `init`, texts borrowed until the call returns.
        let (protocol, target, message) = unsafe {
            (of_context(this)?, target.bytes().unwrap_or_default(), message.bytes().unwrap_or_default())
        };
        let readable = |bytes: &'static [u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_TEXT)]);
        entry_point::log(protocol, level, &readable(target), &readable(message));
        Ok(())
    });
}

unsafe extern "C" fn log_enabled(this: *const kuzzle_context, level: u32, _target: kuzzle_str) -> u8 {
    // SAFETY: the ABI: the table that was given to `init`.
    answer(0, || Ok(u8::from(unsafe { of_context(this) }?.log.is_enabled(level))))
}

/// Looks an option up and writes it.
///
/// # Safety
/// The table and the path as the ABI says; `out` null or writable.
unsafe fn option<T>(
    this: *const kuzzle_context,
    path: kuzzle_str,
    out: *mut T,
    convert: impl FnOnce(entry_point::OptionValue<'static>) -> Option<T>,
) -> i32 {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let (protocol, path) = unsafe { (of_context(this)?, text(path)?) };
        if out.is_null() {
            return Err(invalid("`out` is null"));
        }
        let found = entry_point::option(protocol, path)
            .ok_or_else(|| Failure::new(raw::KUZZLE_NOT_FOUND, "the option is not set"))?;
        let value = convert(found)
            .ok_or_else(|| Failure::new(raw::KUZZLE_WRONG_TYPE, "the option has another type"))?;
        // SAFETY: not null; the caller vouches that it is writable.
        unsafe { out.write(value) };
        Ok(())
    })
}

unsafe extern "C" fn option_i64(this: *const kuzzle_context, path: kuzzle_str, out: *mut i64) -> i32 {
    // SAFETY: the ABI promises what `option` asks for.
    unsafe { option(this, path, out, |value| value.integer()) }
}

unsafe extern "C" fn option_bool(this: *const kuzzle_context, path: kuzzle_str, out: *mut u8) -> i32 {
    // SAFETY: as above.
    unsafe { option(this, path, out, |value| value.boolean().map(u8::from)) }
}

unsafe extern "C" fn option_string(
    this: *const kuzzle_context,
    path: kuzzle_str,
    out: *mut kuzzle_str,
) -> i32 {
    // SAFETY: as above.
    unsafe { option(this, path, out, |value| value.text().map(kuzzle_str::new)) }
}

unsafe extern "C" fn error_count(_this: *const kuzzle_context) -> usize {
    kuzzle_kernel::errors::all().len()
}

/// # Safety
/// `out` must be null, or writable with a `struct_size` that is true.
unsafe fn give_error_info(
    entry: Option<&'static kuzzle_kernel::errors::ErrorEntry>,
    out: *mut kuzzle_error_info,
) -> Result<(), Failure> {
    let entry = entry.ok_or_else(|| Failure::new(raw::KUZZLE_NOT_FOUND, "no such error"))?;
    // SAFETY: the caller's promise; the size is checked before anything is written.
    let out = unsafe { out.as_mut() }.ok_or_else(|| invalid("`out` is null"))?;
    if (out.struct_size as usize) < size_of::<kuzzle_error_info>() {
        return Err(invalid("kuzzle_error_info.struct_size is too small: set it to sizeof"));
    }
    out.code = entry.code;
    out.status = u32::from(entry.status);
    out.reserved = 0;
    out.id = kuzzle_str::new(entry.id);
    out.error_class = kuzzle_str::new(entry.class.name());
    out.message = kuzzle_str::new(entry.message);
    Ok(())
}

unsafe extern "C" fn error_at(
    _this: *const kuzzle_context,
    index: usize,
    out: *mut kuzzle_error_info,
) -> i32 {
    // SAFETY: the ABI promises what `give_error_info` asks for.
    guard(std::ptr::null_mut(), || unsafe { give_error_info(kuzzle_kernel::errors::all().get(index), out) })
}

unsafe extern "C" fn error_by_id(
    _this: *const kuzzle_context,
    id: kuzzle_str,
    out: *mut kuzzle_error_info,
) -> i32 {
    // SAFETY: the ABI: a text borrowed until the call returns, and what `give_error_info` asks for.
    guard(std::ptr::null_mut(), || unsafe { give_error_info(kuzzle_kernel::errors::by_id(text(id)?), out) })
}

unsafe extern "C" fn uuid(_this: *const kuzzle_context, out: *mut u8) {
    if !out.is_null() {
        let uuid = uuid::Uuid::new_v4();
        // SAFETY: not null; the ABI: 16 writable bytes.
        unsafe { std::ptr::copy_nonoverlapping(uuid.as_bytes().as_ptr(), out, 16) };
    }
}

static HOST_METRICS: kuzzle_host_metrics = kuzzle_host_metrics { read: Some(read_metrics) };

unsafe extern "C" fn get_extension(_this: *const kuzzle_context, id: kuzzle_str) -> *const c_void {
    // SAFETY: the ABI: a text borrowed until the call returns.
    match unsafe { id.text() } {
        Some(KUZZLE_EXTENSION_METRICS) => (&raw const HOST_METRICS).cast(),
        _ => std::ptr::null(),
    }
}

/// `kuzzle.metrics/1`: what the host counts of this protocol.
unsafe extern "C" fn read_metrics(
    this: *const kuzzle_context,
    out: *mut kuzzle_metric,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the ABI: the table that was given to `init`.
        let protocol = unsafe { of_context(this) }?;
        if count.is_null() || !out.is_aligned() || (out.is_null() && capacity > 0) {
            return Err(invalid("`out` or `count` is null"));
        }
        let metrics = protocol.counters.told();
        for (index, (name, is_gauge, value)) in metrics.iter().take(capacity).enumerate() {
            let kind = if *is_gauge { KUZZLE_METRIC_GAUGE } else { KUZZLE_METRIC_COUNTER };
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            // SAFETY: the ABI: `out` has room for `capacity` metrics.
            unsafe {
                out.add(index).write(kuzzle_metric { name: kuzzle_str::new(name), kind, reserved: 0, value });
            }
        }
        // SAFETY: not null; the ABI: writable.
        unsafe { count.write(metrics.len().min(capacity)) };
        Ok(())
    })
}
