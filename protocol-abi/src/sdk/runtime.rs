//! Feature `tokio`: one multi-thread runtime for the protocol, started when it is first asked for.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::context::{Context, LogLevel};
use super::entry_point::EntryPoint;
use super::error::{Error, Status};
use super::request::Request;
use super::response::OwnedResponse;

/// Where the runtime is kept.
#[derive(Default)]
pub(crate) struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Unstarted,
    Running(Runtime),
    Stopped,
}

impl Slot {
    fn handle(&self, entry_point: &EntryPoint) -> Result<Handle, Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Unstarted = *state {
            let name: String = entry_point.name().chars().take(15).collect();
            let runtime = Builder::new_multi_thread()
                .worker_threads(entry_point.suggested_worker_threads())
                .thread_name(name)
                .enable_all()
                .build()
                .map_err(|error| Error::failed(format!("cannot start the protocol's threads: {error}")))?;
            *state = State::Running(runtime);
        }
        match &*state {
            State::Running(runtime) => Ok(runtime.handle().clone()),
            _ => Err(Error::of(Status::Shutdown)),
        }
    }

    /// Drops all tasks at their next await, and ends the threads.
    pub(crate) fn stop(&self, deadline: Duration, context: &Context) {
        let state =
            std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), State::Stopped);
        if let State::Running(runtime) = state {
            let until = Instant::now() + deadline;
            runtime.shutdown_timeout(deadline);
            if Instant::now() >= until {
                context.log(
                    LogLevel::Warn,
                    "shutdown",
                    "the protocol's runtime did not end in time: one of its tasks does not yield",
                );
            }
        }
    }
}

impl EntryPoint {
    /// The protocol's tokio runtime: [`suggested_worker_threads`](Self::suggested_worker_threads)
    /// threads with all drivers, started by the first call. Make the first call in `init` or `start`:
    /// threads made there have SIGTERM and SIGINT blocked. It ends after
    /// [`shutdown`](crate::Protocol::shutdown): tasks are dropped at their next await.
    ///
    /// # Errors
    /// The system refuses the threads, or the protocol has been shut down ([`Status::Shutdown`]).
    pub fn runtime(&self) -> Result<Handle, Error> {
        self.runtime_slot().handle(self)
    }

    /// Starts a task on [`runtime`](Self::runtime). A panic in it is logged and ends only the task:
    /// what it owned is dropped, so a [`Connection`](crate::Connection) in it is removed.
    ///
    /// # Errors
    /// As for [`runtime`](Self::runtime).
    pub fn spawn<T>(&self, task: T) -> Result<JoinHandle<T::Output>, Error>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        Ok(self.runtime()?.spawn(task))
    }

    /// [`execute`](Self::execute) for tasks. The request is handed over by the call itself, so it may
    /// borrow; the future only waits for the answer, whose content is shared with the host.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer; the request is executed all the same.
    pub fn execute_async(
        &self,
        request: Request<'_>,
    ) -> impl Future<Output = Result<OwnedResponse, Error>> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        self.execute(request, move |answer| {
            let _ = sender.send(answer.map(|answer| answer.to_owned()));
        });
        async move { receiver.await.unwrap_or_else(|_| Err(Error::of(Status::Stopped))) }
    }
}
