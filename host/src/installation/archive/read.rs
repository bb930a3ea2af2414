//! Unpacks an archive into a private temporary folder, within bounds: neither its names, nor its
//! numbers, nor its compression are trusted.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, EntryType};
use tempfile::TempDir;

use super::{MOST_BYTES, MOST_ENTRIES, check_path};
use crate::diagnostics::{Diagnostic, Id};
use crate::installation::file;

/// The largest archive, in bytes.
const MOST_PACKED: u64 = 1 << 30;
/// How many times larger than the archive its contents may be, if they are not small anyway.
const MOST_RATIO: u64 = 100;
/// Contents that are small anyway, in bytes.
const SMALL: u64 = 16 << 20;

/// An archive's contents, which are removed with this value.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Where it was unpacked, links resolved.
    root: PathBuf,
    /// The protocol's folder there.
    pub(crate) folder: PathBuf,
    _temporary: TempDir,
}

impl Unpacked {
    /// What is called by its place in the temporary folder, by its place in the archive at `path`.
    pub(crate) fn rename(&self, diagnostic: Diagnostic, path: &Path) -> Diagnostic {
        let (from, to) = (self.root.to_string_lossy(), path.to_string_lossy());
        let text = |text: String| text.replace(&*from, &to);
        Diagnostic {
            message: text(diagnostic.message),
            help: text(diagnostic.help),
            path: self.rename_path(&diagnostic.path, path),
            expected: diagnostic.expected.map(text),
            found: diagnostic.found.map(text),
            ..diagnostic
        }
    }

    /// Where that is in the temporary folder which is called by its place in the archive at `path`.
    pub(crate) fn real_path(&self, named: &Path, path: &Path) -> PathBuf {
        named.strip_prefix(path).map_or_else(|_| named.to_owned(), |inner| self.root.join(inner))
    }

    /// The same as [`Self::rename`] for a path.
    pub(crate) fn rename_path(&self, inner: &Path, path: &Path) -> PathBuf {
        inner.strip_prefix(&self.root).map_or_else(|_| inner.to_owned(), |inner| path.join(inner))
    }
}

/// Whether what is at `path` is meant to be an archive: by its name or its first bytes.
pub(crate) fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let begins_so = || {
        let mut head = [0; 2];
        file::open(path, u64::MAX).is_ok_and(|(mut file, _)| file.read_exact(&mut head).is_ok())
            && head == [0x1f, 0x8b]
    };
    is_file && (name.ends_with(".tar.gz") || name.ends_with(".tgz") || begins_so())
}

/// Unpacks the archive at `path`.
///
/// # Errors
/// It is damaged, or no archive of one protocol.
pub(crate) fn unpack(path: &Path) -> Result<Unpacked, Diagnostic> {
    unpack_or_say(path).map_err(|(reason, help)| {
        let message = format!("The archive can not be used: {reason}.");
        Diagnostic::error(Id::ArchiveInvalid, path, message, help)
    })
}

