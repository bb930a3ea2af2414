//! JSON text read into a flat tree, without recursion: as deep as the text goes, or to a given depth.
//!
//! Numbers are those of JavaScript (doubles, rounded correctly, no negative zero), and of repeated keys the last one
//! counts.

use std::collections::HashMap;

/// Why a text is not the JSON that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct JsonError {
    reason: &'static str,
    offset: usize,
}

/// A JSON text. The nodes stand in the order of the text, so a subtree is a range of them.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Keys and strings, unescaped, one after the other.
    text: String,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    key: Span,
    parent: u32,
    /// The first node after the subtree.
    end: u32,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    String(Span),
    Array,
    Object,
    /// A member whose key is repeated later.
    Superseded,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

/// A value in a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    tree: &'a Tree,
    node: u32,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form<'a> {
    Null,
    Bool(bool),
    Number(f64),
    String(&'a str),
    Array,
    Object,
}

impl Tree {
    /// Reads a text.
    pub(crate) fn parse(json: &str, max_depth: usize) -> Result<Tree, JsonError> {
        Reader::new(json, max_depth).read()
    }

    pub(crate) fn root(&self) -> Value<'_> {
        self.value(0)
    }

    pub(crate) fn value(&self, node: u32) -> Value<'_> {
        Value { tree: self, node }
    }

    /// Adds a string that no other node contains, below the root as far as [`Value::parent`] goes.
    pub(crate) fn add_string(&mut self, key: &str, value: &str) -> u32 {
        let node = self.nodes.len() as u32;
        let key = self.add_text(key);
        let kind = Kind::String(self.add_text(value));
        self.nodes.push(Node { kind, key, parent: 0, end: node + 1 });
        node
    }

    fn add_text(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, len: text.len() as u32 }
    }

    fn text(&self, span: Span) -> &str {
        &self.text[span.start as usize..][..span.len as usize]
    }

    /// Of members with the same key, only the last one stays.
    fn supersede_repeated_keys(&mut self, object: u32, members: usize) {
        const FEW: usize = 16;
        if members < 2 {
            return;
        }
        let mut superseded = Vec::new();
        if members <= FEW {
            // One bit for some of the keys: most are seen to be new without a comparison.
            let mut seen = 0_u64;
            let mut node = object + 1;
            while node < self.nodes.len() as u32 {
                let Node { key, end, .. } = self.nodes[node as usize];
                let text = self.text(key);
                let bytes = text.as_bytes();
                let sum =
                    bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(5) + usize::from(*byte));
                let bit = 1 << (sum % 64);
                if seen & bit != 0 {
                    let mut earlier = object + 1;
                    while earlier < node {
                        if self.text(self.nodes[earlier as usize].key) == text {
                            superseded.push(earlier);
                        }
                        earlier = self.nodes[earlier as usize].end;
                    }
                }
                seen |= bit;
                node = end;
            }
        } else {
            let mut last = HashMap::with_capacity(members);
            let mut node = object + 1;
            while node < self.nodes.len() as u32 {
                let Node { key, end, .. } = self.nodes[node as usize];
                superseded.extend(last.insert(self.text(key), node));
                node = end;
            }
        }
        for node in superseded {
            self.nodes[node as usize].kind = Kind::Superseded;
        }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn form(self) -> Form<'a> {
        match self.get().kind {
            Kind::Null | Kind::Superseded => Form::Null,
            Kind::Bool(value) => Form::Bool(value),
            Kind::Number(value) => Form::Number(value),
            Kind::String(span) => Form::String(self.tree.text(span)),
            Kind::Array => Form::Array,
            Kind::Object => Form::Object,
        }
    }

    pub(crate) fn is_array(self) -> bool {
        matches!(self.get().kind, Kind::Array)
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.get().kind, Kind::Object)
    }

    pub(crate) fn as_str(self) -> Option<&'a str> {
        if let Form::String(text) = self.form() { Some(text) } else { None }
    }

    pub(crate) fn as_number(self) -> Option<f64> {
        if let Form::Number(number) = self.form() { Some(number) } else { None }
    }

    pub(crate) fn tree(self) -> &'a Tree {
        self.tree
    }

    pub(crate) fn node(self) -> u32 {
        self.node
    }

    /// The first node after this value.
    pub(crate) fn end(self) -> u32 {
        self.get().end
    }

    pub(crate) fn parent(self) -> Value<'a> {
        self.tree.value(self.get().parent)
    }

    /// The key of a member of an object.
    pub(crate) fn key(self) -> &'a str {
        self.tree.text(self.get().key)
    }

    /// A member whose key is repeated later: as if it were not there.
    pub(crate) fn is_superseded(self) -> bool {
        matches!(self.get().kind, Kind::Superseded)
    }

    /// The members of an object, nothing for any other value.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'a str, Value<'a>)> + Clone {
        let children = if self.is_object() { self.children() } else { self.no_children() };
        children.filter(|child| !child.is_superseded()).map(|child| (child.key(), child))
    }

    /// The elements of an array, nothing for any other value.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'a>> + Clone {
        if self.is_array() { self.children() } else { self.no_children() }
    }

    /// The member with this key.
    pub(crate) fn member(self, key: &str) -> Option<Value<'a>> {
        self.members().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn get(self) -> &'a Node {
        &self.tree.nodes[self.node as usize]
    }

    fn children(self) -> Children<'a> {
        Children { tree: self.tree, next: self.node + 1, end: self.end() }
    }

    fn no_children(self) -> Children<'a> {
        Children { tree: self.tree, next: 0, end: 0 }
    }
}

