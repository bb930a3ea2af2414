//! The protocol's `tracing` events and panics, in the host's log. Both are global to a library: each
//! has its own copy of `tracing` and of the standard library.

use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::context::{Context, LogLevel};
use super::guard::panic_message;

/// From now on events and panics of this library go to the host's log.
pub(crate) fn install(context: Context) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(move |info| log_panic(context, info)));
        // Fails only if the protocol has a subscriber of its own, which then has its reasons.
        let _ = tracing::subscriber::set_global_default(Forward(context));
    });
}

fn log_panic(context: Context, info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let mut line = format!("thread '{}' panicked", thread.name().unwrap_or("of the host"));
    if let Some(location) = info.location() {
        let _ = write!(line, " at {location}");
    }
    let _ = write!(line, ": {}", panic_message(info.payload()));
    context.log(LogLevel::Error, "panic", &line);
}

struct Forward(Context);

fn level(level: &Level) -> LogLevel {
    match *level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

impl Subscriber for Forward {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The host may change its level at any time: ask each time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.log_enabled(level(metadata.level()), metadata.target())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        line.message.push_str(&line.fields);
        self.0.log(level(event.metadata().level()), event.metadata().target(), line.message.trim_start());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event as one line: the message, then `name=value` for each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
