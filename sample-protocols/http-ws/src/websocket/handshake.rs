//! The opening handshake (RFC 6455, 4.2), on headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Version};
use sha1::{Digest, Sha1};

use super::deflate;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that succeeds.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The headers of the answer, status 101.
    pub(crate) headers: HeaderMap,
    /// permessage-deflate was agreed on.
    pub(crate) compression: bool,
}

/// A handshake that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: &'static str,
}

/// Whether the client asks for a WebSocket at all.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket")
}

/// The answer to a request that asks for a WebSocket. `compression`: permessage-deflate is allowed.
///
/// # Errors
/// The request breaks RFC 6455, 4.2.1.
pub(crate) fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    compression: bool,
) -> Result<Accepted, Refused> {
    let refuse = |message| Err(Refused { status: StatusCode::BAD_REQUEST, message });
    if method != Method::GET || version != Version::HTTP_11 {
        return refuse("a WebSocket starts with GET and HTTP/1.1");
    }
    // What follows the handshake would be taken for frames.
    let length = headers.get(header::CONTENT_LENGTH);
    if headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
        return refuse("a handshake has no body");
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return refuse("the header Connection does not name Upgrade");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let status = StatusCode::UPGRADE_REQUIRED;
        return Err(Refused { status, message: "the version of WebSocket is not 13" });
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return refuse("there is not one header Sec-WebSocket-Key");
    };
    if key.len() != 24 || STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return refuse("Sec-WebSocket-Key is not 16 bytes in base64");
    }

    let mut answer = HeaderMap::with_capacity(5);
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key(key.as_bytes()));
    if let Some(protocol) = first_protocol(headers) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    let compression = compression && deflate::is_offered(offers.filter_map(|offer| offer.to_str().ok()));
    if compression {
        answer.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(deflate::ACCEPTED));
    }
    Ok(Accepted { headers: answer, compression })
}

fn accept_key(key: &[u8]) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).expect("base64 is visible ASCII")
}

/// The sub-protocol that the client names first, whatever it is: that is what Kuzzle's engine answers.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    if first.is_empty() { None } else { HeaderValue::from_str(first).ok() }
}

/// Whether a header that is a list of tokens holds this one, in whatever case.
pub(crate) fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name);
    lines
        .iter()
        .filter_map(|line| line.to_str().ok())
        .any(|line| line.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}
