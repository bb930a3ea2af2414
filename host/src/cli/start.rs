//! `kuzzle-host start`: survey, load, initialise, serve until a signal, shut down.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kuzzle_kernel::{Kernel, ProtocolInfo, Settings, SystemEnvironment};
use serde::Serialize;
use tokio::sync::oneshot;

use super::report;
use super::{CommandError, EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, StartOptions};
use crate::config::{self, Config, Sources};
use crate::diagnostics::{Diagnostic, Style};
use crate::installation::{self, Status, Survey};
use crate::serving::{self, AccessLog, Host, Outcome};
use crate::{loading, logging, platform, systemd};

/// Serves the enabled protocols below `home` until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the process itself from serving; what is wrong with configuration and protocols is
/// printed to standard error, and the status is 78.
pub fn run(home: &Path, sources: &Sources, options: &StartOptions) -> Result<u8, CommandError> {
    let (config, mut problems) = config::load_from(home, sources);
    let app_logs = config.app_logs();
    logging::init(app_logs.levels.clone(), app_logs.format);
    remove_stale(options.ready_file.as_deref())?;
    let mut survey = installation::survey(home, &config);
    // Not those that only --strict makes errors of.
    let not_ready = problems.iter().chain(&survey.diagnostics).any(Diagnostic::is_error);
    if options.strict {
        survey = survey.strict();
    }
    problems.append(&mut survey.diagnostics);
    survey.diagnostics = problems;
    let silent =
        survey.diagnostics.is_empty() && survey.entries.iter().all(|entry| entry.diagnostics.is_empty());
    if !silent {
        tell(app_logs.format, &report::Document::of(&survey), |style| report::text(&survey, style));
    }
    if not_ready || (survey.has_errors() && !options.failsafe) {
        return Ok(EXIT_REFUSED);
    }
    let access_log = match AccessLog::open(config.access_logs()) {
        Ok(access_log) => access_log,
        Err(problem) => {
            tell(app_logs.format, &problem, |style| problem.text(0, style));
            return Ok(EXIT_REFUSED);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|error| {
        CommandError::failure(
            format!("Could not prepare to wait for signals: {error}."),
            "Free some descriptors.",
        )
    })?;
    let reload = |host: &Host| reload(home, sources, host);
    runtime.block_on(serve(config, survey, options, access_log, reload))
}

/// Prints something wrong: for people, or as a JSON line if the log has these.
fn tell(format: logging::Format, problem: &impl Serialize, text: impl FnOnce(Style) -> String) {
    let mut stderr = std::io::stderr();
    let _ = match format {
        logging::Format::Text => write!(stderr, "{}", text(Style::of(&stderr))),
        logging::Format::Json => {
            writeln!(stderr, "{}", serde_json::to_string(problem).expect("texts and numbers are JSON"))
        }
    };
}

/// What SIGHUP asks for: the levels of the log as they are configured now, the access log's files
/// opened anew.
fn reload(home: &Path, sources: &Sources, host: &Host) {
    systemd::reloading();
    let (config, problems) = config::load_from(home, sources);
    if let Some(problem) = problems.iter().find(|problem| problem.is_error()) {
        tracing::error!(
            id = %problem.id, problem = problem.message,
            "the configuration is not read anew; correct it and send SIGHUP again, or see `kuzzle-host check`"
        );
    } else {
        logging::set_levels(config.app_logs().levels.clone());
        tracing::info!("the levels of the log are read anew");
    }
    if let Some(access_log) = host.access_log() {
        access_log.reopen();
        // Whoever has renamed the old files may compress them once the reload is done.
        access_log.flush(FLUSH_PATIENCE);
    }
    systemd::ready(&host.status());
}

async fn serve(
    config: Config,
    survey: Survey,
    options: &StartOptions,
    access_log: Option<AccessLog>,
    reload: impl Fn(&Host),
) -> Result<u8, CommandError> {
    let mut signals = Signals::new()?;
    platform::tell_fatal_signals(serving::current_call);
    let mut hangups = Hangups::new()?;
    let settings = settings(&config);
    let max_request_size = settings.max_request_size;
    let host = Host::new(Kernel::new(settings, Box::new(SystemEnvironment)), max_request_size);
    let origins = config.origins().clone();
    if !matches!(origins, config::Origins::All) {
        host.kernel.restrict_origins(Box::new(move |origin| origins.allow(origin)));
    }
    systemd::begin(host);
    let timeout = config.shutdown_timeout();
    if let Some(access_log) = access_log {
        host.log_accesses(access_log);
    }
    if config.stats().enabled {
        host.take_statistics(config.stats().interval);
    }
    let StartOptions { failsafe, strict, .. } = *options;
    let format = config.app_logs().format;

    let (done, loaded) = oneshot::channel();
    std::thread::Builder::new()
        .name("kuzzle-loading".into())
        .spawn(move || {
            platform::block_termination_signals();
            let _ = done.send(load(host, &config, &survey, Rules { failsafe, strict, format }));
        })
        .map_err(|error| CommandError::failure(format!("Could not start a thread: {error}."), ""))?;

    tokio::select! {
        loaded = loaded => match loaded {
            Ok(true) => {}
            Ok(false) => end(host, timeout, EXIT_REFUSED),
            Err(_) => end(host, timeout, EXIT_FAILURE),
        },
        signal = signals.next() => {
            tracing::warn!(signal, "interrupted before all protocols serve");
            end(host, timeout, EXIT_OK);
        }
    }

    if let Err(error) = announce(host, options.ready_file.as_deref()) {
        let _ = writeln!(std::io::stderr(), "error: {error}");
        end(host, timeout, EXIT_FAILURE);
    }
    systemd::ready(&host.status());
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = hangups.next() => reload(host),
        }
    };
    tracing::info!(signal, timeout_ms = timeout.as_millis() as u64, "shutting down");
    end(host, timeout, EXIT_OK)
}

