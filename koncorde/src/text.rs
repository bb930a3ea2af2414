//! The texts of normal forms: canonical JSON, so that equal texts mean equal values and the reverse.

use std::fmt::Write;

/// Infinite bounds are `null`.
pub(crate) fn number(out: &mut String, number: f64) {
    if number.is_infinite() {
        return out.push_str("null");
    }
    write!(out, "{number:?}").expect("strings can be written to");
}

pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("strings can be written to");
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Items between brackets or braces, with commas between them.
pub(crate) fn list<T>(
    out: &mut String,
    brackets: [char; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(brackets[0]);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

/// The shortest digits that mean the number, with an exponent from 1e21 and below 1e-6.
pub(crate) fn javascript_number(out: &mut String, number: f64) {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        let sign = if size >= 1.0 { "e+" } else { "e" };
        out.push_str(&text.replacen('e', sign, 1));
    } else {
        write!(out, "{number}").expect("strings can be written to");
    }
}
