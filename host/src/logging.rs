//! The log of the host and its protocols, on standard error: text or JSON lines, with a level for
//! each target.

use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata};
use tracing_core::callsite::{Callsite, Identifier};
use tracing_core::field::{FieldSet, Value};
use tracing_core::metadata::Kind;
use tracing_core::subscriber::Interest;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// The variable that sets what is logged, over the configuration: `info`, `warn,kuzzle::protocol=debug`, ….
pub const VARIABLE: &str = "KUZZLE_LOG";

/// What is logged of protocols: `kuzzle::protocol::<name>`.
const PROTOCOLS: &str = "kuzzle::protocol";

static LEVELS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: a level for each target. Of the targets that a line's own one begins with the
/// longest counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels(Targets);

impl Default for Levels {
    /// `info`.
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

impl FromStr for Levels {
    type Err = String;

    /// Reads a level, or `target=level`, or several of them with commas between. What has no target is
    /// the level of everything else; without it that is `info`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut levels = Self::default().0;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            levels = match part.split_once('=') {
                None => levels.with_default(level(part)?),
                Some((target, text)) => levels.with_target(known_target(target.trim())?, level(text.trim())?),
            };
        }
        Ok(Self(levels))
    }
}

/// A level by its name, or by what Kuzzle calls it.
fn level(text: &str) -> Result<LevelFilter, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "off" | "silent" => LevelFilter::OFF,
        "fatal" | "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err(format!("\"{text}\", which is no level")),
    })
}

fn known_target(target: &str) -> Result<&str, String> {
    let is_name = |character: char| character.is_alphanumeric() || "_:-".contains(character);
    if target.is_empty() || !target.chars().all(is_name) {
        return Err(format!("\"{target}\", which is no target"));
    }
    Ok(target)
}

/// Starts logging, once. [`VARIABLE`] counts more than `levels`.
pub fn init(levels: Levels, format: Format) {
    let (filter, handle) = reload::Layer::new(with_variable(levels).0);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match format {
        Format::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if begun.is_ok() {
        let _ = LEVELS.set(handle);
    }
    if let Some(Err(found)) = variable() {
        tracing::warn!("{VARIABLE} is ignored: it has {found}; expected {EXPECTED}");
    }
}

/// From now on this is logged. [`VARIABLE`] still counts more.
pub fn set_levels(levels: Levels) {
    if let Some(handle) = LEVELS.get() {
        let _ = handle.reload(with_variable(levels).0);
    }
}

/// What a text with levels looks like.
pub(crate) const EXPECTED: &str =
    "a level (off, error, warn, info, debug, trace), or levels such as \"info,kuzzle::protocol::udp=debug\"";

fn variable() -> Option<Result<Levels, String>> {
    std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty()).map(|text| text.parse())
}

fn with_variable(levels: Levels) -> Levels {
    variable().and_then(Result::ok).unwrap_or(levels)
}

/// The log of one protocol. Its target has the protocol's name in it, so that its level can be set.
pub(crate) struct ProtocolLog([&'static Metadata<'static>; 5]);

impl ProtocolLog {
    /// Lives until the process ends, as its protocol does.
    pub(crate) fn new(protocol: &str) -> Self {
        // What a target in the configuration could not name is replaced.
        let name = protocol.replace(|character: char| !character.is_alphanumeric() && character != '-', "_");
        let target: &'static str = format!("{PROTOCOLS}::{name}").leak();
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        Self(levels.map(|level| place(target, level)))
    }

    /// Whether a line of that level would be written: 0 error, … 4 trace.
    pub(crate) fn is_enabled(&self, level: u32) -> bool {
        let metadata = self.metadata(level);
        *metadata.level() <= LevelFilter::current()
            && tracing::dispatcher::get_default(|dispatch| dispatch.enabled(metadata))
    }

    /// Writes a line of a level that is enabled.
    pub(crate) fn write(&self, level: u32, protocol: &str, topic: &str, message: &str) {
        let metadata = self.metadata(level);
        let fields = metadata.fields();
        let [Some(text), Some(of), Some(about)] = FIELDS.map(|name| fields.field(name)) else { return };
        let (message, protocol) = (tracing::field::display(message), tracing::field::display(protocol));
        let topic = (!topic.is_empty()).then_some(&topic as &dyn Value);
        let values: [(&_, Option<&dyn Value>); 3] =
            [(&text, Some(&message)), (&of, Some(&protocol)), (&about, topic)];
        Event::dispatch(metadata, &fields.value_set(&values));
    }

