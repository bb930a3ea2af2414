//! Whatever somebody writes as a filter or a document: a clear answer, in bounded time, stack and memory.

use std::thread;

use koncorde::{Document, DocumentError, Error, Filter, Index, Limits, Reason};

use crate::{document, filter, matches, refusal};

/// A stack that recursion over the depth of a text would overflow.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(256 * 1024).spawn(test).unwrap().join().unwrap();
}

#[test]
fn refuses_what_is_nested_too_deeply() {
    on_a_small_stack(|| {
        for (open, close) in [
            (r#"{"not":"#, "}"),
            (r#"{"and":["#, "]}"),
            (r#"{"bool":{"must_not":["#, "]}}"),
            (r#"{"select":{"field":"a","index":0,"query":"#, "}}"),
            (r#"{"match":{"a":"#, "}}"),
            ("[", "]"),
        ] {
            let text = [&open.repeat(10_000), r#"{"exists":"a"}"#, &close.repeat(10_000)].concat();
            assert!(refusal(&text).contains("nested too deeply at byte "), "{open}");
        }
        let unclosed = r#"{"not":"#.repeat(100_000);
        assert!(refusal(&unclosed).contains("nested too deeply"));
    });
}

#[test]
fn reads_filters_up_to_the_limit_of_depth() {
    on_a_small_stack(|| {
        let nested = |depth: usize| {
            [&r#"{"not":"#.repeat(depth - 1), r#"{"exists":"a"}"#, &"}".repeat(depth - 1)].concat()
        };
        assert_eq!(filter(&nested(127)), filter(r#"{"exists":"a"}"#));
        assert!(matches(&nested(128), "{}"));
        assert!(refusal(&nested(129)).contains("nested too deeply"));
    });
}

#[test]
fn counts_a_hundred_thousand_conditions() {
    let list = vec![r#"{"regexp":{"a":"x"}}"#; 100_000].join(",");
    let wanted = Error::TooComplex { conditions: 100_000, max: 100 };
    for keyword in ["and", "or"] {
        let text = format!(r#"{{"{keyword}":[{list}]}}"#);
        assert_eq!(Filter::parse(&text, &Limits::default()), Err(wanted.clone()));
    }
}

#[test]
fn counts_a_million_values() {
    let values = vec![r#""v""#; 1_000_000].join(",");
    for text in [
        format!(r#"{{"in":{{"a":[{values}]}}}}"#),
        format!(r#"{{"ids":{{"values":[{values}]}}}}"#),
        format!(r#"{{"not":{{"in":{{"a":[{values}]}}}}}}"#),
    ] {
        let wanted = Error::TooComplex { conditions: 1_000_000, max: 100 };
        assert_eq!(Filter::parse(&text, &Limits::default()), Err(wanted));
    }
}

#[test]
fn accepts_very_many_conditions_if_it_is_told_to() {
    let values: Vec<String> = (0..100_000).map(|value| format!(r#""{value}""#)).collect();
    let limits = Limits { conditions: 0, ..Limits::default() };
    let filter = Filter::parse(&format!(r#"{{"in":{{"a":[{}]}}}}"#, values.join(",")), &limits).unwrap();
    let mut index = Index::new();
    index.insert(1, &filter);
    let mut found = Vec::new();
    index.matches(&document(r#"{"a":"77777"}"#), &mut found);
    index.matches(&document(r#"{"a":"x"}"#), &mut found);
    assert_eq!(found, [1]);
    assert!(index.remove(&1));
}

#[test]
fn accepts_filters_with_exponentially_many_rows() {
    // 2^50 and 3^33 conjunctions.
    for (factors, choices) in [(50, 2), (33, 3)] {
        let factor = |factor: usize| {
            let choices: Vec<_> =
                (0..choices).map(|choice| format!(r#"{{"equals":{{"f{factor}":{choice}}}}}"#)).collect();
            format!(r#"{{"or":[{}]}}"#, choices.join(","))
        };
        let list: Vec<String> = (0..factors).map(factor).collect();
        let reversed: Vec<String> = list.iter().rev().cloned().collect();
        let filter = filter(&format!(r#"{{"and":[{}]}}"#, list.join(",")));
        assert_eq!(filter, crate::filter(&format!(r#"{{"and":[{}]}}"#, reversed.join(","))));
        let mut index = Index::new();
        index.insert((), &filter);
        let fields = |last: usize| {
            let fields: Vec<_> =
                (0..factors).map(|factor| format!(r#""f{factor}":{}"#, factor % last)).collect();
            document(&format!("{{{}}}", fields.join(",")))
        };
        let mut found = Vec::new();
        index.matches(&fields(2), &mut found);
        assert_eq!(found.len(), 1);
        index.matches(&fields(5), &mut found);
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn accepts_filters_with_exponentially_many_prime_implicants() {
    // (a1 and not b1) or (b1 and not c1) ...: consensus never ends soon.
    let cycle: Vec<String> = (0..49)
        .map(|n| format!(r#"{{"and":[{{"exists":"f{n}"}},{{"missing":"f{}"}}]}}"#, (n + 1) % 49))
        .collect();
    let filter = filter(&format!(r#"{{"or":[{}]}}"#, cycle.join(",")));
    assert!(filter.matches(&document(r#"{"f3":1}"#)));
    assert!(!filter.matches(&document("{}")));
}

#[test]
fn refuses_regular_expressions_that_grow() {
    for expression in ["((a{99}){99}){99}", "(a{1,1000}){1,1000}", r"(\\p{L}{500}){500}"] {
        let text = refusal(&format!(r#"{{"regexp":{{"a":"{expression}"}}}}"#));
        assert!(text.starts_with(r#""regexp.a": cannot parse regexp expression "#), "{text}");
    }
    let deep = "(".repeat(10_000) + &")".repeat(10_000);
    assert!(refusal(&format!(r#"{{"regexp":{{"a":"{deep}"}}}}"#)).ends_with("(expression too deep)"));
}

#[test]
fn searches_in_linear_time() {
    let text = format!(r#"{{"a":"{}"}}"#, "a".repeat(100_000));
    assert!(!matches(r#"{"regexp":{"a":"^(a+)+$b"}}"#, &text));
    assert!(matches(r#"{"regexp":{"a":"^(a|a)*$"}}"#, &text));
}

#[test]
fn refuses_numbers_that_are_not_finite() {
    for text in [
        r#"{"equals":{"a":1e400}}"#,
        r#"{"range":{"a":{"gt":-1e400}}}"#,
        r#"{"exists":"t[1e400]"}"#,
        r#"{"match":{"a":[1e400]}}"#,
    ] {
        let text = refusal(text);
        assert!(text.contains("number out of range") || text.contains("invalid array value"), "{text}");
    }
    assert!(matches!(Document::parse(r#"{"a":1e400}"#, None), Err(DocumentError::Json(_))));
}

#[test]
fn refuses_lone_surrogates() {
    for text in
        [r#"{"equals":{"a":"\ud800"}}"#, r#"{"exists":"\udc00x"}"#, r#"{"equals":{"\ud83d\u0041":1}}"#]
    {
        assert!(refusal(text).contains("lone surrogate"), "{text}");
    }
    assert!(Document::parse(r#"{"a":"\ud800"}"#, None).is_err());
    assert!(matches(r#"{"equals":{"a":"\ud83d\ude00"}}"#, r#"{"a":"😀"}"#));
}

#[test]
fn refuses_latitudes_beyond_the_poles() {
    let off_the_globe = Reason::OffTheGlobe.to_string();
    for text in [
        r#"{"geoDistance":{"p":[90.001,0],"distance":"1m"}}"#,
        r#"{"geoDistanceRange":{"p":{"lat":-91,"lon":0},"from":"1m","to":"2m"}}"#,
        r#"{"geoPolygon":{"p":{"points":["1,1",[2,2],[91,0]]}}}"#,
        r#"{"geoBoundingBox":{"p":{"top":91,"left":0,"bottom":0,"right":1}}}"#,
        r#"{"geoBoundingBox":{"p":{"topLeft":[1,"Infinity"],"bottomRight":[0,1]}}}"#,
    ] {
        assert!(refusal(text).ends_with(&off_the_globe), "{text}");
    }
    // In a document it is no point.
    let inside = r#"{"geoBoundingBox":{"p":{"top":90,"left":-180,"bottom":-90,"right":180}}}"#;
    assert!(matches(inside, r#"{"p":[90,180]}"#));
    assert!(!matches(inside, r#"{"p":[91,0]}"#));
    assert!(!matches(&format!(r#"{{"not":{inside}}}"#), r#"{"p":[91,0]}"#));
}

#[test]
fn reads_deep_documents() {
    on_a_small_stack(|| {
        let depth = 150_000;
        let objects = [&r#"{"a":"#.repeat(depth), "1", &"}".repeat(depth)].concat();
        let parsed = document(&objects);
        assert!(filter(r#"{"exists":"a.a.a"}"#).matches(&parsed));
        assert!(!filter(r#"{"exists":"a.b"}"#).matches(&parsed));
        let arrays = [r#"{"a":"#, &"[".repeat(depth), "1", &"]".repeat(depth), "}"].concat();
        assert!(matches(r#"{"not":{"regexp":{"a":"2"}}}"#, &arrays));
        assert!(!matches(r#"{"not":{"regexp":{"a":"1"}}}"#, &arrays));
        assert!(!matches(r#"{"match":{"a":[[[2]]]}}"#, &arrays));
        let empty_keys = [&r#"{"":"#.repeat(depth), "1", &"}".repeat(depth)].concat();
        let parsed = document(&empty_keys);
        assert!(filter(r#"{"missing":"a"}"#).matches(&parsed));
        let mut index = Index::new();
        index.insert(1, &filter(r#"{"match":{"":{"":{}}}}"#));
        index.insert(2, &filter(r#"{"equals":{"":1}}"#));
        let mut found = Vec::new();
        index.matches(&parsed, &mut found);
        assert_eq!(found, [1]);
    });
}

#[test]
fn reads_large_documents() {
    let members: Vec<String> = (0..50_000).map(|n| format!(r#""k{n}":{{"x":{n}}}"#)).collect();
    let parsed = document(&format!("{{{}}}", members.join(",")));
    assert!(filter(r#"{"equals":{"k49999.x":49999}}"#).matches(&parsed));
    let repeated = vec![r#""k":1"#; 100_000].join(",");
    let parsed = document(&format!(r#"{{{repeated},"k":2}}"#));
    assert!(filter(r#"{"equals":{"k":2}}"#).matches(&parsed));
}

#[test]
fn a_match_costs_no_more_than_its_values_times_those_of_the_document() {
    let values = |count: usize| vec!["[1,{}]"; count].join(",");
    let text = format!(r#"{{"match":{{"a":[{}]}}}}"#, values(400));
    assert_eq!(refusal(&text), r#""match": too many values (values: 1201, max: 1000)"#);
    let text = format!(r#"{{"match":{{"a":[{}]}}}}"#, values(300));
    assert!(matches(&text, &format!(r#"{{"a":[{}]}}"#, values(300))));
    assert!(!matches(&text, &format!(r#"{{"a":[{}]}}"#, values(299))));
}

#[test]
fn refuses_wrong_shapes_at_every_level() {
    let values = [
        "null",
        "true",
        "7",
        r#""s""#,
        "[]",
        "[1]",
        "{}",
        r#"{"a":null}"#,
        r#"{"a":[[]]}"#,
        r#"[{"a":1},2]"#,
    ];
    let keywords = [
        "and",
        "bool",
        "equals",
        "exists",
        "geoBoundingBox",
        "geoDistance",
        "geoDistanceRange",
        "geoPolygon",
        "ids",
        "in",
        "match",
        "missing",
        "not",
        "or",
        "range",
        "regexp",
        "select",
        "foo",
        "",
    ];
    for keyword in keywords {
        for value in values {
            let accepted = (keyword == "match" && value.starts_with(r#"{"a""#))
                || (matches!(keyword, "exists" | "missing") && value == r#""s""#)
                || (keyword == "equals" && value == r#"{"a":null}"#);
            let text = format!(r#"{{"{keyword}":{value}}}"#);
            let found = Filter::parse(&text, &Limits::default());
            assert_eq!(found.is_ok(), accepted, "{text}");
            let nested = format!(r#"{{"bool":{{"must_not":[{{"and":[{text},{text}]}}]}}}}"#);
            assert_eq!(Filter::parse(&nested, &Limits::default()).is_ok(), accepted, "{nested}");
            if let Err(error) = found {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn refuses_what_is_not_json() {
    for text in [
        "",
        "{",
        "{} {}",
        "nul",
        "'a'",
        "{\"a\":01}",
        "{a:1}",
        "[1,]",
        "{\"a\":1,}",
        "\u{feff}{}",
        "1.",
        "-",
        "\"\u{1}\"",
        r#""\x""#,
        r#""\u12""#,
    ] {
        assert!(matches!(Filter::parse(text, &Limits::default()), Err(Error::Json(_))), "{text}");
        assert!(matches!(Document::parse(text, None), Err(DocumentError::Json(_))), "{text}");
    }
    assert_eq!(Document::parse("[]", None).unwrap_err(), DocumentError::NotAnObject);
}
