//! One library: what its first bytes say, what it exports, what its note says, and whether a machine
//! like the target could load it.

use std::fs::File;
use std::path::Path;

use kuzzle_protocol_abi::raw::exports::{NOTE_SYMBOL, OPTIONAL_FUNCTIONS, REQUIRED_FUNCTIONS};
use kuzzle_protocol_abi::raw::note::{self, NoteView};
use kuzzle_protocol_abi::raw::{KUZZLE_ABI_MAJOR, KUZZLE_ABI_MINOR};
use object::read::{ReadCache, ReadRef};

use super::container::{Container, Damage, Exports, Kind, Wanted};
use super::elf::{self, Elf};
use super::macho::MachO;
use super::magic::{self, Magic, Part};
use super::pe::{self, Pe};
use super::{Image, NoteSummary, OptionalExports};
use crate::diagnostics::{Diagnostic, Id, escape};
use crate::installation::target::{Architecture, Format, Target};

/// The largest note that can be, in bytes: every length in it has 16 bits.
const MAX_NOTE: u64 = 28 + 2 * 65_535 + 2 * 65_535;
/// More exports than these, beside the interface, are worth a warning.
const MANY_EXPORTS: usize = 64;

/// Every symbol that the interface knows.
const INTERFACE: [&str; REQUIRED_FUNCTIONS.len() + OPTIONAL_FUNCTIONS.len() + 1] = {
    let mut names = [NOTE_SYMBOL; REQUIRED_FUNCTIONS.len() + OPTIONAL_FUNCTIONS.len() + 1];
    let mut at = 0;
    while at < REQUIRED_FUNCTIONS.len() {
        names[at] = REQUIRED_FUNCTIONS[at];
        at += 1;
    }
    while at < names.len() - 1 {
        names[at] = OPTIONAL_FUNCTIONS[at - REQUIRED_FUNCTIONS.len()];
        at += 1;
    }
    names
};

