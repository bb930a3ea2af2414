//! Filters that are found by the same condition.

use std::ops::{Index, IndexMut};

use crate::condition::{Condition, Literal};
use crate::geo::point::Point;
use crate::scalar::Scalar;
use crate::scope::Scope;

/// The filters of one condition.
#[derive(Debug)]
pub(super) struct Group {
    /// Nothing: always.
    pub(super) literal: Option<Literal>,
    /// The field that it is about.
    pub(super) field: Option<u32>,
    /// Where it stands in a list of its field, if that has one for its kind.
    pub(super) position: u32,
    pub(super) postings: Vec<Posting>,
}

/// A filter in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    pub(super) slot: u32,
    /// Which of the filter's keys this is.
    pub(super) key: u32,
}

impl Group {
    /// What the field is compared with.
    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match self.condition()? {
            Condition::Equals(_, scalar) | Condition::Contains(_, scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(super) fn holds(&self, scope: Scope<'_>) -> bool {
        self.literal.as_ref().is_none_or(|literal| literal.holds(scope))
    }

    pub(super) fn matches_text(&self, text: &str) -> bool {
        matches!(self.condition(), Some(Condition::Regexp(_, pattern)) if pattern.is_match(text))
    }

    pub(super) fn contains(&self, point: Point) -> bool {
        matches!(self.condition(), Some(Condition::Within(_, area)) if area.contains(point))
    }

    fn condition(&self) -> Option<&Condition> {
        self.literal.as_ref().map(|literal| &*literal.condition)
    }
}

/// All groups, by numbers that are used again.
pub(super) type Groups = Slab<Group>;

/// Values by numbers that are used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab { values: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.values[number as usize] = Some(value);
                number
            }
            None => {
                self.values.push(Some(value));
                u32::try_from(self.values.len() - 1).expect("fewer than 2^32 values fit into the memory")
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> T {
        self.free.push(number);
        self.values[number as usize].take().expect("the number is in use")
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.values[number as usize].as_ref().expect("the number is in use")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.values[number as usize].as_mut().expect("the number is in use")
    }
}
