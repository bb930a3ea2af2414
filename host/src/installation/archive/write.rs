//! Writes an archive that is the same, byte for byte, whenever and by whomever it is written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::{MOST_ENTRIES, check_path};

/// 2000-01-01: some programs complain about the beginning of time.
const TIME: u64 = 946_684_800;

/// A file of an archive.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its path in the protocol's folder.
    pub(crate) path: PathBuf,
    /// Its contents.
    pub(crate) bytes: Vec<u8>,
    /// 0755 instead of 0644.
    pub(crate) executable: bool,
}

/// Writes an archive with one folder, `top`, that holds these files.
///
/// # Errors
/// A path can not stand in an archive, or it can not be written.
pub(crate) fn write(out: impl Write, top: &str, mut members: Vec<Member>) -> io::Result<()> {
    members.sort_by(|one, other| one.path.cmp(&other.path));
    // Neither a name nor a time nor the system.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::best());
    let mut archive = Builder::new(gzip);
    let mut folders = vec![PathBuf::from(top)];
    append(&mut archive, &folders[0], EntryType::Directory, 0o755, &[])?;
    for member in &members {
        let path = Path::new(top).join(&member.path);
        let above: Vec<_> =
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        for folder in above.into_iter().rev() {
            if !folders.iter().any(|known| known == folder) {
                append(&mut archive, folder, EntryType::Directory, 0o755, &[])?;
                folders.push(folder.to_owned());
            }
        }
        let mode = if member.executable { 0o755 } else { 0o644 };
        append(&mut archive, &path, EntryType::Regular, mode, &member.bytes)?;
    }
    if members.len() + folders.len() > MOST_ENTRIES {
        return Err(io::Error::other(format!("an archive holds at most {MOST_ENTRIES} files and folders")));
    }
    archive.into_inner()?.finish()?.flush()
}

fn append<W: Write>(
    archive: &mut Builder<W>,
    path: &Path,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    let failed =
        |reason: String| io::Error::other(format!("{} can not be archived: {reason}", path.display()));
    check_path(path).map_err(failed)?;
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path).map_err(|error| failed(error.to_string()))?;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    archive.append(&header, bytes)
}
