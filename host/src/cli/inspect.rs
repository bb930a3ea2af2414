//! `inspect`: all that a protocol's folder or library says about itself, without running it.

use std::fs;
use std::path::{Path, PathBuf};

use kuzzle_protocol_abi::raw::exports::{OPTIONAL_FUNCTIONS, REQUIRED_FUNCTIONS};
use kuzzle_protocol_abi::raw::note::{FLAG_DEBUG, FLAG_PANIC_ABORT, FLAG_RUST_SDK};
use serde_json::{Value, json};

use super::list::human_bytes;
use super::report::{count, problems};
use super::{CommandError, EXIT_FAILURE, EXIT_OK, Format, InspectOptions, Output};
use crate::diagnostics::{Diagnostic, Id, escape, escape_path};
use crate::installation::archive;
use crate::installation::image::{self, Image};
use crate::installation::manifest::{self, Main, Manifest};
use crate::installation::target::{Surroundings, Target};
use crate::installation::{self, NoteSummary};

/// Inspects a folder with its manifest and library, an archive of one, or a library alone. Problems are part of the
/// result; the status is 1 only for a library that could not be read at all.
///
/// # Errors
/// If there is nothing at the path, or it is a folder that can not be read.
pub fn run(options: &InspectOptions, out: &mut Output) -> Result<u8, CommandError> {
    let path = &options.path;
    let failed = |error: std::io::Error| {
        CommandError::failure(
            format!("Could not inspect {}: {error}.", path.display()),
            "Give a protocol's folder, or a library, that the user of this command may read.",
        )
    };
    let target = options.platform.clone().unwrap_or_else(Target::current);
    let inspected = if archive::is_archive(path) {
        Inspected::archive(path, &target)
    } else if fs::metadata(path).map_err(failed)?.is_dir() {
        fs::read_dir(path).map_err(failed)?;
        Inspected::folder(path, &target)
    } else {
        Inspected::library(path, &target)
    };
    match options.format {
        Format::Text => inspected.text(out),
        Format::Json => out.json(&inspected.json()),
    }
    let unread = inspected.kind == "library"
        && inspected.diagnostics.iter().any(|problem| problem.id == Id::LibraryUnreadable);
    Ok(if unread { EXIT_FAILURE } else { EXIT_OK })
}

