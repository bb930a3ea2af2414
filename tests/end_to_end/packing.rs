//! `pack`: an archive that is always the same, and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kuzzle_tests::{Client, Host, Installation, Report, UdpClient, has};
use serde_json::{Value, json};

/// An installation whose `available/udp` can be packed.
fn with_udp() -> Installation {
    let installation = Installation::new();
    installation.udp();
    installation
}

fn pack(installation: &Installation, arguments: &[&str]) -> Output {
    let folder = installation.available("udp");
    let mut command = Host::command(installation.home(), &["pack"]);
    command.current_dir(installation.home()).arg(folder).args(arguments).output().unwrap()
}

fn packed(installation: &Installation, output: &Path) -> Value {
    let result = pack(installation, &["--format", "json", "-o", output.to_str().unwrap()]);
    assert_eq!(result.status.code(), Some(0), "{result:?}");
    serde_json::from_slice(&result.stdout).unwrap()
}

fn platform() -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux_{processor}")
}

fn archives(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("tar.gz")).collect()
}

#[test]
fn an_archive_is_named_after_what_it_holds_and_passes_check() {
    let installation = with_udp();
    let output = pack(&installation, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let name = format!("udp-0.1.0-{}.tar.gz", platform());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&name), "{output:?}");
    let archive = installation.home().join(name);
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o644);
    let inspected =
        Host::run(installation.home(), &["inspect", "--format", "json", archive.to_str().unwrap()]);
    let document: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&document["kind"], &document["manifest"]["name"]), (&json!("archive"), &json!("udp")));
    assert_eq!(document["library"]["path"], archive.join("udp/libudp.so").to_str().unwrap());
    assert_eq!((&document["library"]["note"]["abi"], &document["diagnostics"]), (&json!("1.0"), &json!([])));
    let report = Report::of(installation.home(), &[archive.to_str().unwrap()]);
    assert_eq!(report.status, Some(0), "{report:?}");
    let entry = report.entry(archive.file_name().unwrap().to_str().unwrap());
    assert_eq!(
        (&entry["name"], &entry["status"], &entry["diagnostics"]),
        (&json!("udp"), &json!("ok"), &json!([]))
    );
}

