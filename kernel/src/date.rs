//! Dates as clients write them: ISO 8601, as far as JavaScript's `Date` reads it on all platforms.

/// The milliseconds since the Unix epoch of `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, or a day with `THH:MM`, seconds,
/// fractions of them and an offset, `Z` or `+HH:MM`. Without an offset the time is UTC. `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let (day, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 2))?;
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let milliseconds = time.map_or(Some(0.0), parse_time)?;
    Some(days_since_epoch(year, month, day) as f64 * 86_400_000.0 + milliseconds)
}

/// The milliseconds since midnight UTC.
fn parse_time(text: &str) -> Option<f64> {
    let (time, offset_minutes) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) if text[at..].eq_ignore_ascii_case("z") => (&text[..at], 0),
        Some(at) => {
            let (hours, minutes) = text[at + 1..].split_once(':')?;
            let minutes = digits(hours, 2)? * 60 + digits(minutes, 2)?;
            (&text[..at], if text[at..].starts_with('-') { -minutes } else { minutes })
        }
    };
    let mut parts = time.split(':');
    let hours = digits(parts.next()?, 2)?;
    let minutes = digits(parts.next()?, 2)?;
    let (seconds, fraction) = match parts.next() {
        None => (0, 0.0),
        Some(seconds) => match seconds.split_once('.') {
            None => (digits(seconds, 2)?, 0.0),
            Some((seconds, fraction)) => {
                let length = fraction.len();
                (digits(seconds, 2)?, digits(fraction, length)? as f64 / 10f64.powi(length as i32))
            }
        },
    };
    let is_time = hours < 24 && minutes < 60 && seconds < 60 && parts.next().is_none();
    let milliseconds = ((hours * 60 + minutes - offset_minutes) * 60 + seconds) as f64 * 1_000.0;
    is_time.then(|| milliseconds + (fraction * 1_000.0).floor())
}

/// A number of exactly so many digits, at most 9.
fn digits(text: &str, length: usize) -> Option<i64> {
    let fits = text.len() == length && (1..=9).contains(&length);
    (fits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970-01-01, in the Gregorian calendar. A year begins in March here, so that the leap day is its
/// last one.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_date_reads() {
        for (text, expected) in [
            ("1970", 0.0),
            ("1970-01-02", 86_400_000.0),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000.0),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123.0),
            ("2023-11-14 22:13:20", 1_700_000_000_000.0),
            ("2023-11-15T00:13:20+02:00", 1_700_000_000_000.0),
            ("2023-11-14T20:43:20-01:30", 1_700_000_000_000.0),
            ("2024-02-29", 1_709_164_800_000.0),
            ("2000-03-01T00:00", 951_868_800_000.0),
            ("1969-12-31T23:59:59.999Z", -1.0),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_anything_else() {
        for text in [
            "",
            "now",
            "2023-13",
            "2023-02-29",
            "2100-02-29",
            "2023-1-1",
            "2023-01-01-01",
            "2023-01-01T24:00",
            "2023-01-01T",
            "2023-01-01T1:00",
            "2023-01-01T10:00:00.Z",
            "2023-01-01T10:00:00+2",
            "2023-01-01T10:00:00.1234567890Z",
            "-001",
            "\u{0662}023",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
