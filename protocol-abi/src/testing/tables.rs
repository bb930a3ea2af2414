//! The two tables that the protocol is given: everything that comes in is checked and recorded.

use std::ffi::c_void;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use serde_json::{Value, json};

use super::answers::Kind;
use super::buffers::Buffer;
use super::host::{Shared, Stage};
use super::recorded::{Access, Client, Completed, Listener, LogLine, Rule};
use super::running::{self, Running, inside_callback, string, turn_of};
use super::{Answer, ApiRequest};
use crate::raw::{
    KUZZLE_BAD_HANDLE, KUZZLE_FAILED, KUZZLE_INVALID_ARGUMENT, KUZZLE_NOT_FOUND, KUZZLE_NOT_STARTED,
    KUZZLE_OK, KUZZLE_REENTRANT, KUZZLE_SHUTDOWN, KUZZLE_SHUTTING_DOWN, KUZZLE_WRONG_TYPE, kuzzle_completion,
    kuzzle_connection_info, kuzzle_context, kuzzle_entry_point, kuzzle_error, kuzzle_error_info,
    kuzzle_header, kuzzle_request, kuzzle_response, kuzzle_str,
};
use crate::{ConnectionId, LogLevel, Status};

#[repr(C)]
struct EntryPoint {
    table: kuzzle_entry_point,
    shared: &'static Shared,
}

#[repr(C)]
pub(super) struct Context {
    table: kuzzle_context,
    pub(super) shared: &'static Shared,
}

pub(super) fn entry_point_table(shared: &'static Shared) -> *const kuzzle_entry_point {
    let table = kuzzle_entry_point {
        new_connection: Some(new_connection),
        remove_connection: Some(remove_connection),
        execute: Some(execute),
        log_access: Some(log_access),
        is_shutting_down: Some(is_shutting_down),
        report_listener: Some(report_listener),
        config: Some(config),
        suggested_worker_threads: Some(suggested_worker_threads),
    };
    std::ptr::from_ref(Box::leak(Box::new(EntryPoint { table, shared }))).cast()
}

pub(super) fn context_table(shared: &'static Shared) -> *const kuzzle_context {
    let table = kuzzle_context {
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
    };
    std::ptr::from_ref(Box::leak(Box::new(Context { table, shared }))).cast()
}

/// Makes the `extern "C"` functions of a table: the table must be ours, nothing unwinds, and a call after
/// the protocol's `shutdown` is a broken rule.
macro_rules! host_functions {
    ($($table:ident as $whole:ident: fn $name:ident($shared:ident $(, $argument:ident: $type:ty)*)
        -> $result:ty, or $otherwise:expr; $body:block)*) => {
        $(unsafe extern "C" fn $name(this: *const $table $(, $argument: $type)*) -> $result {
            // SAFETY: a protocol passes back what `init` was given: the first field of ours, leaked.
            let Some($shared) = (unsafe { this.cast::<$whole>().as_ref() }).map(|table| table.shared) else {
                eprintln!("{} was called without its table", stringify!($name));
                return $otherwise;
            };
            let call = || {
                if $shared.state().stage == Stage::Over {
                    $shared.violated(
                        Rule::AfterShutdown,
                        concat!(stringify!($name), " was called after shutdown had returned"),
                    );
                }
                $body
            };
            catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
                $shared.violated(Rule::Test, concat!("the test's own closure panicked in ", stringify!($name)));
                $otherwise
            })
        })*
    };
}

