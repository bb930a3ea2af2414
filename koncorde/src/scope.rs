//! What a condition looks at: a document, or an element of an array in one.

use crate::document::Document;
use crate::json::Value;
use crate::path::Path;

/// Where fields are looked up.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    Document(&'a Document),
    /// As if the element were the one field of a document, by the name of `value`.
    Element(Value<'a>),
}

impl<'a> Scope<'a> {
    /// The field with this path.
    pub(crate) fn get(self, path: &Path) -> Option<Value<'a>> {
        match self {
            Scope::Document(document) => document.get(path),
            Scope::Element(element) => nested(element, path.text().strip_prefix("value")?),
        }
    }
}

/// The value at a path that begins with a dot, unless it is empty. A later member counts more than an earlier one.
fn nested<'a>(value: Value<'a>, path: &str) -> Option<Value<'a>> {
    let whole = path;
    let (mut value, mut path) = (value, path);
    // Of the members whose key begins the path, all but the last wait here: an earlier one counts if no later one
    // has the rest.
    let mut waiting = Vec::new();
    loop {
        if path.is_empty() {
            return Some(value);
        }
        if let Some(rest) = path.strip_prefix('.') {
            waiting.extend(value.members().filter_map(|(key, member)| {
                let rest = rest.strip_prefix(key)?;
                (rest.is_empty() || rest.starts_with('.')).then_some((member, rest.len()))
            }));
        }
        let (next, rest) = waiting.pop()?;
        value = next;
        path = &whole[whole.len() - rest..];
    }
}
