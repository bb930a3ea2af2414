//! The client's side of the wire: encodes what clients send, decodes what servers send.

use crate::codec::Version;

/// Encoded properties without their length.
pub(super) type Properties = Vec<u8>;

/// A CONNECT.
#[derive(Clone, Debug)]
pub(super) struct Connect {
    pub(super) version: Version,
    pub(super) id: String,
    pub(super) clean: bool,
    pub(super) keep_alive: u16,
    pub(super) properties: Properties,
    /// Topic, payload, QoS, retain, properties.
    pub(super) will: Option<(String, String, u8, bool, Properties)>,
    pub(super) user_name: Option<String>,
}

impl Connect {
    pub(super) fn new(version: Version, id: &str) -> Self {
        let id = id.to_owned();
        let (properties, will, user_name) = (Vec::new(), None, None);
        Self { version, id, clean: true, keep_alive: 0, properties, will, user_name }
    }

    /// Keeps its session: for ever before MQTT 5.0, else for so many seconds.
    pub(super) fn kept(mut self, seconds: u32) -> Self {
        self.clean = false;
        if self.version.is_5() {
            self = self.property(0x11, &seconds.to_be_bytes());
        }
        self
    }

    pub(super) fn property(mut self, id: u8, value: &[u8]) -> Self {
        self.properties.push(id);
        self.properties.extend_from_slice(value);
        self
    }

    pub(super) fn will(mut self, topic: &str, payload: &str) -> Self {
        self.will = Some((topic.to_owned(), payload.to_owned(), 0, false, Vec::new()));
        self
    }

    /// The will is to wait for so many seconds.
    pub(super) fn delayed(mut self, seconds: u32) -> Self {
        let will = self.will.as_mut().expect("there is a will");
        will.4.push(0x18);
        will.4.extend_from_slice(&seconds.to_be_bytes());
        self
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let name = if self.version == Version::V31 { "MQIsdp" } else { "MQTT" };
        let mut flags = u8::from(self.clean) << 1;
        if let Some((_, _, qos, retain, _)) = &self.will {
            flags |= 4 | qos << 3 | u8::from(*retain) << 5;
        }
        flags |= u8::from(self.user_name.is_some()) << 7;
        let mut body = text(name);
        body.extend([self.version.level(), flags]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(properties(self.version, &self.properties));
        body.extend(text(&self.id));
        if let Some((topic, payload, _, _, will)) = &self.will {
            body.extend(properties(self.version, will));
            body.extend(text(topic));
            body.extend(text(payload));
        }
        body.extend(self.user_name.iter().flat_map(|name| text(name)));
        packet(0x10, &body)
    }
}

pub(super) fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

fn properties(version: Version, properties: &[u8]) -> Vec<u8> {
    if !version.is_5() {
        assert!(properties.is_empty(), "only MQTT 5.0 has properties");
        return Vec::new();
    }
    let mut out = variable(properties.len());
    out.extend_from_slice(properties);
    out
}

fn variable(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        out.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return out;
        }
    }
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    out.extend(variable(body.len()));
    out.extend_from_slice(body);
    out
}

/// A PUBLISH; `flags` as in the fixed header, `id` only with QoS 1 and 2.
pub(super) fn publish(version: Version, flags: u8, id: u16, topic: &str, payload: &str) -> Vec<u8> {
    publish_with(version, flags, id, topic, payload, &[])
}

/// One of MQTT 5.0 with properties.
pub(super) fn publish_5(flags: u8, id: u16, topic: &str, payload: &str, properties: &[u8]) -> Vec<u8> {
    publish_with(Version::V5, flags, id, topic, payload, properties)
}

fn publish_with(version: Version, flags: u8, id: u16, topic: &str, payload: &str, with: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(properties(version, with));
    body.extend_from_slice(payload.as_bytes());
    packet(0x30 | flags, &body)
}

/// A SUBSCRIBE of filters and their options.
pub(super) fn subscribe(version: Version, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_with(version, id, filters, &[])
}

/// One of MQTT 5.0 with properties.
pub(super) fn subscribe_5(id: u16, filters: &[(&str, u8)], properties: &[u8]) -> Vec<u8> {
    subscribe_with(Version::V5, id, filters, properties)
}

fn subscribe_with(version: Version, id: u16, filters: &[(&str, u8)], with: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, with));
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE.
pub(super) fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    filters.iter().for_each(|filter| body.extend(text(filter)));
    packet(0xA2, &body)
}

/// What a server sends. `properties` are encoded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Got {
    ConnAck {
        present: bool,
        code: u8,
        properties: Properties,
    },
    Publish {
        topic: String,
        payload: String,
        qos: u8,
        dup: bool,
        retain: bool,
        id: u16,
        properties: Properties,
    },
    PubAck {
        id: u16,
        code: u8,
    },
    PubRec {
        id: u16,
        code: u8,
    },
    PubRel {
        id: u16,
        code: u8,
    },
    PubComp {
        id: u16,
        code: u8,
    },
    SubAck {
        id: u16,
        codes: Vec<u8>,
    },
    UnsubAck {
        id: u16,
        codes: Vec<u8>,
    },
    PingResp,
    Disconnect {
        code: u8,
    },
    Closed,
}

