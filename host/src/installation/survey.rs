//! Runs all phases for all entries and collects everything that is wrong: a fault found by one phase
//! hides nothing that another can find.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::archive;
use super::dependencies::Loader;
use super::image::{self, Image};
use super::manifest::{self, Main, Manifest};
use super::scan::{self, Found};
use super::target::{Surroundings, Target};
use super::trust::Trust;
use super::{Candidate, Entry, FileIdentity, Status, Survey, library, options};
use crate::config::Config;
use crate::diagnostics::{Diagnostic, Id};

/// Surveys what is enabled below `home`.
pub fn survey(home: &Path, config: &Config) -> Survey {
    survey_in(home, config, &Surroundings::default())
}

/// Surveys what is enabled below `home`, for a given machine, process and version of Kuzzle.
pub fn survey_in(home: &Path, config: &Config, surroundings: &Surroundings) -> Survey {
    let trust = Trust::of_installation(home, config.trust_roots(), surroundings.process);
    let inspector = Inspector {
        trust,
        loader: Loader::of(&surroundings.target),
        config,
        surroundings,
        is_installation: true,
    };
    let mut survey = Survey::default();
    let protocols = home.join("protocols");
    match scan::scan(&protocols.join("enabled")) {
        Ok(found) => {
            for place in ["available", "enabled"] {
                survey.diagnostics.extend(inspector.trust.permissions(&protocols.join(place)));
            }
            let inspections = found.into_iter().map(|found| inspector.inspect(found));
            survey.entries = finish(inspections.collect());
        }
        Err(diagnostic) => survey.diagnostics.push(diagnostic),
    }
    survey.diagnostics.extend(plugins(home));
    survey
}

/// Surveys these protocol folders only, as they are: no installation and no configuration counts.
pub fn survey_paths(paths: &[PathBuf]) -> Survey {
    survey_paths_for(paths, &Target::current())
}

/// Surveys these protocol folders, and archives of them, only, for a machine like `target`: what only such a machine could
/// tell is a warning.
pub fn survey_paths_for(paths: &[PathBuf], target: &Target) -> Survey {
    let config = &Config::default();
    let surroundings = Surroundings { target: target.clone(), ..Surroundings::default() };
    let trust = Trust::of_paths(surroundings.process);
    let inspector = Inspector {
        trust,
        loader: Loader::of(target),
        config,
        surroundings: &surroundings,
        is_installation: false,
    };
    // Kept to the end, so that files of two archives are never one.
    let mut unpacked = Vec::new();
    let mut inspections = Vec::new();
    for path in paths {
        if !archive::is_archive(path) {
            inspections.push(inspector.inspect(Found { path: path.clone(), folder: there(path) }));
            continue;
        }
        let found = archive::unpack(path);
        let folder = found.as_ref().map(|found| found.folder.clone()).map_err(Clone::clone);
        let mut inspection =
            inspector.inspect(Found { path: path.clone(), folder: folder.and_then(|folder| there(&folder)) });
        if let Ok(found) = found {
            let told = std::mem::take(&mut inspection.entry.diagnostics);
            inspection.entry.diagnostics = inspector.trust.permissions(path);
            let told = told.into_iter().map(|told| found.rename(told, path));
            inspection.entry.diagnostics.extend(told);
            let library = inspection.entry.library.take();
            inspection.entry.library = library.map(|library| found.rename_path(&library, path));
            unpacked.push(found);
        }
        inspections.push(inspection);
    }
    Survey { entries: finish(inspections), diagnostics: Vec::new() }
}

/// The folder that was asked for.
fn there(path: &Path) -> Result<PathBuf, Diagnostic> {
    if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        let help = "Give the folder that holds the protocol's manifest.json and library.";
        return Err(Diagnostic::error(Id::DiscoveryUnreadable, path, "There is no such folder.", help));
    }
    scan::resolve(path)
}

/// What the phases found out about one entry.
struct Inspection {
    entry: Entry,
    manifest: Option<Manifest>,
    /// The library, even if it was refused.
    library: Option<FileIdentity>,
    disabled: bool,
}

/// What every inspection needs.
struct Inspector<'a> {
    trust: Trust,
    loader: Loader,
    config: &'a Config,
    surroundings: &'a Surroundings,
    /// Not just folders by themselves, to which no options belong.
    is_installation: bool,
}

