//! The note, from which a host reads ABI version and layout without running any code: section 7 of
//! the header. How it is written into a Rust protocol, and how a host reads and judges it.

use std::fmt;

use super::*;

/// First bytes of every note.
pub const MAGIC: [u8; 8] = *b"KZPROTO1";
/// Bytes before the table.
pub const HEADER_SIZE: usize = 28;
/// Flag: built by the Rust SDK.
pub const FLAG_RUST_SDK: u32 = 1;
/// Flag: compiled with `panic=abort`, so panics cannot be contained.
pub const FLAG_PANIC_ABORT: u32 = 2;
/// Flag: compiled with debug assertions.
pub const FLAG_DEBUG: u32 = 4;

/// The fixed part of a note.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NoteHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// ABI major.
    pub major: u16,
    /// ABI minor.
    pub minor: u16,
    /// Bytes of the whole note, strings with their NUL included.
    pub note_size: u32,
    /// `FLAG_…`.
    pub flags: u32,
    /// Bytes of a pointer.
    pub pointer_size: u16,
    /// Entries of the table.
    pub table_len: u16,
    /// Bytes of the toolchain string with its NUL.
    pub toolchain_len: u16,
    /// Bytes of the SDK string with its NUL.
    pub sdk_len: u16,
}

macro_rules! layout_table {
    ($($name:ident { $($field:ident),* })*) => {
        /// Names of the table's entries: `type` for a size, `type.field` for an offset.
        pub const LAYOUT_NAMES: [&str; LAYOUT_LEN] =
            [$(stringify!($name), $(concat!(stringify!($name), ".", stringify!($field)),)*)*];
        /// How many entries the table of this minor version has.
        pub const LAYOUT_LEN: usize = [$(stringify!($name), $(stringify!($field),)*)*].len();
        /// Sizes and offsets as this compiler sees them: append-only, positional.
        pub const LAYOUT: [u16; LAYOUT_LEN] = [
            $(size_of::<$name>() as u16, $(core::mem::offset_of!($name, $field) as u16,)*)*
        ];
    };
}

layout_table! {
    kuzzle_str { ptr, len }
    kuzzle_buf_ops { retain, release }
    kuzzle_buf { data, len, owner, ops }
    kuzzle_header { name, value }
    kuzzle_completion { function, context }
    kuzzle_error { struct_size, code, message, request_id, owner, release }
    kuzzle_connection_info { struct_size, label, ips, ips_len, headers, headers_len, url, verb }
    kuzzle_request { struct_size, connection, parts, parts_len, label, headers, headers_len, method, url }
    kuzzle_response { struct_size, status, raw, request_id, headers, headers_len, parts, parts_len }
    kuzzle_broadcast { struct_size, channels, channels_len, parts, parts_len }
    kuzzle_notification { struct_size, connection, channels, channels_len, parts, parts_len }
    kuzzle_disconnect { struct_size, reason, connection, message }
    kuzzle_error_info { struct_size, code, status, id, error_class, message }
    kuzzle_entry_point {
        new_connection, remove_connection, execute, log_access, is_shutting_down, report_listener, config,
        suggested_worker_threads
    }
    kuzzle_context {
        host_version, kuzzle_version, node_id, log, log_enabled, option_i64, option_bool, option_string,
        error_count, error_at, error_by_id, uuid, get_extension
    }
}

/// This SDK, as notes name it.
pub const SDK: &str = concat!("kuzzle-protocol-abi ", env!("CARGO_PKG_VERSION"));
/// The compiler that built this SDK, as notes name it.
pub const TOOLCHAIN: &str = env!("KUZZLE_SDK_TOOLCHAIN");

/// A note as a constant: no pointers, so no relocations. `STRINGS` is the length of both strings
/// with their NUL, see [`strings_len`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Note<const STRINGS: usize> {
    header: NoteHeader,
    table: [u16; LAYOUT_LEN],
    strings: [u8; STRINGS],
}

/// Bytes of both strings of a note with their NUL.
pub const fn strings_len(toolchain: &str, sdk: &str) -> usize {
    toolchain.len() + sdk.len() + 2
}

