//! Faults of libraries.

use std::fs;
use std::time::{Duration, Instant};

use kuzzle_host::installation::Status;
use serde_json::json;

use crate::home::{Home, compile, entry, has_cc, ids, minimal, set, with_note};

const FUNCTIONS: [&str; 6] = ["init", "broadcast", "notify", "join_channel", "leave_channel", "disconnect"];

#[test]
fn accepts_a_protocol_and_tells_what_it_is() {
    if !has_cc("accepts_a_protocol_and_tells_what_it_is") {
        return;
    }
    let home = Home::new();
    let needy = ["-Wl,--no-as-needed", "-lm"];
    home.compiled("good", &minimal(), &needy).compiled(
        "stripped",
        &minimal(),
        &[&needy[..], &["-s", "-O2"]].concat(),
    );
    let survey = home.survey();
    for name in ["good", "stripped"] {
        let entry = entry(&survey, name);
        assert_eq!(ids(entry), set([]));
        assert_eq!(entry.status, Status::Ok);
        let candidate = entry.candidate.as_ref().unwrap();
        assert_eq!((candidate.name.as_str(), candidate.note.major, candidate.note.minor), (name, 1, 0));
        assert!(candidate.needed.iter().any(|needed| needed.contains("libm.so")), "{:?}", candidate.needed);
        assert!(!candidate.exports.shutdown);
        assert!(candidate.changed_since_inspection().is_none());
        fs::write(&candidate.library, "other").unwrap();
        let changed = candidate.changed_since_inspection().unwrap();
        assert_eq!(changed.id.as_str(), "protocol.trust.changed_since_inspection");
    }
}

#[test]
fn accepts_a_library_without_section_headers() {
    if !has_cc("accepts_a_library_without_section_headers") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &["-s"]);
    let mut bytes = fs::read(home.library("p")).unwrap();
    // e_shoff, e_shnum and e_shstrndx of ELF64.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    fs::write(home.library("p"), bytes).unwrap();
    assert_eq!(home.ids("p"), set([]));
}

#[test]
fn names_each_missing_function() {
    if !has_cc("names_each_missing_function") {
        return;
    }
    let home = Home::new();
    for function in FUNCTIONS {
        let symbol = format!("kuzzle_protocol_{function}");
        let code = format!("#define {symbol} elsewhere\n{}", minimal());
        home.compiled(function, &code, &[]);
    }
    let survey = home.survey();
    assert_eq!(survey.refused(), FUNCTIONS.len());
    for function in FUNCTIONS {
        let entry = entry(&survey, function);
        assert_eq!(ids(entry), set(["protocol.library.missing_symbol"]));
        assert_eq!(entry.diagnostics.len(), 1);
        assert!(entry.diagnostics[0].message.contains(&format!("`kuzzle_protocol_{function}`")));
    }
}

#[test]
fn names_all_that_is_missing_at_once() {
    if !has_cc("names_all_that_is_missing_at_once") {
        return;
    }
    let home = Home::new();
    home.compiled("empty", "int nothing;", &[]);
    let survey = home.survey();
    let entry = entry(&survey, "empty");
    assert_eq!(ids(entry), set(["protocol.library.missing_symbol", "protocol.abi.missing_note"]));
    assert_eq!(entry.diagnostics.len(), 7);
}

#[test]
fn refuses_a_symbol_of_the_wrong_kind() {
    if !has_cc("refuses_a_symbol_of_the_wrong_kind") {
        return;
    }
    let home = Home::new();
    for (name, definition) in [
        ("data", "KUZZLE_EXPORT int kuzzle_protocol_notify = 1;"),
        ("thread-local", "KUZZLE_EXPORT __thread int kuzzle_protocol_notify = 1;"),
    ] {
        let code = minimal().replace("kuzzle_protocol_notify", "hidden");
        let code = code.replace(
            "#include \"kuzzle/protocol.h\"",
            &format!(
                "#define kuzzle_protocol_notify hidden\n#include \"kuzzle/protocol.h\"\n#undef kuzzle_protocol_notify\n{definition}"
            ),
        );
        home.compiled(name, &code, &[]);
        assert_eq!(home.ids(name), set(["protocol.library.wrong_symbol_kind"]), "{name}");
    }
    home.compiled(
        "function",
        &with_note("KUZZLE_EXPORT int kuzzle_protocol_abi(void) { return 1; }"),
        &["-w"],
    );
    assert_eq!(home.ids("function"), set(["protocol.library.wrong_symbol_kind"]));
}

