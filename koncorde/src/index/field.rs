//! The conditions on one field that filters are found by, and those of them that a value satisfies.

use hashbrown::HashTable;
use rstar::primitives::{GeomWithData, Rectangle as Envelope};
use rstar::{AABB, RTree};

use super::group::{Group, Groups};
use super::intervals::Intervals;
use super::patterns::Patterns;
use crate::condition::{Condition, Literal, Place, place_of};
use crate::geo::area::Area;
use crate::json::{Form, Value};
use crate::path::Path;
use crate::scalar::{self, Scalar};
use crate::scope::Scope;

/// The groups of one field. What is seldom used is in a box.
#[derive(Debug)]
pub(super) struct FieldIndex {
    pub(super) path: Path,
    len: usize,
    equals: HashTable<u32>,
    contains: HashTable<u32>,
    exists: Option<u32>,
    intervals: Option<Box<Intervals>>,
    patterns: Option<Box<Patterns>>,
    areas: Option<Box<RTree<Spot>>>,
    selects: Vec<u32>,
    negations: Vec<u32>,
}

/// A part of the bounds of an area, and its group.
type Spot = GeomWithData<Envelope<[f64; 2]>, u32>;

impl FieldIndex {
    pub(super) fn new(path: Path) -> FieldIndex {
        FieldIndex {
            path,
            len: 0,
            equals: HashTable::new(),
            contains: HashTable::new(),
            exists: None,
            intervals: None,
            patterns: None,
            areas: None,
            selects: Vec::new(),
            negations: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn has_negations(&self) -> bool {
        !self.negations.is_empty()
    }

    /// The group of a comparison with a scalar, if there is one.
    pub(super) fn comparison(&self, literal: &Literal, groups: &Groups) -> Option<u32> {
        let (table, scalar) = match &*literal.condition {
            Condition::Equals(_, scalar) => (&self.equals, scalar),
            Condition::Contains(_, scalar) => (&self.contains, scalar),
            _ => return None,
        };
        table.find(scalar.hash().spread(), |group| groups[*group].scalar() == Some(scalar)).copied()
    }

    pub(super) fn insert(&mut self, group: u32, groups: &mut Groups) {
        self.len += 1;
        let literal = groups[group].literal.clone().expect("a group of a field has a condition");
        let hasher = |group: &u32| groups[*group].scalar().map_or(0, |scalar| scalar.hash().spread());
        if literal.is_negated {
            groups[group].position = self.negations.len() as u32;
            self.negations.push(group);
            return;
        }
        match &*literal.condition {
            Condition::Equals(_, scalar) => {
                self.equals.insert_unique(scalar.hash().spread(), group, hasher);
            }
            Condition::Contains(_, scalar) => {
                self.contains.insert_unique(scalar.hash().spread(), group, hasher);
            }
            Condition::Exists(_) => self.exists = Some(group),
            Condition::Range(_, range) => self.intervals.get_or_insert_default().insert(*range, group),
            Condition::Regexp(_, pattern) => self.patterns.get_or_insert_default().insert(pattern, group),
            Condition::Within(_, area) => {
                let areas = self.areas.get_or_insert_default();
                spots(area, group).for_each(|spot| areas.insert(spot));
            }
            Condition::Select(..) | Condition::Match(_) => {
                groups[group].position = self.selects.len() as u32;
                self.selects.push(group);
            }
        }
    }

    pub(super) fn remove(&mut self, group: u32, groups: &mut Groups) {
        self.len -= 1;
        let Group { literal, position, .. } = &groups[group];
        let (literal, position) = (literal.clone().expect("a group of a field has a condition"), *position);
        let take_out = |list: &mut Vec<u32>, groups: &mut Groups| {
            list.swap_remove(position as usize);
            if let Some(moved) = list.get(position as usize) {
                groups[*moved].position = position;
            }
        };
        let take_from = |table: &mut HashTable<u32>, scalar: &Scalar| {
            if let Ok(entry) = table.find_entry(scalar.hash().spread(), |other| *other == group) {
                entry.remove();
            }
        };
        if literal.is_negated {
            return take_out(&mut self.negations, groups);
        }
        match &*literal.condition {
            Condition::Equals(_, scalar) => take_from(&mut self.equals, scalar),
            Condition::Contains(_, scalar) => take_from(&mut self.contains, scalar),
            Condition::Exists(_) => self.exists = None,
            Condition::Range(_, range) => {
                if let Some(intervals) = &mut self.intervals {
                    intervals.remove(*range, group);
                }
            }
            Condition::Regexp(_, pattern) => {
                if let Some(patterns) = &mut self.patterns {
                    patterns.remove(pattern, group);
                }
            }
            Condition::Within(_, area) => {
                if let Some(areas) = &mut self.areas {
                    for spot in spots(area, group) {
                        areas.remove(&spot);
                    }
                }
            }
            Condition::Select(..) | Condition::Match(_) => take_out(&mut self.selects, groups),
        }
    }

    /// The groups whose conditions the value satisfies, each once.
    pub(super) fn for_each_hit(
        &self,
        value: Value<'_>,
        scope: Scope<'_>,
        groups: &Groups,
        mut found: impl FnMut(u32),
    ) {
        let form = value.form();
        if let Some(group) = self.exists {
            found(group);
        }
        match form {
            Form::Array => {
                if !self.contains.is_empty() {
                    self.find_elements(value, groups, &mut found);
                }
                for &group in &self.selects {
                    if groups[group].holds(scope) {
                        found(group);
                    }
                }
            }
            Form::Object => {}
            form => {
                if let Some(group) = find(&self.equals, value, form, groups) {
                    found(group);
                }
            }
        }
        if let (Form::Number(number), Some(intervals)) = (form, &self.intervals) {
            intervals.for_each_containing(number, &mut found);
        }
        if let (Form::String(text), Some(patterns)) = (form, &self.patterns) {
            patterns.for_each_candidate(text, |group| {
                if groups[group].matches_text(text) {
                    found(group);
                }
            });
        }
        if let Some(areas) = &self.areas
            && let Place::At(point) = place_of(Some(value))
        {
            // The border between two parts of an area belongs to both.
            let mut last = None;
            let mut spots: Vec<u32> =
                areas.locate_all_at_point([point.lon, point.lat]).map(|spot| spot.data).collect();
            spots.sort_unstable();
            for group in spots {
                if last != Some(group) && groups[group].contains(point) {
                    found(group);
                }
                last = Some(group);
            }
        }
    }

    /// The groups of negations that hold, whether the field is there or not.
    pub(super) fn for_each_negation(&self, scope: Scope<'_>, groups: &Groups, mut found: impl FnMut(u32)) {
        for &group in &self.negations {
            if groups[group].holds(scope) {
                found(group);
            }
        }
    }

    fn find_elements(&self, array: Value<'_>, groups: &Groups, found: &mut impl FnMut(u32)) {
        let mut hits: Vec<u32> = array
            .elements()
            .filter_map(|element| find(&self.contains, element, element.form(), groups))
            .collect();
        hits.sort_unstable();
        hits.dedup();
        hits.into_iter().for_each(found);
    }
}

fn find(table: &HashTable<u32>, value: Value<'_>, form: Form<'_>, groups: &Groups) -> Option<u32> {
    if table.is_empty() {
        return None;
    }
    let hash = scalar::hash_of(form).spread();
    table.find(hash, |group| groups[*group].scalar().is_some_and(|scalar| scalar.is(value))).copied()
}

fn spots(area: &Area, group: u32) -> impl Iterator<Item = Spot> {
    area.bounds().parts().into_iter().flatten().map(move |part| {
        let corners = AABB::from_corners([part.west, part.south], [part.east, part.north]);
        GeomWithData::new(Envelope::from_aabb(corners), group)
    })
}
