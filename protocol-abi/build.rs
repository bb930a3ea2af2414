//! Records which compiler builds the SDK, for the note's toolchain string.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let version = env::var_os("RUSTC")
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && !text.contains(['\0', '\n']) && text.len() <= 255)
        .unwrap_or_else(|| "rustc (unknown version)".to_owned());
    println!("cargo::rustc-env=KUZZLE_SDK_TOOLCHAIN={version}");
}
