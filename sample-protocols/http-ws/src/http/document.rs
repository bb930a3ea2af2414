//! From an HTTP request to the JSON document that the API takes.

use std::io::Write as _;

use hyper::header::{self, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::query;
use super::router::Found;

/// The header that names the volatile data.
pub(crate) const VOLATILE: &str = "x-kuzzle-volatile";

/// The token of `Authorization: Bearer …`; other schemes are ignored.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case("bearer ").then_some(token)
}

/// The volatile data in the headers.
///
/// # Errors
/// They are no JSON; the parser's message.
pub(crate) fn volatile(value: Option<&HeaderValue>) -> Result<Option<&str>, String> {
    let Some(value) = value else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|error| error.to_string())?;
    serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// The document for a route: of a member that is written twice, the last one counts.
///
/// `body` is JSON or empty, `volatile` JSON.
pub(crate) fn of_route(
    found: &Found<'_>,
    query: &str,
    request_id: &str,
    jwt: Option<&str>,
    volatile: Option<&str>,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + query.len() + volatile.map_or(0, str::len) + body.len());
    out.push(b'{');
    member(&mut out, "controller", &found.target.controller);
    member(&mut out, "action", &found.target.action);
    if !query.is_empty() {
        for (name, value) in &query::parse(query) {
            key(&mut out, name);
            serde_json::to_writer(&mut out, value).expect("it is written to memory");
        }
    }
    for (name, value) in &found.parameters {
        member(&mut out, name, value);
    }
    if let Some(jwt) = jwt {
        member(&mut out, "jwt", jwt);
    }
    raw(&mut out, "volatile", volatile.map(str::as_bytes));
    raw(&mut out, "body", (!body.is_empty()).then_some(body));
    member(&mut out, "requestId", request_id);
    out.push(b'}');
    out
}

/// The document for `POST /_query`, whose body is one; the id is always ours. `None`: the body is no object.
pub(crate) fn of_query(body: &[u8], request_id: &str, jwt: Option<&str>) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Own {
        jwt: Option<Value>,
    }
    let body = body.trim_ascii();
    let inner = body.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut out = Vec::with_capacity(body.len() + 64);
    out.push(b'{');
    out.extend_from_slice(inner);
    if !inner.trim_ascii().is_empty() {
        out.push(b',');
    }
    let has_jwt = || match serde_json::from_slice::<Own>(body) {
        Ok(own) => own.jwt.is_some_and(|jwt| jwt != ""),
        Err(_) => false,
    };
    if let Some(jwt) = jwt.filter(|_| !has_jwt()) {
        write!(out, "\"jwt\":{},", Value::from(jwt)).expect("memory takes what is written");
    }
    write!(out, "\"requestId\":{}}}", Value::from(request_id)).expect("memory takes what is written");
    Some(out)
}

fn key(out: &mut Vec<u8>, name: &str) {
    if out.len() > 1 {
        out.push(b',');
    }
    text(out, name);
    out.push(b':');
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    text(out, value);
}

fn raw(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        key(out, name);
        out.extend_from_slice(value);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text is written to memory");
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::json;

    use super::*;
    use crate::http::router::Target;

    fn route(query: &str, body: &str) -> Value {
        let target = Target { controller: "realtime".into(), action: "publish".into() };
        let parameters = vec![("index", Cow::Borrowed("i\"")), ("collection", Cow::Borrowed("c"))];
        let found = Found { target: &target, parameters };
        let document = of_route(&found, query, "rid", Some("token"), Some("{\"v\":1}"), body.as_bytes());
        serde_json::from_slice(&document).unwrap()
    }

    #[test]
    fn everything_has_its_place() {
        assert_eq!(
            route("a=1&a=2&flag&requestId=x&index=y&jwt=z", "{\"b\":[1]}"),
            json!({
                "controller": "realtime", "action": "publish", "a": ["1", "2"], "flag": "", "requestId": "rid",
                "index": "i\"", "jwt": "token", "collection": "c", "volatile": {"v": 1}, "body": {"b": [1]},
            })
        );
        assert_eq!(route("", "").get("body"), None);
    }

    #[test]
    fn a_query_string_may_name_another_action() {
        let document = route("controller=server&action=now", "");
        assert_eq!((&document["controller"], &document["action"]), (&json!("server"), &json!("now")));
    }

    #[test]
    fn a_body_of_query_keeps_its_members_but_for_the_id() {
        let of = |body: &str, jwt| {
            of_query(body.as_bytes(), "rid", jwt)
                .map(|document| serde_json::from_slice::<Value>(&document).unwrap())
        };
        assert_eq!(of(" {\"a\":1,\"requestId\":\"x\"} ", None), Some(json!({"a": 1, "requestId": "rid"})));
        assert_eq!(of("{ }", Some("t")), Some(json!({"jwt": "t", "requestId": "rid"})));
        assert_eq!(of("{\"jwt\":\"own\"}", Some("t")).unwrap()["jwt"], "own");
        assert_eq!(of("{\"jwt\":null}", Some("t")).unwrap()["jwt"], "t");
        assert_eq!((of("[]", None), of("", None), of("1", None)), (None, None, None));
    }

    #[test]
    fn only_bearer_is_a_scheme() {
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(of("bEARER abc"), Some("abc".to_owned()));
        assert_eq!((of("Basic abc"), of("Bearer"), of("")), (None, None, None));
    }
}
