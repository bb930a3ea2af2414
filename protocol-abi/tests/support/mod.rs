//! A host for tests, in this process: tables whose functions record what they are asked, and a
//! payload that counts its owners.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::raw::*;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    static IN_CALLBACK: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f` as the host runs a callback: `execute` is refused on this thread.
pub fn in_callback<T>(f: impl FnOnce() -> T) -> T {
    IN_CALLBACK.set(IN_CALLBACK.get() + 1);
    let result = f();
    IN_CALLBACK.set(IN_CALLBACK.get() - 1);
    result
}

/// Log lines of all hosts of this process: target, message.
static LOG: Mutex<Vec<(u32, String, String)>> = Mutex::new(Vec::new());

pub fn logged(text: &str) -> Option<(u32, String, String)> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().find(|(_, _, message)| message.contains(text)).cloned()
}

#[derive(Default)]
pub struct State {
    pub executed: Vec<String>,
    pub removed: Vec<u64>,
    pub listeners: Vec<(String, String)>,
    pub refused_as_reentrant: usize,
    /// Connections that the host has forgotten: requests of theirs are answered BAD_HANDLE.
    pub forgotten: Vec<u64>,
    /// Connections of the requests that were executed.
    pub asked_by: Vec<u64>,
}

/// The host. Leaked, as the tables of a real one.
pub struct Host {
    pub state: Mutex<State>,
    changed: Condvar,
    pub config: String,
    next: AtomicU64,
    pub errors_released: AtomicUsize,
    pub buffers: Arc<Counters>,
}

#[repr(C)]
struct EntryPoint {
    table: kuzzle_entry_point,
    host: &'static Host,
}

#[repr(C)]
struct Context {
    table: kuzzle_context,
    host: &'static Host,
}

impl Host {
    pub fn new(config: &str) -> &'static Self {
        Box::leak(Box::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            config: config.to_owned(),
            next: AtomicU64::new(1),
            errors_released: AtomicUsize::new(0),
            buffers: Arc::default(),
        }))
    }

    pub fn entry_point(&'static self) -> *const kuzzle_entry_point {
        self.entry_point_with(ENTRY_POINT)
    }

    pub fn entry_point_with(&'static self, table: kuzzle_entry_point) -> *const kuzzle_entry_point {
        ptr::from_ref(Box::leak(Box::new(EntryPoint { table, host: self }))).cast()
    }

    pub fn context(&'static self) -> *const kuzzle_context {
        ptr::from_ref(Box::leak(Box::new(Context { table: CONTEXT, host: self }))).cast()
    }

    /// Waits until `check` gives something.
    pub fn wait<T>(&self, what: &str, mut check: impl FnMut(&State) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(found) = check(&state) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "in vain: {what}");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    fn record(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

fn text(text: kuzzle_str) -> String {
    // SAFETY: lent for the call in which this is used.
    unsafe { text.text() }.expect("the SDK sends UTF-8").to_owned()
}

unsafe fn host<'a>(entry_point: *const kuzzle_entry_point) -> &'a Host {
    // SAFETY: every entry point of these tests is the first field of an `EntryPoint`.
    unsafe { (*entry_point.cast::<EntryPoint>()).host }
}

unsafe fn document(request: *const kuzzle_request) -> String {
    // SAFETY: the SDK lends a request whose arrays have the lengths that it says.
    unsafe {
        assert_eq!((*request).struct_size as usize, size_of::<kuzzle_request>());
        let mut all = Vec::new();
        for part in std::slice::from_raw_parts((*request).parts, (*request).parts_len) {
            if part.len > 0 {
                all.extend_from_slice(std::slice::from_raw_parts(part.data, part.len));
            }
        }
        String::from_utf8(all).expect("test documents are text")
    }
}

unsafe extern "C" fn release_error(error: *mut kuzzle_error) {
    // SAFETY: the SDK passes the error back that `execute` filled: the owner is the host.
    unsafe {
        (*(*error).owner.cast::<Host>()).errors_released.fetch_add(1, Ordering::SeqCst);
        *error = kuzzle_error::empty();
    }
}

unsafe extern "C" fn new_connection(
    this: *const kuzzle_entry_point,
    info: *const kuzzle_connection_info,
    out: *mut u64,
    uuid_out: *mut u8,
    _error: *mut kuzzle_error,
) -> i32 {
    // SAFETY: the SDK passes pointers as the header demands.
    unsafe {
        assert_eq!((*info).struct_size as usize, size_of::<kuzzle_connection_info>());
        *out = host(this).next.fetch_add(1, Ordering::SeqCst);
        ptr::write_bytes(uuid_out, 0xab, 16);
    }
    KUZZLE_OK
}

unsafe extern "C" fn remove_connection(this: *const kuzzle_entry_point, connection: u64) -> i32 {
    // SAFETY: see `host`.
    unsafe { host(this) }.record(|state| state.removed.push(connection));
    KUZZLE_OK
}

/// Answers inline with the document itself. A document that contains `refuse` is refused with an
/// error that must be released, one that contains `later` is answered on another thread, one that
/// contains `huge` with 70,000 bytes.
unsafe extern "C" fn execute(
    this: *const kuzzle_entry_point,
    request: *const kuzzle_request,
    completion: kuzzle_completion,
    error: *mut kuzzle_error,
) -> i32 {
    // SAFETY: the SDK passes pointers as the header demands.
    let (host, document) = unsafe { (host(this), document(request)) };
    if IN_CALLBACK.get() > 0 {
        host.record(|state| state.refused_as_reentrant += 1);
        return KUZZLE_REENTRANT;
    }
    if document.contains("refuse") {
        // SAFETY: the SDK passes an error with its size.
        unsafe {
            (*error).message = kuzzle_str::new("refused by the test");
            (*error).request_id = kuzzle_str::new("the-id");
            (*error).owner = ptr::from_ref(host).cast_mut().cast();
            (*error).release = Some(release_error);
        }
        return KUZZLE_INVALID_REQUEST;
    }
    // SAFETY: as above.
    let connection = unsafe { (*request).connection };
    if host.state.lock().unwrap().forgotten.contains(&connection) {
        return KUZZLE_BAD_HANDLE;
    }
    host.record(|state| {
        state.executed.push(document.clone());
        state.asked_by.push(connection);
    });
    if document.contains("later") {
        let context = completion.context as usize;
        let host: usize = ptr::from_ref(host) as usize;
        std::thread::spawn(move || {
            // SAFETY: hosts are leaked.
            let host = unsafe { &*(host as *const Host) };
            answer(
                host,
                &document,
                kuzzle_completion { context: context as *mut c_void, ..completion_of(completion.function) },
            );
        });
    } else {
        answer(host, &document, completion);
    }
    KUZZLE_OK
}

type CompletionFn = Option<unsafe extern "C" fn(*mut c_void, *const kuzzle_response) -> i32>;

const fn completion_of(function: CompletionFn) -> kuzzle_completion {
    kuzzle_completion { function, context: ptr::null_mut() }
}

fn answer(host: &Host, document: &str, completion: kuzzle_completion) {
    let document =
        if document.contains("huge") { &format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)) } else { document };
    let buf = counted(&host.buffers, document.as_bytes());
    let header = kuzzle_header { name: kuzzle_str::new("x-test"), value: kuzzle_str::new("yes") };
    let response = kuzzle_response {
        struct_size: size_of::<kuzzle_response>() as u32,
        status: 200,
        raw: 0,
        reserved: [0; 7],
        request_id: kuzzle_str::new("the-id"),
        headers: &raw const header,
        headers_len: 1,
        parts: &raw const buf,
        parts_len: 1,
    };
    in_callback(|| {
        // SAFETY: the completion is called once with its own context; the response outlives it.
        unsafe {
            completion.function.expect("the SDK sends a completion")(completion.context, &raw const response)
        }
    });
    release(buf);
}

