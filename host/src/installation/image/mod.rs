//! A library as a file: what it is, what it exports, what its note says. Nothing of it is run.

mod elf;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kuzzle_protocol_abi::raw::exports::{NOTE_SYMBOL, OPTIONAL_FUNCTIONS, REQUIRED_FUNCTIONS};
use kuzzle_protocol_abi::raw::note::{self, NoteView};
use kuzzle_protocol_abi::raw::{KUZZLE_ABI_MAJOR, KUZZLE_ABI_MINOR};
use object::read::{ReadCache, ReadRef};
use sha2::{Digest, Sha256};

use super::target::{Target, describe_architecture};
use super::{FileIdentity, NoteSummary, OptionalExports, file};
use crate::diagnostics::{Diagnostic, Id, escape};
use elf::{Elf, Exports, Kind};

/// The largest library, in bytes.
const MAX_BYTES: u64 = 1 << 30;
/// The largest note that can be, in bytes: every length in it has 16 bits.
const MAX_NOTE: u64 = 28 + 2 * 65_535 + 2 * 65_535;
/// More exports than these, beside the interface, are worth a warning.
const MANY_EXPORTS: usize = 64;

/// All that a library tells about itself.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// What kind of file it is; `None` if that is not known.
    pub format: Option<String>,
    /// For which processor it is built.
    pub architecture: Option<String>,
    /// Bytes.
    pub size: u64,
    /// What its note says, if it has one that can be read.
    pub note: Option<NoteSummary>,
    /// The symbols of the interface that it exports.
    pub exports: Vec<String>,
    /// How many other symbols it exports.
    pub other_exports: usize,
    /// Which optional functions it exports.
    pub optional: OptionalExports,
    /// The libraries that it needs, by name.
    pub needed: Vec<String>,
    /// The newest version of glibc that it needs something of.
    pub needed_libc: Option<(u32, u32)>,
    /// Everything that keeps it from being loaded, and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Which file was inspected.
    pub identity: Option<FileIdentity>,
    /// The SHA-256 of the whole file, hexadecimal, if it was asked for.
    pub sha256: Option<String>,
}

/// Inspects the library at `path` for a machine like `target`.
pub fn inspect(path: &Path, target: &Target) -> Image {
    inspect_and_hash(path, target, false)
}

/// Inspects the library at `path`, and computes its SHA-256 from the same open file if asked to.
pub(super) fn inspect_and_hash(path: &Path, target: &Target, hash: bool) -> Image {
    let mut image = Image::default();
    match file::open(path, MAX_BYTES) {
        Ok((file, metadata)) => {
            image.size = metadata.len();
            image.identity = Some(FileIdentity::of(&metadata));
            if hash {
                image.sha256 = sha256(&file).ok();
            }
            Inspection { path, target, image: &mut image }.run(&file);
        }
        Err(file::ReadError::Absent) => {
            let help = "Put the library there, or correct \"main\" in manifest.json.";
            let message = "There is no such library.";
            image.diagnostics.push(Diagnostic::error(Id::LibraryNotFound, path, message, help));
        }
        Err(file::ReadError::Replaced) => {
            let message = "The library was replaced while it was opened.";
            let help = "Check again, once nobody installs anything.";
            image.diagnostics.push(Diagnostic::error(Id::TrustChangedSinceInspection, path, message, help));
        }
        Err(error) => {
            let message = format!("Could not read the library: {error}.");
            let help = "Make it a regular file of at most 1 GiB that the user of this process may read.";
            image.diagnostics.push(Diagnostic::error(Id::LibraryUnreadable, path, message, help));
        }
    }
    image
}

/// The dynamic loader that a program asks for.
pub(super) fn interpreter(program: &Path) -> Option<PathBuf> {
    let (file, _) = file::open(program, MAX_BYTES).ok()?;
    let cache = ReadCache::new(&file);
    Elf::parse(&cache).ok()?.interpreter()
}

/// SHA-256 of a file from its beginning on, hexadecimal.
fn sha256(mut file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Inspection<'a> {
    path: &'a Path,
    target: &'a Target,
    image: &'a mut Image,
}

/// Every symbol that the interface knows.
fn interface() -> impl Iterator<Item = &'static str> + Clone {
    REQUIRED_FUNCTIONS.into_iter().chain(OPTIONAL_FUNCTIONS).chain([NOTE_SYMBOL])
}

