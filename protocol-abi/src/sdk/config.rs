//! Reads a protocol's own options out of the `server` section that the host hands over.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The protocol's options cannot be used. The message names the option and what to do, never the
/// value of a string, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot use the configuration: `{path}`: {problem}; correct it in the configuration file or the environment"
)]
pub struct ConfigError {
    path: String,
    problem: String,
}

impl ConfigError {
    /// The option, for example `server.protocols.udp.port`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

/// `server` is JSON in which `protocols` holds only the protocol's own sections: of one section its
/// value is read, of several the whole object, of none `{}`.
pub(crate) fn read<T: DeserializeOwned>(server: &str) -> Result<T, ConfigError> {
    let broken = |path: &str, problem: String| ConfigError { path: path.to_owned(), problem };
    let mut server: Value =
        serde_json::from_str(server).map_err(|error| broken("server", format!("is not JSON: {error}")))?;
    let sections = match server.get_mut("protocols").map(Value::take) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(sections)) => sections,
        Some(_) => return Err(broken("server.protocols", "is not an object".to_owned())),
    };
    let (prefix, options) = match sections.len() {
        1 => {
            let (name, value) = sections.into_iter().next().expect("there is one section");
            (format!("server.protocols.{name}"), value)
        }
        _ => ("server.protocols".to_owned(), Value::Object(sections)),
    };
    let options = if options.is_null() { Value::Object(Map::new()) } else { options };
    serde_path_to_error::deserialize(options).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => prefix,
            path => format!("{prefix}.{path}"),
        };
        ConfigError { path, problem: without_strings(&error.into_inner().to_string()) }
    })
}

/// serde's messages quote the value that was found: `invalid type: string "…", expected u16`.
fn without_strings(message: &str) -> String {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}string{}", &message[..start], &message[end + 1..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Options {
        port: u16,
        host: Option<String>,
    }

    #[test]
    fn reads_the_only_section_whatever_its_name() {
        let options: Options =
            read(r#"{"host": "x", "protocols": {"mine": {"port": 7}}}"#).expect("these are fine");
        assert_eq!(options, Options { port: 7, host: None });
    }

    #[test]
    fn reads_several_sections_as_one_object() {
        let sections: std::collections::BTreeMap<String, Options> =
            read(r#"{"protocols": {"http": {"port": 1}, "websocket": {}}}"#).expect("these are fine");
        assert_eq!(sections["http"].port, 1);
        assert_eq!(sections.len(), 2);
    }

    #[test]
    fn reads_no_section_as_an_empty_one() {
        for server in
            ["{}", r#"{"protocols": {}}"#, r#"{"protocols": null}"#, r#"{"protocols": {"a": null}}"#]
        {
            assert_eq!(read::<Options>(server).expect(server), Options::default());
        }
    }

    #[test]
    fn names_the_option_and_hides_its_text() {
        let error = read::<Options>(r#"{"protocols": {"udp": {"port": "hunter2"}}}"#)
            .expect_err("a port is a number");
        assert_eq!(error.path(), "server.protocols.udp.port");
        assert_eq!(error.problem(), "invalid type: string, expected u16");
    }

    #[test]
    fn refuses_sections_that_are_no_object() {
        let error = read::<Options>(r#"{"protocols": 1}"#).expect_err("a number holds no sections");
        assert_eq!(error.path(), "server.protocols");
    }
}
