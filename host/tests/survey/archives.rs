//! Archives: what `check` accepts as one, and everything that is none.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use kuzzle_host::diagnostics::Id;
use kuzzle_host::installation::{Entry, Status, survey_paths};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::home::{good, has_cc, ids, set};

const MANIFEST: &str = r#"{"name": "p", "kuzzleVersion": "2"}"#;

/// An entry of an archive: its name as bytes, what it is, its mode, and its contents.
struct Part<'a>(&'a [u8], EntryType, u32, &'a [u8]);

fn file<'a>(name: &'a str, contents: &'a [u8]) -> Part<'a> {
    Part(name.as_bytes(), EntryType::Regular, 0o644, contents)
}

fn tar(parts: &[Part<'_>]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for Part(name, kind, mode, contents) in parts {
        let mut header = Header::new_ustar();
        // As it is: the usual way refuses what is refused here.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        archive.append(&header, *contents).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("p-1.0.0.tar.gz")
    }

    fn check(&self, archive: &[u8]) -> Entry {
        fs::write(self.path(), archive).unwrap();
        let mut survey = survey_paths(&[self.path()]);
        assert!(survey.diagnostics.is_empty() && survey.entries.len() == 1);
        survey.entries.remove(0)
    }
}

fn is_refused(entry: &Entry, reason: &str) {
    assert_eq!(ids(entry), set(["protocol.archive.invalid"]), "{reason}: {:?}", entry.diagnostics);
    assert_eq!((entry.status, entry.diagnostics.len()), (Status::Refused, 1), "{reason}");
    let told = &entry.diagnostics[0];
    assert!(told.message.contains(reason) && !told.help.is_empty(), "{reason}: {told:?}");
}

/// What the check of an archive without an archive in it answers: for the test of all ids.
pub(crate) fn told_of_no_archive() -> BTreeSet<Id> {
    Place::new().check(b"").diagnostics.iter().map(|told| told.id).collect()
}

#[test]
fn an_archive_is_checked_like_its_folder_and_called_by_its_own_name() {
    if !has_cc("an_archive_is_checked_like_its_folder_and_called_by_its_own_name") {
        return;
    }
    let place = Place::new();
    let parts = [file("p/manifest.json", MANIFEST.as_bytes()), file("p/libp.so", good())];
    let entry = place.check(&gzip(&tar(&parts)));
    assert_eq!((entry.status, entry.name.as_deref()), (Status::Ok, Some("p")), "{:?}", entry.diagnostics);
    assert_eq!(entry.path, place.path());
    assert_eq!(entry.library.as_deref(), Some(&*place.path().join("p/libp.so")));
    // As `tar -C … -czf x ./p` makes it, with folders.
    let parts = [
        Part(b"./", EntryType::Directory, 0o755, b""),
        Part(b"./p/", EntryType::Directory, 0o755, b""),
        Part(b"./p/docs/", EntryType::Directory, 0o755, b""),
        file("./p/docs/read.me", b"hello"),
        file("./p/manifest.json", MANIFEST.as_bytes()),
        file("./p/libp.so", good()),
    ];
    assert_eq!(place.check(&gzip(&tar(&parts))).status, Status::Ok);
    // Another suffix: by its first bytes.
    let other = place.0.path().join("download");
    fs::write(&other, gzip(&tar(&parts))).unwrap();
    assert_eq!(survey_paths(&[other]).entries[0].status, Status::Ok);
}

#[test]
fn what_is_wrong_in_an_archive_is_told_by_its_place_there() {
    let place = Place::new();
    let parts =
        [file("p/manifest.json", b"{}"), Part(b"p/libp.so", EntryType::Regular, 0o666, b"no library")];
    let entry = place.check(&gzip(&tar(&parts)));
    assert_eq!(entry.status, Status::Refused);
    let inside = |id: &str| {
        let told = entry.diagnostics.iter().find(|told| told.id.as_str() == id);
        told.unwrap_or_else(|| panic!("{id}: {:?}", entry.diagnostics)).path.clone()
    };
    assert_eq!(inside("plugin.manifest.missing_name"), place.path().join("p/manifest.json"));
    assert_eq!(inside("protocol.library.not_a_library"), place.path().join("p/libp.so"));
    assert_eq!(inside("protocol.trust.writable_by_others"), place.path().join("p/libp.so"));
    let texts = format!("{:?}", entry.diagnostics);
    assert!(!texts.contains("kuzzle-archive-"), "{texts}");
}

#[test]
fn nothing_is_left_behind() {
    let place = Place::new();
    let temporary = place.0.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let archive = place.0.path().join("p.tgz");
    let parts = [file("p/manifest.json", MANIFEST.as_bytes()), file("../evil", b"x")];
    fs::write(&archive, gzip(&tar(&parts))).unwrap();
    let program = env!("CARGO_BIN_EXE_kuzzle-host");
    let mut command = std::process::Command::new(program);
    command.args(["check", "--format", "json"]).arg(&archive).env("TMPDIR", &temporary);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!place.0.path().join("evil").exists());
}

