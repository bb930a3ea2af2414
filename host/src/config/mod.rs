//! The configuration: layers (defaults, the nearest `.kuzzlerc`, the environment), typed access, and
//! every error with its source.
//!
//! Keys, defaults, the environment's form and the conversion of strings are Kuzzle's
//! (`lib/config/default.config.ts`, `lib/config/index.ts`).

mod layers;
mod typed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::diagnostics::Diagnostic;
use layers::Layer;
pub(crate) use layers::type_name;
use typed::Checker;

/// Keys below `server.protocols.<section>` that are the host's: a protocol never sees them.
pub const HOST_KEYS: [&str; 3] = ["enabled", "onPanic", "realtimeNotifications"];

/// Limits of the API: the section `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that run at once.
    pub concurrent_requests: u64,
    /// Requests that may wait beside those.
    pub requests_buffer_size: u64,
    /// Real-time rooms; 0: any number.
    pub subscription_rooms: u64,
    /// Conditions of one subscription's filters.
    pub subscription_conditions_count: u64,
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

    /// The options of each of `sections`, as `{section: options}`: the host's keys taken out, absent
    /// sections `{}`.
    pub fn options_for(&self, sections: &[String]) -> Value {
        let options = sections.iter().map(|section| {
            let mut options = self.protocol(section).cloned().unwrap_or_else(|| json!({}));
            if let Value::Object(options) = &mut options {
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

/// Reads the configuration of the installation at `home`.
///
/// `environment` is what variables there are; those that begin with `kuzzle_` count.
///
/// # Errors
/// Everything that is wrong, each with the file and the line, or the variable, that it comes from.
pub fn load(
    home: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Vec<Diagnostic>> {
    let (config, diagnostics) = load_all(home, environment);
    if diagnostics.is_empty() { Ok(config) } else { Err(diagnostics) }
}

/// Like [`load`], but goes on with what could be read: wrong keys have their defaults.
pub fn load_all(
    home: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> (Config, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut layers = vec![Layer::defaults()];
    layers.extend(layers::nearest_file(home, &mut diagnostics));
    layers.extend(layers::environment(home, environment, &mut diagnostics));
    let (config, wrong) = resolve(layers, home);
    diagnostics.extend(wrong);
    (config, diagnostics)
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
    let host = checker.text(&["server", "host"], "127.0.0.1");
    let port = checker.integer(&["server", "port"], 7512, 0, 65_535);
    let init_timeout = checker.integer(&["services", "common", "defaultInitTimeout"], 120_000, 1, u64::MAX);
    let shutdown_timeout = checker.integer(&["server", "shutdownTimeout"], 5_000, 0, u64::from(u32::MAX));
    let limits = Limits {
        concurrent_requests: checker.integer(&["limits", "concurrentRequests"], 100, 1, u64::MAX),
        requests_buffer_size: checker.integer(&["limits", "requestsBufferSize"], 50_000, 0, u64::MAX),
        subscription_rooms: checker.integer(&["limits", "subscriptionRooms"], 1_000_000, 0, u64::MAX),
        subscription_conditions_count: checker.integer(
            &["limits", "subscriptionConditionsCount"],
            100,
            1,
            u64::MAX,
        ),
    };
    let max_request_size = checker.bytes(&["server", "maxRequestSize"], 1 << 20);
    let trust_roots = checker.texts(&["server", "protocolTrust", "roots"]);
    checker.object(&["server"]);
    checker.object(&["server", "protocols"]);
    let diagnostics = checker.finish();
    let config = Config {
        host,
        port: u16::try_from(port).unwrap_or(7512),
        init_timeout: Duration::from_millis(init_timeout),
        shutdown_timeout: Duration::from_millis(shutdown_timeout),
        limits,
        max_request_size,
        trust_roots: trust_roots.into_iter().map(|root| home.join(root)).collect(),
        root,
        layers: layers.into(),
    };
    (config, diagnostics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Id;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn home(kuzzlerc: Option<&str>) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("a/b")).unwrap();
        // An own file at the top, so that the search does not leave the folder of this test.
        std::fs::write(home.path().join(".kuzzlerc"), kuzzlerc.unwrap_or("{}")).unwrap();
        home
    }

    fn wrong(kuzzlerc: &str, pairs: &[(&str, &str)]) -> Vec<Diagnostic> {
        let home = home(Some(kuzzlerc));
        load(home.path(), variables(pairs)).unwrap_err()
    }

    #[test]
    fn has_kuzzles_defaults() {
        let config = Config::default();
        assert_eq!(config.server_host(), "127.0.0.1");
        assert_eq!(config.server_port(), 7512);
        assert_eq!(config.init_timeout(), Duration::from_secs(120));
        assert_eq!(config.shutdown_timeout(), Duration::from_secs(5));
        assert_eq!(config.max_request_size(), 1 << 20);
        assert_eq!(config.limits().concurrent_requests, 100);
        assert_eq!(config.limits().requests_buffer_size, 50_000);
        assert_eq!(config.limits().subscription_rooms, 1_000_000);
        assert_eq!(config.limits().subscription_conditions_count, 100);
        assert_eq!(config.protocol("udp"), None);
    }

    #[test]
    fn the_nearest_file_is_found_above_the_home_and_may_hold_comments() {
        let top = home(Some("// why\n{ /* a */ \"server\": { \"port\": 9, }, }"));
        let config = load(&top.path().join("a/b"), variables(&[])).unwrap();
        assert_eq!(config.server_port(), 9);
        std::fs::write(top.path().join("a/.kuzzlerc"), "{}").unwrap();
        let config = load(&top.path().join("a/b"), variables(&[])).unwrap();
        assert_eq!(config.server_port(), 7512);
    }

    #[test]
    fn the_environment_wins_over_the_file_and_keeps_the_case_of_keys() {
        let home =
            home(Some(r#"{"server": {"port": 1, "protocols": {"udp": {"a": [1, 2], "keep": true}}}}"#));
        let environment = [
            ("kuzzle_server__port", "9000"),
            ("kuzzle_server__maxRequestSize", "2MB"),
            ("kuzzle_server__protocols__udp__allowPubSub", "true"),
            ("kuzzle_server__protocols__udp__a", "*json:[3]"),
            ("kuzzle_server__protocols__udp__ratio", "-1.5"),
            ("kuzzle_server__protocols__udp__apiVersion", "2"),
            ("kuzzle_server_port", "5"),
            ("KUZZLE_server__port", "6"),
        ];
        let config = load(home.path(), variables(&environment)).unwrap();
        assert_eq!(config.server_port(), 9000);
        assert_eq!(config.max_request_size(), 2 << 20);
        assert_eq!(
            config.protocol("udp").unwrap(),
            &json!({"a": [3], "keep": true, "allowPubSub": true, "apiVersion": "2", "ratio": -1.5})
        );
    }

    #[test]
    fn a_protocol_sees_its_own_sections_without_the_hosts_keys() {
        let home = home(Some(
            r#"{"server": {"protocols": {"udp": {"enabled": true, "onPanic": "abort", "realtimeNotifications": true,
                "port": 7}, "mqtt": {"password": "x"}, "none": null}}}"#,
        ));
        let config = load(home.path(), variables(&[])).unwrap();
        let sections = ["udp".to_owned(), "none".to_owned(), "absent".to_owned()];
        let server: Value = serde_json::from_str(&config.server_json_for(&sections)).unwrap();
        assert_eq!(server["protocols"], json!({"udp": {"port": 7}, "none": {}, "absent": {}}));
        assert_eq!(server["port"], 7512);
        assert_eq!(config.options_for(&sections), server["protocols"]);
    }

    #[test]
    fn the_options_of_protocols_are_not_judged_here() {
        let home =
            home(Some(r#"{"server": {"protocols": {"coap": 5, "mqtt": {"enabled": "yes", "onPanic": 1}}}}"#));
        let config = load(home.path(), variables(&[])).unwrap();
        let (file, place) = config.source(&["server", "protocols", "mqtt", "onPanic"]).unwrap();
        assert!(file.ends_with(".kuzzlerc") && place.ends_with("line 1, column 76"), "{place}");
    }

    #[test]
    fn a_file_that_is_no_json_names_file_line_and_column() {
        let diagnostics = wrong("{\n  \"server\": }", &[]);
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].id, Id::ConfigurationCannotParse);
        assert!(diagnostics[0].message.contains("line 2, column"), "{}", diagnostics[0].message);
        assert!(diagnostics[0].path.ends_with(".kuzzlerc"));
        for text in ["[1]", "port=1", "{'a': 1}", "{} {}"] {
            assert_eq!(wrong(text, &[])[0].id, Id::ConfigurationCannotParse, "{text}");
        }
    }

    #[test]
    fn a_bad_json_variable_is_named_and_its_value_is_not_printed() {
        let diagnostics = wrong("{}", &[("kuzzle_server__protocols__udp__key", "*json:{secret")]);
        assert_eq!(diagnostics[0].id, Id::ConfigurationCannotParse);
        assert!(diagnostics[0].message.contains("kuzzle_server__protocols__udp__key"));
        assert!(!format!("{diagnostics:?}").contains("secret"));
    }

    #[test]
    fn wrong_types_of_used_keys_name_their_source() {
        let diagnostics = wrong("{\n \"server\": {\"host\": 5,\n  \"port\": \"no\"}}", &[]);
        assert_eq!(diagnostics.len(), 2);
        assert!(diagnostics.iter().all(|d| d.id == Id::ConfigurationInvalidType));
        assert!(diagnostics[1].message.contains("server.port"), "{}", diagnostics[1].message);
        assert!(diagnostics[1].message.contains("line 3, column"), "{}", diagnostics[1].message);
        let diagnostics = wrong("{}", &[("kuzzle_server__port", "70000")]);
        assert_eq!(diagnostics[0].id, Id::ConfigurationOutOfRange);
        assert!(diagnostics[0].message.contains("kuzzle_server__port"));
        let diagnostics = wrong("{}", &[("kuzzle_limits", r#"*json:{"concurrentRequests": "x"}"#)]);
        assert!(diagnostics[0].message.contains("variable kuzzle_limits)"), "{}", diagnostics[0].message);
        for (name, value) in [
            ("kuzzle_server", "1"),
            ("kuzzle_server__protocols", "x"),
            ("kuzzle_server__port", "7512.5"),
            ("kuzzle_server__maxRequestSize", "big"),
            ("kuzzle_limits__concurrentRequests", "true"),
            ("kuzzle_limits", "none"),
            ("kuzzle_server__protocolTrust__roots", "/x"),
        ] {
            let diagnostics = wrong("{}", &[(name, value)]);
            assert_eq!(diagnostics.len(), 1, "{name}: {diagnostics:?}");
            assert_eq!(diagnostics[0].id, Id::ConfigurationInvalidType, "{name}");
        }
    }
}
