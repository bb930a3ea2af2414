//! What cannot be, or must be, because of what the conditions mean: a field has one value, and a value that is
//! compared is there.

use std::collections::{BTreeMap, HashSet};

use super::Vocabulary;
use super::terms::{Code, Steps, Term, closure};
use crate::condition::{Condition, Range};
use crate::scalar::Scalar;

/// Pairs of which at most one holds, by both of them.
pub(super) struct Exclusions {
    pairs: HashSet<(Code, Code)>,
}

impl Exclusions {
    /// All that there are among the conditions of the terms.
    pub(super) fn among(terms: &[Term], vocabulary: &Vocabulary, steps: &mut Steps) -> Option<Exclusions> {
        let mut by_field: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        let variables: HashSet<u32> =
            terms.iter().flat_map(Term::codes).map(|code| code.variable()).collect();
        for variable in variables {
            let condition = vocabulary.condition(variable);
            if let (true, Some(path)) = (condition.is_complementary(), condition.path()) {
                by_field.entry(path.text()).or_default().push(variable);
            }
        }
        let mut pairs = HashSet::new();
        for variables in by_field.values() {
            steps.take(variables.len() * variables.len())?;
            for (position, &one) in variables.iter().enumerate() {
                for &other in &variables[position + 1..] {
                    for (is_one_negated, is_other_negated) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        let is_excluded = exclude(
                            (vocabulary.condition(one), is_one_negated),
                            (vocabulary.condition(other), is_other_negated),
                        );
                        if is_excluded {
                            let codes = [Code::new(one, is_one_negated), Code::new(other, is_other_negated)];
                            pairs.extend([(codes[0], codes[1]), (codes[1], codes[0])]);
                        }
                    }
                }
            }
        }
        Some(Exclusions { pairs })
    }

    /// Whether no document satisfies the term.
    pub(super) fn forbid(&self, term: &Term) -> bool {
        !self.pairs.is_empty()
            && term.codes().enumerate().any(|(position, one)| {
                term.codes().skip(position + 1).any(|other| self.pairs.contains(&(one, other)))
            })
    }

    /// The shortest terms that say the same about every document that can be: what is excluded is as good as wanted,
    /// and a term that follows from another is left out. Only conditions that are mentioned count.
    pub(super) fn conclude(
        &self,
        terms: &[Term],
        mentioned: &HashSet<u32>,
        vocabulary: &Vocabulary,
        steps: &mut Steps,
    ) -> Option<Vec<Term>> {
        let mut impossible: Vec<(Code, Code)> = self
            .pairs
            .iter()
            .copied()
            .filter(|(one, other)| {
                one < other && mentioned.contains(&one.variable()) && mentioned.contains(&other.variable())
            })
            .collect();
        if impossible.is_empty() {
            return Some(terms.to_vec());
        }
        impossible.sort_unstable();
        let impossible = impossible.into_iter().map(|(one, other)| Term::new(vec![one, other]));
        let mut primes = closure(impossible.chain(terms.iter().cloned()).collect(), vocabulary, steps)?;
        primes.retain(|term| !self.forbid(term));
        steps.take(primes.len() * primes.len())?;
        let mut kept = Vec::with_capacity(primes.len());
        for (position, term) in primes.iter().enumerate() {
            let follows = primes
                .iter()
                .enumerate()
                .any(|(other, wider)| other != position && self.implies(term, wider));
            if !follows {
                kept.push(term.clone());
            }
        }
        Some(kept)
    }

    /// Whether every part of the wider term follows from one of the term.
    fn implies(&self, term: &Term, wider: &Term) -> bool {
        wider.codes().all(|wanted| {
            term.has(wanted) || term.codes().any(|code| self.pairs.contains(&(code, wanted.opposite())))
        })
    }
}

/// Whether two conditions on the same field, each perhaps negated, cannot hold together.
fn exclude(one: (&Condition, bool), other: (&Condition, bool)) -> bool {
    exclude_in_order(one, other) || exclude_in_order(other, one)
}

fn exclude_in_order(one: (&Condition, bool), other: (&Condition, bool)) -> bool {
    use Condition::{Contains, Equals, Exists, Range};
    match (one, other) {
        ((Equals(..) | Range(..) | Contains(..), false), (Exists(_), true)) => true,
        ((Equals(_, value), false), (Equals(_, other), false)) => value != other,
        ((Equals(_, value), false), (Range(_, range), is_negated)) => is_in(value, *range) == is_negated,
        ((Equals(..) | Range(..), false), (Contains(..), false)) => true,
        ((Range(_, range), false), (Range(_, other), false)) => {
            range.low > other.high || other.low > range.high
        }
        ((Range(_, range), false), (Range(_, other), true)) => {
            other.low <= range.low && range.high <= other.high
        }
        _ => false,
    }
}

fn is_in(value: &Scalar, range: Range) -> bool {
    matches!(value, Scalar::Number(number) if range.contains(*number))
}
