//! `list`: the protocols that are available and enabled, and what they are.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::names::{self, Folders};
use super::report::count;
use super::{CommandError, EXIT_OK, Format, ListOptions, Output};
use crate::config::{self, Sources};
use crate::diagnostics::{Diagnostic, Id, Style, escape};
use crate::installation::target::{Surroundings, Target};
use crate::installation::{self, Entry, Survey, image, manifest};

/// Lists the protocols of the installation at `home`.
///
/// # Errors
/// If `protocols/available` exists and can not be read. What is wrong with protocols is told by
/// their status, and what is wrong beside them on standard error.
pub fn run(
    home: &Path,
    sources: &Sources,
    options: &ListOptions,
    out: &mut Output,
) -> Result<u8, CommandError> {
    let (config, mut problems) = config::load_from(home, sources);
    let survey = installation::survey(home, &config);
    problems.extend(survey.diagnostics.iter().filter(|problem| problem.is_error()).cloned());
    let style = Style::of(&std::io::stderr());
    for problem in &problems {
        let _ = write!(std::io::stderr(), "{}", problem.text(0, style));
    }
    let protocols = rows(home, &survey)?;
    match options.format {
        Format::Text => table(&protocols, out),
        Format::Json => out.json(&Document { protocols: &protocols }),
    }
    Ok(EXIT_OK)
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    protocols: &'a [Row],
}

/// One protocol: a folder in `available/`, or an entry of `enabled/` that leads to none of them.
#[derive(Debug, Serialize)]
struct Row {
    folder: String,
    name: Option<String>,
    version: Option<String>,
    status: Status,
    abi: Option<String>,
    toolchain: Option<String>,
    size: Option<u64>,
    path: String,
    /// The names of the entries of `enabled/` that lead to it.
    #[serde(skip)]
    links: Vec<String>,
}

/// What becomes of a protocol when the host starts. If several entries of `enabled/` lead to it, the
/// last one in this order is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It is not enabled.
    Available,
    /// It is enabled, and the configuration switches it off.
    Disabled,
    /// It is started.
    Enabled,
    /// It can not be started as it is.
    Broken,
}

impl Status {
    fn in_words(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Disabled => "disabled by configuration",
            Self::Enabled => "enabled",
            Self::Broken => "broken",
        }
    }

    fn of(entry: &Entry) -> Self {
        match entry.status {
            installation::Status::Ok => Self::Enabled,
            installation::Status::Refused => Self::Broken,
            installation::Status::Disabled => Self::Disabled,
        }
    }
}

