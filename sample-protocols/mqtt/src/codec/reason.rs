//! Reason codes of MQTT 5.0 (section 2.4), and what they become in older versions.

use std::fmt;

/// A reason code as MQTT 5.0 defines it. From 0x80 on it is a failure.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u8);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The code's name in the standard.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "unknown reason",
                }
            }
        }
    };
}

reasons! {
    /// Success, normal disconnection, granted QoS 0.
    SUCCESS = 0x00, "success";
    /// The client leaves, and wants its will published.
    DISCONNECT_WITH_WILL = 0x04, "disconnect with will message";
    /// Accepted, but nobody has subscribed.
    NO_MATCHING_SUBSCRIBERS = 0x10, "no matching subscribers";
    /// There was no such subscription.
    NO_SUBSCRIPTION_EXISTED = 0x11, "no subscription existed";
    /// Enhanced authentication goes on.
    CONTINUE_AUTHENTICATION = 0x18, "continue authentication";
    /// Enhanced authentication begins anew.
    RE_AUTHENTICATE = 0x19, "re-authenticate";
    /// Nothing more exact applies.
    UNSPECIFIED = 0x80, "unspecified error";
    /// The bytes cannot be understood.
    MALFORMED = 0x81, "malformed packet";
    /// The packet is not allowed here, or contradicts itself.
    PROTOCOL_ERROR = 0x82, "protocol error";
    /// Refused by this server.
    IMPLEMENTATION = 0x83, "implementation specific error";
    /// The protocol version is unknown.
    UNSUPPORTED_VERSION = 0x84, "unsupported protocol version";
    /// The client id is not allowed.
    CLIENT_ID_INVALID = 0x85, "client identifier not valid";
    /// User name or password are wrong.
    BAD_CREDENTIALS = 0x86, "bad user name or password";
    /// The client may not do this.
    NOT_AUTHORIZED = 0x87, "not authorized";
    /// The server cannot take the client now.
    SERVER_UNAVAILABLE = 0x88, "server unavailable";
    /// Nothing was heard for one and a half times the keep-alive.
    KEEP_ALIVE_TIMEOUT = 0x8D, "keep alive timeout";
    /// The server ends.
    SHUTTING_DOWN = 0x8B, "server shutting down";
    /// The authentication method is unknown.
    BAD_AUTHENTICATION_METHOD = 0x8C, "bad authentication method";
    /// Another connection uses the client id now.
    SESSION_TAKEN_OVER = 0x8E, "session taken over";
    /// The topic filter is well formed, but not accepted.
    TOPIC_FILTER_INVALID = 0x8F, "topic filter invalid";
    /// The topic name is well formed, but not accepted.
    TOPIC_NAME_INVALID = 0x90, "topic name invalid";
    /// The packet id is not known.
    PACKET_ID_NOT_FOUND = 0x92, "packet identifier not found";
    /// More QoS 1 and 2 messages than the receive maximum allows.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "receive maximum exceeded";
    /// The topic alias is 0, above the maximum or unknown.
    TOPIC_ALIAS_INVALID = 0x94, "topic alias invalid";
    /// The packet is larger than the maximum.
    PACKET_TOO_LARGE = 0x95, "packet too large";
    /// A limit of the server is reached.
    QUOTA_EXCEEDED = 0x97, "quota exceeded";
    /// Somebody who administers the server has asked for it.
    ADMINISTRATIVE_ACTION = 0x98, "administrative action";
    /// The payload is not of the format that it is announced as.
    PAYLOAD_FORMAT_INVALID = 0x99, "payload format invalid";
}

impl Reason {
    /// Whether it is a failure.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The return code of a CONNACK before MQTT 5.0.
    pub const fn connect_return_code(self) -> u8 {
        match self {
            Self::SUCCESS => 0,
            Self::UNSUPPORTED_VERSION => 1,
            Self::CLIENT_ID_INVALID => 2,
            Self::BAD_CREDENTIALS => 4,
            Self::NOT_AUTHORIZED => 5,
            _ => 3,
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.text(), self.0)
    }
}
