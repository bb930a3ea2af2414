//! Libraries for other platforms: a `.dll` that the test builds with mingw, and the Mach-O files of
//! `mach-o/`, which `mach-o/build.sh` has built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kuzzle_host::installation::image::{Image, inspect};
use kuzzle_host::installation::target::Target;
use kuzzle_host::installation::{Status, survey_paths_for};
use tempfile::TempDir;

use crate::home::set;

const MINGW: &str = "x86_64-w64-mingw32-gcc";
const DEFINITIONS: &str = include_str!("../../../protocol-abi/include/kuzzle/protocol.def");
const WRONG_FORMAT: &str = "protocol.library.wrong_format";
const WRONG_ARCHITECTURE: &str = "protocol.library.wrong_architecture";
const NOT_A_LIBRARY: &str = "protocol.library.not_a_library";
const WRONG_KIND: &str = "protocol.library.wrong_symbol_kind";
const MISSING_SYMBOL: &str = "protocol.library.missing_symbol";
const NOT_A_NOTE: &str = "protocol.abi.not_a_note";

fn target(key: &str) -> Target {
    Target::of(key).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether mingw is there; without it a test is skipped by name, or fails where `CI` is `true`.
fn has_mingw(test: &str) -> bool {
    let works = Command::new(MINGW).arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{test} needs {MINGW}");
        eprintln!("skipped for want of {MINGW}: {test}");
    }
    works
}

/// A `.dll` of `tests/fixtures/minimal.c`, with the shipped export list after a change.
fn dll(options: &[&str], definitions: impl Fn(&str) -> String) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (list, library) = (folder.path().join("protocol.def"), folder.path().join("minimal.dll"));
    // As its first lines say: without what is not defined.
    let defined = DEFINITIONS.replace("    kuzzle_protocol_get_extension\n", "");
    assert_ne!(defined, DEFINITIONS);
    fs::write(&list, definitions(&defined)).unwrap();
    let mut command = Command::new(MINGW);
    command.current_dir(root()).args(["-std=c11", "-O1", "-Wall", "-Iprotocol-abi/include"]).args(options);
    command.arg("tests/fixtures/minimal.c").arg(&list).arg("-o").arg(&library);
    let result = command.output().unwrap();
    assert!(result.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&result.stderr));
    fs::read(library).unwrap()
}

fn good_dll() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| dll(&["-shared"], str::to_owned))
}

fn mach_o(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mach-o").join(name)).unwrap()
}

/// A place for one library after the other.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn look(&self, bytes: &[u8], platform: &str) -> Image {
        let library = self.0.path().join("library");
        fs::write(&library, bytes).unwrap();
        inspect(&library, &target(platform))
    }
}

fn look(bytes: &[u8], platform: &str) -> Image {
    Place::new().look(bytes, platform)
}

fn ids(image: &Image) -> BTreeSet<&'static str> {
    image.diagnostics.iter().map(|told| told.id.as_str()).collect()
}

/// Refused for one reason, which is told once.
fn is_refused(image: &Image, id: &'static str, what: &str) {
    assert_eq!(ids(image), set([id]), "{what}: {:?}", image.diagnostics);
    assert!(image.diagnostics.len() == 1 && image.diagnostics[0].is_error(), "{what}");
}

#[test]
fn tells_what_a_dll_is() {
    if !has_mingw("tells_what_a_dll_is") {
        return;
    }
    let image = look(good_dll(), "windows_amd64");
    assert_eq!(ids(&image), set([]), "{:?}", image.diagnostics);
    assert_eq!(image.format.as_deref(), Some("a PE shared library"));
    assert_eq!(image.architecture.as_deref(), Some("amd64, 64-bit, little-endian"));
    assert_eq!((image.exports.len(), image.other_exports), (9, 0), "{:?}", image.exports);
    assert!(image.optional.start && image.optional.shutdown && !image.optional.get_extension);
    assert!(image.needed.iter().any(|name| name.eq_ignore_ascii_case("kernel32.dll")), "{:?}", image.needed);
    let note = image.note.unwrap();
    assert_eq!((note.major, note.minor, note.pointer_size), (1, 0, 8));
    assert!(note.toolchain.starts_with("gcc"), "{note:?}");
    // Without the export list, and stripped.
    let stripped = dll(&["-shared", "-s"], |_| "LIBRARY minimal.dll\n".to_owned());
    assert_eq!(ids(&look(&stripped, "windows_amd64")), set([]));
}

