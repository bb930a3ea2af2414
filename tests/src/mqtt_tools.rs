//! Other people's MQTT clients: where they are, or how they are installed below what cargo has built.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build::{built, has, root, skipped};

/// Whether mosquitto's clients are there; without them the test is skipped by name, or fails where
/// `CI` is `true`.
pub fn has_mosquitto(test: &str) -> bool {
    // They answer no option with success.
    let mut command = Command::new("mosquitto_rr");
    let found = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(test, "mosquitto_pub, mosquitto_sub and mosquitto_rr");
    }
    found
}

/// A folder from which Node finds the package `mqtt` of `tests/mqtt/package-lock.json`, as
/// `NODE_PATH`; without Node or npm as above.
pub fn node_with_mqtt(test: &str) -> Option<PathBuf> {
    if !has(test, "node") || !has(test, "npm") {
        return None;
    }
    let source = root().join("tests/mqtt");
    let lock = fs::read_to_string(source.join("package-lock.json")).expect("it is part of the repository");
    let folder = installed("mqtt-node", &lock, |folder| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file)).expect("the folder is ours");
        }
        let arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").current_dir(folder).args(arguments));
    });
    Some(folder.join("node_modules"))
}

/// A Python that finds the package `paho-mqtt` of `tests/mqtt/requirements.txt`; without Python and
/// its module `venv` as above.
pub fn python_with_paho(test: &str) -> Option<PathBuf> {
    let mut command = Command::new("python3");
    command.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        skipped(test, "python3 with venv");
        return None;
    }
    let requirements = root().join("tests/mqtt/requirements.txt");
    let wanted = fs::read_to_string(&requirements).expect("it is part of the repository");
    let folder = installed("mqtt-python", &wanted, |folder| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")));
        let mut pip = Command::new(folder.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements);
        run(&mut pip);
    });
    Some(folder.join("venv/bin/python"))
}

/// Makes a folder once for each `version` of what is in it. Tests run in processes of their own.
fn installed(name: &str, version: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = built().join("end-to-end").join(name);
    fs::create_dir_all(&folder).expect("cargo has put files there too");
    let guard = File::create(folder.join("lock")).expect("the folder is ours");
    guard.lock().expect("files can be locked");
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).ok().as_deref() != Some(version) {
        install(&folder);
        fs::write(mark, version).expect("the folder is ours");
    }
    folder
}

fn run(command: &mut Command) {
    let output = command.output().expect("it has answered before");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
