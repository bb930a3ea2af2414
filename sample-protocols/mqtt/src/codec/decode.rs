//! Decodes one packet of a client, strictly: what the standard forbids is refused here, as far as it
//! can be seen without knowing the connection's state.

use super::packet::{
    Acknowledgement, Connect, Disconnect, Options, Packet, Publish, Qos, Subscribe, Unsubscribe, Version,
    Will,
};
use super::properties::{self, Place, Properties, id};
use super::reader::{Reader, variable};
use super::reason::Reason;
use super::topic::{self, Filter};

/// Why a packet is refused. The connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// For MQTT 5.0.
    pub reason: Reason,
    /// What is wrong, for the log and for the reason string.
    pub text: &'static str,
    /// Set if it is a CONNECT of which at least the version could be read.
    pub connect: Option<Refused>,
}

/// How a CONNECT that is refused is answered, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The version of the answer.
    pub version: Version,
    /// The largest packet that the client takes, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// Whether reason strings are welcome.
    pub request_problem_information: bool,
}

impl Refused {
    const fn with(version: Version) -> Self {
        Self { version, maximum_packet_size: None, request_problem_information: true }
    }
}

impl DecodeError {
    pub(super) const fn new(reason: Reason, text: &'static str) -> Self {
        Self { reason, text, connect: None }
    }

    pub(super) const fn malformed(text: &'static str) -> Self {
        Self::new(Reason::MALFORMED, text)
    }

    pub(super) const fn protocol(text: &'static str) -> Self {
        Self::new(Reason::PROTOCOL_ERROR, text)
    }
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;
const AUTH: u8 = 15;

/// What bridges of mosquitto and others add to their protocol level before MQTT 5.0.
const BRIDGE: u8 = 0x80;

/// Reason codes of PUBACK and PUBREC.
const RECEIVED: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
/// Those of PUBREL and PUBCOMP.
const RELEASED: [u8; 2] = [0x00, 0x92];
/// Those of a client's DISCONNECT.
const LEFT: [u8; 14] = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
/// Those of a client's AUTH.
const AUTHENTICATES: [u8; 2] = [0x18, 0x19];

/// Decodes the packet at the beginning of `input`; answers it and its length, or `None` if bytes are
/// missing. `version` is `None` until a CONNECT has come; `maximum` is the largest packet, in bytes.
///
/// # Errors
/// The standard forbids the packet, or it is too large. As much as can be is seen before all bytes
/// are there.
pub fn decode(
    input: &[u8],
    version: Option<Version>,
    maximum: usize,
) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0F);
    check_flags(kind, flags, version)?;
    let Some((len, len_bytes)) = variable(rest)? else { return Ok(None) };
    let total = 1 + len_bytes + len as usize;
    if total > maximum {
        return Err(DecodeError::new(
            Reason::PACKET_TOO_LARGE,
            "the packet is larger than this server takes",
        ));
    }
    let Some(body) = input.get(1 + len_bytes..total) else { return Ok(None) };
    let mut reader = Reader::new(body);
    let version = version.unwrap_or(Version::V311);
    let packet = match kind {
        CONNECT => Packet::Connect(Box::new(connect(&mut reader)?)),
        PUBLISH => Packet::Publish(publish(&mut reader, flags, version)?),
        PUBACK => Packet::PubAck(acknowledgement(&mut reader, version, &RECEIVED)?),
        PUBREC => Packet::PubRec(acknowledgement(&mut reader, version, &RECEIVED)?),
        PUBREL => Packet::PubRel(acknowledgement(&mut reader, version, &RELEASED)?),
        PUBCOMP => Packet::PubComp(acknowledgement(&mut reader, version, &RELEASED)?),
        SUBSCRIBE => Packet::Subscribe(subscribe(&mut reader, version)?),
        UNSUBSCRIBE => Packet::Unsubscribe(unsubscribe(&mut reader, version)?),
        PINGREQ => Packet::PingReq,
        DISCONNECT => Packet::Disconnect(disconnect(&mut reader, version)?),
        _ => Packet::Auth(auth(&mut reader)?),
    };
    if !reader.is_empty() {
        return Err(DecodeError::malformed("bytes are left over at the end of the packet"));
    }
    Ok(Some((packet, total)))
}

