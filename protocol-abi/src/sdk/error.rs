//! Errors in both directions: as a Rust type, and as the `kuzzle_error` that crosses the border.

use std::ffi::c_void;
use std::fmt;

use super::guard::contain;
use crate::raw::{self, kuzzle_error, kuzzle_str};

/// What a function of the ABI answers when it does not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Anything without a status of its own.
    Failed,
    /// The protocol panicked and is stopped.
    Panic,
    /// A null pointer, a struct that is too short, text that is not UTF-8.
    InvalidArgument,
    /// The document is not JSON.
    InvalidJson,
    /// The document is no valid request.
    InvalidRequest,
    /// Called from inside a callback. The SDK queues instead, so protocols do not see it.
    Reentrant,
    /// No such connection, or not this protocol's: close the client.
    BadHandle,
    /// A connection was declared before every protocol's `init` had succeeded.
    NotStarted,
    /// The protocol has been stopped after a fault.
    Stopped,
    /// The host is shutting down: no new connections.
    ShuttingDown,
    /// This protocol's `shutdown` has been called.
    Shutdown,
    /// No such option, error or extension.
    NotFound,
    /// The option has another type.
    WrongType,
    /// A limit of the host is reached.
    Limit,
    /// A status that this SDK does not know.
    Other(i32),
}

impl Status {
    pub(crate) const fn from_raw(status: i32) -> Self {
        match status {
            raw::KUZZLE_FAILED => Self::Failed,
            raw::KUZZLE_PANIC => Self::Panic,
            raw::KUZZLE_INVALID_ARGUMENT => Self::InvalidArgument,
            raw::KUZZLE_INVALID_JSON => Self::InvalidJson,
            raw::KUZZLE_INVALID_REQUEST => Self::InvalidRequest,
            raw::KUZZLE_REENTRANT => Self::Reentrant,
            raw::KUZZLE_BAD_HANDLE => Self::BadHandle,
            raw::KUZZLE_NOT_STARTED => Self::NotStarted,
            raw::KUZZLE_STOPPED => Self::Stopped,
            raw::KUZZLE_SHUTTING_DOWN => Self::ShuttingDown,
            raw::KUZZLE_SHUTDOWN => Self::Shutdown,
            raw::KUZZLE_NOT_FOUND => Self::NotFound,
            raw::KUZZLE_WRONG_TYPE => Self::WrongType,
            raw::KUZZLE_LIMIT => Self::Limit,
            other => Self::Other(other),
        }
    }

    /// The number in the ABI; never that of success.
    pub const fn as_raw(self) -> i32 {
        match self {
            Self::Failed | Self::Other(raw::KUZZLE_OK) => raw::KUZZLE_FAILED,
            Self::Panic => raw::KUZZLE_PANIC,
            Self::InvalidArgument => raw::KUZZLE_INVALID_ARGUMENT,
            Self::InvalidJson => raw::KUZZLE_INVALID_JSON,
            Self::InvalidRequest => raw::KUZZLE_INVALID_REQUEST,
            Self::Reentrant => raw::KUZZLE_REENTRANT,
            Self::BadHandle => raw::KUZZLE_BAD_HANDLE,
            Self::NotStarted => raw::KUZZLE_NOT_STARTED,
            Self::Stopped => raw::KUZZLE_STOPPED,
            Self::ShuttingDown => raw::KUZZLE_SHUTTING_DOWN,
            Self::Shutdown => raw::KUZZLE_SHUTDOWN,
            Self::NotFound => raw::KUZZLE_NOT_FOUND,
            Self::WrongType => raw::KUZZLE_WRONG_TYPE,
            Self::Limit => raw::KUZZLE_LIMIT,
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "it failed",
            Self::Panic => "the protocol panicked and is stopped",
            Self::InvalidArgument => "an argument is invalid",
            Self::InvalidJson => "the document is not JSON",
            Self::InvalidRequest => "the document is no valid request",
            Self::Reentrant => "not allowed inside a callback",
            Self::BadHandle => "no such connection",
            Self::NotStarted => "the host has not started yet",
            Self::Stopped => "the protocol has been stopped after a fault",
            Self::ShuttingDown => "the host is shutting down",
            Self::Shutdown => "the protocol has been shut down",
            Self::NotFound => "not found",
            Self::WrongType => "it has another type",
            Self::Limit => "a limit of the host is reached",
            Self::Other(status) => return write!(f, "status {status}"),
        })
    }
}

/// An error that crosses the border, in either direction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    status: Status,
    message: String,
    request_id: Option<String>,
}

impl Error {
    /// An error of the given status. `message` tells what was attempted, on what, and what to do.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), request_id: None }
    }

    /// An error without a status of its own.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Status::Failed, message)
    }

    pub(crate) fn of(status: Status) -> Self {
        Self::new(status, status.to_string())
    }

    /// What kind of error.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// What was attempted, on what, what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The id of the request that was not accepted, if it could be read.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Copies what a host function has filled, and releases it.
    pub(crate) fn take(status: i32, mut filled: kuzzle_error) -> Self {
        let status = Status::from_raw(status);
        let copy = |text: kuzzle_str| {
            // SAFETY: the host keeps the strings of a filled error valid until its release.
            let bytes = unsafe { text.bytes() }.unwrap_or_default();
            (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
        };
        let error = Self {
            status,
            message: copy(filled.message).unwrap_or_else(|| status.to_string()),
            request_id: copy(filled.request_id),
        };
        if let Some(release) = filled.release {
            // SAFETY: called once, with the error that the host filled, after the last read of it.
            unsafe { release(&raw mut filled) };
        }
        error
    }

    /// Fills the caller's error, if there is one that is large enough, and gives the status.
    ///
    /// # Safety
    /// `out` is null or points to a `kuzzle_error` whose `struct_size` says how much of it there is.
    pub(crate) unsafe fn fill(self, out: *mut kuzzle_error) -> i32 {
        let code = self.status.as_raw();
        // SAFETY: not null; the caller has set `struct_size`, which is read before anything else.
        if out.is_null() || unsafe { (*out).struct_size } < size_of::<kuzzle_error>() as u32 {
            return code;
        }
        let owner = Box::new((self.message, self.request_id.unwrap_or_default()));
        // SAFETY: `struct_size` says that all fields that are written exist. The strings lie in the
        // box, which moves only as a pointer and lives until `release_error`.
        unsafe {
            (*out).code = code;
            (*out).message = kuzzle_str::new(&owner.0);
            (*out).request_id = kuzzle_str::new(&owner.1);
            (*out).owner = Box::into_raw(owner).cast::<c_void>();
            (*out).release = Some(release_error);
        }
        code
    }
}

/// Frees what [`Error::fill`] has put there, and zeroes all but the size; idempotent.
unsafe extern "C" fn release_error(error: *mut kuzzle_error) {
    contain(|| {
        if error.is_null() {
            return;
        }
        // SAFETY: the caller passes the error that `fill` filled; its owner is the box made there,
        // or null if it has been released already.
        unsafe {
            let owner = std::mem::replace(&mut (*error).owner, std::ptr::null_mut());
            *error = kuzzle_error { struct_size: (*error).struct_size, ..kuzzle_error::empty() };
            if !owner.is_null() {
                drop(Box::from_raw(owner.cast::<(String, String)>()));
            }
        }
    });
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::of(status)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<super::config::ConfigError> for Error {
    fn from(error: super::config::ConfigError) -> Self {
        Self::failed(error.to_string())
    }
}
