//! The options: `server.protocols.http` and `server.protocols.websocket`, checked.

use std::sync::Arc;

use kuzzle_protocol_abi::Error;
use serde::Deserialize;
use serde_json::Value;

/// Both sections; one that is switched off is `null`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Sections {
    http: Option<HttpSection>,
    websocket: Option<WebSocketSection>,
}

impl Default for Sections {
    fn default() -> Self {
        Self { http: Some(HttpSection::default()), websocket: Some(WebSocketSection::default()) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HttpSection {
    allow_compression: bool,
    max_encoding_layers: usize,
    max_form_file_size: Value,
    additional_content_types: Vec<String>,
    max_header_size: usize,
    max_headers: usize,
    max_sockets: usize,
    header_timeout: u64,
    body_timeout: u64,
    slow_timeout: u64,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            allow_compression: true,
            max_encoding_layers: 3,
            max_form_file_size: "1MB".into(),
            additional_content_types: Vec::new(),
            max_header_size: 16 * 1024,
            max_headers: 100,
            max_sockets: 50_000,
            header_timeout: 30_000,
            body_timeout: 30_000,
            slow_timeout: 10_000,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WebSocketSection {
    idle_timeout: u64,
    compression: bool,
    rate_limit: u32,
    send_pings_automatically: bool,
    reset_idle_timeout_on_send: bool,
    max_queued_bytes: Value,
    slow_timeout: u64,
    heartbeat: Option<Value>,
}

impl Default for WebSocketSection {
    fn default() -> Self {
        Self {
            idle_timeout: 60_000,
            compression: false,
            rate_limit: 0,
            send_pings_automatically: false,
            reset_idle_timeout_on_send: false,
            max_queued_bytes: "8MB".into(),
            slow_timeout: 10_000,
            heartbeat: None,
        }
    }
}

/// The HTTP half. Sizes in bytes, times in milliseconds.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) allow_compression: bool,
    pub(crate) max_encoding_layers: usize,
    pub(crate) max_form_file_size: usize,
    pub(crate) additional_content_types: Vec<String>,
    pub(crate) body_timeout: u64,
}

/// The WebSocket half. Sizes in bytes, times in milliseconds.
#[derive(Debug)]
pub(crate) struct WebSocket {
    pub(crate) idle_timeout: u64,
    pub(crate) compression: bool,
    pub(crate) rate_limit: u32,
    pub(crate) send_pings_automatically: bool,
    pub(crate) reset_idle_timeout_on_send: bool,
    pub(crate) max_queued_bytes: usize,
    pub(crate) slow_timeout: u64,
}

/// What holds for every socket, whatever is spoken on it: a WebSocket begins as HTTP.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) max_header_size: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_sockets: usize,
    pub(crate) header_timeout: u64,
    pub(crate) slow_timeout: u64,
}

/// All options.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) http: Option<Http>,
    pub(crate) websocket: Option<Arc<WebSocket>>,
    pub(crate) sockets: Sockets,
    /// `server.maxRequestSize`, in bytes.
    pub(crate) max_request_size: usize,
}

impl Config {
    /// `server`: the section `server` of the configuration, as JSON. Warnings go to the log.
    ///
    /// # Errors
    /// An option cannot be used; the message names it.
    pub(crate) fn new(sections: Sections, server: &str) -> Result<Self, Error> {
        let server: Value = serde_json::from_str(server).unwrap_or_default();
        let max_request_size = match &server["maxRequestSize"] {
            Value::Null => 1 << 20,
            size => bytes("server.maxRequestSize", size)?,
        };
        let defaults = HttpSection::default();
        let sockets = sections.http.as_ref().unwrap_or(&defaults);
        let sockets = Sockets {
            max_header_size: sockets.max_header_size.max(8192),
            max_headers: sockets.max_headers,
            max_sockets: sockets.max_sockets,
            header_timeout: sockets.header_timeout,
            slow_timeout: sockets.slow_timeout,
        };
        let http = sections.http.map(http).transpose()?;
        let websocket = sections.websocket.map(websocket).transpose()?.map(Arc::new);
        Ok(Self { http, websocket, sockets, max_request_size })
    }
}

fn http(section: HttpSection) -> Result<Http, Error> {
    Ok(Http {
        allow_compression: section.allow_compression,
        max_encoding_layers: section.max_encoding_layers,
        max_form_file_size: bytes("server.protocols.http.maxFormFileSize", &section.max_form_file_size)?,
        additional_content_types: section.additional_content_types,
        body_timeout: section.body_timeout,
    })
}

fn websocket(section: WebSocketSection) -> Result<WebSocket, Error> {
    if section.heartbeat.is_some() {
        tracing::warn!(
            "server.protocols.websocket.heartbeat is deprecated and has no effect: use idleTimeout and \
             sendPingsAutomatically"
        );
    }
    let idle_timeout = if section.idle_timeout < 1000 {
        tracing::warn!("server.protocols.websocket.idleTimeout is below 1000 ms: 60000 is used instead");
        60_000
    } else {
        section.idle_timeout
    };
    Ok(WebSocket {
        idle_timeout,
        compression: section.compression,
        rate_limit: section.rate_limit,
        send_pings_automatically: section.send_pings_automatically,
        reset_idle_timeout_on_send: section.reset_idle_timeout_on_send,
        max_queued_bytes: bytes("server.protocols.websocket.maxQueuedBytes", &section.max_queued_bytes)?,
        slow_timeout: section.slow_timeout.max(1),
    })
}

/// A size: a number of bytes, or a text with a unit of powers of 1024. As in Kuzzle (lib/util/bytes.js) only the
/// first digits count.
fn bytes(option: &str, size: &Value) -> Result<usize, Error> {
    let wrong = || Error::failed(format!("{option} is not a size: write a number of bytes, or \"1MB\""));
    if let Some(number) = size.as_u64() {
        return usize::try_from(number).map_err(|_| wrong());
    }
    let text = size.as_str().ok_or_else(wrong)?.to_ascii_lowercase();
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let number: usize = digits.parse().map_err(|_| wrong())?;
    let exponent =
        ["kb", "mb", "gb", "tb"].iter().position(|unit| text.contains(unit)).map_or(0, |at| at + 1);
    number
        .checked_shl(10 * exponent as u32)
        .filter(|size| size >> (10 * exponent) == number)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(sections: Value) -> Config {
        Config::new(serde_json::from_value(sections).unwrap(), "{}").unwrap()
    }

    #[test]
    fn reads_sizes_as_kuzzle_does() {
        for (size, expected) in [
            (json!(1024), Some(1024)),
            (json!("1024"), Some(1024)),
            (json!("1MB"), Some(1 << 20)),
            (json!("2 kb"), Some(2048)),
            (json!("1.5MB"), Some(1 << 20)),
            (json!("MB"), None),
            (json!("99999999999TB"), None),
            (json!(-1), None),
            (json!(true), None),
        ] {
            assert_eq!(bytes("x", &size).ok(), expected, "{size}");
        }
    }

    #[test]
    fn a_half_is_on_unless_its_section_is_null() {
        for (sections, http, websocket) in [
            (json!({}), true, true),
            (json!({"http": null}), false, true),
            (json!({"http": {}, "websocket": null}), true, false),
        ] {
            let config = config(sections);
            assert_eq!((config.http.is_some(), config.websocket.is_some()), (http, websocket));
        }
    }

    #[test]
    fn a_short_idle_timeout_is_replaced() {
        let timeout =
            |value: u64| config(json!({"websocket": {"idleTimeout": value}})).websocket.unwrap().idle_timeout;
        assert_eq!((timeout(0), timeout(999), timeout(1000)), (60_000, 60_000, 1000));
    }
}