#[derive(Clone)]
struct Children<'a> {
    tree: &'a Tree,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.next >= self.end {
            return None;
        }
        let value = self.tree.value(self.next);
        self.next = value.end();
        Some(value)
    }
}

struct Reader<'a> {
    json: &'a str,
    at: usize,
    max_depth: usize,
    tree: Tree,
}

/// An array or object whose end has not been read.
struct Open {
    node: u32,
    is_object: bool,
    members: usize,
}

impl<'a> Reader<'a> {
    fn new(json: &'a str, max_depth: usize) -> Reader<'a> {
        let tree =
            Tree { nodes: Vec::with_capacity(json.len() / 16 + 1), text: String::with_capacity(json.len()) };
        Reader { json, at: 0, max_depth, tree }
    }

    fn read(mut self) -> Result<Tree, JsonError> {
        if u32::try_from(self.json.len()).is_err() {
            return Err(self.error("more than 4 GiB"));
        }
        let mut open: Vec<Open> = Vec::new();
        let mut key = Span::default();
        loop {
            let parent = open.last().map_or(0, |open| open.node);
            if let Some(is_object) = self.value(key, parent)? {
                if open.len() >= self.max_depth {
                    return Err(self.error("nested too deeply"));
                }
                let node = self.tree.nodes.len() as u32 - 1;
                open.push(Open { node, is_object, members: 0 });
                self.skip_space();
                if self.peek() == Some(if is_object { b'}' } else { b']' }) {
                    self.at += 1;
                    self.close(&mut open);
                } else {
                    key = self.next_key(&mut open)?;
                    continue;
                }
            }
            // After a value: the end, a comma, or the ends of what it stands in.
            loop {
                self.skip_space();
                let Some(container) = open.last() else {
                    return if self.at == self.json.len() {
                        Ok(self.tree)
                    } else {
                        Err(self.error("unexpected character"))
                    };
                };
                match (self.peek(), container.is_object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        key = self.next_key(&mut open)?;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        self.close(&mut open);
                    }
                    _ => return Err(self.unexpected()),
                }
            }
        }
    }

    /// In an object: the key and the colon. In an array there is none.
    fn next_key(&mut self, open: &mut [Open]) -> Result<Span, JsonError> {
        let Some(Open { is_object: true, members, .. }) = open.last_mut() else { return Ok(Span::default()) };
        *members += 1;
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(key)
    }

