//! Intervals of numbers, and those of them that contain a number.
//!
//! Every interval stands at the longest binary prefix that its bounds, as sortable integers, have in common. Of the
//! intervals at a prefix of the number, those that begin below or end above it contain it: the two sides part at the
//! next bit. So a search looks at no more than 65 places, apart from what it finds, and nothing has to be balanced.

use std::collections::{BTreeSet, HashMap};

use crate::condition::Range;
use crate::hash::Numbers;

#[derive(Debug, Default)]
pub(super) struct Intervals {
    places: HashMap<Prefix, Place, Numbers>,
    /// How many places there are with prefixes of each length.
    lengths: Vec<u32>,
}

/// The first bits of an integer, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Prefix {
    bits: u64,
    len: u32,
}

#[derive(Debug, Default)]
struct Place {
    by_low: BTreeSet<(u64, u32)>,
    by_high: BTreeSet<(u64, u32)>,
}

impl Intervals {
    pub(super) fn insert(&mut self, range: Range, group: u32) {
        let (low, high) = (sortable(range.low), sortable(range.high));
        let prefix = Prefix::shared(low, high);
        let place = self.places.entry(prefix).or_default();
        if place.by_low.is_empty() {
            self.lengths.resize(65, 0);
            self.lengths[prefix.len as usize] += 1;
        }
        place.by_low.insert((low, group));
        place.by_high.insert((high, group));
    }

    pub(super) fn remove(&mut self, range: Range, group: u32) {
        let (low, high) = (sortable(range.low), sortable(range.high));
        let prefix = Prefix::shared(low, high);
        let Some(place) = self.places.get_mut(&prefix) else { return };
        place.by_low.remove(&(low, group));
        place.by_high.remove(&(high, group));
        if place.by_low.is_empty() {
            self.places.remove(&prefix);
            self.lengths[prefix.len as usize] -= 1;
        }
    }

    pub(super) fn for_each_containing(&self, number: f64, mut found: impl FnMut(u32)) {
        let number = sortable(number);
        for (len, places) in (0_u32..).zip(&self.lengths) {
            if *places == 0 {
                continue;
            }
            let Some(place) = self.places.get(&Prefix::of(number, len)) else { continue };
            if len == 64 || number << len >> 63 == 1 {
                place.by_high.range((number, 0)..).for_each(|(_, group)| found(*group));
            } else {
                place.by_low.range(..=(number, u32::MAX)).for_each(|(_, group)| found(*group));
            }
        }
    }
}

impl Prefix {
    fn of(number: u64, len: u32) -> Prefix {
        Prefix { bits: number.checked_shr(64 - len).unwrap_or(0), len }
    }

    fn shared(low: u64, high: u64) -> Prefix {
        Prefix::of(low, (low ^ high).leading_zeros())
    }
}

/// Integers in the order of the numbers. There is no negative zero.
fn sortable(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_exactly_the_intervals_around_a_number() {
        let bounds = [f64::NEG_INFINITY, -1e300, -2.5, -1.0, 0.0, 1e-300, 1.0, 2.0, 3.5, 1e17, f64::INFINITY];
        let mut ranges = Vec::new();
        for (position, &low) in bounds.iter().enumerate() {
            ranges.extend(bounds[position..].iter().map(|&high| Range { low, high }));
        }
        let mut intervals = Intervals::default();
        for (range, group) in ranges.iter().zip(0..) {
            intervals.insert(*range, group);
        }
        let check = |intervals: &Intervals, is_there: &dyn Fn(u32) -> bool| {
            for number in bounds.iter().flat_map(|bound| [bound - 0.25, *bound, bound + 0.25]) {
                let mut found = Vec::new();
                intervals.for_each_containing(number, |group| found.push(group));
                found.sort_unstable();
                let wanted: Vec<u32> = (0..)
                    .zip(&ranges)
                    .filter(|(group, range)| is_there(*group) && range.contains(number))
                    .map(|(group, _)| group)
                    .collect();
                assert_eq!(found, wanted, "{number}");
            }
        };
        check(&intervals, &|_| true);
        for (range, group) in ranges.iter().zip(0..).filter(|(_, group)| group % 3 == 0) {
            intervals.remove(*range, group);
        }
        check(&intervals, &|group| group % 3 != 0);
        for (range, group) in ranges.iter().zip(0..) {
            intervals.remove(*range, group);
        }
        assert!(intervals.places.is_empty());
    }
}
