//! A hash that can be continued: the hash of `a.b` follows from that of `a`. So a document's paths are hashed without
//! being written down.
//!
//! It is a polynomial over a prime field at a point drawn when the process starts: whoever does not know the point
//! cannot choose texts that collide.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

const PRIME: u64 = (1 << 61) - 1;

static POINT: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("koncorde") % (PRIME - 1) + 1);

/// Odd, and of 64 bits.
static FACTOR: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("numbers") | 1 << 63 | 1);

/// A hash that more can be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const EMPTY: Hash = Hash(1);

    pub(crate) fn of(text: &str) -> Hash {
        Hash::EMPTY.with_text(text)
    }

    #[must_use]
    pub(crate) fn with_text(self, text: &str) -> Hash {
        let point = *POINT;
        text.bytes().fold(self, |hash, byte| hash.with(u64::from(byte) + 1, point))
    }

    #[must_use]
    pub(crate) fn with_number(self, number: u64) -> Hash {
        let point = *POINT;
        self.with(number >> 32, point).with(number & 0xffff_ffff, point)
    }

    /// All 64 bits depend on the text, as hash tables like it.
    pub(crate) fn spread(self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn with(self, term: u64, point: u64) -> Hash {
        let product = u128::from(self.0 + term) * u128::from(point);
        let folded = (product as u64 & PRIME) + (product >> 61) as u64;
        let folded = (folded & PRIME) + (folded >> 61);
        Hash(if folded >= PRIME { folded - PRIME } else { folded })
    }
}

/// Hashes numbers for tables of the standard library: multiplied by a number drawn when the process starts, which
/// nobody can choose numbers against.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers;

/// The hash of the numbers so far.
pub(crate) struct NumbersHasher(u64);

impl BuildHasher for Numbers {
    type Hasher = NumbersHasher;

    fn build_hasher(&self) -> NumbersHasher {
        NumbersHasher(*POINT)
    }
}

impl Hasher for NumbersHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * u128::from(*FACTOR);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}