/// What the first byte tells.
fn check_flags(kind: u8, flags: u8, version: Option<Version>) -> Result<(), DecodeError> {
    if version.is_none() && kind != CONNECT {
        return Err(DecodeError::protocol("the first packet is not CONNECT"));
    }
    let wanted = match kind {
        PUBLISH => {
            return match (flags >> 1) & 3 {
                3 => Err(DecodeError::malformed("QoS 3 does not exist")),
                0 if flags & 8 != 0 => Err(DecodeError::malformed("DUP is set in a PUBLISH of QoS 0")),
                _ => Ok(()),
            };
        }
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => 2,
        CONNECT | PUBACK | PUBREC | PUBCOMP | PINGREQ | DISCONNECT => 0,
        AUTH if version == Some(Version::V5) => 0,
        0 | AUTH => return Err(DecodeError::malformed("the packet's type is reserved")),
        _ => return Err(DecodeError::protocol("only a server sends packets of this type")),
    };
    // MQTT 3.1 marks what is sent again by DUP in these three as well.
    let dup = if wanted == 2 && version == Some(Version::V31) { 8 } else { 0 };
    if flags & !dup != wanted {
        return Err(DecodeError::malformed("reserved flags of the fixed header are set wrongly"));
    }
    Ok(())
}

fn connect<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, DecodeError> {
    let name = reader.binary()?;
    let level = reader.byte()?;
    let version = match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) if level & BRIDGE == 0 => Version::V5,
        (b"MQTT" | b"MQIsdp", _) => {
            let answer = if level > 5 && level & BRIDGE == 0 { Version::V5 } else { Version::V311 };
            return Err(DecodeError {
                connect: Some(Refused::with(answer)),
                ..DecodeError::new(
                    Reason::UNSUPPORTED_VERSION,
                    "the protocol level is none of 3 (MQTT 3.1), 4 (3.1.1) and 5 (5.0)",
                )
            });
        }
        _ => return Err(DecodeError::new(Reason::UNSUPPORTED_VERSION, "the protocol's name is not MQTT")),
    };
    let mut refused = Refused::with(version);
    connect_body(reader, version, &mut refused)
        .map(|connect| Connect { is_bridge: level & BRIDGE != 0, ..connect })
        .map_err(|error| DecodeError { connect: Some(refused), ..error })
}

fn connect_body<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    refused: &mut Refused,
) -> Result<Connect<'a>, DecodeError> {
    let flags = reader.byte()?;
    let (has_will, has_name, has_password) = (flags & 4 != 0, flags & 0x80 != 0, flags & 0x40 != 0);
    // MQTT 3.1 does not look at flags without a meaning.
    let is_lax = version == Version::V31;
    if flags & 1 != 0 && !is_lax {
        return Err(DecodeError::malformed("the reserved flag of CONNECT is set"));
    }
    if !has_will && flags & 0x38 != 0 && !is_lax {
        return Err(DecodeError::malformed("QoS or retain of a will are set, but there is no will"));
    }
    let will_qos = match Qos::from_bits((flags >> 3) & 3) {
        Some(qos) => qos,
        None if is_lax && !has_will => Qos::AtMostOnce,
        None => return Err(DecodeError::malformed("the will's QoS is 3")),
    };
    if has_password && !has_name && !version.is_5() {
        return Err(DecodeError::malformed("there is a password without a user name"));
    }
    let clean_start = flags & 2 != 0;
    let mut connect = Connect {
        version,
        is_bridge: false,
        clean_start,
        keep_alive: reader.two()?,
        client_id: "",
        will: None,
        user_name: None,
        password: None,
        session_expiry: if version.is_5() || clean_start { 0 } else { u32::MAX },
        receive_maximum: u16::MAX,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: true,
        authentication_method: None,
    };
    if version.is_5() {
        let read = connect_properties(reader, &mut connect);
        refused.maximum_packet_size = connect.maximum_packet_size;
        refused.request_problem_information = connect.request_problem_information;
        read?;
    }
    connect.client_id = reader.text()?;
    match (connect.client_id.len(), version) {
        (0, Version::V31) => return Err(client_id("MQTT 3.1 wants a client id of 1 to 23 characters")),
        (0, Version::V311) if !clean_start => {
            return Err(client_id("a session that is kept needs a client id"));
        }
        (24.., Version::V31) if connect.client_id.chars().count() > 23 => {
            return Err(client_id("MQTT 3.1 wants a client id of 1 to 23 characters"));
        }
        _ => {}
    }
    if has_will {
        connect.will = Some(will(reader, version, will_qos, flags & 0x20 != 0)?);
    }
    // MQTT 3.1 lets both be missing although they are announced.
    if has_name && !(is_lax && reader.is_empty()) {
        connect.user_name = Some(reader.text()?);
    }
    if has_password && !(is_lax && reader.is_empty()) {
        connect.password = Some(reader.binary()?);
    }
    if !reader.is_empty() {
        return Err(DecodeError::malformed("bytes are left over at the end of the packet"));
    }
    Ok(connect)
}