    fn close(&mut self, open: &mut Vec<Open>) {
        let Some(Open { node, is_object, members }) = open.pop() else { return };
        if is_object {
            self.tree.supersede_repeated_keys(node, members);
        }
        self.tree.nodes[node as usize].end = self.tree.nodes.len() as u32;
    }

    /// One value; of an array or object only the beginning, and then whether it is an object.
    fn value(&mut self, key: Span, parent: u32) -> Result<Option<bool>, JsonError> {
        self.skip_space();
        let (kind, opened) = match self.peek() {
            Some(b'"') => (Kind::String(self.string()?), None),
            Some(b'-' | b'0'..=b'9') => (Kind::Number(self.number()?), None),
            Some(b'{') => {
                self.at += 1;
                (Kind::Object, Some(true))
            }
            Some(b'[') => {
                self.at += 1;
                (Kind::Array, Some(false))
            }
            Some(b't') => (self.word("true", Kind::Bool(true))?, None),
            Some(b'f') => (self.word("false", Kind::Bool(false))?, None),
            Some(b'n') => (self.word("null", Kind::Null)?, None),
            _ => return Err(self.unexpected()),
        };
        let end = self.tree.nodes.len() as u32 + 1;
        self.tree.nodes.push(Node { kind, key, parent, end });
        Ok(opened)
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, JsonError> {
        if !self.json[self.at..].starts_with(word) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<f64, JsonError> {
        let start = self.at;
        self.skip(b'-');
        let digits = self.at;
        if !self.skip(b'0') && self.digits() == 0 {
            return Err(self.unexpected());
        }
        let is_small = self.at - digits <= 15;
        let mut is_integer = true;
        if self.skip(b'.') {
            is_integer = false;
            if self.digits() == 0 {
                return Err(self.unexpected());
            }
        }
        if self.skip(b'e') || self.skip(b'E') {
            is_integer = false;
            if !self.skip(b'+') {
                self.skip(b'-');
            }
            if self.digits() == 0 {
                return Err(self.unexpected());
            }
        }
        let text = &self.json[start..self.at];
        let number = if is_integer && is_small {
            text.parse::<i64>().expect("at most 15 digits") as f64
        } else {
            text.parse::<f64>().expect("JSON numbers are a subset")
        };
        if number.is_infinite() {
            return Err(JsonError { reason: "number out of range", offset: start });
        }
        Ok(number + 0.0)
    }

    /// A string, from its first to after its last quote.
    fn string(&mut self) -> Result<Span, JsonError> {
        let start = self.tree.text.len() as u32;
        self.at += 1;
        loop {
            let plain = self.at;
            let bytes = self.json.as_bytes();
            while bytes.get(self.at).is_some_and(|&byte| byte != b'"' && byte != b'\\' && byte >= b' ') {
                self.at += 1;
            }
            self.tree.text.push_str(&self.json[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Span { start, len: self.tree.text.len() as u32 - start });
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    self.tree.text.push(character);
                }
                Some(_) => return Err(self.error("control character in a string")),
                None => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 2;
        Ok(match self.json.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let alone = JsonError { reason: "lone surrogate in a string", offset: start };
                let first = self.hexadecimal()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if !self.json[self.at..].starts_with("\\u") {
                        return Err(alone);
                    }
                    self.at += 2;
                    let second = self.hexadecimal()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(alone);
                    }
                    0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(alone)?
            }
            _ => return Err(JsonError { reason: "invalid escape in a string", offset: start }),
        })
    }

    fn hexadecimal(&mut self) -> Result<u32, JsonError> {
        let digits = self.json.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for &digit in digits {
            let Some(digit) = char::from(digit).to_digit(16) else { break };
            code = code * 16 + digit;
            self.at += 1;
        }
        if digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit) {
            Ok(code)
        } else {
            Err(self.error("invalid escape in a string"))
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self) -> JsonError {
        self.error(if self.at < self.json.len() { "unexpected character" } else { "unexpected end" })
    }

    fn error(&self, reason: &'static str) -> JsonError {
        JsonError { reason, offset: self.at }
    }
}