impl<const STRINGS: usize> Note<STRINGS> {
    /// The note of a protocol that is compiled with this crate; `flags` are `FLAG_…`.
    ///
    /// # Panics
    /// At compile time, if `STRINGS` is not [`strings_len`] of the two strings or one of them is
    /// longer than 255 bytes.
    pub const fn new(toolchain: &str, sdk: &str, flags: u32) -> Self {
        assert!(STRINGS == strings_len(toolchain, sdk), "STRINGS is strings_len of both strings");
        assert!(toolchain.len() <= 255 && sdk.len() <= 255, "a string of a note has at most 255 bytes");
        let mut strings = [0; STRINGS];
        let mut at = 0;
        while at < toolchain.len() {
            strings[at] = toolchain.as_bytes()[at];
            at += 1;
        }
        let start = at + 1;
        at = 0;
        while at < sdk.len() {
            strings[start + at] = sdk.as_bytes()[at];
            at += 1;
        }
        Self {
            header: NoteHeader {
                magic: MAGIC,
                major: KUZZLE_ABI_MAJOR,
                minor: KUZZLE_ABI_MINOR,
                note_size: (HEADER_SIZE + 2 * LAYOUT_LEN + STRINGS) as u32,
                flags,
                pointer_size: size_of::<usize>() as u16,
                table_len: LAYOUT_LEN as u16,
                toolchain_len: toolchain.len() as u16 + 1,
                sdk_len: sdk.len() as u16 + 1,
            },
            table: LAYOUT,
            strings,
        }
    }

    /// The note's bytes as they lie in a library: `note_size` of them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = &self.header;
        let mut bytes = Vec::with_capacity(header.note_size as usize);
        bytes.extend_from_slice(&header.magic);
        bytes.extend_from_slice(&header.major.to_ne_bytes());
        bytes.extend_from_slice(&header.minor.to_ne_bytes());
        bytes.extend_from_slice(&header.note_size.to_ne_bytes());
        bytes.extend_from_slice(&header.flags.to_ne_bytes());
        for value in [header.pointer_size, header.table_len, header.toolchain_len, header.sdk_len]
            .iter()
            .chain(&self.table)
        {
            bytes.extend_from_slice(&value.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// A note as read from a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteView {
    /// ABI major.
    pub major: u16,
    /// ABI minor.
    pub minor: u16,
    /// `FLAG_…`.
    pub flags: u32,
    /// Bytes of a pointer.
    pub pointer_size: u16,
    /// Sizes and offsets, in the order of [`LAYOUT_NAMES`].
    pub table: Vec<u16>,
    /// The author's compiler; safe to print.
    pub toolchain: String,
    /// The author's SDK or header; safe to print.
    pub sdk: String,
}

/// Why bytes are not a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Shorter than the fixed part, or than `note_size` says.
    #[error("it has {found} bytes, a note here needs {needed}")]
    TooShort {
        /// Bytes that a note would have.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// It does not begin with [`MAGIC`].
    #[error("it does not begin with \"KZPROTO1\"")]
    Magic,
    /// `note_size` is not the sum of the parts.
    #[error("it claims {claimed} bytes, but its parts add up to {parts}")]
    Size {
        /// `note_size`.
        claimed: usize,
        /// What the lengths of table and strings add up to.
        parts: usize,
    },
    /// A string does not end with its only NUL.
    #[error("its {0} string does not end with its only NUL")]
    Unterminated(&'static str),
}

/// Reads the note of a library for this machine, at the beginning of `bytes`; what follows it is
/// ignored. A note of a higher minor may be longer than its known parts.
///
/// # Errors
/// [`NoteError`]: these bytes are not a note.
pub fn parse(bytes: &[u8]) -> Result<NoteView, NoteError> {
    parse_of(bytes, cfg!(target_endian = "little"))
}

/// Reads the note of a library for a machine whose numbers begin with their lowest byte, or not.
///
/// # Errors
/// [`NoteError`]: these bytes are not a note.
pub fn parse_of(bytes: &[u8], is_little_endian: bool) -> Result<NoteView, NoteError> {
    let too_short = |needed| NoteError::TooShort { needed, found: bytes.len() };
    if bytes.len() < HEADER_SIZE {
        return Err(too_short(HEADER_SIZE));
    }
    if bytes[..8] != MAGIC {
        return Err(NoteError::Magic);
    }
    let u16_at = |at: usize| {
        let number = [bytes[at], bytes[at + 1]];
        if is_little_endian { u16::from_le_bytes(number) } else { u16::from_be_bytes(number) }
    };
    let u32_at = |at: usize| {
        let number = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if is_little_endian { u32::from_le_bytes(number) } else { u32::from_be_bytes(number) }
    };
    let (major, minor) = (u16_at(8), u16_at(10));
    let claimed = u32_at(12) as usize;
    let [table_len, toolchain_len, sdk_len] = [22, 24, 26].map(|at| usize::from(u16_at(at)));
    let parts = HEADER_SIZE + 2 * table_len + toolchain_len + sdk_len;
    let known = major == KUZZLE_ABI_MAJOR && usize::from(minor) < RELEASED.len();
    if claimed < parts || (known && claimed != parts) {
        return Err(NoteError::Size { claimed, parts });
    }
    if bytes.len() < claimed {
        return Err(too_short(claimed));
    }
    let strings = HEADER_SIZE + 2 * table_len;
    let table = (HEADER_SIZE..strings).step_by(2).map(u16_at).collect();
    let string = |start: usize, len: usize, name| match bytes[start..start + len].split_last() {
        Some((0, text)) if !text.contains(&0) => Ok(printable(text)),
        _ => Err(NoteError::Unterminated(name)),
    };
    Ok(NoteView {
        major,
        minor,
        flags: u32_at(16),
        pointer_size: u16_at(20),
        table,
        toolchain: string(strings, toolchain_len, "toolchain")?,
        sdk: string(strings + toolchain_len, sdk_len, "SDK")?,
    })
}

/// Foreign text for a terminal: no control characters, no bytes that are not UTF-8.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let (plain, code) = if escaped { (None, Some(c.escape_unicode())) } else { (Some(c), None) };
            plain.into_iter().chain(code.into_iter().flatten())
        })
        .collect()
}

