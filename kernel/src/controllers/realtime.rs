//! The controller `realtime`: subscribing to collections and publishing messages in them.
//!
//! Source: Kuzzle, lib/api/controllers/realtimeController.js, lib/core/realtime/hotelClerk.ts.

use std::borrow::Cow;

use koncorde::{Document, Filter, Limits};
use serde_json::value::RawValue;

use super::{required_body, required_string};
use crate::errors::KuzzleError;
use crate::funnel::{Call, Outcome};
use crate::json::{self, Kind};
use crate::outbound::{ConnectionId, Outbound};
use crate::realtime::{Entrance, Interest, notification};

/// `realtime:subscribe`: index and collection, a filter as the body, `scope` and `users`.
pub(super) fn subscribe(call: &Call<'_>, outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let (index, collection) = index_and_collection(call)?;
    let body = required_body(call)?;
    let limits =
        Limits { conditions: call.kernel.settings.subscription_conditions_count, ..Limits::default() };
    let filter = Filter::parse(body.get(), &limits)
        .map_err(|error| KuzzleError::new("api.assert.koncorde_dsl_error", &[&error.to_string()]))?;
    let connection = required_connection(call)?;
    let realtime = &call.kernel.realtime;
    let entrance = realtime.subscribe(connection, &index, &collection, &filter, call, outbound)?;
    Ok(entered(entrance))
}

/// `realtime:join`: enters a room that exists, by its id.
pub(super) fn join(call: &Call<'_>, outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let room_id = room_id(call)?;
    let connection = required_connection(call)?;
    let entrance = call.kernel.realtime.join(connection, &room_id, call, outbound)?;
    Ok(entered(entrance))
}

/// `realtime:unsubscribe`: leaves all channels of a room.
pub(super) fn unsubscribe(call: &Call<'_>, outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let room_id = room_id(call)?;
    let realtime = &call.kernel.realtime;
    let was_subscribed = call
        .caller
        .connection
        .is_some_and(|connection| realtime.unsubscribe(connection, &room_id, call.now_ms, outbound));
    if !was_subscribed {
        let user = call.caller.uuid.map_or_else(|| "null".to_owned(), |uuid| uuid.to_string());
        return Err(KuzzleError::new("core.realtime.not_subscribed", &[&user, &room_id]));
    }
    // The room existed, so its id is hexadecimal digits and needs no escapes.
    Ok(Outcome::new(format!(r#"{{"roomId":"{room_id}"}}"#)))
}

/// `realtime:count`: how many connections are in a room, 0 if there is no such room.
pub(super) fn count(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let count = call.kernel.realtime.count(&room_id(call)?);
    Ok(Outcome::new(format!(r#"{{"count":{count}}}"#)))
}

/// `realtime:list`: all rooms with their sizes. Everybody may subscribe to everything, so everything is told.
pub(super) fn list(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(call.kernel.realtime.list()))
}

/// `realtime:validate`: no collection has a specification, so every document satisfies it.
pub(super) fn validate(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    index_and_collection(call)?;
    required_body(call)?;
    Ok(Outcome::new(r#"{"errorMessages":{},"valid":true}"#))
}

/// `realtime:publish`: sends the body, an object, to everybody who has subscribed to it. Kuzzle also takes an
/// array, for which there is no use; here it is of an invalid type.
pub(super) fn publish(call: &Call<'_>, outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let body = required_body(call)?;
    let (index, collection) = index_and_collection(call)?;
    if json::kind(body) != Kind::Object {
        return Err(KuzzleError::new("api.assert.invalid_type", &["body", "object"]));
    }
    let realtime = &call.kernel.realtime;
    let interest = realtime.interest(&index, &collection);
    if !matches!(interest, Interest::Nobody) {
        let source = notification::source(body, call.now_ms);
        let message = match interest {
            Interest::Filtered => Some(document(call, &source)?),
            _ => None,
        };
        if let Some(channels) = realtime.audience(&index, &collection, message.as_ref()) {
            outbound.broadcast(channels, notification::published(call, &index, &collection, &source));
        }
    }
    Ok(Outcome::new(r#"{"published":true}"#))
}

/// The message as filters see it.
///
/// # Errors
/// `api.assert.invalid_argument` for what is JSON, but has no meaning: numbers beyond all bounds, halves of surrogate
/// pairs.
fn document(call: &Call<'_>, source: &str) -> Result<Document, KuzzleError> {
    let id = call.request.arguments().id.and_then(|id| json::string(id).ok().flatten());
    Document::parse(source, id.as_deref()).map_err(|error| {
        let expected = format!("an object that filters can be compared with ({error})");
        KuzzleError::new("api.assert.invalid_argument", &["body", &expected])
    })
}

fn entered(entrance: Entrance) -> Outcome {
    let Entrance { channel, room_id } = entrance;
    Outcome {
        result: format!(r#"{{"channel":"{channel}","roomId":"{room_id}"}}"#).into(),
        join: Some(channel),
        error: None,
    }
}

/// Both have to be there and not empty. Kuzzle makes a string of any other value; here that is of an invalid type.
fn index_and_collection<'a>(call: &Call<'a>) -> Result<(Cow<'a, str>, Cow<'a, str>), KuzzleError> {
    let given = |value: Option<&'a RawValue>| value.filter(|value| !json::is_falsy(value));
    let index = required_string(given(call.request.index()), "index")?;
    let collection = required_string(given(call.request.collection()), "collection")?;
    Ok((index, collection))
}

/// A client without a connection cannot be notified. Kuzzle has no error for this; the nearest is that of a
/// connection that is gone.
fn required_connection(call: &Call<'_>) -> Result<ConnectionId, KuzzleError> {
    call.caller.connection.ok_or_else(|| KuzzleError::new("api.process.connection_dropped", &[]))
}

/// `roomId` in the body.
fn room_id<'a>(call: &Call<'a>) -> Result<Cow<'a, str>, KuzzleError> {
    let mut room_id = None;
    json::for_each_member(required_body(call)?, |name, value| {
        if json::is_name(name, "roomId") {
            room_id = Some(value);
        }
    });
    required_string(room_id, "body.roomId")
}