host_functions! {
    kuzzle_entry_point as EntryPoint: fn new_connection(
        shared,
        info: *const kuzzle_connection_info,
        out: *mut u64,
        uuid_out: *mut u8,
        error: *mut kuzzle_error
    ) -> i32, or KUZZLE_FAILED; {
        // SAFETY: the ABI: null, or readable during the call.
        let Some(info) = (unsafe { info.as_ref() }) else {
            return invalid(shared, "new_connection", "a null pointer for `info`");
        };
        if (info.struct_size as usize) < size_of::<kuzzle_connection_info>() {
            return invalid(shared, "new_connection", "an `info` without its struct_size");
        }
        if out.is_null() {
            return invalid(shared, "new_connection", "a null pointer for `out`");
        }
        // SAFETY: the ABI: everything reached from it is borrowed until the call returns.
        let client = unsafe { client(info) };
        let Ok(client) = client else {
            return invalid(shared, "new_connection", "an array that is null with a length, or text that is not UTF-8");
        };
        let id = shared.record(|state| match state.stage {
            Stage::Loaded => Err(KUZZLE_NOT_STARTED),
            Stage::Open => {
                let id = state.next_connection;
                state.next_connection += 1;
                let id = ConnectionId::from_raw(id);
                state.recorded.clients.push(Client { id, ..client });
                Ok(id)
            }
            Stage::ShuttingDown => Err(KUZZLE_SHUTTING_DOWN),
            Stage::Shutdown | Stage::Over => Err(KUZZLE_SHUTDOWN),
        });
        match id {
            Ok(id) => {
                // SAFETY: `out` is not null; the ABI: writable. The other is null, or has 16 bytes.
                unsafe {
                    out.write(id.as_raw());
                    if !uuid_out.is_null() {
                        uuid_out.cast::<[u8; 16]>().write_unaligned(random_uuid());
                    }
                }
                KUZZLE_OK
            }
            Err(status) => {
                give_error(error, status, "the host takes no clients now", None);
                status
            }
        }
    }

    kuzzle_entry_point as EntryPoint: fn remove_connection(shared, connection: u64) -> i32, or KUZZLE_FAILED; {
        shared.record(|state| {
            let id = ConnectionId::from_raw(connection);
            if state.stage >= Stage::Shutdown {
                KUZZLE_SHUTDOWN
            } else if is_connected(&state.recorded, id) {
                state.recorded.removed.push(id);
                KUZZLE_OK
            } else {
                KUZZLE_BAD_HANDLE
            }
        })
    }

    kuzzle_entry_point as EntryPoint: fn execute(
        shared,
        request: *const kuzzle_request,
        completion: kuzzle_completion,
        error: *mut kuzzle_error
    ) -> i32, or KUZZLE_FAILED; {
        if completion.function.is_none() {
            return invalid(shared, "execute", "a completion without a function");
        }
        // SAFETY: the ABI: null, or it and all that it leads to readable during the call.
        let Some(request) = (unsafe { api_request(shared, "execute", request) }) else {
            return KUZZLE_INVALID_ARGUMENT;
        };
        if inside_callback() {
            shared.violated(
                Rule::Reentrancy,
                format!("execute was called inside a callback: {}", excerpt(&request.document)),
            );
            return KUZZLE_REENTRANT;
        }
        accept(shared, request, completion, error)
    }

    kuzzle_entry_point as EntryPoint: fn log_access(
        shared,
        request: *const kuzzle_request,
        status: u32,
        size: u64
    ) -> i32, or KUZZLE_FAILED; {
        // SAFETY: as in `execute`.
        let Some(request) = (unsafe { api_request(shared, "log_access", request) }) else {
            return KUZZLE_INVALID_ARGUMENT;
        };
        shared.record(|state| state.recorded.accesses.push(Access { request, status, size }));
        KUZZLE_OK
    }

    kuzzle_entry_point as EntryPoint: fn is_shutting_down(shared) -> u8, or 0; {
        u8::from(shared.state().stage >= Stage::ShuttingDown)
    }

    kuzzle_entry_point as EntryPoint: fn report_listener(
        shared,
        transport: kuzzle_str,
        address: kuzzle_str
    ) -> i32, or KUZZLE_FAILED; {
        // SAFETY: the ABI: both are borrowed until the call returns.
        let (Some(transport), Some(address)) = (unsafe { (transport.text(), address.text()) }) else {
            return invalid(shared, "report_listener", "text that is not UTF-8");
        };
        if transport.is_empty() || address.is_empty() {
            return invalid(shared, "report_listener", "no transport or no address");
        }
        let listener = Listener { transport: transport.to_owned(), address: address.to_owned() };
        shared.record(|state| state.recorded.listeners.push(listener));
        KUZZLE_OK
    }

    kuzzle_entry_point as EntryPoint: fn config(shared) -> kuzzle_str, or kuzzle_str::EMPTY; {
        kuzzle_str::new(&shared.config)
    }

    kuzzle_entry_point as EntryPoint: fn suggested_worker_threads(shared) -> u32, or 2; {
        2
    }

    kuzzle_context as Context: fn host_version(shared) -> kuzzle_str, or kuzzle_str::EMPTY; {
        kuzzle_str::new(env!("CARGO_PKG_VERSION"))
    }

    kuzzle_context as Context: fn kuzzle_version(shared) -> kuzzle_str, or kuzzle_str::EMPTY; {
        kuzzle_str::new("2.56.0")
    }

    kuzzle_context as Context: fn node_id(shared) -> kuzzle_str, or kuzzle_str::EMPTY; {
        kuzzle_str::new("knode-fake")
    }

    kuzzle_context as Context: fn log(
        shared,
        level: u32,
        target: kuzzle_str,
        message: kuzzle_str
    ) -> (), or Default::default(); {
        // SAFETY: the ABI: both are borrowed until the call returns.
        let (Some(target), Some(message)) = (unsafe { (target.bytes(), message.bytes()) }) else {
            invalid(shared, "log", "a null pointer with a length");
            return;
        };
        let level = match level {
            0 => LogLevel::Error,
            1 => LogLevel::Warn,
            2 => LogLevel::Info,
            3 => LogLevel::Debug,
            _ => LogLevel::Trace,
        };
        let [target, message] = [target, message].map(|text| String::from_utf8_lossy(text).into_owned());
        eprintln!("{level:?} {target}: {message}");
        shared.record(|state| state.recorded.log.push(LogLine { level, target, message }));
    }

    kuzzle_context as Context: fn log_enabled(shared, level: u32, _target: kuzzle_str) -> u8, or 0; {
        u8::from(level <= 3)
    }

    kuzzle_context as Context: fn option_i64(shared, path: kuzzle_str, out: *mut i64) -> i32, or KUZZLE_FAILED; {
        // SAFETY: the ABI: the path is borrowed, `out` writable or null.
        unsafe { option(shared, path, out, Value::as_i64) }
    }

    kuzzle_context as Context: fn option_bool(shared, path: kuzzle_str, out: *mut u8) -> i32, or KUZZLE_FAILED; {
        // SAFETY: as above.
        unsafe { option(shared, path, out, |value| value.as_bool().map(u8::from)) }
    }

    kuzzle_context as Context: fn option_string(
        shared,
        path: kuzzle_str,
        out: *mut kuzzle_str
    ) -> i32, or KUZZLE_FAILED; {
        // Leaked, because options live for ever: those of a test are few.
        let leak = |value: &Value| Some(kuzzle_str::new(String::leak(value.as_str()?.to_owned())));
        // SAFETY: as above.
        unsafe { option(shared, path, out, leak) }
    }

    kuzzle_context as Context: fn error_count(shared) -> usize, or 0; {
        ERRORS.len()
    }

    kuzzle_context as Context: fn error_at(
        shared,
        index: usize,
        out: *mut kuzzle_error_info
    ) -> i32, or KUZZLE_FAILED; {
        // SAFETY: the ABI: null, or writable with its size set.
        unsafe { give_error_info(shared, ERRORS.get(index), out) }
    }

    kuzzle_context as Context: fn error_by_id(
        shared,
        id: kuzzle_str,
        out: *mut kuzzle_error_info
    ) -> i32, or KUZZLE_FAILED; {
        // SAFETY: the ABI: the id is borrowed, `out` as in `error_at`.
        unsafe {
            let Some(id) = id.text() else { return invalid(shared, "error_by_id", "text that is not UTF-8") };
            give_error_info(shared, ERRORS.iter().find(|entry| entry.id == id), out)
        }
    }

    kuzzle_context as Context: fn uuid(shared, out: *mut u8) -> (), or Default::default(); {
        if out.is_null() {
            invalid(shared, "uuid", "a null pointer");
        } else {
            // SAFETY: not null; the ABI: 16 writable bytes.
            unsafe { out.cast::<[u8; 16]>().write_unaligned(random_uuid()) }
        }
    }

    kuzzle_context as Context: fn get_extension(
        shared,
        id: kuzzle_str
    ) -> *const c_void, or std::ptr::null(); {
        // SAFETY: the ABI: the id is borrowed until the call returns.
        match unsafe { id.text() } {
            Some(id) if shared.extensions => super::extensions::offered(id),
            _ => std::ptr::null(),
        }
    }
}

