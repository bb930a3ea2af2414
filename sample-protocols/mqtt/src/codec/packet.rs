//! The packets that clients send. Everything is borrowed from the receive buffer.

use super::properties::Properties;
use super::reader::Reader;
use super::reason::Reason;
use super::topic::Filter;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1, protocol level 3.
    V31,
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5.0, protocol level 5.
    V5,
}

impl Version {
    /// Whether packets have properties and reason codes.
    pub const fn is_5(self) -> bool {
        matches!(self, Self::V5)
    }

    /// The protocol level of a CONNECT.
    pub const fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl Qos {
    /// `None` for the reserved value 3.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// CONNECT
    Connect(Box<Connect<'a>>),
    /// PUBLISH
    Publish(Publish<'a>),
    /// PUBACK
    PubAck(Acknowledgement),
    /// PUBREC
    PubRec(Acknowledgement),
    /// PUBREL
    PubRel(Acknowledgement),
    /// PUBCOMP
    PubComp(Acknowledgement),
    /// SUBSCRIBE
    Subscribe(Subscribe<'a>),
    /// UNSUBSCRIBE
    Unsubscribe(Unsubscribe<'a>),
    /// PINGREQ
    PingReq,
    /// DISCONNECT
    Disconnect(Disconnect),
    /// AUTH
    Auth(Reason),
}

/// CONNECT
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// The version that the client speaks.
    pub version: Version,
    /// Another broker, that wants what MQTT 5.0 has options for: nothing that it has published itself, and
    /// retain flags as they were published.
    pub is_bridge: bool,
    /// Clean session, in MQTT 5.0 clean start.
    pub clean_start: bool,
    /// In seconds; 0: none.
    pub keep_alive: u16,
    /// May be empty.
    pub client_id: &'a str,
    /// What to publish when the client is lost.
    pub will: Option<Will<'a>>,
    /// Not looked at: a request carries its own token.
    pub user_name: Option<&'a str>,
    /// Not looked at.
    pub password: Option<&'a [u8]>,
    /// In seconds; `u32::MAX`: for ever. Before MQTT 5.0 it follows from `clean_start`.
    pub session_expiry: u32,
    /// How many QoS 1 and 2 messages the client takes at once.
    pub receive_maximum: u16,
    /// The largest packet that the client takes, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases the client keeps.
    pub topic_alias_maximum: u16,
    /// Whether the client wants to be told where it may receive responses.
    pub request_response_information: bool,
    /// Whether reason strings are welcome.
    pub request_problem_information: bool,
    /// Enhanced authentication, which this server refuses.
    pub authentication_method: Option<&'a str>,
}

/// The will of a CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Will<'a> {
    /// A topic name.
    pub topic: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// Its quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// In seconds.
    pub delay: u32,
    /// In seconds.
    pub expiry: Option<u32>,
    /// Those that subscribers get.
    pub properties: Properties<'a>,
}

impl Will<'_> {
    /// Bytes of what is passed on.
    pub fn size(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }
}

/// PUBLISH
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'a> {
    /// Sent again.
    pub dup: bool,
    /// Its quality of service.
    pub qos: Qos,
    /// Whether it is to be retained.
    pub retain: bool,
    /// 0 if and only if the quality of service is 0.
    pub id: u16,
    /// Empty only with an alias.
    pub topic: &'a str,
    /// 0: none.
    pub alias: u16,
    /// In seconds.
    pub expiry: Option<u32>,
    /// Where an answer is to be sent.
    pub response_topic: Option<&'a str>,
    /// What the answer has to carry.
    pub correlation: Option<&'a [u8]>,
    /// Those that subscribers get.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Acknowledgement {
    /// Never 0.
    pub id: u16,
    /// Success before MQTT 5.0.
    pub reason: Reason,
}

/// SUBSCRIBE
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Never 0.
    pub id: u16,
    /// The subscription identifier; 0: none.
    pub subscription_id: u32,
    pub(super) version: Version,
    pub(super) payload: &'a [u8],
}

impl<'a> Subscribe<'a> {
    /// The filters and how each is subscribed to. They were checked when the packet was decoded.
    pub fn filters(&self) -> impl Iterator<Item = (Filter<'a>, Options)> + use<'a> {
        let (mut reader, version) = (Reader::new(self.payload), self.version);
        std::iter::from_fn(move || {
            let filter = Filter::parse(reader.text().ok()?, version).ok()?;
            Some((filter, Options::from_bits(reader.byte().ok()?)?))
        })
    }
}

/// How a filter is subscribed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The highest quality of service.
    pub qos: Qos,
    /// Not what the client has published itself.
    pub no_local: bool,
    /// Keep the retain flag as it was published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent to a new subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// Each time.
    #[default]
    Always,
    /// Only if the subscription did not exist.
    IfNew,
    /// Not at all.
    Never,
}

impl Options {
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        let retain_handling = match bits >> 4 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return None,
        };
        Some(Self {
            qos: Qos::from_bits(bits & 3)?,
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
            retain_handling,
        })
    }
}

/// UNSUBSCRIBE
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Never 0.
    pub id: u16,
    pub(super) version: Version,
    pub(super) payload: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    /// The filters, which were checked when the packet was decoded.
    pub fn filters(&self) -> impl Iterator<Item = Filter<'a>> + use<'a> {
        let (mut reader, version) = (Reader::new(self.payload), self.version);
        std::iter::from_fn(move || Filter::parse(reader.text().ok()?, version).ok())
    }
}

/// DISCONNECT
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disconnect {
    /// Success before MQTT 5.0.
    pub reason: Reason,
    /// In seconds, if it changes now.
    pub session_expiry: Option<u32>,
}
