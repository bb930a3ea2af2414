//! The tests, by name.

use super::scene::{Scene, Stop};
use super::scenes::{functions, init, load, requests, rules, shutdown};
use super::subject::Subject;

/// One rule that is looked at.
#[derive(Debug)]
pub struct Test {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// What it makes sure of.
    pub about: &'static str,
    /// The scenes, each of which has a child of its own.
    pub(super) parts: fn(&Subject) -> Vec<String>,
    /// Plays one scene, in the child.
    pub(super) play: fn(&Scene<'_>) -> Result<(), Stop>,
}

/// The name of the static gate, which is no scene: nothing is run for it.
pub(super) const GATE: &str = "static";
/// Owns what goes wrong until the protocol serves.
pub(super) const INIT: &str = "init";
/// Owns what goes wrong in `shutdown`.
pub(super) const SHUTDOWN: &str = "shutdown";

fn one(_: &Subject) -> Vec<String> {
    vec![String::new()]
}

fn nothing(_: &Subject) -> Vec<String> {
    Vec::new()
}

macro_rules! tests {
    ($($name:expr, $parts:expr, $play:expr, $about:literal;)*) => {
        /// All tests, in the order in which they are told.
        pub static TESTS: &[Test] = &[$(Test { name: $name, about: $about, parts: $parts, play: $play }),*];
    };
}

tests! {
    GATE, nothing, |_| Ok(()), "what `check` looks at: manifest, library, symbols, note";
    INIT, init::parts, init::play, "init succeeds or tells why not, whatever the options are";
    SHUTDOWN, shutdown::parts, shutdown::play, "shutdown returns in time: before start, idle, with clients";
    "broadcast", one, functions::broadcast, "any channels, any payload";
    "notify", one, functions::notify, "any connection: known, unknown, gone";
    "channels", one, functions::channels_of, "join_channel and leave_channel with any arguments";
    "disconnect", one, functions::disconnect, "any connection and reason; a client that is there is removed";
    "clients", one, requests::clients, "any bytes from clients, and clients that come and go";
    "requests", one, requests::requests, "each request of a client is answered exactly once";
    "completions", one, requests::completions, "answers that come later, refused requests, dropped connections";
    "threads", one, load::threads, "calls from many threads, as the tags allow";
    "reentrancy", one, rules::reentrancy, "no execute inside a callback";
    "blocking", one, rules::blocking, "callbacks return quickly, whatever the clients do";
    "payloads", one, rules::payloads, "payloads are released as often as retained";
    "after-shutdown", one, shutdown::silence, "no call of the host after shutdown";
    "leaks", one, shutdown::leaks, "no descriptor and no thread is left after shutdown";
    "process", one, rules::process, "signals, working folder, locale, umask and environment are left alone";
    "extensions", one, rules::extensions, "unknown extensions are answered with null, known ones work";
    "random", one, load::random, "a random sequence of calls";
}