/// What a [`Mismatch`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MismatchKind {
    /// `sizeof` a struct, bytes.
    Size,
    /// `offsetof` a field, bytes.
    Offset,
    /// Bytes of a pointer.
    PointerSize,
    /// Entries of the table.
    TableLength,
    /// The ABI's minor: this host has no table for it.
    Minor,
}

/// A difference between a note and what its ABI version demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What about the struct or field differs.
    pub kind: MismatchKind,
    /// `kuzzle_header`, `kuzzle_header.value`, `pointer_size`, `table_len` or `minor`.
    pub name: String,
    /// What the ABI demands.
    pub expected: u16,
    /// What the note says.
    pub found: u16,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, expected, found, .. } = self;
        let what = match self.kind {
            MismatchKind::Size => "size ",
            MismatchKind::Offset => "offset ",
            MismatchKind::PointerSize | MismatchKind::TableLength => "",
            MismatchKind::Minor => "at most ",
        };
        write!(f, "{name}: expected {what}{expected}, found {found}")
    }
}

/// The released tables, for each minor: 64-bit, 32-bit. Literals, written at release.
const RELEASED: [[&str; 2]; 1] =
    [[include_str!("../../history/1.0/layout-64.txt"), include_str!("../../history/1.0/layout-32.txt")]];

/// The table that a note of this minor must have, as names and values; `None` if there is none.
pub fn expected_table(minor: u16, pointer_size: u16) -> Option<impl Iterator<Item = (&'static str, u16)>> {
    let of_minor = RELEASED.get(usize::from(minor))?;
    let text = match pointer_size {
        8 => of_minor[0],
        4 => of_minor[1],
        _ => return None,
    };
    Some(text.lines().map(|line| {
        let (name, value) = line.split_once(' ').expect("a released table has a name and a value a line");
        (name, value.parse().expect("a released table's values are numbers"))
    }))
}

/// Compares a note with the table of its own minor, field by field. The ABI's major is for the
/// caller to compare first: a note of another one says nothing about these structs.
///
/// # Errors
/// Every difference, in the order of the table.
pub fn compare(note: &NoteView) -> Result<(), Vec<Mismatch>> {
    compare_of(note, size_of::<usize>() as u16)
}

/// Compares a note like [`compare`], for a machine whose pointers have `pointer_size` bytes.
///
/// # Errors
/// Every difference, in the order of the table.
pub fn compare_of(note: &NoteView, pointer_size: u16) -> Result<(), Vec<Mismatch>> {
    let mut found = Vec::new();
    let mut push = |kind, name: &str, expected, found_value| {
        if expected != found_value {
            found.push(Mismatch { kind, name: name.to_owned(), expected, found: found_value });
        }
    };
    push(MismatchKind::PointerSize, "pointer_size", pointer_size, note.pointer_size);
    if note.minor > KUZZLE_ABI_MINOR {
        push(MismatchKind::Minor, "minor", KUZZLE_ABI_MINOR, note.minor);
    } else if let Some(expected) = expected_table(note.minor, note.pointer_size) {
        let expected: Vec<_> = expected.collect();
        push(MismatchKind::TableLength, "table_len", expected.len() as u16, note.table.len() as u16);
        for ((name, value), found_value) in expected.into_iter().zip(&note.table) {
            let kind = if name.contains('.') { MismatchKind::Offset } else { MismatchKind::Size };
            push(kind, name, value, *found_value);
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}
