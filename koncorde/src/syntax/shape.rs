//! What every keyword asks of its value: types, numbers of members, names.

use super::Parser;
use crate::error::{Error, Reason};
use crate::json::{Form, Value};
use crate::text;

impl Parser<'_> {
    pub(super) fn object(&self, value: Value<'_>) -> Result<(), Error> {
        if value.is_object() { Ok(()) } else { Err(self.invalid(Reason::NotAnObject)) }
    }

    pub(super) fn non_empty_object(&self, value: Value<'_>) -> Result<(), Error> {
        self.object(value)?;
        if len(value) == 0 { Err(self.invalid(Reason::EmptyObject)) } else { Ok(()) }
    }

    pub(super) fn object_of(&self, value: Value<'_>, expected: usize) -> Result<(), Error> {
        self.object(value)?;
        match len(value) {
            found if found != expected => Err(self.invalid(Reason::MemberCount { expected, found })),
            _ => Ok(()),
        }
    }

    /// An object with one member.
    pub(super) fn single<'v>(&self, value: Value<'v>) -> Result<(&'v str, Value<'v>), Error> {
        self.object_of(value, 1)?;
        value.members().next().ok_or_else(|| self.invalid(Reason::EmptyObject))
    }

    pub(super) fn required<'v>(&self, value: Value<'v>, name: &'static str) -> Result<Value<'v>, Error> {
        value.member(name).ok_or_else(|| self.invalid(Reason::MissingMember(name)))
    }

    pub(super) fn only_members(
        &self,
        value: Value<'_>,
        names: &[&str],
        allowed: &'static str,
    ) -> Result<(), Error> {
        match value.members().find(|(name, _)| !names.contains(name)) {
            Some((name, _)) => Err(self.invalid(Reason::UnknownMember { name: name.to_owned(), allowed })),
            None => Ok(()),
        }
    }

    pub(super) fn non_empty_array(&self, value: Value<'_>) -> Result<(), Error> {
        if !value.is_array() {
            return Err(self.invalid(Reason::NotAnArray));
        }
        if value.elements().next().is_none() { Err(self.invalid(Reason::Empty)) } else { Ok(()) }
    }

    pub(super) fn strings(&self, value: Value<'_>) -> Result<(), Error> {
        self.non_empty_array(value)?;
        let is_of_strings = value.elements().all(|element| element.as_str().is_some());
        if is_of_strings { Ok(()) } else { Err(self.invalid(Reason::NotStrings)) }
    }

    pub(super) fn non_empty_string<'v>(&self, value: Option<Value<'v>>) -> Result<&'v str, Error> {
        match value.and_then(Value::as_str) {
            None => Err(self.invalid(Reason::NotAString)),
            Some("") => Err(self.invalid(Reason::Empty)),
            Some(text) => Ok(text),
        }
    }

    pub(super) fn filters_only<'v>(&self, values: impl Iterator<Item = Value<'v>>) -> Result<(), Error> {
        for value in values {
            if len(value) == 0 {
                return Err(self.invalid(Reason::NotFilters));
            }
        }
        Ok(())
    }
}

/// How many members an object has; 0 for any other value.
pub(super) fn len(value: Value<'_>) -> usize {
    value.members().count()
}

/// What JavaScript takes for false.
pub(super) fn is_falsy(value: Value<'_>) -> bool {
    match value.form() {
        Form::Null | Form::Bool(false) | Form::String("") => true,
        Form::Number(number) => number == 0.0,
        _ => false,
    }
}

/// The value as JSON, for messages: JavaScript's `JSON.stringify`, with other names for some members.
pub(super) fn json_of(value: Value<'_>, rename: fn(&str) -> &str) -> String {
    fn write(out: &mut String, value: Value<'_>, rename: fn(&str) -> &str) {
        match value.form() {
            Form::Null => out.push_str("null"),
            Form::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Form::Number(number) => text::javascript_number(out, number),
            Form::String(value) => text::string(out, value),
            Form::Array => text::list(out, ['[', ']'], value.elements(), |out, element| {
                write(out, element, |name| name);
            }),
            Form::Object => text::list(out, ['{', '}'], value.members(), |out, (key, member)| {
                text::string(out, rename(key));
                out.push(':');
                write(out, member, |name| name);
            }),
        }
    }
    let mut out = String::new();
    write(&mut out, value, rename);
    out
}