fn invalid(shared: &Shared, function: &str, what: &str) -> i32 {
    shared.violated(Rule::Arguments, format!("{function} was given {what}"));
    KUZZLE_INVALID_ARGUMENT
}

fn is_connected(recorded: &super::Recorded, id: ConnectionId) -> bool {
    recorded.clients.iter().any(|client| client.id == id) && !recorded.removed.contains(&id)
}

fn excerpt(document: &[u8]) -> String {
    String::from_utf8_lossy(&document[..document.len().min(80)]).into_owned()
}

/// Decides about a request, and completes it.
fn accept(
    shared: &'static Shared,
    mut request: ApiRequest,
    completion: kuzzle_completion,
    error: *mut kuzzle_error,
) -> i32 {
    let connection = request.connection;
    let refused = shared.record(|state| {
        if state.stage >= Stage::Shutdown {
            return Some(KUZZLE_SHUTDOWN);
        }
        if connection.is_some_and(|id| !is_connected(&state.recorded, id)) {
            return Some(KUZZLE_BAD_HANDLE);
        }
        request.number = state.recorded.requests.len();
        state.recorded.requests.push(request.clone());
        None
    });
    if let Some(status) = refused {
        give_error(error, status, &Status::from_raw(status).to_string(), None);
        return status;
    }
    let mut answer = shared.answer(&request);
    if let Kind::Refused { status, message } = &answer.kind {
        let id = request.json()["requestId"].as_str().map(str::to_owned);
        give_error(error, status.as_raw(), message, id);
        return status.as_raw();
    }
    if let (Some(connection), Some(running)) = (connection, Running::of(shared)) {
        for channel in &answer.leaves {
            let _ = running.leave_channel(connection, channel);
        }
        let refuses = |channel: &String| running.join_channel(connection, channel).is_err();
        if answer.joins.iter().any(refuses) {
            answer = Answer::error(500, "realtime.join_refused", "the protocol refused to join");
        }
    }
    let completion = Completion(completion);
    match answer.delay {
        None => complete(shared, &request, &answer, completion),
        Some(delay) => {
            shared.record(|state| state.later += 1);
            let later = move || {
                std::thread::sleep(delay);
                complete(shared, &request, &answer, completion);
                shared.record(|state| state.later -= 1);
            };
            std::thread::Builder::new()
                .name("kuzzle-later".to_owned())
                .spawn(later)
                .expect("a test can make a thread");
        }
    }
    KUZZLE_OK
}

