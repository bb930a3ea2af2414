//! What the keyword `match` wants: part of a document.
//!
//! Source: Koncorde 4.7.0, lib/util/ObjectMatcher.ts.

use crate::json::{Form, Value};
use crate::path::Path;
use crate::scalar::Scalar;
use crate::scope::Scope;
use crate::text;

/// A pattern of values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    Scalar(Scalar),
    /// Each is wanted once, in any order; in the order of the filter each takes the first element that it matches.
    Elements(Box<[Wanted]>),
    /// Sorted by key.
    Members(Box<[(Path, Wanted)]>),
}

impl Wanted {
    pub(crate) fn from_value(value: Value<'_>) -> Wanted {
        match Scalar::from_value(value) {
            Some(scalar) => Wanted::Scalar(scalar),
            None if value.is_array() => Wanted::Elements(value.elements().map(Wanted::from_value).collect()),
            None => {
                let mut members: Vec<_> =
                    value.members().map(|(key, value)| (Path::new(key), Wanted::from_value(value))).collect();
                members.sort_by(|(one, _), (other, _)| one.text().cmp(other.text()));
                Wanted::Members(members.into())
            }
        }
    }

    /// Whether the document, with the paths of nested objects as members, is what is wanted.
    pub(crate) fn matches(&self, scope: Scope<'_>) -> bool {
        match self {
            Wanted::Members(members) => members
                .iter()
                .all(|(path, wanted)| scope.get(path).is_some_and(|value| wanted.matches_value(value))),
            Wanted::Scalar(_) | Wanted::Elements(_) => false,
        }
    }

    fn matches_value(&self, value: Value<'_>) -> bool {
        match (self, value.form()) {
            (Wanted::Scalar(scalar), _) => scalar.is(value),
            (Wanted::Members(members), Form::Object) => members.iter().all(|(key, wanted)| {
                value.member(key.text()).is_some_and(|member| wanted.matches_value(member))
            }),
            (Wanted::Elements(elements), Form::Array) => matches_elements(elements, value),
            _ => false,
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Wanted::Scalar(scalar) => scalar.write(out),
            Wanted::Elements(elements) => {
                text::list(out, ['[', ']'], elements, |out, element| element.write(out));
            }
            Wanted::Members(members) => text::list(out, ['{', '}'], members, |out, (key, wanted)| {
                text::string(out, key.text());
                out.push(':');
                wanted.write(out);
            }),
        }
    }
}

fn matches_elements(wanted: &[Wanted], array: Value<'_>) -> bool {
    let mut left: Vec<Option<Value<'_>>> = array.elements().map(Some).collect();
    left.len() >= wanted.len()
        && wanted.iter().all(|wanted| {
            let found = left.iter_mut().find(|value| value.is_some_and(|value| wanted.matches_value(value)));
            found.is_some_and(|found| found.take().is_some())
        })
}
