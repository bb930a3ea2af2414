//! `manifest.json` of the one enabled protocol: every answer is a refusal or names a protocol.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use kuzzle_host::config::Config;
use kuzzle_host::installation::{Status, survey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    let home = HOME.get_or_init(|| {
        let home = tempfile::tempdir().unwrap().keep();
        fs::create_dir_all(home.join("protocols/enabled/p")).unwrap();
        home
    });
    fs::write(home.join("protocols/enabled/p/manifest.json"), bytes).unwrap();
    let survey = survey(home, &Config::default());
    let [entry] = &survey.entries[..] else { panic!("one entry") };
    // There is no library.
    assert_eq!(entry.status, Status::Refused);
    assert!(entry.diagnostics.iter().any(|diagnostic| diagnostic.is_error()));
});
