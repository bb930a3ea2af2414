//! Errors that the API has not seen: from Kuzzle's catalogue, in the shapes in which Kuzzle answers them.

use kuzzle_protocol_abi::Context;
use serde_json::{Map, Value, json};

/// An error object: `{"code", "id", "message", "props", "status"}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) object: Map<String, Value>,
}

impl ApiError {
    /// An error of the catalogue; each `%s` of its message stands for one of `props`.
    pub(crate) fn new(context: &Context, id: &str, props: &[&str]) -> Self {
        let Some(entry) = context.error_by_id(id) else {
            return Self::uncatalogued(500, id);
        };
        let mut message = String::with_capacity(entry.message.len() + 32);
        let mut values = props.iter();
        let mut pieces = entry.message.split("%s");
        message.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            message.push_str(values.next().copied().unwrap_or("%s"));
            message.push_str(piece);
        }
        Self::build(u16::try_from(entry.status).unwrap_or(500), entry.code, id, &message, props)
    }

    fn build(status: u16, code: u32, id: &str, message: &str, props: &[&str]) -> Self {
        let object = json!({"code": code, "id": id, "message": message, "props": props, "status": status});
        let Value::Object(object) = object else { unreachable!("it is written as an object") };
        Self { status, object }
    }

    /// An error without id and code, as Kuzzle's own for malformed requests.
    pub(crate) fn uncatalogued(status: u16, message: &str) -> Self {
        let object = Map::from_iter([
            ("message".to_owned(), Value::from(message)),
            ("status".to_owned(), Value::from(status)),
        ]);
        Self { status, object }
    }

    /// The bare object.
    pub(crate) fn into_bare(self) -> Value {
        Value::Object(self.object)
    }

    /// The answer to a request.
    pub(crate) fn into_envelope(self, node: &str, request_id: Value) -> Value {
        envelope(node, request_id, self.status, Value::Null, Value::Object(self.object))
    }
}

/// An answer that names no action.
pub(crate) fn envelope(node: &str, request_id: Value, status: u16, result: Value, error: Value) -> Value {
    json!({
        "action": null, "controller": null, "error": error, "headers": {}, "node": node,
        "requestId": request_id, "result": result, "status": status, "volatile": null,
    })
}

/// The error for a document that the host did not take as a request.
pub(crate) fn malformed(document: &[u8], message: &str) -> ApiError {
    let is_object = document.trim_ascii_start().first() == Some(&b'{');
    ApiError::uncatalogued(if is_object { 400 } else { 500 }, message)
}
