//! The tripwire with real libraries: copies of this crate, changed and unchanged, each with a small
//! protocol in a crate that forbids unsafe code, built as shipped (release, thin LTO, stripped).
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(feature = "abi_stable")]

use std::fs;
use std::path::{Path, PathBuf};

use kuzzle_protocol_abi::raw::exports::{OPTIONAL_FUNCTIONS, REQUIRED_FUNCTIONS};
use kuzzle_protocol_abi::raw::note::{self, FLAG_RUST_SDK};
use kuzzle_protocol_abi::tripwire::{self, Tripwire};
use object::{Object, ObjectSection, ObjectSymbol};

#[path = "support/patched.rs"]
mod patched;

use patched::{Patch, forged};

fn build(name: &str, features: &str, patches: &[Patch<'_>]) -> PathBuf {
    patched::build(Path::new(env!("CARGO_MANIFEST_DIR")), name, features, patches)
}

const ABI_STABLE: &str = "\"abi_stable\"";

/// Reads the note out of the file, as a host does.
fn note_of(library: &Path) -> note::NoteView {
    let data = fs::read(library).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let symbol = file
        .dynamic_symbols()
        .find(|symbol| symbol.name() == Ok(note_symbol()))
        .expect("the note is exported");
    let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
    let start = (symbol.address() - section.address()) as usize;
    note::parse(&section.data().unwrap()[start..]).expect("it is a note")
}

fn note_symbol() -> &'static str {
    kuzzle_protocol_abi::raw::exports::NOTE_SYMBOL
}

#[test]
fn an_unchanged_protocol_matches_and_keeps_its_exports_in_a_stripped_release() {
    let library = build("same", ABI_STABLE, &[]);
    assert_eq!(tripwire::check(&library), Tripwire::Match);
    let data = fs::read(&library).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let mut exports: Vec<_> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .map(|symbol| symbol.name().unwrap())
        .collect();
    exports.sort_unstable();
    let mut expected = vec!["_1as_0lib_1header_0root_bmodule_bloader", note_symbol()];
    expected.extend(REQUIRED_FUNCTIONS.into_iter().chain(OPTIONAL_FUNCTIONS));
    expected.sort_unstable();
    assert_eq!(exports, expected);
    let view = note_of(&library);
    assert_eq!(note::compare(&view), Ok(()));
    assert_eq!(view.flags, FLAG_RUST_SDK, "neither panic=abort nor debug");
    assert_eq!(view.sdk, note::SDK);
    assert!(view.toolchain.starts_with("rustc 1."), "{}", view.toolchain);
}

#[test]
fn a_swapped_field_behind_a_forged_note_is_refused_by_the_tripwire_alone() {
    let library = build(
        "swapped",
        ABI_STABLE,
        &[
            (
                "src/raw/values.rs",
                "pub name: kuzzle_str,\n    /// The header's value.\n    pub value: kuzzle_str,",
                "pub value: kuzzle_str,\n    /// The header's name.\n    pub name: kuzzle_str,",
            ),
            ("src/raw/note.rs", "table: LAYOUT,", &forged()),
        ],
    );
    assert_eq!(note::compare(&note_of(&library)), Ok(()), "the note is forged well");
    let Tripwire::Mismatch { path, expected, found } = tripwire::check(&library) else {
        panic!("it is not refused");
    };
    assert_eq!(path, "kuzzle_header");
    assert!(expected.contains("name") && found.contains("value"), "{expected} / {found}");
}

#[test]
fn a_field_that_was_retyped_in_place_is_refused_by_the_tripwire_alone() {
    let library = build(
        "retyped",
        ABI_STABLE,
        &[
            ("src/raw/values.rs", "pub context: *mut c_void,", "pub context: *mut u8,"),
            ("src/raw/values.rs", "fn(context: *mut c_void,", "fn(context: *mut c_void, "),
        ],
    );
    assert_eq!(note::compare(&note_of(&library)), Ok(()), "no size and no offset has changed");
    let Tripwire::Mismatch { path, expected, found } = tripwire::check(&library) else {
        panic!("it is not refused");
    };
    assert!(path.starts_with("kuzzle_completion.context"), "{path}");
    assert!(expected.contains("c_void") && found.contains("u8"), "{expected} / {found}");
}

#[test]
fn a_function_of_a_table_with_another_parameter_is_refused() {
    let library = build(
        "parameter",
        ABI_STABLE,
        &[
            (
                "src/raw/tables.rs",
                "            size: u64,\n        ) -> i32,",
                "            size: i64,\n        ) -> i32,",
            ),
            ("src/sdk/host.rs", "size: u64", "size: i64"),
            ("src/sdk/entry_point.rs", "u32::from(status), size)", "u32::from(status), size.cast_signed())"),
        ],
    );
    let Tripwire::Mismatch { path, expected, found } = tripwire::check(&library) else {
        panic!("it is not refused");
    };
    assert!(path.starts_with("kuzzle_entry_point.log_access"), "{path}");
    assert!(expected.contains("u64") && found.contains("i64"), "{expected} / {found}");
}

#[test]
fn a_struct_that_may_grow_may_have_grown() {
    let library = build(
        "grown",
        ABI_STABLE,
        &[
            (
                "src/raw/structs.rs",
                "    /// Concatenated: the content. Can be retained.\n    pub parts: *const kuzzle_buf,\n    /// How many.\n    pub parts_len: usize,",
                "    /// Concatenated: the content. Can be retained.\n    pub parts: *const kuzzle_buf,\n    /// How many.\n    pub parts_len: usize,\n    /// New.\n    pub more: u64,",
            ),
            ("src/raw/note.rs", "table: LAYOUT,", &forged()),
        ],
    );
    assert_eq!(tripwire::check(&library), Tripwire::Match);
}

#[test]
fn another_major_of_the_crate_is_refused() {
    let library = build("major", ABI_STABLE, &[("Cargo.toml", "version = \"1.0.0\"", "version = \"2.0.0\"")]);
    let Tripwire::Mismatch { path, expected, found } = tripwire::check(&library) else {
        panic!("it is not refused");
    };
    assert_eq!(
        (path.as_str(), expected.as_str(), found.as_str()),
        ("kuzzle-protocol-abi", "version 1.y.z", "version 2.0.0")
    );
}

#[test]
fn a_protocol_without_a_description_is_accepted_as_such() {
    assert_eq!(tripwire::check(&build("absent", "", &[])), Tripwire::Absent);
}

#[test]
fn a_file_that_cannot_be_opened_is_only_a_warning() {
    let result = tripwire::check(Path::new("/nonexistent/library.so"));
    assert!(matches!(result, Tripwire::OtherAbiStable(_)), "{result}");
}
