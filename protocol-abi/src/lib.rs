//! The contract between a Kuzzle host and its protocols, and the SDK for protocols in Rust.
pub mod raw;
