//! A shared library in ELF, read as the dynamic loader reads it: by program headers and the dynamic
//! segment. Section headers only add what they know about the kind of a place.
//!
//! Every number comes from a file that may be damaged or hostile, so everything is bounded and
//! checked, and ranges are read from the file as they are needed.

#![allow(clippy::useless_conversion, reason = "words have 32 or 64 bits")]

use object::NativeEndian;
use object::elf;
use object::read::ReadRef;
use object::read::elf::{Dyn, FileHeader, GnuHashTable, HashTable, ProgramHeader, Rela, SectionHeader, Sym};

#[cfg(target_pointer_width = "64")]
type Header = elf::FileHeader64<NativeEndian>;
#[cfg(target_pointer_width = "32")]
type Header = elf::FileHeader32<NativeEndian>;
type Segment = <Header as FileHeader>::ProgramHeader;
type Section = <Header as FileHeader>::SectionHeader;
type Symbol = <Header as FileHeader>::Sym;

const E: NativeEndian = NativeEndian;

/// The largest table that is read, in bytes: symbols, strings, hashes, relocations.
const MOST_TABLE: u64 = 128 << 20;
/// The most needed libraries that are told.
const MOST_NEEDED: usize = 4096;

/// What is wrong with the file, in words.
pub(super) type Damage = String;

/// A symbol that the library defines for others.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) name: &'static str,
    pub(super) address: u64,
    pub(super) kind: Kind,
}

/// What the library defines for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Exports {
    /// Those that were looked for.
    pub(super) wanted: Vec<Export>,
    /// How many others there are.
    pub(super) others: usize,
    /// How many are variables that C++ shares between all libraries.
    pub(super) unique: usize,
}

impl Exports {
    /// One of those that were looked for.
    pub(super) fn find(&self, name: &str) -> Option<&Export> {
        self.wanted.iter().find(|export| export.name == name)
    }
}

/// What an exported symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It lies where code lies, and is not said to be data.
    Function,
    /// It lies where data lies, and is not said to be a function.
    Data,
    /// A thread-local variable.
    ThreadLocal,
    /// It is said to be a function, and lies where data lies.
    FunctionInData,
    /// It is said to be data, and lies where code lies.
    DataInCode,
}

/// An ELF file for this machine.
pub(super) struct Elf<'data, R: ReadRef<'data>> {
    data: R,
    header: &'data Header,
    segments: &'data [Segment],
    sections: &'data [Section],
    dynamic: Vec<(i64, u64)>,
}

fn damaged(what: &str) -> impl FnOnce(object::Error) -> Damage + '_ {
    move |error| format!("{what}: {error}")
}

