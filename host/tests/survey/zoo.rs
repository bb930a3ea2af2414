//! The zoo: damaged, foreign and hostile libraries, one by one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kuzzle_host::config;
use kuzzle_host::diagnostics::Severity;
use kuzzle_host::installation::target::{ProcessOwner, Surroundings};
use kuzzle_host::installation::{Entry, Status, survey_in};
use serde_json::json;

use crate::home::{Elf, Home, compile, entry, good, has_cc, ids, minimal, set, with_note};

const NOT_A_LIBRARY: &str = "protocol.library.not_a_library";
const NOT_A_NOTE: &str = "protocol.abi.not_a_note";

/// Refused for exactly one reason, told once.
fn is_refused_once(entry: &Entry, id: &'static str, what: &str) {
    assert_eq!(ids(entry), set([id]), "{what}: {:?}", entry.diagnostics);
    assert_eq!((entry.status, entry.diagnostics.len()), (Status::Refused, 1), "{what}");
    assert!(entry.candidate.is_none() && entry.diagnostics[0].is_error(), "{what}");
}

#[test]
fn refuses_a_library_cut_off_at_any_boundary() {
    if !has_cc("refuses_a_library_cut_off_at_any_boundary") {
        return;
    }
    let good = good();
    let boundaries = Elf(good).boundaries();
    assert!(boundaries.len() > 50, "{boundaries:?}");
    let home = Home::new();
    home.add("p");
    for boundary in boundaries {
        for length in [boundary.saturating_sub(1), boundary, boundary + 1] {
            if length < good.len() {
                fs::write(home.library("p"), &good[..length]).unwrap();
                is_refused_once(entry(&home.survey(), "p"), NOT_A_LIBRARY, &format!("{length} bytes"));
            }
        }
    }
    fs::write(home.library("p"), good).unwrap();
    assert_eq!(home.ids("p"), set([]));
}

#[test]
fn refuses_headers_that_lead_out_of_the_file() {
    if !has_cc("refuses_headers_that_lead_out_of_the_file") {
        return;
    }
    let home = Home::new();
    home.add("p");
    let elf = Elf(good());
    let far = u64::MAX - 7;
    let mut fields = vec![("e_phoff", 32), ("e_shoff", 40)];
    for segment in elf.segments(Elf::LOAD) {
        fields.extend([("p_offset", segment + 8), ("p_filesz", segment + 32)]);
    }
    for tag in [Elf::SYMTAB, Elf::STRTAB, Elf::STRSZ, Elf::GNU_HASH] {
        fields.push(("a dynamic entry", elf.dynamic(tag).unwrap() + 8));
    }
    for (name, at) in fields {
        for value in [far, elf.0.len() as u64 + 1, 1 << 40] {
            let mut bytes = elf.0.to_vec();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            fs::write(home.library("p"), bytes).unwrap();
            is_refused_once(
                entry(&home.survey(), "p"),
                NOT_A_LIBRARY,
                &format!("{name} at {at}: {value:#x}"),
            );
        }
    }
}

#[test]
fn refuses_libraries_that_lack_their_tables() {
    if !has_cc("refuses_libraries_that_lack_their_tables") {
        return;
    }
    let home = Home::new();
    let elf = Elf(good());
    let without = |name: &str, at: usize, bytes: &[u8]| {
        let mut patched = elf.0.to_vec();
        patched[at..at + bytes.len()].copy_from_slice(bytes);
        home.bytes(name, &patched);
        is_refused_once(entry(&home.survey(), name), NOT_A_LIBRARY, name);
    };
    let dynamic = elf.segments(Elf::DYNAMIC)[0];
    without("no-dynamic", dynamic, &[0; 4]);
    without("empty-dynamic", elf.u64(dynamic + 8) as usize, &[0; 16]);
    for (name, tag) in [("no-symbols", Elf::SYMTAB), ("no-strings", Elf::STRTAB)] {
        // A tag that means nothing.
        without(name, elf.dynamic(tag).unwrap(), &0x6000_0001_u64.to_le_bytes());
    }
    without("no-segments", 56, &[0; 2]);
    without("odd-segments", 54, &[1, 0]);
}

