//! A request for the Kuzzle API, on its way to the host.

use super::connection::{ConnectionId, header};
use crate::raw::{kuzzle_buf, kuzzle_header, kuzzle_request, kuzzle_str};

/// A request for the Kuzzle API. Everything is borrowed, so the document may lie in a receive buffer.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    connection: Option<ConnectionId>,
    first: &'a [u8],
    more: Vec<&'a [u8]>,
    label: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    method: &'a str,
    url: &'a str,
}

impl<'a> Request<'a> {
    /// A request without a connection, so without real-time. `document` is (the beginning of) one
    /// JSON object, `{"controller": …, "action": …, …}`.
    pub fn new(document: &'a [u8]) -> Self {
        Self {
            connection: None,
            first: document,
            more: Vec::new(),
            label: "",
            headers: Vec::new(),
            method: "",
            url: "",
        }
    }

    /// Appends bytes to the document.
    #[must_use]
    pub fn part(mut self, bytes: &'a [u8]) -> Self {
        self.more.push(bytes);
        self
    }

    /// Who asks.
    #[must_use]
    pub fn connection(mut self, connection: ConnectionId) -> Self {
        self.connection = Some(connection);
        self
    }

    /// What is shown as the protocol; default: the connection's label.
    #[must_use]
    pub fn label(mut self, label: &'a str) -> Self {
        self.label = label;
        self
    }

    /// Adds a header of the request.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The method, for the access log.
    #[must_use]
    pub fn method(mut self, method: &'a str) -> Self {
        self.method = method;
        self
    }

    /// The URL, for the access log.
    #[must_use]
    pub fn url(mut self, url: &'a str) -> Self {
        self.url = url;
        self
    }

    /// Lends the raw struct to `f`; it does not outlive the call.
    pub(crate) fn with_raw<T>(&self, f: impl FnOnce(*const kuzzle_request) -> T) -> T {
        let one = [borrowed(self.first)];
        let many: Vec<kuzzle_buf>;
        let parts: &[kuzzle_buf] = if self.more.is_empty() {
            &one
        } else {
            many = std::iter::once(self.first).chain(self.more.iter().copied()).map(borrowed).collect();
            &many
        };
        let headers: Vec<kuzzle_header> =
            self.headers.iter().map(|(name, value)| header(name, value)).collect();
        let request = kuzzle_request {
            struct_size: size_of::<kuzzle_request>() as u32,
            reserved: 0,
            connection: self.connection.map_or(0, ConnectionId::as_raw),
            parts: parts.as_ptr(),
            parts_len: parts.len(),
            label: kuzzle_str::new(self.label),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
            method: kuzzle_str::new(self.method),
            url: kuzzle_str::new(self.url),
        };
        f(&raw const request)
    }

    pub(crate) fn to_owned(&self) -> OwnedRequest {
        let mut document = self.first.to_vec();
        self.more.iter().for_each(|part| document.extend_from_slice(part));
        OwnedRequest {
            connection: self.connection,
            document,
            label: self.label.to_owned(),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            method: self.method.to_owned(),
            url: self.url.to_owned(),
        }
    }
}

/// A request that waits: what was borrowed is copied.
pub(crate) struct OwnedRequest {
    connection: Option<ConnectionId>,
    document: Vec<u8>,
    label: String,
    headers: Vec<(String, String)>,
    method: String,
    url: String,
}

impl OwnedRequest {
    pub(crate) fn as_request(&self) -> Request<'_> {
        Request {
            connection: self.connection,
            first: &self.document,
            more: Vec::new(),
            label: &self.label,
            headers: self.headers.iter().map(|(name, value)| (&name[..], &value[..])).collect(),
            method: &self.method,
            url: &self.url,
        }
    }
}

fn borrowed(bytes: &[u8]) -> kuzzle_buf {
    kuzzle_buf { data: bytes.as_ptr(), len: bytes.len(), owner: std::ptr::null_mut(), ops: std::ptr::null() }
}