unsafe extern "C" fn log_access(
    _: *const kuzzle_entry_point,
    _: *const kuzzle_request,
    _: u32,
    _: u64,
) -> i32 {
    KUZZLE_OK
}

unsafe extern "C" fn is_shutting_down(_: *const kuzzle_entry_point) -> u8 {
    0
}

unsafe extern "C" fn report_listener(
    this: *const kuzzle_entry_point,
    transport: kuzzle_str,
    address: kuzzle_str,
) -> i32 {
    // SAFETY: see `host`.
    unsafe { host(this) }.record(|state| state.listeners.push((text(transport), text(address))));
    KUZZLE_OK
}

unsafe extern "C" fn config(this: *const kuzzle_entry_point) -> kuzzle_str {
    // SAFETY: see `host`.
    kuzzle_str::new(&unsafe { host(this) }.config)
}

unsafe extern "C" fn suggested_worker_threads(_: *const kuzzle_entry_point) -> u32 {
    2
}

pub const ENTRY_POINT: kuzzle_entry_point = kuzzle_entry_point {
    new_connection: Some(new_connection),
    remove_connection: Some(remove_connection),
    execute: Some(execute),
    log_access: Some(log_access),
    is_shutting_down: Some(is_shutting_down),
    report_listener: Some(report_listener),
    config: Some(config),
    suggested_worker_threads: Some(suggested_worker_threads),
};

unsafe extern "C" fn version(_: *const kuzzle_context) -> kuzzle_str {
    kuzzle_str::new("2.56.0")
}

