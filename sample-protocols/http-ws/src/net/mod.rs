//! The sockets.

mod client;
pub(crate) mod listener;
mod socket;
mod sockets;
mod watched;

pub(crate) use socket::Socket;
pub(crate) use sockets::Sockets;
