//! Bodies of requests: what may come, reading it within limits, and its JSON.

use std::borrow::Cow;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::coding::{self, Undecodable};
use super::{multipart, query};
use crate::config::{Config, Http};
use crate::errors::ApiError;
use kuzzle_protocol_abi::Context;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// Why a body was not read to its end: nothing more can be said on this connection.
#[derive(Debug)]
pub(crate) enum Unread {
    TooLarge,
    /// The client went away, broke the framing, or took too long.
    Broken(String),
}

/// Checks what the headers say of the body, before any of it is read (Kuzzle: httpMessage.js).
///
/// # Errors
/// What Kuzzle answers.
pub(crate) fn check(
    context: &Context,
    config: &Config,
    options: &Http,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > config.max_request_size as u64) {
        return Err(too_large(context));
    }
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let content_type = String::from_utf8_lossy(content_type.as_bytes());
    let media = media_type(&content_type);
    let known = [JSON, FORM, MULTIPART].contains(&media)
        || options.additional_content_types.iter().any(|known| known == media);
    if !known {
        return Err(ApiError::new(context, "network.http.unsupported_content", &[media]));
    }
    match multipart::parameter(&content_type, "charset") {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => {
            Err(ApiError::new(context, "network.http.unsupported_charset", &[&charset]))
        }
        _ => Ok(()),
    }
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

pub(crate) fn too_large(context: &Context) -> ApiError {
    ApiError::new(context, "network.http.request_too_large", &[])
}

/// Reads a body of at most `most` bytes, within `limit`.
pub(crate) async fn read(body: Incoming, most: usize, limit: Duration) -> Result<Vec<u8>, Unread> {
    if body.is_end_stream() {
        return Ok(Vec::new());
    }
    match tokio::time::timeout(limit, collect(body, most)).await {
        Ok(result) => result,
        Err(_) => Err(Unread::Broken("the body took too long".to_owned())),
    }
}

async fn collect(mut body: Incoming, most: usize) -> Result<Vec<u8>, Unread> {
    let mut out = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unread::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if out.len() + data.len() > most {
            return Err(Unread::TooLarge);
        }
        if out.is_empty() {
            let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
            out.reserve(data.len() + expected.min(64 * 1024));
        }
        out.extend_from_slice(&data);
    }
    Ok(out)
}

/// Undoes the codings, and makes JSON of the body; empty: there is none.
///
/// # Errors
/// What Kuzzle answers.
pub(crate) fn parse(
    context: &Context,
    config: &Config,
    options: &Http,
    headers: &HeaderMap,
    mut body: Vec<u8>,
) -> Result<Vec<u8>, ApiError> {
    if let Some(codings) = joined(headers, header::CONTENT_ENCODING).filter(|_| !body.is_empty()) {
        if !options.allow_compression && !codings.trim().eq_ignore_ascii_case("identity") {
            return Err(ApiError::new(context, "network.http.compression_disabled", &[]));
        }
        body = coding::decode(body, &codings, options.max_encoding_layers, config.max_request_size).map_err(
            |error| match error {
                Undecodable::TooManyLayers => ApiError::new(context, "network.http.too_many_encodings", &[]),
                Undecodable::Unsupported(coding) => {
                    ApiError::new(context, "network.http.unsupported_compression", &[&coding])
                }
                Undecodable::TooLarge => too_large(context),
                Undecodable::Broken(message) => {
                    ApiError::new(context, "network.http.unexpected_error", &[&message])
                }
            },
        )?;
    }
    if body.is_empty() {
        return Ok(body);
    }
    let content_type =
        headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let content_type = content_type.unwrap_or(Cow::Borrowed(JSON));
    let fields = match media_type(&content_type) {
        FORM => query::parse(&String::from_utf8_lossy(&body)),
        MULTIPART => multipart::parse(&content_type, &body, options.max_form_file_size)
            .map_err(|_| ApiError::new(context, "network.http.file_too_large", &[]))?,
        _ => {
            if serde_json::from_slice::<IgnoredAny>(&body).is_err() {
                let text = String::from_utf8_lossy(&body);
                let beginning: String = text.chars().take(50).collect();
                return Err(ApiError::new(context, "network.http.body_parse_failed", &[&beginning]));
            }
            return Ok(body);
        }
    };
    Ok(Value::Object(fields).to_string().into_bytes())
}

/// A header that is a list, its lines joined.
pub(crate) fn joined(headers: &HeaderMap, name: header::HeaderName) -> Option<Cow<'_, str>> {
    let mut lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let first = lines.next()?;
    Some(lines.fold(first, |all, line| Cow::Owned(format!("{all},{line}"))))
}