#[test]
fn tells_what_a_dylib_is() {
    for (name, platform, format) in [
        ("arm64.dylib", "macos_arm64", "a Mach-O shared library"),
        ("amd64.dylib", "macos_amd64", "a Mach-O shared library"),
        // With something that the loader changes, which is not the note.
        ("relocated.dylib", "macos_arm64", "a Mach-O shared library"),
        ("chained.dylib", "macos_arm64", "a Mach-O shared library"),
        ("universal.dylib", "macos_arm64", "a Mach-O shared library in a universal file"),
        ("universal.dylib", "macos_amd64", "a Mach-O shared library in a universal file"),
    ] {
        let image = look(&mach_o(name), platform);
        assert_eq!(ids(&image), set([]), "{name}: {:?}", image.diagnostics);
        assert_eq!(image.format.as_deref(), Some(format), "{name}");
        assert_eq!((image.exports.len(), image.other_exports), (7, 0), "{name}");
        let note = image.note.unwrap();
        assert_eq!((note.major, note.pointer_size, note.toolchain.as_str()), (1, 8, "clang"), "{name}");
    }
}

#[test]
fn a_folder_for_another_machine_passes_with_what_was_not_determined() {
    if !has_mingw("a_folder_for_another_machine_passes_with_what_was_not_determined") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("manifest.json"), r#"{"name": "p", "kuzzleVersion": "2"}"#).unwrap();
    fs::write(folder.path().join("p.dll"), good_dll()).unwrap();
    fs::write(folder.path().join("libp.dylib"), mach_o("universal.dylib")).unwrap();
    let survey = |platform| {
        let mut survey = survey_paths_for(&[folder.path().to_owned()], &target(platform));
        survey.entries.remove(0)
    };
    let windows = survey("windows_amd64");
    assert_eq!(windows.status, Status::Ok, "{:?}", windows.diagnostics);
    let [told] = &windows.diagnostics[..] else { panic!("{:?}", windows.diagnostics) };
    assert_eq!(told.id.as_str(), "protocol.library.missing_dependency");
    assert!(!told.is_error() && told.message.contains("not determined"), "{told:?}");
    assert!(told.help.contains("KERNEL32.dll"), "{told:?}");
    // It needs nothing, so nothing is left open.
    let macos = survey("macos_arm64");
    assert_eq!((macos.status, macos.diagnostics.len()), (Status::Ok, 0), "{:?}", macos.diagnostics);
    let other = survey("windows_arm64");
    assert_eq!(other.diagnostics[0].id.as_str(), WRONG_ARCHITECTURE, "{:?}", other.diagnostics);
    let linux = survey("linux_riscv64");
    assert_eq!(linux.diagnostics[0].id.as_str(), "protocol.library.not_found");
}

#[test]
fn another_processor_or_format_is_named() {
    let place = Place::new();
    for (name, platform, id, found) in [
        ("arm64.dylib", "macos_amd64", WRONG_ARCHITECTURE, "arm64, 64-bit, little-endian"),
        ("amd64.dylib", "macos_arm64", WRONG_ARCHITECTURE, "amd64, 64-bit, little-endian"),
        ("arm64.dylib", "windows_arm64", WRONG_FORMAT, "a macOS library or program (Mach-O)"),
        ("universal.dylib", "linux_arm64", WRONG_FORMAT, "a macOS universal file (fat Mach-O)"),
    ] {
        let image = place.look(&mach_o(name), platform);
        is_refused(&image, id, name);
        assert_eq!(image.diagnostics[0].found.as_deref(), Some(found), "{name}");
    }
    // Parts for newer processors only.
    let mut bytes = mach_o("universal.dylib");
    let arm64 = bytes.windows(8).position(|bytes| bytes == [1, 0, 0, 12, 0, 0, 0, 0]).unwrap();
    bytes[arm64 + 7] = 2;
    let image = place.look(&bytes, "macos_arm64");
    is_refused(&image, WRONG_ARCHITECTURE, "arm64e");
    assert_eq!(image.diagnostics[0].found.as_deref(), Some("amd64, arm64e"));
}

