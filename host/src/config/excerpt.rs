//! A place in a configuration file as people read it: line, column and the line itself, secrets
//! masked.

use super::secrets::{MASK, is_secret, without_credentials};

/// How much of a line is shown, in characters.
const WIDTH: usize = 120;

/// Line and column of `offset`, counted from 1, in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The line around `offset` of a text with wrong syntax, as by [`excerpt`]. More is masked there: what
/// follows the name of a secret counts as one.
pub(super) fn excerpt_of_broken(text: &str, offset: usize) -> String {
    let (start, end) = line(text, offset);
    excerpt(text, offset, &secrets(&text[..end], start, true))
}

/// The ranges of all secrets in a text with right syntax.
pub(super) fn all_secrets(text: &str) -> Vec<(usize, usize)> {
    secrets(text, 0, false)
}

/// The line around `offset`, without blanks at its ends and without these secrets, which are in order;
/// of a long line the part around `offset`.
pub(super) fn excerpt(text: &str, offset: usize, secrets: &[(usize, usize)]) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let (start, end) = line(text, offset);
    let first = secrets.partition_point(|(_, to)| *to <= start);
    let mut shown = String::new();
    let mut cursor = start;
    let mut marked = 0;
    for (from, to) in secrets[first..].iter().copied().take_while(|(from, _)| *from < end) {
        let (from, to) = (from.max(cursor), to.min(end));
        if to <= from {
            continue;
        }
        shown.push_str(&text[cursor..from]);
        if offset >= from {
            marked = shown.chars().count();
        }
        shown.push_str(MASK);
        cursor = to;
    }
    if offset >= cursor {
        marked = (shown.chars().count() + text[cursor..before.len().max(cursor)].chars().count()).max(marked);
    }
    shown.push_str(&text[cursor..end]);
    clip(&without_credentials(&shown), marked)
}

/// Where the line around `offset` begins and ends.
fn line(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[before.len()..].find('\n').map_or(text.len(), |newline| before.len() + newline);
    (start, end)
}

/// The part of a long line around its character number `marked`.
fn clip(line: &str, marked: usize) -> String {
    let length = line.chars().count();
    if length <= WIDTH {
        return line.trim().to_owned();
    }
    let from = marked.saturating_sub(WIDTH / 2).min(length - WIDTH);
    let part: String = line.chars().skip(from).take(WIDTH).collect();
    let dots = |shown: bool| if shown { "…" } else { "" };
    format!("{}{}{}", dots(from > 0), part.trim(), dots(from + WIDTH < length))
}

/// The ranges of secrets that reach behind `start`, in order. `text` ends where the line does.
fn secrets(text: &str, start: usize, broken: bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // Whether the values in each open object or array are secrets, and the one that comes next.
    let mut open: Vec<bool> = Vec::new();
    let mut next = false;
    let tokens = Tokens { text, at: 0 };
    for token in tokens {
        let inside = open.last().copied().unwrap_or(false);
        let content = &text[token.from..token.to];
        match token.kind {
            Kind::Open => {
                open.push(next || inside);
                next = false;
            }
            Kind::Close => {
                open.pop();
                next = false;
            }
            Kind::Comma if broken && next && token.from >= start => {}
            Kind::Comma => next = false,
            Kind::Colon => {}
            Kind::Comment => {
                if token.to > start
                    && content.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_secret)
                {
                    found.push((token.from, token.to));
                }
            }
            Kind::Word => {
                let name = content.trim_matches(['"', '\'']);
                let is_key = text[token.to..].trim_start().starts_with(':');
                if is_key && !next {
                    next = is_secret(name);
                } else if next || inside || (broken && content.contains(':') && is_secret_inside(content)) {
                    let harmless = matches!(content, "true" | "false" | "null");
                    if token.to > start && !harmless {
                        found.push((token.from, token.to));
                    }
                } else if broken && is_secret(name) {
                    next = true;
                }
            }
        }
    }
    found
}

/// Whether the name of a secret stands somewhere in a text that lacks a quote.
fn is_secret_inside(text: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').any(is_secret)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Colon,
    Comment,
    /// A string, a number, or whatever else stands there.
    Word,
}

struct Token {
    kind: Kind,
    from: usize,
    to: usize,
}

/// The tokens of a text that may be no JSON at all: strings end at the end of their line.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let rest = self.text[self.at..].trim_start();
        let from = self.text.len() - rest.len();
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            '{' | '[' => (Kind::Open, 1),
            '}' | ']' => (Kind::Close, 1),
            ',' => (Kind::Comma, 1),
            ':' => (Kind::Colon, 1),
            '/' if rest.starts_with("//") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => {
                (Kind::Comment, rest.find("*/").map_or(rest.len(), |end| end + 2))
            }
            '"' | '\'' => (Kind::Word, string_length(rest, first)),
            _ => {
                let ends = |c: char| c.is_whitespace() || "{}[],:\"'".contains(c);
                let length =
                    rest.char_indices().skip(1).find(|(_, c)| ends(*c)).map_or(rest.len(), |(at, _)| at);
                (Kind::Word, length)
            }
        };
        self.at = from + length;
        Some(Token { kind, from, to: self.at })
    }
}

fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, mark: &str, broken: bool) -> String {
        let offset = text.find(mark).unwrap();
        if broken { excerpt_of_broken(text, offset) } else { excerpt(text, offset, &all_secrets(text)) }
    }

    #[test]
    fn shows_the_line_and_counts_in_characters() {
        let text = "{\n  \"é\": 1,\n}";
        assert_eq!(line_and_column(text, text.find('1').unwrap()), (2, 8));
        assert_eq!(at(text, "1", false), "\"é\": 1,");
        assert_eq!(excerpt_of_broken("", 0), "");
        assert_eq!(excerpt_of_broken("{}", 99), "{}");
    }

    #[test]
    fn masks_secrets_and_only_those() {
        let text = r#"{"a": {"password": "hunter2", "port": "no", "jwt": {"x": ["hunter2"]}, "y": true}}"#;
        assert_eq!(
            at(text, "\"no\"", false),
            r#"{"a": {"password": ***, "port": "no", "jwt": {"x": [***]}, "y": true}}"#
        );
        let text = "{\"jwt\": {\n\"x\": [1,\n 2], \"port\": 5 }, \"port\": \"no\"";
        assert_eq!(at(text, "2]", false), "***], \"port\": *** }, \"port\": \"no\"");
    }

    #[test]
    fn masks_secrets_in_wrong_syntax_too() {
        for text in [
            "{\"password\" \"hunter2\" @}",
            "{\"password: hunter2\", @}",
            "{\"password\": hunter2 hunter2 @}",
            "{\"password\", \"hunter2\", @}",
            "{\"password\": \"hunter2 @",
            "{\"password\":\n \"hunter2\" @ }",
            "{password = hunter2 @}",
            "{'password': 'hunter2' @}",
            "{ // password hunter2 \n @ // the password: hunter2",
        ] {
            let shown = at(text, "@", true);
            assert!(!shown.contains("hunter2"), "{text} -> {shown}");
        }
    }

    #[test]
    fn a_long_line_is_clipped_around_the_place() {
        let text =
            format!("{{\"a\": \"{}\", \"port\": \"no\", \"b\": \"{}\"}}", "x".repeat(5000), "é".repeat(5000));
        let shown = at(&text, "\"no\"", false);
        assert!(shown.contains("\"port\": \"no\"") && shown.chars().count() <= WIDTH + 2, "{shown}");
        assert!(shown.starts_with('…') && shown.ends_with('…'));
    }
}
