//! Requests that cannot be executed here and now: `execute` is refused inside callbacks, so the SDK
//! does it as soon as the outermost `execute` of this thread is over, or on a thread of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::guard::contain;

/// Executes a request if the argument is true, else answers that the protocol has been shut down.
pub(crate) type Job = Box<dyn FnOnce(bool) + Send>;

thread_local! {
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
    static EXECUTING: Cell<bool> = const { Cell::new(false) };
    static PENDING: RefCell<VecDeque<Job>> = const { RefCell::new(VecDeque::new()) };
}

/// As long as it lives, this thread is inside a callback of the host.
pub(crate) struct InCallback(());

impl InCallback {
    pub(crate) fn enter() -> Self {
        CALLBACKS.set(CALLBACKS.get() + 1);
        Self(())
    }
}

impl Drop for InCallback {
    fn drop(&mut self) {
        CALLBACKS.set(CALLBACKS.get() - 1);
    }
}

/// Whether `execute` would be refused here.
pub(crate) fn in_callback() -> bool {
    CALLBACKS.get() != 0
}

/// Calls the host with `execute`, then does what callbacks have queued meanwhile, in order.
pub(crate) fn outermost(execute: impl FnOnce()) {
    if EXECUTING.replace(true) {
        return execute();
    }
    execute();
    while let Some(job) = PENDING.with_borrow_mut(VecDeque::pop_front) {
        job(true);
    }
    EXECUTING.set(false);
}

/// Queues a job: on this thread if it is executing, else for the worker.
pub(crate) fn defer(worker: &Arc<Worker>, job: Job) {
    if EXECUTING.get() {
        PENDING.with_borrow_mut(|pending| pending.push_back(job));
    } else {
        worker.push(job);
    }
}

/// A thread that executes what was queued on threads of the host, started by the first job.
pub(crate) struct Worker {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    thread: Option<thread::JoinHandle<()>>,
    stopping: bool,
    ended: bool,
}

impl Worker {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let name = format!("{name}-queue");
        Arc::new(Self { name, state: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        if state.stopping {
            drop(state);
            return job(false);
        }
        state.jobs.push_back(job);
        if state.thread.is_none() {
            let this = Arc::clone(self);
            match thread::Builder::new().name(self.name.clone()).spawn(move || this.run()) {
                Ok(handle) => state.thread = Some(handle),
                Err(_) => {
                    let jobs = std::mem::take(&mut state.jobs);
                    drop(state);
                    return jobs.into_iter().for_each(|job| job(false));
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn run(&self) {
        loop {
            let mut state = self.lock();
            while state.jobs.is_empty() && !state.stopping {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let execute = !state.stopping;
            let Some(job) = state.jobs.pop_front() else {
                state.ended = true;
                drop(state);
                return self.changed.notify_all();
            };
            drop(state);
            contain(|| job(execute));
        }
    }

    /// Answers what is queued, and ends the thread. False: it has not ended in time.
    pub(crate) fn stop(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut state = self.lock();
        state.stopping = true;
        self.changed.notify_all();
        let Some(handle) = state.thread.take() else {
            return true;
        };
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        handle.join().is_ok()
    }
}
