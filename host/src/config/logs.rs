//! The sections `server.logs`, the access log, and `server.appLogs`, the log of the host.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::type_name;
use super::typed::Checker;
use crate::diagnostics::Id;
use crate::logging;

/// The access log: `server.logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLogs {
    /// Where lines go. Without any nothing is logged.
    pub outputs: Vec<AccessLogOutput>,
    /// `accessLogIpOffset`: which of a client's addresses is shown, counted from the last one.
    pub ip_offset: usize,
}

/// One place that lines of the access log go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogOutput {
    /// The file; `None`: standard error.
    pub file: Option<PathBuf>,
    /// How a line looks.
    pub format: AccessLogFormat,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Apache's `combined`.
    #[default]
    Combined,
    /// One JSON object, with the request.
    Json,
}

/// The log of the host and its protocols: `server.appLogs`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppLogs {
    /// What is logged.
    pub levels: logging::Levels,
    /// How lines are written.
    pub format: logging::Format,
}

pub(super) const FORMATS: &[&str] = &["combined", "logstash", "json"];

const TRANSPORTS: &str = "server.logs.transports";
const TARGETS: &str = "server.appLogs.targets";

/// Reads `server.logs`; wrong transports are told and left out.
pub(super) fn access_logs(checker: &mut Checker<'_>, home: &Path) -> AccessLogs {
    let format = format_of(&checker.text("server.logs.accessLogFormat")).unwrap_or_default();
    let transports = checker.objects(TRANSPORTS);
    let outputs = transports.iter().enumerate().filter_map(|(number, transport)| {
        let entry = Entry { key: TRANSPORTS, number, values: transport };
        output(checker, &entry, home, format)
    });
    AccessLogs {
        outputs: outputs.collect(),
        ip_offset: usize::try_from(checker.integer("server.logs.accessLogIpOffset")).unwrap_or(usize::MAX),
    }
}

/// Reads `server.appLogs`.
pub(super) fn app_logs(checker: &mut Checker<'_>) -> AppLogs {
    for (number, target) in checker.objects(TARGETS).iter().enumerate() {
        let entry = Entry { key: TARGETS, number, values: target };
        let Some(preset) = entry.text(checker, "preset", "stderr") else { continue };
        if !matches!(&*preset, "stdout" | "stderr" | "console") || target.contains_key("target") {
            entry.warn(checker, "The log goes to standard error only; collect it from there.");
        }
    }
    AppLogs {
        levels: checker.text("server.appLogs.level").parse().unwrap_or_default(),
        format: match checker.text("server.appLogs.format").as_str() {
            "json" => logging::Format::Json,
            _ => logging::Format::Text,
        },
    }
}

fn format_of(text: &str) -> Option<AccessLogFormat> {
    match text {
        "combined" => Some(AccessLogFormat::Combined),
        "logstash" | "json" => Some(AccessLogFormat::Json),
        _ => None,
    }
}

/// The output of a transport, unless it is silent or can not be used.
fn output(
    checker: &mut Checker<'_>,
    entry: &Entry<'_>,
    home: &Path,
    format: AccessLogFormat,
) -> Option<AccessLogOutput> {
    match entry.values.get("silent") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => return None,
        Some(other) => {
            entry.refuse(checker, "silent", "true or false", type_name(other));
            return None;
        }
    }
    // Kuzzle takes `preset` for the same, and `target` for a package of its own world.
    let name = if entry.values.contains_key("transport") { "transport" } else { "preset" };
    let transport = entry.text(checker, name, "console")?;
    let file = match &*transport {
        "console" | "stdout" | "stderr" => None,
        "file" => Some(home.join(entry.text(checker, "filename", "./kuzzle.access.log")?)),
        _ => {
            entry.warn(checker, "Use the transport \"file\" or \"console\", or set \"silent\": true.");
            return None;
        }
    };
    if entry.values.contains_key("target") {
        entry.warn(checker, "Use the transport \"file\" or \"console\", or set \"silent\": true.");
        return None;
    }
    let format = match entry.values.get("format") {
        None | Some(Value::Null) => format,
        Some(value) => match value.as_str().and_then(format_of) {
            Some(format) => format,
            None => {
                let found = value.as_str().unwrap_or(type_name(value)).to_owned();
                entry.refuse(checker, "format", "\"combined\", \"logstash\" or \"json\"", &found);
                return None;
            }
        },
    };
    Some(AccessLogOutput { file, format })
}

/// An object of an array in the configuration.
struct Entry<'a> {
    key: &'static str,
    number: usize,
    values: &'a Map<String, Value>,
}

