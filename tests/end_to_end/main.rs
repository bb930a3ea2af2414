//! End-to-end tests: the real program, real shared libraries, real sockets.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod access_log;
mod api;
mod authoring;
mod bad_input;
mod commands;
mod conformance;
mod containment;
mod crashes;
mod enabling;
mod guide;
mod hangs;
mod history;
mod host_functions;
mod hostile;
mod http;
mod lifecycle;
mod logs;
mod metrics;
mod mqtt;
mod mqtt_chaos;
mod mqtt_clients;
mod mqtt_hostile;
mod packing;
#[path = "../../protocol-abi/tests/support/patched.rs"]
mod patched;
mod refusals;
mod rfc;
mod samples;
mod sdk;
mod serving;
mod shutdown;
mod stress;
mod systemd;
mod websocket;