/// Loads, initialises and starts. Whether the host may serve; if not, everything wrong is printed.
fn load(host: &'static Host, config: &Config, survey: &Survey, rules: Rules) -> bool {
    let limit = config.init_timeout();
    let (protocols, problems) = loading::open(host, config, survey.candidates());
    if rules.refuse(&problems) || rules.refuse(&loading::init(&protocols, limit)) {
        return false;
    }
    if host.is_shutting_down() {
        return true;
    }
    host.open_gate();
    if rules.refuse(&loading::start(&protocols, limit)) {
        return false;
    }
    let serves = |name: &str| protocols.iter().any(|protocol| protocol.name == name && protocol.serves());
    let left_out: Vec<_> = survey
        .entries
        .iter()
        .filter(|entry| entry.status != Status::Disabled && !entry.name.as_deref().is_some_and(serves))
        .map(|entry| entry.name.clone().unwrap_or_else(|| entry.path.display().to_string()))
        .collect();
    if !left_out.is_empty() {
        tracing::error!(protocols = left_out.join(", "), "FAILSAFE: serving WITHOUT these protocols");
    }
    host.set_left_out(left_out);
    host.refresh_info();
    true
}

/// What keeps a host from serving.
#[derive(Clone, Copy)]
struct Rules {
    failsafe: bool,
    strict: bool,
    format: logging::Format,
}

impl Rules {
    /// Prints what is wrong. Whether the host must not serve because of it.
    fn refuse(self, problems: &[Diagnostic]) -> bool {
        for problem in problems {
            tell(self.format, problem, |style| problem.text(0, style));
        }
        !self.failsafe && problems.iter().any(|problem| self.strict || problem.is_error())
    }
}

fn settings(config: &Config) -> Settings {
    let limits = config.limits();
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Settings {
        node_id: node_id(),
        concurrent_requests: size(limits.concurrent_requests),
        requests_buffer_size: size(limits.requests_buffer_size),
        requests_buffer_warning_threshold: size(limits.requests_buffer_warning_threshold),
        subscription_rooms: size(limits.subscription_rooms),
        subscription_conditions_count: size(limits.subscription_conditions_count),
        max_request_size: size(config.max_request_size()),
        config: config.masked().to_string(),
        cookie_authentication: config.cookie_authentication(),
        stats_enabled: config.stats().enabled,
        stats_ttl: config.stats().ttl.as_secs(),
        ..Settings::default()
    }
}

