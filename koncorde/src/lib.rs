//! Real-time filters: which of many filters does a document satisfy?
#![forbid(unsafe_code)]

mod canonical;
mod condition;
mod document;
mod error;
mod expression;
mod filter;
mod geo;
mod hash;
mod index;
mod json;
mod limits;
mod path;
mod pattern;
mod scalar;
mod scope;
mod syntax;
mod text;
mod wanted;

pub use self::document::{Document, DocumentError};
pub use self::error::{Error, Reason};
pub use self::filter::Filter;
pub use self::index::Index;
pub use self::json::JsonError;
pub use self::limits::Limits;
