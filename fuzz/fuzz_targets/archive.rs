//! The bytes of a tar file, compressed: whatever stands in it, nothing is written outside of the
//! temporary folder, nothing is left there, and every answer is a refusal or names a protocol.

#![no_main]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use kuzzle_host::installation::{Status, survey_paths};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| tempfile::tempdir().unwrap().keep().join("p.tar.gz"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    fs::write(archive, gzip.finish().unwrap()).unwrap();
    let survey = survey_paths(std::slice::from_ref(archive));
    let [entry] = &survey.entries[..] else { panic!("one entry") };
    if entry.status == Status::Ok {
        assert!(entry.name.is_some() && entry.library.is_some());
    } else {
        assert!(entry.diagnostics.iter().any(|diagnostic| diagnostic.is_error()));
    }
    let folder = archive.parent().unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "something was written beside the archive");
});
