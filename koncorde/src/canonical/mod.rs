//! The normal form: one for all filters that mean the same by the laws of logic.
//!
//! It is Blake's canonical form, the disjunction of all prime implicants, over the conditions in their standard form.
//! They are found by consensus and absorption. What cannot be, such as a field with two values, is then taken out,
//! and what follows from that is drawn ([`exclusion`]).
//!
//! A condition on text or on places and its negation exclude each other, but neither has to hold (a number matches
//! neither `regexp` nor `not regexp`): over them no consensus is formed.
//!
//! A filter whose prime implicants take too many steps keeps its shape: nested lists, [`sorted`] and without
//! repetitions.

mod exclusion;
mod sorted;
mod terms;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::exclusion::Exclusions;
use self::terms::{Code, Steps, Term};
use crate::condition::{Condition, Literal};
use crate::expression::Expression;
use crate::text;

/// The normal form and its text. Of equal texts, the expressions are equal.
pub(crate) fn normalize(expression: Expression, max_steps: usize) -> (Expression, String) {
    // In this order how many steps there are does not depend on the order and the repetitions of the filter.
    let (expression, text) = sorted::sorted(expression);
    let vocabulary = Vocabulary::of(&expression);
    let mut steps = Steps::new(max_steps);
    match terms::prime_implicants(&expression, &vocabulary, &mut steps) {
        Some(terms) => vocabulary.rows(&without_contradictions(terms, &vocabulary, max_steps)),
        None => (expression, text),
    }
}

/// Takes out what cannot be, and draws the conclusions if that does not take too many steps.
fn without_contradictions(mut terms: Vec<Term>, vocabulary: &Vocabulary, max_steps: usize) -> Vec<Term> {
    terms.sort();
    let mut steps = Steps::new(max_steps);
    let Some(exclusions) = Exclusions::among(&terms, vocabulary, &mut steps) else { return terms };
    terms.retain(|term| !exclusions.forbid(term));
    let mentioned: HashSet<u32> = terms.iter().flat_map(Term::codes).map(|code| code.variable()).collect();
    exclusions.conclude(&terms, &mentioned, vocabulary, &mut steps).unwrap_or(terms)
}

/// The conditions of a filter, sorted by their texts. A variable is a position among them.
struct Vocabulary {
    conditions: Vec<Arc<Condition>>,
    texts: Vec<String>,
    variables: HashMap<String, u32>,
}

impl Vocabulary {
    fn of(expression: &Expression) -> Vocabulary {
        let mut conditions = HashMap::new();
        collect(expression, &mut conditions);
        let mut conditions: Vec<(String, Arc<Condition>)> = conditions.into_iter().collect();
        conditions.sort_by(|(one, _), (other, _)| one.cmp(other));
        let variables =
            conditions.iter().zip(0..).map(|((text, _), variable)| (text.clone(), variable)).collect();
        let (texts, conditions) = conditions.into_iter().unzip();
        Vocabulary { conditions, texts, variables }
    }

    fn code(&self, literal: &Literal) -> Code {
        let variable = self.variables.get(&text_of(&literal.condition));
        Code::new(*variable.expect("the vocabulary has every condition"), literal.is_negated)
    }

    fn condition(&self, variable: u32) -> &Condition {
        &self.conditions[variable as usize]
    }

    fn literal(&self, code: Code) -> Literal {
        let condition = Arc::clone(&self.conditions[code.variable() as usize]);
        Literal { condition, is_negated: code.is_negated() }
    }

    /// The disjunction of the terms, which are sorted.
    fn rows(&self, terms: &[Term]) -> (Expression, String) {
        match terms {
            [] => return sorted::sorted(Expression::nothing()),
            [term] if term.codes().next().is_none() => return sorted::sorted(Expression::everything()),
            _ => {}
        }
        let mut out = String::new();
        text::list(&mut out, ['[', ']'], terms, |out, term| {
            text::list(out, ['[', ']'], term.codes(), |out, code| {
                out.push('{');
                out.push_str(&self.texts[code.variable() as usize]);
                out.push_str(if code.is_negated() { ",\"not\":true}" } else { ",\"not\":false}" });
            });
        });
        let row = |term: &Term| {
            Expression::all(term.codes().map(|code| Expression::Literal(self.literal(code))).collect())
        };
        (Expression::any(terms.iter().map(row).collect()), out)
    }
}

fn collect(expression: &Expression, conditions: &mut HashMap<String, Arc<Condition>>) {
    match expression {
        Expression::Literal(literal) => {
            conditions.entry(text_of(&literal.condition)).or_insert_with(|| Arc::clone(&literal.condition));
        }
        Expression::All(parts) | Expression::Any(parts) => {
            for part in parts {
                collect(part, conditions);
            }
        }
    }
}

fn text_of(condition: &Condition) -> String {
    let mut text = String::new();
    condition.write(&mut text);
    text
}
