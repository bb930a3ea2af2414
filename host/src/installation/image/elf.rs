//! A shared library in ELF, read as the dynamic loader reads it: by program headers and the dynamic
//! segment. Section headers only add what they know about the kind of a place.
//!
//! Every number comes from a file that may be damaged or hostile, so everything is bounded and
//! checked, and ranges are read from the file as they are needed.

use object::Endianness;
use object::elf;
use object::read::ReadRef;
use object::read::elf::{Dyn, FileHeader, GnuHashTable, HashTable, ProgramHeader, Rela, SectionHeader, Sym};

use super::container::{
    Container, Damage, Export, Exports, Kind, MOST_NAME, MOST_NEEDED, MOST_TABLE, Wanted, damaged, no_bytes,
    too_few, touches,
};

/// ELF with 64-bit words.
pub(super) type Header64 = elf::FileHeader64<Endianness>;
/// ELF with 32-bit words.
pub(super) type Header32 = elf::FileHeader32<Endianness>;

/// An ELF file of one word size.
pub(super) struct Elf<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>> {
    data: R,
    endian: Endianness,
    header: &'data H,
    segments: &'data [H::ProgramHeader],
    sections: &'data [H::SectionHeader],
    dynamic: Vec<(i64, u64)>,
}

impl<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>> Elf<'data, H, R> {
    /// Reads the headers.
    ///
    /// # Errors
    /// They are cut off, or contradict each other.
    pub(super) fn parse(data: R) -> Result<Self, Damage> {
        let size = data.len().map_err(|()| "its size can not be told".to_owned())?;
        let header = H::parse(data).map_err(damaged("the file header"))?;
        let endian = header.endian().map_err(damaged("the file header"))?;
        let segments = header.program_headers(endian, data).map_err(damaged("the program headers"))?;
        let sections = header.section_headers(endian, data).map_err(damaged("the section headers"))?;
        let cut_off = segments.iter().any(|segment| {
            let (offset, length) = segment.file_range(endian);
            segment.p_type(endian) == elf::PT_LOAD && offset.checked_add(length).is_none_or(|end| end > size)
        });
        if cut_off {
            return Err("a segment reaches beyond the end of the file: it is cut off".to_owned());
        }
        let mut elf = Self { data, endian, header, segments, sections, dynamic: Vec::new() };
        elf.dynamic = elf.read_dynamic()?;
        Ok(elf)
    }

    fn read_dynamic(&self) -> Result<Vec<(i64, u64)>, Damage> {
        let Some(segment) =
            self.segments.iter().find(|segment| segment.p_type(self.endian) == elf::PT_DYNAMIC)
        else {
            return Ok(Vec::new());
        };
        let (_, length) = segment.file_range(self.endian);
        if length > MOST_TABLE {
            return Err("the dynamic segment is unreasonably large".to_owned());
        }
        let entries: &[H::Dyn] = segment
            .data_as_array(self.endian, self.data)
            .map_err(|()| "the dynamic segment is cut off or of an odd size".to_owned())?;
        let entries = entries.iter().map(|entry| (entry.d_tag(self.endian).0, entry.val(self.endian)));
        Ok(entries.take_while(|(tag, _)| *tag != elf::DT_NULL.0).collect())
    }

    fn tag(&self, wanted: i64) -> Option<u64> {
        self.dynamic.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value)
    }

    /// The loaded segment in which an address lies.
    fn segment(&self, address: u64) -> Option<&'data H::ProgramHeader> {
        self.segments.iter().find(|segment| {
            let start: u64 = segment.p_vaddr(self.endian).into();
            let size: u64 = segment.p_memsz(self.endian).into();
            segment.p_type(self.endian) == elf::PT_LOAD && address >= start && address - start < size
        })
    }

    /// Where an address lies in the file, and how many bytes of its segment follow there.
    fn place(&self, address: u64) -> Option<(u64, u64)> {
        let segment = self.segment(address)?;
        let (offset, length) = segment.file_range(self.endian);
        let start: u64 = segment.p_vaddr(self.endian).into();
        let within = address - start;
        (within < length).then(|| (offset + within, length - within))
    }

    /// Bytes from an address on.
    fn data_at(&self, address: u64, length: u64) -> Result<&'data [u8], Damage> {
        match self.place(address) {
            None if self.segment(address).is_some() => Err(no_bytes()),
            None => Err("it lies outside of all loaded segments".to_owned()),
            Some((_, available)) if available < length => Err(too_few(available, length)),
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
        self.data_at(address, length).map_err(|damage| format!("{name}: {damage}"))
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
            let table = GnuHashTable::<H>::parse(self.endian, bytes).map_err(damaged("the hash table"))?;
            // A library that exports nothing hashes nothing.
            let least = u64::from(table.symbol_base());
            return Ok(table.symbol_table_length(self.endian).map_or(least, u64::from));
        }
        let Some(address) = self.tag(elf::DT_HASH.0) else { return Ok(0) };
        let bytes = self.rest("the hash table", address)?;
        let table = HashTable::<H>::parse(self.endian, bytes).map_err(damaged("the hash table"))?;
        Ok(u64::from(table.symbol_table_length()))
    }

    fn symbol_kind(&self, symbol: &H::Sym, address: u64) -> Kind {
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
            let start: u64 = section.sh_addr(self.endian).into();
            let size: u64 = section.sh_size(self.endian).into();
            let flags = section.sh_flags(self.endian).0;
            flags & elf::SHF_ALLOC.0 != 0
                && flags & elf::SHF_TLS.0 == 0
                && address >= start
                && address - start < size
        });
        let executable =
            self.segment(address).is_some_and(|segment| segment.p_flags(self.endian).0 & elf::PF_X.0 != 0);
        match section {
            Some(section) => executable && section.sh_flags(self.endian).0 & elf::SHF_EXECINSTR.0 != 0,
            None => executable,
        }
    }

    fn item<T: object::Pod>(&self, address: u64) -> Option<&'data T> {
        let bytes = self.data_at(address, size_of::<T>() as u64).ok()?;
        object::pod::from_bytes(bytes).ok().map(|(item, _)| item)
    }

    /// The dynamic loader that the program asks for.
    pub(super) fn interpreter(&self) -> Option<std::path::PathBuf> {
        let segment = self.segments.iter().find(|segment| segment.p_type(self.endian) == elf::PT_INTERP)?;
        let (offset, length) = segment.file_range(self.endian);
        let bytes = self.data.read_bytes_at(offset, length.min(MOST_NAME)).ok()?;
        let path = std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()?;
        path.starts_with('/').then(|| path.into())
    }
}