#[test]
fn refuses_notes_at_impossible_places() {
    if !has_cc("refuses_notes_at_impossible_places") {
        return;
    }
    let home = Home::new();
    home.add("p");
    let elf = Elf(good());
    let symbol = elf.symbol("kuzzle_protocol_abi");
    let load = *elf.segments(Elf::LOAD).last().unwrap();
    let end = elf.u64(load + 16) + elf.u64(load + 32);
    for address in [0, 1, end - 1, end - 27, end + 4096, 1 << 40, u64::MAX] {
        let mut bytes = elf.0.to_vec();
        bytes[symbol + 8..symbol + 16].copy_from_slice(&address.to_le_bytes());
        fs::write(home.library("p"), bytes).unwrap();
        is_refused_once(entry(&home.survey(), "p"), NOT_A_NOTE, &format!("{address:#x}"));
    }
}

#[test]
fn judges_every_number_of_a_note() {
    if !has_cc("judges_every_number_of_a_note") {
        return;
    }
    let home = Home::new();
    let note = Elf(good()).note();
    let version = "protocol.abi.version_mismatch";
    let layout = "protocol.abi.layout_mismatch";
    for (name, at, bytes, id) in [
        ("zeroed", 0, &[0; 28][..], NOT_A_NOTE),
        ("wrong-magic", 7, b"2", NOT_A_NOTE),
        ("future-major", 8, &[2, 0], version),
        ("far-major", 8, &[255, 255], version),
        ("no-major", 8, &[0, 0], version),
        ("newer-minor", 10, &[1, 0], version),
        ("size-small", 12, &[27, 0, 0, 0], NOT_A_NOTE),
        ("size-large", 12, &[0, 255, 0, 0], NOT_A_NOTE),
        ("size-huge", 12, &[255; 4], NOT_A_NOTE),
        ("pointers", 20, &[4, 0], layout),
        ("table-empty", 22, &[0, 0], NOT_A_NOTE),
        ("table-long", 22, &[255, 255], NOT_A_NOTE),
        ("toolchain-empty", 24, &[0, 0], NOT_A_NOTE),
        ("sdk-long", 26, &[255, 255], NOT_A_NOTE),
        ("wrong-size", 28, &[17, 0], layout),
        ("wrong-offset", 30, &[8, 0], layout),
    ] {
        let mut patched = good().to_vec();
        patched[note + at..note + at + bytes.len()].copy_from_slice(bytes);
        home.bytes(name, &patched);
        is_refused_once(entry(&home.survey(), name), id, name);
    }
}

