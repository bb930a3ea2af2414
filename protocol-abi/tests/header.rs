//! The header with real C and C++ compilers: it compiles clean, exports survive the linker, and the
//! layout is that of the Rust mirror. Without a compiler these are skipped by name, except with
//! `CI=true`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kuzzle_protocol_abi::raw::exports::REQUIRED_FUNCTIONS;
use kuzzle_protocol_abi::raw::note::{self, LAYOUT, LAYOUT_NAMES, Mismatch, MismatchKind};
use object::{Object, ObjectSection, ObjectSymbol};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The compiler, or `None` when the test is skipped.
fn compiler(test: &str, variable: &str, default: &str) -> Option<String> {
    let name = env::var(variable).unwrap_or_else(|_| default.to_owned());
    let works = Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success());
    if works {
        return Some(name);
    }
    assert!(env::var("CI").as_deref() != Ok("true"), "{test}: no compiler `{name}`, and CI=true");
    eprintln!("skipped: {test}: no compiler `{name}`");
    None
}

fn compile(compiler: &str, arguments: &[&str]) -> Output {
    Command::new(compiler)
        .args(arguments)
        .arg(format!("-I{ROOT}/include"))
        .current_dir(Path::new(ROOT).join("tests/c"))
        .output()
        .expect("the compiler has just answered")
}

fn compile_ok(compiler: &str, arguments: &[&str]) {
    let output = compile(compiler, arguments);
    assert!(
        output.status.success(),
        "{compiler} {arguments:?}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The bytes from a symbol to the end of its section.
fn bytes_at<'data>(file: &object::File<'data>, name: &str) -> &'data [u8] {
    let symbols = file.dynamic_symbols().chain(file.symbols());
    let symbol =
        symbols.filter(|symbol| symbol.is_definition()).find(|symbol| symbol.name() == Ok(name)).expect(name);
    let section = file.section_by_index(symbol.section_index().expect(name)).expect(name);
    let start = symbol.address() - section.address();
    &section.data().expect("the section has data")[start as usize..]
}

fn builds_and_exports(test: &str, compiler: &str, standard: &str, extension: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let sources = ["protocol", "other"].map(|name| {
        let copy = folder.join(format!("{name}.{extension}"));
        std::fs::copy(format!("{ROOT}/tests/c/{name}.c"), &copy).unwrap();
        copy.to_str().unwrap().to_owned()
    });
    let library = folder.join("library.so");
    let include = format!("-I{ROOT}/tests/c");
    compile_ok(
        compiler,
        &[
            standard,
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fvisibility=hidden",
            "-O2",
            "-flto",
            "-ffunction-sections",
            "-fdata-sections",
            "-Wl,--gc-sections",
            "-s",
            "-shared",
            "-fPIC",
            &include,
            "-o",
            library.to_str().unwrap(),
            &sources[0],
            &sources[1],
        ],
    );
    let data = std::fs::read(&library).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let mut exports: Vec<String> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect();
    exports.sort();
    let mut expected: Vec<&str> = REQUIRED_FUNCTIONS.to_vec();
    expected.extend(["kuzzle_protocol_abi", "kuzzle_protocol_shutdown"]);
    expected.sort_unstable();
    assert_eq!(exports, expected);

    let view = note::parse(bytes_at(&file, "kuzzle_protocol_abi")).expect("it is a note");
    assert_eq!(note::compare(&view), Ok(()));
    assert_eq!((view.major, view.minor, view.flags), (1, 0, 0));
    assert_eq!(view.sdk, "kuzzle/protocol.h 1.0");
    assert!(view.toolchain.starts_with("gcc ") || view.toolchain.starts_with("clang "), "{}", view.toolchain);
}

#[test]
fn compiles_clean_as_c99_and_keeps_its_exports() {
    if let Some(cc) = compiler("compiles_clean_as_c99_and_keeps_its_exports", "CC", "cc") {
        builds_and_exports("c99", &cc, "-std=c99", "c");
    }
}

#[test]
fn compiles_clean_as_c11_and_keeps_its_exports() {
    if let Some(cc) = compiler("compiles_clean_as_c11_and_keeps_its_exports", "CC", "cc") {
        builds_and_exports("c11", &cc, "-std=c11", "c");
    }
}

