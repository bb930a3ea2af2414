//! A document as filters see it: nested objects are also reachable as `a.b.c`.
//!
//! Source: Koncorde 4.7.0, lib/util/Flatten.ts.

use crate::hash::Hash;
use crate::json::{JsonError, Tree, Value};
use crate::path::Path;

/// Why a text is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is not valid JSON, or holds a number that is not finite or a string that is no Unicode text.
    #[error("The document is not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// It is valid JSON, but not an object.
    #[error("The document is not an object")]
    NotAnObject,
}

/// A document, parsed once and then matched against as many filters as there are.
///
/// ```
/// # use koncorde::{Document, Filter, Limits};
/// let document = Document::parse(r#"{"driver":{"name":"Ada"}}"#, Some("17"))?;
/// let filter = Filter::parse(r#"{"equals":{"driver.name":"Ada"}}"#, &Limits::default())?;
/// assert!(filter.matches(&document));
/// let filter = Filter::parse(r#"{"ids":{"values":["17"]}}"#, &Limits::default())?;
/// assert!(filter.matches(&document));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its depth is not limited, and it takes memory in proportion to the text.
#[derive(Clone, Debug)]
pub struct Document {
    tree: Tree,
    fields: Vec<Field>,
    /// Open addressing by the hash of the path: 0, or a position in `fields` plus one.
    table: Vec<u32>,
    has_shadows: bool,
}

/// A member of the document or of an object in it, however deep, but not in an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) hash: Hash,
    /// The length of the path.
    pub(crate) len: u32,
    node: u32,
    /// Another field with the same path counts: `{"a":{"b":1},"a.b":2}`.
    pub(crate) is_shadowed: bool,
}

impl Document {
    /// Parses the JSON text of an object. The identifier, if there is one, is what the filter `ids` tests; it counts
    /// more than a member `_id`.
    ///
    /// # Errors
    /// The text is not valid JSON (see [`DocumentError`]) or not an object.
    pub fn parse(json: &str, id: Option<&str>) -> Result<Document, DocumentError> {
        let mut tree = Tree::parse(json, usize::MAX)?;
        if !tree.root().is_object() {
            return Err(DocumentError::NotAnObject);
        }
        let mut fields = flatten(&tree);
        if let Some(id) = id {
            let node = tree.add_string("_id", id);
            fields.push(Field { hash: Hash::of("_id"), len: 3, node, is_shadowed: false });
        }
        let table = Document::index(&mut fields);
        let has_shadows = fields.iter().any(|field| field.is_shadowed);
        Ok(Document { tree, fields, table, has_shadows })
    }

    /// The field with this path.
    pub(crate) fn get(&self, path: &Path) -> Option<Value<'_>> {
        let field = self.find(path.hash(), path.text().len() as u32)?;
        let value = self.value(field);
        is_path(value, path.text()).then_some(value)
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether any field is shadowed.
    pub(crate) fn has_shadows(&self) -> bool {
        self.has_shadows
    }

    pub(crate) fn value(&self, field: &Field) -> Value<'_> {
        self.tree.value(field.node)
    }

    /// Whether the path of the field is this one.
    pub(crate) fn has_path(&self, field: &Field, path: &Path) -> bool {
        field.hash == path.hash()
            && field.len as usize == path.text().len()
            && is_path(self.value(field), path.text())
    }

    fn find(&self, hash: Hash, len: u32) -> Option<&Field> {
        let mask = self.table.len() - 1;
        let mut slot = hash.spread() as usize & mask;
        loop {
            let field = &self.fields[self.table[slot].checked_sub(1)? as usize];
            if field.hash == hash && field.len == len {
                return Some(field);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn index(fields: &mut [Field]) -> Vec<u32> {
        let size = (fields.len() * 2).next_power_of_two().max(2);
        let mut table = vec![0_u32; size];
        for position in 0..fields.len() {
            let Field { hash, len, .. } = fields[position];
            let mut slot = hash.spread() as usize & (size - 1);
            while let Some(other) = table[slot].checked_sub(1) {
                let other = &mut fields[other as usize];
                // The hash is that of the whole path and cannot be forged, see there.
                if other.hash == hash && other.len == len {
                    other.is_shadowed = true;
                    break;
                }
                slot = (slot + 1) & (size - 1);
            }
            table[slot] = position as u32 + 1;
        }
        table
    }
}

/// The fields in the order in which Koncorde assigns them: an object comes after what is in it.
fn flatten(tree: &Tree) -> Vec<Field> {
    let end = tree.root().end();
    let mut fields = Vec::new();
    let mut open = vec![Field { hash: Hash::EMPTY, len: 0, node: 0, is_shadowed: false }];
    let mut node = 1;
    while let Some(parent) = open.last() {
        if node >= tree.value(parent.node).end() {
            fields.push(*parent);
            open.pop();
            continue;
        }
        let value = tree.value(node);
        if value.is_superseded() {
            node = value.end();
            continue;
        }
        // As in Koncorde, nothing separates an empty path from what follows.
        let (hash, len) = match parent.len {
            0 => (parent.hash, 0),
            len => (parent.hash.with_text("."), len + 1),
        };
        let hash = hash.with_text(value.key());
        let field = Field { hash, len: len + value.key().len() as u32, node, is_shadowed: false };
        if value.is_object() {
            open.push(field);
            node += 1;
        } else {
            fields.push(field);
            node = value.end();
        }
    }
    debug_assert_eq!(node, end);
    // The document itself is no field.
    fields.pop();
    fields
}

/// Whether the keys from the document to this value, joined by dots, are the path. They are as long as it.
fn is_path(value: Value<'_>, path: &str) -> bool {
    let (mut value, mut path) = (value, path);
    loop {
        let Some(rest) = path.strip_suffix(value.key()) else { return false };
        // Whatever is above has no length: nothing, or empty keys.
        if rest.is_empty() {
            return true;
        }
        value = value.parent();
        match rest.strip_suffix('.') {
            Some(parent) if value.node() != 0 => path = parent,
            _ => return false,
        }
    }
}