#[test]
fn refuses_notes_that_are_absent_or_none() {
    if !has_cc("refuses_notes_that_are_absent_or_none") {
        return;
    }
    let home = Home::new();
    let magic = "'K','Z','P','R','O','T','O','1'";
    for (name, note, id) in [
        ("absent", String::new(), "protocol.abi.missing_note"),
        ("zeroed", "KUZZLE_EXPORT const char kuzzle_protocol_abi[300] = {0, 1};".into(), "protocol.abi.not_a_note"),
        ("bss", "KUZZLE_EXPORT char kuzzle_protocol_abi[300];".into(), "protocol.abi.not_a_note"),
        ("text", "KUZZLE_EXPORT const char kuzzle_protocol_abi[] = \"KZPROTO2\";".into(), "protocol.abi.not_a_note"),
        (
            "huge",
            format!("KUZZLE_EXPORT const unsigned char kuzzle_protocol_abi[64] = {{{magic},1,0,0,0,255,255,255,255}};"),
            "protocol.abi.not_a_note",
        ),
        (
            "short",
            format!("KUZZLE_EXPORT const unsigned char kuzzle_protocol_abi[64] = {{{magic},1,0,0,0,28,0,0,0,0,0,0,0,8}};"),
            "protocol.abi.not_a_note",
        ),
        (
            "relocated",
            "static int place; KUZZLE_EXPORT const struct { unsigned char head[28]; void *to; } kuzzle_protocol_abi = \
             {{'K','Z','P','R','O','T','O','1',1,0,0,0,40,0,0,0}, &place};"
                .into(),
            "protocol.abi.not_a_note",
        ),
    ] {
        home.compiled(name, &with_note(&note), &["-w"]);
        assert_eq!(home.ids(name), set([id]), "{name}");
    }
}

#[test]
fn refuses_other_versions_and_layouts_of_the_abi_and_names_the_field() {
    if !has_cc("refuses_other_versions_and_layouts_of_the_abi_and_names_the_field") {
        return;
    }
    let home = Home::new();
    let define = |what: &str, value: u32| {
        let redefined = format!("#include \"kuzzle/protocol.h\"\n#undef {what}\n#define {what} {value}");
        minimal().replace("#include \"kuzzle/protocol.h\"", &redefined)
    };
    home.compiled("major", &define("KUZZLE_ABI_MAJOR", 2), &[]);
    home.compiled("minor", &define("KUZZLE_ABI_MINOR", 7), &[]);
    let moved = "#include <stddef.h>\n#undef offsetof\n#define offsetof(type, field) \
                 (__builtin_strcmp(#type \".\" #field, \"kuzzle_request.headers\") ? __builtin_offsetof(type, field) : 32)\n";
    home.compiled(
        "moved",
        &minimal().replacen("KUZZLE_PROTOCOL_NOTE", &format!("\n{moved}KUZZLE_PROTOCOL_NOTE"), 1),
        &[],
    );
    let survey = home.survey();
    for (name, id) in [
        ("major", "protocol.abi.version_mismatch"),
        ("minor", "protocol.abi.version_mismatch"),
        ("moved", "protocol.abi.layout_mismatch"),
    ] {
        assert_eq!(ids(entry(&survey, name)), set([id]), "{name}");
    }
    assert_eq!(entry(&survey, "major").diagnostics[0].found.as_deref(), Some("2.0"));
    let message = &entry(&survey, "moved").diagnostics[0].message;
    assert!(message.contains("kuzzle_request.headers: expected offset 48, found 32"), "{message}");
}