struct Inspected<'a> {
    path: &'a Path,
    /// What the path leads to: `folder`, `archive` or `library`.
    kind: &'static str,
    manifest: Option<Manifest>,
    library: Option<(PathBuf, Image)>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Inspected<'a> {
    fn folder(path: &'a Path, target: &Target) -> Self {
        let surroundings = Surroundings { target: target.clone(), ..Surroundings::default() };
        let (manifest, _) = manifest::read(path, &surroundings);
        let survey = installation::survey_paths_for(&[path.to_owned()], target);
        let library = survey.entries.iter().find_map(|entry| entry.library.clone());
        let entries = survey.entries.into_iter().flat_map(|entry| entry.diagnostics);
        // Options come from an installation's configuration, which is none of this folder's.
        let diagnostics = survey.diagnostics.into_iter().chain(entries);
        let diagnostics = diagnostics.filter(|problem| problem.id != Id::ConfigInvalid).collect();
        let library = library.map(|library| {
            let image = image::inspect(&library, target);
            (library, image)
        });
        Self { path, kind: "folder", manifest, library, diagnostics }
    }

    fn archive(path: &'a Path, target: &Target) -> Self {
        let found = match archive::unpack(path) {
            Ok(found) => found,
            Err(diagnostic) => {
                return Self {
                    path,
                    kind: "archive",
                    manifest: None,
                    library: None,
                    diagnostics: vec![diagnostic],
                };
            }
        };
        let surroundings = Surroundings { target: target.clone(), ..Surroundings::default() };
        let (manifest, _) = manifest::read(&found.folder, &surroundings);
        let survey = installation::survey_paths_for(&[path.to_owned()], target);
        let library = survey.entries.iter().find_map(|entry| entry.library.clone());
        let library = library.map(|library| {
            let image = image::inspect(&found.real_path(&library, path), target);
            (library, image)
        });
        let diagnostics = survey.entries.into_iter().flat_map(|entry| entry.diagnostics).collect();
        Self { path, kind: "archive", manifest, library, diagnostics }
    }

    fn library(path: &'a Path, target: &Target) -> Self {
        let image = image::inspect(path, target);
        let diagnostics = image.diagnostics.clone();
        Self { path, kind: "library", manifest: None, library: Some((path.to_owned(), image)), diagnostics }
    }

    fn json(&self) -> Value {
        json!({
            "path": self.path.to_string_lossy(),
            "kind": self.kind,
            "manifest": self.manifest.as_ref().map(manifest_json),
            "library": self.library.as_ref().map(|(path, image)| library_json(path, image)),
            "diagnostics": self.diagnostics,
        })
    }

    fn text(&self, out: &mut Output) {
        let mut fields = Fields { out, indent: "" };
        fields.field(self.kind, escape_path(self.path));
        if self.kind != "library" {
            fields.heading("manifest");
            match &self.manifest {
                Some(manifest) => manifest_text(manifest, &mut fields),
                None => fields.field("", "none that can be read"),
            }
        }
        fields.heading("library");
        match &self.library {
            Some((path, image)) => library_text(path, image, &mut fields),
            None => fields.field("", "none"),
        }
        fields.heading("problems");
        for diagnostic in &self.diagnostics {
            out.text.push_str(&diagnostic.text(2, out.style));
        }
        out.line(format!("  {}", problems(self.diagnostics.iter())));
    }
}

/// Lines of a label and a value.
struct Fields<'o> {
    out: &'o mut Output,
    indent: &'static str,
}

impl Fields<'_> {
    fn heading(&mut self, heading: &str) {
        let (bold, reset) = (self.out.style.bold(), self.out.style.reset());
        self.out.line(format!("{bold}{heading}{reset}"));
        self.indent = "  ";
    }

    /// A line; the value is harmless already.
    fn field(&mut self, label: &str, value: impl AsRef<str>) {
        let width = 16 - self.indent.len();
        let line = format!("{}{label:<width$}{}", self.indent, value.as_ref());
        self.out.line(line.trim_end());
    }

    /// A line with a foreign value, if there is one.
    fn foreign(&mut self, label: &str, value: Option<&str>) {
        self.field(label, value.map_or("-".to_owned(), escape));
    }

    /// A line for each value.
    fn all(&mut self, label: &str, values: impl IntoIterator<Item = String>) {
        let mut label = Some(label);
        for value in values {
            self.field(label.take().unwrap_or_default(), escape(&value));
        }
        if let Some(label) = label {
            self.field(label, "-");
        }
    }
}

fn manifest_text(manifest: &Manifest, fields: &mut Fields<'_>) {
    fields.foreign("name", manifest.name.as_deref());
    fields.foreign("version", manifest.version.as_deref());
    fields.foreign("description", manifest.description.as_deref());
    fields.foreign("kuzzleVersion", Some(&manifest.kuzzle_version));
    fields.all("sections", manifest.sections.iter().map(|section| format!("server.protocols.{section}")));
    match &manifest.main {
        Main::Any => fields.field("main", "- (the one library in the folder)"),
        Main::Path(path) => fields.field("main", escape_path(path)),
        Main::OtherPlatforms(platforms) => {
            fields
                .field("main", format!("none for this platform, but for {}", escape(&platforms.join(", "))));
        }
    }
    let schemas =
        manifest.schemas.iter().map(|(section, schema)| format!("server.protocols.{section}: {schema}"));
    fields.all("config", schemas);
    let pins = manifest.pins.iter().map(|(path, hash)| match path {
        Some(path) => format!("{hash} ({})", path.display()),
        None => hash.clone(),
    });
    fields.all("sha256", pins);
}

