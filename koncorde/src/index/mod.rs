//! Many filters, and those of them that a document satisfies.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::document::Document;
use crate::expression::Expression;
use crate::filter::Filter;
use crate::scope::Scope;

/// Filters by ids of the caller's choice.
#[derive(Debug)]
pub struct Index<Id> {
    filters: HashMap<Id, Arc<Expression>>,
}

impl<Id: Clone + Eq + Hash> Index<Id> {
    /// An index without filters.
    #[must_use]
    pub fn new() -> Index<Id> {
        Index { filters: HashMap::new() }
    }

    /// Adds a filter. One with the same id is replaced.
    pub fn insert(&mut self, id: Id, filter: &Filter) {
        self.filters.insert(id, Arc::clone(filter.expression()));
    }

    /// Removes the filter with this id. False if there is none.
    pub fn remove(&mut self, id: &Id) -> bool {
        self.filters.remove(id).is_some()
    }

    /// How many filters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there are no filters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Calls the function once with the id of each filter that the document satisfies, in any order.
    pub fn for_each_match(&self, document: &Document, mut found: impl FnMut(&Id)) {
        for (id, expression) in &self.filters {
            if expression.holds(Scope::Document(document)) {
                found(id);
            }
        }
    }

    /// The ids of the filters that the document satisfies are added to the list, in any order.
    pub fn matches(&self, document: &Document, ids: &mut Vec<Id>) {
        self.for_each_match(document, |id| ids.push(id.clone()));
    }
}

impl<Id: Clone + Eq + Hash> Default for Index<Id> {
    fn default() -> Index<Id> {
        Index::new()
    }
}