#[test]
fn refuses_dlls_whose_exports_are_none() {
    if !has_mingw("refuses_dlls_whose_exports_are_none") {
        return;
    }
    let notify = "    kuzzle_protocol_notify\n";
    let forwarded = dll(&["-shared", "-DWITHOUT_NOTIFY"], |list| {
        list.replace(notify, "    kuzzle_protocol_notify = other.notify\n")
    });
    let image = look(&forwarded, "windows_amd64");
    is_refused(&image, WRONG_KIND, "forwarded");
    assert_eq!(image.diagnostics[0].found.as_deref(), Some("forwarded to other.notify"));
    let missing = dll(&["-shared", "-DWITHOUT_NOTIFY"], |list| list.replace(notify, ""));
    let image = look(&missing, "windows_amd64");
    is_refused(&image, MISSING_SYMBOL, "missing");
    assert!(image.diagnostics[0].message.contains("`kuzzle_protocol_notify`"));
    let data = dll(&["-shared", "-DWITHOUT_NOTIFY"], |list| {
        list.replace(notify, "    kuzzle_protocol_notify = kuzzle_protocol_abi DATA\n")
    });
    is_refused(&look(&data, "windows_amd64"), WRONG_KIND, "data");
    let code = dll(&["-shared", "-DWITHOUT_NOTE"], |list| {
        list.replace("kuzzle_protocol_abi DATA", "kuzzle_protocol_abi = kuzzle_protocol_init")
    });
    is_refused(&look(&code, "windows_amd64"), WRONG_KIND, "a function as the note");
}

#[test]
fn refuses_notes_of_dlls_that_the_file_does_not_have() {
    if !has_mingw("refuses_notes_of_dlls_that_the_file_does_not_have") {
        return;
    }
    let note = |definition: &str| {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("note.c");
        fs::write(&source, format!("{definition};\n")).unwrap();
        let options = ["-shared", "-w", "-DWITHOUT_NOTE", source.to_str().unwrap()];
        look(&dll(&options, str::to_owned), "windows_amd64")
    };
    is_refused(&note("char kuzzle_protocol_abi[300]"), NOT_A_NOTE, "in bss");
    is_refused(&note("const char kuzzle_protocol_abi[300]={1}"), NOT_A_NOTE, "no magic");
    let magic = "'K','Z','P','R','O','T','O','1',1,0,0,0,36,0,0,0";
    let place =
        format!("const struct{{char a[32];void*b;}}kuzzle_protocol_abi={{{{{magic}}},&kuzzle_protocol_abi}}");
    let image = note(&place);
    is_refused(&image, NOT_A_NOTE, "relocated");
    assert!(image.diagnostics[0].message.contains("relocations"), "{:?}", image.diagnostics);
    let major = "const char kuzzle_protocol_abi[300]={'K','Z','P','R','O','T','O','1',9}";
    is_refused(&note(major), "protocol.abi.version_mismatch", "another major");
}

#[test]
fn a_windows_program_is_no_library() {
    if !has_mingw("a_windows_program_is_no_library") {
        return;
    }
    let program = dll(&["-Dkuzzle_protocol_shutdown=main", "-w"], |_| String::new());
    is_refused(&look(&program, "windows_amd64"), WRONG_FORMAT, "a program");
}

#[test]
fn refuses_libraries_whose_parts_lie_over_each_other() {
    if !has_mingw("refuses_libraries_whose_parts_lie_over_each_other") {
        return;
    }
    let mut bytes = good_dll().to_vec();
    let header = u32::from_le_bytes(bytes[60..64].try_into().unwrap()) as usize;
    let optional = usize::from(u16::from_le_bytes(bytes[header + 20..header + 22].try_into().unwrap()));
    let sections = header + 24 + optional;
    // The second section's address is the first one's.
    bytes.copy_within(sections + 12..sections + 16, sections + 40 + 12);
    is_refused(&look(&bytes, "windows_amd64"), NOT_A_LIBRARY, "sections");
    let mut bytes = mach_o("arm64.dylib");
    let linkedit = text(&bytes, b"__LINKEDIT");
    bytes[linkedit + 16..linkedit + 24].fill(0);
    is_refused(&look(&bytes, "macos_arm64"), NOT_A_LIBRARY, "segments");
}

