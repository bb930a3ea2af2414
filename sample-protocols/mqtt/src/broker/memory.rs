//! How much the broker keeps, of all clients together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that are kept. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    used: AtomicUsize,
    max: usize,
}

impl Memory {
    /// With so many bytes to use.
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Counter { used: AtomicUsize::new(0), max }))
    }

    pub(super) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes that are not used.
    pub(crate) fn left(&self) -> usize {
        self.0.max.saturating_sub(self.used())
    }

    /// Whether somebody who holds `own` bytes may take `cost` more. The less is left, the less may one
    /// hold, and that falls faster than what is left: when `n` have taken all they could get, about
    /// `1 / sqrt(2 * n)` of the whole is still there for others who want less.
    pub(crate) fn has_room(&self, own: usize, cost: usize) -> bool {
        let (wanted, left, max) = (own.saturating_add(cost) as u128, self.left() as u128, self.0.max as u128);
        // Not more than left * (left / max)^2.
        wanted.saturating_mul(max * max) <= left * left * left
    }

    /// Whether somebody who is new may take so many bytes: as if an 8192nd part of the whole were held
    /// already. So the last 5 % are for those who are here already and hold less than that.
    pub(crate) fn has_room_for_another(&self, cost: usize) -> bool {
        self.has_room(self.0.max / 8192, cost)
    }

    /// Counts so many bytes as long as the result lives.
    pub(crate) fn keep(&self, bytes: usize) -> Kept {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Kept { memory: self.clone(), bytes }
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    memory: Memory,
    bytes: usize,
}

impl Kept {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// As many bytes once more.
    pub(crate) fn another(&self) -> Self {
        self.memory.keep(self.bytes)
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.memory.0.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    pub(crate) fn sub(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "more is given back than was taken");
        let bytes = bytes.min(self.bytes);
        self.memory.0.used.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.add(bytes - self.bytes);
        } else if bytes < self.bytes {
            self.sub(self.bytes - bytes);
        }
    }

    /// Moves so many bytes to somebody else.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        debug_assert!(bytes <= self.bytes, "more is given away than was taken");
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { memory: self.memory.clone(), bytes }
    }

    /// Takes over what another one counts.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.memory.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_lives() {
        let memory = Memory::new(100);
        let mut kept = memory.keep(10);
        kept.add(20);
        kept.sub(5);
        let mut other = kept.split(15);
        assert_eq!((memory.left(), kept.bytes(), other.bytes()), (75, 10, 15));
        other.absorb(kept);
        assert_eq!(memory.left(), 75);
        other.set(40);
        assert_eq!(memory.left(), 60);
        drop(other);
        assert_eq!(memory.left(), 100);
    }

    #[test]
    fn those_who_take_all_they_get_leave_something_to_others() {
        const MAX: usize = 1 << 26;
        let memory = Memory::new(MAX);
        let mut takers = Vec::new();
        for number in 1..=1000 {
            let mut taker = memory.keep(0);
            while memory.has_room(taker.bytes(), 64) {
                taker.add(64);
            }
            takers.push(taker);
            if [1, 10, 100, 1000].contains(&number) {
                let expected = MAX as f64 / f64::from(2 * number + 1).sqrt();
                let left = memory.left() as f64;
                assert!((0.9..1.2).contains(&(left / expected)), "{number}: {left} {expected}");
            }
        }
    }

    #[test]
    fn all_of_it_can_be_used_by_those_who_want_little() {
        let memory = Memory::new(1 << 28);
        let takers: Vec<Kept> =
            std::iter::from_fn(|| memory.has_room(0, 1000).then(|| memory.keep(1000))).collect();
        assert!(takers.len() > 260_000, "{}", takers.len());
        assert!(memory.has_room(0, 100) && !memory.has_room(1000, 100));
    }
}