impl Inspector<'_> {
    fn inspect(&self, found: Found) -> Inspection {
        let mut entry = Entry {
            name: None,
            path: found.path,
            library: None,
            status: Status::Ok,
            diagnostics: Vec::new(),
            candidate: None,
        };
        let folder = match found.folder {
            Ok(folder) => folder,
            Err(diagnostic) => {
                entry.diagnostics.push(diagnostic);
                return Inspection { entry, manifest: None, library: None, disabled: false };
            }
        };
        entry.diagnostics.extend(self.trust.place(&folder, &entry.path));
        entry.diagnostics.extend(self.trust.permissions(&folder));
        let (manifest, problems) = manifest::read(&folder, self.surroundings);
        entry.diagnostics.extend(problems);
        entry.diagnostics.extend(self.trust.permissions(&folder.join(manifest::FILE_NAME)));
        entry.name = manifest.as_ref().and_then(|manifest| manifest.name.clone());

        let disabled =
            manifest.as_ref().is_some_and(|manifest| options::disabled(&manifest.sections, self.config));
        let mut library = None;
        if !disabled {
            if let Some(manifest) = manifest.as_ref().filter(|_| self.is_installation) {
                entry.diagnostics.extend(options::check(manifest, self.config, &entry.path));
            }
            let image = self.look_at_library(&mut entry, &folder, manifest.as_ref());
            library = image.as_ref().and_then(|image| image.identity);
            entry.candidate = self.candidate(&entry, manifest.as_ref(), image);
        }
        Inspection { entry, manifest, library, disabled }
    }

    /// Finds and inspects the library.
    fn look_at_library(
        &self,
        entry: &mut Entry,
        folder: &Path,
        manifest: Option<&Manifest>,
    ) -> Option<Image> {
        let main = manifest.map_or(&Main::Any, |manifest| &manifest.main);
        let named = match library::find(folder, main, &self.surroundings.target) {
            Ok(named) => named,
            Err(diagnostic) => {
                entry.diagnostics.push(diagnostic);
                return None;
            }
        };
        let resolved = named.canonicalize().unwrap_or_else(|_| named.clone());
        entry.library = Some(resolved.clone());
        if !resolved.starts_with(folder) {
            if matches!(main, Main::Path(_)) {
                let message = format!(
                    "The manifest's \"main\" leads to {}, out of the protocol's folder.",
                    resolved.display()
                );
                let help = "Put the library itself into the protocol's folder.";
                let path = folder.join(manifest::FILE_NAME);
                entry.diagnostics.push(Diagnostic::error(Id::ManifestInvalidProperty, path, message, help));
            } else {
                entry.diagnostics.extend(self.trust.place(&resolved, &named));
            }
        }
        entry.diagnostics.extend(self.trust.permissions(&resolved));

        let pin = manifest.and_then(|manifest| self.pin(manifest, folder, &named));
        let mut image = image::inspect_and_hash(&resolved, &self.surroundings.target, pin.is_some());
        // A library that can not be loaded for what it is need not be asked for what it needs.
        if !image.diagnostics.iter().any(|told| told.id == Id::LibraryNotALibrary) {
            entry.diagnostics.extend(self.loader.check(&resolved, &image));
        }
        entry.diagnostics.append(&mut image.diagnostics);
        if let (Some(pin), Some(found)) = (pin, &image.sha256)
            && !pin.eq_ignore_ascii_case(found)
        {
            let message = "The library is not the one that the manifest pins.";
            let help = "Install the library that belongs to the manifest, or correct \"sha256\" if you trust this one.";
            let diagnostic = Diagnostic::error(Id::TrustChecksumMismatch, &resolved, message, help);
            entry.diagnostics.push(diagnostic.expected(pin).found(found));
        }
        Some(image)
    }

    /// What could be loaded, if it has no errors: there are a name, and a library with a note.
    fn candidate(
        &self,
        entry: &Entry,
        manifest: Option<&Manifest>,
        image: Option<Image>,
    ) -> Option<Candidate> {
        let (manifest, image) = (manifest?, image?);
        Some(Candidate {
            name: manifest.name.clone()?,
            entry: entry.path.clone(),
            library: entry.library.clone()?,
            version: manifest.version.clone(),
            sections: manifest.sections.clone(),
            options: self.config.options_for(&manifest.sections),
            on_panic: options::on_panic(&manifest.sections, self.config),
            max_connections: options::max_connections(&manifest.sections, self.config),
            note: image.note?,
            identity: image.identity?,
            exports: image.optional,
            needed: image.needed,
        })
    }

    /// What the SHA-256 of this library must be, if the manifest says so.
    fn pin<'m>(&self, manifest: &'m Manifest, folder: &Path, library: &Path) -> Option<&'m str> {
        let is_for = |path: &Option<PathBuf>| match path {
            None => true,
            Some(path) => library::variants(path, &self.surroundings.target)
                .iter()
                .any(|path| folder.join(path) == library),
        };
        manifest.pins.iter().find(|(path, _)| is_for(path)).map(|(_, pin)| pin.as_str())
    }
}

