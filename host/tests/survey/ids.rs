//! Every id of the contract is produced by a test: here, or end to end if only loading produces it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use kuzzle_host::config;
use kuzzle_host::diagnostics::Id;
use kuzzle_host::installation::target::{ProcessOwner, Surroundings};
use kuzzle_host::installation::{Survey, survey_in};
use serde_json::{Value, json};

use crate::home::{Elf, Home, compile, good, has_cc, minimal};
use crate::zoo::{missing_dependency, newer_libc};

/// What puts something wrong into an installation.
type Fault = fn(&Home);
/// What is told of an installation, if it could be brought about.
type Answer = fn(&Home) -> Option<BTreeSet<Id>>;

/// An installation whose survey has the id, among others perhaps: what else is told, or not, is the
/// matter of the other tests.
const SURVEYED: &[(Id, Fault)] = &[
    (Id::ConfigurationCannotParse, |home| kuzzlerc(home, "{")),
    (Id::ConfigurationInvalidType, |home| kuzzlerc(home, r#"{"server":{"host":5}}"#)),
    (Id::ConfigurationOutOfRange, |home| kuzzlerc(home, r#"{"server":{"port":70000}}"#)),
    (Id::ConfigurationUnknownKey, |home| kuzzlerc(home, r#"{"server":{"prot":1}}"#)),
    (Id::ManifestCannotLoad, |home| manifest(home, json!([]))),
    (Id::ManifestMissingName, |home| manifest(home, json!({}))),
    (Id::ManifestInvalidNameType, |home| manifest(home, json!({ "name": 1 }))),
    (Id::ManifestUnusualName, |home| manifest(home, json!({ "name": "a b" }))),
    (Id::ManifestMissingVersion, |home| manifest(home, json!({ "name": "p" }))),
    (Id::ManifestInvalidVersion, |home| manifest(home, json!({ "kuzzleVersion": "two" }))),
    (Id::ManifestVersionMismatch, |home| manifest(home, json!({ "kuzzleVersion": "3" }))),
    (Id::ManifestInvalidProperty, |home| manifest(home, json!({ "main": "/p.so" }))),
    (Id::ManifestUnknownProperty, |home| manifest(home, json!({ "mian": "p" }))),
    (Id::PluginsNotSupported, |home| fs::create_dir_all(home.path().join("plugins/enabled/some")).unwrap()),
    (Id::AlreadyExists, |home| {
        home.add("q").manifest("q", &json!({ "name": "P" }));
    }),
    (Id::DiscoveryUnreadable, |home| {
        fs::remove_dir_all(home.enabled("")).unwrap();
        fs::write(home.path().join("protocols/enabled"), "").unwrap();
    }),
    (Id::DiscoveryDanglingLink, |home| symlink("gone", home.enabled("link")).unwrap()),
    (Id::DiscoveryLinkLoop, |home| symlink("link", home.enabled("link")).unwrap()),
    (Id::DiscoveryNotADirectory, |home| symlink("/dev/null", home.enabled("link")).unwrap()),
    (Id::DiscoverySameFile, |home| {
        home.add("q");
        fs::write(home.library("p"), "").unwrap();
        fs::hard_link(home.library("p"), home.library("q")).unwrap();
    }),
    (Id::TrustWritableByOthers, |home| home.chmod(&home.folder("p"), 0o777)),
    (Id::TrustOutsideInstallation, |home| {
        // A folder of everybody's, which is certainly not the system's.
        symlink(std::env::temp_dir(), home.enabled("link")).unwrap();
    }),
    (Id::TrustChecksumMismatch, |home| {
        fs::write(home.library("p"), "").unwrap();
        manifest(home, json!({ "sha256": "0".repeat(64) }));
    }),
    (Id::LibraryNotFound, |_| {}),
    (Id::LibraryAmbiguous, |home| {
        fs::write(home.library("p"), "").unwrap();
        fs::write(home.folder("p").join("q.so"), "").unwrap();
    }),
    (Id::LibraryUnreadable, |home| fs::create_dir(home.library("p")).unwrap()),
    (Id::LibraryNotALibrary, |home| fs::write(home.library("p"), "").unwrap()),
    (Id::LibraryWrongFormat, |home| fs::write(home.library("p"), "MZ").unwrap()),
    (Id::LibraryWrongArchitecture, |home| patched(home, 18, b"\xff\x7f")),
    (Id::LibraryMissingSymbol, |home| patched(home, Elf(good()).symbol("kuzzle_protocol_init"), &[0; 4])),
    (Id::LibraryWrongSymbolKind, |home| {
        patched(home, Elf(good()).symbol("kuzzle_protocol_init") + 4, b"\x16")
    }),
    (Id::LibraryMissingDependency, |home| missing_dependency(home, "q")),
    (Id::LibraryNeedsNewerLibc, |home| newer_libc(home, "q")),
    (Id::LibraryExportsMany, |home| {
        let others: String = (0..70).map(|number| format!("KUZZLE_EXPORT int other_{number};\n")).collect();
        compiled(home, &others);
    }),
    (Id::LibraryUniqueSymbols, |home| {
        compiled(
            home,
            "__asm__(\".data\\n.globl u\\n.type u, @gnu_unique_object\\nu: .long 1\\n.size u, 4\\n.text\");",
        );
    }),
    (Id::AbiMissingNote, |home| patched(home, Elf(good()).symbol("kuzzle_protocol_abi"), &[0; 4])),
    (Id::AbiNotANote, |home| patched(home, Elf(good()).note(), b"k")),
    (Id::AbiVersionMismatch, |home| patched(home, Elf(good()).note() + 8, b"\x07")),
    (Id::AbiLayoutMismatch, |home| patched(home, Elf(good()).note() + 30, b"\x07")),
    (Id::AbiPanicAbort, |home| patched(home, Elf(good()).note() + 16, b"\x02")),
    (Id::ConfigInvalid, |home| {
        manifest(home, json!({ "name": "p", "config": { "required": ["key"] } }));
    }),
];

/// The same for what is told later, and for what not every user can bring about (`None`).
const OTHERWISE: &[(Id, Answer)] = &[
    (Id::TrustWrongOwner, |home| {
        // Only root may give files away.
        chown(home.folder("p"), Some(54_321), None).ok()?;
        let process = Some(ProcessOwner { uid: 12_345, gid: 0, in_container: false });
        Some(told(home, &Surroundings { process, ..Surroundings::default() }))
    }),
    (Id::ArchiveInvalid, |_| Some(crate::archives::told_of_no_archive())),
    (Id::TrustChangedSinceInspection, |home| {
        fs::write(home.library("p"), good()).unwrap();
        let survey = home.survey();
        fs::remove_file(home.library("p")).unwrap();
        let changed = survey.candidates().filter_map(|candidate| candidate.changed_since_inspection());
        Some(changed.map(|told| told.id).collect())
    }),
];

/// What only loading tells, and the end-to-end test of it: file and name.
const LOADED: &[(Id, &str, &str)] = &[
    (Id::RuntimeLoadFailed, "refusals.rs", "names_a_function_that_is_needed_and_not_there"),
    (Id::RuntimeInitFailed, "lifecycle.rs", "an_init_that_fails_refuses_to_start_and_its_reason_is_shown"),
    (Id::RuntimeInitTimeout, "lifecycle.rs", "an_init_that_hangs_refuses_to_start_in_bounded_time"),
    (Id::RuntimeInitPanicked, "lifecycle.rs", "an_init_that_panics_refuses_to_start"),
    (Id::AccessLogCannotOpen, "access_log.rs", "a_file_that_can_not_be_opened_refuses_to_start"),
    (Id::RuntimeStartFailed, "lifecycle.rs", "a_start_that_fails_refuses_to_start_and_its_reason_is_shown"),
];

fn kuzzlerc(home: &Home, text: &str) {
    fs::write(home.path().join(".kuzzlerc"), text).unwrap();
}

fn manifest(home: &Home, manifest: Value) {
    home.manifest("p", &manifest);
}

/// A healthy library with other bytes somewhere.
fn patched(home: &Home, at: usize, bytes: &[u8]) {
    let mut library = good().to_vec();
    library[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(home.library("p"), library).unwrap();
}

fn compiled(home: &Home, code: &str) {
    compile(&format!("{}\n{code}", minimal()), &["-shared"], &home.library("p"));
}

/// All ids that are told of an installation.
fn told(home: &Home, surroundings: &Surroundings) -> BTreeSet<Id> {
    let (config, wrong) = config::load_all(home.path(), []);
    let Survey { entries, diagnostics } = survey_in(home.path(), &config, surroundings);
    let of_entries = entries.into_iter().flat_map(|entry| entry.diagnostics);
    wrong.into_iter().chain(diagnostics).chain(of_entries).map(|told| told.id).collect()
}

#[test]
fn every_id_is_produced_by_a_test() {
    if !has_cc("every_id_is_produced_by_a_test") {
        return;
    }
    let mut covered = BTreeSet::new();
    for (id, fault) in SURVEYED {
        let home = Home::new();
        home.add("p");
        fault(&home);
        let told = told(&home, &Surroundings::default());
        assert!(told.contains(id), "{id} is not told, but {told:?}");
        covered.insert(*id);
    }
    for (id, produce) in OTHERWISE {
        let home = Home::new();
        home.add("p");
        match produce(&home) {
            Some(told) => assert!(told.contains(id), "{id} is not told, but {told:?}"),
            None => eprintln!("skipped for want of root: {id}"),
        }
        covered.insert(*id);
    }
    for (id, file, test) in LOADED {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/end_to_end").join(file);
        let text = fs::read_to_string(path).unwrap();
        let (_, body) =
            text.split_once(&format!("#[test]\nfn {test}(")).unwrap_or_else(|| panic!("no test {test}"));
        let body = body.split("#[test]").next().unwrap();
        assert!(body.contains(id.as_str()), "{test} does not name {id}");
        covered.insert(*id);
    }
    let without: Vec<_> = Id::ALL.iter().filter(|id| !covered.contains(id)).map(|id| id.as_str()).collect();
    assert!(without.is_empty(), "no test produces {without:?}");
}
