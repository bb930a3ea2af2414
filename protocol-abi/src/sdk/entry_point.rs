//! The protocol's way into the host: declares clients, forwards requests.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionId, ConnectionInfo, Uuid};
use super::context::{Context, LogLevel};
use super::error::{Error, Status};
use super::guard::{Poison, catch, contain};
use super::host::EntryPointTable;
use super::queue::{self, InCallback, Job, Worker};
use super::request::Request;
use super::response::Response;
use crate::raw::{
    KUZZLE_OK, KUZZLE_PANIC, KUZZLE_REENTRANT, kuzzle_completion, kuzzle_error, kuzzle_response, kuzzle_str,
};

/// The protocol's way into the host. Cheap to clone, usable on any thread.
#[derive(Clone)]
pub struct EntryPoint {
    shared: Arc<Shared>,
}

struct Shared {
    table: EntryPointTable,
    context: Context,
    name: String,
    poison: Poison,
    worker: Arc<Worker>,
    #[cfg(feature = "tokio")]
    runtime: super::runtime::Slot,
}

impl EntryPoint {
    pub(crate) fn new(table: EntryPointTable, context: Context, name: &str) -> Self {
        Self {
            shared: Arc::new(Shared {
                table,
                context,
                name: name.to_owned(),
                poison: Poison::default(),
                worker: Worker::new(name),
                #[cfg(feature = "tokio")]
                runtime: super::runtime::Slot::default(),
            }),
        }
    }

