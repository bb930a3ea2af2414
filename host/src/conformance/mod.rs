//! `conformance`: runs a protocol against a fake host that watches the rules of the ABI.
//!
//! A test is one or more *scenes*. Each runs in a child process, this program itself, that may crash,
//! hang or leak: its parent reads from a journal what the child was doing, and kills it, with its
//! process group, when it takes too long. Each test looks at its own rule only, so that a protocol with
//! one fault fails one test.

mod catalogue;
mod child;
mod clients;
mod journal;
mod process;
mod random;
mod report;
mod runner;
mod scene;
mod scenes;
mod subject;

pub use catalogue::{TESTS, Test};
pub use child::run as run_scene;
pub use report::{Report, Status, TestReport};
pub use runner::{Plan, run};
pub use subject::Subject;
