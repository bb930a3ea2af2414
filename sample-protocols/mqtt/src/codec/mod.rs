//! MQTT 3.1, 3.1.1 and 5.0 on the wire, as a server sees it: strict decoding of what clients send,
//! encoding of what they get. No sockets, no state.

pub mod decode;
pub mod encode;
pub mod packet;
pub mod properties;
mod reader;
pub mod reason;
pub mod topic;

pub use decode::{DecodeError, Refused, decode};
pub use packet::{Packet, Qos, Version};
pub use reason::Reason;
