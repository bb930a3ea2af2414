//! A shared library in PE (`.dll`, 64 bits), read as the loader of Windows reads it: by sections and
//! the export, import and relocation directories. Addresses are relative to the image (RVA).

use object::LittleEndian as LE;
use object::pe;
use object::read::ReadRef;
use object::read::pe::{ImageNtHeaders, RelocationBlockIterator};

use super::container::{
    Container, Damage, Export, Exports, Kind, MOST_NAME, MOST_NEEDED, MOST_TABLE, Wanted, damaged, no_bytes,
    overlap, too_few, touches,
};

/// An export table counts with 16 bits.
const MOST_EXPORTS: u32 = 1 << 16;
/// More sections than any linker makes.
const MOST_SECTIONS: usize = 4096;

/// A PE file with 64-bit words.
pub(super) struct Pe<'data, R: ReadRef<'data>> {
    data: R,
    headers: &'data pe::ImageNtHeaders64,
    directories: object::read::pe::DataDirectories<'data>,
    sections: Vec<Section>,
}

/// Where a section lies, in memory and in the file.
struct Section {
    start: u64,
    /// In memory; what the file does not have is zero.
    size: u64,
    offset: u64,
    /// In the file.
    length: u64,
    executable: bool,
}

/// The processor (`IMAGE_FILE_MACHINE_…`) and whether words have 64 bits.
///
/// # Errors
/// The headers are cut off, or none.
pub(super) fn machine<'data>(data: impl ReadRef<'data>) -> Result<(u16, bool), Damage> {
    let dos = pe::ImageDosHeader::parse(data).map_err(damaged("the DOS header"))?;
    let mut offset = u64::from(dos.nt_headers_offset());
    let cut_off = |()| "it ends before its PE header".to_owned();
    let signature: &object::U32<LE> = data.read(&mut offset).map_err(cut_off)?;
    if signature.get(LE) != pe::IMAGE_NT_SIGNATURE {
        return Err("its PE header does not begin with \"PE\"".to_owned());
    }
    let file: &pe::ImageFileHeader = data.read(&mut offset).map_err(cut_off)?;
    let magic: &object::U16<LE> = data.read(&mut offset).map_err(cut_off)?;
    let is_64 = magic.get(LE) == pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC;
    Ok((file.machine.get(LE).0, is_64))
}

impl<'data, R: ReadRef<'data>> Pe<'data, R> {
    /// Reads the headers.
    ///
    /// # Errors
    /// They are cut off, or contradict each other.
    pub(super) fn parse(data: R) -> Result<Self, Damage> {
        let size = data.len().map_err(|()| "its size can not be told".to_owned())?;
        let dos = pe::ImageDosHeader::parse(data).map_err(damaged("the DOS header"))?;
        let mut offset = u64::from(dos.nt_headers_offset());
        let (headers, directories) =
            pe::ImageNtHeaders64::parse(data, &mut offset).map_err(damaged("the PE header"))?;
        let table = headers.sections(data, offset).map_err(damaged("the section headers"))?;
        if table.len() > MOST_SECTIONS {
            return Err(format!("it has {} sections", table.len()));
        }
        let mut sections = Vec::with_capacity(table.len());
        for section in table.iter() {
            let field = |value: &object::U32<LE>| u64::from(value.get(LE));
            let (offset, length) = (field(&section.pointer_to_raw_data), field(&section.size_of_raw_data));
            if length > 0 && offset + length > size {
                return Err("a section reaches beyond the end of the file: it is cut off".to_owned());
            }
            // Zero: as large as in the file.
            let size = match field(&section.virtual_size) {
                0 => length,
                size => size,
            };
            let executable = section.characteristics.get(LE).0 & pe::IMAGE_SCN_MEM_EXECUTE.0 != 0;
            let start = field(&section.virtual_address);
            sections.push(Section { start, size, offset, length: length.min(size), executable });
        }
        if overlap(sections.iter().map(|section| (section.start, section.size))) {
            return Err("its sections overlap".to_owned());
        }
        Ok(Self { data, headers, directories, sections })
    }

    /// The section in which an address lies.
    fn section(&self, address: u64) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| address >= section.start && address - section.start < section.size)
    }

    fn data_at(&self, address: u64, length: u64) -> Result<&'data [u8], Damage> {
        let section = self.section(address).ok_or_else(|| "it lies outside of all sections".to_owned())?;
        let within = address - section.start;
        match section.length.checked_sub(within) {
            None | Some(0) => Err(no_bytes()),
            Some(available) if available < length => Err(too_few(available, length)),
            Some(_) => self
                .data
                .read_bytes_at(section.offset + within, length)
                .map_err(|()| "it can not be read".to_owned()),
        }
    }

    /// Everything from an address to the end of its section.
    fn rest(&self, address: u64, most: u64) -> Result<&'data [u8], Damage> {
        let available = self
            .section(address)
            .and_then(|section| section.length.checked_sub(address - section.start))
            .unwrap_or(0);
        self.data_at(address, available.clamp(1, most))
    }

    /// Where a directory is, if there is one.
    fn directory(&self, number: usize) -> Option<(u64, u64)> {
        let directory = self.directories.get(number)?;
        let (address, size) = directory.address_range();
        (address != 0 && size != 0).then_some((address.into(), size.into()))
    }

    /// The names that stand in a table of descriptors, which ends with one without a name.
    fn names<D: object::Pod>(&self, number: usize, name: impl Fn(&D) -> u32, names: &mut Vec<String>) {
        let Some((address, _)) = self.directory(number) else { return };
        let size = size_of::<D>() as u64;
        for index in 0..MOST_NEEDED as u64 {
            let Ok(bytes) = self.data_at(address + index * size, size) else { return };
            let Ok((descriptor, _)) = object::pod::from_bytes::<D>(bytes) else { return };
            let address = name(descriptor);
            if address == 0 || names.len() >= MOST_NEEDED {
                return;
            }
            let Ok(text) = self.rest(address.into(), MOST_NAME) else { continue };
            names.extend(text_of(text).map(|text| String::from_utf8_lossy(text).into_owned()));
        }
    }
}

