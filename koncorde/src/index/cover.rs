//! Which conditions stand for a filter in the index: such that whenever it matches, one of them holds.

use std::sync::Arc;

use crate::condition::{Condition, Literal};
use crate::expression::Expression;
use crate::path::Path;
use crate::wanted::Wanted;

/// A condition by which a filter is found.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Nothing: always.
    pub(super) literal: Option<Literal>,
    /// Where it holds, the filter matches.
    pub(super) is_exact: bool,
}

/// The keys of a filter. How many filters a key has already is a reason to take another one.
pub(super) fn cover(expression: &Expression, crowd: &dyn Fn(&Literal) -> usize) -> Vec<Key> {
    weigh(expression, crowd).1
}

/// How much is expected to be looked at in vain, and the keys.
fn weigh(expression: &Expression, crowd: &dyn Fn(&Literal) -> usize) -> (usize, Vec<Key>) {
    match expression {
        Expression::Literal(literal) => weigh_literal(literal, crowd),
        Expression::All(parts) => {
            let lightest = parts.iter().map(|part| weigh(part, crowd)).min_by_key(|(weight, _)| *weight);
            match lightest {
                Some((weight, mut keys)) => {
                    keys.iter_mut().for_each(|key| key.is_exact = false);
                    (weight, keys)
                }
                None => (usize::MAX, vec![Key { literal: None, is_exact: true }]),
            }
        }
        Expression::Any(parts) => {
            let (mut total, mut all) = (0_usize, Vec::new());
            for part in parts {
                let (weight, mut keys) = weigh(part, crowd);
                total = total.saturating_add(weight);
                all.append(&mut keys);
            }
            (total, all)
        }
    }
}

fn weigh_literal(literal: &Literal, crowd: &dyn Fn(&Literal) -> usize) -> (usize, Vec<Key>) {
    if let (Condition::Match(Wanted::Members(members)), false) = (&*literal.condition, literal.is_negated) {
        let mut implied = Vec::new();
        for (path, wanted) in members {
            imply(path.text(), wanted, &mut implied);
        }
        let weighed = implied.into_iter().map(|literal| (weight(&literal, crowd), literal));
        if let Some((weight, literal)) = weighed.min_by_key(|(weight, _)| *weight) {
            return (weight, vec![Key { literal: Some(literal), is_exact: false }]);
        }
    }
    (weight(literal, crowd), vec![Key { literal: Some(literal.clone()), is_exact: true }])
}

/// What a `match` implies of single fields. A member of an object in the document is a field, though perhaps one that
/// is shadowed by another one: the index looks at those too.
fn imply(path: &str, wanted: &Wanted, implied: &mut Vec<Literal>) {
    let mut push = |condition| implied.push(Literal { condition: Arc::new(condition), is_negated: false });
    match wanted {
        Wanted::Scalar(scalar) => push(Condition::Equals(Path::new(path), scalar.clone())),
        Wanted::Elements(elements) => {
            let scalars = elements.iter().filter_map(|element| match element {
                Wanted::Scalar(scalar) => Some(scalar),
                Wanted::Elements(_) | Wanted::Members(_) => None,
            });
            let mut has_scalars = false;
            for scalar in scalars.take(8) {
                has_scalars = true;
                push(Condition::Contains(Path::new(path), scalar.clone()));
            }
            if !has_scalars {
                push(Condition::Exists(Path::new(path)));
            }
        }
        Wanted::Members(members) => {
            push(Condition::Exists(Path::new(path)));
            for (key, wanted) in members {
                let separator = if path.is_empty() { "" } else { "." };
                imply(&[path, separator, key.text()].concat(), wanted, implied);
            }
        }
    }
}

fn weight(literal: &Literal, crowd: &dyn Fn(&Literal) -> usize) -> usize {
    if literal.is_negated {
        return 1 << 20;
    }
    match &*literal.condition {
        Condition::Equals(..) | Condition::Contains(..) => 1 + crowd(literal),
        Condition::Regexp(_, pattern) if pattern.required().is_some() => 3,
        Condition::Within(..) => 3,
        Condition::Range(_, range) if range.low.is_finite() && range.high.is_finite() => 3,
        Condition::Regexp(..) => 256,
        Condition::Range(..) => 1 << 10,
        Condition::Select(..) => 1 << 12,
        Condition::Exists(_) | Condition::Match(_) => 1 << 14,
    }
}