impl Got {
    /// Of a PUBLISH.
    pub(super) fn payload(&self) -> Option<String> {
        match self {
            Self::Publish { payload, .. } => Some(payload.clone()),
            _ => None,
        }
    }

    /// A PUBLISH of QoS 0 without properties or flags.
    pub(super) fn plain(topic: &str, payload: &str) -> Self {
        Self::Publish {
            topic: topic.to_owned(),
            payload: payload.to_owned(),
            qos: 0,
            dup: false,
            retain: false,
            id: 0,
            properties: Vec::new(),
        }
    }

    /// The same with a QoS and a packet identifier.
    pub(super) fn with(self, new_qos: u8, new_id: u16) -> Self {
        match self {
            Self::Publish { topic, payload, dup, retain, properties, .. } => {
                Self::Publish { topic, payload, qos: new_qos, dup, retain, id: new_id, properties }
            }
            other => other,
        }
    }

    /// The same with DUP.
    pub(super) fn again(mut self) -> Self {
        if let Self::Publish { dup, .. } = &mut self {
            *dup = true;
        }
        self
    }

    /// The same, retained.
    pub(super) fn retained(mut self) -> Self {
        if let Self::Publish { retain, .. } = &mut self {
            *retain = true;
        }
        self
    }

    /// The same with properties.
    pub(super) fn having(mut self, with: &[u8]) -> Self {
        if let Self::Publish { properties, .. } | Self::ConnAck { properties, .. } = &mut self {
            *properties = with.to_vec();
        }
        self
    }
}

/// Whole packets, as a client reads them.
pub(super) fn parse(mut bytes: &[u8], version: Version) -> Vec<Got> {
    let mut got = Vec::new();
    while !bytes.is_empty() {
        let first = bytes[0];
        let (len, used) = read_variable(&bytes[1..]);
        let (body, rest) = bytes[1 + used..].split_at(len);
        got.push(parse_one(first, body, version));
        bytes = rest;
    }
    got
}

fn read_variable(bytes: &[u8]) -> (usize, usize) {
    let (mut value, mut index) = (0, 0);
    loop {
        value |= usize::from(bytes[index] & 0x7F) << (7 * index);
        index += 1;
        if bytes[index - 1] & 0x80 == 0 {
            return (value, index);
        }
    }
}

/// The properties at the beginning, and the rest.
fn split_properties(body: &[u8], version: Version) -> (Properties, &[u8]) {
    if !version.is_5() {
        return (Vec::new(), body);
    }
    let (len, used) = read_variable(body);
    let (properties, rest) = body[used..].split_at(len);
    (properties.to_vec(), rest)
}

fn parse_one(first: u8, body: &[u8], version: Version) -> Got {
    let id = |body: &[u8]| u16::from_be_bytes([body[0], body[1]]);
    let code = || body.get(2).copied().unwrap_or(0);
    match first {
        0x20 => {
            let (properties, rest) = split_properties(&body[2..], version);
            assert!(rest.is_empty() && body[0] < 2, "{body:?}");
            Got::ConnAck { present: body[0] == 1, code: body[1], properties }
        }
        0x30..=0x3F => {
            let (qos, len) = ((first >> 1) & 3, usize::from(id(body)));
            let topic = String::from_utf8(body[2..2 + len].to_vec()).expect("topics are text");
            let rest = &body[2 + len..];
            let (packet_id, rest) = if qos > 0 { (id(rest), &rest[2..]) } else { (0, rest) };
            let (properties, rest) = split_properties(rest, version);
            let payload = String::from_utf8(rest.to_vec()).expect("our payloads are text");
            let (dup, retain) = (first & 8 != 0, first & 1 != 0);
            Got::Publish { topic, payload, qos, dup, retain, id: packet_id, properties }
        }
        0x40 => Got::PubAck { id: id(body), code: code() },
        0x50 => Got::PubRec { id: id(body), code: code() },
        0x62 => Got::PubRel { id: id(body), code: code() },
        0x70 => Got::PubComp { id: id(body), code: code() },
        0x90 => Got::SubAck { id: id(body), codes: split_properties(&body[2..], version).1.to_vec() },
        0xB0 => Got::UnsubAck { id: id(body), codes: split_properties(&body[2..], version).1.to_vec() },
        0xD0 => Got::PingResp,
        0xE0 => Got::Disconnect { code: body.first().copied().unwrap_or(0) },
        other => panic!("a server does not send packets that begin with {other:#x}"),
    }
}
