//! `pack`: makes an archive of a protocol's folder, for one platform, with its library pinned.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use walkdir::WalkDir;

use super::report::problems;
use super::{CommandError, EXIT_OK, EXIT_REFUSED, Format, Output, PackOptions};
use crate::diagnostics::{Diagnostic, Id, escape, escape_path};
use crate::installation::archive::{self, Member};
use crate::installation::manifest::{self, FILE_NAME};
use crate::installation::target::Target;
use crate::installation::{Entry, Status, image, library, survey_paths_for};

/// Packs a folder: status 0, or 78 for what `check` refuses too.
///
/// # Errors
/// The folder can not be read, or the archive can not be written.
pub fn run(options: &PackOptions, out: &mut Output) -> Result<u8, CommandError> {
    let folder = &options.folder;
    let target = options.platform.clone().unwrap_or_else(Target::current);
    if !fs::metadata(folder).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(CommandError::failure(
            format!("Could not pack {}: it is not a folder.", folder.display()),
            "Give the folder that holds the protocol's manifest.json and library.",
        ));
    }
    let mut entry = checked(folder, &target);
    let packed = if entry.status == Status::Ok { pack(options, &target, &mut entry)? } else { None };
    match options.format {
        Format::Text => text(&entry, packed.as_ref(), out),
        Format::Json => out.json(&document(&entry, &target, packed.as_ref())),
    }
    Ok(if packed.is_some() { EXIT_OK } else { EXIT_REFUSED })
}

/// What `check` says.
fn checked(path: &Path, target: &Target) -> Entry {
    let mut entries = survey_paths_for(&[path.to_owned()], target).entries;
    entries.pop().expect("one path has one entry")
}

/// An archive that has been written.
struct Packed {
    path: PathBuf,
    version: String,
    bytes: u64,
    sha256: String,
    library_sha256: String,
    files: Vec<String>,
}

/// Packs what has been checked; `None` if that finds something more to refuse.
fn pack(options: &PackOptions, target: &Target, entry: &mut Entry) -> Result<Option<Packed>, CommandError> {
    let folder = options.folder.canonicalize().map_err(|error| failed(&options.folder, &error))?;
    let (Some(library), Some(mut properties)) = (entry.library.clone(), manifest::properties(&folder)) else {
        return Ok(None);
    };
    let Some((name, version)) = names(&folder, &properties, &mut entry.diagnostics) else { return Ok(None) };
    let Ok(main) = library.strip_prefix(&folder) else {
        let message = "The library lies elsewhere, and an archive holds no links.";
        let help = "Put the library itself into the protocol's folder.";
        entry.diagnostics.push(Diagnostic::error(Id::ArchiveInvalid, &library, message, help));
        return Ok(None);
    };
    let others = libraries_of_others(&properties, target);
    let Some(mut members) = members(&folder, target, &others, &mut entry.diagnostics)? else {
        return Ok(None);
    };
    let library_sha256 = match members.iter().find(|member| member.path == main) {
        Some(member) => image::sha256(member.bytes.as_slice()).expect("reading from memory can not fail"),
        None => return Err(failed(&library, &io::Error::other("it was moved meanwhile"))),
    };
    // The same on every platform.
    let main: Vec<_> = main.iter().map(|part| part.to_string_lossy()).collect();
    properties.insert("main".to_owned(), json!({ target.key.as_str(): main.join("/") }));
    properties.insert("sha256".to_owned(), json!({ target.key.as_str(): library_sha256 }));
    let manifest = format!("{:#}\n", Value::Object(properties));
    members.push(Member { path: FILE_NAME.into(), bytes: manifest.into_bytes(), executable: false });

    let path = output(options, &folder, &format!("{name}-{version}-{}.tar.gz", target.key))?;
    let mut files: Vec<_> = members
        .iter()
        .map(|member| Path::new(&name).join(&member.path).to_string_lossy().into_owned())
        .collect();
    files.sort();
    let Some((bytes, sha256)) = write(&path, &name, members, target, entry)? else { return Ok(None) };
    Ok(Some(Packed { path, version, bytes, sha256, library_sha256, files }))
}

fn failed(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failure(
        format!("Could not pack {}: {error}.", path.display()),
        "Let the user of this command read the folder, and write where the archive goes.",
    )
}

