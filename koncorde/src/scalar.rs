//! The values that filters compare: null, booleans, numbers and strings, strictly by type.

use crate::hash::Hash;
use crate::json::{Form, Value};
use crate::text;

/// A value that is neither an array nor an object. Numbers are finite, and zero is positive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Number(f64),
    String(Box<str>),
}

impl Scalar {
    pub(crate) fn from_value(value: Value<'_>) -> Option<Scalar> {
        Some(match value.form() {
            Form::Null => Scalar::Null,
            Form::Bool(value) => Scalar::Bool(value),
            Form::Number(value) => Scalar::Number(value),
            Form::String(value) => Scalar::String(value.into()),
            Form::Array | Form::Object => return None,
        })
    }

    /// Same type, same value.
    pub(crate) fn is(&self, value: Value<'_>) -> bool {
        match (self, value.form()) {
            (Scalar::Null, Form::Null) => true,
            (Scalar::Bool(own), Form::Bool(other)) => *own == other,
            (Scalar::Number(own), Form::Number(other)) => *own == other,
            (Scalar::String(own), Form::String(other)) => **own == *other,
            _ => false,
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Scalar::Null => out.push_str("null"),
            Scalar::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Scalar::Number(value) => text::number(out, *value),
            Scalar::String(value) => text::string(out, value),
        }
    }

    /// Equal scalars, and values that they are, have the same hash.
    pub(crate) fn hash(&self) -> Hash {
        match self {
            Scalar::Null => hash_of(Form::Null),
            Scalar::Bool(value) => hash_of(Form::Bool(*value)),
            Scalar::Number(value) => hash_of(Form::Number(*value)),
            Scalar::String(value) => hash_of(Form::String(value)),
        }
    }
}

/// The hash of the scalar that the value is; some hash if it is none.
pub(crate) fn hash_of(form: Form<'_>) -> Hash {
    match form {
        Form::Null => Hash::EMPTY.with_number(0),
        Form::Bool(value) => Hash::EMPTY.with_number(1 + u64::from(value)),
        Form::Number(value) => Hash::EMPTY.with_number(3).with_number(value.to_bits()),
        Form::String(value) => Hash::of(value),
        Form::Array | Form::Object => Hash::EMPTY,
    }
}
