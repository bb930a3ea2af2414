//! From the dialect of RE2 and JavaScript to that of `regex-syntax`.
//!
//! `\d`, `\w`, `\s` and `\b` are about ASCII only, a brace that counts nothing is a brace, and brackets and set
//! operators mean nothing in a class.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Writes the expression in the other dialect.
///
/// # Errors
/// The escape sequences that RE2 refuses, with its text. What else is wrong with the expression is left to be found
/// by the parser.
pub(super) fn translate(source: &str) -> Result<String, String> {
    let mut out = String::with_capacity(source.len() + 8);
    let mut chars = source.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\\' => escape(&mut chars, &mut out, false)?,
            '[' => class(&mut chars, &mut out)?,
            '{' if !is_repetition(chars.clone()) => out.push_str(r"\{"),
            _ => out.push(character),
        }
    }
    Ok(out)
}

/// Whether what follows a brace is a number, or two with a comma, and the closing brace.
fn is_repetition(mut rest: Peekable<Chars<'_>>) -> bool {
    let digits = |rest: &mut Peekable<Chars<'_>>| {
        let mut count = 0;
        while rest.next_if(char::is_ascii_digit).is_some() {
            count += 1;
        }
        count > 0
    };
    if !digits(&mut rest) {
        return false;
    }
    if rest.next_if_eq(&',').is_some() {
        digits(&mut rest);
    }
    rest.next() == Some('}')
}

/// From after the opening bracket to the closing one.
fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    // At the beginning it is a member.
    if chars.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
    while let Some(character) = chars.next() {
        match character {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '\\' => escape(chars, out, true)?,
            '[' if chars.peek() == Some(&':') => posix_class(chars, out),
            '[' | '&' | '~' => out.extend(['\\', character]),
            // A range that ends with a hyphen. Two of them would be an operator.
            '-' if chars.next_if_eq(&'-').is_some() => out.push_str(r"-\-"),
            _ => out.push(character),
        }
    }
    // Not closed: the parser says so.
    Ok(())
}

/// `[:alpha:]`, or else a bracket.
fn posix_class(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let name: String = chars.clone().skip(1).take_while(|character| *character != ':').collect();
    let len = name.chars().count() + 1;
    let mut end = chars.clone().skip(len);
    if name.len() < 10 && end.next() == Some(':') && end.next() == Some(']') {
        out.push('[');
        for character in chars.by_ref().take(len + 2) {
            out.push(character);
        }
    } else {
        out.push_str(r"\[");
    }
}

/// From after the backslash.
fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) -> Result<(), String> {
    let Some(character) = chars.next() else { return Err(r"trailing \ at end of regexp".to_owned()) };
    let invalid = |what: &str| Err(format!(r"invalid escape sequence: \{what}"));
    match character {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if in_class => out.push_str(r"\x08"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => out.push_str(r"(?-u:\B)"),
        'A' | 'z' if !in_class => out.extend(['\\', character]),
        't' | 'n' | 'r' | 'f' | 'v' | 'a' => out.extend(['\\', character]),
        'p' | 'P' => {
            out.extend(['\\', character]);
            braces(chars, out);
        }
        '0' => out.push_str(r"\x00"),
        'c' => match chars.next_if(char::is_ascii_alphabetic) {
            Some(letter) => code(out, u32::from(letter) % 32),
            None => return invalid("c"),
        },
        'x' if chars.peek() == Some(&'{') => {
            out.push_str(r"\x");
            braces(chars, out);
        }
        'x' => hexadecimal(chars, out, 2).ok_or(()).or_else(|()| invalid("x"))?,
        'u' if chars.peek() == Some(&'{') => {
            out.push_str(r"\x");
            braces(chars, out);
        }
        'u' => hexadecimal(chars, out, 4).ok_or(()).or_else(|()| invalid("u"))?,
        'Q' if !in_class => quoted(chars, out),
        '1'..='9' | 'a'..='z' | 'A'..='Z' => return invalid(&character.to_string()),
        _ => literal(out, character),
    }
    Ok(())
}

/// What stands in braces, if that is what follows.
fn braces(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    if chars.peek() != Some(&'{') {
        return;
    }
    for character in chars.by_ref() {
        out.push(character);
        if character == '}' {
            return;
        }
    }
}

/// `\Q...\E`: everything between is literal.
fn quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(character) = chars.next() {
        if character == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        literal(out, character);
    }
}

fn hexadecimal(chars: &mut Peekable<Chars<'_>>, out: &mut String, digits: usize) -> Option<()> {
    let mut value = 0;
    for _ in 0..digits {
        value = value * 16 + chars.next()?.to_digit(16)?;
    }
    code(out, value);
    Some(())
}

fn code(out: &mut String, code: u32) {
    write!(out, r"\x{{{code:x}}}").expect("strings can be written to");
}

fn literal(out: &mut String, character: char) {
    if character.is_ascii_punctuation() && character != '<' && character != '>' {
        out.push('\\');
    }
    out.push(character);
}
