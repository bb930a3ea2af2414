//! Many filters, and those of them that a document satisfies.
//!
//! A filter is found by one of its conditions, or by one of each alternative: the one that is likely to hold least
//! often ([`cover`]). Filters that are found by the same condition are a group, and the groups of a field stand where
//! its value leads to them ([`field`]). What else a filter asks for is tested when it is found.

mod cover;
mod field;
mod group;
mod intervals;
mod patterns;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;

use self::cover::{Key, cover};
use self::field::FieldIndex;
use self::group::{Group, Groups, Posting, Slab};
use crate::condition::Literal;
use crate::document::Document;
use crate::expression::Expression;
use crate::filter::Filter;
use crate::hash::Hash as PathHash;
use crate::path::Path;
use crate::scope::Scope;

/// Filters by ids of the caller's choice, indexed by their conditions.
///
/// ```
/// # use koncorde::{Document, Filter, Index, Limits};
/// let limits = Limits::default();
/// let mut index = Index::new();
/// index.insert("adults", &Filter::parse(r#"{"range":{"age":{"gte":18}}}"#, &limits)?);
/// index.insert("nameless", &Filter::parse(r#"{"missing":"name"}"#, &limits)?);
/// index.insert("all", &Filter::everything());
///
/// let document = Document::parse(r#"{"name":"Ada","age":36}"#, None)?;
/// let mut ids = Vec::new();
/// index.matches(&document, &mut ids);
/// ids.sort();
/// assert_eq!(ids, ["adults", "all"]);
///
/// index.remove(&"adults");
/// assert_eq!(index.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Threads
/// Matching only reads. Any number of threads match at the same time; inserting and removing need the index for
/// themselves, for some microseconds whatever its size, as nothing is ever rebuilt. An `RwLock` around the index is all
/// that is needed to match while filters come and go, and the caller's own state can stand behind the same lock.
#[derive(Debug)]
pub struct Index<Id> {
    filters: Slab<Stored<Id>>,
    /// By id: the number of the filter.
    ids: HashTable<u32>,
    hasher: RandomState,
    groups: Groups,
    /// Of conditions that are no comparisons with a scalar: the number of the group.
    by_literal: HashTable<u32>,
    fields: Slab<FieldIndex>,
    by_path: HashTable<u32>,
    /// The fields that have negated conditions. They may hold for documents without the field.
    negated_fields: BTreeSet<u32>,
    /// The groups about no field in particular.
    general: BTreeSet<u32>,
}

#[derive(Debug)]
struct Stored<Id> {
    id: Id,
    expression: Arc<Expression>,
    keys: Box<[StoredKey]>,
}

/// Where a filter is found.
#[derive(Clone, Copy, Debug)]
struct StoredKey {
    group: u32,
    /// Among the filters of the group.
    position: u32,
    is_exact: bool,
}

impl<Id: Eq + Hash> Index<Id> {
    /// An index without filters.
    #[must_use]
    pub fn new() -> Index<Id> {
        Index {
            filters: Slab::new(),
            ids: HashTable::new(),
            hasher: RandomState::new(),
            groups: Slab::new(),
            by_literal: HashTable::new(),
            fields: Slab::new(),
            by_path: HashTable::new(),
            negated_fields: BTreeSet::new(),
            general: BTreeSet::new(),
        }
    }

    /// Adds a filter. One with the same id is replaced.
    pub fn insert(&mut self, id: Id, filter: &Filter) {
        self.remove(&id);
        let expression = Arc::clone(filter.expression());
        let mut keys: Vec<StoredKey> = Vec::new();
        for Key { literal, is_exact } in cover(&expression, &|literal| self.crowd(literal)) {
            keys.push(StoredKey { group: self.group_of(literal), position: 0, is_exact });
        }
        // Of two keys in one group the exact one stays.
        keys.sort_unstable_by_key(|key| (key.group, !key.is_exact));
        keys.dedup_by_key(|key| key.group);
        let hash = self.hasher.hash_one(&id);
        let slot = self.filters.insert(Stored { id, expression, keys: [].into() });
        for (key, number) in keys.iter_mut().zip(0..) {
            let postings = &mut self.groups[key.group].postings;
            key.position = postings.len() as u32;
            postings.push(Posting { slot, key: number });
        }
        self.filters[slot].keys = keys.into();
        let (filters, hasher) = (&self.filters, &self.hasher);
        self.ids.insert_unique(hash, slot, |slot| hasher.hash_one(&filters[*slot].id));
    }

