//! A library is one protocol.

kuzzle_protocol_abi::export_protocol!(First, Second);

fn main() {}