#[test]
fn compiles_clean_as_cpp17_and_keeps_its_exports() {
    if let Some(cxx) = compiler("compiles_clean_as_cpp17_and_keeps_its_exports", "CXX", "c++") {
        builds_and_exports("cpp17", &cxx, "-std=c++17", "cpp");
    }
}

#[test]
fn a_c_compiler_sees_the_sizes_and_offsets_of_the_rust_mirror() {
    let Some(cc) = compiler("a_c_compiler_sees_the_sizes_and_offsets_of_the_rust_mirror", "CC", "cc") else {
        return;
    };
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("layout");
    compile_ok(&cc, &["-std=c99", "-Wall", "-Werror", "-o", program.to_str().unwrap(), "layout.c"]);
    let output = Command::new(&program).output().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let ours: String =
        LAYOUT_NAMES.iter().zip(LAYOUT).map(|(name, value)| format!("{name} {value}\n")).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn a_32_bit_c_compiler_writes_the_released_32_bit_table() {
    let test = "a_32_bit_c_compiler_writes_the_released_32_bit_table";
    let Some(cc) = compiler(test, "CC", "cc") else { return };
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("note-32.o");
    let out = out.to_str().unwrap();
    let output = compile(&cc, &["-m32", "-ffreestanding", "-std=c99", "-c", "-o", out, "protocol.c"]);
    if !output.status.success() {
        // Not every compiler can make 32-bit code, and none must.
        eprintln!("skipped: {test}: {cc} makes no 32-bit code");
        return;
    }
    let data = std::fs::read(out).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let view = note::parse(bytes_at(&file, "kuzzle_protocol_abi")).expect("it is a note");
    assert_eq!(view.pointer_size, 4);
    let expected: Vec<u16> = note::expected_table(0, 4).unwrap().map(|(_, value)| value).collect();
    assert_eq!(view.table, expected);
    let only_the_pointer =
        Mismatch { kind: MismatchKind::PointerSize, name: "pointer_size".into(), expected: 8, found: 4 };
    assert_eq!(note::compare(&view), Err(vec![only_the_pointer]));
}

/// What a header declares: without comments, and with all space alike.
fn declared(header: &str) -> String {
    let mut rest = header;
    let mut text = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").expect("every comment ends").1;
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is released stays as it is: other words in comments are all that a header may change without a
/// new minor version.
#[test]
fn the_header_is_the_released_one_of_its_version() {
    let read = |path: &str| std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let (current, released) = (read("include/kuzzle/protocol.h"), read("history/1.0/kuzzle/protocol.h"));
    assert_eq!(declared(&current), declared(&released));
    assert!(declared(&released).contains("#define KUZZLE_ABI_MINOR 0"));
}

#[test]
fn the_metrics_extension_is_the_same_in_c_in_cpp_and_in_the_rust_mirror() {
    use kuzzle_protocol_abi::raw::metrics::{kuzzle_host_metrics, kuzzle_metric, kuzzle_metrics};
    use std::mem::offset_of;
    let test = "the_metrics_extension_is_the_same_in_c_in_cpp_and_in_the_rust_mirror";
    let ours = [
        ("kuzzle_metric", size_of::<kuzzle_metric>()),
        ("kuzzle_metric.name", offset_of!(kuzzle_metric, name)),
        ("kuzzle_metric.kind", offset_of!(kuzzle_metric, kind)),
        ("kuzzle_metric.reserved", offset_of!(kuzzle_metric, reserved)),
        ("kuzzle_metric.value", offset_of!(kuzzle_metric, value)),
        ("kuzzle_metrics", size_of::<kuzzle_metrics>()),
        ("kuzzle_host_metrics", size_of::<kuzzle_host_metrics>()),
    ];
    let ours: String = ours.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
    for (variable, default, language, standard) in
        [("CC", "cc", "c", "-std=c99"), ("CXX", "c++", "c++", "-std=c++17")]
    {
        let Some(compiler) = compiler(test, variable, default) else { continue };
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("metrics-{variable}"));
        let program = program.to_str().unwrap();
        let options = [standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", language, "-o", program];
        compile_ok(&compiler, &[&options[..], &["metrics.c"]].concat());
        let theirs = String::from_utf8(Command::new(program).output().unwrap().stdout).unwrap();
        assert_eq!(theirs, ours, "{compiler}");
    }
}
