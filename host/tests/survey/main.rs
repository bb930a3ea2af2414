//! Surveys of installations on disk, with real libraries: what is told of each kind of fault, and that
//! nothing unrelated is told beside it.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]
#![allow(missing_docs, reason = "a test has no public items")]

mod archives;
mod corpus;
mod entries;
mod foreign;
mod home;
mod ids;
mod libraries;
mod manifests;
mod zoo;