/// An inspection of one file for a machine like the target.
pub(super) struct Inspection<'a> {
    pub(super) path: &'a Path,
    pub(super) target: &'a Target,
    pub(super) image: &'a mut Image,
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

    pub(super) fn run(&mut self, file: &File) {
        let cache = ReadCache::new(file);
        let data = &cache;
        let head = data.read_bytes_at(0, self.image.size.min(64)).unwrap_or_default();
        let magic = magic::of(head);
        let (format, what) = match &magic {
            Magic::Nothing(reason) => return self.not_a_library(reason),
            Magic::Other(what) => (None, *what),
            Magic::Elf(_) => (Some(Format::Elf), "an ELF file (Linux)"),
            Magic::Pe => (Some(Format::Pe), "a Windows library or program (PE)"),
            Magic::MachO(_) => (Some(Format::MachO), "a macOS library or program (Mach-O)"),
            Magic::Universal { .. } => (Some(Format::MachO), "a macOS universal file (fat Mach-O)"),
        };
        self.image.format = Some(what.to_owned());
        if format != Some(self.target.format) {
            if let Magic::Elf(architecture) | Magic::MachO(architecture) = magic {
                self.image.architecture = Some(architecture.to_string());
            }
            return self.wrong_format(what);
        }
        match magic {
            Magic::Elf(architecture) if architecture.is_64 => {
                self.one(&architecture, || Elf::<elf::Header64, _>::parse(data));
            }
            Magic::Elf(architecture) => self.one(&architecture, || Elf::<elf::Header32, _>::parse(data)),
            Magic::Pe => match pe::machine(data) {
                Ok((machine, is_64)) => {
                    self.one(&Architecture::of_pe(machine, is_64), || Pe::parse(data));
                }
                Err(damage) => self.not_a_library(&damage),
            },
            Magic::MachO(architecture) => self.one(&architecture, || MachO::parse(data)),
            Magic::Universal { is_64 } => match magic::parts(data, is_64) {
                Ok(parts) => self.universal(&cache, &parts),
                Err(damage) => self.not_a_library(&damage),
            },
            Magic::Other(_) | Magic::Nothing(_) => {}
        }
    }

    /// A library for one processor.
    fn one<C: Container>(&mut self, found: &Architecture, parse: impl FnOnce() -> Result<C, Damage>) {
        self.image.architecture = Some(found.to_string());
        if *found != self.target.architecture {
            return self.wrong_architecture(&found.to_string());
        }
        match parse() {
            Ok(library) => self.library(&library),
            Err(damage) => self.not_a_library(&damage),
        }
    }

    /// A universal file: the part for the processor that is asked for.
    fn universal(&mut self, cache: &ReadCache<&File>, parts: &[Part]) {
        let all: Vec<_> = parts.iter().map(|part| part.architecture.processor.as_str()).collect();
        let all = all.join(", ");
        self.image.architecture = Some(all.clone());
        let Some(part) = parts.iter().find(|part| part.architecture == self.target.architecture) else {
            return self.wrong_architecture(&all);
        };
        if part.offset.checked_add(part.size).is_none_or(|end| end > self.image.size) {
            return self.not_a_library("a part reaches beyond the end of the file: it is cut off");
        }
        let data = cache.range(part.offset, part.size);
        let head = data.read_bytes_at(0, part.size.min(64)).unwrap_or_default();
        match magic::of(head) {
            Magic::MachO(found) if found == part.architecture => self.one(&found, || MachO::parse(data)),
            _ => self.not_a_library("a part is not what the universal file says"),
        }
        self.image.architecture = Some(all);
        if let Some(format) = &mut self.image.format {
            format.push_str(" in a universal file");
        }
    }

    fn wrong_architecture(&mut self, found: &str) {
        let message = "The library is built for another processor.";
        let help = format!("Build the protocol for {}.", self.target.key);
        let diagnostic = Diagnostic::error(Id::LibraryWrongArchitecture, self.path, message, help);
        let expected = self.target.architecture.to_string();
        self.image.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    fn wrong_format(&mut self, found: &str) {
        let help = "Link the protocol as a shared library for that platform (cc -shared, crate-type cdylib).";
        let diagnostic = Diagnostic::error(
            Id::LibraryWrongFormat,
            self.path,
            format!("The file is {found}, not a shared library for {}.", self.target.key),
            help,
        );
        let expected = format!("a shared library for {}", self.target.key);
        self.image.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    fn library(&mut self, library: &impl Container) {
        match library.kind() {
            Ok(what) => self.image.format = Some(what.to_owned()),
            Err(what) => {
                self.image.format = Some(what.to_owned());
                return self.wrong_format(what);
            }
        }
        self.image.needed = library.needed();
        self.image.needed_libc = library.needed_libc();
        let exports = match library.exports(Wanted(&INTERFACE)) {
            Ok(found) => found,
            Err(damage) => return self.not_a_library(&damage),
        };
        self.functions(&exports);
        self.note(library, &exports);
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
                Some(export) => self.must_be_function(name, &export.kind),
            }
        }
        for name in OPTIONAL_FUNCTIONS {
            if let Some(export) = exports.find(name) {
                self.must_be_function(name, &export.kind);
            }
        }
        let is_exported = |name: &str| exports.find(name).is_some();
        let exported = INTERFACE.into_iter().filter(|name| is_exported(name));
        self.image.exports = exported.map(str::to_owned).collect();
        self.image.other_exports = exports.others;
        self.image.optional = OptionalExports {
            start: is_exported("kuzzle_protocol_start"),
            shutdown: is_exported("kuzzle_protocol_shutdown"),
            get_extension: is_exported("kuzzle_protocol_get_extension"),
        };
    }

    fn must_be_function(&mut self, name: &str, kind: &Kind) {
        if *kind != Kind::Function {
            self.wrong_kind(name, "a function", &found_kind(kind));
        }
    }

    fn wrong_kind(&mut self, name: &str, expected: &str, found: &str) {
        let message = format!("What the library exports as `{name}` is {found}, not {expected}.");
        let help = format!("Define `{name}` as kuzzle/protocol.h says.");
        let diagnostic = Diagnostic::error(Id::LibraryWrongSymbolKind, self.path, message, help);
        self.image.diagnostics.push(diagnostic.expected(expected).found(found));
    }

    fn note(&mut self, library: &impl Container, exports: &Exports) {
        let Some(export) = exports.find(NOTE_SYMBOL) else {
            let message = format!("The library does not export the note `{NOTE_SYMBOL}`.");
            let help = "Write KUZZLE_PROTOCOL_NOTE(); once, in a source file that is given to the linker directly, or \
                        export_protocol! in Rust.";
            let diagnostic = Diagnostic::error(Id::AbiMissingNote, self.path, message, help);
            self.image.diagnostics.push(diagnostic.expected(NOTE_SYMBOL).found("nothing of that name"));
            return;
        };
        if export.kind != Kind::Data {
            return self.wrong_kind(NOTE_SYMBOL, "data", &found_kind(&export.kind));
        }
        let is_little_endian = self.target.architecture.is_little_endian;
        match read_note(library, export.address, is_little_endian) {
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
        } else if let Err(mismatches) = note::compare_of(&view, self.target.architecture.pointer_size()) {
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

/// What an export is, in words.
fn found_kind(kind: &Kind) -> String {
    match kind {
        Kind::Function => "a function".to_owned(),
        Kind::Data => "data".to_owned(),
        Kind::ThreadLocal => "a thread-local variable".to_owned(),
        Kind::FunctionInData => "a function in a place that is not executable".to_owned(),
        Kind::DataInCode => "data among code".to_owned(),
        Kind::Forwarded(target) => format!("forwarded to {}", escape(target)),
        Kind::Absolute => "a number, not a place".to_owned(),
    }
}

/// The newest version of the ABI that this host speaks.
const ABI: &str = "1.0";

enum Note {
    Known(NoteView),
    OtherMajor(u16, u16),
}

/// Reads the note at an address, out of the file.
fn read_note(library: &impl Container, address: u64, is_little_endian: bool) -> Result<Note, String> {
    let head = library.bytes(address, note::HEADER_SIZE as u64)?;
    if head[..8] != note::MAGIC {
        return Err(note::NoteError::Magic.to_string());
    }
    let number = |bytes: &[u8]| {
        let shifted = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if is_little_endian { bytes.iter().rev().fold(0, shifted) } else { bytes.iter().fold(0, shifted) }
    };
    let [major, minor] = [number(&head[8..10]) as u16, number(&head[10..12]) as u16];
    if major != KUZZLE_ABI_MAJOR {
        return Ok(Note::OtherMajor(major, minor));
    }
    let size = number(&head[12..16]);
    if size > MAX_NOTE {
        return Err(format!("it says that it has {size} bytes, more than a note can have"));
    }
    let bytes = library.bytes(address, size.max(note::HEADER_SIZE as u64))?;
    if library.is_relocated(address, size)? {
        return Err("the loader would change it (there are relocations in it)".to_owned());
    }
    note::parse_of(bytes, is_little_endian).map(Note::Known).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_abi_is_the_crates() {
        assert_eq!(ABI, format!("{KUZZLE_ABI_MAJOR}.{KUZZLE_ABI_MINOR}"));
    }
}
