//! Why filters are refused, in the words of Koncorde.

use crate::json::JsonError;

/// Why a filter is refused. The texts are meant for the person who wrote the filter; where Koncorde refuses a filter
/// too, they are its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not valid JSON, or nested too deeply.
    #[error("Invalid filter syntax. The filter is not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// A filter is an object with exactly one member.
    #[error("Invalid filter syntax. Filters must have one keyword only")]
    NotOneKeyword,
    /// Something in the filter is not as it has to be.
    #[error("\"{path}\": {reason}")]
    Invalid {
        /// Where: keywords and fields, joined by dots.
        path: String,
        /// What is wrong with it.
        reason: Reason,
    },
    /// A distance is not a number with a unit of length.
    #[error("unable to parse distance value \"{0}\"")]
    Distance(String),
    /// There are more conditions than [`Limits::conditions`](crate::Limits::conditions) allows.
    #[error(
        "Filter too complex: exceeds the configured maximum number of conditions (conditions: {conditions}, max: {max})"
    )]
    TooComplex {
        /// How many there are.
        conditions: usize,
        /// How many there may be.
        max: usize,
    },
}

/// What is wrong with a part of a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There are several keywords.
    #[error("Invalid filter syntax. Filters must have one keyword only")]
    NotOneKeyword,
    /// Koncorde has no such keyword.
    #[error("unknown keyword")]
    UnknownKeyword,
    /// Another type stands where an object has to be.
    #[error("must be an object")]
    NotAnObject,
    /// The object has no members.
    #[error("must be a non-empty object")]
    EmptyObject,
    /// The object has another number of members.
    #[error("expected object to have exactly {expected} {}, got {found}", if *expected > 1 { "properties" } else { "property" })]
    MemberCount {
        /// How many there have to be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A member is not there.
    #[error("the property \"{0}\" is missing")]
    MissingMember(&'static str),
    /// The object has a member that it must not have.
    #[error("\"{name}\" is not an allowed attribute (allowed: {allowed})")]
    UnknownMember {
        /// Its name.
        name: String,
        /// Those that there may be, joined by commas.
        allowed: &'static str,
    },
    /// Another type stands where an array has to be.
    #[error("must be an array")]
    NotAnArray,
    /// The array or string is empty.
    #[error("cannot be empty")]
    Empty,
    /// The array holds something that is no string.
    #[error("must hold only values of type \"string\"")]
    NotStrings,
    /// The array of a logical operator holds something that is no filter.
    #[error("can only contain non-empty objects")]
    NotFilters,
    /// An array or object stands where a single value has to be.
    #[error("must either be a string, a number, a boolean, or null")]
    NotAScalar,
    /// Another type stands where a string has to be.
    #[error("must be a string")]
    NotAString,
    /// Another type stands where a number has to be.
    #[error("must be a number")]
    NotANumber,
    /// Another type stands where a whole number has to be.
    #[error("must be an integer")]
    NotAnInteger,
    /// A number is not whole.
    #[error("cannot have decimals, must be an integer")]
    HasDecimals,
    /// `exists` and `missing` need a path.
    #[error("cannot test empty field name")]
    EmptyFieldName,
    /// What stands in the brackets of `exists` and `missing` is not a JSON string, number, boolean or null.
    #[error("contains an invalid array value (\"{0}\")")]
    ArrayValue(String),
    /// A range has `gt` and `gte`.
    #[error("only 1 lower boundary allowed")]
    TwoLowerBounds,
    /// A range has `lt` and `lte`.
    #[error("only 1 upper boundary allowed")]
    TwoUpperBounds,
    /// No number is in the range.
    #[error("lower boundary must be strictly inferior to the upper one")]
    EmptyRange,
    /// A regular expression is neither a string nor an object.
    #[error("must be either a string or a non-empty object")]
    NotARegexp,
    /// A regular expression is not valid.
    #[error("cannot parse regexp expression \"/{value}/{flags}\" ({reason})")]
    Regexp {
        /// The expression.
        value: String,
        /// Its flags, `undefined` without any.
        flags: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A regular expression has a flag that JavaScript does not have.
    #[error("unknown regexp flag \"{0}\" (allowed: d,g,i,m,s,u,y)")]
    RegexpFlag(char),
    /// A box has a bound that is no number.
    #[error("unrecognized geoBoundingBox format: {0}")]
    GeoBox(String),
    /// A box is in no known format.
    #[error("unrecognized geo-point format")]
    GeoBoxFormat,
    /// A box is upside down or has no width.
    #[error("top must be greater than bottom, and left must differ from right")]
    InvertedGeoBox,
    /// A point is in no known format.
    #[error("unrecognized point format")]
    GeoPoint,
    /// A point of a polygon is in no known format.
    #[error("unrecognized point format \"{0}\"")]
    PolygonPoint(String),
    /// A latitude is beyond a pole, or a longitude is not finite.
    #[error("latitudes must be between -90 and 90, and longitudes must be finite")]
    OffTheGlobe,
    /// A polygon needs three points.
    #[error("at least 3 points are required to build a polygon")]
    TooFewPoints,
    /// A ring has no width.
    #[error("inner radius must be smaller than outer radius")]
    InvertedRing,
    /// A `match` holds more values than [`Limits::match_values`](crate::Limits::match_values) allows.
    #[error("too many values (values: {values}, max: {max})")]
    TooManyValues {
        /// How many there are.
        values: usize,
        /// How many there may be.
        max: usize,
    },
}