fn rows(home: &Path, survey: &Survey) -> Result<Vec<Row>, CommandError> {
    let folders = Folders::of(home);
    let names = names::entries(&folders.available).map_err(|error| {
        CommandError::failure(
            format!("Could not list {}: {error}.", folders.available.display()),
            "Let the user of this command read it.",
        )
    })?;
    let mut rows = Vec::new();
    let mut targets: Vec<Option<PathBuf>> = Vec::new();
    for name in names {
        let path = folders.available.join(&name);
        let is_plain_file = path.metadata().is_ok_and(|metadata| !metadata.is_dir());
        if !is_plain_file {
            targets.push(path.canonicalize().ok());
            rows.push(Row::of_folder(name.to_string_lossy().into_owned(), &path));
        }
    }
    let available = rows.len();
    for entry in &survey.entries {
        let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = entry.path.canonicalize().ok().filter(|_| entry.path.is_symlink());
        let leads_to = |at: &usize| target.is_some() && targets[*at] == target;
        let found = (0..available).filter(leads_to).max_by_key(|at| rows[*at].folder == name);
        match found {
            Some(at) => {
                let row = &mut rows[at];
                let status = Status::of(entry);
                row.status = if row.links.is_empty() { status } else { row.status.max(status) };
                row.links.push(name);
            }
            None => {
                let mut row = Row::of_folder(name, &entry.path);
                row.status = Status::of(entry);
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

impl Row {
    /// What a folder holds, whether it is enabled or not.
    fn of_folder(folder: String, path: &Path) -> Self {
        let mut row = Self {
            folder,
            name: None,
            version: None,
            status: Status::Available,
            abi: None,
            toolchain: None,
            size: None,
            path: path.to_string_lossy().into_owned(),
            links: Vec::new(),
        };
        let (manifest, _) = manifest::read(path, &Surroundings::default());
        if let Some(manifest) = manifest {
            row.name = manifest.name;
            row.version = manifest.version;
        }
        // Without the configuration: what is not enabled is told as it is, switched off or not.
        let survey = installation::survey_paths(&[path.to_owned()]);
        for entry in &survey.entries {
            if entry.diagnostics.iter().any(is_fault) {
                row.status = Status::Broken;
            }
            let Some(library) = &entry.library else { continue };
            let image = image::inspect(library, &Target::current());
            row.size = image.identity.map(|identity| identity.size);
            if let Some(note) = image.note {
                row.abi = Some(format!("{}.{}", note.major, note.minor));
                row.toolchain = Some(note.toolchain);
            }
        }
        row
    }

    fn status_in_words(&self) -> String {
        let others: Vec<&str> =
            self.links.iter().map(String::as_str).filter(|link| *link != self.folder).collect();
        let words = self.status.in_words();
        if others.is_empty() { words.to_owned() } else { format!("{words} (as {})", others.join(", ")) }
    }
}

/// Whether a diagnostic is about the protocol itself: its options and owner may still become right
/// before it is enabled.
fn is_fault(diagnostic: &Diagnostic) -> bool {
    diagnostic.is_error() && !matches!(diagnostic.id, Id::ConfigInvalid | Id::TrustWrongOwner)
}

fn table(protocols: &[Row], out: &mut Output) {
    if protocols.is_empty() {
        return out.line("No protocols are available.");
    }
    let heading = ["FOLDER", "NAME", "VERSION", "STATUS", "ABI", "SIZE", "TOOLCHAIN"];
    let cells: Vec<[String; 7]> = protocols
        .iter()
        .map(|row| {
            let or_dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), escape);
            [
                escape(&row.folder),
                or_dash(&row.name),
                or_dash(&row.version),
                escape(&row.status_in_words()),
                or_dash(&row.abi),
                row.size.map_or("-".to_owned(), human_bytes),
                or_dash(&row.toolchain),
            ]
        })
        .collect();
    let mut widths = heading.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let (bold, reset) = (out.style.bold(), out.style.reset());
    let line = |cells: [&str; 7]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    out.line(format!("{bold}{}{reset}", line(heading)));
    for (row, cells) in protocols.iter().zip(&cells) {
        let colour = match row.status {
            Status::Available => "",
            Status::Disabled => out.style.yellow(),
            Status::Enabled => out.style.green(),
            Status::Broken => out.style.red(),
        };
        let reset = if colour.is_empty() { "" } else { reset };
        out.line(format!("{colour}{}{reset}", line(cells.each_ref().map(String::as_str))));
    }
    let broken = protocols.iter().filter(|row| row.status == Status::Broken).count();
    if broken > 0 {
        out.line(format!(
            "{}: `kuzzle-host check`, or for one that is not enabled `kuzzle-host check PATH`, tells why.",
            count(broken, "broken protocol")
        ));
    }
}

/// A number of bytes for people: `512 B`, `1.5 MiB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    let (mut unit, mut value) = ("B", bytes as f64);
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        // What would be rounded to 1024.0.
        if value < 1023.95 {
            break;
        }
        (unit, value) = (larger, value / 1024.0);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    struct Installation {
        home: TempDir,
        survey: Survey,
    }

    impl Installation {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir_all(home.path().join("protocols/available")).unwrap();
            fs::create_dir_all(home.path().join("protocols/enabled")).unwrap();
            Self { home, survey: Survey::default() }
        }

        fn available(&self, folder: &str, manifest: &str) {
            let folder = self.home.path().join("protocols/available").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("manifest.json"), manifest).unwrap();
        }

        fn enabled(&self, name: &str) -> PathBuf {
            self.home.path().join("protocols/enabled").join(name)
        }

        /// Makes a link, and has the survey say this of it.
        fn link(&mut self, name: &str, target: &str, status: installation::Status) {
            symlink(target, self.enabled(name)).unwrap();
            self.found(name, status);
        }

        fn found(&mut self, name: &str, status: installation::Status) {
            self.survey.entries.push(Entry {
                name: None,
                path: self.enabled(name),
                library: None,
                status,
                diagnostics: Vec::new(),
                candidate: None,
            });
        }

        fn rows(&self) -> Vec<Row> {
            rows(self.home.path(), &self.survey).unwrap()
        }

        fn statuses(&self) -> Vec<(String, Status)> {
            self.rows().into_iter().map(|row| (row.folder, row.status)).collect()
        }

        fn text(&self) -> String {
            let mut out = Output::plain();
            table(&self.rows(), &mut out);
            out.text
        }
    }

    #[test]
    fn an_installation_without_protocols_is_an_empty_list() {
        let home = tempfile::tempdir().unwrap();
        let mut out = Output::plain();
        let options = ListOptions { format: Format::Json };
        assert_eq!(run(home.path(), &Sources::default(), &options, &mut out).unwrap(), EXIT_OK);
        assert_eq!(serde_json::from_str::<Value>(&out.text).unwrap(), json!({"protocols": []}));
        let mut out = Output::plain();
        assert_eq!(
            run(home.path(), &Sources::default(), &ListOptions::default(), &mut out).unwrap(),
            EXIT_OK
        );
        assert_eq!(out.text, "No protocols are available.\n");
    }

    #[test]
    fn an_available_folder_without_a_library_is_broken() {
        let installation = Installation::new();
        installation.available("one", r#"{"name": "first", "kuzzleVersion": "2.x", "version": "1.2.3"}"#);
        let path = installation.home.path().join("protocols/available/one");
        assert_eq!(
            serde_json::to_value(installation.rows()).unwrap(),
            json!([{"folder": "one", "name": "first", "version": "1.2.3", "status": "broken", "abi": null,
                "toolchain": null, "size": null, "path": path.to_str().unwrap()}])
        );
        let text = installation.text();
        assert!(text.contains("1 broken protocol: `kuzzle-host check`"), "{text}");
    }

    #[test]
    fn what_is_enabled_is_what_the_survey_says() {
        use installation::Status::{Disabled, Ok, Refused};
        let mut installation = Installation::new();
        for folder in ["off", "on", "wrong"] {
            installation.available(folder, "{}");
        }
        installation.link("off", "../available/off", Disabled);
        installation.link("on", "../available/on", Ok);
        installation.link("wrong", "../available/wrong", Refused);
        let expected = [("off", Status::Disabled), ("on", Status::Enabled), ("wrong", Status::Broken)];
        assert_eq!(installation.statuses(), expected.map(|(name, status)| (name.to_owned(), status)));
        let text = installation.text();
        assert!(
            text.lines().any(|line| line.starts_with("off ") && line.contains("disabled by configuration"))
        );
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn entries_that_are_no_link_to_an_available_folder_are_listed_too() {
        use installation::Status::{Ok, Refused};
        let mut installation = Installation::new();
        installation.available("one", "{}");
        fs::create_dir(installation.enabled("own")).unwrap();
        fs::write(installation.enabled("own").join("manifest.json"), r#"{"name": "mine"}"#).unwrap();
        installation.found("own", Ok);
        installation.link("gone", "../available/gone", Refused);
        let rows = installation.rows();
        let told: Vec<_> = rows.iter().map(|row| (row.folder.as_str(), row.status)).collect();
        assert_eq!(told, [("one", Status::Broken), ("own", Status::Enabled), ("gone", Status::Broken)]);
        assert_eq!(rows[1].name.as_deref(), Some("mine"));
        assert_eq!(Path::new(&rows[1].path), installation.enabled("own"));
    }

    #[test]
    fn a_link_of_another_name_enables_the_folder_that_it_leads_to() {
        use installation::Status::{Ok, Refused};
        let mut installation = Installation::new();
        installation.available("one", "{}");
        installation.link("second", "../available/one", Ok);
        assert_eq!(installation.statuses(), [("one".to_owned(), Status::Enabled)]);
        assert!(installation.text().contains("enabled (as second)"), "{}", installation.text());
        installation.link("one", "../available/one", Refused);
        assert_eq!(installation.statuses(), [("one".to_owned(), Status::Broken)]);
    }

    #[test]
    fn plain_files_and_hidden_names_are_no_protocols() {
        let installation = Installation::new();
        let available = installation.home.path().join("protocols/available");
        fs::write(available.join("README"), "").unwrap();
        fs::create_dir(available.join(".git")).unwrap();
        symlink("nowhere", available.join("dangling")).unwrap();
        assert_eq!(installation.statuses(), [("dangling".to_owned(), Status::Broken)]);
    }

    #[test]
    fn columns_are_aligned_and_foreign_strings_escaped() {
        let installation = Installation::new();
        installation.available("a", r#"{"name": "\u009b31mred", "version": "1\n2"}"#);
        installation.available("longer-name", r#"{"name": "x"}"#);
        let text = installation.text();
        assert!(!text.contains('\u{9b}') && text.contains("1\\u{a}2"), "{text:?}");
        let columns: Vec<_> =
            text.lines().take(3).map(|line| line.find("STATUS").or(line.find("broken"))).collect();
        assert!(columns[0].is_some() && columns.iter().all(|column| *column == columns[0]), "{text}");
    }

    #[test]
    fn bytes_are_rounded_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_572_864, "1.5 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
