//! Utilities of the host that are not about the network.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

use super::connection::Uuid;
use super::error::{Error, Status};
use super::host::ContextTable;
use super::metrics::{self, Metric};
use crate::raw::metrics::KUZZLE_EXTENSION_METRICS;
use crate::raw::{self, kuzzle_error_info, kuzzle_str};

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something is wrong but goes on.
    Warn,
    /// For whoever runs the host.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    pub(crate) const fn as_raw(self) -> u32 {
        match self {
            Self::Error => raw::KUZZLE_LOG_ERROR,
            Self::Warn => raw::KUZZLE_LOG_WARN,
            Self::Info => raw::KUZZLE_LOG_INFO,
            Self::Debug => raw::KUZZLE_LOG_DEBUG,
            Self::Trace => raw::KUZZLE_LOG_TRACE,
        }
    }
}

/// One entry of Kuzzle's error catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorInfo {
    /// Kuzzle's number, for example 33685508.
    pub code: u32,
    /// As HTTP's.
    pub status: u32,
    /// For example `api.process.controller_not_found`.
    pub id: &'static str,
    /// For example `NotFoundError`.
    pub class: &'static str,
    /// Each `%s` stands for a value.
    pub message: &'static str,
}

/// Utilities of the host: versions, options, log, error catalogue, UUIDs, extensions. Cheap to copy.
///
/// # Threads
/// Any, also after [`shutdown`](crate::Protocol::shutdown), when only logging still has an effect.
#[derive(Clone, Copy)]
pub struct Context {
    table: ContextTable,
}

impl Context {
    pub(crate) const fn new(table: ContextTable) -> Self {
        Self { table }
    }