#[test]
fn many_exports_of_a_dll_are_a_warning() {
    if !has_mingw("many_exports_of_a_dll_are_a_warning") {
        return;
    }
    let many = dll(&["-shared"], |list| {
        let more = (0..65).map(|index| format!("    more_{index} = kuzzle_protocol_init @{}\n", index + 20));
        format!("{list}{}", more.collect::<String>())
    });
    let image = look(&many, "windows_amd64");
    assert_eq!(ids(&image), set(["protocol.library.exports_many"]));
    assert!(!image.diagnostics[0].is_error() && image.other_exports == 65, "{}", image.other_exports);
    // By number only: they have no names, but are exports.
    let numbered = dll(&["-shared"], |list| {
        format!(
            "{list}    one = kuzzle_protocol_init @100 NONAME\n    two = kuzzle_protocol_init @101 NONAME\n"
        )
    });
    assert_eq!(look(&numbered, "windows_amd64").other_exports, 2);
}

#[test]
fn refuses_dylibs_that_lack_something() {
    let image = look(&mach_o("without-notify.dylib"), "macos_arm64");
    is_refused(&image, MISSING_SYMBOL, "without notify");
    assert_eq!(image.diagnostics[0].expected.as_deref(), Some("kuzzle_protocol_notify"));
    for name in ["relocated-note.dylib", "chained-note.dylib"] {
        let image = look(&mach_o(name), "macos_arm64");
        is_refused(&image, NOT_A_NOTE, name);
        assert!(image.diagnostics[0].message.contains("relocations"), "{:?}", image.diagnostics);
    }
}

#[test]
fn refuses_exports_of_dylibs_that_are_something_else() {
    let good = mach_o("arm64.dylib");
    // The node of `…notify`: the size of what follows, flags, the address, and no children.
    let text = good.windows(7).position(|bytes| bytes == b"notify\0").unwrap() + 7;
    let trie = good.windows(5).position(|bytes| bytes == b"\0\x01_ku").unwrap();
    let (low, high) = (usize::from(good[text]), usize::from(good[text + 1]));
    let node = trie + if low < 128 { low } else { low - 128 + 128 * high };
    assert!(good[node] == 3 && good[node + 1] == 0, "{:?}", &good[node..node + 5]);
    let place = Place::new();
    for (flags, found) in [(1, "a thread-local variable"), (2, "a number, not a place")] {
        let mut bytes = good.clone();
        bytes[node + 1] = flags;
        let image = place.look(&bytes, "macos_arm64");
        is_refused(&image, WRONG_KIND, found);
        assert_eq!(image.diagnostics[0].found.as_deref(), Some(found));
    }
    let mut bytes = good.clone();
    bytes[node + 1] = 8;
    let image = place.look(&bytes, "macos_arm64");
    is_refused(&image, WRONG_KIND, "forwarded");
    assert!(image.diagnostics[0].found.as_deref().unwrap().starts_with("forwarded to "));
}

#[test]
fn dylibs_of_other_kinds_are_none() {
    let place = Place::new();
    for (kind, what) in [(1, "object"), (2, "program"), (4, "core"), (9, "stub"), (77, "other")] {
        let mut bytes = mach_o("arm64.dylib");
        bytes[12] = kind;
        is_refused(&place.look(&bytes, "macos_arm64"), WRONG_FORMAT, what);
    }
    let mut bytes = mach_o("arm64.dylib");
    bytes[12] = 8;
    assert_eq!(ids(&place.look(&bytes, "macos_arm64")), set([]), "a bundle");
}

