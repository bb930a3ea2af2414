//! `.kuzzlerc`: what can not be used is told, and the rest has its defaults.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use kuzzle_host::config::{load, load_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    let home = HOME.get_or_init(|| tempfile::tempdir().unwrap().keep());
    fs::write(home.join(".kuzzlerc"), bytes).unwrap();
    let (config, diagnostics) = load_all(home, []);
    assert_eq!(load(home, []).is_ok(), !diagnostics.iter().any(|diagnostic| diagnostic.is_error()));
    assert!(!config.server_host().is_empty());
    config.server_json_for(&["udp".to_owned()]);
});
