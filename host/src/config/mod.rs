//! The configuration: layers (defaults, files, the environment, flags), typed access, the origin of
//! every value, and every error with its source.
//!
//! Keys, defaults, the environment's form and the conversion of strings are Kuzzle's
//! (`lib/config/default.config.ts`, `lib/config/index.ts`).

mod convert;
mod excerpt;
mod file;
mod keys;
mod layers;
mod logs;
mod origins;
pub(crate) mod secrets;
mod sources;
mod typed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::diagnostics::{Diagnostic, Id};
use layers::Layer;
pub use layers::Origin;
pub use logs::{AccessLogFormat, AccessLogOutput, AccessLogs, AppLogs};
pub use origins::Origins;
pub use sources::Sources;
use typed::Checker;

/// Keys below `server.protocols.<section>` that are the host's: a protocol never sees them.
pub const HOST_KEYS: [&str; 4] = ["enabled", "maxConnections", "onPanic", "realtimeNotifications"];

/// Limits of the API: the section `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that run at once.
    pub concurrent_requests: u64,
    /// Requests that may wait beside those.
    pub requests_buffer_size: u64,
    /// Above this number of waiting requests the log tells of an overload.
    pub requests_buffer_warning_threshold: u64,
    /// Real-time rooms; 0: any number.
    pub subscription_rooms: u64,
    /// Conditions of one subscription's filters.
    pub subscription_conditions_count: u64,
}

/// Statistics of the API: the section `stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Whether frames are taken.
    pub enabled: bool,
    /// How long a frame is kept.
    pub ttl: Duration,
    /// The time between two frames.
    pub interval: Duration,
}

/// The configuration with all layers merged; every key that the host uses has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    root: Value,
    host: String,
    port: u16,
    init_timeout: Duration,
    shutdown_timeout: Duration,
    limits: Limits,
    max_request_size: u64,
    trust_roots: Vec<PathBuf>,
    stats: Stats,
    access_logs: AccessLogs,
    origins: Origins,
    cookie_authentication: bool,
    app_logs: AppLogs,
    layers: Arc<[Layer]>,
}

impl Default for Config {
    /// What holds without any file or variable.
    fn default() -> Self {
        resolve(vec![Layer::defaults()], Path::new("")).0
    }
}

impl Config {
    /// `server.host`: where protocols listen unless told otherwise.
    pub fn server_host(&self) -> String {
        self.host.clone()
    }

    /// `server.port`: where `http-ws` listens; 0: chosen by the system.
    pub fn server_port(&self) -> u16 {
        self.port
    }

    /// `services.common.defaultInitTimeout`: how long a protocol's `init` may take.
    pub fn init_timeout(&self) -> Duration {
        self.init_timeout
    }

    /// `server.shutdownTimeout`: how long a protocol's `shutdown` may take.
    pub fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    /// The section `limits`.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// `server.maxRequestSize`, in bytes.
    pub fn max_request_size(&self) -> u64 {
        self.max_request_size
    }

    /// The origins that browsers may send requests from.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Whether the cookie `authToken` counts: `http.cookieAuthentication`.
    pub fn cookie_authentication(&self) -> bool {
        self.cookie_authentication
    }

    /// The section `stats`.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The section `server.logs`.
    pub fn access_logs(&self) -> &AccessLogs {
        &self.access_logs
    }

    /// The section `server.appLogs`.
    pub fn app_logs(&self) -> &AppLogs {
        &self.app_logs
    }

    /// `server.protocolTrust.roots`: folders that protocols may lie in beside the installation.
    pub fn trust_roots(&self) -> &[PathBuf] {
        &self.trust_roots
    }

    /// The section of a protocol, `server.protocols.<section>`, with the host's keys; `None` if it is
    /// absent or null.
    pub fn protocol(&self, section: &str) -> Option<&Value> {
        self.get(&["server", "protocols", section]).filter(|value| !value.is_null())
    }

    /// What a path of keys leads to.
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.root, |value, key| value.get(key))
    }

    /// The file that the value at a path of keys comes from (the installation, for a variable), and its
    /// place in words: file, line and column, or the variable.
    pub fn source(&self, path: &[&str]) -> Option<(PathBuf, String)> {
        layers::place(&self.layers, path)
    }

    /// Where the value at a path of keys comes from; of an object, the last source that has it.
    pub fn origin(&self, path: &[&str]) -> Option<Origin> {
        layers::origin(&self.layers, path)
    }

    /// All values, merged, as they were given: without secrets, wrong ones too.
    pub fn masked(&self) -> Value {
        secrets::masked("", &self.root)
    }

    /// Every value that is no section, in the order of [`masked`](Self::masked).
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        self.leaves_in(&mut Vec::new(), &self.masked(), &mut leaves);
        leaves
    }

    fn leaves_in(&self, path: &mut Vec<String>, value: &Value, leaves: &mut Vec<Leaf>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    path.push(key.clone());
                    self.leaves_in(path, value, leaves);
                    path.pop();
                }
            }
            _ => {
                let keys: Vec<&str> = path.iter().map(String::as_str).collect();
                let origin = self.origin(&keys).unwrap_or(Origin::Default);
                leaves.push(Leaf { path: path.clone(), value: value.clone(), origin });
            }
        }
    }

    /// The options of each of `sections`, as `{section: options}`: the host's keys taken out, absent
    /// sections `{}`. One of several sections that is switched off is `null`.
    pub fn options_for(&self, sections: &[String]) -> Value {
        let options = sections.iter().map(|section| {
            let mut options = self.protocol(section).cloned().unwrap_or_else(|| json!({}));
            if let Value::Object(options) = &mut options {
                if sections.len() > 1 && options.get("enabled") == Some(&Value::Bool(false)) {
                    return (section.clone(), Value::Null);
                }
                for key in HOST_KEYS {
                    options.shift_remove(key);
                }
            }
            (section.clone(), options)
        });
        Value::Object(options.collect())
    }

    /// The `server` section as JSON, as a protocol that owns `sections` may see it: only those stand
    /// under `protocols`, without the host's keys.
    pub fn server_json_for(&self, sections: &[String]) -> String {
        let mut server = self.get(&["server"]).and_then(Value::as_object).cloned().unwrap_or_default();
        server.insert("protocols".to_owned(), self.options_for(sections));
        Value::Object(server).to_string()
    }
}