impl<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>> Container for Elf<'data, H, R> {
    fn kind(&self) -> Result<&'static str, &'static str> {
        match self.header.e_type(self.endian) {
            elf::ET_DYN => {}
            elf::ET_REL => return Err("a relocatable object (.o), not linked"),
            elf::ET_EXEC => return Err("an executable"),
            elf::ET_CORE => return Err("a core dump"),
            _ => return Err("an ELF file of an unknown type"),
        }
        let is_pie = self.tag(elf::DT_FLAGS_1.0).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0);
        let interpreted = self.segments.iter().any(|segment| segment.p_type(self.endian) == elf::PT_INTERP);
        if is_pie || (interpreted && self.tag(elf::DT_DEBUG.0).is_some()) {
            return Err("a position-independent executable");
        }
        Ok("an ELF shared library")
    }

    fn exports(&self, wanted: Wanted) -> Result<Exports, Damage> {
        if self.dynamic.is_empty() {
            return Err("it has no dynamic segment".to_owned());
        }
        let Some(address) = self.tag(elf::DT_SYMTAB.0) else {
            return Err("the dynamic segment names no symbol table".to_owned());
        };
        let count = self.symbol_count()?;
        let length = count.saturating_mul(size_of::<H::Sym>() as u64);
        let bytes = if count == 0 { &[] } else { self.table("the symbol table", address, length)? };
        let symbols: &[H::Sym] = object::pod::slice_from_all_bytes(bytes)
            .map_err(|()| "the symbol table is misaligned".to_owned())?;
        let strings = self.strings()?;
        let mut exports = Exports::default();
        for symbol in symbols {
            let is_global = matches!(symbol.st_bind(), elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE);
            let is_visible = matches!(symbol.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED);
            if !is_global || !is_visible || symbol.is_undefined(self.endian) {
                continue;
            }
            exports.unique += usize::from(symbol.st_bind() == elf::STB_GNU_UNIQUE);
            let start = symbol.st_name(self.endian) as usize;
            let Some(text) = strings.get(start..) else {
                return Err("the name of a symbol lies outside of the string table".to_owned());
            };
            match wanted.at(text) {
                // Several versions of one symbol: the first stands for all.
                Some(name) if exports.find(name).is_some() => {}
                Some(name) => {
                    let address = symbol.st_value(self.endian).into();
                    exports.wanted.push(Export { name, address, kind: self.symbol_kind(symbol, address) });
                }
                None => exports.others += 1,
            }
        }
        Ok(exports)
    }

    fn needed(&self) -> Vec<String> {
        let Ok(strings) = self.strings() else { return Vec::new() };
        let offsets =
            self.dynamic.iter().filter(|(tag, _)| *tag == elf::DT_NEEDED.0).map(|(_, offset)| *offset);
        let name = |offset| Some(String::from_utf8_lossy(string(strings, offset)?).into_owned());
        offsets.take(MOST_NEEDED).filter_map(name).collect()
    }

    fn needed_libc(&self) -> Option<(u32, u32)> {
        let strings = self.strings().ok()?;
        let mut newest = None;
        let mut place = self.tag(elf::DT_VERNEED.0)?;
        // Entries of a damaged table may lead back to themselves.
        let mut left = MOST_NEEDED;
        for _ in 0..self.tag(elf::DT_VERNEEDNUM.0)?.min(MOST_NEEDED as u64) {
            let need: &elf::Verneed<Endianness> = self.item(place)?;
            let mut version_place = place.checked_add(need.vn_aux.get(self.endian).into())?;
            for _ in 0..need.vn_cnt.get(self.endian) {
                left = left.checked_sub(1)?;
                let version: &elf::Vernaux<Endianness> = self.item(version_place)?;
                let name = string(strings, version.vna_name.get(self.endian).into())?;
                newest = newest.max(glibc_version(name));
                version_place = version_place.checked_add(version.vna_next.get(self.endian).into())?;
            }
            place = place.checked_add(need.vn_next.get(self.endian).into())?;
        }
        newest
    }

    fn bytes(&self, address: u64, length: u64) -> Result<&[u8], Damage> {
        self.data_at(address, length)
    }

    fn is_relocated(&self, address: u64, length: u64) -> Result<bool, Damage> {
        let within = |offset: u64| touches(offset, address, length);
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
            let entries: &[H::Rela] = object::pod::slice_from_all_bytes(bytes).map_err(odd)?;
            if entries.iter().any(|entry| within(entry.r_offset(self.endian).into())) {
                return Ok(true);
            }
        }
        for bytes in [rel, if plt_is_rela { &[] } else { plt }] {
            let entries: &[H::Rel] = object::pod::slice_from_all_bytes(bytes).map_err(odd)?;
            if entries.iter().any(|entry| within(object::read::elf::Rel::r_offset(entry, self.endian).into()))
            {
                return Ok(true);
            }
        }
        let entries: &[H::Relr] = object::pod::slice_from_all_bytes(relr).map_err(odd)?;
        let mut places = object::read::elf::RelrIterator::<H>::new(self.endian, entries);
        Ok(places.any(|place| within(place.into())))
    }
}

/// A string of a string table, as long as a path can be.
fn string(strings: &[u8], offset: u64) -> Option<&[u8]> {
    let text = strings.get(usize::try_from(offset).ok()?..)?;
    let end = text.iter().take(MOST_NAME as usize).position(|byte| *byte == 0)?;
    Some(&text[..end])
}

/// `GLIBC_2.34` as (2, 34).
fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let mut parts = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