#[test]
fn a_universal_file_may_tell_its_places_in_64_bits() {
    let part = mach_o("arm64.dylib");
    let file = |offset: u64, size: u64| {
        let mut bytes = b"\xca\xfe\xba\xbf\0\0\0\x01\x01\0\0\x0c\0\0\0\0".to_vec();
        bytes.extend(offset.to_be_bytes());
        bytes.extend(size.to_be_bytes());
        bytes.extend([0, 0, 0, 14, 0, 0, 0, 0]);
        bytes.resize(1 << 14, 0);
        [&bytes[..], &part[..]].concat()
    };
    let place = Place::new();
    let image = place.look(&file(1 << 14, part.len() as u64), "macos_arm64");
    assert_eq!(ids(&image), set([]), "{:?}", image.diagnostics);
    for (offset, size) in [(u64::MAX, 1), (1, u64::MAX), (1 << 14, 10), (1 << 14, 1 << 40), (0, 1 << 14)] {
        let image = place.look(&file(offset, size), "macos_arm64");
        is_refused(&image, NOT_A_LIBRARY, &format!("{offset} {size}"));
    }
}

#[test]
fn refuses_a_universal_file_whose_list_is_wrong() {
    let place = Place::new();
    let good = mach_o("universal.dylib");
    let mut many = good.clone();
    many[4] = 1;
    // Java's classes begin so.
    is_refused(&place.look(&many, "macos_arm64"), NOT_A_LIBRARY, "many parts");
    let mut far = good.clone();
    far[16..20].fill(0xff);
    far[36..40].fill(0xff);
    for platform in ["macos_arm64", "macos_amd64"] {
        is_refused(&place.look(&far, platform), NOT_A_LIBRARY, "far parts");
        is_refused(&place.look(&good[..30], platform), NOT_A_LIBRARY, "a list that is cut off");
    }
    // The part for one processor is the other's.
    let mut swapped = good.clone();
    let (first, second) = (good[8..12].to_vec(), good[28..32].to_vec());
    swapped[8..12].copy_from_slice(&second);
    swapped[28..32].copy_from_slice(&first);
    let (first, second) = (good[12..16].to_vec(), good[32..36].to_vec());
    swapped[12..16].copy_from_slice(&second);
    swapped[32..36].copy_from_slice(&first);
    is_refused(&place.look(&swapped, "macos_arm64"), NOT_A_LIBRARY, "swapped parts");
    let none = [&good[..4], &[0; 4], &good[8..]].concat();
    is_refused(&place.look(&none, "macos_arm64"), WRONG_ARCHITECTURE, "no parts");
}

/// Cuts off and changes bytes, mostly of headers and tables, and wants an answer each time.
fn damage(good: &[u8], platform: &str, tables: &[usize]) {
    let place = Place::new();
    let start = Instant::now();
    for length in (0..good.len()).step_by(good.len() / 150 + 1).chain(0..300.min(good.len())) {
        let image = place.look(&good[..length], platform);
        assert!(image.diagnostics.iter().any(|told| told.is_error()), "{length} bytes");
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    for round in 0..1500 {
        let mut bytes = good.to_vec();
        for _ in 0..=next() % 4 {
            let at = match next() % 3 {
                0 => next() % bytes.len(),
                1 => next() % 0x400.min(bytes.len()),
                _ => tables[next() % tables.len()] + next() % 128,
            };
            let value = [next() as u8, 0, 255, 127][next() % 4];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let image = place.look(&bytes, platform);
        if !image.diagnostics.iter().any(|told| told.is_error()) {
            assert!(image.note.is_some() && image.exports.len() >= 7, "round {round}");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// Where a text stands in a file.
fn text(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|found| found == text).unwrap()
}

#[test]
fn answers_for_every_damaged_dll_soon() {
    if !has_mingw("answers_for_every_damaged_dll_soon") {
        return;
    }
    // What follows the last section is not the loader's.
    let good = &dll(&["-shared", "-s"], str::to_owned);
    let exports = text(good, b"kuzzle_protocol_abi\0kuzzle_protocol_broadcast");
    damage(good, "windows_amd64", &[exports - 128, exports, text(good, b"KZPROTO1"), text(good, b"PE\0\0")]);
}

#[test]
fn answers_for_every_damaged_dylib_soon() {
    for name in ["relocated.dylib", "chained.dylib"] {
        let (good, platform) = (mach_o(name), "macos_arm64");
        let exports = text(&good, b"\0\x01_ku");
        damage(&good, platform, &[exports - 64, exports, exports + 128, text(&good, b"KZPROTO1")]);
    }
}