const fn client_id(text: &'static str) -> DecodeError {
    DecodeError::new(Reason::CLIENT_ID_INVALID, text)
}

fn connect_properties<'a>(reader: &mut Reader<'a>, connect: &mut Connect<'a>) -> Result<(), DecodeError> {
    let mut data = false;
    properties::read(reader, Place::Connect, |property, value| {
        let number = value.number();
        let small = u16::try_from(number).unwrap_or(u16::MAX);
        match property {
            id::SESSION_EXPIRY => connect.session_expiry = number,
            id::RECEIVE_MAXIMUM if number == 0 => {
                return Err(DecodeError::protocol("the receive maximum is 0"));
            }
            id::RECEIVE_MAXIMUM => connect.receive_maximum = small,
            id::MAXIMUM_PACKET_SIZE if number == 0 => {
                return Err(DecodeError::protocol("the maximum packet size is 0"));
            }
            id::MAXIMUM_PACKET_SIZE => connect.maximum_packet_size = Some(number),
            id::TOPIC_ALIAS_MAXIMUM => connect.topic_alias_maximum = small,
            id::REQUEST_RESPONSE_INFORMATION => connect.request_response_information = number == 1,
            id::REQUEST_PROBLEM_INFORMATION => connect.request_problem_information = number == 1,
            id::AUTHENTICATION_METHOD => connect.authentication_method = value.text(),
            id::AUTHENTICATION_DATA => data = true,
            _ => {}
        }
        Ok(())
    })?;
    if data && connect.authentication_method.is_none() {
        return Err(DecodeError::protocol("there is authentication data without a method"));
    }
    Ok(())
}

fn will<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    qos: Qos,
    retain: bool,
) -> Result<Will<'a>, DecodeError> {
    let (mut delay, mut expiry, mut raw) = (0, None, &[][..]);
    let mut utf_8 = false;
    if version.is_5() {
        raw = properties::read(reader, Place::Will, |property, value| {
            match property {
                id::WILL_DELAY => delay = value.number(),
                id::MESSAGE_EXPIRY => expiry = Some(value.number()),
                id::PAYLOAD_FORMAT => utf_8 = value.number() == 1,
                id::RESPONSE_TOPIC => topic::check_name(value.text().unwrap_or_default())?,
                _ => {}
            }
            Ok(())
        })?;
    }
    let topic = reader.text()?;
    topic::check_name(topic)?;
    let payload = reader.binary()?;
    check_format(utf_8, payload)?;
    Ok(Will { topic, payload, qos, retain, delay, expiry, properties: Properties(raw) })
}

/// A payload that is announced as text has to be text: some clients rely on it.
fn check_format(utf_8: bool, payload: &[u8]) -> Result<(), DecodeError> {
    if utf_8 && std::str::from_utf8(payload).is_err() {
        let text = "the payload is announced as UTF-8, and is not";
        return Err(DecodeError::new(Reason::PAYLOAD_FORMAT_INVALID, text));
    }
    Ok(())
}

fn publish<'a>(reader: &mut Reader<'a>, flags: u8, version: Version) -> Result<Publish<'a>, DecodeError> {
    let qos = Qos::from_bits((flags >> 1) & 3).ok_or(DecodeError::malformed("QoS 3 does not exist"))?;
    let topic = reader.text()?;
    let id = if qos == Qos::AtMostOnce { 0 } else { reader.packet_id()? };
    let mut publish = Publish {
        dup: flags & 8 != 0,
        qos,
        retain: flags & 1 != 0,
        id,
        topic,
        alias: 0,
        expiry: None,
        response_topic: None,
        correlation: None,
        properties: Properties::default(),
        payload: &[],
    };
    let mut utf_8 = false;
    if version.is_5() {
        let raw = properties::read(reader, Place::Publish, |property, value| {
            match property {
                id::TOPIC_ALIAS => match u16::try_from(value.number()) {
                    Ok(alias @ 1..) => publish.alias = alias,
                    _ => return Err(DecodeError::new(Reason::TOPIC_ALIAS_INVALID, "the topic alias is 0")),
                },
                id::MESSAGE_EXPIRY => publish.expiry = Some(value.number()),
                id::RESPONSE_TOPIC => {
                    publish.response_topic = value.text();
                    let response = value.text().unwrap_or_default();
                    if response.is_empty() || topic::has_wildcard(response) {
                        return Err(DecodeError::protocol("the response topic is no topic name"));
                    }
                }
                id::CORRELATION_DATA => publish.correlation = value.binary(),
                id::PAYLOAD_FORMAT => utf_8 = value.number() == 1,
                _ => {}
            }
            Ok(())
        })?;
        publish.properties = Properties(raw);
    }
    if !topic.is_empty() || publish.alias == 0 {
        topic::check_name(topic)?;
    }
    publish.payload = reader.rest();
    check_format(utf_8, publish.payload)?;
    Ok(publish)
}