#[test]
fn tells_formats_and_processors_apart() {
    if !has_cc("tells_formats_and_processors_apart") {
        return;
    }
    let home = Home::new();
    home.compiled("good", &minimal(), &[]);
    let good = fs::read(home.library("good")).unwrap();
    let patched = |at: usize, bytes: &[u8]| {
        let mut patched = good.clone();
        patched[at..at + bytes.len()].copy_from_slice(bytes);
        patched
    };
    for (name, bytes, id) in [
        ("empty", Vec::new(), "protocol.library.not_a_library"),
        ("text", b"#!/bin/sh\n".to_vec(), "protocol.library.not_a_library"),
        ("magic-only", good[..4].to_vec(), "protocol.library.not_a_library"),
        ("header-only", good[..64].to_vec(), "protocol.library.not_a_library"),
        ("half", good[..good.len() / 2].to_vec(), "protocol.library.not_a_library"),
        ("pe", b"MZ\x90\0rest".to_vec(), "protocol.library.wrong_format"),
        ("mach-o", b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec(), "protocol.library.wrong_format"),
        ("fat", b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec(), "protocol.library.wrong_format"),
        ("machine", patched(18, &[0xff, 0x7f]), "protocol.library.wrong_architecture"),
        ("class", patched(4, &[1]), "protocol.library.wrong_architecture"),
        ("order", patched(5, &[2]), "protocol.library.wrong_architecture"),
        ("executable-type", patched(16, &[2]), "protocol.library.wrong_format"),
    ] {
        home.bytes(name, &bytes);
        assert_eq!(home.ids(name), set([id]), "{name}");
    }
    home.add("object").add("program");
    compile(&minimal(), &["-c"], &home.library("object"));
    compile(
        &format!("{}\nint main(void) {{ return 0; }}", minimal()),
        &["-pie", "-rdynamic"],
        &home.library("program"),
    );
    assert_eq!(home.ids("object"), set(["protocol.library.wrong_format"]));
    assert_eq!(home.ids("program"), set(["protocol.library.wrong_format"]));
}

#[test]
fn warns_of_many_exports_and_of_shared_cpp_statics() {
    if !has_cc("warns_of_many_exports_and_of_shared_cpp_statics") {
        return;
    }
    let home = Home::new();
    let many: String = (0..70).map(|number| format!("KUZZLE_EXPORT int other_{number};\n")).collect();
    home.compiled("many", &format!("{}\n{many}", minimal()), &[]);
    let unique = "__asm__(\".data\\n.globl once\\n.type once, @gnu_unique_object\\nonce: .long 1\\n.size once, 4\\n.text\");";
    home.compiled("unique", &format!("{}\n{unique}", minimal()), &[]);
    let survey = home.survey();
    assert_eq!(ids(entry(&survey, "many")), set(["protocol.library.exports_many"]));
    assert_eq!(ids(entry(&survey, "unique")), set(["protocol.library.unique_symbols"]));
    assert_eq!(survey.refused(), 0);
}