/// What is wrong, and what to do.
type Failure = (String, &'static str);

const MAKE: &str = "Make the archive with `kuzzle-host pack DIR`.";
const AGAIN: &str = "Get the archive again.";

fn unpack_or_say(path: &Path) -> Result<Unpacked, Failure> {
    let readable = "Make it a regular file that the user of this process may read.";
    let (file, metadata) = file::open(path, MOST_PACKED).map_err(|error| (error.to_string(), readable))?;
    let room = "Make room in the folder for temporary files, or set TMPDIR.";
    let no_room = |error: io::Error| (format!("there is no place to unpack it: {error}"), room);
    let temporary = tempfile::Builder::new().prefix("kuzzle-archive-").tempdir().map_err(no_room)?;
    let root = temporary.path().canonicalize().map_err(no_room)?;
    let most = metadata.len().saturating_mul(MOST_RATIO).clamp(SMALL, MOST_BYTES);
    let contents = Bounded { inner: MultiGzDecoder::new(BufReader::new(file)), left: most, most };
    let top = unpack_into(&root, contents)?;
    Ok(Unpacked { folder: root.join(top), root, _temporary: temporary })
}

/// Unpacks all entries below `root`, and gives the name of the one folder that holds them.
fn unpack_into(root: &Path, contents: impl Read) -> Result<String, Failure> {
    let damaged = |error: io::Error| (format!("it is damaged: {error}"), AGAIN);
    let mut archive = Archive::new(contents);
    let (mut seen, mut tops) = (BTreeSet::new(), BTreeSet::new());
    // Raw: extended headers, which could be of any length, are not read.
    for (number, entry) in archive.entries().map_err(damaged)?.raw(true).enumerate() {
        let mut entry = entry.map_err(damaged)?;
        if number >= MOST_ENTRIES {
            return Err((format!("it holds more than {MOST_ENTRIES} files and folders"), MAKE));
        }
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let bytes = entry.header().path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let refused = |reason: String| (format!("it holds \"{shown}\", and {reason}"), MAKE);
        let text = std::str::from_utf8(&bytes).map_err(|_| refused("it is not UTF-8".to_owned()))?;
        check_kind(kind).map_err(refused)?;
        let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
        // The folder in which it was made.
        if path.as_os_str().is_empty() && kind == EntryType::Directory {
            continue;
        }
        check_path(&path).map_err(refused)?;
        // Names that differ by case only are one file on some platforms.
        let is_new = seen.insert(path.to_string_lossy().to_lowercase());
        if !is_new && kind != EntryType::Directory {
            return Err(refused("that is there twice".to_owned()));
        }
        let top = path.components().next().map(|top| top.as_os_str().to_string_lossy().into_owned());
        tops.extend(top);
        let mode = entry.header().mode().unwrap_or(0o644);
        let place = root.join(&path);
        if kind == EntryType::Directory {
            fs::create_dir_all(&place).and_then(|()| set_mode(&place, mode | 0o700)).map_err(damaged)?;
        } else {
            if path.parent().is_none_or(|parent| parent.as_os_str().is_empty()) {
                return Err(refused("it does not lie in the protocol's folder".to_owned()));
            }
            let folder = place.parent().unwrap_or(root);
            fs::create_dir_all(folder).map_err(damaged)?;
            let size = entry.size();
            let mut file = OpenOptions::new().write(true).create_new(true).open(&place).map_err(damaged)?;
            let copied = io::copy(&mut entry, &mut file).map_err(damaged)?;
            if copied != size {
                return Err(("it is damaged: it ends within a file".to_owned(), AGAIN));
            }
            set_mode(&place, mode | 0o600).map_err(damaged)?;
        }
    }
    // To the end, so that the checksum of what was unpacked is compared.
    check_end(archive.into_inner()).map_err(damaged)?;
    match (tops.pop_first(), tops.pop_first()) {
        (Some(top), None) => Ok(top),
        (None, _) => Err(("it is empty".to_owned(), MAKE)),
        (Some(first), Some(second)) => {
            Err((format!("it holds \"{first}\" and \"{second}\", not one folder"), MAKE))
        }
    }
}

fn check_kind(kind: EntryType) -> Result<(), String> {
    let what = match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => return Ok(()),
        EntryType::Symlink | EntryType::Link => "that is a link",
        EntryType::Char | EntryType::Block | EntryType::Fifo => "that is a device or a named pipe",
        EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
            "that has extended headers (tar --format=ustar makes none)"
        }
        _ => "that is no regular file",
    };
    Err(what.to_owned())
}

/// Nothing may follow the end of the archive but padding.
fn check_end(mut rest: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(()),
            length if buffer[..length].iter().all(|byte| *byte == 0) => {}
            _ => return Err(io::Error::other("something follows its end")),
        }
    }
}

/// Sets a mode as the archive has it, so that what is said of trust is said of the archive.
#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// A reader that fails when more than a number of bytes come out of it.
struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        match self.left.checked_sub(length as u64) {
            Some(left) => {
                self.left = left;
                Ok(length)
            }
            None => Err(io::Error::other(format!("it unpacks to more than {} bytes", self.most))),
        }
    }
}