impl<'data, R: ReadRef<'data>> Elf<'data, R> {
    /// Reads the headers.
    ///
    /// # Errors
    /// They are cut off, or contradict each other.
    pub(super) fn parse(data: R) -> Result<Self, Damage> {
        let size = data.len().map_err(|()| "its size can not be told".to_owned())?;
        let header = Header::parse(data).map_err(damaged("the file header"))?;
        let segments = header.program_headers(E, data).map_err(damaged("the program headers"))?;
        let sections = header.section_headers(E, data).map_err(damaged("the section headers"))?;
        let cut_off = segments.iter().any(|segment| {
            let (offset, length) = segment.file_range(E);
            segment.p_type(E) == elf::PT_LOAD && offset.checked_add(length).is_none_or(|end| end > size)
        });
        if cut_off {
            return Err("a segment reaches beyond the end of the file: it is cut off".to_owned());
        }
        let mut elf = Self { data, header, segments, sections, dynamic: Vec::new() };
        elf.dynamic = elf.read_dynamic()?;
        Ok(elf)
    }

    fn read_dynamic(&self) -> Result<Vec<(i64, u64)>, Damage> {
        let Some(segment) = self.segments.iter().find(|segment| segment.p_type(E) == elf::PT_DYNAMIC) else {
            return Ok(Vec::new());
        };
        let (_, length) = segment.file_range(E);
        if length > MOST_TABLE {
            return Err("the dynamic segment is unreasonably large".to_owned());
        }
        let entries: &[<Header as FileHeader>::Dyn] = segment
            .data_as_array(E, self.data)
            .map_err(|()| "the dynamic segment is cut off or of an odd size".to_owned())?;
        let entries = entries.iter().map(|entry| (entry.d_tag(E).0, entry.val(E)));
        Ok(entries.take_while(|(tag, _)| *tag != elf::DT_NULL.0).collect())
    }

    /// `None`: a shared library; else what it is.
    pub(super) fn not_a_library(&self) -> Option<&'static str> {
        match self.header.e_type(E) {
            elf::ET_DYN => {}
            elf::ET_REL => return Some("a relocatable object (.o), not linked"),
            elf::ET_EXEC => return Some("an executable"),
            elf::ET_CORE => return Some("a core dump"),
            _ => return Some("an ELF file of an unknown type"),
        }
        let is_pie = self.tag(elf::DT_FLAGS_1.0).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0);
        let interpreted = self.segments.iter().any(|segment| segment.p_type(E) == elf::PT_INTERP);
        if is_pie || (interpreted && self.tag(elf::DT_DEBUG.0).is_some()) {
            return Some("a position-independent executable");
        }
        None
    }

    /// Whether there is a dynamic segment, without which nothing can be exported.
    pub(super) fn is_dynamic(&self) -> bool {
        !self.dynamic.is_empty()
    }

    fn tag(&self, wanted: i64) -> Option<u64> {
        self.dynamic.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value)
    }

    /// The loaded segment in which an address lies.
    fn segment(&self, address: u64) -> Option<&'data Segment> {
        self.segments.iter().find(|segment| {
            let start: u64 = segment.p_vaddr(E).into();
            let size: u64 = segment.p_memsz(E).into();
            segment.p_type(E) == elf::PT_LOAD && address >= start && address - start < size
        })
    }

    /// Where an address lies in the file, and how many bytes of its segment follow there.
    fn place(&self, address: u64) -> Option<(u64, u64)> {
        let segment = self.segment(address)?;
        let (offset, length) = segment.file_range(E);
        let start: u64 = segment.p_vaddr(E).into();
        let within = address - start;
        (within < length).then(|| (offset + within, length - within))
    }

    /// Bytes from an address on.
    ///
    /// # Errors
    /// The file does not have them.
    pub(super) fn bytes(&self, address: u64, length: u64) -> Result<&'data [u8], Damage> {
        match self.place(address) {
            None if self.segment(address).is_some() => {
                Err("it lies where the file has no bytes (in bss)".to_owned())
            }
            None => Err("it lies outside of all loaded segments".to_owned()),
            Some((_, available)) if available < length => {
                Err(format!("the file has {available} bytes there, {length} are needed"))
            }
            Some((offset, _)) => {
                self.data.read_bytes_at(offset, length).map_err(|()| "it can not be read".to_owned())
            }
        }
    }

    /// A table of the dynamic segment.
    fn table(&self, name: &str, address: u64, length: u64) -> Result<&'data [u8], Damage> {
        if length > MOST_TABLE {
            return Err(format!("{name} is unreasonably large"));
        }
        self.bytes(address, length).map_err(|damage| format!("{name}: {damage}"))
    }

    /// Everything from an address to the end of its segment, for tables that do not tell their size.
    fn rest(&self, name: &str, address: u64) -> Result<&'data [u8], Damage> {
        let (_, available) = self.place(address).ok_or_else(|| format!("{name} is not in the file"))?;
        self.table(name, address, available.min(MOST_TABLE))
    }

    /// The string table of the dynamic segment.
    fn strings(&self) -> Result<&'data [u8], Damage> {
        let (Some(address), Some(length)) = (self.tag(elf::DT_STRTAB.0), self.tag(elf::DT_STRSZ.0)) else {
            return Err("the dynamic segment names no string table".to_owned());
        };
        self.table("the string table", address, length)
    }

    /// How many dynamic symbols there are: only the hash tables tell.
    fn symbol_count(&self) -> Result<u64, Damage> {
        if let Some(address) = self.tag(elf::DT_GNU_HASH.0) {
            let bytes = self.rest("the hash table", address)?;
            let table = GnuHashTable::<Header>::parse(E, bytes).map_err(damaged("the hash table"))?;
            // A library that exports nothing hashes nothing.
            let least = u64::from(table.symbol_base());
            return Ok(table.symbol_table_length(E).map_or(least, u64::from));
        }
        let Some(address) = self.tag(elf::DT_HASH.0) else { return Ok(0) };
        let bytes = self.rest("the hash table", address)?;
        let table = HashTable::<Header>::parse(E, bytes).map_err(damaged("the hash table"))?;
        Ok(u64::from(table.symbol_table_length()))
    }

    /// What the library defines for others, with those of the names `wanted` that are among it.
    ///
    /// Only these names are compared, each once a symbol: neither the number of symbols nor the
    /// length of their names costs more than reading the tables.
    ///
    /// # Errors
    /// The tables contradict each other.
    pub(super) fn exports(
        &self,
        wanted: impl Iterator<Item = &'static str> + Clone,
    ) -> Result<Exports, Damage> {
        let Some(address) = self.tag(elf::DT_SYMTAB.0) else {
            return Err("the dynamic segment names no symbol table".to_owned());
        };
        let count = self.symbol_count()?;
        let length = count.saturating_mul(size_of::<Symbol>() as u64);
        let bytes = if count == 0 { &[] } else { self.table("the symbol table", address, length)? };
        let symbols: &[Symbol] = object::pod::slice_from_all_bytes(bytes)
            .map_err(|()| "the symbol table is misaligned".to_owned())?;
        let strings = self.strings()?;
        let mut exports = Exports::default();
        for symbol in symbols {
            let is_global = matches!(symbol.st_bind(), elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE);
            let is_visible = matches!(symbol.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED);
            if !is_global || !is_visible || symbol.is_undefined(E) {
                continue;
            }
            exports.unique += usize::from(symbol.st_bind() == elf::STB_GNU_UNIQUE);
            let start = symbol.st_name(E) as usize;
            let Some(text) = strings.get(start..) else {
                return Err("the name of a symbol lies outside of the string table".to_owned());
            };
            let is_named =
                |name: &&str| text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
            match wanted.clone().find(is_named) {
                // Several versions of one symbol: the first stands for all.
                Some(name) if exports.find(name).is_some() => {}
                Some(name) => {
                    let address = symbol.st_value(E).into();
                    exports.wanted.push(Export { name, address, kind: self.kind(symbol, address) });
                }
                None => exports.others += 1,
            }
        }
        Ok(exports)
    }

    fn kind(&self, symbol: &Symbol, address: u64) -> Kind {
        let in_code = self.lies_in_code(address);
        match symbol.st_type() {
            elf::STT_TLS => Kind::ThreadLocal,
            elf::STT_OBJECT | elf::STT_COMMON if in_code => Kind::DataInCode,
            elf::STT_OBJECT | elf::STT_COMMON => Kind::Data,
            elf::STT_FUNC | elf::STT_GNU_IFUNC if !in_code => Kind::FunctionInData,
            _ if in_code => Kind::Function,
            _ => Kind::Data,
        }
    }

    /// Whether the section of an address, or without sections its segment, is executable. (Linkers
    /// may put constants and code into one segment.)
    fn lies_in_code(&self, address: u64) -> bool {
        let section = self.sections.iter().find(|section| {
            let start: u64 = section.sh_addr(E).into();
            let size: u64 = section.sh_size(E).into();
            let flags = section.sh_flags(E).0;
            flags & elf::SHF_ALLOC.0 != 0
                && flags & elf::SHF_TLS.0 == 0
                && address >= start
                && address - start < size
        });
        let executable = self.segment(address).is_some_and(|segment| segment.p_flags(E).0 & elf::PF_X.0 != 0);
        match section {
            Some(section) => executable && section.sh_flags(E).0 & elf::SHF_EXECINSTR.0 != 0,
            None => executable,
        }
    }

    /// The names of the libraries that it needs.
    pub(super) fn needed(&self) -> Vec<String> {
        let Ok(strings) = self.strings() else { return Vec::new() };
        let offsets =
            self.dynamic.iter().filter(|(tag, _)| *tag == elf::DT_NEEDED.0).map(|(_, offset)| *offset);
        let name = |offset| Some(String::from_utf8_lossy(string(strings, offset)?).into_owned());
        offsets.take(MOST_NEEDED).filter_map(name).collect()
    }

    /// The newest version of glibc that it needs something of, by the names of symbol versions.
    pub(super) fn needed_libc(&self) -> Option<(u32, u32)> {
        let strings = self.strings().ok()?;
        let mut newest = None;
        let mut place = self.tag(elf::DT_VERNEED.0)?;
        // Entries of a damaged table may lead back to themselves.
        let mut left = MOST_NEEDED;
        for _ in 0..self.tag(elf::DT_VERNEEDNUM.0)?.min(MOST_NEEDED as u64) {
            let need: &elf::Verneed<NativeEndian> = self.item(place)?;
            let mut version_place = place.checked_add(need.vn_aux.get(E).into())?;
            for _ in 0..need.vn_cnt.get(E) {
                left = left.checked_sub(1)?;
                let version: &elf::Vernaux<NativeEndian> = self.item(version_place)?;
                let name = string(strings, version.vna_name.get(E).into())?;
                newest = newest.max(glibc_version(name));
                version_place = version_place.checked_add(version.vna_next.get(E).into())?;
            }
            place = place.checked_add(need.vn_next.get(E).into())?;
        }
        newest
    }

    fn item<T: object::Pod>(&self, address: u64) -> Option<&'data T> {
        let bytes = self.bytes(address, size_of::<T>() as u64).ok()?;
        object::pod::from_bytes(bytes).ok().map(|(item, _)| item)
    }

    /// The dynamic loader that the program asks for.
    pub(super) fn interpreter(&self) -> Option<std::path::PathBuf> {
        let segment = self.segments.iter().find(|segment| segment.p_type(E) == elf::PT_INTERP)?;
        let (offset, length) = segment.file_range(E);
        let bytes = self.data.read_bytes_at(offset, length.min(4096)).ok()?;
        let path = std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()?;
        path.starts_with('/').then(|| path.into())
    }

    /// Whether the loader would write into a range of addresses.
    ///
    /// # Errors
    /// The relocations can not be read.
    pub(super) fn is_relocated(&self, address: u64, length: u64) -> Result<bool, Damage> {
        let within = |offset: u64| {
            // A relocation writes at most 16 bytes.
            offset < address.saturating_add(length) && offset.saturating_add(16) > address
        };
        let table = |start: i64, size: i64| -> Result<&'data [u8], Damage> {
            match (self.tag(start), self.tag(size)) {
                (Some(_), Some(0)) | (None, _) | (_, None) => Ok(&[]),
                (Some(start), Some(size)) => self.table("the relocations", start, size),
            }
        };
        let plt_is_rela = self.tag(elf::DT_PLTREL.0) == Some(elf::DT_RELA.0.cast_unsigned());
        let rela = table(elf::DT_RELA.0, elf::DT_RELASZ.0)?;
        let rel = table(elf::DT_REL.0, elf::DT_RELSZ.0)?;
        let plt = table(elf::DT_JMPREL.0, elf::DT_PLTRELSZ.0)?;
        let relr = table(elf::DT_RELR.0, elf::DT_RELRSZ.0)?;
        let odd = |()| "the relocations are of an odd size".to_owned();
        for bytes in [rela, if plt_is_rela { plt } else { &[] }] {
            let entries: &[<Header as FileHeader>::Rela] =
                object::pod::slice_from_all_bytes(bytes).map_err(odd)?;
            if entries.iter().any(|entry| within(entry.r_offset(E).into())) {
                return Ok(true);
            }
        }
        for bytes in [rel, if plt_is_rela { &[] } else { plt }] {
            let entries: &[<Header as FileHeader>::Rel] =
                object::pod::slice_from_all_bytes(bytes).map_err(odd)?;
            if entries.iter().any(|entry| within(object::read::elf::Rel::r_offset(entry, E).into())) {
                return Ok(true);
            }
        }
        let entries: &[<Header as FileHeader>::Relr] =
            object::pod::slice_from_all_bytes(relr).map_err(odd)?;
        let mut places = object::read::elf::RelrIterator::<Header>::new(E, entries);
        Ok(places.any(|place| within(place.into())))
    }
}

/// A string of a string table, as long as a path can be.
fn string(strings: &[u8], offset: u64) -> Option<&[u8]> {
    let text = strings.get(usize::try_from(offset).ok()?..)?;
    let end = text.iter().take(4096).position(|byte| *byte == 0)?;
    Some(&text[..end])
}

/// `GLIBC_2.34` as (2, 34).
fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let mut parts = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
