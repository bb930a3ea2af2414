//! The keywords that test a field, apart from those about places.

use std::sync::Arc;

use super::{Parser, shape};
use crate::canonical;
use crate::condition::{Condition, Literal, Query, Range};
use crate::error::{Error, Reason};
use crate::expression::Expression;
use crate::json::{Tree, Value};
use crate::path::Path;
use crate::pattern::{Pattern, PatternError};
use crate::scalar::Scalar;
use crate::wanted::Wanted;

/// How far from an exclusive bound a number has to be.
const EPSILON: f64 = 1e-10;

impl Parser<'_> {
    /// A keyword that is no operator.
    pub(super) fn condition(
        &mut self,
        keyword: &str,
        value: Value<'_>,
        is_negated: bool,
    ) -> Result<Expression, Error> {
        match keyword {
            "equals" => self.equals(value, is_negated),
            "in" => {
                let (field, values) = self.single(value)?;
                self.at(field, |parser| parser.one_of(field, values, is_negated))
            }
            "ids" => {
                self.object_of(value, 1)?;
                let values = self.required(value, "values")?;
                self.at("values", |parser| parser.one_of("_id", values, is_negated))
            }
            "exists" => self.exists(value, is_negated),
            "missing" => self.exists(value, !is_negated),
            "range" => self.range(value, is_negated),
            "regexp" => self.regexp(value, is_negated),
            "match" => self.subset(value, is_negated),
            "select" => self.select(value, is_negated),
            "geoBoundingBox" => self.geo_bounding_box(value, is_negated),
            "geoDistance" => self.geo_distance(value, is_negated),
            "geoDistanceRange" => self.geo_distance_range(value, is_negated),
            "geoPolygon" => self.geo_polygon(value, is_negated),
            _ => Err(self.invalid(Reason::UnknownKeyword)),
        }
    }

    /// One condition.
    pub(super) fn literal(&mut self, condition: Condition, is_negated: bool) -> Expression {
        self.count(1);
        if self.is_too_complex() {
            return Expression::nothing();
        }
        Expression::Literal(Literal { condition: Arc::new(condition), is_negated })
    }

    fn equals(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        let (field, value) = self.single(value)?;
        match Scalar::from_value(value) {
            Some(scalar) => Ok(self.literal(Condition::Equals(Path::new(field), scalar), is_negated)),
            None => self.at(field, |parser| Err(parser.invalid(Reason::NotAScalar))),
        }
    }

    /// `in` and `ids`: a non-empty array of strings.
    fn one_of(&mut self, field: &str, values: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        self.strings(values)?;
        let path = Path::new(field);
        let parts: Vec<Expression> = values
            .elements()
            .filter_map(Scalar::from_value)
            .map(|scalar| self.literal(Condition::Equals(path.clone(), scalar), is_negated))
            .collect();
        Ok(super::join(parts, !is_negated))
    }

    /// `"path"`, `"path[<scalar>]"`, or one of them as the member `field`.
    fn exists(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        if let Some(text) = value.as_str() {
            if text.is_empty() {
                return Err(self.invalid(Reason::EmptyFieldName));
            }
            return self.presence(text, is_negated);
        }
        self.object_of(value, 1)?;
        let field = self.required(value, "field")?;
        self.at("field", |parser| {
            let text = parser.non_empty_string(Some(field))?;
            parser.presence(text, is_negated)
        })
    }

    fn presence(&mut self, text: &str, is_negated: bool) -> Result<Expression, Error> {
        let condition = match array_syntax(text) {
            None => Condition::Exists(Path::new(&without_escapes(text))),
            Some((path, element)) => {
                let scalar = Tree::parse(element, 1).ok().and_then(|tree| Scalar::from_value(tree.root()));
                let scalar = scalar.ok_or_else(|| self.invalid(Reason::ArrayValue(element.to_owned())))?;
                Condition::Contains(Path::new(&without_escapes(path)), scalar)
            }
        };
        Ok(self.literal(condition, is_negated))
    }

    fn range(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        let (field, bounds) = self.single(value)?;
        let range = self.at(field, |parser| parser.bounds(bounds))?;
        let path = Path::new(field);
        Ok(if range.low > range.high {
            self.count(1);
            if is_negated { Expression::everything() } else { Expression::nothing() }
        } else if range.low == range.high {
            self.literal(Condition::Equals(path, Scalar::Number(range.low)), is_negated)
        } else {
            self.literal(Condition::Range(path, range), is_negated)
        })
    }

    fn bounds(&mut self, bounds: Value<'_>) -> Result<Range, Error> {
        self.non_empty_object(bounds)?;
        self.only_members(bounds, &["gt", "gte", "lt", "lte"], "gt,gte,lt,lte")?;
        let (mut low, mut high) = (None, None);
        for (name, bound) in bounds.members() {
            let Some(bound) = bound.as_number() else {
                return self.at(name, |parser| Err(parser.invalid(Reason::NotANumber)));
            };
            let is_upper = name.starts_with('l');
            let slot = if is_upper { &mut high } else { &mut low };
            if slot.replace((bound, name.ends_with('e'))).is_some() {
                let reason = if is_upper { Reason::TwoUpperBounds } else { Reason::TwoLowerBounds };
                return Err(self.invalid(reason));
            }
        }
        if let (Some((low, _)), Some((high, _))) = (low, high)
            && high <= low
        {
            return Err(self.invalid(Reason::EmptyRange));
        }
        // Of large numbers the next one is farther away than the epsilon.
        Ok(Range {
            low: match low {
                None => f64::NEG_INFINITY,
                Some((low, true)) => low,
                Some((low, false)) => (low + EPSILON).max(low.next_up()),
            },
            high: match high {
                None => f64::INFINITY,
                Some((high, true)) => high,
                Some((high, false)) => (high - EPSILON).min(high.next_down()),
            },
        })
    }

    fn regexp(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        let (field, value) = self.single(value)?;
        let pattern = self.at(field, |parser| {
            if let Some(source) = value.as_str() {
                return parser.pattern(source, None);
            }
            if !value.is_object() {
                return Err(parser.invalid(Reason::NotARegexp));
            }
            parser.non_empty_object(value)?;
            let source = parser.required(value, "value")?;
            parser.only_members(value, &["flags", "value"], "flags,value")?;
            let flags = value.member("flags").filter(|flags| !shape::is_falsy(*flags));
            let flags = match flags {
                None => None,
                flags => Some(parser.at("flags", |parser| parser.non_empty_string(flags))?),
            };
            let source = source.as_str().ok_or(Reason::NotAString);
            let source = source.or_else(|reason| parser.at("value", |parser| Err(parser.invalid(reason))))?;
            parser.pattern(source, flags)
        })?;
        Ok(match pattern {
            Some(pattern) => self.literal(Condition::Regexp(Path::new(field), pattern), is_negated),
            None => {
                self.count(1);
                Expression::nothing()
            }
        })
    }

    /// Nothing is compiled for a filter that has too many conditions already.
    fn pattern(&mut self, source: &str, flags: Option<&str>) -> Result<Option<Arc<Pattern>>, Error> {
        if self.limits.conditions > 0 && self.conditions >= self.limits.conditions {
            return Ok(None);
        }
        let pattern = Pattern::new(source, flags.unwrap_or_default(), self.limits.regexp_bytes);
        pattern.map(Some).map_err(|error| {
            self.invalid(match error {
                PatternError::Flag(flag) => Reason::RegexpFlag(flag),
                PatternError::Expression(reason) => Reason::Regexp {
                    value: source.to_owned(),
                    flags: flags.unwrap_or("undefined").to_owned(),
                    reason,
                },
            })
        })
    }

    /// `match`.
    fn subset(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        self.non_empty_object(value)?;
        let values = (value.end() - value.node() - 1) as usize;
        let max = self.limits.match_values;
        if values > max {
            return Err(self.invalid(Reason::TooManyValues { values, max }));
        }
        Ok(self.literal(Condition::Match(Wanted::from_value(value)), is_negated))
    }

    fn select(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        self.object_of(value, 3)?;
        let member = |name| value.member(name);
        let field = self.at("field", |parser| parser.non_empty_string(member("field")))?;
        let position = self.at("index", |parser| {
            let number = member("index").and_then(Value::as_number);
            let number = number.ok_or_else(|| parser.invalid(Reason::NotAnInteger))?;
            // Beyond the range of the type, no array has so many elements.
            if number.fract() == 0.0 { Ok(number as i64) } else { Err(parser.invalid(Reason::HasDecimals)) }
        })?;
        let query = self.at("query", |parser| {
            let query = member("query").ok_or_else(|| parser.invalid(Reason::NotAnObject))?;
            parser.non_empty_object(query)?;
            parser.whole_filter(query)
        })?;
        let (expression, text) = canonical::normalize(query, self.limits.normalization_steps);
        let query = Query { expression, text: text.into() };
        Ok(self.literal(Condition::Select(Path::new(field), position, query), is_negated))
    }
}

/// `path[element]`: the first bracket that is neither escaped nor at the beginning, to the one at the end.
fn array_syntax(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix(']')?;
    if text.contains(['\n', '\r', '\u{2028}', '\u{2029}']) {
        return None;
    }
    let bracket = inner
        .match_indices('[')
        .map(|(position, _)| position)
        .find(|&position| position > 0 && !inner[..position].ends_with('\\'))?;
    Some((&inner[..bracket], &inner[bracket + 1..]))
}

fn without_escapes(path: &str) -> String {
    path.replace("\\[", "[").replace("\\]", "]")
}