fn manifest_json(manifest: &Manifest) -> Value {
    let main = match &manifest.main {
        Main::Path(path) => Some(path.to_string_lossy()),
        Main::Any | Main::OtherPlatforms(_) => None,
    };
    let schemas: serde_json::Map<String, Value> = manifest.schemas.iter().cloned().collect();
    let pins = manifest.pins.iter().map(
        |(path, hash)| json!({ "library": path.as_ref().map(|path| path.to_string_lossy()), "sha256": hash }),
    );
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "kuzzleVersion": manifest.kuzzle_version,
        "sections": manifest.sections,
        "main": main,
        "config": schemas,
        "sha256": pins.collect::<Vec<_>>(),
    })
}

fn library_text(path: &Path, image: &Image, fields: &mut Fields<'_>) {
    fields.field("path", escape_path(path));
    fields.foreign("format", image.format.as_deref());
    fields.foreign("architecture", image.architecture.as_deref());
    fields.field("size", format!("{} ({} bytes)", human_bytes(image.size), image.size));
    match &image.note {
        Some(note) => {
            fields.field("ABI", format!("{}.{}", note.major, note.minor));
            fields.foreign("SDK", Some(&note.sdk));
            fields.foreign("toolchain", Some(&note.toolchain));
            fields.field("pointers", format!("{} bytes", note.pointer_size));
            fields.all("build", flags(note).into_iter().map(|(_, words)| words));
        }
        None => fields.field("ABI", "- (no note that can be read)"),
    }
    fields.all("exports", image.exports.iter().cloned());
    let absent = |names: &[&'static str]| {
        let absent = names.iter().filter(|name| !image.exports.iter().any(|export| export == *name));
        absent.map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    if !image.exports.is_empty() {
        fields.all("missing", absent(&REQUIRED_FUNCTIONS));
        fields.all("left out", absent(&OPTIONAL_FUNCTIONS));
    }
    fields.field("other exports", count(image.other_exports, "symbol"));
    fields.all("needs", image.needed.iter().cloned());
}

fn library_json(path: &Path, image: &Image) -> Value {
    let note = image.note.as_ref().map(|note| {
        json!({
            "abi": format!("{}.{}", note.major, note.minor),
            "sdk": note.sdk,
            "toolchain": note.toolchain,
            "pointerSize": note.pointer_size,
            "flags": flags(note).into_iter().map(|(flag, _)| flag).collect::<Vec<_>>(),
        })
    });
    json!({
        "path": path.to_string_lossy(),
        "format": image.format,
        "architecture": image.architecture,
        "size": image.size,
        "note": note,
        "exports": image.exports,
        "otherExports": image.other_exports,
        "optional": {
            "start": image.optional.start,
            "shutdown": image.optional.shutdown,
            "getExtension": image.optional.get_extension,
        },
        "needed": image.needed,
    })
}

/// The flags of a note: their names in JSON, and in words.
fn flags(note: &NoteSummary) -> Vec<(String, String)> {
    const KNOWN: [(u32, &str, &str); 3] = [
        (FLAG_RUST_SDK, "rustSdk", "with the Rust SDK"),
        (FLAG_PANIC_ABORT, "panicAbort", "panics end the process (panic=abort)"),
        (FLAG_DEBUG, "debug", "with debug assertions"),
    ];
    let mut rest = note.flags;
    let mut flags = Vec::new();
    for (flag, name, words) in KNOWN {
        if note.flags & flag != 0 {
            rest &= !flag;
            flags.push((name.to_owned(), words.to_owned()));
        }
    }
    if rest != 0 {
        flags.push((format!("{rest:#x}"), format!("unknown flags {rest:#x}")));
    }
    flags
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder(manifest: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("manifest.json"), manifest).unwrap();
        folder
    }

    fn inspect(path: &Path, format: Format) -> (u8, String) {
        let mut out = Output::plain();
        let status =
            run(&InspectOptions { path: path.to_owned(), platform: None, format }, &mut out).unwrap();
        (status, out.text)
    }

    fn inspect_json(path: &Path) -> Value {
        let (status, text) = inspect(path, Format::Json);
        assert_eq!(status, EXIT_OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn ids(document: &Value) -> Vec<&str> {
        let diagnostics = document["diagnostics"].as_array().unwrap();
        diagnostics.iter().map(|diagnostic| diagnostic["id"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_path_that_does_not_exist_is_a_failure() {
        let folder = folder("{}");
        let path = folder.path().join("missing");
        let mut out = Output::plain();
        let error =
            run(&InspectOptions { path, platform: None, format: Format::Json }, &mut out).unwrap_err();
        assert_eq!(error.status, EXIT_FAILURE);
        assert!(error.message.contains("missing") && out.text.is_empty(), "{error}");
    }

    #[test]
    fn a_folder_is_told_with_its_manifest_and_its_problems() {
        let folder = folder(
            r#"{"name": "udp\u001b", "kuzzleVersion": "2.x", "version": "0.1", "sections": ["a", "b"],
                "config": {"a": {"type": "object", "required": ["port"]}}}"#,
        );
        let document = inspect_json(folder.path());
        assert_eq!(document["kind"], "folder");
        assert_eq!(document["library"], Value::Null);
        assert_eq!(document["manifest"]["kuzzleVersion"], "2.x");
        assert_eq!(document["manifest"]["sections"], json!(["a", "b"]));
        assert_eq!(document["manifest"]["config"]["a"]["required"], json!(["port"]));
        assert_eq!(ids(&document), ["plugin.manifest.invalid_name_type", "protocol.library.not_found"]);
        let (status, text) = inspect(folder.path(), Format::Text);
        assert_eq!(status, EXIT_OK);
        for line in [
            "  kuzzleVersion 2.x",
            "  sections      server.protocols.a",
            "                server.protocols.b",
            "  error[protocol.library.not_found]",
            "  2 errors, 0 warnings",
        ] {
            assert!(text.lines().any(|other| other.starts_with(line)), "{line}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_folder_without_a_manifest_is_told_too() {
        let folder = tempfile::tempdir().unwrap();
        let document = inspect_json(folder.path());
        assert_eq!(document["manifest"], Value::Null);
        assert!(ids(&document).contains(&"plugin.manifest.cannot_load"), "{document}");
        let (_, text) = inspect(folder.path(), Format::Text);
        assert!(text.contains("none that can be read"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_library_is_told_with_its_problems() {
        let folder = folder("{}");
        let path = folder.path().join("notes.txt");
        fs::write(&path, "no library").unwrap();
        let document = inspect_json(&path);
        assert_eq!((&document["kind"], &document["manifest"]), (&json!("library"), &Value::Null));
        assert_eq!(document["library"]["size"], 10);
        assert_eq!(document["library"]["note"], Value::Null);
        assert_eq!(ids(&document), ["protocol.library.not_a_library"]);
        let (_, text) = inspect(&path, Format::Text);
        assert!(text.contains("  size          10 B (10 bytes)\n"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_opened_and_a_failure() {
        let (status, text) = inspect(Path::new("/dev/null"), Format::Json);
        assert_eq!(status, EXIT_FAILURE);
        assert!(text.contains("protocol.library.unreadable"), "{text}");
    }

    #[test]
    fn flags_are_told_in_words_and_unknown_ones_by_number() {
        let note = NoteSummary {
            major: 1,
            minor: 0,
            flags: FLAG_PANIC_ABORT | FLAG_DEBUG | 64,
            pointer_size: 8,
            toolchain: "cc".to_owned(),
            sdk: "sdk".to_owned(),
        };
        let names: Vec<_> = flags(&note).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["panicAbort", "debug", "0x40"]);
    }
}
