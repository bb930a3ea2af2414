//! Who could change what the host would run: owners, modes and places of files.

use std::path::{Path, PathBuf};

use super::target::ProcessOwner;
use crate::diagnostics::{Diagnostic, Id};

/// Whom and what an installation trusts.
#[cfg_attr(not(unix), allow(dead_code, reason = "modes and owners are Unix's"))]
pub(super) struct Trust {
    process: Option<ProcessOwner>,
    /// The owner of the installation.
    home_owner: Option<u32>,
    /// Where protocols may lie, links resolved. `None`: anywhere.
    roots: Option<Vec<PathBuf>>,
}

impl Trust {
    /// Of the installation at `home`, with further roots.
    pub(super) fn of_installation(home: &Path, more: &[PathBuf], process: Option<ProcessOwner>) -> Self {
        let protocols = home.join("protocols");
        let places = [home.to_owned(), protocols.join("available"), protocols.join("enabled")];
        let roots = places.iter().chain(more).filter_map(|place| place.canonicalize().ok()).collect();
        Self { process, home_owner: owner(home), roots: Some(roots) }
    }

    /// Of folders that are checked by themselves, inside or outside of an installation.
    pub(super) fn of_paths(process: Option<ProcessOwner>) -> Self {
        Self { process, home_owner: None, roots: None }
    }

    /// Whether a folder or file, links resolved, lies where protocols may lie.
    pub(super) fn place(&self, target: &Path, entry: &Path) -> Option<Diagnostic> {
        let roots = self.roots.as_ref()?;
        if roots.iter().any(|root| target.starts_with(root)) || is_the_systems(target) {
            return None;
        }
        let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
        let message =
            format!("The entry leads to {}, which lies outside of the installation.", target.display());
        let help = format!(
            "Move it into protocols/available, or add {} to server.protocolTrust.roots.",
            target.parent().unwrap_or(target).display()
        );
        let diagnostic = Diagnostic::error(Id::TrustOutsideInstallation, entry, message, help);
        Some(diagnostic.expected(format!("below {}", roots.join(" or "))).found(target.display().to_string()))
    }

    /// Whether anybody else could change a file or folder.
    #[cfg(unix)]
    pub(super) fn permissions(&self, path: &Path) -> Vec<Diagnostic> {
        use std::os::unix::fs::MetadataExt;
        const STICKY: u32 = 0o1000;
        // What can not be looked at is told by whoever has to read it.
        let (Some(process), Ok(metadata)) = (self.process, std::fs::metadata(path)) else {
            return Vec::new();
        };
        let mut diagnostics = Vec::new();
        let mode = metadata.mode() & 0o7777;
        let shown = path.display();
        let sticky = metadata.is_dir() && mode & STICKY != 0;
        if mode & 0o002 != 0 && !sticky {
            let message = "Everybody may change it, so everybody could have the host run their code.";
            let help = format!("chmod o-w {shown}");
            let diagnostic = Diagnostic::error(Id::TrustWritableByOthers, path, message, help);
            diagnostics.push(diagnostic.expected("not writable by others").found(format!("mode {mode:04o}")));
        } else if mode & 0o020 != 0 && !sticky && metadata.gid() != process.gid {
            let message = format!("The members of group {} may change it.", metadata.gid());
            let help = format!("chmod g-w {shown}");
            let diagnostic = Diagnostic::warning(Id::TrustWritableByOthers, path, message, help);
            diagnostics
                .push(diagnostic.expected("not writable by the group").found(format!("mode {mode:04o}")));
        }
        let uid = metadata.uid();
        if uid != 0 && uid != process.uid && Some(uid) != self.home_owner {
            let message = format!("It belongs to user {uid}, who could have the host run their code.");
            let help = format!("chown {} {shown}", process.uid);
            let diagnostic = Diagnostic::error(Id::TrustWrongOwner, path, message, help)
                .expected(format!("root, user {} or the installation's owner", process.uid))
                .found(format!("user {uid}"));
            let in_container = process.uid == 0 && process.in_container;
            diagnostics.push(if in_container { diagnostic.as_warning() } else { diagnostic });
        }
        diagnostics
    }

    /// Modes and owners are not looked at here.
    #[cfg(not(unix))]
    pub(super) fn permissions(&self, _: &Path) -> Vec<Diagnostic> {
        Vec::new()
    }
}

#[cfg(unix)]
fn owner(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata))
}

#[cfg(not(unix))]
fn owner(_: &Path) -> Option<u32> {
    None
}

/// Whether a path belongs to root from end to end and nobody else may write there: a package's.
#[cfg(unix)]
fn is_the_systems(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.ancestors().all(|part| {
        std::fs::metadata(part).is_ok_and(|metadata| metadata.uid() == 0 && metadata.mode() & 0o022 == 0)
    })
}

#[cfg(not(unix))]
fn is_the_systems(_: &Path) -> bool {
    false
}
