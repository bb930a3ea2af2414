//! Typed access to the merged values: every key that the host uses is checked here, and an error
//! names the source of the value, never the value itself where it could be a secret.

use serde_json::{Map, Value};

use super::keys::{self, KEYS, Kind};
use super::layers::{self, Layer, Origin, find};
use super::type_name;
use crate::diagnostics::{Diagnostic, Id};
use crate::installation::nearest;
use crate::logging::{EXPECTED, Levels};

/// How many unknown keys are told, each.
const MAX_UNKNOWN: usize = 50;

/// Reads keys and collects what is wrong with them.
pub(super) struct Checker<'a> {
    root: &'a Value,
    defaults: &'a Value,
    layers: &'a [Layer],
    wrong: Vec<&'static str>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// Checks every known key, and that all keys are known. The first layer holds the defaults.
    pub(super) fn new(root: &'a Value, layers: &'a [Layer]) -> Self {
        let defaults = layers.first().map_or(&Value::Null, |layer| &layer.value);
        let mut checker = Self { root, defaults, layers, wrong: Vec::new(), diagnostics: Vec::new() };
        for (key, kind) in KEYS {
            checker.check(key, *kind);
        }
        checker.limits();
        checker.unknown_keys();
        checker
    }

    /// Everything that was wrong.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// The text at a known key, or its default.
    pub(super) fn text(&self, key: &str) -> String {
        self.value(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The integer at a known key, or its default.
    pub(super) fn integer(&self, key: &str) -> u64 {
        self.value(key).and_then(integer).unwrap_or_default()
    }

    /// The size at a known key, in bytes, or its default.
    pub(super) fn bytes(&self, key: &str) -> u64 {
        self.value(key).and_then(bytes).unwrap_or_default()
    }

    /// The texts at a known key, or its default.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let items = self.value(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// Whether a known key is true, or its default.
    pub(super) fn boolean(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The objects at a known key, or its default.
    pub(super) fn objects(&self, key: &str) -> Vec<&'a Map<String, Value>> {
        let items = self.value(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().filter_map(Value::as_object).collect()
    }

    /// What to tell of something wrong at a known key: the message ends with the source of the value.
    pub(super) fn refused(&self, id: Id, key: &str, wrong: &str, help: String) -> Diagnostic {
        let path: Vec<&str> = key.split('.').collect();
        let (file, place) = layers::place(self.layers, &path).unwrap_or_default();
        Diagnostic::error(id, file, format!("The configuration's {wrong} ({place})."), help)
    }

    /// Tells something wrong that another check has found.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The value at a known key if it is right, else its default.
    fn value(&self, key: &str) -> Option<&'a Value> {
        let path: Vec<&str> = key.split('.').collect();
        let is_wrong = self.is_wrong(key);
        let given = find(self.root, &path).filter(|value| !is_wrong && !value.is_null());
        given.or_else(|| find(self.defaults, &path))
    }

    /// Whether the key, or a section that it is in, was found wrong.
    fn is_wrong(&self, key: &str) -> bool {
        self.wrong
            .iter()
            .any(|wrong| key.strip_prefix(wrong).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    fn check(&mut self, key: &'static str, kind: Kind) {
        let path: Vec<&str> = key.split('.').collect();
        let Some(value) = find(self.root, &path).filter(|value| !value.is_null()) else { return };
        let Err((id, expected, found)) = fits(kind, value) else { return };
        self.wrong.push(key);
        let Some((file, place)) = layers::place(self.layers, &path) else { return };
        let message = format!("The configuration key \"{key}\" can not be used ({place}).");
        let help = format!("Set \"{key}\" to {expected}, or remove it to get the default.");
        self.diagnostics.push(Diagnostic::error(id, file, message, help).expected(expected).found(found));
    }

    /// The rules between limits (`checkLimitsConfig` in Kuzzle's `lib/config/index.ts`).
    fn limits(&mut self) {
        const CONCURRENT: &str = "limits.concurrentRequests";
        const THRESHOLD: &str = "limits.requestsBufferWarningThreshold";
        const BUFFER: &str = "limits.requestsBufferSize";
        if [CONCURRENT, THRESHOLD, BUFFER].iter().any(|key| self.is_wrong(key)) {
            return;
        }
        let [concurrent, threshold, buffer] = [CONCURRENT, THRESHOLD, BUFFER].map(|key| self.integer(key));
        if concurrent >= buffer {
            self.disagree(CONCURRENT, BUFFER, format!("an integer below \"{BUFFER}\", which is {buffer}"));
            return;
        }
        let expected = format!("an integer from \"{CONCURRENT}\" to \"{BUFFER}\", {concurrent} to {buffer}");
        if threshold < concurrent {
            self.disagree(THRESHOLD, CONCURRENT, expected);
        } else if threshold > buffer {
            self.disagree(THRESHOLD, BUFFER, expected);
        }
    }

    /// Reports two limits that can not stand together, at the one that somebody has set.
    fn disagree(&mut self, key: &'static str, other: &'static str, expected: String) {
        let is_default = |key: &str| {
            let path: Vec<&str> = key.split('.').collect();
            matches!(layers::origin(self.layers, &path), None | Some(Origin::Default))
        };
        let blamed = if is_default(key) { other } else { key };
        let path: Vec<&str> = blamed.split('.').collect();
        let (file, place) = layers::place(self.layers, &path).unwrap_or_default();
        let found = self.integer(key).to_string();
        let message = format!(
            "The configuration keys \"{key}\", {found}, and \"{other}\", {}, can not stand together ({place}).",
            self.integer(other)
        );
        let help = format!("Set \"{key}\" to {expected}, or change \"{other}\".");
        let diagnostic = Diagnostic::error(Id::ConfigurationOutOfRange, file, message, help);
        self.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    /// Warns about keys that nobody reads, in the sections of which all keys are known.
    fn unknown_keys(&mut self) {
        let sections = KEYS.iter().filter(|(_, kind)| matches!(kind, Kind::Section)).map(|(key, _)| *key);
        let mut told = 0;
        for section in std::iter::once("").chain(sections) {
            let path: Vec<&str> = section.split('.').filter(|key| !key.is_empty()).collect();
            let Some(Value::Object(given)) = find(self.root, &path) else { continue };
            for key in given.keys() {
                if keys::names_in(section).any(|known| known == key) {
                    continue;
                }
                told += 1;
                if told <= MAX_UNKNOWN {
                    let warning = self.unknown_key(section, &path, key);
                    self.diagnostics.push(warning);
                }
            }
        }
        if told > MAX_UNKNOWN {
            let message = format!("{} more configuration keys are unknown.", told - MAX_UNKNOWN);
            let help = "Correct or remove those that are told first.";
            self.diagnostics.push(Diagnostic::warning(Id::ConfigurationUnknownKey, "", message, help));
        }
    }

    fn unknown_key(&self, section: &str, parents: &[&str], key: &str) -> Diagnostic {
        let path: Vec<&str> = parents.iter().copied().chain([key]).collect();
        let name = path.join(".");
        let (file, place) = layers::place(self.layers, &path).unwrap_or_default();
        let message = format!("The configuration key \"{name}\" is unknown; nothing reads it ({place}).");
        let variable = match layers::origin(self.layers, &path) {
            Some(Origin::Environment(variable)) => Some(variable),
            _ => None,
        };
        let squeezed = variable.as_ref().filter(|_| section.is_empty() && key.contains('_'));
        let help = if let Some(meant) = squeezed.and_then(|_| keys::meant_by_variable(key)) {
            let meant = meant.replace('.', "__");
            format!("Did you mean kuzzle_{meant}? Two underscores separate the levels of a key.")
        } else if let Some(near) = nearest(key, keys::names_in(section)) {
            let path: Vec<&str> = parents.iter().copied().chain([near]).collect();
            match variable {
                Some(_) => format!("Did you mean kuzzle_{}?", path.join("__")),
                None => format!("Did you mean \"{}\"?", path.join(".")),
            }
        } else if squeezed.is_some() {
            "Correct or remove it: two underscores separate the levels of a key, as in kuzzle_server__port."
                .to_owned()
        } else {
            "Correct or remove it.".to_owned()
        };
        Diagnostic::warning(Id::ConfigurationUnknownKey, file, message, help)
    }
}

/// Why a value does not fit: the id, what would have been right, what is there.
type Misfit = (Id, String, String);

fn fits(kind: Kind, value: &Value) -> Result<(), Misfit> {
    let is_texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let (right, expected) = match kind {
        Kind::Any => return Ok(()),
        Kind::Integer(least, most) => return fits_integer(value, least, most),
        Kind::OneOf(texts) => {
            let expected = texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(" or ");
            (value.as_str().is_some_and(|value| texts.contains(&value)), expected)
        }
        Kind::Levels => {
            return match value.as_str().map(str::parse::<Levels>) {
                Some(Ok(_)) => Ok(()),
                Some(Err(found)) => Err((Id::ConfigurationInvalidType, EXPECTED.to_owned(), found)),
                None => Err((Id::ConfigurationInvalidType, EXPECTED.to_owned(), told(value))),
            };
        }
        Kind::Section | Kind::Free => (value.is_object(), "an object".to_owned()),
        Kind::Text => (is_text(value), "a non-empty string".to_owned()),
        Kind::Boolean => (value.is_boolean(), "true or false".to_owned()),
        Kind::Size => {
            let right = bytes(value).is_some_and(|size| size > 0);
            (right, "a number of bytes, or a text such as \"1MB\" (kb, mb, gb, tb)".to_owned())
        }
        Kind::Texts => (is_texts(value), "an array of strings".to_owned()),
        Kind::TextOrTexts => {
            (is_text(value) || is_texts(value), "a non-empty string, or an array of strings".to_owned())
        }
        Kind::Objects => {
            let right = value.as_array().is_some_and(|items| items.iter().all(Value::is_object));
            (right, "an array of objects".to_owned())
        }
    };
    if right { Ok(()) } else { Err((Id::ConfigurationInvalidType, expected, told(value))) }
}

fn fits_integer(value: &Value, least: u64, most: u64) -> Result<(), Misfit> {
    let expected = if most == u64::MAX {
        format!("an integer of at least {least}")
    } else {
        format!("an integer from {least} to {most}")
    };
    let Value::Number(number) = value else {
        return Err((Id::ConfigurationInvalidType, expected, told(value)));
    };
    match integer(value) {
        Some(number) if (least..=most).contains(&number) => Ok(()),
        None if number.as_f64().is_some_and(|number| number.fract() != 0.0) => {
            Err((Id::ConfigurationInvalidType, expected, number.to_string()))
        }
        _ => Err((Id::ConfigurationOutOfRange, expected, number.to_string())),
    }
}

/// What is there, without texts of people.
fn told(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "an empty string".to_owned(),
        other => type_name(other).to_owned(),
    }
}

/// A number without fraction, `5.0` too.
fn integer(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let is_whole = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
        is_whole.then_some(number as u64)
    })
}

/// A size: a number of bytes, or a text such as `1MB` (`lib/util/bytes.js`): the first run of digits,
/// times the unit that occurs anywhere.
fn bytes(value: &Value) -> Option<u64> {
    let Value::String(text) = value else { return integer(value) };
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let digits: String = text[start..].chars().take_while(char::is_ascii_digit).collect();
    let lower = text.to_ascii_lowercase();
    let shift = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40)]
        .iter()
        .find_map(|(unit, shift)| lower.contains(unit).then_some(*shift))
        .unwrap_or(0);
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Sources, load_all, load_from};
    use super::*;

    fn told(kuzzlerc: &str, variables: &[(&str, &str)]) -> Vec<Diagnostic> {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".kuzzlerc"), kuzzlerc).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load_all(home.path(), variables).1
    }

    #[test]
    fn every_key_of_wrong_type_is_told_with_its_source() {
        for (key, kind) in KEYS.iter().filter(|(_, kind)| !matches!(kind, Kind::Any)) {
            let wrong = match kind {
                Kind::Objects | Kind::Texts | Kind::TextOrTexts => "*json:[5]",
                _ => "*json:[]",
            };
            let name = format!("kuzzle_{}", key.replace('.', "__"));
            let told = told("{}", &[(&name, wrong)]);
            assert_eq!(told.len(), 1, "{key}: {told:?}");
            assert_eq!(told[0].id, Id::ConfigurationInvalidType, "{key}");
            assert!(told[0].message.contains(&format!("the environment variable {name})")), "{told:?}");
            assert!(told[0].expected.is_some() && told[0].found.is_some());
        }
        for (key, value) in [("server__logs__accessLogFormat", "xml"), ("http__cookieAuthentication", "1")] {
            assert_eq!(told("{}", &[(&format!("kuzzle_{key}"), value)])[0].id, Id::ConfigurationInvalidType);
        }
    }

    #[test]
    fn integers_out_of_range_are_told() {
        for (key, kind) in KEYS {
            let Kind::Integer(least, most) = kind else { continue };
            let name = format!("kuzzle_{}", key.replace('.', "__"));
            for wrong in [Some(i128::from(*least) - 1), (*most < u64::MAX).then(|| i128::from(*most) + 1)] {
                let Some(wrong) = wrong else { continue };
                let told = told("{}", &[(&name, &wrong.to_string())]);
                assert_eq!(told[0].id, Id::ConfigurationOutOfRange, "{key} {wrong}: {told:?}");
                assert_eq!(told.len(), 1, "{told:?}");
            }
        }
        assert_eq!(told(r#"{"server": {"port": 5.0}}"#, &[]), []);
        assert_eq!(told(r#"{"server": {"port": 5.5}}"#, &[])[0].id, Id::ConfigurationInvalidType);
        assert_eq!(told(r#"{"server": {"port": 1e300}}"#, &[])[0].id, Id::ConfigurationOutOfRange);
    }

    #[test]
    fn limits_must_agree_as_in_kuzzle() {
        for (limits, keys) in [
            (r#"{"concurrentRequests": 50000}"#, "limits.concurrentRequests"),
            (r#"{"requestsBufferSize": 100}"#, "limits.concurrentRequests"),
            (r#"{"requestsBufferSize": 4999}"#, "limits.requestsBufferWarningThreshold"),
            (r#"{"requestsBufferWarningThreshold": 99}"#, "limits.requestsBufferWarningThreshold"),
            (r#"{"requestsBufferWarningThreshold": 50001}"#, "limits.requestsBufferWarningThreshold"),
        ] {
            let told = told(&format!("{{\n\"limits\": {limits}}}"), &[]);
            assert_eq!(told.len(), 1, "{limits}: {told:?}");
            assert_eq!(told[0].id, Id::ConfigurationOutOfRange);
            assert!(told[0].help.contains(&format!("Set \"{keys}\"")), "{told:?}");
            // Told where somebody has set one of the two, even if the other one breaks the rule.
            assert!(told[0].message.contains(".kuzzlerc, line 2, column"), "{told:?}");
        }
        let agreed = r#"{"limits": {"concurrentRequests": 1, "requestsBufferSize": 2, "requestsBufferWarningThreshold": 2}}"#;
        assert_eq!(told(agreed, &[]), []);
    }

    #[test]
    fn unknown_keys_are_warnings_with_the_nearest_known_name() {
        let told = told(
            "{\n\"sever\": {},\n\"server\": {\"prot\": 1, \"x\": {\"y\": 1}},\n\"services\": {\"common\": {\"retryintervall\": 1}}}",
            &[
                ("kuzzle_server_port", "1"),
                ("kuzzle_limits__ConcurrentRequests", "2"),
                ("kuzzle_protocols_mqtt_port", "1"),
                ("KUZZLE_server__port", "1"),
                ("KUZZLE_HOME", "/"),
                ("kuzzle_server__protocols__coap__anything", "1"),
                ("kuzzle_plugins__mine__anything", "1"),
            ],
        );
        assert!(
            told.iter().all(|told| told.id == Id::ConfigurationUnknownKey && !told.is_error()),
            "{told:?}"
        );
        let all: Vec<String> = told.iter().map(|told| format!("{} {}", told.message, told.help)).collect();
        for (key, place, meant) in [
            ("\"sever\"", "line 2, column 10", "\"server\""),
            ("\"server.prot\"", "line 3, column 20", "\"server.port\""),
            ("\"server.x\"", "line 3", "Correct or remove it."),
            ("\"services.common.retryintervall\"", "line 4", "\"services.common.retryInterval\""),
            ("\"server_port\"", "variable kuzzle_server_port", "kuzzle_server__port?"),
            ("ConcurrentRequests", "kuzzle_limits__ConcurrentRequests", "kuzzle_limits__concurrentRequests?"),
            ("protocols_mqtt_port", "variable kuzzle_protocols_mqtt_port", "two underscores"),
            ("KUZZLE_server__port", "upper and lower case differ", "kuzzle_"),
        ] {
            let found = |text: &&String| [key, place, meant].iter().all(|part| text.contains(part));
            assert_eq!(all.iter().filter(found).count(), 1, "{key}: {all:#?}");
        }
        assert_eq!(told.len(), 8, "{all:#?}");
    }

    #[test]
    fn a_flood_of_unknown_keys_is_counted() {
        let keys: Vec<String> = (0..2_000).map(|key| format!("\"unknown{key}\": 0")).collect();
        let told = told(&format!("{{{}}}", keys.join(",")), &[]);
        assert_eq!(told.len(), MAX_UNKNOWN + 1);
        assert!(told[MAX_UNKNOWN].message.contains("1950 more"), "{:?}", told[MAX_UNKNOWN]);
    }

    #[test]
    fn a_flag_is_named_by_what_it_sets() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".kuzzlerc"), "{}").unwrap();
        let sources =
            Sources { flags: vec![("server.port".to_owned(), "no".to_owned())], ..Sources::default() };
        let told = load_from(home.path(), &sources).1;
        assert!(told[0].message.contains("(the flag --set server.port)"), "{told:?}");
    }
}