/// What a file is by its first bytes.
enum Magic {
    Elf { is_64: bool, is_little_endian: bool, machine: u16 },
    Other(&'static str),
    Nothing(&'static str),
}

fn magic(head: &[u8]) -> Magic {
    match head {
        [] => Magic::Nothing("it is empty"),
        [0x7f, b'E', b'L', b'F', class, order, ..] if head.len() >= 20 => {
            let is_little_endian = match order {
                1 => true,
                2 => false,
                _ => return Magic::Nothing("its header names no byte order"),
            };
            if !matches!(class, 1 | 2) {
                return Magic::Nothing("its header names no word size");
            }
            let machine = [head[18], head[19]];
            let machine =
                if is_little_endian { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
            Magic::Elf { is_64: *class == 2, is_little_endian, machine }
        }
        [0x7f, b'E', b'L', b'F', ..] => Magic::Nothing("it ends within its header"),
        [b'M', b'Z', ..] => Magic::Other("a Windows library or program (PE)"),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => {
            Magic::Other("a macOS library or program (Mach-O)")
        }
        [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => Magic::Other("a macOS universal file (fat Mach-O)"),
        [0, b'a', b's', b'm', ..] => Magic::Other("a WebAssembly module"),
        _ => Magic::Nothing("its first bytes are those of no library"),
    }
}

impl Inspection<'_> {
    fn error(&mut self, id: Id, message: impl Into<String>, help: &str) {
        self.image.diagnostics.push(Diagnostic::error(id, self.path, message, help));
    }

    fn warning(&mut self, id: Id, message: impl Into<String>, help: &str) {
        self.image.diagnostics.push(Diagnostic::warning(id, self.path, message, help));
    }

    fn not_a_library(&mut self, reason: &str) {
        let help =
            "Install the library again: build it, copy it beside its place, then rename it into place.";
        self.error(
            Id::LibraryNotALibrary,
            format!("The file is no library that can be read: {reason}."),
            help,
        );
    }

    fn run(&mut self, file: &File) {
        let cache = ReadCache::new(file);
        let data = &cache;
        let head = data.read_bytes_at(0, self.image.size.min(64)).unwrap_or_default();
        match magic(head) {
            Magic::Nothing(reason) => self.not_a_library(reason),
            Magic::Other(what) => {
                self.image.format = Some(what.to_owned());
                self.wrong_format(what);
            }
            Magic::Elf { is_64, is_little_endian, machine } => {
                self.image.format = Some("an ELF file".to_owned());
                let found = describe_architecture(machine, is_64, is_little_endian);
                self.image.architecture = Some(found.clone());
                let target = self.target;
                if cfg!(not(target_os = "linux")) && target.suffix != ".so" {
                    self.wrong_format("an ELF library (Linux)");
                } else if (target.machine, target.is_64, target.is_little_endian)
                    != (Some(machine), is_64, is_little_endian)
                {
                    let message = "The library is built for another processor.";
                    let help = format!("Build the protocol for {}.", target.key);
                    let diagnostic =
                        Diagnostic::error(Id::LibraryWrongArchitecture, self.path, message, help);
                    self.image.diagnostics.push(diagnostic.expected(target.describe()).found(found));
                } else {
                    match Elf::parse(data) {
                        Ok(elf) => self.elf(&elf),
                        Err(damage) => self.not_a_library(&damage),
                    }
                }
            }
        }
    }

    fn wrong_format(&mut self, found: &str) {
        let help = "Link the protocol as a shared library for this platform (cc -shared, crate-type cdylib).";
        let diagnostic = Diagnostic::error(
            Id::LibraryWrongFormat,
            self.path,
            format!("The file is {found}, not a shared library of this platform."),
            help,
        );
        let expected = format!("a shared library for {}", self.target.key);
        self.image.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    fn elf<'data, R: ReadRef<'data>>(&mut self, elf: &Elf<'data, R>) {
        if let Some(what) = elf.not_a_library() {
            self.image.format = Some(what.to_owned());
            return self.wrong_format(what);
        }
        self.image.format = Some("an ELF shared library".to_owned());
        if !elf.is_dynamic() {
            return self.not_a_library("it has no dynamic segment");
        }
        self.image.needed = elf.needed();
        self.image.needed_libc = elf.needed_libc();
        let exports = match elf.exports(interface()) {
            Ok(found) => found,
            Err(damage) => return self.not_a_library(&damage),
        };
        self.functions(&exports);
        self.note(elf, &exports);
        if self.image.other_exports > MANY_EXPORTS {
            let message = format!(
                "The library exports {} symbols beside the interface, which may clash with others.",
                self.image.other_exports
            );
            let help = "Hide them: compile with -fvisibility=hidden, or link with an export list.";
            self.warning(Id::LibraryExportsMany, message, help);
        }
        if exports.unique > 0 {
            let message = format!(
                "{} C++ variables of the library are shared with all other libraries (STB_GNU_UNIQUE).",
                exports.unique
            );
            self.warning(Id::LibraryUniqueSymbols, message, "Compile with -fno-gnu-unique.");
        }
    }

    fn functions(&mut self, exports: &Exports) {
        for name in REQUIRED_FUNCTIONS {
            match exports.find(name) {
                None => {
                    let message = format!("The library does not export the function `{name}`.");
                    let help = format!(
                        "Define `{name}` as kuzzle/protocol.h declares it, in an object that is given to the linker \
                         directly."
                    );
                    let diagnostic = Diagnostic::error(Id::LibraryMissingSymbol, self.path, message, help);
                    self.image.diagnostics.push(diagnostic.expected(name).found("nothing of that name"));
                }
                Some(export) => self.must_be_function(name, export.kind),
            }
        }
        for name in OPTIONAL_FUNCTIONS {
            if let Some(export) = exports.find(name) {
                self.must_be_function(name, export.kind);
            }
        }
        let is_exported = |name: &str| exports.find(name).is_some();
        self.image.exports = interface().filter(|name| is_exported(name)).map(str::to_owned).collect();
        self.image.other_exports = exports.others;
        self.image.optional = OptionalExports {
            start: is_exported("kuzzle_protocol_start"),
            shutdown: is_exported("kuzzle_protocol_shutdown"),
            get_extension: is_exported("kuzzle_protocol_get_extension"),
        };
    }

    fn must_be_function(&mut self, name: &str, kind: Kind) {
        let found = match kind {
            Kind::Function => return,
            Kind::Data => "data",
            Kind::ThreadLocal => "a thread-local variable",
            Kind::FunctionInData => "a function in a place that is not executable",
            Kind::DataInCode => "data among code",
        };
        self.wrong_kind(name, "a function", found);
    }

    fn wrong_kind(&mut self, name: &str, expected: &str, found: &str) {
        let message = format!("What the library exports as `{name}` is {found}, not {expected}.");
        let help = format!("Define `{name}` as kuzzle/protocol.h says.");
        let diagnostic = Diagnostic::error(Id::LibraryWrongSymbolKind, self.path, message, help);
        self.image.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    fn note<'data, R: ReadRef<'data>>(&mut self, elf: &Elf<'data, R>, exports: &Exports) {
        let Some(export) = exports.find(NOTE_SYMBOL) else {
            let message = format!("The library does not export the note `{NOTE_SYMBOL}`.");
            let help = "Write KUZZLE_PROTOCOL_NOTE(); once, in a source file that is given to the linker directly, or \
                        export_protocol! in Rust.";
            let diagnostic = Diagnostic::error(Id::AbiMissingNote, self.path, message, help);
            self.image.diagnostics.push(diagnostic.expected(NOTE_SYMBOL).found("nothing of that name"));
            return;
        };
        match export.kind {
            Kind::Data => {}
            Kind::Function | Kind::FunctionInData => {
                return self.wrong_kind(NOTE_SYMBOL, "data", "a function");
            }
            Kind::DataInCode => return self.wrong_kind(NOTE_SYMBOL, "data", "data among code"),
            Kind::ThreadLocal => return self.wrong_kind(NOTE_SYMBOL, "data", "a thread-local variable"),
        }
        match read_note(elf, export.address) {
            Ok(Note::Known(view)) => self.judge(view),
            Ok(Note::OtherMajor(major, minor)) => self.wrong_version(major, minor),
            Err(reason) => {
                let message = format!("What the library exports as `{NOTE_SYMBOL}` is no note: {reason}.");
                let help = "Define it with KUZZLE_PROTOCOL_NOTE() or export_protocol! only: as constant data without \
                            pointers.";
                self.error(Id::AbiNotANote, message, help);
            }
        }
    }

    fn wrong_version(&mut self, major: u16, minor: u16) {
        let found = format!("{major}.{minor}");
        let (message, help) = if major == KUZZLE_ABI_MAJOR {
            (
                format!(
                    "The library needs a newer host: it is built for version {found} of the protocol ABI."
                ),
                format!(
                    "Use a host with version {found} of the ABI or later, or build the protocol for {ABI}."
                ),
            )
        } else {
            (
                format!(
                    "The library is built for version {found} of the protocol ABI, which this host does not speak."
                ),
                format!(
                    "Build the protocol with version {KUZZLE_ABI_MAJOR} of kuzzle/protocol.h, or use another host."
                ),
            )
        };
        let diagnostic = Diagnostic::error(Id::AbiVersionMismatch, self.path, message, help);
        let expected = format!("{KUZZLE_ABI_MAJOR}.0 to {ABI}");
        self.image.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    fn judge(&mut self, view: NoteView) {
        if view.minor > KUZZLE_ABI_MINOR {
            self.wrong_version(view.major, view.minor);
        } else if let Err(mismatches) = note::compare(&view) {
            const SHOWN: usize = 5;
            let mut shown: Vec<_> = mismatches.iter().take(SHOWN).map(ToString::to_string).collect();
            if mismatches.len() > SHOWN {
                shown.push(format!("and {} more", mismatches.len() - SHOWN));
            }
            let message = format!(
                "The library's compiler lays out the ABI's structs differently: {}.",
                shown.join("; ")
            );
            let help = "Compile it with the original kuzzle/protocol.h and without options that change the layout of \
                        structs (-fpack-struct, -mms-bitfields, …).";
            let diagnostic = Diagnostic::error(Id::AbiLayoutMismatch, self.path, message, help);
            let diagnostic = match mismatches.first() {
                Some(first) => diagnostic
                    .expected(format!("{} {}", first.name, first.expected))
                    .found(format!("{} {}", first.name, first.found)),
                None => diagnostic,
            };
            self.image.diagnostics.push(diagnostic);
        }
        if view.flags & note::FLAG_PANIC_ABORT != 0 {
            let message = "The library was compiled with panic=abort: a panic in it ends the host.";
            let help = "Compile the protocol with panic = \"unwind\" in its Cargo profile.";
            self.warning(Id::AbiPanicAbort, message, help);
        }
        self.image.note = Some(NoteSummary {
            major: view.major,
            minor: view.minor,
            flags: view.flags,
            pointer_size: view.pointer_size,
            toolchain: escape(&view.toolchain),
            sdk: escape(&view.sdk),
        });
    }
}

/// The newest version of the ABI that this host speaks.
const ABI: &str = "1.0";

enum Note {
    Known(NoteView),
    OtherMajor(u16, u16),
}

/// Reads the note at an address, out of the file.
fn read_note<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, address: u64) -> Result<Note, String> {
    let head = elf.bytes(address, note::HEADER_SIZE as u64)?;
    if head[..8] != note::MAGIC {
        return Err(note::NoteError::Magic.to_string());
    }
    let major = u16::from_ne_bytes([head[8], head[9]]);
    if major != KUZZLE_ABI_MAJOR {
        return Ok(Note::OtherMajor(major, u16::from_ne_bytes([head[10], head[11]])));
    }
    let size = u64::from(u32::from_ne_bytes([head[12], head[13], head[14], head[15]]));
    if size > MAX_NOTE {
        return Err(format!("it says that it has {size} bytes, more than a note can have"));
    }
    let bytes = elf.bytes(address, size.max(note::HEADER_SIZE as u64))?;
    if elf.is_relocated(address, size)? {
        return Err("the loader would change it (there are relocations in it)".to_owned());
    }
    note::parse(bytes).map(Note::Known).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_abi_is_the_crates() {
        assert_eq!(ABI, format!("{KUZZLE_ABI_MAJOR}.{KUZZLE_ABI_MINOR}"));
    }
}