    /// Removes the filter with this id. False if there is none.
    pub fn remove(&mut self, id: &Id) -> bool {
        let hash = self.hasher.hash_one(id);
        let Ok(entry) = self.ids.find_entry(hash, |slot| self.filters[*slot].id == *id) else { return false };
        let (slot, _) = entry.remove();
        let stored = self.filters.remove(slot);
        for StoredKey { group, position, .. } in stored.keys {
            let postings = &mut self.groups[group].postings;
            postings.swap_remove(position as usize);
            if let Some(moved) = postings.get(position as usize) {
                self.filters[moved.slot].keys[moved.key as usize].position = position;
            }
            if postings.is_empty() {
                self.remove_group(group);
            }
        }
        true
    }

    /// Whether there is a filter with this id.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        self.ids.find(self.hasher.hash_one(id), |slot| self.filters[*slot].id == *id).is_some()
    }

    /// How many filters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no filters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Calls the function once with the id of each filter that the document satisfies, in any order.
    pub fn for_each_match(&self, document: &Document, mut found: impl FnMut(&Id)) {
        let scope = Scope::Document(document);
        let mut search = Search {
            filters: &self.filters,
            groups: &self.groups,
            scope,
            seen: HashTable::new(),
            seen_groups: HashTable::new(),
            has_shadows: document.has_shadows(),
            found: &mut found,
        };
        for &group in &self.general {
            if self.groups[group].holds(scope) {
                search.hit(group, true);
            }
        }
        // From the side that has less to look up.
        if self.by_path.len() < document.fields().len() && !document.has_shadows() {
            for field in self.by_path.iter().map(|number| &self.fields[*number]) {
                if let Some(value) = document.get(&field.path) {
                    field.for_each_hit(value, scope, &self.groups, |group| search.hit(group, true));
                }
            }
        } else {
            for field in document.fields() {
                let number = self
                    .by_path
                    .find(field.hash.spread(), |number| document.has_path(field, &self.fields[*number].path));
                let Some(number) = number else { continue };
                let (value, is_exact) = (document.value(field), !field.is_shadowed);
                self.fields[*number].for_each_hit(value, scope, &self.groups, |group| {
                    search.hit(group, is_exact);
                });
            }
        }
        for &field in &self.negated_fields {
            self.fields[field].for_each_negation(scope, &self.groups, |group| search.hit(group, true));
        }
    }

    /// The number of a group for the condition, which is made if there is none.
    fn group_of(&mut self, literal: Option<Literal>) -> u32 {
        let path = literal.as_ref().and_then(|literal| literal.condition.path());
        let field = path.map(|path| self.field_of(path));
        if let (Some(literal), Some(field)) = (&literal, field)
            && is_comparison(literal)
        {
            let group = self.fields[field].comparison(literal, &self.groups);
            return group.unwrap_or_else(|| self.add_group(Some(literal.clone()), Some(field)));
        }
        let hash = hash_of(literal.as_ref());
        let group = self.by_literal.find(hash, |group| self.groups[*group].literal == literal);
        if let Some(group) = group {
            return *group;
        }
        let group = self.add_group(literal, field);
        let groups = &self.groups;
        self.by_literal.insert_unique(hash, group, |group| hash_of(groups[*group].literal.as_ref()));
        group
    }

    fn add_group(&mut self, literal: Option<Literal>, field: Option<u32>) -> u32 {
        let group = self.groups.insert(Group { literal, field, position: 0, postings: Vec::new() });
        match field {
            Some(field) => {
                self.fields[field].insert(group, &mut self.groups);
                if self.fields[field].has_negations() {
                    self.negated_fields.insert(field);
                }
            }
            None => {
                self.general.insert(group);
            }
        }
        group
    }

    fn remove_group(&mut self, group: u32) {
        let Group { literal, field, .. } = &self.groups[group];
        if !literal.as_ref().is_some_and(is_comparison) {
            let hash = hash_of(literal.as_ref());
            if let Ok(entry) = self.by_literal.find_entry(hash, |other| *other == group) {
                entry.remove();
            }
        }
        match *field {
            None => {
                self.general.remove(&group);
            }
            Some(number) => {
                let field = &mut self.fields[number];
                field.remove(group, &mut self.groups);
                if !field.has_negations() {
                    self.negated_fields.remove(&number);
                }
                if field.is_empty() {
                    let hash = field.path.hash().spread();
                    if let Ok(entry) = self.by_path.find_entry(hash, |other| *other == number) {
                        entry.remove();
                    }
                    self.fields.remove(number);
                }
            }
        }
        self.groups.remove(group);
    }

    fn field_of(&mut self, path: &Path) -> u32 {
        if let Some(field) = self.find_field(path) {
            return field;
        }
        let field = self.fields.insert(FieldIndex::new(path.clone()));
        let fields = &self.fields;
        self.by_path.insert_unique(path.hash().spread(), field, |field| fields[*field].path.hash().spread());
        field
    }

    fn find_field(&self, path: &Path) -> Option<u32> {
        self.by_path.find(path.hash().spread(), |field| self.fields[*field].path == *path).copied()
    }

    /// How many filters are found by a comparison.
    fn crowd(&self, literal: &Literal) -> usize {
        let group = literal
            .condition
            .path()
            .and_then(|path| self.find_field(path))
            .and_then(|field| self.fields[field].comparison(literal, &self.groups));
        group.map_or(0, |group| self.groups[group].postings.len())
    }
}

