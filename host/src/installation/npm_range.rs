//! Whether a Kuzzle version lies in an npm range, prereleases included (`includePrerelease`).
//!
//! `semver` reads and orders versions. Its own requirements are cargo's, so `js-semver` decides what
//! a range is, and answers for released versions. It has no `includePrerelease`: for a host that is
//! itself a prerelease the bounds are worked out here, as npm does: a bound that comes from an
//! omitted part begins at `-0`.

use js_semver::Range;
use semver::{BuildMetadata, Prerelease, Version};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The range is none.
    #[error("\"{0}\" is not a version range as npm defines them")]
    Range(String),
    /// The version is none.
    #[error("\"{0}\" is not a version")]
    Version(String),
}

/// Whether `version` lies in `range`.
///
/// # Errors
/// [`RangeError`]: one of them can not be read.
pub fn satisfies(range: &str, version: &str) -> Result<bool, RangeError> {
    let parsed = Range::parse(range).map_err(|_| RangeError::Range(range.to_owned()))?;
    let mut version = Version::parse(version).map_err(|_| RangeError::Version(version.to_owned()))?;
    if version.pre.is_empty() {
        let released = js_semver::Version::new(version.major, version.minor, version.patch);
        return Ok(parsed.satisfies(&released));
    }
    // Build metadata has no part in precedence, but would in `Ord`.
    version.build = BuildMetadata::EMPTY;
    Ok(range.split("||").any(|alternative| bounds(alternative).iter().all(|bound| bound.holds(&version))))
}

#[derive(Clone, Copy)]
enum Operator {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

struct Bound {
    operator: Operator,
    version: Version,
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Less => version < &self.version,
            Operator::LessOrEqual => version <= &self.version,
            Operator::Equal => version == &self.version,
            Operator::GreaterOrEqual => version >= &self.version,
            Operator::Greater => version > &self.version,
        }
    }
}

/// A version of which parts may be left out or be `x`.
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    prerelease: Prerelease,
}

impl Partial {
    /// Reads a version of a range that `js-semver` has accepted.
    fn read(text: &str) -> Self {
        let text = text.trim_start_matches(['v', 'V', '=', ' ', '\t']);
        let text = text.split('+').next().unwrap_or("");
        let (core, prerelease) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = core.split('.').map(|part| part.parse().ok());
        let major = parts.next().flatten();
        let minor = parts.next().flatten().filter(|_| major.is_some());
        let patch = parts.next().flatten().filter(|_| minor.is_some());
        let prerelease = Prerelease::new(prerelease).unwrap_or(Prerelease::EMPTY);
        Self { major, minor, patch, prerelease }
    }

    /// The parts before the first one that is left out.
    fn known(&self) -> Known {
        match (self.major, self.minor, self.patch) {
            (None, ..) => Known::Nothing,
            (Some(major), None, _) => Known::Major(major),
            (Some(major), Some(minor), None) => Known::Minor(major, minor),
            (Some(major), Some(minor), Some(patch)) => Known::Patch(major, minor, patch),
        }
    }
}

enum Known {
    Nothing,
    Major(u64),
    Minor(u64, u64),
    Patch(u64, u64, u64),
}

fn exact(major: u64, minor: u64, patch: u64, prerelease: Prerelease) -> Version {
    Version { pre: prerelease, ..Version::new(major, minor, patch) }
}

/// The lowest version of these three parts: `-0`.
fn lowest(major: u64, minor: u64, patch: u64) -> Version {
    exact(major, minor, patch, Prerelease::new("0").unwrap_or(Prerelease::EMPTY))
}

fn at_least(version: Version) -> Bound {
    Bound { operator: Operator::GreaterOrEqual, version }
}

fn below(version: Version) -> Bound {
    Bound { operator: Operator::Less, version }
}

/// What nothing satisfies.
fn nothing() -> Bound {
    below(lowest(0, 0, 0))
}