#[test]
fn reads_no_library_that_is_no_regular_file() {
    let home = Home::new();
    for name in ["folder", "pipe", "dangling", "large"] {
        home.add(name);
    }
    fs::create_dir(home.library("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(home.library("pipe")).status().unwrap().success());
    symlink("nowhere", home.library("dangling")).unwrap();
    fs::File::create(home.library("large")).unwrap().set_len((1 << 30) + 1).unwrap();
    let survey = home.survey();
    for (name, id) in [
        ("folder", "protocol.library.unreadable"),
        ("pipe", "protocol.library.unreadable"),
        ("dangling", "protocol.library.not_found"),
        ("large", "protocol.library.unreadable"),
    ] {
        is_refused_once(entry(&survey, name), id, name);
    }
}

#[test]
fn tells_what_else_has_the_name_of_a_library() {
    let home = Home::new();
    let elf_header = |class: u8, order: u8, kind: u8, machine: u8| {
        let mut header = vec![0; 64];
        header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
        let half = |value: u8| if order == 1 { [value, 0] } else { [0, value] };
        header[16..18].copy_from_slice(&half(kind));
        header[18..20].copy_from_slice(&half(machine));
        header
    };
    let wrong_format = "protocol.library.wrong_format";
    let wrong_architecture = "protocol.library.wrong_architecture";
    for (name, bytes, id) in [
        ("script", b"#!/bin/sh\necho\n".to_vec(), NOT_A_LIBRARY),
        ("zeroes", vec![0; 4096], NOT_A_LIBRARY),
        ("archive", b"!<arch>\n".to_vec(), NOT_A_LIBRARY),
        ("pe", [&b"MZ"[..], &[0; 4096]].concat(), wrong_format),
        ("mach-o-64", b"\xcf\xfa\xed\xfe\x0c\0\0\x01".to_vec(), wrong_format),
        ("mach-o-32", b"\xce\xfa\xed\xfe\x07\0\0\0".to_vec(), wrong_format),
        ("mach-o-fat", b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec(), wrong_format),
        ("wasm", b"\0asm\x01\0\0\0".to_vec(), wrong_format),
        ("i386", elf_header(1, 1, 3, 3), wrong_architecture),
        ("ppc", elf_header(1, 2, 3, 20), wrong_architecture),
        ("s390x", elf_header(2, 2, 3, 22), wrong_architecture),
        ("mips", elf_header(1, 2, 3, 8), wrong_architecture),
        ("no-class", elf_header(3, 1, 3, 62), NOT_A_LIBRARY),
        ("no-order", elf_header(2, 3, 3, 62), NOT_A_LIBRARY),
    ] {
        home.bytes(name, &bytes);
        is_refused_once(entry(&home.survey(), name), id, name);
    }
}

#[test]
fn every_optional_function_must_be_one_too() {
    if !has_cc("every_optional_function_must_be_one_too") {
        return;
    }
    let home = Home::new();
    for name in ["start", "shutdown", "get_extension"] {
        let symbol = format!("kuzzle_protocol_{name}");
        let data =
            with_note(&format!("KUZZLE_PROTOCOL_NOTE();\n#undef {symbol}\nKUZZLE_EXPORT int {symbol} = 1;"));
        let code = data.replacen("#include", &format!("#define {symbol} hidden_{name}\n#include"), 1);
        home.compiled(name, &code, &[]);
        is_refused_once(entry(&home.survey(), name), "protocol.library.wrong_symbol_kind", name);
    }
}

#[test]
fn names_what_is_needed_and_not_there() {
    if !has_cc("names_what_is_needed_and_not_there") {
        return;
    }
    let home = Home::new();
    missing_dependency(&home, "missing");
    newer_libc(&home, "newer");
    let survey = home.survey();
    let (missing, newer) = (entry(&survey, "missing"), entry(&survey, "newer"));
    is_refused_once(missing, "protocol.library.missing_dependency", "missing");
    assert_eq!(missing.diagnostics[0].expected.as_deref(), Some("libnobody.so"));
    is_refused_once(newer, "protocol.library.needs_newer_libc", "newer");
    assert_eq!(newer.diagnostics[0].found.as_deref(), Some("glibc 2.999"));
}

#[test]
fn a_table_of_versions_that_leads_back_to_itself_is_left_soon() {
    let test = "a_table_of_versions_that_leads_back_to_itself_is_left_soon";
    if !has_cc(test) {
        return;
    }
    let home = Home::new();
    let call = "int puts(const char *text); int calls_it(void) { return puts(\"\"); }";
    home.compiled("p", &format!("{}\n{call}", minimal()), &[]);
    let mut bytes = fs::read(home.library("p")).unwrap();
    let elf = Elf(&bytes);
    let (Some(need), Some(count)) = (elf.table(Elf::VERNEED), elf.dynamic(Elf::VERNEEDNUM)) else {
        eprintln!("skipped for want of versions in the C library: {test}");
        return;
    };
    let version = need + u32::from_le_bytes(bytes[need + 8..need + 12].try_into().unwrap()) as usize;
    bytes[count + 8..count + 16].fill(255);
    // vn_cnt, vn_next and vna_next.
    bytes[need + 2..need + 4].fill(255);
    bytes[need + 12..need + 16].fill(0);
    bytes[version + 12..version + 16].fill(0);
    fs::write(home.library("p"), bytes).unwrap();
    let start = Instant::now();
    home.survey();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// A protocol that needs a library that is nowhere.
pub(crate) fn missing_dependency(home: &Home, name: &str) {
    let nobody = home.path().join("libnobody.so");
    compile("int nobody = 1;", &["-shared", "-Wl,-soname,libnobody.so"], &nobody);
    home.compiled(name, &minimal(), &["-Wl,--no-as-needed", nobody.to_str().unwrap()]);
    fs::remove_file(nobody).unwrap();
}

/// A protocol that needs a C library of the future.
pub(crate) fn newer_libc(home: &Home, name: &str) {
    let (libc, versions) = (home.path().join("libc.so.6"), home.path().join("versions"));
    fs::write(&versions, "GLIBC_2.999 { global: of_the_future; };\n").unwrap();
    let script = format!("-Wl,--version-script={}", versions.display());
    let code = "__attribute__((visibility(\"default\"))) int of_the_future(void) { return 1; }";
    compile(code, &["-shared", "-nostdlib", "-Wl,-soname,libc.so.6", &script], &libc);
    let call = "int of_the_future(void); int calls_it(void) { return of_the_future(); }";
    home.compiled(name, &format!("{}\n{call}", minimal()), &["-nostdlib", libc.to_str().unwrap()]);
    fs::remove_file(libc).unwrap();
}

#[test]
fn answers_for_a_thousand_damaged_libraries_soon() {
    if !has_cc("answers_for_a_thousand_damaged_libraries_soon") {
        return;
    }
    let home = Home::new();
    home.bytes("p", b"");
    let good = good();
    let boundaries = Elf(good).boundaries();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let start = Instant::now();
    for round in 0..1000 {
        let mut bytes = good.to_vec();
        for _ in 0..=next() % 8 {
            // Mostly in headers and tables, where it hurts.
            let at = match next() % 3 {
                0 => next() as usize % bytes.len(),
                1 => next() as usize % 0x800.min(bytes.len()),
                _ => boundaries[next() as usize % boundaries.len()] + next() as usize % 24,
            };
            let value = [next() as u8, 0, 255, 1][next() as usize % 4];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if round % 5 == 0 {
            bytes.truncate(next() as usize % bytes.len());
        }
        fs::write(home.library("p"), &bytes).unwrap();
        let survey = home.survey();
        let entry = entry(&survey, "p");
        let has_errors = entry.diagnostics.iter().any(|found| found.is_error());
        assert_eq!(entry.status, if has_errors { Status::Refused } else { Status::Ok }, "round {round}");
        assert_eq!(entry.candidate.is_some(), entry.status == Status::Ok, "round {round}");
        for told in &entry.diagnostics {
            let id = told.id.as_str();
            let related = id.starts_with("protocol.library.") || id.starts_with("protocol.abi.");
            assert!(related && id != "protocol.library.not_found", "round {round}: {id}");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn a_library_that_is_replaced_is_told_before_it_is_opened() {
    if !has_cc("a_library_that_is_replaced_is_told_before_it_is_opened") {
        return;
    }
    let home = Home::new();
    home.bytes("p", good());
    let survey = home.survey();
    let candidate = entry(&survey, "p").candidate.as_ref().unwrap();
    assert!(candidate.changed_since_inspection().is_none());
    let is_told = |what: &str| {
        let told = candidate.changed_since_inspection().unwrap_or_else(|| panic!("{what}"));
        assert_eq!(told.id.as_str(), "protocol.trust.changed_since_inspection", "{what}");
        assert!(told.is_error() && told.path == candidate.library, "{what}");
    };
    let beside = home.path().join("beside.so");
    fs::write(&beside, good()).unwrap();
    fs::rename(&beside, &candidate.library).unwrap();
    is_told("the same bytes in another file");
    fs::remove_file(&candidate.library).unwrap();
    is_told("gone");
    fs::create_dir(&candidate.library).unwrap();
    is_told("a folder");
}

#[test]
fn who_may_write_and_who_owns_is_looked_at_for_every_place() {
    if !has_cc("who_may_write_and_who_owns_is_looked_at_for_every_place") {
        return;
    }
    let home = Home::new();
    home.bytes("p", good());
    let config = config::load(home.path(), []).unwrap();
    let own = ProcessOwner::current().unwrap();
    let told = |gid| {
        let process = Some(ProcessOwner { gid, ..own });
        let survey = survey_in(home.path(), &config, &Surroundings { process, ..Surroundings::default() });
        let entry = entry(&survey, "p");
        let all = entry.diagnostics.iter().chain(&survey.diagnostics);
        (
            entry.status,
            all.map(|told| (told.severity, told.id.as_str(), told.path.clone())).collect::<Vec<_>>(),
        )
    };
    let id = "protocol.trust.writable_by_others";
    let (manifest, protocols) = (home.folder("p").join("manifest.json"), home.path().join("protocols"));
    for path in [
        home.library("p"),
        manifest,
        home.folder("p"),
        protocols.join("available"),
        protocols.join("enabled"),
    ] {
        let usual = if path.is_dir() { 0o755 } else { 0o644 };
        let real = path.canonicalize().unwrap();
        let found = |told: Vec<(Severity, &'static str, std::path::PathBuf)>| {
            let told: Vec<_> = told
                .into_iter()
                .map(|(severity, id, at)| (severity, id, at.canonicalize().unwrap()))
                .collect();
            told
        };
        home.chmod(&path, usual | 0o020);
        assert_eq!(found(told(own.gid).1), [], "the user's own group: {}", path.display());
        let (status, by_group) = told(own.gid + 1);
        assert_eq!(status, Status::Ok, "{}", path.display());
        assert_eq!(found(by_group), [(Severity::Warning, id, real.clone())]);
        home.chmod(&path, usual | 0o002);
        assert_eq!(found(told(own.gid).1), [(Severity::Error, id, real.clone())]);
        home.chmod(&path, usual | 0o1002);
        let sticky = found(told(own.gid).1);
        if path.is_dir() {
            assert_eq!(sticky, [], "sticky: {}", path.display());
        } else {
            assert_eq!(sticky, [(Severity::Error, id, real)]);
        }
        home.chmod(&path, usual);
        assert_eq!(told(own.gid), (Status::Ok, vec![]));
    }
}

#[test]
fn a_foreign_owner_is_told_for_every_file() {
    if !has_cc("a_foreign_owner_is_told_for_every_file") {
        return;
    }
    let home = Home::new();
    home.bytes("p", good());
    let config = config::load(home.path(), []).unwrap();
    let surroundings = |uid, in_container| {
        let process = Some(ProcessOwner { uid, gid: 0, in_container });
        Surroundings { process, ..Surroundings::default() }
    };
    let chown = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), None).is_ok();
    for path in [home.library("p"), home.folder("p").join("manifest.json"), home.folder("p")] {
        if !chown(&path, 54_321) {
            eprintln!("skipped for want of root: a_foreign_owner_is_told_for_every_file");
            return;
        }
        let survey = survey_in(home.path(), &config, &surroundings(12_345, false));
        is_refused_once(entry(&survey, "p"), "protocol.trust.wrong_owner", &path.display().to_string());
        let survey = survey_in(home.path(), &config, &surroundings(0, true));
        assert_eq!(entry(&survey, "p").status, Status::Ok, "root in a container is only warned");
        assert_eq!(ids(entry(&survey, "p")), set(["protocol.trust.wrong_owner"]));
        let survey =
            survey_in(home.path(), &config, &Surroundings { process: None, ..Surroundings::default() });
        assert_eq!(ids(entry(&survey, "p")), set([]), "an unknown process compares nothing");
        assert!(chown(&path, 0));
    }
}

#[test]
fn different_problems_of_different_protocols_are_told_in_one_run() {
    if !has_cc("different_problems_of_different_protocols_are_told_in_one_run") {
        return;
    }
    let home = Home::new();
    home.bytes("good", good()).bytes("cut", &good()[..100]).bytes("other", good()).bytes("text", b"text");
    home.bytes("open", good()).bytes("options", good()).add("empty");
    home.compiled("mute", &minimal().replace("kuzzle_protocol_notify", "mute"), &["-w"]);
    home.manifest(
        "other",
        &json!({ "name": "GOOD", "kuzzleVersion": "^1", "sections": ["else"], "versoin": "1" }),
    );
    home.manifest("text", &json!([]));
    home.manifest(
        "options",
        &json!({ "name": "options", "kuzzleVersion": "2", "config": { "required": ["key"] } }),
    );
    home.chmod(&home.library("open"), 0o666);
    symlink("gone", home.enabled("dangling")).unwrap();
    symlink("loop", home.enabled("loop")).unwrap();
    let survey = home.survey();
    for (name, expected) in [
        ("good", &[][..]),
        ("cut", &[NOT_A_LIBRARY]),
        (
            "other",
            &[
                "plugin.manifest.unknown_property",
                "plugin.manifest.version_mismatch",
                "protocol.runtime.already_exists",
            ],
        ),
        ("text", &["plugin.manifest.cannot_load", NOT_A_LIBRARY]),
        ("open", &["protocol.trust.writable_by_others"]),
        ("options", &["protocol.config.invalid"]),
        ("empty", &["protocol.library.not_found"]),
        ("mute", &["protocol.library.missing_symbol"]),
        ("dangling", &["protocol.discovery.dangling_link"]),
        ("loop", &["protocol.discovery.link_loop"]),
    ] {
        let entry = entry(&survey, name);
        assert_eq!(ids(entry).into_iter().collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(entry.status, if expected.is_empty() { Status::Ok } else { Status::Refused }, "{name}");
    }
    assert_eq!((survey.refused(), survey.entries.len()), (9, 10));
    assert_eq!(survey.candidates().count(), 1);
    assert!(survey.diagnostics.is_empty());
}