/// Whom to tell an answer, once.
struct Completion(kuzzle_completion);

// SAFETY: the ABI lets a host call a completion on any thread.
unsafe impl Send for Completion {}

fn complete(shared: &'static Shared, request: &ApiRequest, answer: &Answer, completion: Completion) {
    let dropped;
    let gone = |id: &ConnectionId| !is_connected(&shared.state().recorded, *id);
    let answer = if request.connection.as_ref().is_some_and(gone) {
        dropped = Answer::error(500, "api.process.connection_dropped", "the connection was dropped");
        &dropped
    } else {
        answer
    };
    let id = request.request_id();
    let content = Buffer::new(&shared.ledger, &answer.content(request));
    let part = content.raw();
    let headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| kuzzle_header { name: kuzzle_str::new(name), value: kuzzle_str::new(value) })
        .collect();
    let response = kuzzle_response {
        struct_size: size_of::<kuzzle_response>() as u32,
        status: u32::from(answer.status()),
        raw: u8::from(matches!(answer.kind, Kind::Raw { .. })),
        reserved: [0; 7],
        request_id: string(id.as_bytes()),
        headers: if headers.is_empty() { std::ptr::null() } else { headers.as_ptr() },
        headers_len: headers.len(),
        parts: &raw const part,
        parts_len: 1,
    };
    let Some(function) = completion.0.function else { return };
    let turn = turn_of(shared, request.connection.map_or(0, ConnectionId::as_raw));
    let _turn = turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
    let status = running::callback(shared, "completion", || {
        // SAFETY: the protocol gave both with `execute`; it is consumed here, so called once. All that
        // the response leads to lives until the call returns.
        unsafe { function(completion.0.context, &raw const response) }
    });
    let completed = Completed { request: request.number, status };
    shared.record(|state| state.recorded.completed.push(completed));
}

