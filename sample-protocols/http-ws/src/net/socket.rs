//! One socket, as long as it speaks HTTP: what the host knows of it, its times, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use hyper::Uri;
use hyper::header::HeaderMap;
use kuzzle_protocol_abi::{Connection, ConnectionId, ConnectionInfo, Error};
use parking_lot::Mutex;

use crate::Shared;
use crate::config::Sockets as Options;
use crate::websocket::Opened;

/// What HTTP connections are called; as Kuzzle calls them.
const HTTP_LABEL: &str = "HTTP/1.1";
const WEBSOCKET_LABEL: &str = "websocket";

/// One socket, as long as it speaks HTTP.
#[derive(Debug)]
pub(crate) struct Socket {
    peer: String,
    /// Since when the head of a request is awaited, plus 1; 0: it has been read.
    head: AtomicU64,
    /// Since when the client takes nothing of what is written, plus 1; 0: it does.
    stalled: AtomicU64,
    end: AtomicUsize,
    waker: Mutex<Option<Waker>>,
    declared: Mutex<Option<Declared>>,
    opened: Mutex<Option<(Connection, Opened)>>,
}

#[derive(Debug)]
struct Declared {
    forwarded: Option<String>,
    connection: Connection,
}

/// How a socket is to end: after the answer that is due, or at once. 0: not at all.
pub(super) const FINISH: usize = 1;
pub(super) const ABORT: usize = 2;

impl Socket {
    pub(super) fn new(peer: SocketAddr, now: u64) -> Self {
        Self {
            peer: peer.ip().to_canonical().to_string(),
            head: AtomicU64::new(now + 1),
            stalled: AtomicU64::new(0),
            end: AtomicUsize::new(0),
            waker: Mutex::default(),
            declared: Mutex::default(),
            opened: Mutex::default(),
        }
    }

    pub(crate) fn head_is_read(&self) {
        self.head.store(0, Ordering::Relaxed);
    }

    pub(crate) fn head_is_awaited(&self, now: u64) {
        self.head.store(now + 1, Ordering::Relaxed);
    }

    /// The client took nothing of what was written.
    pub(super) fn write_is_stalled(&self, now: u64) {
        let _ = self.stalled.compare_exchange(0, now + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The client took something. The time for its next request begins when it has taken the last answer.
    pub(super) fn write_goes_on(&self, now: u64) {
        if self.stalled.swap(0, Ordering::Relaxed) != 0 && self.head.load(Ordering::Relaxed) != 0 {
            self.head_is_awaited(now);
        }
    }

    /// Whether something has taken too long.
    pub(super) fn is_late(&self, now: u64, options: &Options) -> bool {
        let late = |since: u64, limit: u64| since != 0 && now.saturating_sub(since - 1) > limit;
        match self.stalled.load(Ordering::Relaxed) {
            0 => late(self.head.load(Ordering::Relaxed), options.header_timeout),
            stalled => late(stalled, options.slow_timeout),
        }
    }

    /// Ends it soon: after the answer that is due, if there is one, else at once.
    pub(super) fn stop(&self) {
        let is_answering =
            self.head.load(Ordering::Relaxed) == 0 || self.stalled.load(Ordering::Relaxed) != 0;
        self.end(if is_answering { FINISH } else { ABORT });
    }

    /// The WebSocket that it has become.
    pub(super) fn take_opened(&self) -> Option<(Connection, Opened)> {
        self.opened.lock().take()
    }

    /// Ends it: after the answer to what it has asked, or at once.
    pub(super) fn end(&self, how: usize) {
        self.end.fetch_max(how, Ordering::AcqRel);
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_end(&self, cx: &Context<'_>) -> usize {
        if self.end.load(Ordering::Acquire) == 0 {
            let mut waker = self.waker.lock();
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        self.end.load(Ordering::Acquire)
    }

    /// The client's addresses: those that proxies tell of, then the peer.
    fn info<'a>(&'a self, forwarded: Option<&'a str>) -> ConnectionInfo<'a> {
        let forwarded = forwarded.into_iter().flat_map(|all| all.split(',')).map(str::trim);
        let info =
            forwarded.filter(|ip| !ip.is_empty()).take(16).fold(ConnectionInfo::new(), ConnectionInfo::ip);
        info.ip(&self.peer)
    }

    /// The connection of an HTTP request: one for the socket, unless a proxy serves several clients through it.
    ///
    /// # Errors
    /// The host refuses it.
    pub(crate) fn declare(
        self: &Arc<Self>,
        shared: &Shared,
        headers: &HeaderMap,
    ) -> Result<ConnectionId, Error> {
        let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let mut declared = self.declared.lock();
        if let Some(declared) =
            declared.as_ref().filter(|declared| declared.forwarded.as_deref() == forwarded)
        {
            return Ok(declared.connection.id());
        }
        let id = {
            // Held across the call, which never calls back: no `disconnect` comes before the connection is stored.
            let mut known = shared.sockets.declared();
            let connection = shared.entry_point.new_connection(&self.info(forwarded).label(HTTP_LABEL))?;
            let id = connection.id();
            known.insert(id, Arc::clone(self));
            let before = declared.replace(Declared { forwarded: forwarded.map(str::to_owned), connection });
            if let Some(before) = &before {
                known.remove(&before.connection.id());
            }
            drop(known);
            drop(declared);
            drop(before);
            id
        };
        Ok(id)
    }

    /// The socket has no connection any more.
    pub(crate) fn forget(&self, shared: &Shared) {
        let declared = self.declared.lock().take();
        if let Some(declared) = &declared {
            shared.sockets.declared().remove(&declared.connection.id());
        }
        drop(declared);
    }

    /// Declares the client of a WebSocket, which is served when the answer is on its way.
    ///
    /// # Errors
    /// The host refuses it.
    pub(crate) fn open(
        &self,
        shared: &Shared,
        uri: &Uri,
        headers: &HeaderMap,
        compression: bool,
    ) -> Result<(), Error> {
        let url = uri.path_and_query().map_or("/", |target| target.as_str());
        let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let info = self.info(forwarded).label(WEBSOCKET_LABEL).url(url).verb("GET");
        let info = texts.fold(info, |info, (name, value)| info.header(name, value));
        let (connection, client) =
            shared.clients.add(shared.clock.now(), || shared.entry_point.new_connection(&info))?;
        *self.opened.lock() = Some((connection, Opened { client, compression }));
        Ok(())
    }
}
