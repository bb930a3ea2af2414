//! Distances as filters write them: `10km`, `3 258,55 Ft`.
//!
//! Source: Koncorde 4.7.0, lib/util/convertDistance.ts; node-units 0.1.7, of which only the lengths are taken.

const UNITS: [(&str, f64); 10] = [
    ("meter", 1.0),
    ("m", 1.0),
    ("feet", 0.3048),
    ("ft", 0.3048),
    ("inch", 0.0254),
    ("in", 0.0254),
    ("yard", 0.9144),
    ("yd", 0.9144),
    ("mile", 1609.34),
    ("mi", 1609.34),
];

/// For units of up to three letters. The first that fits is taken off.
const SHORT_PREFIXES: [(&str, f64); 14] = [
    ("da", 10.0),
    ("mu", 1e-6),
    ("m", 1e-3),
    ("h", 100.0),
    ("k", 1000.0),
    ("n", 1e-9),
    ("p", 1e-12),
    ("c", 1e-2),
    ("d", 1e-1),
    ("f", 1e-15),
    ("a", 1e-18),
    ("z", 1e-21),
    ("y", 1e-24),
    ("", 1.0),
];

/// For longer ones.
const LONG_PREFIXES: [(&str, f64); 21] = [
    ("milli", 1e-3),
    ("micro", 1e-6),
    ("nano", 1e-9),
    ("pico", 1e-12),
    ("centi", 1e-2),
    ("deci", 1e-1),
    ("femto", 1e-15),
    ("atto", 1e-18),
    ("zepto", 1e-21),
    ("yocto", 1e-24),
    ("deka", 10.0),
    ("hecto", 100.0),
    ("kilo", 1000.0),
    ("mega", 1e6),
    ("giga", 1e9),
    ("tera", 1e12),
    ("peta", 1e15),
    ("exa", 1e18),
    ("zeta", 1e21),
    ("yotta", 1e24),
    ("", 1.0),
];

/// The distance in metres: a number, then a unit. Spaces and hyphens do not count, nor does the case; a comma is a
/// decimal point.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let cleaned: String = text
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '-')
        .map(|character| if character == ',' { '.' } else { character.to_ascii_lowercase() })
        .collect();
    let letters = cleaned.find(|character: char| character.is_ascii_alphabetic())?;
    let (number, unit) = cleaned.split_at(letters);
    if !number.ends_with(|character: char| character.is_ascii_digit()) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let (modifier, value) = unit_of(unit)?;
    let metres = number * modifier * value;
    metres.is_finite().then_some(metres)
}

/// What the number is multiplied with: for the prefix, and for the unit.
fn unit_of(unit: &str) -> Option<(f64, f64)> {
    // Units of two letters have no plural.
    let plurals: &[&str] = if unit.len() == 2 { &[""] } else { &["", "s", "es"] };
    plurals.iter().filter_map(|plural| unit.strip_suffix(plural)).find_map(|unit| {
        let named = |name: &str| UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, metres)| *metres);
        if let Some(metres) = named(unit) {
            return Some((1.0, metres));
        }
        let prefixes = if unit.len() > 3 { &LONG_PREFIXES[..] } else { &SHORT_PREFIXES[..] };
        let (prefix, modifier) = prefixes.iter().find(|(prefix, _)| unit.starts_with(prefix))?;
        Some((*modifier, named(&unit[prefix.len()..])?))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_numbers_with_units_of_length() {
        for (text, metres) in [
            ("1m", 1.0),
            ("1 km", 1000.0),
            ("3 258,55 Ft", 993.206_040_000_000_1),
            ("2 miles", 3218.68),
            ("10 meters", 10.0),
            ("1 kilometer", 1000.0),
            ("5 inches", 5.0 * 0.0254),
            ("-1nm", 1e-9),
            ("1dam", 10.0),
            ("7 yds", 7.0 * 0.9144),
            (".5mi", 0.5 * 1609.34),
            ("0m", 0.0),
        ] {
            assert_eq!(parse(text), Some(metres), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_length() {
        let long = format!("{}m", "9".repeat(400));
        for text in
            ["", "10", "m", "1 parsec", "foo", "1h", "1 m 2", "1.2.3m", "1.m", "1e3m", "x1m", "1é", &long]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
