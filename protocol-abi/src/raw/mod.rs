//! The C ABI as Rust types: a mirror of `include/kuzzle/protocol.h`, part by part.
//!
//! Names, order and meaning are the header's, which is the contract and says who owns what and
//! what may be called from where. Tests compare every size and offset with a C compiler's.
//! Protocols written in Rust use the safe SDK at the crate's root instead.

#![allow(non_camel_case_types)]

pub mod exports;
pub mod metrics;
pub mod note;
pub mod status;
pub mod structs;
pub mod tables;
pub mod values;

pub use exports::*;
pub use status::*;
pub use structs::*;
pub use tables::*;
pub use values::*;