#[test]
fn refuses_names_that_lead_elsewhere() {
    let place = Place::new();
    for (name, reason) in [
        (&b"/etc/passwd"[..], "absolute"),
        (b"../evil", ".."),
        (b"p/../../evil", ".."),
        (b"p/x/../../../evil", ".."),
        (b"p\\..\\evil", "characters"),
        (b"C:/evil", "characters"),
        (b"p/\x1b[31m", "characters"),
        (b"p/\xff", "UTF-8"),
        (b"p/a/b/c/d/e/f/g/h", "deeper"),
        (b"", "empty"),
    ] {
        for kind in [EntryType::Regular, EntryType::Directory] {
            if name.is_empty() && kind == EntryType::Directory {
                continue;
            }
            let parts = [file("p/manifest.json", MANIFEST.as_bytes()), Part(name, kind, 0o644, b"")];
            is_refused(&place.check(&gzip(&tar(&parts))), reason);
        }
    }
    assert!(!place.0.path().join("evil").exists());
}

#[test]
fn refuses_everything_but_files_and_folders() {
    let place = Place::new();
    for (kind, reason) in [
        (EntryType::Symlink, "a link"),
        (EntryType::Link, "a link"),
        (EntryType::Fifo, "a named pipe"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::GNUSparse, "no regular file"),
        (EntryType::GNULongName, "extended headers"),
        (EntryType::XHeader, "extended headers"),
        (EntryType::new(b'?'), "no regular file"),
    ] {
        let parts = [file("p/manifest.json", MANIFEST.as_bytes()), Part(b"p/x", kind, 0o644, b"")];
        is_refused(&place.check(&gzip(&tar(&parts))), reason);
    }
}

#[test]
fn refuses_what_is_not_one_folder() {
    let place = Place::new();
    let manifest = MANIFEST.as_bytes();
    is_refused(&place.check(&gzip(&tar(&[]))), "empty");
    is_refused(&place.check(&gzip(&tar(&[file("manifest.json", manifest)]))), "does not lie in");
    let two = [file("p/manifest.json", manifest), file("q/manifest.json", manifest)];
    is_refused(&place.check(&gzip(&tar(&two))), "\"p\" and \"q\"");
    let twice = [file("p/manifest.json", manifest), file("p/MANIFEST.json", b"{}")];
    is_refused(&place.check(&gzip(&tar(&twice))), "twice");
    let below_a_file = [file("p/x", b""), file("p/x/y", b"")];
    is_refused(&place.check(&gzip(&tar(&below_a_file))), "damaged");
}

#[test]
fn refuses_bombs_before_they_fill_the_disk() {
    let place = Place::new();
    let start = Instant::now();
    let zeros = vec![0; 200 << 20];
    let parts = [file("p/manifest.json", MANIFEST.as_bytes()), file("p/libp.so", &zeros)];
    is_refused(&place.check(&gzip(&tar(&parts))), "unpacks to more than");
    let names: Vec<_> = (0..1100).map(|number| format!("p/{number}")).collect();
    let parts: Vec<_> = names.iter().map(|name| file(name, b"")).collect();
    is_refused(&place.check(&gzip(&tar(&parts))), "more than 1000");
    // A file that claims to be larger than anything.
    let mut bytes = tar(&[file("p/manifest.json", b"{}")]);
    let mut header = Header::from_byte_slice(&bytes[..512]).clone();
    header.set_size(u64::MAX / 2);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    is_refused(&place.check(&gzip(&bytes)), "damaged");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn answers_for_every_damaged_archive() {
    let place = Place::new();
    let whole = gzip(&tar(&[file("p/manifest.json", MANIFEST.as_bytes()), file("p/libp.so", b"no library")]));
    assert!(!ids(&place.check(&whole)).contains("protocol.archive.invalid"));
    for length in 0..whole.len() {
        is_refused(&place.check(&whole[..length]), "");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        assert_eq!(place.check(&bytes).status, Status::Refused, "{at}");
    }
    let plain = tar(&[file("p/manifest.json", MANIFEST.as_bytes())]);
    is_refused(&place.check(&plain), "damaged");
    // What `check` would not see, and other programs might unpack.
    let more = [plain, tar(&[file("p/libp.so", b"something")])].concat();
    is_refused(&place.check(&gzip(&more)), "follows its end");
}

#[test]
fn an_archive_that_others_may_write_to_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.check(&gzip(&tar(&[file("p/manifest.json", MANIFEST.as_bytes())])));
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let entry = survey_paths(&[place.path()]).entries.remove(0);
    let told = entry.diagnostics.iter().find(|told| told.id == Id::TrustWritableByOthers).unwrap();
    assert_eq!(told.path, place.path());
}

#[test]
fn a_path_that_is_neither_folder_nor_archive_is_told_as_before() {
    let place = Place::new();
    let path = place.0.path().join("notes.txt");
    fs::write(&path, "hello").unwrap();
    let entry = survey_paths(&[path]).entries.remove(0);
    assert_eq!(ids(&entry), set(["protocol.discovery.not_a_directory"]));
    let entry = survey_paths(&[Path::new("/nowhere/p.tar.gz").to_owned()]).entries.remove(0);
    assert_eq!(ids(&entry), set(["protocol.discovery.unreadable"]));
}
