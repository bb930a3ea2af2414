//! What the three formats of shared libraries have in common: exports at addresses, and bytes there.

/// The largest table that is read, in bytes: symbols, strings, hashes, relocations.
pub(super) const MOST_TABLE: u64 = 128 << 20;
/// The most needed libraries that are told.
pub(super) const MOST_NEEDED: usize = 4096;
/// The longest name of a symbol or a library, in bytes.
pub(super) const MOST_NAME: u64 = 4096;

/// What is wrong with the file, in words.
pub(super) type Damage = String;

/// A symbol that the library defines for others.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) name: &'static str,
    /// Where it is, as the format counts addresses.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// It is another library's, which is told in words.
    Forwarded(String),
    /// A number, not a place.
    Absolute,
}

/// Functions to look for, and the note.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted(pub(super) &'static [&'static str]);

impl Wanted {
    /// The name that stands at the beginning of a table's text and ends there with a NUL.
    pub(super) fn at(self, text: &[u8]) -> Option<&'static str> {
        let is_named =
            |name: &&&str| text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
        self.0.iter().find(is_named).copied()
    }
}

/// A library in one of the formats.
pub(super) trait Container {
    /// What it is, if it is a shared library.
    ///
    /// # Errors
    /// What it is else.
    fn kind(&self) -> Result<&'static str, &'static str>;

    /// What the library defines for others, with those of the names `wanted` that are among it.
    ///
    /// Only these names are compared, each once a symbol: neither the number of symbols nor the
    /// length of their names costs more than reading the tables.
    ///
    /// # Errors
    /// The tables contradict each other.
    fn exports(&self, wanted: Wanted) -> Result<Exports, Damage>;

    /// The names of the libraries that it needs.
    fn needed(&self) -> Vec<String>;

    /// The newest version of glibc that it needs something of.
    fn needed_libc(&self) -> Option<(u32, u32)> {
        None
    }

    /// Bytes from an address on.
    ///
    /// # Errors
    /// The file does not have them.
    fn bytes(&self, address: u64, length: u64) -> Result<&[u8], Damage>;

    /// Whether the loader would write into a range of addresses.
    ///
    /// # Errors
    /// The relocations can not be read.
    fn is_relocated(&self, address: u64, length: u64) -> Result<bool, Damage>;
}

/// Whether something of at most 16 bytes, which the loader writes at `place`, touches a range.
pub(super) fn touches(place: u64, address: u64, length: u64) -> bool {
    place < address.saturating_add(length) && place.saturating_add(16) > address
}

/// Whether two of the ranges, each a start and a length, have an address in common: then what lies
/// there depends on who loads it.
pub(super) fn overlap(ranges: impl Iterator<Item = (u64, u64)>) -> bool {
    let mut ranges: Vec<_> = ranges.filter(|(_, length)| *length > 0).collect();
    ranges.sort_unstable();
    ranges.windows(2).any(|pair| pair[0].0.checked_add(pair[0].1).is_none_or(|end| end > pair[1].0))
}

/// Why a place has no bytes.
pub(super) fn no_bytes() -> Damage {
    "it lies where the file has no bytes (in bss)".to_owned()
}

/// Why a place has too few bytes.
pub(super) fn too_few(available: u64, needed: u64) -> Damage {
    format!("the file has {available} bytes there, {needed} are needed")
}

/// Turns an error of the reader into words.
pub(super) fn damaged(what: &str) -> impl FnOnce(object::Error) -> Damage + '_ {
    move |error| format!("{what}: {error}")
}
