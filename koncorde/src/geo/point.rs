//! Points in all formats that filters and documents may use.
//!
//! Source: Koncorde 4.7.0, lib/util/convertGeopoint.ts; ngeohash 0.6.3.

use std::f64;

use crate::json::{Form, Value};
use crate::text;

/// A point, in degrees: the latitude between -90 and 90, the longitude between -180 and 180.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) lat: f64,
    pub(crate) lon: f64,
}

/// Why a value is no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointError {
    /// It has no format that is known.
    Format,
    /// It is not on the globe.
    OffTheGlobe,
}

impl Point {
    /// Longitudes may be of any number of turns.
    pub(crate) fn new(lat: f64, lon: f64) -> Result<Point, PointError> {
        if !(-90.0..=90.0).contains(&lat) || !lon.is_finite() {
            return Err(PointError::OffTheGlobe);
        }
        Ok(Point { lat, lon: wrapped(lon) })
    }

    /// `{lat, lon}`, `[lat, lon]`, `"lat,lon"`, a geohash, or one of these as `latLon` or `lat_lon`.
    pub(crate) fn from_value(value: Value<'_>) -> Result<Point, PointError> {
        match value.form() {
            Form::Object => {}
            _ => return from_list_or_text(value),
        }
        if let (Some(lat), Some(lon)) = (value.member("lat"), value.member("lon")) {
            return from_coordinates(lat, lon);
        }
        // Of both spellings the one written later counts.
        let nested = value.members().filter(|(key, _)| matches!(*key, "latLon" | "lat_lon")).last();
        match nested {
            Some((_, nested)) if nested.is_object() => match (nested.member("lat"), nested.member("lon")) {
                (Some(lat), Some(lon)) => from_coordinates(lat, lon),
                _ => Err(PointError::Format),
            },
            Some((_, nested)) => from_list_or_text(nested),
            None => Err(PointError::Format),
        }
    }

    pub(crate) fn write(self, out: &mut String) {
        text::list(out, ['[', ']'], [self.lat, self.lon], text::number);
    }
}

/// The longitude between -180 and 180.
pub(crate) fn wrapped(lon: f64) -> f64 {
    if (-180.0..=180.0).contains(&lon) {
        return lon;
    }
    match lon % 360.0 {
        lon if lon > 180.0 => lon - 360.0,
        lon if lon < -180.0 => lon + 360.0,
        lon => lon + 0.0,
    }
}

/// A number, or a text that begins with one.
pub(crate) fn coordinate(value: Value<'_>) -> Option<f64> {
    match value.form() {
        Form::Number(number) => Some(number),
        Form::String(text) => leading_number(text),
        _ => None,
    }
}

fn from_list_or_text(value: Value<'_>) -> Result<Point, PointError> {
    match value.form() {
        Form::Array => {
            let mut elements = value.elements();
            match (elements.next(), elements.next(), elements.next()) {
                (Some(lat), Some(lon), None) => from_coordinates(lat, lon),
                _ => Err(PointError::Format),
            }
        }
        Form::String(text) => {
            let mut parts = text.split(',');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(lat), Some(lon), None) => match (leading_number(lat), leading_number(lon)) {
                    (Some(lat), Some(lon)) => Point::new(lat, lon),
                    _ => Err(PointError::Format),
                },
                (_, None, _) => from_geohash(text),
                _ => Err(PointError::Format),
            }
        }
        _ => Err(PointError::Format),
    }
}

fn from_coordinates(lat: Value<'_>, lon: Value<'_>) -> Result<Point, PointError> {
    match (coordinate(lat), coordinate(lon)) {
        (Some(lat), Some(lon)) => Point::new(lat, lon),
        _ => Err(PointError::Format),
    }
}

/// The middle of the cell. Letters that geohashes do not use count as zero, as they do in Koncorde.
fn from_geohash(text: &str) -> Result<Point, PointError> {
    const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    if text.len() < 4 || !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()) {
        return Err(PointError::Format);
    }
    let (mut lat, mut lon) = ((-90.0, 90.0), (-180.0, 180.0));
    let mut is_lon = true;
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|&digit| digit == byte).unwrap_or_default();
        for bit in (0..5).rev() {
            let (low, high) = if is_lon { &mut lon } else { &mut lat };
            let middle = f64::midpoint(*low, *high);
            *(if digit >> bit & 1 == 1 { low } else { high }) = middle;
            is_lon = !is_lon;
        }
    }
    Point::new(f64::midpoint(lat.0, lat.1), f64::midpoint(lon.0, lon.1))
}

/// JavaScript's `parseFloat`: the longest beginning that is a decimal number, after white space.
pub(crate) fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if text[sign..].starts_with("Infinity") {
        return Some(if bytes[0] == b'-' { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    text[..end].parse::<f64>().ok().map(|number| number + 0.0)
}
