//! The note: what is written is what is read, what is broken is refused, and the released tables are
//! the header's and this crate's.
#![allow(clippy::unwrap_used, reason = "tests")]

use kuzzle_protocol_abi::raw::note::{
    self, FLAG_RUST_SDK, HEADER_SIZE, LAYOUT, LAYOUT_LEN, LAYOUT_NAMES, MismatchKind, Note, NoteError,
    NoteView,
};

const NOTE: Note<{ note::strings_len("rustc 1.2.3", "sdk 4") }> =
    Note::new("rustc 1.2.3", "sdk 4", FLAG_RUST_SDK);

fn view() -> NoteView {
    note::parse(&NOTE.to_bytes()).expect("it is a note")
}

#[test]
fn reads_what_it_writes() {
    let view = view();
    assert_eq!((view.major, view.minor, view.flags), (1, 0, FLAG_RUST_SDK));
    assert_eq!(usize::from(view.pointer_size), size_of::<usize>());
    assert_eq!((view.toolchain.as_str(), view.sdk.as_str()), ("rustc 1.2.3", "sdk 4"));
    assert_eq!(view.table, LAYOUT);
    assert_eq!(note::compare(&view), Ok(()));
}

#[test]
fn ignores_what_follows_the_note() {
    let mut bytes = NOTE.to_bytes();
    bytes.extend([1, 2, 3]);
    assert_eq!(note::parse(&bytes), Ok(view()));
}

#[test]
fn refuses_every_truncation() {
    let bytes = NOTE.to_bytes();
    for len in 0..bytes.len() {
        let error = note::parse(&bytes[..len]).expect_err("it is cut off");
        assert!(matches!(error, NoteError::TooShort { found, .. } if found == len), "{len}: {error}");
    }
}

#[test]
fn refuses_another_magic() {
    let mut bytes = NOTE.to_bytes();
    bytes[7] = b'2';
    assert_eq!(note::parse(&bytes), Err(NoteError::Magic));
}

#[test]
fn refuses_a_size_that_is_not_the_sum_of_the_parts() {
    for change in [-1_i32, 1] {
        let mut bytes = NOTE.to_bytes();
        let size = u32::from_ne_bytes(bytes[12..16].try_into().unwrap());
        bytes[12..16].copy_from_slice(&size.wrapping_add_signed(change).to_ne_bytes());
        bytes.push(0);
        assert!(matches!(note::parse(&bytes), Err(NoteError::Size { .. })));
    }
}

#[test]
fn accepts_a_longer_note_of_a_higher_minor_so_that_its_version_can_be_told() {
    let mut bytes = NOTE.to_bytes();
    let size = u32::from_ne_bytes(bytes[12..16].try_into().unwrap());
    bytes[10..12].copy_from_slice(&7_u16.to_ne_bytes());
    bytes[12..16].copy_from_slice(&(size + 4).to_ne_bytes());
    bytes.extend([9; 4]);
    let view = note::parse(&bytes).expect("it is a note");
    assert_eq!(view.minor, 7);
    let mismatches = note::compare(&view).expect_err("there is no table for it");
    assert_eq!(mismatches[0].to_string(), "minor: expected at most 0, found 7");
}

#[test]
fn refuses_strings_without_their_only_nul() {
    let bytes = NOTE.to_bytes();
    let strings = HEADER_SIZE + 2 * LAYOUT_LEN;
    for (at, byte, name) in [
        (strings + 11, b'x', "toolchain"),
        (strings + 3, 0, "toolchain"),
        (bytes.len() - 1, b'x', "SDK"),
        (bytes.len() - 3, 0, "SDK"),
    ] {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        assert_eq!(note::parse(&bytes), Err(NoteError::Unterminated(name)));
    }
}

#[test]
fn never_panics_on_changed_bytes() {
    let good = NOTE.to_bytes();
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(view) = note::parse(&bytes) {
                let _ = note::compare(&view);
            }
        }
    }
}

