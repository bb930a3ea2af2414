//! Builds what the tests run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is a folder of the repository").to_owned()
}

/// The folder in which cargo puts what it builds with our profile.
///
/// Unless `cargo xtask test` has done so already, the workspace is built first: a test program alone
/// would run what was built some time ago.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if env::var_os("KUZZLE_TESTS_BUILT").is_none() {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            let status = cargo.current_dir(root()).args(["build", "--workspace", "--quiet"]).status();
            assert!(
                status.expect("cargo is there: it runs this test").success(),
                "the workspace does not build"
            );
        }
        let mut folder = env::current_exe().expect("a program knows where it is");
        // …/target/debug/deps/end_to_end-0123
        folder.pop();
        folder.pop();
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
    if Command::new(&compiler).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(compiler);
    }
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "{test} needs a C compiler");
    eprintln!("skipped for want of a C compiler: {test}");
    None
}

/// Compiles a protocol in C into `output`, from sources below the repository and with more options.
pub fn c_library(compiler: &str, sources: &[&str], options: &[&str], output: &Path) {
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).expect("the temporary folder is ours");
    }
    let mut command = Command::new(compiler);
    command
        .current_dir(root())
        .args(["-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"])
        .args(["-fPIC", "-shared", "-pthread", "-Iprotocol-abi/include"])
        .args(options)
        .args(sources)
        .arg("-o")
        .arg(output);
    let result = command.output().expect("the compiler answered before");
    assert!(result.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&result.stderr));
}