struct ErrorOwner {
    message: String,
    request_id: Option<String>,
}

fn give_error(error: *mut kuzzle_error, status: i32, message: &str, request_id: Option<String>) {
    // SAFETY: the ABI: null, or the caller's struct, valid during the call.
    let Some(error) = (unsafe { error.as_mut() }) else { return };
    if (error.struct_size as usize) < size_of::<kuzzle_error>() {
        return;
    }
    let owner = Box::new(ErrorOwner { message: message.to_owned(), request_id });
    error.code = status;
    error.message = kuzzle_str::new(&owner.message);
    error.request_id = owner.request_id.as_deref().map_or(kuzzle_str::EMPTY, kuzzle_str::new);
    error.owner = Box::into_raw(owner).cast();
    error.release = Some(release_error);
}

unsafe extern "C" fn release_error(error: *mut kuzzle_error) {
    // SAFETY: the ABI: the struct that `give_error` filled.
    let Some(error) = (unsafe { error.as_mut() }) else { return };
    let struct_size = error.struct_size;
    let filled = std::mem::replace(error, kuzzle_error { struct_size, ..kuzzle_error::empty() });
    if !filled.owner.is_null() {
        // SAFETY: made by `give_error`, and taken out of the struct just now.
        drop(unsafe { Box::from_raw(filled.owner.cast::<ErrorOwner>()) });
    }
}

/// A fault in what a protocol passes.
struct Faulty;

/// # Safety
/// Unless it is null, `items` must point to `len` readable items.
unsafe fn slice<'a, T>(items: *const T, len: usize) -> Result<&'a [T], Faulty> {
    if len == 0 {
        Ok(&[])
    } else if items.is_null() || !items.is_aligned() || len > isize::MAX as usize / size_of::<T>().max(1) {
        Err(Faulty)
    } else {
        // SAFETY: checked what can be checked; the caller vouches for the rest.
        Ok(unsafe { std::slice::from_raw_parts(items, len) })
    }
}

/// # Safety
/// As for [`kuzzle_str::bytes`].
unsafe fn text(string: kuzzle_str) -> Result<String, Faulty> {
    // SAFETY: the caller's promise is the same.
    unsafe { string.text() }.map(str::to_owned).ok_or(Faulty)
}

/// # Safety
/// As for [`slice`], and for [`text`] of each.
unsafe fn headers(items: *const kuzzle_header, len: usize) -> Result<Vec<(String, String)>, Faulty> {
    // SAFETY: the caller's promise.
    unsafe { slice(items, len)?.iter().map(|header| Ok((text(header.name)?, text(header.value)?))).collect() }
}

/// # Safety
/// Everything that `info` leads to must be readable.
unsafe fn client(info: &kuzzle_connection_info) -> Result<Client, Faulty> {
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Client {
            id: ConnectionId::from_raw(0),
            label: text(info.label)?,
            ips: slice(info.ips, info.ips_len)?.iter().map(|ip| text(*ip)).collect::<Result<_, _>>()?,
            headers: headers(info.headers, info.headers_len)?,
            url: text(info.url)?,
            verb: text(info.verb)?,
        })
    }
}

