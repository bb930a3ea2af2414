//! What single conditions mean, where the vectors of Koncorde say nothing.

use koncorde::{Document, Filter, Index, Limits};

use crate::{document, filter, matches};

fn check(filter: &str, cases: &[(&str, bool)]) {
    for (document, wanted) in cases {
        assert_eq!(matches(filter, document), *wanted, "{filter} {document}");
        let mut index = Index::new();
        index.insert((), &crate::filter(filter));
        let mut found = Vec::new();
        index.matches(&crate::document(document), &mut found);
        assert_eq!(!found.is_empty(), *wanted, "{filter} {document} in an index");
    }
}

#[test]
fn the_last_of_repeated_keys_counts() {
    check(
        r#"{"exists":"a.b"}"#,
        &[(r#"{"a":{"b":1},"a":{"c":1}}"#, false), (r#"{"a":1,"a":{"b":1}}"#, true)],
    );
    let many: Vec<String> = (0..30).map(|n| format!(r#""k{n}":1"#)).collect();
    let text = format!(r#"{{{0},"a":{{"b":1}},{0},"a":2}}"#, many.join(","));
    check(r#"{"exists":"a.b"}"#, &[(&text, false)]);
    check(
        r#"{"match":{"x":{"a":2}}}"#,
        &[(r#"{"x":{"a":1,"a":2}}"#, true), (r#"{"x":{"a":2,"a":1}}"#, false)],
    );
}

#[test]
fn of_two_ways_to_a_path_the_later_one_counts() {
    check(
        r#"{"equals":{"a.b":1}}"#,
        &[
            (r#"{"a":{"b":1},"a.b":2}"#, false),
            (r#"{"a.b":2,"a":{"b":1}}"#, true),
            (r#"{"a":{"b":2},"a.b":1}"#, true),
        ],
    );
    // `match` sees the object as it is.
    check(
        r#"{"match":{"a":{"b":1}}}"#,
        &[(r#"{"a":{"b":1},"a.b":2}"#, true), (r#"{"a.b":1,"a":{"b":2}}"#, false)],
    );
    check(
        r#"{"select":{"field":"l","index":0,"query":{"equals":{"value.a.b":1}}}}"#,
        &[
            (r#"{"l":[{"a":{"b":1},"a.b":2}]}"#, false),
            (r#"{"l":[{"a.b":2,"a":{"b":1}}]}"#, true),
            (r#"{"l":[{"a.b":{},"a":{"c":1}}]}"#, false),
            (r#"{"l":[{"a.b":1,"a":{"c":1}}]}"#, true),
        ],
    );
}

#[test]
fn nothing_separates_an_empty_key_from_the_next() {
    check(r#"{"equals":{"a":1}}"#, &[(r#"{"":{"a":1}}"#, true), (r#"{"":{"":{"a":1}}}"#, true)]);
    check(r#"{"equals":{"a.":1}}"#, &[(r#"{"a":{"":1}}"#, true), (r#"{"a.":1}"#, true)]);
    check(r#"{"exists":"a..b"}"#, &[(r#"{"a":{"":{"b":1}}}"#, true), (r#"{"a":{"b":1}}"#, false)]);
    check(r#"{"match":{"":{"a":1}}}"#, &[(r#"{"":{"a":1}}"#, true), (r#"{"a":1}"#, false)]);
}

#[test]
fn the_identifier_counts_more_than_a_member() {
    let by_id = filter(r#"{"ids":{"values":["1"]}}"#);
    assert!(by_id.matches(&Document::parse(r#"{"_id":"2"}"#, Some("1")).unwrap()));
    assert!(!by_id.matches(&Document::parse(r#"{"_id":"1"}"#, Some("2")).unwrap()));
    assert!(filter(r#"{"exists":"_id"}"#).matches(&Document::parse("{}", Some("")).unwrap()));
}

#[test]
fn brackets_at_the_beginning_or_escaped_are_part_of_the_path() {
    check(r#"{"exists":"[1]"}"#, &[(r#"{"[1]":0}"#, true)]);
    check(r#"{"exists":"a\\[1\\]"}"#, &[(r#"{"a[1]":0}"#, true), (r#"{"a":[1]}"#, false)]);
    check(r#"{"exists":"a\\[b\\][\"c]\"]"}"#, &[(r#"{"a[b]":["c]"]}"#, true)]);
    check(r#"{"exists":"a[1"}"#, &[(r#"{"a[1":0}"#, true)]);
    check(r#"{"missing":"t[false]"}"#, &[(r#"{"t":[0,null,""]}"#, true), (r#"{"t":[false]}"#, false)]);
}

#[test]
fn expressions_are_those_of_re2() {
    let is_match = |expression: &str, text: &str| {
        let filter = serde_json::json!({ "regexp": { "a": expression } }).to_string();
        matches(&filter, &serde_json::json!({ "a": text }).to_string())
    };
    for (expression, text, wanted) in [
        (r"^\d+$", "123", true),
        (r"^\d+$", "١٢٣", false),
        (r"^\w+$", "é", false),
        (r"\bfoo\b", "a foo b", true),
        (r"^[\w.]+@[\w.]+$", "a.b@c.d", true),
        (r"a{2}", "aa", true),
        (r"a{,2}", "a{,2}", true),
        (r"a{x", "a{x", true),
        (r"[[a]", "[", true),
        (r"[]a]", "]", true),
        (r"[^]a]", "]", false),
        (r"[a&&b]", "&", true),
        (r"^[+--]+$", "+,-", true),
        (r"[a~~b]", "~", true),
        (r"\x{1f600}", "😀", true),
        (r"[[:alpha:]]", "x", true),
        (r"\/path\/", "/path/", true),
        (r"\u0041\x42", "AB", true),
        (r"\<b\>", "<b>", true),
        (r"\Qa.b\E", "a.b", true),
        (r"\Qa.b\E", "axb", false),
        (r"(?<year>\d{4})", "2026", true),
        (r"(?i)ABC", "abc", true),
        (r"\p{Greek}", "λ", true),
        (r"^.$", "é", true),
        ("^a$", "a\nb", false),
        ("a.b", "a\nb", false),
        (r"[\b]", "\u{8}", true),
    ] {
        assert_eq!(is_match(expression, text), wanted, "{expression} {text}");
    }
    for (expression, reason) in [
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("(?!x)", "invalid perl operator: (?!"),
        ("a)", "unexpected ): a)"),
        ("[b-a]", "invalid character class range: b-a"),
        ("[a", "missing ]: [a"),
        (r"a\", r"trailing \ at end of regexp"),
        ("*", "no argument for repetition operator: *"),
    ] {
        let filter = serde_json::json!({ "regexp": { "a": expression } }).to_string();
        let error = Filter::parse(&filter, &Limits::default()).unwrap_err().to_string();
        let wanted =
            format!(r#""regexp.a": cannot parse regexp expression "/{expression}/undefined" ({reason})"#);
        assert_eq!(error, wanted);
    }
}

#[test]
fn the_negation_of_an_expression_reads_other_values_as_text() {
    for (value, text) in [
        ("1e21", "1e+21"),
        ("1e-7", "1e-7"),
        ("123456789012", "123456789012"),
        ("-0.5", "-0.5"),
        ("-0", "0"),
        ("null", "null"),
        ("true", "true"),
        ("[1,[null,\"a\"],{}]", "1,,a,[object Object]"),
        ("[[],[]]", ","),
        ("{}", "[object Object]"),
    ] {
        let quoted = format!(r"^\Q{text}\E$");
        let filter = serde_json::json!({ "not": { "regexp": { "a": quoted } } }).to_string();
        check(&filter, &[(&format!(r#"{{"a":{value}}}"#), false), (r#"{"a":"other"}"#, true), ("{}", true)]);
    }
}

#[test]
fn places_are_read_in_all_formats() {
    let near = r#"{"geoDistance":{"p":[43.6,3.8],"distance":"2km"}}"#;
    let not_near = format!(r#"{{"not":{near}}}"#);
    for place in [
        r#"[43.6,3.8]"#,
        r#""43.6,3.8""#,
        r#""  43.6x,3.8 ""#,
        r#"{"lat":"43.6","lon":363.8}"#,
        r#"{"latLon":[43.6,3.8]}"#,
        r#"{"lat_lon":"43.6,3.8"}"#,
        r#"{"latLon":{"lat":43.6,"lon":3.8,"x":1}}"#,
    ] {
        let given = format!(r#"{{"p":{place}}}"#);
        check(near, &[(&given, true)]);
        check(&not_near, &[(&given, false)]);
    }
    for place in [
        r#"[43.6]"#,
        r#"[1,2,3]"#,
        "5",
        "true",
        r#""abc""#,
        r#""ABCD""#,
        "{}",
        r#"{"lat":1}"#,
        r#"{"lng":1,"lat":1}"#,
        r#"{"latLon":null}"#,
        "[null,1]",
        "[1e5,0]",
    ] {
        let given = format!(r#"{{"p":{place}}}"#);
        check(near, &[(&given, false)]);
        check(&not_near, &[(&given, false)]);
    }
    for place in ["null", "0", "false", r#""""#] {
        check(&not_near, &[(&format!(r#"{{"p":{place}}}"#), true)]);
    }
}

#[test]
fn areas_reach_over_the_antimeridian_and_the_poles() {
    for (left, right) in [(170, 180), (-180, -170), (170, -180), (180, -170), (170, 190), (-190, -170)] {
        let text =
            format!(r#"{{"geoBoundingBox":{{"p":{{"top":1,"left":{left},"bottom":-1,"right":{right}}}}}}}"#);
        check(&text, &[(r#"{"p":[0,180]}"#, true), (r#"{"p":[0,-180]}"#, true), (r#"{"p":[0,0]}"#, false)]);
    }
    check(
        r#"{"geoDistance":{"p":[0,179.9],"distance":"50km"}}"#,
        &[
            (r#"{"p":[0,-179.9]}"#, true),
            (r#"{"p":[0,180]}"#, true),
            (r#"{"p":[0,-180]}"#, true),
            (r#"{"p":[0,-179]}"#, false),
        ],
    );
    check(
        r#"{"geoDistance":{"p":[89.9,0],"distance":"50km"}}"#,
        &[(r#"{"p":[89.9,180]}"#, true), (r#"{"p":[90,77]}"#, true), (r#"{"p":[89,0]}"#, false)],
    );
    check(
        r#"{"geoPolygon":{"p":{"points":[[-10,170],[-10,-170],[10,-170],[10,170]]}}}"#,
        &[
            (r#"{"p":[0,180]}"#, true),
            (r#"{"p":[0,-175]}"#, true),
            (r#"{"p":[0,175]}"#, true),
            (r#"{"p":[0,165]}"#, false),
            (r#"{"p":[0,0]}"#, false),
        ],
    );
    let around_the_pole = r#"{"geoPolygon":{"p":{"points":[[80,0],[80,90],[80,180],[80,-90]]}}}"#;
    check(
        around_the_pole,
        &[
            (r#"{"p":[90,0]}"#, true),
            (r#"{"p":[88,45]}"#, true),
            (r#"{"p":[70,45]}"#, false),
            (r#"{"p":[-89,45]}"#, false),
        ],
    );
}

#[test]
fn the_sides_of_polygons_are_geodesics() {
    // Between two points of one parallel the shortest way bends to the pole.
    let wide = r#"{"geoPolygon":{"p":{"points":[[0,0],[0,60],[50,60],[50,0]]}}}"#;
    check(
        wide,
        &[
            (r#"{"p":[52,30]}"#, true),
            (r#"{"p":[56,30]}"#, false),
            (r#"{"p":[50.2,1]}"#, true),
            (r#"{"p":[50.5,1]}"#, false),
        ],
    );
    let concave = r#"{"geoPolygon":{"p":{"points":[[0,0],[0,10],[10,10],[1,5],[10,0]]}}}"#;
    check(
        concave,
        &[
            (r#"{"p":[0.5,5]}"#, true),
            (r#"{"p":[5,5]}"#, false),
            (r#"{"p":[1,5]}"#, true),
            (r#"{"p":[5,1]}"#, true),
            (r#"{"p":[10,5]}"#, false),
        ],
    );
}

#[test]
fn a_document_can_be_matched_after_the_text_is_gone() {
    let parsed = {
        let text = String::from(r#"{"a":{"b":"c"}}"#);
        document(&text)
    };
    assert!(filter(r#"{"equals":{"a.b":"c"}}"#).matches(&parsed));
}
