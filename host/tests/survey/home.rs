//! Makes installations and libraries for these tests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use kuzzle_host::config;
use kuzzle_host::installation::{Entry, Survey, survey};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A protocol in C: as small as it can be.
pub(crate) const MINIMAL: &str = r#"
#include "kuzzle/protocol.h"
NOTE
int32_t kuzzle_protocol_init(const kuzzle_entry_point *entry_point, const kuzzle_context *context,
                             kuzzle_protocol **out, kuzzle_error *error) KUZZLE_NOEXCEPT {
  (void)entry_point; (void)context; (void)out; (void)error;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_broadcast(kuzzle_protocol *self, const kuzzle_broadcast *message) KUZZLE_NOEXCEPT {
  (void)self; (void)message;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_notify(kuzzle_protocol *self, const kuzzle_notification *message) KUZZLE_NOEXCEPT {
  (void)self; (void)message;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_join_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) KUZZLE_NOEXCEPT {
  (void)self; (void)connection; (void)channel;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_leave_channel(kuzzle_protocol *self, uint64_t connection, kuzzle_str channel) KUZZLE_NOEXCEPT {
  (void)self; (void)connection; (void)channel;
  return KUZZLE_OK;
}
int32_t kuzzle_protocol_disconnect(kuzzle_protocol *self, const kuzzle_disconnect *message) KUZZLE_NOEXCEPT {
  (void)self; (void)message;
  return KUZZLE_OK;
}
"#;

/// [`MINIMAL`] with its note.
pub(crate) fn minimal() -> String {
    with_note("KUZZLE_PROTOCOL_NOTE();")
}

/// [`MINIMAL`] with something else in the note's place.
pub(crate) fn with_note(note: &str) -> String {
    MINIMAL.replace("NOTE\n", &format!("{note}\n"))
}

/// Whether there is a C compiler; without one a test is skipped by name, or fails where `CI` is `true`.
pub(crate) fn has_cc(test: &str) -> bool {
    let works = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{test} needs a C compiler");
        eprintln!("skipped for want of a C compiler: {test}");
    }
    works
}

/// Compiles and links.
pub(crate) fn compile(code: &str, options: &[&str], output: &Path) {
    let source = output.with_extension("c");
    fs::write(&source, code).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-abi/include");
    let mut command = Command::new("cc");
    command.arg("-I").arg(include).args(["-fPIC", "-fvisibility=hidden", "-o"]).arg(output).arg(&source);
    let result = command.args(options).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    fs::remove_file(source).unwrap();
}

/// An installation.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(home.path().join("protocols/available")).unwrap();
        fs::create_dir_all(home.path().join("protocols/enabled")).unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn enabled(&self, name: &str) -> PathBuf {
        self.path().join("protocols/enabled").join(name)
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.path().join("protocols/available").join(name)
    }

    pub(crate) fn library(&self, name: &str) -> PathBuf {
        self.folder(name).join(format!("lib{name}.so"))
    }

    /// A folder with a usual manifest, and a link to it.
    pub(crate) fn add(&self, name: &str) -> &Self {
        fs::create_dir_all(self.folder(name)).unwrap();
        self.manifest(name, &json!({ "name": name, "kuzzleVersion": ">=2.0.0 <3.0.0" }));
        symlink(format!("../available/{name}"), self.enabled(name)).unwrap();
        self
    }

    pub(crate) fn manifest(&self, name: &str, manifest: &Value) -> &Self {
        fs::write(self.folder(name).join("manifest.json"), manifest.to_string()).unwrap();
        self
    }

    /// A protocol whose library is compiled from `code`.
    pub(crate) fn compiled(&self, name: &str, code: &str, options: &[&str]) -> &Self {
        self.add(name);
        compile(code, &[options, &["-shared"]].concat(), &self.library(name));
        self
    }

    /// A protocol with these bytes as its library.
    pub(crate) fn bytes(&self, name: &str, bytes: &[u8]) -> &Self {
        self.add(name);
        fs::write(self.library(name), bytes).unwrap();
        self
    }

    pub(crate) fn survey(&self) -> Survey {
        self.survey_with(&[])
    }

    pub(crate) fn survey_with(&self, environment: &[(&str, &str)]) -> Survey {
        let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        survey(self.path(), &config::load(self.path(), variables).unwrap())
    }

    /// The ids that the survey has for one entry.
    pub(crate) fn ids(&self, name: &str) -> BTreeSet<&'static str> {
        ids(entry(&self.survey(), name))
    }

    pub(crate) fn chmod(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

pub(crate) fn entry<'s>(survey: &'s Survey, name: &str) -> &'s Entry {
    let named = |entry: &&Entry| entry.path.file_name().is_some_and(|found| found == name);
    survey.entries.iter().find(named).unwrap_or_else(|| panic!("no entry {name}"))
}

pub(crate) fn ids(entry: &Entry) -> BTreeSet<&'static str> {
    entry.diagnostics.iter().map(|diagnostic| diagnostic.id.as_str()).collect()
}

pub(crate) fn set<const N: usize>(ids: [&'static str; N]) -> BTreeSet<&'static str> {
    ids.into_iter().collect()
}
