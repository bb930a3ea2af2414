//! Reverse search in real time: of very many filters, which does this document satisfy?
//!
//! The filters are those of [Koncorde](https://github.com/kuzzleio/koncorde), the language in which clients of Kuzzle
//! subscribe to messages. A filter is JSON: conditions on fields, joined by logical operators.
//!
//! ```
//! use koncorde::{Document, Filter, Index, Limits};
//!
//! let limits = Limits::default();
//! let near = Filter::parse(
//!     r#"{
//!         "and": [
//!             { "equals": { "status": "free" } },
//!             { "geoDistance": { "position": { "lat": 48.85, "lon": 2.35 }, "distance": "2km" } }
//!         ]
//!     }"#,
//!     &limits,
//! )?;
//! let large = Filter::parse(r#"{ "range": { "seats": { "gte": 5 } } }"#, &limits)?;
//!
//! let mut index = Index::new();
//! index.insert("near", &near);
//! index.insert("large", &large);
//!
//! let taxi = r#"{ "status": "free", "position": [48.851, 2.349], "seats": 4 }"#;
//! let mut ids = Vec::new();
//! index.matches(&Document::parse(taxi, None)?, &mut ids);
//! assert_eq!(ids, ["near"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Filter::parse`] refuses what is no filter, in Koncorde's words ([`Error`]), and what asks for too much
//!   ([`Limits`]).
//! - [`Filter::room_id`] names a filter: the same for filters that mean the same, however they are written.
//! - [`Document`] is a document read once, for any number of filters.
//! - [`Filter::matches`] tests one filter, [`Index`] finds the right ones among a million.
//!
//! # Filters
//! A filter is an object with exactly one keyword. `{}`, `[]` and `null` let everything through.
//!
//! | keyword | value | lets through |
//! |---|---|---|
//! | `equals` | `{field: value}` | documents in which the field is this string, number, boolean or null |
//! | `in` | `{field: [string, …]}` | … is one of these strings |
//! | `ids` | `{values: [string, …]}` | … `_id` is one of these |
//! | `exists` | `"field"`, `"field[value]"` | … is there; is an array that contains the value, which is JSON |
//! | `missing` | as `exists` | the opposite |
//! | `range` | `{field: {gt or gte, lt or lte}}` | … is a number in the range |
//! | `regexp` | `{field: "…"}`, `{field: {value, flags}}` | … is a string in which the expression is found |
//! | `match` | `{field: value, …}` | documents that contain this, also deeply; of arrays, these elements in any order |
//! | `select` | `{field, index, query}` | … is an array whose element satisfies the query, which is about `value` |
//! | `geoBoundingBox` | `{field: box}` | … is a point in the box |
//! | `geoDistance` | `{field: point, distance}` | … is a point not farther away |
//! | `geoDistanceRange` | `{field: point, from, to}` | … is a point at such a distance |
//! | `geoPolygon` | `{field: {points: [point, …]}}` | … is a point in the polygon |
//! | `nothing` | anything | nothing |
//! | `and`, `or` | `[filter, …]` | what all filters, or any of them, let through |
//! | `not` | filter | what the filter does not let through |
//! | `bool` | `{must, must_not, should, should_not}` | what satisfies all, none, at least one, not all of these filters |
//!
//! A field is a path: `a.b` is the member `b` of the object `a`, and also a member that is called `a.b`; arrays are
//! not entered. A point is `{lat, lon}`, `[lat, lon]`, `"lat,lon"`, a geohash, or one of these as `latLon`; a box is
//! `{top, left, bottom, right}` or `{topLeft, bottomRight}`; a distance is a number with a unit of length: `"1.5 km"`.
//! Distances are those of geodesics on WGS84; as in Koncorde, a circle is cut by the rectangle around it that a sphere
//! would have.
//!
//! `not` is the opposite, with two exceptions that are Koncorde's: a field that is there but no string satisfies
//! neither `regexp` nor, if the expression is found in its text, `not regexp`; and one that is there but no point
//! satisfies no condition about places, negated or not.
//!
//! # Normal form
//! Two filters have the same normal form, and so the same room, if they are the same by the laws of logic. The order of
//! conditions, repetitions, nesting, De Morgan, `bool` or `and`, absorption and distribution do not matter, nor how
//! numbers, strings, points and distances are written. Neither do conclusions from what a field can be: it has one
//! value, and what is compared is there. It is Blake's canonical form, found within
//! [`Limits::normalization_steps`]. A filter that takes more is accepted; order, nesting and repetition do not matter
//! for it either, but its other spellings may be other rooms.
//!
//! # Differences from Koncorde 4.7.0
//! - Koncorde fails to store a negated `select` and a negated `nothing`. Here they are what they say: the opposite of
//!   the `select`, and everything.
//! - Koncorde fails to store boxes whose left is not west of their right: these go over the antimeridian here. Boxes
//!   whose top is not north of their bottom, and boxes without a width, are refused: they have no points.
//! - Latitudes beyond the poles are refused in filters, and are no points in documents. Koncorde takes any number.
//! - `gt` and `lt` exclude the bound also where it is so large that Koncorde's 10⁻¹⁰ is lost, and what is closer to it
//!   than that satisfies their negation.
//! - `exists` of one element of an array and `missing` of another one do not contradict each other.
//! - The flags `g` and `y` of regular expressions do not remember the last test: `g` means nothing, `y` anchors.
//! - What follows a number in a distance has to be a unit of length. Koncorde also takes units of time.
//! - Numbers that are not finite (`1e400`) and strings that are no Unicode text (lone surrogates) are refused.
//! - Filters that Koncorde keeps apart, as they are written differently, are one room. Room ids are not those of
//!   Koncorde, but for the filter that lets everything through.
//!
//! # Hostile input
//! Filters and documents come from anybody. Reading them takes time and memory in proportion to their length, documents
//! may be nested to any depth, and filters as deep as [`Limits::depth`]. Regular expressions are those of RE2: no look-around, no references, and a
//! search in linear time. The hashes of fields and values cannot be forged.
#![forbid(unsafe_code)]

mod canonical;
mod condition;
mod document;
mod error;
mod expression;
mod filter;
mod geo;
mod hash;
mod index;
mod json;
mod limits;
mod path;
mod pattern;
mod scalar;
mod scope;
mod syntax;
mod text;
mod wanted;

pub use self::document::{Document, DocumentError};
pub use self::error::{Error, Reason};
pub use self::filter::Filter;
pub use self::index::Index;
pub use self::json::JsonError;
pub use self::limits::Limits;