/// Compares the entries with each other, and decides what becomes of each.
fn finish(mut inspections: Vec<Inspection>) -> Vec<Entry> {
    find_duplicates(&mut inspections);
    let decide = |inspection: Inspection| {
        let Inspection { mut entry, disabled, .. } = inspection;
        if disabled {
            entry.status = Status::Disabled;
            entry.diagnostics = entry.diagnostics.into_iter().map(Diagnostic::as_warning).collect();
        } else if entry.diagnostics.iter().any(Diagnostic::is_error) || entry.candidate.is_none() {
            entry.status = Status::Refused;
        }
        if entry.status != Status::Ok {
            entry.candidate = None;
        }
        entry
    };
    inspections.into_iter().map(decide).collect()
}

/// Names without regard to case, sections, and files that two entries share.
fn find_duplicates(inspections: &mut [Inspection]) {
    let (mut names, mut sections) = (HashMap::new(), HashMap::new());
    let mut files: HashMap<(u64, u64), PathBuf> = HashMap::new();
    for inspection in inspections {
        let entry = &mut inspection.entry;
        let claim = |what: &str, text: &str, first: &PathBuf, path: &Path| {
            let message = format!("The {what} \"{text}\" is taken already, by {}.", first.display());
            let help = "Disable one of the two, or give one of them another name in its manifest.";
            Diagnostic::error(Id::AlreadyExists, path, message, help)
                .expected(format!("one protocol with the {what} \"{text}\""))
                .found(format!("{} and {}", first.display(), path.display()))
        };
        let mut found = Vec::new();
        let mut same_name = false;
        if let Some(name) = &entry.name {
            match names.get(&name.to_lowercase()) {
                Some(first) => {
                    same_name = true;
                    found.push(claim("name", name, first, &entry.path));
                }
                None => {
                    names.insert(name.to_lowercase(), entry.path.clone());
                }
            }
        }
        for section in inspection.manifest.iter().flat_map(|manifest| &manifest.sections) {
            match sections.get(section) {
                // Told by the name, from which the section comes.
                Some(_) if same_name && entry.name.as_ref() == Some(section) => {}
                Some(first) => found.push(claim("section", section, first, &entry.path)),
                None => {
                    sections.insert(section.clone(), entry.path.clone());
                }
            }
        }
        if let (Some(library), Some(file)) = (&entry.library, inspection.library)
            && file.ino != 0
        {
            match files.get(&(file.dev, file.ino)) {
                Some(first) => {
                    let message = format!("Its library is the same file as that of {}.", first.display());
                    let help = "Disable one of the two: a library is loaded once in a process.";
                    found.push(
                        Diagnostic::error(Id::DiscoverySameFile, &entry.path, message, help)
                            .found(library.display().to_string()),
                    );
                }
                None => {
                    files.insert((file.dev, file.ino), entry.path.clone());
                }
            }
        }
        entry.diagnostics.extend(found);
    }
}

/// Plugins are another matter than protocols, and not loaded.
fn plugins(home: &Path) -> Option<Diagnostic> {
    let folder = home.join("plugins/enabled");
    let names = std::fs::read_dir(&folder).ok()?.filter_map(Result::ok).map(|entry| entry.file_name());
    let names: Vec<_> = names.filter(|name| !name.to_string_lossy().starts_with('.')).collect();
    let first = names.iter().min()?;
    let message = format!("This host loads no plugins: {} of them ignored.", names.len());
    let help = "Remove what is in plugins/enabled; protocols belong into protocols/enabled.";
    let diagnostic = Diagnostic::warning(Id::PluginsNotSupported, folder, message, help);
    Some(diagnostic.found(first.to_string_lossy()))
}
