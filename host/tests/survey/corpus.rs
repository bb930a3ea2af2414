//! What the fuzz targets have found interesting, once more: `fuzz/corpus`. Each file has an answer.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use kuzzle_host::config;
use kuzzle_host::installation::image::inspect;
use kuzzle_host::installation::target::Target;
use kuzzle_host::installation::{Status, survey, survey_paths};

use crate::home::{Home, entry};

/// The files of the corpus of one target.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 5, "{files:?}");
    files
}

#[test]
fn manifests_of_the_corpus() {
    let home = Home::new();
    home.add("p");
    let config = config::load(home.path(), []).unwrap();
    for file in corpus("manifest") {
        fs::copy(&file, home.folder("p").join("manifest.json")).unwrap();
        let survey = survey(home.path(), &config);
        let entry = entry(&survey, "p");
        // There is no library.
        assert_eq!(entry.status, Status::Refused, "{}", file.display());
        assert!(entry.diagnostics.iter().any(|told| told.is_error()), "{}", file.display());
    }
}

#[test]
fn libraries_of_the_corpus() {
    for file in corpus("image") {
        for target in Target::KEYS.into_iter().filter_map(Target::of) {
            let image = inspect(&file, &target);
            assert_eq!(image.size, fs::metadata(&file).unwrap().len(), "{}", file.display());
            if !image.diagnostics.iter().any(|told| told.is_error()) {
                assert!(image.note.is_some() && image.exports.len() >= 7, "{}", file.display());
            }
        }
    }
}

#[test]
fn archives_of_the_corpus() {
    let folder = tempfile::tempdir().unwrap();
    for file in corpus("archive") {
        let path = folder.path().join("p.tar.gz");
        let out = fs::File::create(&path).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        gzip.write_all(&fs::read(&file).unwrap()).unwrap();
        gzip.finish().unwrap();
        let entry = survey_paths(&[path]).entries.remove(0);
        // None holds a library.
        assert_eq!(entry.status, Status::Refused, "{}", file.display());
        assert!(entry.diagnostics.iter().any(|told| told.is_error()), "{}", file.display());
    }
}

#[test]
fn configurations_of_the_corpus() {
    let home = Home::new();
    for file in corpus("config") {
        fs::copy(&file, home.path().join(".kuzzlerc")).unwrap();
        let (config, told) = config::load_all(home.path(), []);
        let has_errors = told.iter().any(|told| told.is_error());
        assert_eq!(config::load(home.path(), []).is_ok(), !has_errors, "{}", file.display());
        assert!(!config.server_host().is_empty(), "{}", file.display());
    }
}
