//! The path of a field, as filters name it: `a.b.c`.

use std::fmt;

use crate::hash::Hash;

/// A path and its hash.
#[derive(Clone)]
pub(crate) struct Path {
    text: Box<str>,
    hash: Hash,
}

impl Path {
    pub(crate) fn new(text: &str) -> Path {
        Path { text: text.into(), hash: Hash::of(text) }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Eq for Path {}

impl fmt::Debug for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}
