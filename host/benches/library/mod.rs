//! Plays the part of libraries behind the C ABI, as small as can be.

#![allow(unsafe_code, reason = "plays the part of a library")]
#![allow(dead_code, reason = "each benchmark uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "a benchmark has no public items")]

use std::ffi::c_void;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kuzzle_host::installation::OnPanic;
use kuzzle_host::loading;
use kuzzle_host::serving::abi::Functions;
use kuzzle_host::serving::{Description, Host, Protocol};
use kuzzle_kernel::{Kernel, Settings, SystemEnvironment};
use kuzzle_protocol_abi::raw::*;

/// Calls of completions, of all libraries.
pub static ANSWERS: AtomicU64 = AtomicU64::new(0);

static LOADED: Mutex<Vec<&'static Library>> = Mutex::new(Vec::new());

/// One library, as the host has initialised it.
pub struct Library {
    entry_point: &'static kuzzle_entry_point,
    /// Calls of `broadcast`.
    pub broadcasts: AtomicU64,
    /// Calls of `notify`.
    pub notifications: AtomicU64,
}

unsafe extern "C" fn init(
    entry_point: *const kuzzle_entry_point,
    _: *const kuzzle_context,
    out: *mut *mut kuzzle_protocol,
    _: *mut kuzzle_error,
) -> i32 {
    // SAFETY: the entry point lives for ever.
    let entry_point = unsafe { &*entry_point };
    let library = Library { entry_point, broadcasts: AtomicU64::new(0), notifications: AtomicU64::new(0) };
    let library: &'static Library = Box::leak(Box::new(library));
    LOADED.lock().expect("nobody panics").push(library);
    // SAFETY: the host gives a place for the pointer.
    unsafe { out.write(std::ptr::from_ref(library).cast_mut().cast()) };
    KUZZLE_OK
}

fn library(this: *mut kuzzle_protocol) -> &'static Library {
    // SAFETY: `init` wrote the address of a library that lives for ever.
    unsafe { &*this.cast::<Library>() }
}

unsafe extern "C" fn broadcast(this: *mut kuzzle_protocol, message: *const kuzzle_broadcast) -> i32 {
    black_box(message);
    library(this).broadcasts.fetch_add(1, Ordering::Release);
    KUZZLE_OK
}

unsafe extern "C" fn notify(this: *mut kuzzle_protocol, message: *const kuzzle_notification) -> i32 {
    black_box(message);
    library(this).notifications.fetch_add(1, Ordering::Release);
    KUZZLE_OK
}

pub unsafe extern "C" fn channel(_: *mut kuzzle_protocol, connection: u64, name: kuzzle_str) -> i32 {
    black_box((connection, name));
    KUZZLE_OK
}

unsafe extern "C" fn disconnect(_: *mut kuzzle_protocol, _: *const kuzzle_disconnect) -> i32 {
    KUZZLE_OK
}

unsafe extern "C" fn completed(_: *mut c_void, response: *const kuzzle_response) -> i32 {
    black_box(response);
    ANSWERS.fetch_add(1, Ordering::Relaxed);
    KUZZLE_OK
}

pub fn kernel() -> Kernel {
    Kernel::new(Settings::default(), Box::new(SystemEnvironment))
}

/// A host that serves libraries of these names.
pub fn serve<const N: usize>(names: [&str; N]) -> (&'static Host, [&'static Library; N]) {
    let functions = Functions {
        init,
        start: None,
        broadcast,
        notify,
        join_channel: channel,
        leave_channel: channel,
        disconnect,
        shutdown: None,
        get_extension: None,
    };
    let host = Host::new(kernel(), 1 << 20);
    let describe = |name: &str| Description {
        name: name.into(),
        version: None,
        entry: name.into(),
        on_panic: OnPanic::Stop,
        max_connections: u64::MAX,
        options: serde_json::json!({ name: {} }),
        config: "{}".into(),
        server_host: None,
        server_port: 7512,
    };
    let before = LOADED.lock().expect("nobody panics").len();
    let protocols: Vec<_> = (before as u16..)
        .zip(names)
        .map(|(index, name)| Protocol::new(host, index, describe(name), functions))
        .collect();
    host.register(protocols.clone());
    for protocol in protocols {
        assert!(loading::init(&[protocol], Duration::from_secs(5)).is_empty());
    }
    host.open_gate();
    let loaded = LOADED.lock().expect("nobody panics");
    (host, std::array::from_fn(|index| loaded[before + index]))
}

impl Library {
    pub fn connect(&self) -> u64 {
        self.connect_from(&[])
    }

    /// Declares a client with these addresses.
    pub fn connect_from(&self, ips: &[kuzzle_str]) -> u64 {
        let info = kuzzle_connection_info {
            struct_size: size_of::<kuzzle_connection_info>() as u32,
            reserved: 0,
            label: kuzzle_str::EMPTY,
            ips: ips.as_ptr(),
            ips_len: ips.len(),
            headers: std::ptr::null(),
            headers_len: 0,
            url: kuzzle_str::EMPTY,
            verb: kuzzle_str::EMPTY,
        };
        let mut handle = 0;
        // SAFETY: everything lives until the call returns.
        let status = unsafe {
            self.entry_point.new_connection.expect("the host fills the table")(
                self.entry_point,
                &info,
                &mut handle,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(status, KUZZLE_OK);
        handle
    }

    pub fn remove(&self, connection: u64) {
        let remove = self.entry_point.remove_connection.expect("the host fills the table");
        // SAFETY: the table is the host's.
        assert_eq!(unsafe { remove(self.entry_point, connection) }, KUZZLE_OK);
    }

    pub fn execute(&self, connection: u64, document: &[u8]) {
        let part = kuzzle_buf {
            data: document.as_ptr(),
            len: document.len(),
            owner: std::ptr::null_mut(),
            ops: std::ptr::null(),
        };
        let request = kuzzle_request {
            struct_size: size_of::<kuzzle_request>() as u32,
            reserved: 0,
            connection,
            parts: &part,
            parts_len: 1,
            label: kuzzle_str::EMPTY,
            headers: std::ptr::null(),
            headers_len: 0,
            method: kuzzle_str::EMPTY,
            url: kuzzle_str::EMPTY,
        };
        let completion = kuzzle_completion { function: Some(completed), context: std::ptr::null_mut() };
        let execute = self.entry_point.execute.expect("the host fills the table");
        // SAFETY: everything lives until the call returns.
        let status = unsafe { execute(self.entry_point, &request, completion, std::ptr::null_mut()) };
        assert_eq!(status, KUZZLE_OK);
    }
}