/// Name and version, if a file can be named after them.
fn names(
    folder: &Path,
    properties: &Map<String, Value>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(String, String)> {
    let property = |name| properties.get(name).and_then(Value::as_str).unwrap_or_default();
    let fits = |text: &str, more: &str| {
        let usual = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.len() <= 64 && text.chars().all(usual) && !text.starts_with(['-', '.'])
    };
    let mut complain = |id, property: &str, expected: &str, found: &str| {
        let message = format!("The manifest's \"{property}\" can not be part of the archive's name.");
        let help = format!("Set \"{property}\" in {FILE_NAME} to {expected}.");
        let diagnostic = Diagnostic::error(id, folder.join(FILE_NAME), message, help);
        let found = if found.is_empty() { "nothing" } else { found };
        diagnostics.push(diagnostic.expected(expected).found(found));
    };
    let (name, version) = (property("name"), property("version"));
    let (name_fits, version_fits) = (fits(name, "-_"), fits(version, "-_.+"));
    if !name_fits {
        let expected = "1 to 64 letters, digits, hyphens and underscores";
        complain(Id::ManifestUnusualName, "name", expected, name);
    }
    if !version_fits {
        complain(Id::ManifestInvalidProperty, "version", "a version like 1.0.0", version);
    }
    (name_fits && version_fits).then(|| (name.to_owned(), version.to_owned()))
}

/// Where the manifest says that the libraries of other platforms are.
fn libraries_of_others(properties: &Map<String, Value>, target: &Target) -> Vec<PathBuf> {
    let platforms = properties.get("main").and_then(Value::as_object);
    let others = platforms.into_iter().flatten().filter(|(platform, _)| **platform != target.key);
    let paths = others.filter_map(|(platform, path)| {
        Some(library::variants(Path::new(path.as_str()?), &Target::of(platform)?))
    });
    paths.flatten().collect()
}

/// Whether a file beside the manifest has the name of another platform's library.
fn is_for_another(path: &Path, target: &Target) -> bool {
    let is_beside = path.components().count() == 1;
    let name = path.to_string_lossy();
    let mut suffixes = Target::KEYS.into_iter().filter_map(Target::of).map(|known| known.suffix);
    is_beside && !name.ends_with(target.suffix) && suffixes.any(|suffix| name.ends_with(suffix))
}

/// All files of the folder but the manifest, hidden ones, and the libraries of other platforms.
fn members(
    folder: &Path,
    target: &Target,
    others: &[PathBuf],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Vec<Member>>, CommandError> {
    let is_hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    let walk = WalkDir::new(folder).min_depth(1).sort_by_file_name();
    let mut members = Vec::new();
    let (mut refused, mut size) = (false, 0_u64);
    for item in walk.into_iter().filter_entry(|item| !is_hidden(item.file_name())) {
        let item = item.map_err(|error| failed(folder, &error.into()))?;
        let path = item.path().strip_prefix(folder).expect("it was found there").to_owned();
        let is_left_out =
            path == Path::new(FILE_NAME) || others.contains(&path) || is_for_another(&path, target);
        if item.file_type().is_dir() || is_left_out {
            continue;
        }
        if !item.file_type().is_file() {
            let message = "Only regular files can be packed, no links, pipes or devices.";
            let help = "Put the file itself there, or remove it.";
            diagnostics.push(Diagnostic::error(Id::ArchiveInvalid, item.path(), message, help));
            refused = true;
            continue;
        }
        size =
            size.saturating_add(item.metadata().map_err(|error| failed(item.path(), &error.into()))?.len());
        if size > archive::MOST_BYTES {
            let message = format!("All files together have more than {} bytes.", archive::MOST_BYTES);
            let help = "Remove from the folder what the protocol does not need.";
            diagnostics.push(Diagnostic::error(Id::ArchiveInvalid, folder, message, help));
            return Ok(None);
        }
        let bytes = fs::read(item.path()).map_err(|error| failed(item.path(), &error))?;
        let executable = item.file_name().to_string_lossy().ends_with(target.suffix);
        members.push(Member { path, bytes, executable });
    }
    Ok((!refused).then_some(members))
}

/// Where the archive goes.
fn output(options: &PackOptions, folder: &Path, name: &str) -> Result<PathBuf, CommandError> {
    let path = match &options.output {
        Some(path) if path.is_dir() => path.join(name),
        Some(path) => path.clone(),
        None => PathBuf::from(name),
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|error| failed(parent, &error))?;
    if parent.starts_with(folder) {
        return Err(CommandError::usage(
            format!("The archive {} would lie in the folder that is packed.", path.display()),
            "Give another place with -o FILE.",
        ));
    }
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(failed(&path, &io::Error::other("something that is no regular file is there")));
    }
    Ok(path)
}

/// Writes the archive beside its place, checks it as its receiver will, and renames it. `None` if the
/// check refuses it.
fn write(
    path: &Path,
    name: &str,
    members: Vec<Member>,
    target: &Target,
    entry: &mut Entry,
) -> Result<Option<(u64, String)>, CommandError> {
    let at = |error: io::Error| failed(path, &error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::Builder::new().prefix(".kuzzle-pack-").tempfile_in(parent).map_err(at)?;
    archive::write(io::BufWriter::new(fresh.as_file_mut()), name, members).map_err(at)?;
    fresh.flush().map_err(at)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o644)).map_err(at)?;
    }
    let received = checked(fresh.path(), target);
    if received.status != Status::Ok {
        entry.diagnostics.extend(received.diagnostics.into_iter().filter(Diagnostic::is_error));
        return Ok(None);
    }
    let file = File::open(fresh.path()).map_err(at)?;
    let bytes = file.metadata().map_err(at)?.len();
    let sha256 = image::sha256(&file).map_err(at)?;
    fresh.persist(path).map_err(|error| at(error.error))?;
    Ok(Some((bytes, sha256)))
}

fn text(entry: &Entry, packed: Option<&Packed>, out: &mut Output) {
    for diagnostic in &entry.diagnostics {
        out.text.push_str(&diagnostic.text(0, out.style));
    }
    match packed {
        None => out.line(format!("refused: {}", problems(entry.diagnostics.iter()))),
        Some(packed) => {
            out.line(format!("packed {} ({} bytes)", escape_path(&packed.path), packed.bytes));
            out.line(format!("sha256 {}", packed.sha256));
            for file in &packed.files {
                out.line(format!("  {}", escape(file)));
            }
        }
    }
}

fn document(entry: &Entry, target: &Target, packed: Option<&Packed>) -> Value {
    json!({
        "archive": packed.map(|packed| packed.path.to_string_lossy()),
        "name": entry.name,
        "version": packed.map(|packed| &packed.version),
        "platform": target.key,
        "size": packed.map(|packed| packed.bytes),
        "sha256": packed.map(|packed| &packed.sha256),
        "librarySha256": packed.map(|packed| &packed.library_sha256),
        "files": packed.map(|packed| &packed.files),
        "diagnostics": entry.diagnostics,
    })
}
