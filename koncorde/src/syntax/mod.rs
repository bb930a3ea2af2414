//! From the JSON of a filter to an expression: every keyword, and what is refused.
//!
//! Source: Koncorde 4.7.0, lib/transform/standardize.js.

mod conditions;
mod places;
mod shape;

use crate::error::{Error, Reason};
use crate::expression::Expression;
use crate::json::{Form, Tree, Value};
use crate::limits::Limits;

/// Parses the JSON text of a filter.
pub(crate) fn parse(json: &str, limits: &Limits) -> Result<Expression, Error> {
    let tree = Tree::parse(json, limits.depth)?;
    let root = tree.root();
    match root.form() {
        Form::Null => return Ok(Expression::everything()),
        Form::Object if shape::len(root) == 0 => return Ok(Expression::everything()),
        Form::Object => {}
        // Koncorde takes an array for an object whose keys are the positions.
        Form::Array => match root.elements().count() {
            0 => return Ok(Expression::everything()),
            1 => return Err(Error::Invalid { path: "0".to_owned(), reason: Reason::UnknownKeyword }),
            _ => return Err(Error::NotOneKeyword),
        },
        Form::Bool(_) | Form::Number(_) | Form::String(_) => return Err(Error::NotOneKeyword),
    }
    Parser { limits, path: String::new(), conditions: 0 }.whole_filter(root)
}

struct Parser<'l> {
    limits: &'l Limits,
    /// Keywords and fields on the way to what is being read, joined by dots.
    path: String,
    conditions: usize,
}

impl Parser<'_> {
    /// A filter with its own count of conditions.
    fn whole_filter(&mut self, filter: Value<'_>) -> Result<Expression, Error> {
        let outer = std::mem::take(&mut self.conditions);
        let expression = self.filter(filter, false)?;
        let conditions = std::mem::replace(&mut self.conditions, outer);
        let max = self.limits.conditions;
        if max > 0 && conditions > max {
            return Err(Error::TooComplex { conditions, max });
        }
        Ok(expression)
    }

    /// An object with one keyword.
    fn filter(&mut self, filter: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        let mut members = filter.members();
        let (Some((keyword, value)), None) = (members.next(), members.next()) else {
            return Err(if self.path.is_empty() {
                Error::NotOneKeyword
            } else {
                self.invalid(Reason::NotOneKeyword)
            });
        };
        self.at(keyword, |parser| match keyword {
            "and" => parser.list(value, false, is_negated),
            "or" => parser.list(value, true, is_negated),
            "not" => {
                parser.object_of(value, 1)?;
                parser.filter(value, !is_negated)
            }
            "bool" => parser.bool(value, is_negated),
            "nothing" => {
                parser.count(1);
                Ok(if is_negated { Expression::everything() } else { Expression::nothing() })
            }
            _ => parser.condition(keyword, value, is_negated),
        })
    }

    /// The array of `and` or `or`.
    fn list(&mut self, list: Value<'_>, is_any: bool, is_negated: bool) -> Result<Expression, Error> {
        self.non_empty_array(list)?;
        self.filters_only(list.elements())?;
        let parts = list.elements().map(|part| self.filter(part, is_negated)).collect::<Result<_, _>>()?;
        Ok(join(parts, is_any != is_negated))
    }

    /// `bool` stands for `and: [...must, {not: {or: must_not}}, {or: should}, {not: {and: should_not}}]`, and its
    /// errors say so.
    fn bool(&mut self, bool: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        self.non_empty_object(bool)?;
        self.only_members(
            bool,
            &["must", "must_not", "should", "should_not"],
            "must,must_not,should,should_not",
        )?;
        let group = |name| bool.member(name).filter(|value| !shape::is_falsy(*value));
        let (must, must_not) = (group("must"), group("must_not"));
        let (should, should_not) = (group("should"), group("should_not"));
        self.at("and", |parser| {
            let must: Vec<Value<'_>> = match must {
                Some(must) if must.is_array() => must.elements().collect(),
                must => must.into_iter().collect(),
            };
            if must.is_empty() && must_not.is_none() && should.is_none() && should_not.is_none() {
                return Err(parser.invalid(Reason::Empty));
            }
            parser.filters_only(must.iter().copied())?;
            let mut parts = must
                .into_iter()
                .map(|part| parser.filter(part, is_negated))
                .collect::<Result<Vec<_>, _>>()?;
            if let Some(none) = must_not {
                parts
                    .push(parser.at("not", |parser| {
                        parser.at("or", |parser| parser.list(none, true, !is_negated))
                    })?);
            }
            if let Some(any) = should {
                parts.push(parser.at("or", |parser| parser.list(any, true, is_negated))?);
            }
            if let Some(not_all) = should_not {
                parts.push(parser.at("not", |parser| {
                    parser.at("and", |parser| parser.list(not_all, false, !is_negated))
                })?);
            }
            Ok(join(parts, is_negated))
        })
    }

    fn count(&mut self, conditions: usize) {
        self.conditions += conditions;
    }

    /// With so many conditions, the filter will be refused, and need not be built.
    fn is_too_complex(&self) -> bool {
        self.limits.conditions > 0 && self.conditions > self.limits.conditions
    }

    /// Reads something one step further on the way.
    fn at<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = read(self);
        self.path.truncate(len);
        result
    }

    fn invalid(&self, reason: Reason) -> Error {
        Error::Invalid { path: self.path.clone(), reason }
    }
}

fn join(parts: Vec<Expression>, is_any: bool) -> Expression {
    if is_any { Expression::any(parts) } else { Expression::all(parts) }
}