    fn metadata(&self, level: u32) -> &'static Metadata<'static> {
        self.0[(level as usize).min(self.0.len() - 1)]
    }
}

const FIELDS: [&str; 3] = ["message", "protocol", "topic"];

/// A place in the code that lines come from, as `tracing` knows them, made at run time.
struct Place(OnceLock<Metadata<'static>>);

impl Callsite for Place {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0.get().expect("set before anybody is given the place")
    }
}

fn place(target: &'static str, level: Level) -> &'static Metadata<'static> {
    let place: &'static Place = Box::leak(Box::new(Place(OnceLock::new())));
    let fields = FieldSet::new(&FIELDS, Identifier(place));
    place.0.get_or_init(|| Metadata::new("log", target, level, None, None, None, fields, Kind::EVENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enables(levels: &str, target: &str) -> Vec<Level> {
        let levels: Levels = levels.parse().unwrap();
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        all.into_iter().filter(|level| levels.0.would_enable(target, level)).collect()
    }

    #[test]
    fn the_longest_target_counts_and_info_holds_for_the_rest() {
        assert_eq!(enables("", "any").len(), 3);
        assert_eq!(enables("debug", "any").len(), 4);
        assert_eq!(enables("kuzzle::protocol=trace", "any").len(), 3);
        let levels = "warn, kuzzle::protocol = off ,kuzzle::protocol::http-ws=TRACE";
        assert_eq!(enables(levels, "kuzzle_host::serving").len(), 2);
        assert_eq!(enables(levels, "kuzzle::protocol::udp").len(), 0);
        assert_eq!(enables(levels, "kuzzle::protocol::http-ws").len(), 5);
        assert_eq!(enables("silent,a=fatal", "a"), [Level::ERROR]);
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for text in ["inof", "a=", "=info", "a b=info", "info,a=5", "kuzzle::protocol[{protocol=udp}]=debug"]
        {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
    }

    /// What is written while `run` runs.
    fn written(levels: &str, run: impl FnOnce()) -> String {
        static WRITTEN: parking_lot::Mutex<Vec<u8>> = parking_lot::Mutex::new(Vec::new());
        struct Writer;
        impl std::io::Write for Writer {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                WRITTEN.lock().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = tracing_subscriber::fmt::layer().with_writer(|| Writer).with_ansi(false).without_time();
        let levels: Levels = levels.parse().unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(levels.0).with(lines), run);
        String::from_utf8(std::mem::take(&mut WRITTEN.lock())).unwrap()
    }

    #[test]
    fn a_protocol_is_told_what_would_be_written_and_just_that_is() {
        let (udp, line) = (ProtocolLog::new("udp"), ProtocolLog::new("line"));
        let text = written("warn,kuzzle::protocol::udp=debug", || {
            let enabled = |log: &ProtocolLog| [0, 1, 2, 3, 4, 99].map(|level| log.is_enabled(level));
            assert_eq!(enabled(&udp), [true, true, true, true, false, false]);
            assert_eq!(enabled(&line), [true, true, false, false, false, false]);
            udp.write(3, "udp", "topic", "said");
            line.write(0, "line", "", "{braces} \"quotes\"");
        });
        assert_eq!(
            text,
            "DEBUG kuzzle::protocol::udp: said protocol=udp topic=\"topic\"\n\
             ERROR kuzzle::protocol::line: {braces} \"quotes\" protocol=line\n"
        );
        assert_eq!(written("off", || assert!(!udp.is_enabled(0))), "");
    }

    #[test]
    fn lines_of_a_protocol_have_its_own_target() {
        let log = ProtocolLog::new("a b/c");
        assert_eq!(log.metadata(0).target(), "kuzzle::protocol::a_b_c");
        assert_eq!(*log.metadata(0).level(), Level::ERROR);
        assert_eq!(*log.metadata(9).level(), Level::TRACE);
        assert_eq!(ProtocolLog::new("http-ws").metadata(3).target(), "kuzzle::protocol::http-ws");
    }
}
