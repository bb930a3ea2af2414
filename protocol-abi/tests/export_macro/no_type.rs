//! A value instead of a type.

kuzzle_protocol_abi::export_protocol!(1 + 1);

fn main() {}
