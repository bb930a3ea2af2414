//! Which file of a protocol's folder is the library: found by name, never by content.

use std::path::{Component, Path, PathBuf};

use super::manifest::{FILE_NAME, Main};
use super::target::Target;
use crate::diagnostics::{Diagnostic, Id};

/// Finds the library that `main` names, or the only one there is.
pub(super) fn find(folder: &Path, main: &Main, target: &Target) -> Result<PathBuf, Diagnostic> {
    match main {
        Main::Any => only_one(folder, target),
        Main::Path(path) => named(folder, path, target),
        Main::OtherPlatforms(platforms) => {
            let message =
                format!("The manifest's \"main\" names no library for this platform, {}.", target.key);
            let help =
                format!("Build the protocol for {0} and name its library as \"main.{0}\".", target.key);
            let found = if platforms.is_empty() { "none".to_owned() } else { platforms.join(", ") };
            Err(Diagnostic::error(Id::LibraryNotFound, folder.join(FILE_NAME), message, help)
                .expected(&target.key)
                .found(found))
        }
    }
}

fn only_one(folder: &Path, target: &Target) -> Result<PathBuf, Diagnostic> {
    let unreadable = |error: std::io::Error| {
        Diagnostic::error(
            Id::LibraryNotFound,
            folder,
            format!("Could not look for a library in the folder: {error}."),
            "Let the user of this process read the folder.",
        )
    };
    let mut names = Vec::new();
    for item in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = item.map_err(unreadable)?.file_name();
        let text = name.to_string_lossy();
        if !text.starts_with('.') && text.ends_with(target.suffix) && text.len() > target.suffix.len() {
            names.push(name);
        }
    }
    names.sort();
    let files: Vec<_> = names.iter().filter(|name| folder.join(name).is_file()).collect();
    let expected = format!("one file named *{}", target.suffix);
    match (files.as_slice(), names.as_slice()) {
        ([only], _) => Ok(folder.join(only)),
        // Something has the right name but can not be opened: reading it tells why.
        ([], [only]) => Ok(folder.join(only)),
        ([], []) => {
            let message = format!("The protocol's folder holds no shared library (*{}).", target.suffix);
            let help = format!(
                "Put the protocol's library for {} into the folder, or name it as \"main\" in {FILE_NAME}.",
                target.key
            );
            Err(Diagnostic::error(Id::LibraryNotFound, folder, message, help)
                .expected(expected)
                .found("none"))
        }
        _ => {
            let found: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
            let message = format!(
                "The protocol's folder holds several shared libraries (*{}) and its manifest does not say which \
                 one is meant.",
                target.suffix
            );
            let help = format!("Name the protocol's library as \"main\" in {FILE_NAME}.");
            Err(Diagnostic::error(Id::LibraryAmbiguous, folder, message, help)
                .expected(expected)
                .found(found.join(", ")))
        }
    }
}

fn named(folder: &Path, main: &Path, target: &Target) -> Result<PathBuf, Diagnostic> {
    let tried = variants(main, target);
    let there = |path: &&PathBuf| folder.join(path).symlink_metadata().is_ok_and(|found| !found.is_dir());
    if let Some(path) = tried.iter().find(there) {
        return Ok(folder.join(path));
    }
    // A folder with the exact name: reading it tells what is wrong with that.
    if let Some(path) = tried.iter().find(|path| folder.join(path).is_dir() && path.extension().is_some()) {
        return Ok(folder.join(path));
    }
    let names: Vec<_> = tried.iter().map(|path| path.to_string_lossy()).collect();
    let message = format!("There is no library \"{}\" in the protocol's folder.", main.display());
    let help = format!("Put the library there, or correct \"main\" in {FILE_NAME}.");
    Err(Diagnostic::error(Id::LibraryNotFound, folder, message, help)
        .expected(names.join(" or "))
        .found("none of them"))
}

/// The paths that a `main` may mean, most exact first.
pub(crate) fn variants(main: &Path, target: &Target) -> Vec<PathBuf> {
    let main: PathBuf = main.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    let Some(name) = main.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return vec![main];
    };
    let (prefix, suffix) = (target.prefix, target.suffix);
    let mut names = Vec::new();
    if name.ends_with(suffix) {
        names.push(name.clone());
        names.push(format!("{prefix}{name}"));
    } else {
        names.push(format!("{prefix}{name}{suffix}"));
        names.push(format!("{name}{suffix}"));
        // Another platform's library by its whole name: the inspection will say so.
        if main.extension().is_some() {
            names.push(name.clone());
        }
    }
    names.dedup();
    names.into_iter().map(|name| main.with_file_name(name)).collect()
}