/// # Safety
/// `request` must be null, or it and all that it leads to readable.
unsafe fn api_request(shared: &Shared, function: &str, request: *const kuzzle_request) -> Option<ApiRequest> {
    // SAFETY: the caller's promise; the size is checked before the fields are read.
    let Some(request) = (unsafe { request.as_ref() }) else {
        invalid(shared, function, "a null pointer for the request");
        return None;
    };
    if (request.struct_size as usize) < size_of::<kuzzle_request>() {
        invalid(shared, function, "a request without its struct_size");
        return None;
    }
    let read = || -> Result<ApiRequest, Faulty> {
        let mut document = Vec::new();
        // SAFETY: the caller's promise.
        unsafe {
            for part in slice(request.parts, request.parts_len)? {
                document.extend_from_slice(slice(part.data, part.len)?);
            }
            Ok(ApiRequest {
                number: 0,
                connection: (request.connection != 0).then(|| ConnectionId::from_raw(request.connection)),
                document,
                label: text(request.label)?,
                headers: headers(request.headers, request.headers_len)?,
                method: text(request.method)?,
                url: text(request.url)?,
            })
        }
    };
    let read = read().ok();
    if read.is_none() {
        invalid(shared, function, "an array that is null with a length, or text that is not UTF-8");
    }
    read
}

/// Looks an option up and writes it.
///
/// # Safety
/// `path` as for [`kuzzle_str::bytes`], `out` null or writable.
unsafe fn option<T>(
    shared: &Shared,
    path: kuzzle_str,
    out: *mut T,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(path) = (unsafe { path.text() }) else {
        return invalid(shared, "option", "a path that is not UTF-8");
    };
    if out.is_null() {
        return invalid(shared, "option", "a null pointer for `out`");
    }
    let server;
    let found = match path {
        "/host" => {
            server = json!(shared.host);
            Some(&server)
        }
        "/port" => {
            server = json!(shared.port);
            Some(&server)
        }
        path => path.split('.').try_fold(&shared.options, |value, key| value.get(key)),
    };
    let Some(found) = found.filter(|value| !value.is_null()) else { return KUZZLE_NOT_FOUND };
    let Some(value) = convert(found) else { return KUZZLE_WRONG_TYPE };
    // SAFETY: not null; the caller vouches that it is writable.
    unsafe { out.write(value) };
    KUZZLE_OK
}

struct ErrorEntry {
    code: u32,
    status: u32,
    id: &'static str,
    class: &'static str,
    message: &'static str,
}

/// A part of Kuzzle's catalogue.
static ERRORS: [ErrorEntry; 3] = [
    ErrorEntry {
        code: 33_685_508,
        status: 404,
        id: "api.process.controller_not_found",
        class: "NotFoundError",
        message: "API controller \"%s\" not found.",
    },
    ErrorEntry {
        code: 33_685_509,
        status: 404,
        id: "api.process.action_not_found",
        class: "NotFoundError",
        message: "API action \"%s\":\"%s\" not found",
    },
    ErrorEntry {
        code: 50_397_186,
        status: 400,
        id: "network.http.http_request_error",
        class: "BadRequestError",
        message: "Invalid HTTP request: %s",
    },
];

/// # Safety
/// `out` must be null, or writable with its size set.
unsafe fn give_error_info(
    shared: &Shared,
    entry: Option<&'static ErrorEntry>,
    out: *mut kuzzle_error_info,
) -> i32 {
    let Some(entry) = entry else { return KUZZLE_NOT_FOUND };
    // SAFETY: the caller's promise; the size is checked before anything else is touched.
    let Some(out) = (unsafe { out.as_mut() }) else {
        return invalid(shared, "error_at", "a null pointer for `out`");
    };
    if (out.struct_size as usize) < size_of::<kuzzle_error_info>() {
        return invalid(shared, "error_at", "an `out` without its struct_size");
    }
    out.code = entry.code;
    out.status = entry.status;
    out.reserved = 0;
    out.id = kuzzle_str::new(entry.id);
    out.error_class = kuzzle_str::new(entry.class);
    out.message = kuzzle_str::new(entry.message);
    KUZZLE_OK
}

/// Random enough for a test.
fn random_uuid() -> [u8; 16] {
    let mut uuid = [0; 16];
    for half in uuid.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(half.as_ptr()).to_ne_bytes());
    }
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
