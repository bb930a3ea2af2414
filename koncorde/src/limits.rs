//! How much a filter may ask for.

/// What a filter may hold. The defaults are those of Kuzzle where it has one.
///
/// ```
/// # use koncorde::{Filter, Limits};
/// let limits = Limits { conditions: 1, ..Limits::default() };
/// let error = Filter::parse(r#"{"in":{"city":["Paris","Lima"]}}"#, &limits).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "Filter too complex: exceeds the configured maximum number of conditions (conditions: 2, max: 1)",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many conditions a filter may have, as it is written: each value of `in` and `ids` is one. The query of a
    /// `select` is counted on its own. 0 means no limit.
    pub conditions: usize,
    /// How many arrays and objects may stand in each other. Reading a filter takes stack in proportion to its depth.
    pub depth: usize,
    /// How many bytes the program of a regular expression may take. What a search costs at worst is this times the text:
    /// with 64 KiB, some seconds for a hostile text of 1 MB.
    pub regexp_bytes: usize,
    /// How many values a `match` may hold: what it costs is this times the values of the document.
    pub match_values: usize,
    /// How much work is done to find the normal form, in comparisons of conjunctions. A filter that needs more is
    /// accepted, but some filters that mean the same then have other room ids.
    pub normalization_steps: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            conditions: 100,
            depth: 128,
            regexp_bytes: 64 * 1024,
            match_values: 1000,
            normalization_steps: 500_000,
        }
    }
}
