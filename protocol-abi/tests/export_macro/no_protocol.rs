//! The type does not implement `Protocol`.

struct NoProtocol;

kuzzle_protocol_abi::export_protocol!(NoProtocol);

fn main() {}
