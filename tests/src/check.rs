//! What `kuzzle-host check --format json` says.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::Host;

/// The result of `kuzzle-host check --format json`.
#[derive(Debug)]
pub struct Report {
    /// The exit status.
    pub status: Option<i32>,
    /// The one document on standard output.
    pub document: Value,
}

impl Report {
    /// Checks what is enabled below `home`, or what `arguments` say.
    pub fn of(home: &Path, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = ["check", "--format", "json"].iter().chain(arguments).copied().collect();
        let output = Host::run(home, &arguments);
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
            panic!("standard output is not one JSON document: {error}\n{stdout}\n{stderr}")
        });
        Self { status: output.status.code(), document }
    }

    /// What is said of the entry, or folder, of this name.
    pub fn entry(&self, name: &str) -> &Value {
        let entries = self.document["protocols"].as_array().expect("protocols is an array");
        let is_it = |entry: &&Value| {
            entry["path"].as_str().is_some_and(|path| Path::new(path).file_name() == Some(name.as_ref()))
        };
        entries.iter().find(is_it).unwrap_or_else(|| panic!("nothing is said of {name}: {self:?}"))
    }

    /// The ids of all diagnostics of this entry; what is said beside the entries is none's.
    ///
    /// # Panics
    /// If anything is said beside the entries.
    pub fn ids(&self, name: &str) -> BTreeSet<&str> {
        assert_eq!(self.document["diagnostics"], Value::Array(Vec::new()), "{self:?}");
        self.diagnostics(name).iter().map(|diagnostic| diagnostic["id"].as_str().unwrap()).collect()
    }

    /// The diagnostics of this entry.
    pub fn diagnostics(&self, name: &str) -> &[Value] {
        self.entry(name)["diagnostics"].as_array().expect("diagnostics is an array")
    }
}