/// What stands before the first NUL.
fn text_of(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().take(MOST_NAME as usize).position(|byte| *byte == 0).map(|end| &bytes[..end])
}

/// The section that holds the export directory, in which all of its tables lie.
struct ExportSection<'data> {
    bytes: &'data [u8],
    start: u64,
}

impl<'data> ExportSection<'data> {
    fn at(&self, address: u64) -> Option<&'data [u8]> {
        self.bytes.get(usize::try_from(address.checked_sub(self.start)?).ok()?..)
    }

    fn table<T: object::Pod>(&self, what: &str, address: u32, count: u32) -> Result<&'data [T], Damage> {
        let found = || object::pod::slice_from_bytes(self.at(address.into())?, count as usize).ok();
        match count {
            0 => Ok(&[]),
            _ => {
                found().map(|(table, _)| table).ok_or_else(|| format!("{what} lie outside of their section"))
            }
        }
    }
}

impl<'data, R: ReadRef<'data>> Container for Pe<'data, R> {
    fn kind(&self) -> Result<&'static str, &'static str> {
        let flags = self.headers.file_header().characteristics.get(LE).0;
        if flags & pe::IMAGE_FILE_DLL.0 == 0 {
            Err("a Windows program (PE)")
        } else {
            Ok("a PE shared library")
        }
    }

    fn exports(&self, wanted: Wanted) -> Result<Exports, Damage> {
        let mut exports = Exports::default();
        let Some((address, size)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_EXPORT) else {
            return Ok(exports);
        };
        let nowhere = |damage: Damage| format!("the export directory: {damage}");
        let start = self.section(address).map_or(address, |section| section.start);
        let tables = ExportSection { bytes: self.rest(start, MOST_TABLE).map_err(nowhere)?, start };
        let directory: &[pe::ImageExportDirectory] =
            object::pod::slice_from_bytes(tables.at(address).unwrap_or_default(), 1)
                .map_err(|()| "the export directory is cut off".to_owned())?
                .0;
        let directory = &directory[0];
        let [functions, names] =
            [&directory.number_of_functions, &directory.number_of_names].map(|count| count.get(LE));
        if functions.max(names) > MOST_EXPORTS {
            return Err("the export directory is unreasonably large".to_owned());
        }
        let places: &[object::U32<LE>] =
            tables.table("the addresses of exports", directory.address_of_functions.get(LE), functions)?;
        let texts: &[object::U32<LE>] =
            tables.table("the names of exports", directory.address_of_names.get(LE), names)?;
        let ordinals: &[object::U16<LE>] =
            tables.table("the ordinals of exports", directory.address_of_name_ordinals.get(LE), names)?;
        let mut previous: &[u8] = &[];
        for (text, ordinal) in texts.iter().zip(ordinals) {
            let text = tables.at(text.get(LE).into());
            let Some(name) = text.and_then(text_of) else {
                return Err("the name of an export lies outside of its section, or has no end".to_owned());
            };
            // Windows searches them by halves.
            if name <= previous && !previous.is_empty() {
                return Err("the names of its exports are not in order".to_owned());
            }
            previous = name;
            let Some(place) = places.get(usize::from(ordinal.get(LE))) else {
                return Err("an export has a number that does not exist".to_owned());
            };
            let place = u64::from(place.get(LE));
            // Zero: the number is not used.
            if place == 0 {
                continue;
            }
            let Some(name) = wanted.at(text.unwrap_or_default()) else {
                exports.others += 1;
                continue;
            };
            let kind = if place >= address && place - address < size {
                let target = tables.at(place).and_then(text_of).unwrap_or_default();
                Kind::Forwarded(String::from_utf8_lossy(target).into_owned())
            } else if self.section(place).is_some_and(|section| section.executable) {
                Kind::Function
            } else {
                Kind::Data
            };
            exports.wanted.push(Export { name, address: place, kind });
        }
        // Those that have a number only.
        let used = places.iter().filter(|place| place.get(LE) != 0).count();
        exports.others += used.saturating_sub(exports.others + exports.wanted.len());
        Ok(exports)
    }

    fn needed(&self) -> Vec<String> {
        let mut names = Vec::new();
        let import = |descriptor: &pe::ImageImportDescriptor| descriptor.name.get(LE);
        self.names(pe::IMAGE_DIRECTORY_ENTRY_IMPORT, import, &mut names);
        let delayed = |descriptor: &pe::ImageDelayloadDescriptor| descriptor.dll_name_rva.get(LE);
        self.names(pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, delayed, &mut names);
        names
    }

    fn bytes(&self, address: u64, length: u64) -> Result<&[u8], Damage> {
        self.data_at(address, length)
    }

    fn is_relocated(&self, address: u64, length: u64) -> Result<bool, Damage> {
        let Some((start, size)) = self.directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC) else {
            return Ok(false);
        };
        if size > MOST_TABLE {
            return Err("the relocations are unreasonably large".to_owned());
        }
        let bytes = self.data_at(start, size).map_err(|damage| format!("the relocations: {damage}"))?;
        for block in RelocationBlockIterator::new(bytes) {
            let mut block = block.map_err(damaged("the relocations"))?;
            let is_within = |relocation: object::read::pe::Relocation| {
                relocation.typ != pe::IMAGE_REL_BASED_ABSOLUTE
                    && touches(relocation.virtual_address.into(), address, length)
            };
            if block.any(is_within) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
