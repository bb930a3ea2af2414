//! A library as a file: what it is, what it exports, what its note says. Nothing of it is run.

mod container;
mod elf;
mod inspection;
mod macho;
mod magic;
mod pe;
mod trie;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use object::read::ReadCache;
use sha2::{Digest, Sha256};

use super::target::Target;
use super::{FileIdentity, NoteSummary, OptionalExports, file};
use crate::diagnostics::{Diagnostic, Id};
use elf::Elf;
use inspection::Inspection;

/// The largest library, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// All that a library tells about itself.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// What kind of file it is; `None` if that is not known.
    pub format: Option<String>,
    /// For which processor it is built.
    pub architecture: Option<String>,
    /// Bytes.
    pub size: u64,
    /// What its note says, if it has one that can be read.
    pub note: Option<NoteSummary>,
    /// The symbols of the interface that it exports.
    pub exports: Vec<String>,
    /// How many other symbols it exports.
    pub other_exports: usize,
    /// Which optional functions it exports.
    pub optional: OptionalExports,
    /// The libraries that it needs, by name.
    pub needed: Vec<String>,
    /// The newest version of glibc that it needs something of.
    pub needed_libc: Option<(u32, u32)>,
    /// Everything that keeps it from being loaded, and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Which file was inspected.
    pub identity: Option<FileIdentity>,
    /// The SHA-256 of the whole file, hexadecimal, if it was asked for.
    pub sha256: Option<String>,
}

/// Inspects the library at `path` for a machine like `target`.
pub fn inspect(path: &Path, target: &Target) -> Image {
    inspect_and_hash(path, target, false)
}

/// Inspects the library at `path`, and computes its SHA-256 from the same open file if asked to.
pub(super) fn inspect_and_hash(path: &Path, target: &Target, hash: bool) -> Image {
    let mut image = Image::default();
    match file::open(path, MAX_BYTES) {
        Ok((file, metadata)) => {
            image.size = metadata.len();
            image.identity = Some(FileIdentity::of(&metadata));
            if hash {
                image.sha256 = sha256(&file).ok();
            }
            Inspection { path, target, image: &mut image }.run(&file);
        }
        Err(file::ReadError::Absent) => {
            let help = "Put the library there, or correct \"main\" in manifest.json.";
            let message = "There is no such library.";
            image.diagnostics.push(Diagnostic::error(Id::LibraryNotFound, path, message, help));
        }
        Err(file::ReadError::Replaced) => {
            let message = "The library was replaced while it was opened.";
            let help = "Check again, once nobody installs anything.";
            image.diagnostics.push(Diagnostic::error(Id::TrustChangedSinceInspection, path, message, help));
        }
        Err(error) => {
            let message = format!("Could not read the library: {error}.");
            let help = "Make it a regular file of at most 1 GiB that the user of this process may read.";
            image.diagnostics.push(Diagnostic::error(Id::LibraryUnreadable, path, message, help));
        }
    }
    image
}

/// The dynamic loader that a program asks for.
pub(super) fn interpreter(program: &Path) -> Option<PathBuf> {
    let (file, _) = file::open(program, MAX_BYTES).ok()?;
    let cache = ReadCache::new(&file);
    #[cfg(target_pointer_width = "64")]
    type Header = elf::Header64;
    #[cfg(target_pointer_width = "32")]
    type Header = elf::Header32;
    Elf::<Header, _>::parse(&cache).ok()?.interpreter()
}

/// SHA-256 of a file from its beginning on, hexadecimal.
pub(crate) fn sha256(mut file: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
