//! The bytes of a library, for every platform: what has a note and no errors exports the whole
//! interface.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use kuzzle_host::installation::image::inspect;
use kuzzle_host::installation::target::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| tempfile::tempdir().unwrap().keep().join("libp.so"));
    fs::write(library, bytes).unwrap();
    let platforms = ["linux_amd64", "linux_386", "windows_amd64", "macos_arm64", "macos_amd64"];
    for target in platforms.into_iter().filter_map(Target::of) {
        let image = inspect(library, &target);
        assert_eq!(image.size, bytes.len() as u64);
        if !image.diagnostics.iter().any(|diagnostic| diagnostic.is_error()) {
            assert!(image.note.is_some(), "neither a note nor an error");
            assert!(image.exports.len() >= 7, "{:?}", image.exports);
        }
    }
});
