//! Builds what the tests run.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The root of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is a folder of the repository").to_owned()
}

/// The folder in which cargo puts what it builds with our profile.
///
/// Unless `cargo xtask test` has done so already, the workspace is built first: a test program alone
/// would run what was built some time ago.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut folder = env::current_exe().expect("a program knows where it is");
        // …/target/debug/deps/end_to_end-0123
        folder.pop();
        folder.pop();
        if env::var_os("KUZZLE_TESTS_BUILT").is_none() {
            let target = folder.parent().expect("the profile's folder lies in the target folder");
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.current_dir(root()).args(["build", "--workspace", "--quiet", "--target-dir"]).arg(target);
            if folder.file_name() == Some(OsStr::new("release")) {
                cargo.arg("--release");
            }
            let status = cargo.status().expect("cargo is there: it runs this test");
            assert!(status.success(), "the workspace does not build");
        }
        folder
    })
}

/// The program `kuzzle-host`.
pub fn program() -> PathBuf {
    built().join(format!("kuzzle-host{}", env::consts::EXE_SUFFIX))
}

/// The library of a Rust protocol of this workspace, by the name of its library target.
pub fn rust_library(name: &str) -> PathBuf {
    let library = built().join(format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX));
    assert!(library.exists(), "{} is not built: is it a member of the workspace?", library.display());
    library
}

/// The C compiler; without one the test is skipped by name, or fails where `CI` is `true`.
pub fn cc(test: &str) -> Option<String> {
    let compiler = env::var("CC").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "cc".into());
    if version(&compiler).is_some() {
        return Some(compiler);
    }
    skipped(test, "a C compiler");
    None
}

/// Whether a program is there; without it the test is skipped by name, or fails where `CI` is `true`.
pub fn has(test: &str, program: &str) -> bool {
    let found = version(program).is_some();
    if !found {
        skipped(test, program);
    }
    found
}

pub(crate) fn skipped(test: &str, want: &str) {
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "{test} needs {want}");
    eprintln!("skipped for want of {want}: {test}");
}

fn version(compiler: &str) -> Option<Vec<u8>> {
    let output = Command::new(compiler).arg("--version").output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// Compiles a protocol in C into `output`, from sources below the repository and with more options.
///
/// Many tests want the same library, each in a process of its own, so results are kept beside what
/// cargo has built.
pub fn c_library(compiler: &str, sources: &[&str], options: &[&str], output: &Path) {
    c_library_against(&root().join("protocol-abi/include"), compiler, sources, options, output);
}

/// The same, with the header `kuzzle/protocol.h` of another folder.
pub fn c_library_against(include: &Path, compiler: &str, sources: &[&str], options: &[&str], output: &Path) {
    const OPTIONS: [&str; 10] = [
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fvisibility=hidden",
        "-fPIC",
        "-shared",
        "-pthread",
    ];
    let mut inputs = DefaultHasher::new();
    (compiler, version(compiler), OPTIONS, options, sources).hash(&mut inputs);
    let mut header = fs::read(include.join("kuzzle/protocol.h")).expect("sources are readable");
    // Extensions have revisions of their own: today's go with every header.
    let today = root().join("protocol-abi/include");
    header.extend(fs::read(today.join("kuzzle/extensions/metrics.h")).expect("sources are readable"));
    header.hash(&mut inputs);
    for file in inputs_of(sources) {
        (&file, fs::read(&file).expect("sources are readable")).hash(&mut inputs);
    }
    let folder = built().join("end-to-end");
    let kept = folder.join(format!("{:016x}{}", inputs.finish(), env::consts::DLL_SUFFIX));
    if !kept.exists() {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(&folder).expect("cargo has put files there too");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let fresh = folder.join(format!("{}-{number}.tmp", std::process::id()));
        let mut command = Command::new(compiler);
        command.current_dir(root()).args(OPTIONS).arg("-I").arg(include).arg("-I").arg(&today);
        command.args(options).args(sources);
        command.arg("-o").arg(&fresh);
        let result = command.output().expect("the compiler answered before");
        assert!(result.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&result.stderr));
        fs::rename(&fresh, &kept).expect("both lie in one folder");
    }
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).expect("the temporary folder is ours");
    }
    fs::copy(&kept, output).expect("the temporary folder is ours");
}

/// All files that a compilation of these sources may read, system headers and the ABI's aside.
fn inputs_of(sources: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for source in sources {
        let source = root().join(source);
        let folder = source.parent().expect("a file lies in a folder");
        let beside = fs::read_dir(folder).expect("sources are readable").map(|entry| entry.unwrap().path());
        files.extend(beside.filter(|path| path.extension() == Some(OsStr::new("h"))));
        files.push(source);
    }
    files.sort();
    files.dedup();
    files
}