#[test]
fn a_damaged_archive_is_told_by_check_and_inspect() {
    let installation = with_udp();
    let archive = installation.home().join("udp.tar.gz");
    packed(&installation, &archive);
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let report = Report::of(installation.home(), &[archive.to_str().unwrap()]);
    assert_eq!((report.status, report.ids("udp.tar.gz")), (Some(78), ["protocol.archive.invalid"].into()));
    let inspected =
        Host::run(installation.home(), &["inspect", "--format", "json", archive.to_str().unwrap()]);
    let document: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(document["diagnostics"][0]["id"], "protocol.archive.invalid", "{document}");
    assert_eq!((&document["manifest"], &document["library"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_same_folder_makes_the_same_bytes() {
    let installation = with_udp();
    let folder = installation.available("udp");
    fs::write(folder.join("LICENSE"), "free").unwrap();
    fs::create_dir(folder.join("data")).unwrap();
    fs::write(folder.join("data/b"), "b").unwrap();
    fs::write(folder.join("data/a"), "a").unwrap();
    fs::write(folder.join(".hidden"), "no").unwrap();
    let [one, two] = ["one.tar.gz", "two.tar.gz"].map(|name| installation.home().join(name));
    let document = packed(&installation, &one);
    let names =
        ["LICENSE", "data/a", "data/b", "libudp.so", "manifest.json"].map(|name| format!("udp/{name}"));
    assert_eq!(document["files"], json!(names));
    assert_eq!((&document["version"], &document["platform"]), (&json!("0.1.0"), &json!(platform())));
    // Other times and modes, another order on disk.
    for name in ["data/a", "LICENSE", "libudp.so"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        fs::remove_file(folder.join(name)).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let again = packed(&installation, &two);
    assert_eq!(document["sha256"], again["sha256"]);
    let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert_eq!(first, second);
    // Neither a time nor a name in the header of gzip.
    assert_eq!(&first[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    // An archive that is there is replaced by another.
    assert_eq!(packed(&installation, &two)["sha256"], again["sha256"]);
}

#[test]
fn what_is_unpacked_from_it_serves_and_is_pinned() {
    let test = "what_is_unpacked_from_it_serves_and_is_pinned";
    if !has(test, "tar") {
        return;
    }
    let author = with_udp();
    let archive = author.home().join("udp.tar.gz");
    let document = packed(&author, &archive);
    let installation = Installation::new();
    fs::create_dir_all(installation.available("")).unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(&archive).arg("-C").arg(installation.available(""));
    assert!(unpack.status().unwrap().success());
    let mode = |name: &str| {
        fs::metadata(installation.available("udp").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("libudp.so"), mode("manifest.json")), (0o755, 0o755, 0o644));
    // What others make of the same folder is an archive, too.
    let other = installation.home().join("other.tgz");
    let mut repack = Command::new("tar");
    repack.arg("-czf").arg(&other).arg("-C").arg(installation.available("")).arg("./udp");
    assert!(repack.status().unwrap().success());
    let report = Report::of(installation.home(), &[other.to_str().unwrap()]);
    assert_eq!(report.status, Some(0), "{report:?}");
    let manifest = fs::read_to_string(installation.available("udp").join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["main"], json!({ platform(): "libudp.so" }));
    assert_eq!(manifest["sha256"], json!({ platform(): document["librarySha256"] }));
    assert_eq!(manifest["name"], "udp");
    installation.enable("udp").options("udp", &json!({ "port": 0 }));
    UdpClient::connect(Host::start(&installation).address("udp")).is_served();
    // One byte less, and it is not what was pinned.
    let library = installation.available("udp").join("libudp.so");
    let bytes = fs::read(&library).unwrap();
    fs::write(&library, [&bytes[..], b"\0"].concat()).unwrap();
    assert_eq!(Report::of(installation.home(), &[]).ids("udp"), ["protocol.trust.checksum_mismatch"].into());
}

#[test]
fn what_check_refuses_is_not_packed() {
    let installation = with_udp();
    fs::write(installation.available("udp").join("libudp.so"), "no library").unwrap();
    let output = pack(&installation, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["archive"], Value::Null);
    assert_eq!(document["diagnostics"][0]["id"], "protocol.library.not_a_library", "{document}");
    let output = pack(&installation, &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("refused: 1 error"), "{output:?}");
    assert!(archives(installation.home()).is_empty());
}

#[test]
fn what_has_no_place_in_an_archive_is_refused() {
    let version = |version: Value| json!({ "name": "udp", "kuzzleVersion": "2", "version": version });
    for (manifest, id) in [
        (json!({ "name": "udp", "kuzzleVersion": "2" }), "plugin.manifest.invalid_property"),
        (version(json!("1/../../x")), "plugin.manifest.invalid_property"),
        (version(json!("")), "plugin.manifest.invalid_property"),
        (json!({ "name": "a b", "kuzzleVersion": "2", "version": "1" }), "plugin.manifest.unusual_name"),
        (json!({ "name": "../x", "kuzzleVersion": "2", "version": "1" }), "plugin.manifest.unusual_name"),
    ] {
        let installation = with_udp();
        installation.manifest_with("udp", &manifest);
        let output = pack(&installation, &["--format", "json"]);
        assert_eq!(output.status.code(), Some(78), "{manifest}: {output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors =
            document["diagnostics"].as_array().unwrap().iter().filter(|told| told["severity"] == "error");
        assert_eq!(errors.map(|told| &told["id"]).collect::<Vec<_>>(), [id], "{manifest}");
        assert!(archives(installation.home()).is_empty());
    }
    let installation = with_udp();
    let huge = fs::File::create(installation.available("udp").join("huge")).unwrap();
    huge.set_len(2 << 30).unwrap();
    let output = pack(&installation, &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("All files together"), "{output:?}");
    let installation = with_udp();
    symlink("/etc/passwd", installation.available("udp").join("data")).unwrap();
    let output = pack(&installation, &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("protocol.archive.invalid"), "{output:?}");
    assert!(archives(installation.home()).is_empty());
}

#[test]
fn impossible_places_are_refused() {
    let installation = with_udp();
    let inside = installation.available("udp").join("x.tar.gz");
    let output = pack(&installation, &["-o", inside.to_str().unwrap()]);
    assert_eq!((output.status.code(), inside.exists()), (Some(2), false), "{output:?}");
    for place in ["missing/x.tar.gz", "/dev/null"] {
        let output = pack(&installation, &["-o", place]);
        assert_eq!(output.status.code(), Some(1), "{place}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{place}: {output:?}");
    }
    let output = Host::run(installation.home(), &["pack", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = pack(&installation, &["--platform", "amiga_68k"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // A folder is where archives are put under their own name.
    let output = pack(&installation, &["-o", installation.home().to_str().unwrap()]);
    assert_eq!((output.status.code(), archives(installation.home()).len()), (Some(0), 1), "{output:?}");
}

#[test]
fn each_platform_has_its_own_archive() {
    let installation = with_udp();
    let folder = installation.available("udp");
    let dylib = kuzzle_tests::root().join("host/tests/mach-o/universal.dylib");
    fs::copy(dylib, folder.join("libother.dylib")).unwrap();
    installation.manifest_with(
        "udp",
        &json!({
            "name": "udp", "kuzzleVersion": "2", "version": "1.0.0",
            "main": { platform(): "libudp.so", "macos_arm64": "libother.dylib" }
        }),
    );
    for (name, library) in [(platform(), "libudp.so"), ("macos_arm64".to_owned(), "libother.dylib")] {
        let output = pack(&installation, &["--platform", &name, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["files"], json!([format!("udp/{library}"), "udp/manifest.json"]));
        let archive = document["archive"].as_str().unwrap();
        assert_eq!(archive, format!("udp-1.0.0-{name}.tar.gz"));
        let archive = installation.home().join(archive);
        let report = Report::of(installation.home(), &["--platform", &name, archive.to_str().unwrap()]);
        assert_eq!(report.status, Some(0), "{report:?}");
    }
    // The same without saying so in the manifest: names of libraries tell their platform.
    installation.manifest_with("udp", &json!({ "name": "udp", "kuzzleVersion": "2", "version": "1.0.0" }));
    let output = pack(&installation, &["--platform", "macos_arm64", "--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["files"], json!(["udp/libother.dylib", "udp/manifest.json"]));
    let archive = installation.home().join("udp-1.0.0-macos_arm64.tar.gz");
    let report = Report::of(installation.home(), &[archive.to_str().unwrap()]);
    assert_eq!(report.status, Some(78), "{report:?}");
    assert_eq!(report.document["protocols"][0]["diagnostics"][0]["id"], "protocol.library.not_found");
}