impl<Id: Eq + Hash + Clone> Index<Id> {
    /// The ids of the filters that the document satisfies are added to the list, in any order.
    pub fn matches(&self, document: &Document, ids: &mut Vec<Id>) {
        self.for_each_match(document, |id| ids.push(id.clone()));
    }
}

impl<Id: Eq + Hash> Default for Index<Id> {
    fn default() -> Index<Id> {
        Index::new()
    }
}

/// One search for the filters of a document.
struct Search<'a, Id, F> {
    filters: &'a Slab<Stored<Id>>,
    groups: &'a Groups,
    scope: Scope<'a>,
    /// Filters that were found and could be found again.
    seen: HashTable<u32>,
    /// If fields are shadowed: groups that were found.
    seen_groups: HashTable<u32>,
    has_shadows: bool,
    found: &'a mut F,
}

impl<Id, F: FnMut(&Id)> Search<'_, Id, F> {
    /// The condition of the group holds; not exactly if it holds for a field that is shadowed.
    fn hit(&mut self, group: u32, is_exact: bool) {
        // Whether a filter matches does not depend on the field that it is found by.
        if self.has_shadows && !is_new(&mut self.seen_groups, group) {
            return;
        }
        for posting in &self.groups[group].postings {
            let stored = &self.filters[posting.slot];
            if (stored.keys.len() > 1 || self.has_shadows) && !is_new(&mut self.seen, posting.slot) {
                continue;
            }
            let is_exact = is_exact && stored.keys[posting.key as usize].is_exact;
            if is_exact || stored.expression.holds(self.scope) {
                (self.found)(&stored.id);
            }
        }
    }
}

fn is_new(seen: &mut HashTable<u32>, slot: u32) -> bool {
    let hash = |slot: &u32| u64::from(*slot).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match seen.entry(hash(&slot), |other| *other == slot, hash) {
        TableEntry::Occupied(_) => false,
        TableEntry::Vacant(entry) => {
            entry.insert(slot);
            true
        }
    }
}

/// Comparisons are found by their scalars alone.
fn is_comparison(literal: &Literal) -> bool {
    use crate::condition::Condition::{Contains, Equals};
    !literal.is_negated && matches!(&*literal.condition, Equals(..) | Contains(..))
}

fn hash_of(literal: Option<&Literal>) -> u64 {
    let mut text = String::new();
    if let Some(literal) = literal {
        literal.write(&mut text);
    }
    PathHash::of(&text).spread()
}