fn acknowledgement(
    reader: &mut Reader<'_>,
    version: Version,
    codes: &[u8],
) -> Result<Acknowledgement, DecodeError> {
    let id = reader.packet_id()?;
    let mut reason = Reason::SUCCESS;
    if version.is_5() && !reader.is_empty() {
        reason = reason_code(reader, codes)?;
        if !reader.is_empty() {
            properties::read(reader, Place::Acknowledgement, |_, _| Ok(()))?;
        }
    }
    Ok(Acknowledgement { id, reason })
}

fn subscribe<'a>(reader: &mut Reader<'a>, version: Version) -> Result<Subscribe<'a>, DecodeError> {
    let id = reader.packet_id()?;
    let mut subscription_id = 0;
    if version.is_5() {
        properties::read(reader, Place::Subscribe, |property, value| {
            if property == id::SUBSCRIPTION_ID {
                subscription_id = value.number();
                if subscription_id == 0 {
                    return Err(DecodeError::protocol("the subscription identifier is 0"));
                }
            }
            Ok(())
        })?;
    }
    let payload = reader.clone().rest();
    if payload.is_empty() {
        return Err(DecodeError::protocol("there is no topic filter"));
    }
    while !reader.is_empty() {
        let filter = Filter::parse(reader.text()?, version)?;
        let bits = reader.byte()?;
        let allowed = if version.is_5() { 0x3F } else { 0x03 };
        if bits & !allowed != 0 {
            return Err(DecodeError::malformed("reserved bits of a subscription are set"));
        }
        let options = Options::from_bits(bits)
            .ok_or(DecodeError::protocol("QoS or retain handling of a subscription is 3"))?;
        if options.no_local && filter.share.is_some() {
            return Err(DecodeError::protocol("a shared subscription cannot be \"no local\""));
        }
    }
    Ok(Subscribe { id, subscription_id, version, payload })
}

fn unsubscribe<'a>(reader: &mut Reader<'a>, version: Version) -> Result<Unsubscribe<'a>, DecodeError> {
    let id = reader.packet_id()?;
    if version.is_5() {
        properties::read(reader, Place::Unsubscribe, |_, _| Ok(()))?;
    }
    let payload = reader.clone().rest();
    if payload.is_empty() {
        return Err(DecodeError::protocol("there is no topic filter"));
    }
    while !reader.is_empty() {
        Filter::parse(reader.text()?, version)?;
    }
    Ok(Unsubscribe { id, version, payload })
}

fn disconnect(reader: &mut Reader<'_>, version: Version) -> Result<Disconnect, DecodeError> {
    let mut disconnect = Disconnect { reason: Reason::SUCCESS, session_expiry: None };
    if version.is_5() && !reader.is_empty() {
        disconnect.reason = reason_code(reader, &LEFT)?;
        if !reader.is_empty() {
            properties::read(reader, Place::Disconnect, |property, value| {
                if property == id::SESSION_EXPIRY {
                    disconnect.session_expiry = Some(value.number());
                }
                Ok(())
            })?;
        }
    }
    Ok(disconnect)
}

/// A reason code that a client may send in this packet.
fn reason_code(reader: &mut Reader<'_>, codes: &[u8]) -> Result<Reason, DecodeError> {
    let code = reader.byte()?;
    let is_known = codes.contains(&code);
    is_known.then_some(Reason(code)).ok_or(DecodeError::protocol("the reason code is none of this packet"))
}

fn auth(reader: &mut Reader<'_>) -> Result<Reason, DecodeError> {
    if reader.is_empty() {
        return Ok(Reason::SUCCESS);
    }
    let reason = reason_code(reader, &AUTHENTICATES)?;
    if !reader.is_empty() {
        properties::read(reader, Place::Auth, |_, _| Ok(()))?;
    }
    Ok(reason)
}
