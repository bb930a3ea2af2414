//! No type at all.

kuzzle_protocol_abi::export_protocol!();

fn main() {}
