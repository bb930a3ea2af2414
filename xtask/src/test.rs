//! `cargo xtask test`: everything that a change has to pass.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::build::{self, cargo};

/// What tests use beside Rust, how to see that it works (without arguments: that it is there), and what for.
const TOOLS: [(&str, &[&str], &str); 10] = [
    ("cc", &["--version"], "a C compiler, for the protocols in C"),
    ("c++", &["--version"], "a C++ compiler, for the header in C++"),
    ("make", &["--version"], "make, for the tests of `line` and of what `new` makes"),
    ("tar", &["--version"], "tar, for what `pack` makes"),
    ("x86_64-w64-mingw32-gcc", &["--version"], "a C compiler for Windows, for what is told of .dll files"),
    ("python3", &["-c", "import ensurepip, venv"], "Python with venv, for the tests of `line` and `mqtt`"),
    ("mosquitto_pub", &[], "mosquitto's clients, for the tests of `mqtt`"),
    ("node", &["--version"], "Node.js, for Kuzzle's SDK and the tests of `mqtt`"),
    ("npm", &["--version"], "npm, for Kuzzle's SDK and the tests of `mqtt`"),
    ("curl", &["--version"], "curl, for the tests of `http-ws`"),
];

/// Runs formatting, lints, documentation and all tests; with a filter only the tests that match.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    if filter.is_none() {
        build::run(cargo().args(["fmt", "--all", "--check"]))?;
        build::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        // Everything has to do without abi_stable.
        build::run(cargo().args([
            "check",
            "-p",
            "kuzzle-host",
            "-p",
            "kuzzle-protocol-abi",
            "--no-default-features",
        ]))?;
        build::run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    look_for_tools()?;
    if filter.is_none() {
        // With loom's locks nothing else of the host works.
        let features = ["-p", "kuzzle-host", "--features", "loom"];
        build::run(cargo().arg("clippy").args(features).args(["--all-targets", "--", "-D", "warnings"]))?;
        build::run(cargo().arg("test").args(features).args(["--lib", "--quiet", "serving::models"]))?;
    }
    // The end-to-end tests run the program and the libraries that this builds.
    build::run(cargo().args(["build", "--workspace"]))?;
    // Not run by the runners below.
    build::run(cargo().args(["test", "--workspace", "--doc", "--quiet"]).args(filter))?;
    let mut tests = cargo();
    if works("cargo", &["nextest", "--version"]) {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
    } else {
        tests.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    }
    build::run(tests.args(filter).env("KUZZLE_TESTS_BUILT", "1"))
}

/// Names the tools that are missing: their tests are skipped, or fail where `CI` is `true`.
fn look_for_tools() -> Result<()> {
    let missing: Vec<_> = TOOLS.iter().filter(|(name, arguments, _)| !works(name, arguments)).collect();
    for (name, _, what) in &missing {
        eprintln!("skipped for want of {name}: the tests that need {what}");
    }
    if !missing.is_empty() && env::var("CI").is_ok_and(|value| value == "true") {
        bail!("CI is true, and tools are missing");
    }
    Ok(())
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| arguments.is_empty() || status.success())
}
