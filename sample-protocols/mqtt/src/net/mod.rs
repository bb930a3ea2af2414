//! The sockets: a few threads, each with its own connections and its own poll.

mod client;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kuzzle_protocol_abi::{Context, EntryPoint, Error};
use mio::net::TcpListener;
use mio::{Poll, Token};
use parking_lot::Mutex;

pub(crate) use worker::Worker;

use crate::broker::{Broker, Settings};
use crate::shared::Shared;

/// Tokens beside the connections' places in the broker's table.
const LISTENER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// More threads would only wait for the broker's lock.
const MOST_WORKERS: usize = 8;

/// Wakes a worker, and hands it new sockets.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// Until the worker has ended.
    waker: Mutex<Option<mio::Waker>>,
    rung: AtomicBool,
    sockets: Mutex<Vec<mio::net::TcpStream>>,
}

impl Alarm {
    /// Wakes the worker, unless somebody has done so already.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(waker) = &*self.waker.lock()
            && let Err(error) = waker.wake()
        {
            tracing::warn!(%error, "cannot wake a worker");
        }
    }

    /// Gives the descriptor back, when the worker has ended.
    pub(crate) fn close(&self) {
        self.waker.lock().take();
    }

    /// By the worker, before it looks for work.
    fn silence(&self) {
        // Read as well as written: what was queued before it was rung is seen after this.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// The broker, and the workers that serve it.
pub(crate) fn make(
    entry_point: EntryPoint,
    context: Context,
    settings: Settings,
    listener: std::net::TcpListener,
) -> Result<(Arc<Shared>, Vec<Worker>), Error> {
    let count = entry_point.suggested_worker_threads().clamp(1, MOST_WORKERS);
    let mut polls = Vec::new();
    let mut alarms = Vec::new();
    for _ in 0..count {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), ALARM)?;
        polls.push(poll);
        let waker = Mutex::new(Some(waker));
        alarms.push(Alarm { waker, rung: AtomicBool::new(false), sockets: Mutex::default() });
    }
    let broker = Broker::new(settings, count);
    let shared = Arc::new(Shared::new(entry_point, context, broker, alarms));
    let mut listener = Some(TcpListener::from_std(listener));
    let mut workers = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        workers.push(Worker::new(index, poll, Arc::clone(&shared), listener.take())?);
    }
    Ok((shared, workers))
}
