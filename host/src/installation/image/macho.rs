//! A shared library in Mach-O (`.dylib`, 64 bits), read as the dynamic loader of macOS reads it: by
//! segments, the export trie, and rebases, binds or chained fixups. Addresses are relative to the
//! image.

use object::Endianness;
use object::macho;
use object::read::ReadRef;
use object::read::macho::{MachHeader, Section as _, Segment as _};

use super::container::{
    Container, Damage, Export, Exports, Kind, MOST_NEEDED, MOST_TABLE, Wanted, damaged, no_bytes, overlap,
    too_few, touches,
};
use super::trie;

/// More bytes than the load commands of any library have.
const MOST_COMMANDS: u32 = 16 << 20;
/// The most places that the loader writes to, and of segments that are kept.
const MOST_FIXUPS: usize = 4 << 20;

type Header = macho::MachHeader64<Endianness>;

/// A Mach-O file with 64-bit words, or such a part of a universal file.
pub(super) struct MachO<'data, R: ReadRef<'data>> {
    data: R,
    endian: Endianness,
    header: &'data Header,
    /// Where the image begins in memory.
    base: u64,
    segments: Vec<Segment<'data>>,
    /// Where the export trie is in the file, and how long.
    trie: Option<(u64, u64)>,
    info: Option<&'data macho::DyldInfoCommand<Endianness>>,
    fixups: Option<&'data macho::LinkeditDataCommand<Endianness>>,
    needed: Vec<String>,
}

struct Segment<'data> {
    address: u64,
    size: u64,
    offset: u64,
    length: u64,
    executable: bool,
    sections: &'data [macho::Section64<Endianness>],
}

