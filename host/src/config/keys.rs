//! The keys that there are, and what each may hold.
//!
//! Keys and defaults are Kuzzle's (`lib/config/default.config.ts`), beside the host's own:
//! `server.host`, `server.shutdownTimeout`, `server.protocolTrust`, `server.appLogs.format`.

use serde_json::{Value, json};

use super::logs::FORMATS;

/// What a key may hold. Null is absent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A section: an object of which every key stands in [`KEYS`].
    Section,
    /// An object whose keys belong to somebody else.
    Free,
    /// A part of Kuzzle that this host does not have, or whose owner checks it: anything.
    Any,
    /// A non-empty string.
    Text,
    /// `true` or `false`.
    Boolean,
    /// An integer between these two.
    Integer(u64, u64),
    /// A number of bytes, or a text such as `1MB` (`lib/util/bytes.js`).
    Size,
    /// An array of strings.
    Texts,
    /// A string, or an array of strings.
    TextOrTexts,
    /// An array of objects.
    Objects,
    /// A level of logging, or levels by target.
    Levels,
    /// One of these strings.
    OneOf(&'static [&'static str]),
}

use Kind::{Any, Boolean, Free, Integer, Levels, Objects, OneOf, Section, Size, Text, TextOrTexts, Texts};

const MAX: u64 = u64::MAX;
/// The longest time, in milliseconds or seconds.
const TIME: u64 = u32::MAX as u64;

/// Every known key, the section before what is in it.
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("$schema", Any),
    ("application", Any),
    ("cluster", Any),
    ("controllers", Any),
    ("dump", Any),
    ("internal", Any),
    ("plugins", Any),
    ("realtime", Any),
    ("repositories", Any),
    ("security", Any),
    ("validation", Any),
    ("version", Any),
    ("http", Section),
    ("http.accessControlAllowHeaders", Text),
    ("http.accessControlAllowMethods", Text),
    ("http.accessControlAllowOrigin", TextOrTexts),
    ("http.accessControlAllowOriginUseRegExp", Boolean),
    ("http.cookieAuthentication", Boolean),
    ("http.routes", Any),
    ("limits", Section),
    ("limits.concurrentRequests", Integer(1, MAX)),
    ("limits.documentsFetchCount", Integer(1, MAX)),
    ("limits.documentsWriteCount", Integer(1, MAX)),
    ("limits.loginsPerSecond", Integer(1, MAX)),
    ("limits.requestsBufferSize", Integer(1, MAX)),
    ("limits.requestsBufferWarningThreshold", Integer(1, MAX)),
    ("limits.subscriptionConditionsCount", Integer(1, MAX)),
    ("limits.subscriptionDocumentTTL", Integer(0, MAX)),
    ("limits.subscriptionMinterms", Integer(0, MAX)),
    ("limits.subscriptionRooms", Integer(0, MAX)),
    ("server", Section),
    ("server.appLogs", Section),
    ("server.appLogs.format", OneOf(&["text", "json"])),
    ("server.appLogs.level", Levels),
    ("server.appLogs.targets", Objects),
    ("server.host", Text),
    ("server.logs", Section),
    ("server.logs.accessLogFormat", OneOf(FORMATS)),
    ("server.logs.accessLogIpOffset", Integer(0, TIME)),
    ("server.logs.transports", Objects),
    ("server.maxRequestSize", Size),
    ("server.port", Integer(0, 65_535)),
    ("server.protocolTrust", Section),
    ("server.protocolTrust.roots", Texts),
    ("server.protocols", Free),
    ("server.shutdownTimeout", Integer(0, TIME)),
    ("server.strictSdkVersion", Boolean),
    ("services", Section),
    ("services.common", Section),
    ("services.common.defaultInitTimeout", Integer(1, TIME)),
    ("services.common.retryInterval", Integer(1, TIME)),
    ("services.internalCache", Any),
    ("services.internalIndex", Any),
    ("services.memoryStorage", Any),
    ("services.storageEngine", Any),
    ("stats", Section),
    ("stats.enabled", Boolean),
    ("stats.statsInterval", Integer(1, TIME)),
    ("stats.ttl", Integer(1, TIME)),
];

/// What holds without any file, variable or flag.
///
/// No protocol has defaults here: each brings its own.
pub(super) fn defaults() -> Value {
    json!({
        "server": {
            "host": "127.0.0.1",
            "port": 7512,
            "maxRequestSize": "1MB",
            "strictSdkVersion": true,
            "shutdownTimeout": 5000,
            "appLogs": { "level": "info", "format": "text", "targets": [{ "preset": "stderr" }] },
            "logs": {
                "transports": [{ "transport": "console", "silent": true }],
                "accessLogFormat": "combined",
                "accessLogIpOffset": 0,
            },
            "protocols": {},
        },
        "http": {
            "accessControlAllowOrigin": "*",
            "accessControlAllowOriginUseRegExp": false,
            "accessControlAllowMethods": "GET,POST,PUT,PATCH,DELETE,OPTIONS,HEAD",
            "accessControlAllowHeaders": "Content-Type, Access-Control-Allow-Headers, Authorization, \
                X-Requested-With, Content-Encoding, Content-Length, X-Kuzzle-Volatile",
            "cookieAuthentication": true,
        },
        "limits": {
            "concurrentRequests": 100,
            "documentsFetchCount": 10_000,
            "documentsWriteCount": 200,
            "loginsPerSecond": 1,
            "requestsBufferSize": 50_000,
            "requestsBufferWarningThreshold": 5_000,
            "subscriptionConditionsCount": 100,
            "subscriptionMinterms": 0,
            "subscriptionRooms": 1_000_000,
            "subscriptionDocumentTTL": 259_200_000,
        },
        "services": { "common": { "defaultInitTimeout": 120_000, "retryInterval": 1_000 } },
        "stats": { "enabled": true, "ttl": 3_600, "statsInterval": 10 },
    })
}

/// The names of the keys directly in a section; `""` is the whole configuration.
pub(super) fn names_in(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |(key, _)| {
        let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
        (parent == section).then_some(name)
    })
}

/// The known key that the name of a variable may have meant, levels separated by one underscore or
/// written in another case: `server_port`.
pub(super) fn meant_by_variable(name: &str) -> Option<&'static str> {
    let squeezed = |text: &str| text.replace(['_', '.'], "").to_lowercase();
    let wanted = squeezed(name);
    KEYS.iter().map(|(key, _)| *key).find(|key| squeezed(key) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_known_and_every_key_has_its_section() {
        fn leaves(prefix: &str, value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) if !map.is_empty() => {
                    for (key, value) in map {
                        leaves(
                            &format!("{prefix}{}{key}", if prefix.is_empty() { "" } else { "." }),
                            value,
                            found,
                        );
                    }
                }
                _ => found.push(prefix.to_owned()),
            }
        }
        let mut found = Vec::new();
        leaves("", &defaults(), &mut found);
        for leaf in found {
            assert!(KEYS.iter().any(|(key, _)| *key == leaf), "{leaf}");
        }
        for (key, _) in KEYS {
            let Some((parent, _)) = key.rsplit_once('.') else { continue };
            assert!(KEYS.iter().any(|(key, kind)| *key == parent && matches!(kind, Section)), "{key}");
        }
    }

    #[test]
    fn a_variable_with_single_underscores_means_a_known_key() {
        assert_eq!(meant_by_variable("server_port"), Some("server.port"));
        assert_eq!(meant_by_variable("SERVER_maxrequestsize"), Some("server.maxRequestSize"));
        assert_eq!(meant_by_variable("server_prot"), None);
    }
}