    pub(crate) fn poison(&self) -> &Poison {
        &self.shared.poison
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn runtime_slot(&self) -> &super::runtime::Slot {
        &self.shared.runtime
    }

    /// The other table of the host.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Declares a client. Hold your table's lock across it: it never calls into the protocol, and no
    /// [`disconnect`](crate::Protocol::disconnect) can then come before the client is stored.
    ///
    /// # Errors
    /// [`Status::NotStarted`], [`Status::ShuttingDown`], [`Status::Stopped`], [`Status::Shutdown`],
    /// [`Status::Limit`]: refuse the client.
    pub fn new_connection(&self, info: &ConnectionInfo<'_>) -> Result<Connection, Error> {
        if self.shared.poison.is_set() {
            return Err(Error::of(Status::Stopped));
        }
        let (mut handle, mut uuid, mut error) = (0, [0; 16], kuzzle_error::empty());
        let status = info.with_raw(|info| {
            // SAFETY: the info is borrowed until the call returns; the rest is ours, of the sizes
            // that the header demands.
            unsafe {
                self.shared.table.new_connection(info, &raw mut handle, uuid.as_mut_ptr(), &raw mut error)
            }
        });
        if status != KUZZLE_OK {
            return Err(Error::take(status, error));
        }
        Ok(Connection::new(self.clone(), ConnectionId::from_raw(handle), Uuid::from_bytes(uuid)))
    }

    pub(crate) fn remove_connection(&self, connection: ConnectionId) {
        // The one error is that it is gone already, which is harmless.
        // SAFETY: no pointers.
        let _ = unsafe { self.shared.table.remove_connection(connection.as_raw()) };
    }

    /// Executes a request and calls `done` exactly once: with the answer, or with the error for which
    /// the host did not accept the request. Usually it is called before this function returns, on
    /// this thread; it may be on any other. Only after a fault it is never called: if the protocol has
    /// panicked, or the host has suspended it for hanging.
    ///
    /// While it runs, the host may call the protocol's functions on this thread, except `init`,
    /// `start` and `shutdown`: hold no lock that they take.
    ///
    /// Inside a callback (`done`, `broadcast`, `notify`, `join_channel`, `leave_channel`,
    /// `disconnect`) the request is copied and queued: it is executed when the outermost `execute`
    /// of this thread is over, or on a thread of the SDK's if there is none. The order is kept.
    ///
    /// # Errors
    /// Given to `done`: [`Status::InvalidJson`] and [`Status::InvalidRequest`] (answer with an error
    /// id of your own; [`Error::request_id`] tells the id if it could be read), [`Status::BadHandle`]
    /// (close the client), [`Status::Stopped`], [`Status::Shutdown`].
    ///
    /// # Panics
    /// A panic of `done` stops the protocol.
    pub fn execute<F>(&self, request: Request<'_>, done: F)
    where
        F: FnOnce(Result<Response<'_>, Error>) + Send + 'static,
    {
        if queue::in_callback() {
            queue::defer(&self.shared.worker, self.job(&request, done));
        } else {
            queue::outermost(|| self.execute_now(&request, done, true));
        }
    }

    /// The request, copied, to be executed where that is possible.
    fn job<F>(&self, request: &Request<'_>, done: F) -> Job
    where
        F: FnOnce(Result<Response<'_>, Error>) + Send + 'static,
    {
        let (this, request) = (self.clone(), request.to_owned());
        Box::new(move |execute| {
            if execute {
                queue::outermost(|| this.execute_now(&request.as_request(), done, false));
            } else {
                Completion { entry_point: this, done }.finish(Err(Error::of(Status::Shutdown)));
            }
        })
    }

    /// `retry`: queue the request if the host finds itself in a callback that the SDK does not know
    /// of (another library's code called into this one).
    fn execute_now<F>(&self, request: &Request<'_>, done: F, retry: bool)
    where
        F: FnOnce(Result<Response<'_>, Error>) + Send + 'static,
    {
        let completion = Box::new(Completion { entry_point: self.clone(), done });
        if self.shared.poison.is_set() {
            completion.finish(Err(Error::of(Status::Stopped)));
            return;
        }
        let context = Box::into_raw(completion);
        let mut error = kuzzle_error::empty();
        let status = request.with_raw(|request| {
            let completion = kuzzle_completion { function: Some(complete::<F>), context: context.cast() };
            // SAFETY: the request is borrowed until the call returns, `error` is ours, and `complete`
            // takes exactly such a context back, once.
            unsafe { self.shared.table.execute(request, completion, &raw mut error) }
        });
        if status == KUZZLE_OK {
            return;
        }
        // SAFETY: the host answered that it will not call the completion, so the box is still ours.
        let completion = unsafe { Box::from_raw(context) };
        let error = Error::take(status, error);
        if status == KUZZLE_REENTRANT && retry {
            let Completion { done, .. } = *completion;
            return self.shared.worker.push(self.job(request, done));
        }
        completion.finish(Err(error));
    }

    /// Writes an access log line for an answer that did not come from [`execute`](Self::execute).
    /// `status` as HTTP's, `size` in bytes.
    pub fn log_access(&self, request: &Request<'_>, status: u16, size: u64) {
        request.with_raw(|request| {
            // SAFETY: the request is borrowed until the call returns.
            let _ = unsafe { self.shared.table.log_access(request, u32::from(status), size) };
        });
    }

    /// Whether the host is shutting down: take no new clients.
    pub fn is_shutting_down(&self) -> bool {
        // SAFETY: no arguments.
        unsafe { self.shared.table.is_shutting_down() != 0 }
    }

    /// Tells the host an address that is really bound, for example `("tcp", "127.0.0.1:7515")`; it is
    /// shown to whoever runs the host. Once for each listener, in `init` or `start`.
    ///
    /// # Errors
    /// The host does not take it.
    pub fn report_listener(&self, transport: &str, address: &str) -> Result<(), Error> {
        // SAFETY: both strings are borrowed until the call returns.
        let status = unsafe {
            self.shared.table.report_listener(kuzzle_str::new(transport), kuzzle_str::new(address))
        };
        if status == KUZZLE_OK {
            return Ok(());
        }
        let status = Status::from_raw(status);
        Err(Error::new(status, format!("cannot report listener {transport} {address}: {status}")))
    }

    /// The `server` section of the configuration as JSON, with only the protocol's own sections under
    /// `protocols`. [`Protocol::Config`](crate::Protocol::Config) is read from it.
    pub fn config(&self) -> &'static str {
        // SAFETY: no arguments; the string lives for ever.
        unsafe { self.shared.table.config().text() }.unwrap_or("{}")
    }

    /// How many worker threads suit this machine, at least 2.
    pub fn suggested_worker_threads(&self) -> usize {
        // SAFETY: no arguments.
        (unsafe { self.shared.table.suggested_worker_threads() } as usize).clamp(2, 1024)
    }

    /// Ends the SDK's own threads, and says which did not end in time.
    pub(crate) fn stop(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        if !self.shared.worker.stop(deadline) {
            self.context().log(
                LogLevel::Warn,
                "shutdown",
                "the thread for queued requests did not end in time: a request is still running in it",
            );
        }
        #[cfg(feature = "tokio")]
        self.shared.runtime.stop(until.saturating_duration_since(Instant::now()), self.context());
        #[cfg(not(feature = "tokio"))]
        let _ = until;
    }
}

impl fmt::Debug for EntryPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryPoint").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What the host passes back with the answer.
struct Completion<F> {
    entry_point: EntryPoint,
    done: F,
}

impl<F> Completion<F>
where
    F: FnOnce(Result<Response<'_>, Error>),
{
    /// Whether the protocol may still be called.
    fn finish(self, answer: Result<Response<'_>, Error>) -> bool {
        let Self { entry_point, done } = self;
        let _inside = InCallback::enter();
        if entry_point.poison().is_set() {
            contain(|| drop(done));
        } else if catch(|| done(answer)).is_err() {
            entry_point.poison().set();
        }
        !entry_point.poison().is_set()
    }
}

/// The completion function for `F`. The context is the box made in `execute_now`: taken back here.
unsafe extern "C" fn complete<F>(context: *mut c_void, response: *const kuzzle_response) -> i32
where
    F: FnOnce(Result<Response<'_>, Error>) + Send + 'static,
{
    let sound = catch(|| {
        if context.is_null() {
            return true;
        }
        // SAFETY: the host passes back the context that it was given, exactly once.
        let completion = unsafe { Box::from_raw(context.cast::<Completion<F>>()) };
        // SAFETY: the response is borrowed until this function returns.
        completion.finish(unsafe { Response::from_raw(response) })
    });
    if sound == Ok(true) { KUZZLE_OK } else { KUZZLE_PANIC }
}
