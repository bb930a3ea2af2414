//! An installation folder of a test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::build;

/// A folder with `protocols/` and a `.kuzzlerc`, removed at the end of the test.
pub struct Installation {
    home: TempDir,
}

impl Installation {
    /// An empty one: no protocols, an empty configuration.
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("kuzzle-test-").tempdir();
        let new = Self { home: home.expect("there is a place for temporary folders") };
        // An own file, so that none is sought in the folders above.
        fs::write(new.home().join(".kuzzlerc"), "{}").unwrap();
        new
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `protocols/available/NAME`.
    pub fn available(&self, name: &str) -> PathBuf {
        self.home().join("protocols/available").join(name)
    }

    /// `protocols/enabled/NAME`.
    pub fn enabled(&self, name: &str) -> PathBuf {
        self.home().join("protocols/enabled").join(name)
    }

    /// Where the library of a protocol goes.
    pub fn library(&self, name: &str) -> PathBuf {
        use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
        self.available(name).join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
    }

    /// Writes a usual manifest.
    pub fn manifest(&self, name: &str) -> &Self {
        self.manifest_with(name, &json!({ "name": name, "kuzzleVersion": ">=2.0.0 <3.0.0" }))
    }

    /// Writes this manifest.
    pub fn manifest_with(&self, folder: &str, manifest: &Value) -> &Self {
        fs::create_dir_all(self.available(folder)).unwrap();
        fs::write(self.available(folder).join("manifest.json"), manifest.to_string()).unwrap();
        self
    }

    /// Links `enabled/NAME` to `available/NAME`.
    pub fn enable(&self, name: &str) -> &Self {
        fs::create_dir_all(self.home().join("protocols/enabled")).unwrap();
        std::os::unix::fs::symlink(format!("../available/{name}"), self.enabled(name)).unwrap();
        self
    }

    /// Installs and enables a Rust protocol of the workspace.
    pub fn rust(&self, name: &str, library: &str) -> &Self {
        self.manifest(name);
        fs::copy(build::rust_library(library), self.library(name)).unwrap();
        self.enable(name)
    }

    /// Compiles, installs and enables a protocol in C.
    pub fn c(&self, name: &str, compiler: &str, sources: &[&str], options: &[&str]) -> &Self {
        self.manifest(name);
        build::c_library(compiler, sources, options, &self.library(name));
        self.enable(name)
    }

    /// Compiles, installs and enables `tests/fixtures/FILE`.
    pub fn fixture(&self, name: &str, compiler: &str, file: &str, options: &[&str]) -> &Self {
        self.c(name, compiler, &[&format!("tests/fixtures/{file}")], options)
    }

    /// Installs and enables the sample protocol `line`, on a port that the system chooses.
    pub fn line(&self, compiler: &str) -> &Self {
        const SOURCES: [&str; 4] = ["line.c", "loop.c", "message.c", "registry.c"];
        let sources = SOURCES.map(|file| format!("sample-protocols/line/{file}"));
        self.c("line", compiler, &sources.each_ref().map(String::as_str), &[]);
        self.sample_manifest("line").options("line", &json!({ "port": 0 }))
    }

    /// Installs and enables the sample protocol `udp`, on a port that the system chooses.
    pub fn udp(&self) -> &Self {
        self.rust("udp", "kuzzle_protocol_udp");
        self.sample_manifest("udp").options("udp", &json!({ "port": 0 }))
    }

    /// Installs and enables the sample protocol `http-ws`, on a port that the system chooses.
    pub fn http_ws(&self) -> &Self {
        self.rust("http-ws", "kuzzle_protocol_http_ws");
        self.sample_manifest("http-ws").configure(&json!({ "server": { "port": 0 } }))
    }

    /// Installs and enables the sample protocol `mqtt`, on a port that the system chooses.
    pub fn mqtt(&self) -> &Self {
        self.rust("mqtt", "kuzzle_protocol_mqtt");
        self.sample_manifest("mqtt").options("mqtt", &json!({ "port": 0 }))
    }

    fn sample_manifest(&self, name: &str) -> &Self {
        let manifest = build::root().join("sample-protocols").join(name).join("manifest.json");
        fs::copy(manifest, self.available(name).join("manifest.json")).unwrap();
        self
    }

    /// Adds options to `server.protocols.NAME`.
    pub fn options(&self, name: &str, options: &Value) -> &Self {
        self.configure(&json!({ "server": { "protocols": { name: options } } }))
    }

    /// Adds to `.kuzzlerc`.
    pub fn configure(&self, configuration: &Value) -> &Self {
        let file = self.home().join(".kuzzlerc");
        let mut all = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        merge(&mut all, configuration);
        fs::write(file, all.to_string()).unwrap();
        self
    }
}

fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (under @ Value::Null, Value::Object(_)) => {
            *under = json!({});
            merge(under, over);
        }
        (under, over) => *under = over.clone(),
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self::new()
    }
}