/// A name of Kuzzle's form: `knode-<adjective>-<name>-<digits>`.
fn node_id() -> String {
    const ADJECTIVES: [&str; 16] = [
        "agile", "bold", "brave", "bright", "calm", "clever", "eager", "gentle", "happy", "keen", "lively",
        "nimble", "proud", "quick", "quiet", "witty",
    ];
    const NAMES: [&str; 16] = [
        "badger", "crane", "dolphin", "falcon", "ferret", "heron", "ibex", "lynx", "magpie", "marten",
        "osprey", "otter", "puffin", "raven", "stork", "wren",
    ];
    let random = uuid::Uuid::new_v4().as_u128();
    let pick = |words: [&'static str; 16], shift: u32| words[(random >> shift) as usize % 16];
    format!("knode-{}-{}-{}", pick(ADJECTIVES, 0), pick(NAMES, 8), (random >> 16) as u32 % 100_000)
}

#[derive(Serialize)]
struct Ready {
    pid: u32,
    protocols: Vec<Serving>,
}

#[derive(Serialize)]
struct Serving {
    name: String,
    listeners: Vec<kuzzle_kernel::Listener>,
}

/// Removes the ready file of an earlier run: whoever waits for it waits for this one.
fn remove_stale(ready_file: Option<&Path>) -> Result<(), CommandError> {
    match ready_file.map(fs::remove_file) {
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => Err(CommandError::failure(
            format!("Could not remove the ready file of an earlier run: {error}."),
            "Give a file in a folder that the host may write to.",
        )),
        _ => Ok(()),
    }
}

/// Tells that all protocols serve: one line on standard error, and the ready file.
fn announce(host: &Host, ready_file: Option<&Path>) -> Result<(), CommandError> {
    let serving = |info: ProtocolInfo| Serving { name: info.name, listeners: info.listeners };
    let ready = Ready {
        pid: std::process::id(),
        protocols: host.describe_protocols().into_iter().map(serving).collect(),
    };
    let line = serde_json::to_string(&ready).expect("texts and a number are JSON");
    if let Some(file) = ready_file {
        write_atomically(file, line.as_bytes()).map_err(|error| {
            CommandError::failure(
                format!("Could not write the ready file {}: {error}.", file.display()),
                "Give a file in a folder that the host may write to.",
            )
        })?;
    }
    let _ = writeln!(std::io::stderr(), "{line}");
    Ok(())
}

/// Writes beside the file, then renames: a reader sees nothing or everything.
fn write_atomically(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut name = file.file_name().ok_or(std::io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = file.with_file_name(name);
    let written = fs::File::create(&temporary).and_then(|mut handle| {
        handle.write_all(content)?;
        handle.write_all(b"\n")
    });
    written.and_then(|()| fs::rename(&temporary, file)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// How long the last lines of the access log may take.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Shuts down and ends the process: without static destructors, under which threads of loaded
/// libraries might still run.
fn end(host: &'static Host, timeout: Duration, status: u8) -> ! {
    // Another signal ends the process at once.
    platform::default_termination_signals();
    systemd::stopping();
    let status = match host.shut_down(timeout) {
        Outcome::Clean => status,
        Outcome::Late(waited_for) => {
            tracing::error!(waited_for = waited_for.join(", "), "not everything ended in time");
            if status == EXIT_OK { EXIT_FAILURE } else { status }
        }
    };
    if host.access_log().is_some_and(|log| !log.flush(FLUSH_PATIENCE)) {
        tracing::error!("the last lines of the access log could not be written in time");
    }
    let _ = std::io::stderr().flush();
    platform::exit_now(status)
}

/// SIGTERM and SIGINT, or what the platform has instead.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CommandError> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen = |kind| {
                signal(kind).map_err(|error| {
                    CommandError::failure(format!("Could not listen for signals: {error}."), "")
                })
            };
            Ok(Self {
                terminate: listen(SignalKind::terminate())?,
                interrupt: listen(SignalKind::interrupt())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}

/// SIGHUP, or nothing where there is no such signal.
struct Hangups {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Hangups {
    fn new() -> Result<Self, CommandError> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup = signal(SignalKind::hangup()).map_err(|error| {
                CommandError::failure(format!("Could not listen for signals: {error}."), "")
            })?;
            Ok(Self { hangup })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        self.hangup.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}