#[test]
fn a_library_with_very_many_symbols_and_sections_is_answered_for_soon() {
    if !has_cc("a_library_with_very_many_symbols_and_sections_is_answered_for_soon") {
        return;
    }
    let home = Home::new();
    let symbols: String =
        (0..100_000).map(|number| format!("\".globl s{number}\\ns{number}: .byte 0\\n\"\n")).collect();
    home.compiled("p", &format!("{}\n__asm__(\".data\\n\"\n{symbols}\".text\");", minimal()), &[]);
    let mut bytes = fs::read(home.library("p")).unwrap();
    // 60,000 section headers at the end of the file, each of a place where no symbol is.
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let (table, count) = (bytes.len() as u64, 60_000_u16);
    let mut section = [0_u8; 64];
    (section[4], section[8], section[22], section[32]) = (1, 2, 1, 16);
    bytes.extend([0; 64]);
    (1..count).for_each(|_| bytes.extend(section));
    // e_shoff, e_shnum and e_shstrndx of ELF64.
    bytes[40..48].copy_from_slice(&table.to_le_bytes());
    bytes[60..62].copy_from_slice(&count.to_le_bytes());
    bytes[62..64].fill(0);
    fs::write(home.library("p"), bytes).unwrap();
    let start = Instant::now();
    assert_eq!(home.ids("p"), set(["protocol.library.exports_many"]));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn accepts_long_names_of_other_symbols() {
    if !has_cc("accepts_long_names_of_other_symbols") {
        return;
    }
    let home = Home::new();
    let name = format!("_Z{}", "a".repeat(10_000));
    home.compiled("p", &format!("{}\nKUZZLE_EXPORT int {name};", minimal()), &[]);
    assert_eq!(home.ids("p"), set([]));
}

#[test]
fn names_every_library_that_is_needed_and_not_installed() {
    if !has_cc("names_every_library_that_is_needed_and_not_installed") {
        return;
    }
    let home = Home::new();
    let needed = home.path().join("libneeded-here.so");
    compile("int needed_here;", &["-shared", "-Wl,-soname,libneeded-here.so"], &needed);
    let needy = ["-Wl,--no-as-needed", needed.to_str().unwrap()];
    home.compiled("missing", &minimal(), &needy);
    home.compiled("beside", &minimal(), &[&needy[..], &["-Wl,-rpath,$ORIGIN"]].concat());
    home.compiled("with space", &minimal(), &[&needy[..], &["-Wl,-rpath,$ORIGIN"]].concat());
    for name in ["beside", "with space"] {
        fs::rename(home.library(name), home.folder(name).join("libp.so")).unwrap();
        fs::copy(&needed, home.folder(name).join("libneeded-here.so")).unwrap();
        home.manifest(name, &json!({ "name": name.replace(' ', ""), "kuzzleVersion": "2", "main": "p" }));
    }
    let survey = home.survey();
    let missing = entry(&survey, "missing");
    assert_eq!(ids(missing), set(["protocol.library.missing_dependency"]));
    assert_eq!(missing.diagnostics[0].expected.as_deref(), Some("libneeded-here.so"));
    assert!(missing.diagnostics[0].is_error());
    assert_eq!(ids(entry(&survey, "beside")), set([]));
    assert_eq!(ids(entry(&survey, "with space")), set([]));
}

#[test]
fn nothing_that_a_library_names_to_audit_is_run() {
    if !has_cc("nothing_that_a_library_names_to_audit_is_run") {
        return;
    }
    let home = Home::new();
    let (auditor, witness) = (home.path().join("libauditor.so"), home.path().join("witness"));
    let code = format!(
        "#include <stdio.h>\nstatic void ran(void) {{ FILE *file = fopen({witness:?}, \"w\"); if (file) fclose(file); }}\n\
         __attribute__((constructor)) static void constructor(void) {{ ran(); }}\n\
         __attribute__((visibility(\"default\"))) unsigned la_version(unsigned version) {{ ran(); return version; }}\n"
    );
    compile(&code, &["-shared"], &auditor);
    for option in ["audit", "depaudit"] {
        let named = format!("-Wl,--{option}={}", auditor.display());
        // Something needed that this process has not loaded, or the loader is not asked.
        home.compiled(option, &minimal(), &["-Wl,--no-as-needed", auditor.to_str().unwrap(), &named]);
    }
    home.survey();
    assert!(!witness.exists());
}

#[test]
fn warns_of_a_protocol_that_can_not_contain_its_panics() {
    if !has_cc("warns_of_a_protocol_that_can_not_contain_its_panics") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &[]);
    let mut bytes = fs::read(home.library("p")).unwrap();
    let note = bytes.windows(8).position(|window| window == b"KZPROTO1").unwrap();
    bytes[note + 16] |= 2;
    fs::write(home.library("p"), bytes).unwrap();
    let survey = home.survey();
    assert_eq!(ids(entry(&survey, "p")), set(["protocol.abi.panic_abort"]));
    assert_eq!(entry(&survey, "p").status, Status::Ok);
}

#[test]
fn a_library_that_was_replaced_after_its_inspection_is_not_opened() {
    if !has_cc("a_library_that_was_replaced_after_its_inspection_is_not_opened") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &[]);
    let survey = home.survey();
    let config = kuzzle_host::config::load(home.path(), []).unwrap();
    let kernel = kuzzle_kernel::Kernel::new(
        kuzzle_kernel::Settings::default(),
        Box::new(kuzzle_kernel::SystemEnvironment),
    );
    // A sound library, put into place as it should be, but not the one that was inspected.
    let other = home.path().join("other.so");
    fs::copy(home.library("p"), &other).unwrap();
    fs::rename(&other, home.library("p")).unwrap();
    let host = kuzzle_host::serving::Host::new(kernel, 1 << 20);
    let (protocols, diagnostics) = kuzzle_host::loading::open(host, &config, survey.candidates());
    assert!(protocols.is_empty());
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].id.as_str(), "protocol.trust.changed_since_inspection");
}
