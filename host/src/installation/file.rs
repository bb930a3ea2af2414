//! Opening regular files for reading, and nothing else: a named pipe is never opened, sizes are
//! bounded, and what was opened is what was looked at.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use super::FileIdentity;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// There is none.
    #[error("it does not exist")]
    Absent,
    /// It is a folder, a named pipe, a socket or a device.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// It is too large.
    #[error("it has {size} bytes, more than {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The largest size allowed.
        limit: u64,
    },
    /// Another file was put there meanwhile.
    #[error("it was replaced while it was opened")]
    Replaced,
    /// Anything else.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Opens the regular file at `path`, links followed.
pub(super) fn open(path: &Path, limit: u64) -> Result<(File, Metadata), ReadError> {
    let before = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Absent,
        _ => ReadError::Io(error),
    })?;
    check(&before, limit)?;
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    // Should a named pipe have taken the place of the file just now, opening it must not wait.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let after = file.metadata()?;
    check(&after, limit)?;
    if FileIdentity::of(&before) != FileIdentity::of(&after) {
        return Err(ReadError::Replaced);
    }
    Ok((file, after))
}

/// Reads the whole regular file at `path`.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let (file, metadata) = open(path, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > limit { Err(ReadError::TooLarge { size, limit }) } else { Ok(bytes) }
}

fn check(metadata: &Metadata, limit: u64) -> Result<(), ReadError> {
    if !metadata.is_file() {
        return Err(ReadError::NotRegular(kind(metadata)));
    }
    let size = metadata.len();
    if size > limit { Err(ReadError::TooLarge { size, limit }) } else { Ok(()) }
}

/// What a file is, in words.
pub(super) fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_block_device() || kind.is_char_device() {
            return "a device";
        }
    }
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a link"
    } else {
        "a regular file"
    }
}
