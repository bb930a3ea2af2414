//! Loading: turns candidates into protocols that serve. Foreign code runs from here on.
//!
//! All libraries are opened before any is initialised; all are initialised, each on a thread of its
//! own and within the time limit, before any is started. Everything that is wrong is collected.

mod library;

#[cfg(unix)]
pub(crate) use library::open_alone;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::diagnostics::{Diagnostic, Id};
use crate::installation::Candidate;
use crate::platform;
use crate::serving::{Description, Failure, Host, Protocol};

/// Names of the threads on which a protocol's own functions run first.
const THREADS: [&str; 2] = ["kuzzle-init", "kuzzle-start"];

/// Opens and binds the libraries of all candidates and registers them with the host.
///
/// What could not be opened is missing from the result and told in the diagnostics.
pub fn open<'a>(
    host: &'static Host,
    config: &Config,
    candidates: impl IntoIterator<Item = &'a Candidate>,
) -> (Vec<&'static Protocol>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut protocols = Vec::new();
    for candidate in candidates {
        let started = Instant::now();
        let index = u16::try_from(protocols.len()).unwrap_or(u16::MAX);
        match library::open(candidate, index, &mut diagnostics) {
            Ok(functions) => {
                tracing::info!(
                    protocol = %candidate.name,
                    version = candidate.version.as_deref().unwrap_or("-"),
                    abi = %format_args!("{}.{}", candidate.note.major, candidate.note.minor),
                    toolchain = %candidate.note.toolchain,
                    library = %candidate.library.display(),
                    elapsed_ms = started.elapsed().as_millis() as u64,
                    "loaded"
                );
                protocols.push(Protocol::new(host, index, describe(candidate, config), functions));
            }
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    host.register(protocols.clone());
    (protocols, diagnostics)
}

fn describe(candidate: &Candidate, config: &Config) -> Description {
    Description {
        name: candidate.name.clone(),
        version: candidate.version.clone(),
        entry: candidate.entry.clone(),
        on_panic: candidate.on_panic,
        max_connections: candidate.max_connections.unwrap_or(u64::MAX),
        options: candidate.options.clone(),
        config: config.server_json_for(&candidate.sections),
        server_host: Some(config.server_host()),
        server_port: i64::from(config.server_port()),
    }
}

/// Initialises all protocols at once. Answers what went wrong; those protocols do not serve.
pub fn init(protocols: &[&'static Protocol], limit: Duration) -> Vec<Diagnostic> {
    run_all(protocols, limit, THREADS[0], Protocol::init, |protocol, fault| match fault {
        Fault::Late => Diagnostic::error(
            Id::RuntimeInitTimeout,
            protocol.entry(),
            format!("Protocol \"{}\" was not initialised in time.", protocol.name),
            "Find out what its init waits for, or raise services.common.defaultInitTimeout (milliseconds).",
        )
        .expected(format!("within {} ms", limit.as_millis()))
        .found("still running"),
        Fault::Failed(failure) if failure.is_panic() => Diagnostic::error(
            Id::RuntimeInitPanicked,
            protocol.entry(),
            format!("Protocol \"{}\" panicked in its init: {}.", protocol.name, sentence(&failure.message)),
            "This is a defect of the protocol: report it to its authors, or disable the protocol.",
        ),
        Fault::Failed(failure) => Diagnostic::error(
            Id::RuntimeInitFailed,
            protocol.entry(),
            format!("Protocol \"{}\" failed to initialise: {}.", protocol.name, sentence(&failure.message)),
            "Mend what it complains about, or disable the protocol.",
        )
        .found(format!("status {}", failure.code)),
    })
}

/// Starts all protocols at once, after all are initialised. Answers what went wrong.
pub fn start(protocols: &[&'static Protocol], limit: Duration) -> Vec<Diagnostic> {
    run_all(protocols, limit, THREADS[1], Protocol::start, |protocol, fault| {
        let found = match &fault {
            Fault::Late => format!("start was not done within {} ms", limit.as_millis()),
            Fault::Failed(failure) if failure.is_panic() => {
                format!("start panicked: {}", sentence(&failure.message))
            }
            Fault::Failed(failure) => format!("start failed: {}", sentence(&failure.message)),
        };
        Diagnostic::error(
            Id::RuntimeStartFailed,
            protocol.entry(),
            format!("Protocol \"{}\" could not be started: {found}.", protocol.name),
            "Mend what it complains about, or disable the protocol.",
        )
    })
}

/// A protocol's text, to which a full stop is added.
fn sentence(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}

enum Fault {
    Failed(Failure),
    Late,
}

/// Runs one function of every protocol, each on its own thread, and waits until the limit for all.
fn run_all(
    protocols: &[&'static Protocol],
    limit: Duration,
    thread: &str,
    run: fn(&'static Protocol) -> Result<(), Failure>,
    explain: impl Fn(&'static Protocol, Fault) -> Diagnostic,
) -> Vec<Diagnostic> {
    let deadline = Instant::now() + limit;
    let running: Vec<_> = protocols
        .iter()
        .map(|&protocol| {
            let (done, outcome) = mpsc::channel();
            let spawned = std::thread::Builder::new().name(thread.into()).spawn(move || {
                platform::block_termination_signals();
                let _ = done.send(run(protocol));
            });
            (protocol, spawned.map(|_| outcome))
        })
        .collect();
    let mut diagnostics = Vec::new();
    for (protocol, outcome) in running {
        let fault = match outcome {
            Err(error) => Fault::Failed(Failure::other(format!("no thread for it: {error}"))),
            Ok(outcome) => {
                let left = deadline.saturating_duration_since(Instant::now());
                match outcome.recv_timeout(left) {
                    Ok(Ok(())) if protocol.serves() || protocol.host_ends() => continue,
                    Ok(Ok(())) => Fault::Failed(Failure::other(
                        "meanwhile another function of it panicked or did not return",
                    )),
                    Ok(Err(failure)) => Fault::Failed(failure),
                    Err(mpsc::RecvTimeoutError::Timeout) => Fault::Late,
                    Err(mpsc::RecvTimeoutError::Disconnected) => {
                        Fault::Failed(Failure::other("its thread ended without an answer"))
                    }
                }
            }
        };
        protocol.withdraw();
        diagnostics.push(explain(protocol, fault));
    }
    diagnostics
}