/// A value that is no section, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// The value, without secrets.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Reads the configuration of the installation at `home`, no place outside of it.
///
/// `environment` is what variables there are; those that begin with `kuzzle_` count.
///
/// # Errors
/// Everything that is wrong, each with the file and the line, or the variable, that it comes from;
/// warnings among it. Warnings alone are no error.
pub fn load(
    home: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Vec<Diagnostic>> {
    let (config, diagnostics) = load_all(home, environment);
    if diagnostics.iter().any(Diagnostic::is_error) { Err(diagnostics) } else { Ok(config) }
}

/// Like [`load`], but goes on with what could be read: wrong keys have their defaults.
pub fn load_all(
    home: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> (Config, Vec<Diagnostic>) {
    load_from(home, &Sources::of_environment(environment))
}

/// Reads the configuration of the installation at `home` from all its sources: defaults, files, the
/// environment, flags. Goes on with what could be read, and tells all that is wrong.
pub fn load_from(home: &Path, sources: &Sources) -> (Config, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut layers = vec![Layer::defaults()];
    for path in sources.files(home) {
        match Layer::file(&path) {
            Ok(layer) => layers.push(layer),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    layers.extend(Layer::environment(home, &sources.environment, &mut diagnostics));
    layers.extend(Layer::flags(home, &sources.flags, &mut diagnostics));
    diagnostics.extend(wrong_variables(home, sources));
    let (config, wrong) = resolve(layers, home);
    diagnostics.extend(wrong);
    (config, diagnostics)
}

/// Variables that look like keys and can not be used.
fn wrong_variables(home: &Path, sources: &Sources) -> Vec<Diagnostic> {
    let unreadable = sources.unreadable.iter().map(|name| {
        let message = format!("The value of the environment variable {name} is not UTF-8.");
        Diagnostic::error(Id::ConfigurationCannotParse, home, message, "Correct or unset it.")
    });
    let is_other_case = |name: &str| {
        let prefix = name.get(..7).unwrap_or_default();
        prefix.eq_ignore_ascii_case("kuzzle_") && prefix != "kuzzle_" && name.contains("__")
    };
    let other_case = sources.environment.iter().filter(|(name, _)| is_other_case(name)).map(|(name, _)| {
        let message = format!("The environment variable {name} sets nothing: upper and lower case differ.");
        let help = "Begin its name with kuzzle_ and write the keys as they are, as in kuzzle_server__port.";
        Diagnostic::warning(Id::ConfigurationUnknownKey, home, message, help)
    });
    unreadable.chain(other_case).collect()
}

/// The variables of this process that are text.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Merges the layers, later ones over earlier ones, and checks every key that the host uses.
fn resolve(layers: Vec<Layer>, home: &Path) -> (Config, Vec<Diagnostic>) {
    let mut root = Value::Object(Map::new());
    for layer in &layers {
        layers::merge(&mut root, &layer.value);
    }
    let mut checker = Checker::new(&root, &layers);
    let (access_logs, app_logs) = (logs::access_logs(&mut checker, home), logs::app_logs(&mut checker));
    let seconds = |key: &str| Duration::from_secs(checker.integer(key));
    let milliseconds = |key: &str| Duration::from_millis(checker.integer(key));
    let (origins, wrong_origins) =
        Origins::read(&root, &layers, checker.boolean("http.accessControlAllowOriginUseRegExp"));
    let config = Config {
        origins,
        cookie_authentication: checker.boolean("http.cookieAuthentication"),
        host: checker.text("server.host"),
        port: u16::try_from(checker.integer("server.port")).expect("its range was checked"),
        init_timeout: milliseconds("services.common.defaultInitTimeout"),
        shutdown_timeout: milliseconds("server.shutdownTimeout"),
        limits: Limits {
            concurrent_requests: checker.integer("limits.concurrentRequests"),
            requests_buffer_size: checker.integer("limits.requestsBufferSize"),
            requests_buffer_warning_threshold: checker.integer("limits.requestsBufferWarningThreshold"),
            subscription_rooms: checker.integer("limits.subscriptionRooms"),
            subscription_conditions_count: checker.integer("limits.subscriptionConditionsCount"),
        },
        max_request_size: checker.bytes("server.maxRequestSize"),
        trust_roots: checker
            .texts("server.protocolTrust.roots")
            .into_iter()
            .map(|root| home.join(root))
            .collect(),
        stats: Stats {
            enabled: checker.boolean("stats.enabled"),
            ttl: seconds("stats.ttl"),
            interval: seconds("stats.statsInterval"),
        },
        access_logs,
        app_logs,
        root: Value::Null,
        layers: Arc::from([]),
    };
    let mut diagnostics = checker.finish();
    diagnostics.extend(wrong_origins);
    (Config { root, layers: layers.into(), ..config }, diagnostics)
}

/// What JSON calls the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
