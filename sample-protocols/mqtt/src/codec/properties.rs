//! Properties of MQTT 5.0 (section 2.2.2): which are allowed where, and those that are passed on.

use super::decode::DecodeError;
use super::reader::Reader;

/// Identifiers of properties.
pub mod id {
    #![allow(missing_docs, reason = "the names are the standard's")]
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
}

/// Where properties stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Connect,
    Will,
    Publish,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Acknowledgement,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
}

/// The value of a property.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Number(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    /// A user property.
    Pair,
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> u32 {
        if let Self::Number(number) = self { number } else { 0 }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn binary(self) -> Option<&'a [u8]> {
        if let Self::Binary(bytes) = self { Some(bytes) } else { None }
    }
}

/// Where a client may send the property.
fn places(property: u8) -> &'static [Place] {
    use Place::*;
    match property {
        id::PAYLOAD_FORMAT | id::MESSAGE_EXPIRY | id::CONTENT_TYPE => &[Publish, Will],
        id::RESPONSE_TOPIC | id::CORRELATION_DATA => &[Publish, Will],
        id::SUBSCRIPTION_ID => &[Subscribe],
        id::SESSION_EXPIRY => &[Connect, Disconnect],
        id::AUTHENTICATION_METHOD | id::AUTHENTICATION_DATA => &[Connect, Auth],
        id::REQUEST_PROBLEM_INFORMATION | id::REQUEST_RESPONSE_INFORMATION => &[Connect],
        id::WILL_DELAY => &[Will],
        id::REASON_STRING => &[Acknowledgement, Disconnect, Auth],
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::MAXIMUM_PACKET_SIZE => &[Connect],
        id::TOPIC_ALIAS => &[Publish],
        id::USER_PROPERTY => {
            &[Connect, Will, Publish, Acknowledgement, Subscribe, Unsubscribe, Disconnect, Auth]
        }
        _ => &[],
    }
}

fn value<'a>(property: u8, reader: &mut Reader<'a>) -> Result<Value<'a>, DecodeError> {
    Ok(match property {
        id::PAYLOAD_FORMAT | id::REQUEST_PROBLEM_INFORMATION | id::REQUEST_RESPONSE_INFORMATION => {
            match reader.byte()? {
                bit @ (0 | 1) => Value::Number(u32::from(bit)),
                _ => return Err(DecodeError::protocol("a property that is 0 or 1 has another value")),
            }
        }
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => {
            Value::Number(u32::from(reader.two()?))
        }
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::MAXIMUM_PACKET_SIZE => {
            Value::Number(reader.four()?)
        }
        id::SUBSCRIPTION_ID => Value::Number(reader.variable()?),
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => Value::Binary(reader.binary()?),
        id::USER_PROPERTY => {
            reader.text()?;
            reader.text()?;
            Value::Pair
        }
        _ => Value::Text(reader.text()?),
    })
}

/// Reads the properties of one packet, each but user properties once. Answers their bytes.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    place: Place,
    mut each: impl FnMut(u8, Value<'a>) -> Result<(), DecodeError>,
) -> Result<&'a [u8], DecodeError> {
    let len = reader.variable()?;
    let bytes = reader.take(len as usize)?;
    let mut inner = Reader::new(bytes);
    let mut seen = 0_u64;
    while !inner.is_empty() {
        // A variable byte integer, all of whose values so far fit into one byte.
        let property = u8::try_from(inner.variable()?).unwrap_or(u8::MAX);
        if !places(property).contains(&place) {
            return Err(DecodeError::malformed("a property is unknown or not allowed in this packet"));
        }
        if property != id::USER_PROPERTY {
            let bit = 1 << property;
            if seen & bit != 0 {
                return Err(DecodeError::protocol("a property occurs twice"));
            }
            seen |= bit;
        }
        each(property, value(property, &mut inner)?)?;
    }
    Ok(bytes)
}

/// The properties of a message as the publisher sent them; checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(pub(super) &'a [u8]);

impl Properties<'_> {
    /// Bytes.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Those that subscribers get, encoded, in the publisher's order: payload format, content type,
    /// response topic, correlation data, user properties.
    pub fn forwarded(self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = self.0;
        while let Some(&property) = rest.first() {
            let mut reader = Reader::new(&rest[1..]);
            let Ok(_) = value(property, &mut reader) else { break };
            let left = reader.rest();
            let (one, _) = rest.split_at(rest.len() - left.len());
            if !matches!(property, id::MESSAGE_EXPIRY | id::TOPIC_ALIAS | id::WILL_DELAY) {
                out.extend_from_slice(one);
            }
            rest = left;
        }
        out
    }
}