impl<'data, R: ReadRef<'data>> MachO<'data, R> {
    /// Reads the header and the load commands.
    ///
    /// # Errors
    /// They are cut off, or contradict each other.
    pub(super) fn parse(data: R) -> Result<Self, Damage> {
        let size = data.len().map_err(|()| "its size can not be told".to_owned())?;
        let header = Header::parse(data, 0).map_err(damaged("the file header"))?;
        let endian = header.endian().map_err(damaged("the file header"))?;
        if header.sizeofcmds(endian) > MOST_COMMANDS {
            return Err("the load commands are unreasonably large".to_owned());
        }
        let mut image = Self {
            data,
            endian,
            header,
            base: 0,
            segments: Vec::new(),
            trie: None,
            info: None,
            fixups: None,
            needed: Vec::new(),
        };
        let commands = header.load_commands(endian, data, 0).map_err(damaged("the load commands"))?;
        for command in commands {
            let command = command.map_err(damaged("the load commands"))?;
            image.command(command, size).map_err(damaged("the load commands"))??;
        }
        if overlap(image.segments.iter().map(|segment| (segment.address, segment.size))) {
            return Err("its segments overlap".to_owned());
        }
        let text = image.segments.iter().find(|segment| segment.offset == 0 && segment.length > 0);
        image.base = text.map_or(0, |text| text.address);
        Ok(image)
    }

    /// Takes what is needed of a load command.
    fn command(
        &mut self,
        command: object::read::macho::LoadCommandData<'data, Endianness>,
        size: u64,
    ) -> object::Result<Result<(), Damage>> {
        let endian = self.endian;
        if let Some((segment, sections)) = command.segment_64()? {
            let (offset, length) = segment.file_range(endian);
            if offset.checked_add(length).is_none_or(|end| end > size) {
                return Ok(Err("a segment reaches beyond the end of the file: it is cut off".to_owned()));
            }
            self.segments.push(Segment {
                address: segment.vmaddr.get(endian),
                size: segment.vmsize.get(endian),
                offset,
                length,
                executable: segment.initprot.get(endian).0 & macho::VM_PROT_EXECUTE.0 != 0,
                sections: segment.sections(endian, sections)?,
            });
        } else if let Some(info) = command.dyld_info()? {
            self.info = Some(info);
            let range = (info.export_off.get(endian).into(), info.export_size.get(endian).into());
            self.trie = self.trie.or(Some(range));
        } else if let Some(trie) = command.dyld_exports_trie()? {
            self.trie = Some((trie.dataoff.get(endian).into(), trie.datasize.get(endian).into()));
        } else if let Some(fixups) = command.dyld_chained_fixups()? {
            self.fixups = Some(fixups);
        } else if let Some(library) = command.dylib()?
            && self.needed.len() < MOST_NEEDED
        {
            let name = command.string(endian, library.dylib.name)?;
            self.needed.push(String::from_utf8_lossy(name).into_owned());
        }
        Ok(Ok(()))
    }

    /// The segment in which an address lies.
    fn segment(&self, address: u64) -> Option<&Segment<'data>> {
        let address = self.base.checked_add(address)?;
        let holds =
            |segment: &&Segment<'_>| address >= segment.address && address - segment.address < segment.size;
        self.segments.iter().find(holds)
    }

    /// What lies at an address.
    fn kind_at(&self, address: u64) -> Kind {
        let Some(segment) = self.segment(address) else { return Kind::Data };
        let place = self.base.saturating_add(address);
        let section = segment.sections.iter().find(|section| {
            let (start, size) = (section.addr.get(self.endian), section.size.get(self.endian));
            place >= start && place - start < size
        });
        let instructions = macho::S_ATTR_PURE_INSTRUCTIONS.0 | macho::S_ATTR_SOME_INSTRUCTIONS.0;
        // Constants and code share a segment.
        let is_code = section.is_none_or(|section| section.flags(self.endian).0 & instructions != 0);
        if segment.executable && is_code { Kind::Function } else { Kind::Data }
    }

    /// A range of the file that the dynamic loader reads.
    fn table(&self, what: &str, offset: u64, length: u64) -> Result<&'data [u8], Damage> {
        if length > MOST_TABLE {
            return Err(format!("{what} are unreasonably large"));
        }
        let cut_off = |()| format!("{what} lie outside of the file");
        self.data.read_bytes_at(offset, length).map_err(cut_off)
    }

    /// Whether one of the places, each a segment's number and an offset there, is in a range.
    fn any_touches(
        &self,
        places: impl Iterator<Item = object::Result<(usize, u64)>>,
        address: u64,
        length: u64,
    ) -> Result<bool, Damage> {
        let address = self.base.saturating_add(address);
        for (number, place) in places.enumerate() {
            if number >= MOST_FIXUPS {
                return Err("it has unreasonably many relocations".to_owned());
            }
            let (index, offset) = place.map_err(damaged("the relocations"))?;
            let Some(segment) = self.segments.get(index) else {
                return Err("a relocation is for a segment that does not exist".to_owned());
            };
            if touches(segment.address.wrapping_add(offset), address, length) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_chained(&self, address: u64, length: u64) -> Result<bool, Damage> {
        let Some(command) = self.fixups else { return Ok(false) };
        let (offset, size) = (command.dataoff.get(self.endian), command.datasize.get(self.endian));
        let what = "the chained fixups";
        let table = self.table(what, offset.into(), size.into())?;
        if table.is_empty() {
            return Ok(false);
        }
        let fixups =
            object::read::macho::DyldChainedFixups::parse(self.endian, table).map_err(damaged(what))?;
        let start = self.base.saturating_add(address);
        for chains in fixups.segments(self.endian).map_err(damaged(what))? {
            let chains = chains.map_err(damaged(what))?;
            let index = chains.index() as usize;
            // Chains do not leave their segment.
            let Some(segment) = self.segments.get(index).filter(|segment| {
                touches(segment.address, start, length)
                    || (start >= segment.address && start - segment.address < segment.size)
            }) else {
                continue;
            };
            let bytes = self.table(what, segment.offset, segment.length)?;
            let places = chains.fixups(self.endian, self.base, bytes);
            let places = places.map(|place| place.map(|(offset, _)| (index, offset)));
            if self.any_touches(places, address, length)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<'data, R: ReadRef<'data>> Container for MachO<'data, R> {
    fn kind(&self) -> Result<&'static str, &'static str> {
        match self.header.filetype(self.endian) {
            macho::MH_DYLIB => Ok("a Mach-O shared library"),
            macho::MH_BUNDLE => Ok("a Mach-O bundle"),
            macho::MH_OBJECT => Err("a relocatable object (.o), not linked"),
            macho::MH_EXECUTE => Err("a macOS program (Mach-O)"),
            macho::MH_CORE => Err("a core dump"),
            macho::MH_DYLIB_STUB => Err("a stub to link with (Mach-O)"),
            _ => Err("a Mach-O file of another kind"),
        }
    }

    fn exports(&self, wanted: Wanted) -> Result<Exports, Damage> {
        let Some((offset, length)) = self.trie else {
            return Err("it has no list of exports (LC_DYLD_EXPORTS_TRIE or LC_DYLD_INFO)".to_owned());
        };
        let table = self.table("the exports", offset, length)?;
        let mut exports = Exports::default();
        for name in wanted.0 {
            // Compilers for macOS put an underscore before every name.
            let Some(found) = trie::find(table, format!("_{name}").as_bytes())? else { continue };
            let flag = |flag: macho::ExportSymbolFlags| found.flags & flag.0 != 0;
            let kind = if flag(macho::EXPORT_SYMBOL_FLAGS_REEXPORT) {
                let end = found.rest.iter().position(|byte| *byte == 0).unwrap_or(found.rest.len());
                let other = String::from_utf8_lossy(&found.rest[..end]).into_owned();
                let library = usize::try_from(found.value).ok().and_then(|number| number.checked_sub(1));
                let library = library.and_then(|number| self.needed.get(number));
                let symbol = if other.is_empty() { format!("_{name}") } else { other };
                Kind::Forwarded(format!("{symbol} of {}", library.map_or("another library", String::as_str)))
            } else {
                match macho::ExportSymbolFlags(found.flags).kind() {
                    macho::EXPORT_SYMBOL_FLAGS_KIND_THREAD_LOCAL => Kind::ThreadLocal,
                    macho::EXPORT_SYMBOL_FLAGS_KIND_ABSOLUTE => Kind::Absolute,
                    _ => self.kind_at(found.value),
                }
            };
            exports.wanted.push(Export { name, address: found.value, kind });
        }
        exports.others = trie::count(table)?.saturating_sub(exports.wanted.len());
        Ok(exports)
    }

    fn needed(&self) -> Vec<String> {
        self.needed.clone()
    }

    fn bytes(&self, address: u64, length: u64) -> Result<&[u8], Damage> {
        let segment = self.segment(address).ok_or_else(|| "it lies outside of all segments".to_owned())?;
        let within = self.base + address - segment.address;
        match segment.length.checked_sub(within) {
            None | Some(0) => Err(no_bytes()),
            Some(available) if available < length => Err(too_few(available, length)),
            Some(_) => self
                .data
                .read_bytes_at(segment.offset + within, length)
                .map_err(|()| "it can not be read".to_owned()),
        }
    }

    fn is_relocated(&self, address: u64, length: u64) -> Result<bool, Damage> {
        if self.is_chained(address, length)? {
            return Ok(true);
        }
        let Some(info) = self.info else { return Ok(false) };
        let what = "the relocations";
        for (offset, size) in [
            (&info.rebase_off, &info.rebase_size),
            (&info.bind_off, &info.bind_size),
            (&info.weak_bind_off, &info.weak_bind_size),
        ] {
            self.table(what, offset.get(self.endian).into(), size.get(self.endian).into())?;
        }
        let rebases = info.rebases(self.endian, self.data, 8).map_err(damaged(what))?;
        let rebases =
            rebases.map(|place| place.map(|place| (place.segment_index as usize, place.segment_offset)));
        let binds = info.binds(self.endian, self.data, 8).map_err(damaged(what))?;
        let weak = info.weak_binds(self.endian, self.data, 8).map_err(damaged(what))?;
        let binds = binds
            .chain(weak)
            .map(|place| place.map(|place| (place.segment_index as usize, place.segment_offset)));
        Ok(self.any_touches(rebases, address, length)? || self.any_touches(binds, address, length)?)
    }
}