    /// Version of the host, for example `0.1.0`.
    pub fn host_version(&self) -> &'static str {
        // SAFETY: no arguments; the string lives for ever.
        unsafe { self.table.host_version().text() }.unwrap_or_default()
    }

    /// Version of the Kuzzle API, for example `2.56.0`.
    pub fn kuzzle_version(&self) -> &'static str {
        // SAFETY: no arguments; the string lives for ever.
        unsafe { self.table.kuzzle_version().text() }.unwrap_or_default()
    }

    /// Id of this node, for example `knode-calm-heron-48213`.
    pub fn node_id(&self) -> &'static str {
        // SAFETY: no arguments; the string lives for ever.
        unsafe { self.table.node_id().text() }.unwrap_or_default()
    }

    /// Writes a line to the host's log, under the protocol's name. `target` is a module or topic and
    /// may be empty. `tracing`'s macros do the same with less typing.
    pub fn log(&self, level: LogLevel, target: &str, message: &str) {
        // SAFETY: both strings are borrowed until the call returns.
        unsafe { self.table.log(level.as_raw(), kuzzle_str::new(target), kuzzle_str::new(message)) }
    }

    /// Whether such a line would be written.
    pub fn log_enabled(&self, level: LogLevel, target: &str) -> bool {
        // SAFETY: the string is borrowed until the call returns.
        unsafe { self.table.log_enabled(level.as_raw(), kuzzle_str::new(target)) != 0 }
    }

    /// An integer of the protocol's own section, by its dotted path (`server.port`); `/port` is that
    /// of the host's `server` section. `None` if it is absent or null.
    ///
    /// # Errors
    /// [`Status::WrongType`].
    pub fn option_i64(&self, path: &str) -> Result<Option<i64>, Error> {
        let mut out = 0;
        // SAFETY: the path is borrowed until the call returns, `out` is ours.
        let status = unsafe { self.table.option_i64(kuzzle_str::new(path), &raw mut out) };
        found(status, path, "an integer", out)
    }

    /// A boolean of the protocol's own section; paths as in [`option_i64`](Self::option_i64).
    ///
    /// # Errors
    /// [`Status::WrongType`].
    pub fn option_bool(&self, path: &str) -> Result<Option<bool>, Error> {
        let mut out = 0;
        // SAFETY: the path is borrowed until the call returns, `out` is ours.
        let status = unsafe { self.table.option_bool(kuzzle_str::new(path), &raw mut out) };
        found(status, path, "a boolean", out != 0)
    }

    /// A string of the protocol's own section; paths as in [`option_i64`](Self::option_i64), and
    /// `/host` is that of the host's `server` section.
    ///
    /// # Errors
    /// [`Status::WrongType`].
    pub fn option_string(&self, path: &str) -> Result<Option<&'static str>, Error> {
        let mut out = kuzzle_str::EMPTY;
        // SAFETY: the path is borrowed until the call returns, `out` is ours.
        let status = unsafe { self.table.option_string(kuzzle_str::new(path), &raw mut out) };
        // SAFETY: `out` is empty, or a string of the host, which lives for ever.
        found(status, path, "a string", unsafe { out.text() }.unwrap_or_default())
    }

    /// Kuzzle's error catalogue.
    pub fn errors(&self) -> impl Iterator<Item = ErrorInfo> + use<> {
        let table = self.table;
        // SAFETY: no arguments.
        let count = unsafe { table.error_count() };
        (0..count).filter_map(move |index| {
            // SAFETY: `out` is ours and says its size.
            error_info(|out| unsafe { table.error_at(index, out) })
        })
    }

    /// One entry of Kuzzle's error catalogue, for example `api.process.controller_not_found`.
    pub fn error_by_id(&self, id: &str) -> Option<ErrorInfo> {
        // SAFETY: the id is borrowed until the call returns; `out` is ours and says its size.
        error_info(|out| unsafe { self.table.error_by_id(kuzzle_str::new(id), out) })
    }

    /// A random UUID, version 4.
    pub fn uuid(&self) -> Uuid {
        let mut out = [0; 16];
        // SAFETY: the host writes 16 bytes.
        unsafe { self.table.uuid(out.as_mut_ptr()) };
        Uuid::from_bytes(out)
    }

    /// What the host counts of this protocol, by the extension `kuzzle.metrics/1`: `connections`,
    /// `requests`, `notifications`, `dropped`, `slowCalls`, perhaps others. `None`: this host does not
    /// have it.
    pub fn host_metrics(&self) -> Option<Vec<Metric>> {
        let table = self.get_extension(KUZZLE_EXTENSION_METRICS)?;
        // SAFETY: this context has just answered it for this id.
        unsafe { metrics::of_host(table.as_ptr().cast_const().cast(), self.table.as_ptr()) }
    }

    /// A table of the host by its extension id, `kuzzle.<name>/<revision>`. `None`: this host does
    /// not have it. What it points to is what that extension's documentation says.
    pub fn get_extension(&self, id: &str) -> Option<NonNull<c_void>> {
        // SAFETY: the id is borrowed until the call returns.
        NonNull::new(unsafe { self.table.get_extension(kuzzle_str::new(id)) }.cast_mut())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

fn found<T>(status: i32, path: &str, wanted: &str, value: T) -> Result<Option<T>, Error> {
    match status {
        raw::KUZZLE_OK => Ok(Some(value)),
        raw::KUZZLE_NOT_FOUND => Ok(None),
        raw::KUZZLE_WRONG_TYPE => Err(Error::new(
            Status::WrongType,
            format!("option `{path}` is not {wanted}: correct it in the configuration"),
        )),
        other => Err(Error::new(
            Status::from_raw(other),
            format!("cannot read option `{path}`: {}", Status::from_raw(other)),
        )),
    }
}

fn error_info(read: impl FnOnce(*mut kuzzle_error_info) -> i32) -> Option<ErrorInfo> {
    let mut out = kuzzle_error_info {
        struct_size: size_of::<kuzzle_error_info>() as u32,
        code: 0,
        status: 0,
        reserved: 0,
        id: kuzzle_str::EMPTY,
        error_class: kuzzle_str::EMPTY,
        message: kuzzle_str::EMPTY,
    };
    if read(&raw mut out) != raw::KUZZLE_OK {
        return None;
    }
    // SAFETY: the catalogue's strings live for ever.
    let [id, class, message] =
        [out.id, out.error_class, out.message].map(|text| unsafe { text.text() }.unwrap_or_default());
    Some(ErrorInfo { code: out.code, status: out.status, id, class, message })
}
