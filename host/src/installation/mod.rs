//! What is on disk, with no code run: scan, trust, manifest, library and its image, options.
//!
//! [`survey()`] looks at everything that is enabled and collects all diagnostics of all protocols;
//! what passes comes as a [`Candidate`], which only `loading` can turn into something that runs.

pub(crate) mod archive;
mod dependencies;
mod file;
pub mod image;
pub(crate) mod library;
pub mod manifest;
mod nearest;
pub mod npm_range;
mod options;
mod scan;
mod schema;
mod survey;
pub mod target;
mod trust;

use std::path::PathBuf;

use serde_json::Value;

use crate::diagnostics::{Diagnostic, Id};

pub(crate) use nearest::nearest;
pub use survey::{survey, survey_in, survey_paths, survey_paths_for};

/// A protocol that has passed every check that can be made without running it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The manifest's name.
    pub name: String,
    /// The enabled entry, or the folder that was checked.
    pub entry: PathBuf,
    /// The library, links resolved.
    pub library: PathBuf,
    /// The manifest's version of the protocol.
    pub version: Option<String>,
    /// The names under `server.protocols` that it owns; never empty.
    pub sections: Vec<String>,
    /// `{section: options}` for every section, the host's own keys taken out, absent ones `{}`.
    pub options: Value,
    /// What to do when it panics.
    pub on_panic: OnPanic,
    /// How many connections it may have at once: `server.protocols.<section>.maxConnections`.
    pub max_connections: Option<u64>,
    /// What its note says.
    pub note: NoteSummary,
    /// Which file was inspected.
    pub identity: FileIdentity,
    /// Which optional functions it exports.
    pub exports: OptionalExports,
    /// The libraries that it needs, by name.
    pub needed: Vec<String>,
}

impl Candidate {
    /// Compares the library on disk with the file that was inspected.
    ///
    /// `None`: it is the same, as far as device, inode, size and times tell.
    pub fn changed_since_inspection(&self) -> Option<Diagnostic> {
        let help = "Install a library by renaming it into place, never by writing over it, then check again.";
        let changed = |found: String| {
            Diagnostic::error(
                Id::TrustChangedSinceInspection,
                &self.library,
                format!(
                    "The library of protocol \"{}\" is no longer the file that was inspected.",
                    self.name
                ),
                help,
            )
            .expected(self.identity.to_string())
            .found(found)
        };
        match std::fs::metadata(&self.library) {
            Ok(metadata) => {
                let now = FileIdentity::of(&metadata);
                (now != self.identity).then(|| changed(now.to_string()))
            }
            Err(error) => Some(changed(error.to_string())),
        }
    }
}

/// What to do when a protocol panics: `server.protocols.<section>.onPanic`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// Stop the protocol, and go on with the others.
    #[default]
    Stop,
    /// End the process at once, so that whoever watches over it starts it anew.
    Abort,
}

/// What a library's note says, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSummary {
    /// The ABI's major version.
    pub major: u16,
    /// The ABI's minor version.
    pub minor: u16,
    /// `FLAG_…` of `kuzzle_protocol_abi::raw::note`.
    pub flags: u32,
    /// Bytes of a pointer.
    pub pointer_size: u16,
    /// The compiler, as it calls itself.
    pub toolchain: String,
    /// The SDK or header.
    pub sdk: String,
}

/// Which of the optional functions a library exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionalExports {
    /// `kuzzle_protocol_start`.
    pub start: bool,
    /// `kuzzle_protocol_shutdown`.
    pub shutdown: bool,
    /// `kuzzle_protocol_get_extension`.
    pub get_extension: bool,
}

/// What distinguishes one state of one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Time of the last change of content or attributes: seconds and nanoseconds.
    pub ctime: (i64, i64),
}

impl FileIdentity {
    /// The identity of what `metadata` describes.
    #[cfg(unix)]
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The identity of what `metadata` describes; device and inode are unknown here and 0.
    #[cfg(not(unix))]
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        let since_epoch = |time: std::io::Result<std::time::SystemTime>| {
            let elapsed = time.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            elapsed.map_or((0, 0), |elapsed| (elapsed.as_secs() as i64, i64::from(elapsed.subsec_nanos())))
        };
        Self {
            dev: 0,
            ino: 0,
            size: metadata.len(),
            mtime: since_epoch(metadata.modified()),
            ctime: since_epoch(metadata.created()),
        }
    }
}

impl std::fmt::Display for FileIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "device {}, inode {}, {} bytes, modified {}.{:09}, changed {}.{:09}",
            self.dev, self.ino, self.size, self.mtime.0, self.mtime.1, self.ctime.0, self.ctime.1
        )
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can be loaded.
    Ok,
    /// It has errors.
    Refused,
    /// The configuration switches it off.
    Disabled,
}

impl Status {
    /// The word of the JSON contract: `ok`, `refused` or `disabled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Disabled => "disabled",
        }
    }
}

/// One entry of `protocols/enabled`, or one folder that was asked for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The manifest's name, if it could be read.
    pub name: Option<String>,
    /// The entry itself.
    pub path: PathBuf,
    /// The library, if one was found.
    pub library: Option<PathBuf>,
    /// What becomes of it.
    pub status: Status,
    /// Everything that is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// What can be loaded; `Some` exactly if `status` is [`Status::Ok`].
    pub candidate: Option<Candidate>,
}

/// What an installation holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The entries, sorted by file name.
    pub entries: Vec<Entry>,
    /// What is wrong beside the entries.
    pub diagnostics: Vec<Diagnostic>,
}

impl Survey {
    /// How many entries are refused.
    pub fn refused(&self) -> usize {
        self.entries.iter().filter(|entry| entry.status == Status::Refused).count()
    }

    /// Whether anything refuses to start: a refused entry, or an error beside the entries.
    pub fn has_errors(&self) -> bool {
        self.refused() > 0 || self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// What can be loaded, in order.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.entries.iter().filter_map(|entry| entry.candidate.as_ref())
    }

    /// `--strict`: an enabled entry with warnings is refused, warnings beside the entries are errors.
    #[must_use]
    pub fn strict(mut self) -> Self {
        for entry in &mut self.entries {
            if entry.status == Status::Ok && !entry.diagnostics.is_empty() {
                entry.status = Status::Refused;
                entry.candidate = None;
            }
        }
        for diagnostic in &mut self.diagnostics {
            diagnostic.severity = crate::diagnostics::Severity::Error;
        }
        self
    }
}
