//! Regular expressions: those of RE2 with the flags of JavaScript, searched in linear time and compiled within a
//! given size.

mod dialect;
mod pool;

use std::sync::{Arc, OnceLock};

use regex_automata::meta::{Config, Regex};
use regex_syntax::ParserBuilder;
use regex_syntax::ast::ErrorKind;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};

use crate::text;

/// How deep groups may stand in each other.
const NEST_LIMIT: u32 = 250;
/// What a text must contain is told by at most so many literals.
const MAX_LITERALS: usize = 32;

/// A valid regular expression. It is compiled when it is first tested: it takes kilobytes then, and most expressions in
/// an index are never tested.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: Box<str>,
    flags: Flags,
    max_bytes: usize,
    regex: OnceLock<Regex>,
    required: Option<Box<[Box<[u8]>]>>,
}

/// The flags that change what an expression matches. `d`, `g` and `u` change nothing in a test. (In Koncorde, `g`
/// makes every second test start where the last one stopped.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    /// `y`: only at the beginning.
    sticky: bool,
}

/// Why an expression is refused.
pub(crate) enum PatternError {
    Flag(char),
    /// In the words of RE2 where it has some.
    Expression(String),
}

impl Pattern {
    /// The expression, which may be one that other filters use too.
    pub(crate) fn new(source: &str, flags: &str, max_bytes: usize) -> Result<Arc<Pattern>, PatternError> {
        let flags = Flags::parse(flags)?;
        let key = pool::Key { source: source.into(), flags, max_bytes };
        pool::get_or_make(key, |key| {
            let (_, hir) = compile(&key.source, flags, max_bytes).map_err(PatternError::Expression)?;
            Ok(Pattern {
                source: key.source.clone(),
                flags,
                max_bytes,
                regex: OnceLock::new(),
                required: required(&hir),
            })
        })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| {
            let (regex, _) =
                compile(&self.source, self.flags, self.max_bytes).expect("it could be compiled before");
            regex
        });
        regex.is_match(text)
    }

    /// If there are such: literals of which every text that matches contains one.
    pub(crate) fn required(&self) -> Option<&[Box<[u8]>]> {
        self.required.as_deref()
    }

    pub(crate) fn write(&self, out: &mut String) {
        let Flags { ignore_case, multi_line, dot_all, sticky } = self.flags;
        out.push('{');
        if self.flags != Flags::default() {
            let flags = [(ignore_case, 'i'), (multi_line, 'm'), (dot_all, 's'), (sticky, 'y')];
            let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).collect();
            out.push_str("\"flags\":");
            text::string(out, &flags);
            out.push(',');
        }
        out.push_str("\"value\":");
        text::string(out, &self.source);
        out.push('}');
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source == other.source && self.flags == other.flags
    }
}

impl Flags {
    fn parse(flags: &str) -> Result<Flags, PatternError> {
        let mut parsed = Flags::default();
        for flag in flags.chars() {
            match flag {
                'i' => parsed.ignore_case = true,
                'm' => parsed.multi_line = true,
                's' => parsed.dot_all = true,
                'y' => parsed.sticky = true,
                'd' | 'g' | 'u' => {}
                _ => return Err(PatternError::Flag(flag)),
            }
        }
        Ok(parsed)
    }
}

/// The compiled expression and its structure, or what RE2 says of it.
fn compile(source: &str, flags: Flags, max_bytes: usize) -> Result<(Regex, Hir), String> {
    let own = dialect::translate(source)?;
    let own = if flags.sticky { format!(r"\A(?:{own})") } else { own };
    let hir = ParserBuilder::new()
        .nest_limit(NEST_LIMIT)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .build()
        .parse(&own)
        .map_err(|error| words(&error, source))?;
    let config = Config::new().nfa_size_limit(Some(max_bytes)).onepass(false);
    let regex = Regex::builder().configure(config).build_from_hir(&hir).map_err(|error| {
        match error.size_limit() {
            Some(_) => "pattern too large - compile failed".to_owned(),
            None => error.to_string(),
        }
    })?;
    Ok((regex, hir))
}

/// Literals of which every match begins or ends with one, if they are few and say something.
fn required(hir: &Hir) -> Option<Box<[Box<[u8]>]>> {
    let literals = |kind| {
        let seq: Seq = Extractor::new().kind(kind).limit_total(MAX_LITERALS).extract(hir);
        Some((seq.min_literal_len()?, seq))
    };
    let (shortest, seq) = [ExtractKind::Prefix, ExtractKind::Suffix]
        .into_iter()
        .filter_map(literals)
        .max_by_key(|(shortest, _)| *shortest)?;
    (shortest > 0).then(|| seq.literals().unwrap_or_default().iter().map(|it| it.as_bytes().into()).collect())
}

/// What RE2 says of such an expression.
fn words(error: &regex_syntax::Error, source: &str) -> String {
    let regex_syntax::Error::Parse(error) = error else { return error.to_string() };
    let span = error.span();
    let at = &error.pattern()[span.start.offset..span.end.offset];
    match error.kind() {
        ErrorKind::GroupUnclosed => format!("missing ): {source}"),
        ErrorKind::GroupUnopened => format!("unexpected ): {source}"),
        ErrorKind::ClassUnclosed => format!("missing ]: {}", &error.pattern()[span.start.offset..]),
        ErrorKind::ClassRangeInvalid => format!("invalid character class range: {at}"),
        ErrorKind::RepetitionMissing => {
            let operator = &error.pattern()[span.start.offset..];
            format!("no argument for repetition operator: {}", &operator[..operator.len().min(1)])
        }
        ErrorKind::RepetitionCountInvalid => format!("invalid repetition size: {at}"),
        ErrorKind::UnsupportedLookAround => format!("invalid perl operator: {at}"),
        ErrorKind::NestLimitExceeded(_) => "expression too deep".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str, flags: &str) -> Arc<Pattern> {
        Pattern::new(source, flags, 1 << 16).unwrap_or_else(|_| panic!("{source}"))
    }

    #[test]
    fn expressions_in_use_are_shared() {
        let one = pattern("shared", "i");
        assert!(Arc::ptr_eq(&one, &pattern("shared", "ii")));
        assert!(!Arc::ptr_eq(&one, &pattern("shared", "")));
        assert!(!Arc::ptr_eq(&one, &pattern("shared too", "i")));
        // Whatever comes and goes meanwhile.
        for number in 0..5000 {
            drop(pattern(&format!("gone {number}"), ""));
        }
        assert!(Arc::ptr_eq(&one, &pattern("shared", "i")));
    }

    #[test]
    fn every_match_contains_a_required_literal() {
        let required = |source: &str| -> Option<Vec<String>> {
            let literals = pattern(source, "").required()?.to_vec();
            Some(literals.iter().map(|literal| String::from_utf8_lossy(literal).into_owned()).collect())
        };
        assert_eq!(required("^note-.*x"), Some(vec!["note-".to_owned()]));
        assert_eq!(required(".*urgent"), Some(vec!["urgent".to_owned()]));
        assert_eq!(required("red|blue"), Some(vec!["red".to_owned(), "blue".to_owned()]));
        for source in ["", "a*", "x?", "(red|)", "[^a]", ".*"] {
            assert_eq!(required(source), None, "{source}");
        }
    }
}