unsafe extern "C" fn log(_: *const kuzzle_context, level: u32, target: kuzzle_str, message: kuzzle_str) {
    let line = (level, text(target), text(message));
    eprintln!("log: {line:?}");
    LOG.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

unsafe extern "C" fn log_enabled(_: *const kuzzle_context, level: u32, _: kuzzle_str) -> u8 {
    u8::from(level <= KUZZLE_LOG_INFO)
}

unsafe extern "C" fn option_i64(_: *const kuzzle_context, path: kuzzle_str, out: *mut i64) -> i32 {
    match text(path).as_str() {
        "port" => {
            // SAFETY: the SDK passes a place for the result.
            unsafe { *out = 7 };
            KUZZLE_OK
        }
        "name" => KUZZLE_WRONG_TYPE,
        _ => KUZZLE_NOT_FOUND,
    }
}

unsafe extern "C" fn option_bool(_: *const kuzzle_context, _: kuzzle_str, _: *mut u8) -> i32 {
    KUZZLE_NOT_FOUND
}

unsafe extern "C" fn option_string(_: *const kuzzle_context, path: kuzzle_str, out: *mut kuzzle_str) -> i32 {
    if text(path) != "/host" {
        return KUZZLE_NOT_FOUND;
    }
    // SAFETY: the SDK passes a place for the result.
    unsafe { *out = kuzzle_str::new("127.0.0.1") };
    KUZZLE_OK
}

unsafe extern "C" fn error_count(_: *const kuzzle_context) -> usize {
    1
}

unsafe extern "C" fn error_at(_: *const kuzzle_context, index: usize, out: *mut kuzzle_error_info) -> i32 {
    if index > 0 {
        return KUZZLE_NOT_FOUND;
    }
    // SAFETY: the SDK passes a place for the result, with its size.
    unsafe {
        assert_eq!((*out).struct_size as usize, size_of::<kuzzle_error_info>());
        (*out).code = 1;
        (*out).status = 404;
        (*out).id = kuzzle_str::new("api.process.controller_not_found");
        (*out).error_class = kuzzle_str::new("NotFoundError");
        (*out).message = kuzzle_str::new("API controller \"%s\" not found.");
    }
    KUZZLE_OK
}

unsafe extern "C" fn error_by_id(
    this: *const kuzzle_context,
    id: kuzzle_str,
    out: *mut kuzzle_error_info,
) -> i32 {
    if text(id) != "api.process.controller_not_found" {
        return KUZZLE_NOT_FOUND;
    }
    // SAFETY: passed through.
    unsafe { error_at(this, 0, out) }
}

unsafe extern "C" fn uuid(_: *const kuzzle_context, out: *mut u8) {
    // SAFETY: the SDK passes a place for 16 bytes.
    unsafe { ptr::write_bytes(out, 0x11, 16) };
}

unsafe extern "C" fn get_extension(_: *const kuzzle_context, _: kuzzle_str) -> *const c_void {
    ptr::null()
}

pub const CONTEXT: kuzzle_context = kuzzle_context {
    host_version: Some(version),
    kuzzle_version: Some(version),
    node_id: Some(version),
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

/// What happened to buffers.
#[derive(Default, Debug)]
pub struct Counters {
    pub retained: AtomicUsize,
    pub released: AtomicUsize,
    pub freed: AtomicUsize,
}

struct Owned {
    bytes: Vec<u8>,
    counters: Arc<Counters>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.counters.freed.fetch_add(1, Ordering::SeqCst);
    }
}

unsafe extern "C" fn retain_owned(owner: *mut c_void) {
    let owner = owner.cast_const().cast::<Owned>();
    // SAFETY: the owner is an `Arc<Owned>` of which somebody holds a count.
    unsafe {
        (&*owner).counters.retained.fetch_add(1, Ordering::SeqCst);
        Arc::increment_strong_count(owner);
    }
}

unsafe extern "C" fn release_owned(owner: *mut c_void) {
    let owner = owner.cast_const().cast::<Owned>();
    // SAFETY: the owner is an `Arc<Owned>` of which the caller gives one count back.
    unsafe {
        (&*owner).counters.released.fetch_add(1, Ordering::SeqCst);
        Arc::decrement_strong_count(owner);
    }
}

static COUNTED: kuzzle_buf_ops = kuzzle_buf_ops { retain: Some(retain_owned), release: Some(release_owned) };

/// A buffer of which the caller holds one count: give it back with [`release`].
pub fn counted(counters: &Arc<Counters>, bytes: &[u8]) -> kuzzle_buf {
    let owned = Arc::new(Owned { bytes: bytes.to_vec(), counters: Arc::clone(counters) });
    kuzzle_buf {
        data: owned.bytes.as_ptr(),
        len: owned.bytes.len(),
        owner: Arc::into_raw(owned).cast_mut().cast(),
        ops: &raw const COUNTED,
    }
}

pub fn release(buf: kuzzle_buf) {
    // SAFETY: gives back the count that `counted` gave to the test; not counted as the SDK's.
    unsafe { Arc::decrement_strong_count(buf.owner.cast_const().cast::<Owned>()) };
}