#[test]
fn makes_foreign_strings_safe_to_print() {
    let mut bytes = NOTE.to_bytes();
    let strings = HEADER_SIZE + 2 * LAYOUT_LEN;
    bytes[strings..strings + 5].copy_from_slice(b"\x1b[2J\xff");
    assert_eq!(note::parse(&bytes).unwrap().toolchain, "\\u{1b}[2J\u{fffd} 1.2.3");
}

#[test]
fn names_each_field_that_differs() {
    let mut view = view();
    let at = |name| LAYOUT_NAMES.iter().position(|known| *known == name).unwrap();
    view.table[at("kuzzle_header")] += 8;
    view.table[at("kuzzle_request.headers")] = 32;
    let texts: Vec<_> =
        note::compare(&view).expect_err("two differ").iter().map(ToString::to_string).collect();
    let offset = LAYOUT[at("kuzzle_request.headers")];
    let size = LAYOUT[at("kuzzle_header")];
    assert_eq!(
        texts,
        [
            format!("kuzzle_header: expected size {size}, found {}", size + 8),
            format!("kuzzle_request.headers: expected offset {offset}, found 32"),
        ]
    );
}

#[test]
fn a_table_of_another_length_differs() {
    for change in [-1_isize, 1] {
        let mut view = view();
        view.table.resize(LAYOUT_LEN.wrapping_add_signed(change), 0);
        let mismatches = note::compare(&view).expect_err("the length differs");
        assert_eq!(mismatches.len(), 1);
        assert_eq!(mismatches[0].kind, MismatchKind::TableLength);
        assert_eq!(usize::from(mismatches[0].found), view.table.len());
    }
}

#[test]
fn the_released_table_is_what_this_crate_computes() {
    let released: Vec<_> = note::expected_table(0, size_of::<usize>() as u16).unwrap().collect();
    let computed: Vec<_> = LAYOUT_NAMES.into_iter().zip(LAYOUT).collect();
    assert_eq!(released, computed);
}

#[test]
fn the_header_lists_the_same_fields_in_the_same_order() {
    let header = include_str!("../include/kuzzle/protocol.h");
    let start = header.find("#define KUZZLE_LAYOUT_(SIZE, FIELD)").expect("the header has the list");
    let list = &header[start + "#define KUZZLE_LAYOUT_(SIZE, FIELD)".len()..];
    let list = &list[..list.find("\n\n").expect("the list ends")];
    let names: Vec<String> = list
        .split(')')
        .filter_map(|entry| {
            let (kind, names) = entry.split_once('(')?;
            assert!(["SIZE", "FIELD"].contains(&kind.trim_matches([' ', '\\', '\n'])), "{kind}");
            Some(names.replace(", ", "."))
        })
        .collect();
    assert_eq!(names, LAYOUT_NAMES);
    for pointer_size in [4, 8] {
        let released: Vec<_> = note::expected_table(0, pointer_size).unwrap().map(|(name, _)| name).collect();
        assert_eq!(released, LAYOUT_NAMES);
    }
}

#[test]
fn a_note_for_another_machine_is_read_and_compared_as_its_own() {
    let host = cfg!(target_endian = "little");
    let mut bytes = NOTE.to_bytes();
    let (table, end) = (HEADER_SIZE, HEADER_SIZE + 2 * LAYOUT_LEN);
    // Every number the other way round.
    for range in [8..10, 10..12, 12..16, 16..20, 20..22, 22..24, 24..26, 26..28] {
        bytes[range].reverse();
    }
    bytes[table..end].chunks_exact_mut(2).for_each(<[u8]>::reverse);
    assert_eq!(note::parse_of(&bytes, !host), Ok(view()));
    assert!(note::parse(&bytes).is_err());

    let of_32_bits: Vec<_> = note::expected_table(0, 4).unwrap().map(|(_, value)| value).collect();
    let small = NoteView { pointer_size: 4, table: of_32_bits, ..view() };
    assert_eq!(note::compare_of(&small, 4), Ok(()));
    let mismatches = note::compare_of(&view(), 4).expect_err("its pointers are larger");
    assert_eq!(mismatches[0].to_string(), "pointer_size: expected 4, found 8");
}