/// The bounds of one alternative; all of them must hold.
fn bounds(alternative: &str) -> Vec<Bound> {
    let words: Vec<&str> = alternative.split_whitespace().collect();
    if let [from, "-", to] = words[..] {
        return hyphen(&Partial::read(from), &Partial::read(to));
    }
    let mut bounds = Vec::new();
    let mut rest = alternative.trim_start();
    while !rest.is_empty() {
        let version =
            rest.trim_start_matches(['<', '>', '=', '~', '^', ' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
        let signs: String = rest[..rest.len() - version.len()].split_whitespace().collect();
        // `~=2.1` and `^=2.1` are `~2.1` and `^2.1`.
        let operator = match signs.as_bytes() {
            [b'~', ..] => "~",
            [b'^', ..] => "^",
            _ => signs.as_str(),
        };
        let end = version.find(char::is_whitespace).unwrap_or(version.len());
        comparator(operator, Partial::read(&version[..end]), &mut bounds);
        rest = version[end..].trim_start();
    }
    bounds
}

fn hyphen(from: &Partial, to: &Partial) -> Vec<Bound> {
    let mut bounds = Vec::new();
    match from.known() {
        Known::Nothing => {}
        Known::Major(major) => bounds.push(at_least(lowest(major, 0, 0))),
        Known::Minor(major, minor) => bounds.push(at_least(lowest(major, minor, 0))),
        Known::Patch(major, minor, patch) if from.prerelease.is_empty() => {
            bounds.push(at_least(lowest(major, minor, patch)));
        }
        Known::Patch(major, minor, patch) => {
            bounds.push(at_least(exact(major, minor, patch, from.prerelease.clone())));
        }
    }
    match to.known() {
        Known::Nothing => {}
        Known::Major(major) => bounds.push(below(lowest(major + 1, 0, 0))),
        Known::Minor(major, minor) => bounds.push(below(lowest(major, minor + 1, 0))),
        Known::Patch(major, minor, patch) if to.prerelease.is_empty() => {
            bounds.push(below(lowest(major, minor, patch + 1)));
        }
        Known::Patch(major, minor, patch) => bounds.push(Bound {
            operator: Operator::LessOrEqual,
            version: exact(major, minor, patch, to.prerelease.clone()),
        }),
    }
    bounds
}

fn comparator(operator: &str, partial: Partial, bounds: &mut Vec<Bound>) {
    let known = partial.known();
    match (operator, known) {
        ("~" | "^", Known::Nothing) => {}
        ("~" | "^", Known::Major(major)) => {
            bounds.extend([at_least(lowest(major, 0, 0)), below(lowest(major + 1, 0, 0))]);
        }
        ("^", Known::Minor(major, minor)) if major > 0 => {
            bounds.extend([at_least(lowest(major, minor, 0)), below(lowest(major + 1, 0, 0))]);
        }
        ("~" | "^", Known::Minor(major, minor)) => {
            bounds.extend([at_least(lowest(major, minor, 0)), below(lowest(major, minor + 1, 0))]);
        }
        ("^", Known::Patch(major, minor, patch)) => {
            let end = match (major, minor) {
                (0, 0) => lowest(0, 0, patch + 1),
                (0, _) => lowest(0, minor + 1, 0),
                _ => lowest(major + 1, 0, 0),
            };
            bounds.extend([at_least(exact(major, minor, patch, partial.prerelease)), below(end)]);
        }
        ("~", Known::Patch(major, minor, patch)) => {
            let start = exact(major, minor, patch, partial.prerelease);
            bounds.extend([at_least(start), below(lowest(major, minor + 1, 0))]);
        }
        ("<" | ">", Known::Nothing) => bounds.push(nothing()),
        (_, Known::Nothing) => {}
        ("<", Known::Major(major)) => bounds.push(below(lowest(major, 0, 0))),
        ("<", Known::Minor(major, minor)) => bounds.push(below(lowest(major, minor, 0))),
        ("<=", Known::Major(major)) => bounds.push(below(lowest(major + 1, 0, 0))),
        ("<=", Known::Minor(major, minor)) => bounds.push(below(lowest(major, minor + 1, 0))),
        (">", Known::Major(major)) => bounds.push(at_least(lowest(major + 1, 0, 0))),
        (">", Known::Minor(major, minor)) => bounds.push(at_least(lowest(major, minor + 1, 0))),
        (">=", Known::Major(major)) => bounds.push(at_least(lowest(major, 0, 0))),
        (">=", Known::Minor(major, minor)) => bounds.push(at_least(lowest(major, minor, 0))),
        (_, Known::Major(major)) => {
            bounds.extend([at_least(lowest(major, 0, 0)), below(lowest(major + 1, 0, 0))]);
        }
        (_, Known::Minor(major, minor)) => {
            bounds.extend([at_least(lowest(major, minor, 0)), below(lowest(major, minor + 1, 0))]);
        }
        (_, Known::Patch(major, minor, patch)) => {
            let operator = match operator {
                "<" => Operator::Less,
                "<=" => Operator::LessOrEqual,
                ">" => Operator::Greater,
                ">=" => Operator::GreaterOrEqual,
                _ => Operator::Equal,
            };
            bounds.push(Bound { operator, version: exact(major, minor, patch, partial.prerelease) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line of the vectors: range, then for npm's `semver` either `invalid`, or the versions of
    /// the first line that lie in it with `includePrerelease`.
    #[test]
    fn agrees_with_npm_on_every_range_and_version_of_the_table() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/npm-semver.json")).unwrap();
        let versions: Vec<&str> =
            table["versions"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        let ranges = table["ranges"].as_object().unwrap();
        assert!(ranges.len() > 250 && versions.len() > 40);
        let mut wrong = Vec::new();
        for (range, included) in ranges {
            for version in &versions {
                let expected = included
                    .as_array()
                    .map(|included| included.iter().any(|v| v == version))
                    .ok_or_else(|| RangeError::Range(range.clone()));
                let found = satisfies(range, version);
                if found != expected {
                    wrong.push(format!("{range:?} {version}: npm {expected:?}, here {found:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn agrees_with_npm_on_the_tables_that_npm_tests_itself_with() {
        let tables: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/npm-semver-fixtures.json")).unwrap();
        let (mut compared, mut wrong) = (0, Vec::new());
        for (range, versions) in tables["satisfies"].as_object().unwrap() {
            for (version, expected) in versions.as_object().unwrap() {
                let found = satisfies(range, version);
                compared += 1;
                if found != Ok(expected.as_bool().unwrap()) {
                    wrong.push(format!("{range:?} {version}: npm {expected}, here {found:?}"));
                }
            }
        }
        for (range, expected) in tables["valid"].as_object().unwrap() {
            compared += 1;
            if satisfies(range, "2.56.0").is_ok() != expected.as_bool().unwrap() {
                wrong.push(format!("{range:?}: npm valid {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {compared} wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert!(compared > 200, "{compared}");
    }

    #[test]
    fn build_metadata_has_no_part_in_precedence() {
        assert_eq!(satisfies("=2.56.0", "2.56.0+linux.7"), Ok(true));
        assert_eq!(satisfies("=2.56.0-rc.1", "2.56.0-rc.1+linux.7"), Ok(true));
        assert_eq!(satisfies("<=2.56.0-rc.1", "2.56.0-rc.1+linux.7"), Ok(true));
        assert_eq!(satisfies(">2.56.0-rc.1", "2.56.0-rc.1+linux.7"), Ok(false));
    }

    #[test]
    fn a_version_that_is_none_is_told_apart_from_a_range_that_is_none() {
        assert_eq!(satisfies("*", "2.x"), Err(RangeError::Version("2.x".to_owned())));
        assert_eq!(satisfies("2..0", "2.0.0"), Err(RangeError::Range("2..0".to_owned())));
    }
}
