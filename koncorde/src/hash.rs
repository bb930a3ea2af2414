//! A hash that can be continued: the hash of `a.b` follows from that of `a`. So a document's paths are hashed without
//! being written down.
//!
//! It is a polynomial over a prime field at a point drawn when the process starts: whoever does not know the point
//! cannot choose texts that collide.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

const PRIME: u64 = (1 << 61) - 1;

/// The point and its powers: `POWERS[n]` is its power `n + 1`.
static POWERS: LazyLock<[u64; 4]> = LazyLock::new(|| {
    let point = RandomState::new().hash_one("koncorde") % (PRIME - 1) + 1;
    let mut powers = [point; 4];
    for power in 1..4 {
        powers[power] = reduced(u128::from(powers[power - 1]) * u128::from(point));
    }
    powers
});

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
        let [point, second, third, fourth] = *POWERS;
        // Four bytes at once: the same polynomial, with less waiting for the step before.
        let (chunks, rest) = text.as_bytes().as_chunks::<4>();
        let hash = chunks.iter().fold(self.0, |hash, chunk| {
            let [a, b, c, d] = chunk.map(|byte| u128::from(byte) + 1);
            let low = a * u128::from(third) + b * u128::from(second) + c * u128::from(point) + d;
            reduced(u128::from(hash) * u128::from(fourth) + low)
        });
        Hash(
            rest.iter().fold(hash, |hash, byte| {
                reduced(u128::from(hash) * u128::from(point) + u128::from(*byte) + 1)
            }),
        )
    }

    #[must_use]
    pub(crate) fn with_number(self, number: u64) -> Hash {
        let [point, second, ..] = *POWERS;
        let (high, low) = (u128::from(number >> 32), u128::from(number & 0xffff_ffff));
        Hash(reduced(u128::from(self.0) * u128::from(second) + high * u128::from(point) + low))
    }

    /// All 64 bits depend on the text, as hash tables like it.
    pub(crate) fn spread(self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Modulo the prime, of less than 2^124.
fn reduced(number: u128) -> u64 {
    let folded = (number as u64 & PRIME) + (number >> 61) as u64;
    let folded = (folded & PRIME) + (folded >> 61);
    if folded >= PRIME { folded - PRIME } else { folded }
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
        NumbersHasher(POWERS[0])
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

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn continues_wherever_a_text_is_cut() {
        let text = "a.b.c and some more, \u{e9}";
        for (cut, _) in text.char_indices() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(Hash::of(head).with_text(tail), Hash::of(text), "{cut}");
        }
        assert_ne!(Hash::of("a.b"), Hash::of("a.c"));
        assert_ne!(Hash::of(""), Hash::of("\0"));
    }
}
