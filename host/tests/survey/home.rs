//! Makes installations and libraries for these tests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

/// The bytes of [`minimal`] as a library, compiled once.
pub(crate) fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("good.so");
        compile(&minimal(), &["-shared"], &library);
        fs::read(library).unwrap()
    })
}

/// Where things are in a healthy ELF64 library, to damage them.
pub(crate) struct Elf<'b>(pub(crate) &'b [u8]);

impl Elf<'_> {
    pub(crate) const LOAD: u32 = 1;
    pub(crate) const DYNAMIC: u32 = 2;
    pub(crate) const STRTAB: u64 = 5;
    pub(crate) const SYMTAB: u64 = 6;
    pub(crate) const RELA: u64 = 7;
    pub(crate) const STRSZ: u64 = 10;
    pub(crate) const VERNEED: u64 = 0x6fff_fffe;
    pub(crate) const VERNEEDNUM: u64 = 0x6fff_ffff;
    pub(crate) const GNU_HASH: u64 = 0x6fff_fef5;

    fn number(&self, at: usize, length: usize) -> u64 {
        self.0[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub(crate) fn u64(&self, at: usize) -> u64 {
        self.number(at, 8)
    }

    fn all_segments(&self) -> impl Iterator<Item = usize> {
        let (start, count) = (self.u64(32) as usize, self.number(56, 2) as usize);
        (0..count).map(move |index| start + 56 * index)
    }

    /// Where the program headers of one type are.
    pub(crate) fn segments(&self, kind: u32) -> Vec<usize> {
        self.all_segments().filter(|at| self.number(*at, 4) == u64::from(kind)).collect()
    }

    /// Where the entry of the dynamic segment with this tag is.
    pub(crate) fn dynamic(&self, tag: u64) -> Option<usize> {
        let segment = self.segments(Self::DYNAMIC)[0];
        let (start, length) = (self.u64(segment + 8) as usize, self.u64(segment + 32) as usize);
        (start..start + length).step_by(16).find(|at| self.u64(*at) == tag)
    }

    fn offset(&self, address: u64) -> usize {
        let of = |segment: usize| {
            let within = address.checked_sub(self.u64(segment + 16))?;
            (within < self.u64(segment + 32)).then(|| (self.u64(segment + 8) + within) as usize)
        };
        self.segments(Self::LOAD).into_iter().find_map(of).unwrap()
    }

    /// Where the table that this tag of the dynamic segment names begins.
    pub(crate) fn table(&self, tag: u64) -> Option<usize> {
        Some(self.offset(self.u64(self.dynamic(tag)? + 8)))
    }

    /// Where the dynamic symbol of this name is.
    pub(crate) fn symbol(&self, name: &str) -> usize {
        let (symbols, strings) = (self.table(Self::SYMTAB).unwrap(), self.table(Self::STRTAB).unwrap());
        let is_named = |at: &usize| {
            let text = &self.0[strings + self.number(*at, 4) as usize..];
            text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest[0] == 0)
        };
        (symbols..strings).step_by(24).find(is_named).unwrap()
    }

    /// Where the note is.
    pub(crate) fn note(&self) -> usize {
        self.offset(self.u64(self.symbol("kuzzle_protocol_abi") + 8))
    }

    /// Where headers, tables and their entries begin and end.
    pub(crate) fn boundaries(&self) -> Vec<usize> {
        let mut all = vec![0, 4, 16, 20, 64, self.note(), self.note() + 28, self.0.len()];
        for segment in self.all_segments() {
            let start = self.u64(segment + 8) as usize;
            all.extend([segment, segment + 56, start, start + self.u64(segment + 32) as usize]);
        }
        let (sections, count) = (self.u64(40) as usize, self.number(60, 2) as usize);
        all.extend((0..=count).map(|index| sections + 64 * index));
        for tag in [Self::SYMTAB, Self::STRTAB, Self::GNU_HASH, Self::RELA] {
            all.extend(self.dynamic(tag).into_iter().flat_map(|at| [at, at + 16]));
            all.extend(self.table(tag));
        }
        let symbols = self.table(Self::SYMTAB).unwrap();
        all.extend((0..8).map(|index| symbols + 24 * index));
        all.sort_unstable();
        all.dedup();
        all
    }
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
