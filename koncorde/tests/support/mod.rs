//! Random filters and documents, and an evaluator that follows the filter as it is written.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod oracle;
pub(crate) mod random;