impl Entry<'_> {
    fn text(&self, checker: &mut Checker<'_>, name: &str, default: &str) -> Option<String> {
        match self.values.get(name) {
            None | Some(Value::Null) => Some(default.to_owned()),
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(other) => {
                let found = if other.is_string() { "an empty string" } else { type_name(other) };
                self.refuse(checker, name, "a non-empty string", found);
                None
            }
        }
    }

    fn refuse(&self, checker: &mut Checker<'_>, name: &str, expected: &str, found: &str) {
        let Self { key, number, .. } = self;
        let help = format!("Set \"{name}\" of entry {number} of \"{key}\" to {expected}, or remove it.");
        let wrong = format!("\"{key}[{number}].{name}\" can not be used");
        let diagnostic = checker.refused(Id::ConfigurationInvalidType, key, &wrong, help);
        checker.report(diagnostic.expected(expected).found(found));
    }

    fn warn(&self, checker: &mut Checker<'_>, help: &str) {
        let Self { key, number, .. } = self;
        let wrong = format!("\"{key}[{number}]\" is not supported by this host, which leaves it out");
        let diagnostic = checker.refused(Id::ConfigurationUnknownKey, key, &wrong, help.to_owned());
        checker.report(diagnostic.as_warning());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Config, load_all};
    use super::*;
    use crate::diagnostics::Diagnostic;

    fn load(server: &str) -> (Config, Vec<Diagnostic>, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".kuzzlerc"), format!(r#"{{"server": {server}}}"#)).unwrap();
        let (config, told) = load_all(home.path(), []);
        (config, told, home.path().to_owned())
    }

    #[test]
    fn there_is_no_access_log_unless_somebody_asks_for_it() {
        let (config, told, _) = load("{}");
        assert_eq!((config.access_logs(), told), (&AccessLogs::default(), Vec::new()));
        // Kuzzle's own default.
        let (config, told, _) = load(
            r#"{"logs": {"transports": [{"preset": "console", "level": "info", "stderrLevels": [], "silent": true}]}}"#,
        );
        assert_eq!((config.access_logs(), told), (&AccessLogs::default(), Vec::new()));
    }

    #[test]
    fn each_transport_has_its_place_and_format() {
        let (config, told, home) = load(
            r#"{"logs": {"accessLogFormat": "json", "accessLogIpOffset": 2, "transports": [
                {}, {"transport": "file"}, {"transport": "file", "filename": "/var/log/a", "format": "combined"},
                {"transport": "syslog", "silent": true}]}}"#,
        );
        assert_eq!(told, []);
        let (json, combined) = (AccessLogFormat::Json, AccessLogFormat::Combined);
        let outputs = vec![
            AccessLogOutput { file: None, format: json },
            AccessLogOutput { file: Some(home.join("./kuzzle.access.log")), format: json },
            AccessLogOutput { file: Some("/var/log/a".into()), format: combined },
        ];
        assert_eq!(config.access_logs(), &AccessLogs { outputs, ip_offset: 2 });
    }

    #[test]
    fn transports_that_can_not_be_used_are_told_with_their_source() {
        for (transport, name) in [
            (r#"{"transport": 5}"#, "transport"),
            (r#"{"transport": "file", "filename": ""}"#, "filename"),
            (r#"{"format": "xml"}"#, "format"),
            (r#"{"silent": "no"}"#, "silent"),
        ] {
            let (config, told, _) =
                load(&format!("{{\n\"logs\": {{\"transports\": [{{\"silent\": true}}, {transport}]}}}}"));
            assert_eq!(config.access_logs().outputs, [], "{transport}");
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].id, Id::ConfigurationInvalidType);
            let key = format!("\"server.logs.transports[1].{name}\" can not be used");
            assert!(told[0].message.contains(&key) && told[0].message.contains("line 2"), "{told:?}");
        }
        for transport in ["syslog", "elasticsearch"] {
            let (config, told, _) =
                load(&format!(r#"{{"logs": {{"transports": [{{"transport": "{transport}"}}]}}}}"#));
            assert_eq!(config.access_logs().outputs, []);
            assert!(told.len() == 1 && !told[0].is_error(), "{told:?}");
            assert!(told[0].message.contains("not supported"), "{told:?}");
        }
    }

    #[test]
    fn the_log_of_the_host_is_configured() {
        let (config, told, _) = load(
            r#"{"appLogs": {"level": "warn,kuzzle::protocol::udp=debug", "format": "json", "targets": [{"preset": "stdout"}]}}"#,
        );
        assert_eq!(told, []);
        let levels = "warn,kuzzle::protocol::udp=debug".parse().unwrap();
        assert_eq!(config.app_logs(), &AppLogs { levels, format: logging::Format::Json });
        let (_, told, _) = load(r#"{"appLogs": {"targets": [{"preset": "elasticsearch"}]}}"#);
        assert!(told.len() == 1 && told[0].message.contains("not supported"), "{told:?}");
        let (config, told, _) = load(r#"{"appLogs": {"level": "inof"}}"#);
        assert_eq!(config.app_logs(), &AppLogs::default());
        assert_eq!(told[0].found.as_deref(), Some("\"inof\", which is no level"));
    }
}
