//! Prime implicants by consensus and absorption.

use super::Vocabulary;
use crate::expression::Expression;

/// A condition or its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Code(u32);

impl Code {
    pub(super) fn new(variable: u32, is_negated: bool) -> Code {
        Code(variable << 1 | u32::from(is_negated))
    }

    pub(super) fn variable(self) -> u32 {
        self.0 >> 1
    }

    pub(super) fn is_negated(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) fn opposite(self) -> Code {
        Code(self.0 ^ 1)
    }

    fn mask(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// A conjunction, sorted. No condition is in it with its negation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    codes: Box<[Code]>,
    /// One bit for some of the codes: enough to say of most pairs of terms that neither contains the other.
    mask: u64,
}

impl Term {
    /// Sorted codes without repetitions.
    pub(super) fn new(codes: Vec<Code>) -> Term {
        let mask = codes.iter().fold(0, |mask, code| mask | code.mask());
        Term { codes: codes.into(), mask }
    }

    pub(super) fn codes(&self) -> impl ExactSizeIterator<Item = Code> + Clone {
        self.codes.iter().copied()
    }

    pub(super) fn has(&self, code: Code) -> bool {
        self.mask & code.mask() != 0 && self.codes.binary_search(&code).is_ok()
    }

    fn contains(&self, other: &Term) -> bool {
        other.mask & !self.mask == 0
            && other.codes.len() <= self.codes.len()
            && other.codes.iter().all(|code| self.codes.binary_search(code).is_ok())
    }

    /// Whether a condition of one may be a negation in the other.
    fn may_oppose(&self, other: &Term) -> bool {
        const POSITIVE: u64 = 0x5555_5555_5555_5555;
        let opposite = (other.mask & POSITIVE) << 1 | other.mask >> 1 & POSITIVE;
        self.mask & opposite != 0
    }

    /// Both, unless they exclude each other. Without a condition, of which they have both sides.
    fn union(&self, other: &Term, without: Option<u32>) -> Option<Term> {
        let mut codes = Vec::with_capacity(self.codes.len() + other.codes.len());
        let (mut own, mut others) = (self.codes().peekable(), other.codes().peekable());
        loop {
            let code = match (own.peek(), others.peek()) {
                (Some(one), Some(other)) if one == other => {
                    others.next();
                    own.next()
                }
                (Some(one), Some(other)) if one < other => own.next(),
                (_, Some(_)) => others.next(),
                (_, None) => own.next(),
            };
            let Some(code) = code else { return Some(Term::new(codes)) };
            if without == Some(code.variable()) {
                continue;
            }
            if codes.last() == Some(&code.opposite()) {
                return None;
            }
            codes.push(code);
        }
    }

    /// If there is exactly one condition in one and its negation in the other: what both say apart from that.
    fn consensus(&self, other: &Term, vocabulary: &Vocabulary) -> Option<Term> {
        if !self.may_oppose(other) {
            return None;
        }
        let mut opposed = self.codes().filter(|code| other.has(code.opposite()));
        let variable = opposed.next()?.variable();
        if opposed.next().is_some() || !vocabulary.condition(variable).is_complementary() {
            return None;
        }
        self.union(other, Some(variable))
    }
}

/// How much may still be done.
pub(super) struct Steps {
    left: usize,
}

impl Steps {
    pub(super) fn new(left: usize) -> Steps {
        Steps { left }
    }

    pub(super) fn take(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }
}

/// Adds every consensus until there is no new one, keeping only terms that contain no other.
pub(super) fn closure(
    mut pending: Vec<Term>,
    vocabulary: &Vocabulary,
    steps: &mut Steps,
) -> Option<Vec<Term>> {
    let mut primes: Vec<Term> = Vec::new();
    // Short ones first: they absorb the most.
    pending.sort_by(|one, other| other.codes.len().cmp(&one.codes.len()).then_with(|| other.cmp(one)));
    while let Some(term) = pending.pop() {
        steps.take(primes.len() + 1)?;
        if primes.iter().any(|prime| term.contains(prime)) {
            continue;
        }
        primes.retain(|prime| !prime.contains(&term));
        for prime in &primes {
            if let Some(consensus) = term.consensus(prime, vocabulary) {
                steps.take(consensus.codes.len() + 1)?;
                pending.push(consensus);
            }
        }
        primes.push(term);
    }
    primes.sort();
    Some(primes)
}

/// All prime implicants, or `None` if that takes too many steps.
///
/// Of a conjunction they are the products of those of its parts, apart from products that contain others. So what is
/// said in too many words is shortened where it stands, before it multiplies.
pub(super) fn prime_implicants(
    expression: &Expression,
    vocabulary: &Vocabulary,
    steps: &mut Steps,
) -> Option<Vec<Term>> {
    match expression {
        Expression::Literal(literal) => {
            steps.take(1)?;
            Some(vec![Term::new(vec![vocabulary.code(literal)])])
        }
        Expression::Any(parts) => {
            let mut terms = Vec::new();
            for part in parts {
                terms.append(&mut prime_implicants(part, vocabulary, steps)?);
            }
            closure(terms, vocabulary, steps)
        }
        Expression::All(parts) => {
            let mut factors = parts
                .iter()
                .map(|part| prime_implicants(part, vocabulary, steps))
                .collect::<Option<Vec<_>>>()?;
            factors.sort_by_key(Vec::len);
            let mut product = vec![Term::new(Vec::new())];
            for factor in factors {
                let mut terms = Vec::new();
                for one in &product {
                    for other in &factor {
                        if let Some(term) = one.union(other, None) {
                            steps.take(term.codes.len() + 1)?;
                            terms.push(term);
                        } else {
                            steps.take(1)?;
                        }
                    }
                }
                product = absorb(terms, steps)?;
            }
            Some(product)
        }
    }
}

/// Keeps only terms that contain no other.
fn absorb(mut terms: Vec<Term>, steps: &mut Steps) -> Option<Vec<Term>> {
    terms.sort_by(|one, other| one.codes.len().cmp(&other.codes.len()).then_with(|| one.cmp(other)));
    terms.dedup();
    let mut kept: Vec<Term> = Vec::with_capacity(terms.len());
    for term in terms {
        // Those of the same length do not contain it.
        let shorter = kept.partition_point(|kept| kept.codes.len() < term.codes.len());
        steps.take(shorter + 1)?;
        if !kept[..shorter].iter().any(|kept| term.contains(kept)) {
            kept.push(term);
        }
    }
    Some(kept)
}
