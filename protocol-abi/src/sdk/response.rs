//! The answer to a request.

use super::error::{Error, Status};
use super::payload::{Content, Payload};
use crate::raw::{kuzzle_header, kuzzle_response, kuzzle_str};

/// The answer to a request; borrowed until the completion returns.
#[derive(Debug)]
pub struct Response<'a> {
    status: u32,
    raw: bool,
    request_id: &'a str,
    headers: &'a [kuzzle_header],
    content: Payload<'a>,
}

impl<'a> Response<'a> {
    /// # Errors
    /// [`Status::InvalidArgument`]: the host sent something that breaks the header's rules.
    ///
    /// # Safety
    /// `response` is null or as the header demands, for `'a`.
    pub(crate) unsafe fn from_raw(response: *const kuzzle_response) -> Result<Self, Error> {
        let invalid =
            |what| Error::new(Status::InvalidArgument, format!("the host sent a response with {what}"));
        if response.is_null() {
            return Err(invalid("no content at all"));
        }
        // SAFETY: not null; every struct of this kind begins with its size.
        if unsafe { (*response).struct_size } < size_of::<kuzzle_response>() as u32 {
            return Err(invalid("too small a size"));
        }
        // SAFETY: not null and large enough; the caller vouches for the rest.
        let response: &'a kuzzle_response = unsafe { &*response };
        // SAFETY: borrowed for `'a`, as all of the response.
        let request_id = unsafe { response.request_id.text() };
        let headers = if response.headers_len == 0 {
            &[]
        } else if response.headers.is_null() {
            return Err(invalid("a null pointer"));
        } else {
            // SAFETY: not null; the caller vouches for the array during `'a`.
            unsafe { std::slice::from_raw_parts(response.headers, response.headers_len) }
        };
        Ok(Self {
            status: response.status,
            raw: response.raw != 0,
            request_id: request_id.ok_or_else(|| invalid("a request id that is not UTF-8"))?,
            headers,
            // SAFETY: the caller vouches for the parts during `'a`.
            content: unsafe { Payload::from_raw(response.parts, response.parts_len) }?,
        })
    }

    /// As HTTP's: 200, 404, …
    pub fn status(&self) -> u16 {
        u16::try_from(self.status).unwrap_or(500)
    }

    /// Whether the content is any bytes, to be sent as they are, instead of one JSON object.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// The client's id for the request, or one that the host has made.
    pub fn request_id(&self) -> &'a str {
        self.request_id
    }

    /// Headers, as name and value. Those that are not UTF-8 are left out.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.headers.iter().filter_map(|header| {
            // SAFETY: borrowed for `'a`, see `from_raw`.
            let text = |text: kuzzle_str| unsafe { text.text::<'a>() };
            Some((text(header.name)?, text(header.value)?))
        })
    }

    /// The content.
    pub fn content(&self) -> &Payload<'a> {
        &self.content
    }

    /// Keeps the answer; the content is shared with the host, not copied.
    pub fn to_owned(&self) -> OwnedResponse {
        OwnedResponse {
            status: self.status(),
            raw: self.raw,
            request_id: self.request_id.to_owned(),
            headers: self.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            content: self.content.retain(),
        }
    }
}

/// The answer to a request, kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnedResponse {
    /// As HTTP's: 200, 404, …
    pub status: u16,
    /// Whether the content is any bytes, to be sent as they are, instead of one JSON object.
    pub raw: bool,
    /// The client's id for the request, or one that the host has made.
    pub request_id: String,
    /// Headers, as name and value.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub content: Content,
}
