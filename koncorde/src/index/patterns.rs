//! Regular expressions, and those of them that a text may match: by bytes that the text must contain.

use std::collections::HashMap;

use crate::hash::Numbers;
use crate::pattern::Pattern;

/// How many bytes an expression is found by: the most that its literals have.
const LENGTHS: [usize; 3] = [8, 5, 3];

#[derive(Debug, Default)]
pub(super) struct Patterns {
    by_bytes: HashMap<Bytes, Vec<u32>, Numbers>,
    /// How many entries there are of each length.
    lengths: [usize; LENGTHS.len()],
    /// One bit for each byte that an entry has begun with.
    beginnings: [u64; 4],
    /// Expressions that require too little.
    others: Vec<u32>,
}

/// Up to eight bytes, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bytes {
    bytes: u64,
    len: u32,
}

impl Patterns {
    pub(super) fn insert(&mut self, pattern: &Pattern, group: u32) {
        let required = required(pattern);
        if required.is_empty() {
            self.others.push(group);
        }
        for (bytes, first) in required {
            self.beginnings[usize::from(first >> 6)] |= 1 << (first & 63);
            let groups = self.by_bytes.entry(bytes).or_default();
            if groups.is_empty() {
                self.lengths[bytes.position()] += 1;
            }
            groups.push(group);
        }
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, group: u32) {
        fn take_out(groups: &mut Vec<u32>, group: u32) {
            if let Some(position) = groups.iter().position(|other| *other == group) {
                groups.swap_remove(position);
            }
        }
        let required = required(pattern);
        if required.is_empty() {
            take_out(&mut self.others, group);
        }
        for (bytes, _) in required {
            let Some(groups) = self.by_bytes.get_mut(&bytes) else { continue };
            take_out(groups, group);
            if groups.is_empty() {
                self.by_bytes.remove(&bytes);
                self.lengths[bytes.position()] -= 1;
            }
        }
        if self.by_bytes.is_empty() {
            self.beginnings = [0; 4];
        }
    }

    /// Each expression that the text may match, once.
    pub(super) fn for_each_candidate(&self, text: &str, mut found: impl FnMut(u32)) {
        self.others.iter().for_each(|group| found(*group));
        if self.by_bytes.is_empty() {
            return;
        }
        let mut candidates = Vec::new();
        let text = text.as_bytes();
        for (start, first) in text.iter().enumerate() {
            if self.beginnings[usize::from(first >> 6)] >> (first & 63) & 1 == 0 {
                continue;
            }
            for (len, entries) in LENGTHS.into_iter().zip(self.lengths) {
                let Some(bytes) = text.get(start..start + len).filter(|_| entries > 0) else { continue };
                if let Some(groups) = self.by_bytes.get(&Bytes::new(bytes)) {
                    candidates.extend_from_slice(groups);
                }
            }
            // A text may repeat itself.
            if candidates.len() > 4096 {
                candidates.sort_unstable();
                candidates.dedup();
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().for_each(found);
    }
}

impl Bytes {
    /// At most eight.
    fn new(bytes: &[u8]) -> Bytes {
        let packed = bytes.iter().fold(0, |packed, byte| packed << 8 | u64::from(*byte));
        Bytes { bytes: packed, len: bytes.len() as u32 }
    }

    fn position(self) -> usize {
        LENGTHS.iter().position(|len| *len == self.len as usize).unwrap_or_default()
    }
}

/// The last bytes of each required literal and the first of these bytes; nothing if a literal is too short.
fn required(pattern: &Pattern) -> Vec<(Bytes, u8)> {
    let literals = pattern.required().unwrap_or_default();
    let shortest = literals.iter().map(|literal| literal.len()).min().unwrap_or(0);
    let Some(len) = LENGTHS.into_iter().find(|len| *len <= shortest) else { return Vec::new() };
    let last = |literal: &[u8]| {
        let last = &literal[literal.len() - len..];
        (Bytes::new(last), last[0])
    };
    let mut required: Vec<(Bytes, u8)> = literals.iter().map(|literal| last(literal)).collect();
    required.sort_unstable();
    required.dedup();
    required
}
