//! The export trie of Mach-O: which names a library exports, walked as the dynamic loader walks it.
//!
//! A node is: the size of what is exported there as ULEB128, that, the number of children in a byte,
//! and for each child the text that leads there with its NUL and its offset as ULEB128.

use super::container::{Damage, MOST_NAME};

/// An exported symbol, as its node tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'data> {
    /// `EXPORT_SYMBOL_FLAGS_…`.
    pub(super) flags: u64,
    /// The address, relative to the image; for a symbol of another library its number.
    pub(super) value: u64,
    /// What follows: for a symbol of another library its name there.
    pub(super) rest: &'data [u8],
}

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
struct Reader<'data>(&'data [u8]);

fn cut_off<T>(value: Option<T>) -> Result<T, Damage> {
    value.ok_or_else(|| "the list of exports is damaged".to_owned())
}

impl<'data> Reader<'data> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // Bits that have no place.
            if bits.checked_shl(shift).map(|moved| moved >> shift) != Some(bits) {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'data [u8]> {
        let end = self.0.iter().take(MOST_NAME as usize).position(|byte| *byte == 0)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(text)
    }

    fn take(&mut self, length: u64) -> Option<&'data [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

/// What a node exports, and a reader of its children with their number.
fn node(trie: &[u8], offset: u64) -> Option<(&[u8], u8, Reader<'_>)> {
    let mut reader = Reader(trie.get(usize::try_from(offset).ok()?..)?);
    let size = reader.number()?;
    let exported = reader.take(size)?;
    let children = reader.byte()?;
    Some((exported, children, reader))
}

/// Looks a name up.
///
/// # Errors
/// The trie is damaged on the way.
pub(super) fn find<'data>(trie: &'data [u8], name: &[u8]) -> Result<Option<Found<'data>>, Damage> {
    let (mut offset, mut left) = (0, name);
    if trie.is_empty() {
        return Ok(None);
    }
    'nodes: loop {
        let (exported, children, mut reader) = cut_off(node(trie, offset))?;
        if left.is_empty() {
            return if exported.is_empty() { Ok(None) } else { cut_off(found(exported)).map(Some) };
        }
        for _ in 0..children {
            let (text, child) = (cut_off(reader.text())?, cut_off(reader.number())?);
            // A text without letters would lead round in circles.
            if let Some(rest) = left.strip_prefix(text).filter(|_| !text.is_empty()) {
                (offset, left) = (child, rest);
                continue 'nodes;
            }
        }
        return Ok(None);
    }
}

fn found(exported: &[u8]) -> Option<Found<'_>> {
    let mut reader = Reader(exported);
    let (flags, value) = (reader.number()?, reader.number()?);
    Some(Found { flags, value, rest: reader.0 })
}

/// How many names there are.
///
/// # Errors
/// The trie is damaged, or nodes have several parents or lead back to themselves.
pub(super) fn count(trie: &[u8]) -> Result<usize, Damage> {
    if trie.is_empty() {
        return Ok(0);
    }
    let mut count = 0;
    // Nodes do not share bytes: more than there are mean that some are read again.
    let mut bytes_left = trie.len();
    let mut offsets = vec![0];
    while let Some(offset) = offsets.pop() {
        let (exported, children, mut reader) = cut_off(node(trie, offset))?;
        count += usize::from(!exported.is_empty());
        for _ in 0..children {
            cut_off(reader.text())?;
            offsets.push(cut_off(reader.number())?);
        }
        // It could be read, so the offset is one.
        let read = trie.len() - offset as usize - reader.0.len();
        bytes_left = cut_off(bytes_left.checked_sub(read))?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `_a` at 5, `_ab` is a symbol `x` of the library 2.
    const TRIE: &[u8] = &[
        0, 1, b'_', b'a', 0, 6, // the root
        2, 0, 5, 1, b'b', 0, 13, // `_a`
        4, 8, 2, b'x', 0, 0, // `_ab`
    ];

    #[test]
    fn finds_names_and_counts_them() {
        assert_eq!(find(TRIE, b"_a"), Ok(Some(Found { flags: 0, value: 5, rest: &[] })));
        assert_eq!(find(TRIE, b"_ab"), Ok(Some(Found { flags: 8, value: 2, rest: b"x\0" })));
        for absent in [&b""[..], b"_", b"a", b"_b", b"_abc"] {
            assert_eq!(find(TRIE, absent), Ok(None), "{absent:?}");
        }
        assert_eq!(count(TRIE), Ok(2));
        assert_eq!((find(&[], b"_a"), count(&[])), (Ok(None), Ok(0)));
    }

    #[test]
    fn answers_for_every_damaged_trie() {
        for length in 0..TRIE.len() {
            for at in 0..length {
                for value in 0..=255 {
                    let mut trie = TRIE[..length].to_vec();
                    trie[at] = value;
                    let _ = (find(&trie, b"_ab"), count(&trie));
                }
            }
        }
    }

    #[test]
    fn a_trie_that_leads_back_or_spreads_without_end_is_damaged() {
        assert!(find(&[0, 1, 0, 0], b"_a") == Ok(None) && count(&[0, 1, 0, 0]).is_err());
        let circle = [0, 1, b'a', 0, 0];
        assert_eq!(find(&circle, &[b'a'; 100]), Ok(None));
        assert!(count(&circle).is_err());
        // Every node has two children, which are the same one.
        let mut spreading = Vec::new();
        for node in 1..100_u8 {
            spreading.extend([0, 2, b'a', 0, node, b'b', 0, node]);
        }
        assert!(count(&spreading).is_err());
        // Texts that never end, read again and again.
        let mut endless = vec![0, 255];
        for child in 0..255_u8 {
            endless.extend([b'a', 0, 0x80 | child, 0x8f, 0x01]);
        }
        endless.resize(32 << 20, 1);
        let start = std::time::Instant::now();
        assert!(count(&endless).is_err() && find(&endless, b"ab").is_err());
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
        // A number of more than 64 bits.
        assert!(count(&[0xff; 32]).is_err());
    }
}
