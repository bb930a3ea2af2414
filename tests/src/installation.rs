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
    /// An empty one: no protocols, no configuration.
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("kuzzle-test-").tempdir();
        Self { home: home.expect("there is a place for temporary folders") }
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

    /// Installs and enables a Rust protocol of the workspace, on a port of the system's choice.
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

    /// Writes `.kuzzlerc`.
    pub fn configure(&self, configuration: &Value) -> &Self {
        fs::write(self.home().join(".kuzzlerc"), configuration.to_string()).unwrap();
        self
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self::new()
    }
}
