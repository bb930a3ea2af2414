//! A single condition of a filter, and when it holds.

use std::fmt::Write;
use std::sync::Arc;

use crate::expression::Expression;
use crate::geo::area::Area;
use crate::geo::point::Point;
use crate::json::{Form, Value};
use crate::path::Path;
use crate::pattern::Pattern;
use crate::scalar::Scalar;
use crate::scope::Scope;
use crate::text;
use crate::wanted::Wanted;

/// A condition in its standard form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// The field is this scalar.
    Equals(Path, Scalar),
    /// The field is there.
    Exists(Path),
    /// The field is an array that contains this scalar.
    Contains(Path, Scalar),
    /// The field is a number in this range.
    Range(Path, Range),
    /// The field is a string that matches.
    Regexp(Path, Arc<Pattern>),
    /// The document has at least these members.
    Match(Wanted),
    /// The field is an array with an element at this position, from the end if negative, that satisfies the query.
    Select(Path, i64, Query),
    /// The field is a point in this area.
    Within(Path, Area),
}

/// Numbers from the first to the last one, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The query of a `select`, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) expression: Expression,
    pub(crate) text: Box<str>,
}

/// A condition or its negation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    pub(crate) condition: Arc<Condition>,
    pub(crate) is_negated: bool,
}

impl PartialEq for Query {
    fn eq(&self, other: &Query) -> bool {
        self.text == other.text
    }
}

impl Literal {
    /// Whether it holds. The negation of a condition on text or on places is not its opposite: see
    /// [`Condition::is_complementary`].
    pub(crate) fn holds(&self, scope: Scope<'_>) -> bool {
        match &*self.condition {
            Condition::Regexp(path, pattern) => regexp_holds(pattern, scope.get(path), self.is_negated),
            Condition::Within(path, area) => within_holds(area, scope.get(path), self.is_negated),
            condition => condition.holds(scope) != self.is_negated,
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        out.push('{');
        self.condition.write(out);
        write!(out, ",\"not\":{}}}", self.is_negated).expect("strings can be written to");
    }
}

impl Condition {
    /// Whether of the condition and its negation exactly one holds, whatever the document.
    pub(crate) fn is_complementary(&self) -> bool {
        !matches!(self, Condition::Regexp(..) | Condition::Within(..))
    }

    /// The field that it is about.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Condition::Equals(path, _)
            | Condition::Exists(path)
            | Condition::Contains(path, _)
            | Condition::Range(path, _)
            | Condition::Regexp(path, _)
            | Condition::Select(path, ..)
            | Condition::Within(path, _) => Some(path),
            Condition::Match(_) => None,
        }
    }

    fn holds(&self, scope: Scope<'_>) -> bool {
        match self {
            Condition::Equals(path, scalar) => scope.get(path).is_some_and(|value| scalar.is(value)),
            Condition::Exists(path) => scope.get(path).is_some(),
            Condition::Contains(path, scalar) => {
                scope.get(path).is_some_and(|value| value.elements().any(|element| scalar.is(element)))
            }
            Condition::Range(path, range) => {
                scope.get(path).and_then(Value::as_number).is_some_and(|number| range.contains(number))
            }
            Condition::Regexp(path, pattern) => regexp_holds(pattern, scope.get(path), false),
            Condition::Match(wanted) => wanted.matches(scope),
            Condition::Select(path, position, query) => scope
                .get(path)
                .and_then(|array| element_at(array, *position))
                .is_some_and(|element| query.expression.holds(Scope::Element(element))),
            Condition::Within(path, area) => within_holds(area, scope.get(path), false),
        }
    }

    /// The members of the condition's object.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Condition::Equals(path, scalar) => {
                field(out, "equals", path, |out| scalar.write(out));
            }
            Condition::Exists(path) => {
                out.push_str("\"exists\":");
                text::string(out, path.text());
            }
            Condition::Contains(path, scalar) => {
                field(out, "contains", path, |out| scalar.write(out));
            }
            Condition::Range(path, range) => field(out, "range", path, |out| {
                text::list(out, ['[', ']'], [range.low, range.high], text::number);
            }),
            Condition::Regexp(path, pattern) => field(out, "regexp", path, |out| pattern.write(out)),
            Condition::Match(wanted) => {
                out.push_str("\"match\":");
                wanted.write(out);
            }
            Condition::Select(path, position, query) => field(out, "select", path, |out| {
                write!(out, "[{position},{}]", query.text).expect("strings can be written to");
            }),
            Condition::Within(path, area) => {
                let keyword = match area {
                    Area::Box(_) => "geoBoundingBox",
                    Area::Ring { .. } => "geoDistance",
                    Area::Polygon(_) => "geoPolygon",
                };
                field(out, keyword, path, |out| area.write(out));
            }
        }
    }
}

impl Range {
    pub(crate) fn contains(&self, number: f64) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

/// The element at a position, which is counted from the end if it is negative.
pub(crate) fn element_at(array: Value<'_>, position: i64) -> Option<Value<'_>> {
    let position = if position < 0 {
        let len = array.elements().count();
        len.checked_sub(usize::try_from(position.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(position).ok()?
    };
    array.elements().nth(position)
}

fn field(out: &mut String, keyword: &str, path: &Path, value: impl FnOnce(&mut String)) {
    write!(out, "\"{keyword}\":{{").expect("strings can be written to");
    text::string(out, path.text());
    out.push(':');
    value(out);
    out.push('}');
}

/// Only strings match. Whatever is there does not match if its text does not, and what is missing does not match.
pub(crate) fn regexp_holds(pattern: &Pattern, value: Option<Value<'_>>, is_negated: bool) -> bool {
    match value.map(|value| (value, value.form())) {
        None => is_negated,
        Some((_, Form::String(text))) => pattern.is_match(text) != is_negated,
        Some((value, _)) => is_negated && !pattern.is_match(&string_of(value)),
    }
}

/// A point is inside or outside, what is missing or empty is outside, and all the rest is neither.
fn within_holds(area: &Area, value: Option<Value<'_>>, is_negated: bool) -> bool {
    match place_of(value) {
        Place::At(point) => area.contains(point) != is_negated,
        Place::Nowhere => is_negated,
        Place::Unknown => false,
    }
}

/// What geographical conditions see in a value.
pub(crate) enum Place {
    At(Point),
    /// It is missing, `null`, `false`, `0` or `""`.
    Nowhere,
    /// It is no point.
    Unknown,
}

pub(crate) fn place_of(value: Option<Value<'_>>) -> Place {
    let Some(value) = value else { return Place::Nowhere };
    match value.form() {
        Form::Null | Form::Bool(false) | Form::Number(0.0) | Form::String("") => Place::Nowhere,
        _ => Point::from_value(value).map_or(Place::Unknown, Place::At),
    }
}

/// JavaScript's `String(value)`: arrays are the texts of their elements with commas between.
fn string_of(value: Value<'_>) -> String {
    let mut out = String::new();
    let mut node = value.node();
    while node < value.end() {
        let current = value.tree().value(node);
        let is_nested = node != value.node();
        if is_nested && node != current.parent().node() + 1 {
            out.push(',');
        }
        match current.form() {
            Form::Null if is_nested => {}
            Form::Null => out.push_str("null"),
            Form::Bool(value) => write!(out, "{value}").expect("strings can be written to"),
            Form::Number(value) => text::javascript_number(&mut out, value),
            Form::String(value) => out.push_str(value),
            Form::Array => {}
            Form::Object => {
                out.push_str("[object Object]");
                node = current.end();
                continue;
            }
        }
        node += 1;
    }
    out
}
