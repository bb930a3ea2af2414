//! What a file is by its first bytes, and the parts of a universal file.

use object::macho::{FatArch32, FatArch64, FatHeader};
use object::read::ReadRef;
use object::read::macho::FatArch;

use super::container::Damage;
use crate::installation::target::Architecture;

/// More parts than any universal file has. (A Java class begins with the same bytes, and the number of
/// its version, which is larger.)
const MOST_PARTS: u32 = 32;

/// What a file is.
pub(super) enum Magic {
    Elf(Architecture),
    Pe,
    MachO(Architecture),
    /// Several Mach-O files in one, with their places in 32 or 64 bits.
    Universal {
        is_64: bool,
    },
    /// No library of any platform.
    Other(&'static str),
    /// Nothing that is known.
    Nothing(&'static str),
}

/// What a file is that begins so; 64 bytes are enough.
pub(super) fn of(head: &[u8]) -> Magic {
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
            Magic::Elf(Architecture::of_elf(machine, *class == 2, is_little_endian))
        }
        [0x7f, b'E', b'L', b'F', ..] => Magic::Nothing("it ends within its header"),
        [b'M', b'Z', ..] => Magic::Pe,
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] => mach(head, false),
        [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => mach(head, true),
        [0xca, 0xfe, 0xba, last @ (0xbe | 0xbf), ..] => Magic::Universal { is_64: *last == 0xbf },
        [0, b'a', b's', b'm', ..] => Magic::Other("a WebAssembly module"),
        _ => Magic::Nothing("its first bytes are those of no library"),
    }
}

fn mach(head: &[u8], is_little_endian: bool) -> Magic {
    let number = |at: usize| {
        let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
        Some(if is_little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    // Cut off: zeros, and whoever reads on says so.
    let (kind, subkind) = (number(4).unwrap_or(0), number(8).unwrap_or(0));
    Magic::MachO(Architecture::of_mach(kind, subkind, is_little_endian))
}

/// A part of a universal file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) architecture: Architecture,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The parts of a universal file, which are not looked into.
///
/// # Errors
/// The list of parts is cut off or unreasonable.
pub(super) fn parts<'data, R: ReadRef<'data>>(data: R, is_64: bool) -> Result<Vec<Part>, Damage> {
    if is_64 { parts_of::<FatArch64, R>(data) } else { parts_of::<FatArch32, R>(data) }
}

fn parts_of<'data, A: FatArch + 'data, R: ReadRef<'data>>(data: R) -> Result<Vec<Part>, Damage> {
    let cut_off = |()| "it ends within its list of parts".to_owned();
    let mut offset = 0;
    let header: &FatHeader = data.read(&mut offset).map_err(cut_off)?;
    let count = header.nfat_arch.get(object::BigEndian);
    if count > MOST_PARTS {
        return Err(format!("it has {count} parts"));
    }
    let parts: &[A] = data.read_slice(&mut offset, count as usize).map_err(cut_off)?;
    let part = |part: &A| {
        let (offset, size) = part.file_range();
        // Only old processors, which no platform of ours has, begin with the highest byte.
        let architecture = Architecture::of_mach(part.cputype().0, part.cpusubtype().0, true);
        Part { architecture, offset, size }
    };
    Ok(parts.iter().map(part).collect())
}
