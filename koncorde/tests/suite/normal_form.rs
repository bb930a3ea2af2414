//! Which filters are one room, and which are not.

use koncorde::Filter;

use crate::{filter, matches};

#[test]
fn the_room_id_of_everything_is_that_of_kuzzle() {
    let id = "508a79aa1dd1118a980a3cbeb403662fd5c4cd9885c632ea19c03d236f3cd110";
    for text in ["{}", "[]", "null", " { } "] {
        assert_eq!(filter(text), Filter::everything());
        assert_eq!(filter(text).room_id("nyc-open-data", "yellow-taxi"), id);
    }
}

#[test]
fn each_collection_has_its_own_rooms() {
    let everything = Filter::everything();
    assert_ne!(everything.room_id("i", "c"), everything.room_id("i", "d"));
    assert_ne!(everything.room_id("i", "c"), everything.room_id("j", "c"));
    assert_eq!(everything.room_id("\"\u{e9}\n", "c").len(), 64);
}

#[test]
fn spelling_does_not_matter() {
    for same in [
        &[
            r#"{"equals":{"a":1}}"#,
            r#"{"equals":{"a":1.0}}"#,
            r#"{"equals":{"a":10e-1}}"#,
            r#"{"equals":{"\u0061":1}}"#,
        ][..],
        &[
            r#"{"equals":{"a":0}}"#,
            r#"{"equals":{"a":-0}}"#,
            r#"{"equals":{"a":-0.0}}"#,
            r#"{"equals":{"a":0e5}}"#,
        ],
        &[r#"{"equals":{"a":100}}"#, r#"{"equals":{"a":1e2}}"#, r#"{"equals":{"a":1E+2}}"#],
        &[r#"{"equals":{"a":9007199254740993}}"#, r#"{"equals":{"a":9007199254740992}}"#],
        &[r#"{"equals":{"a":1,"a":2}}"#, r#"{"equals":{"a":2}}"#],
        &[r#"{"equals":{"a":"\u00e9"}}"#, r#"{"equals":{"a":"é"}}"#],
        &[r#"{"exists":"a"}"#, r#"{"exists":{"field":"a"}}"#, r#"{"not":{"missing":"a"}}"#],
        &[r#"{"exists":"t[1]"}"#, r#"{"exists":"t[ 1.0 ]"}"#],
        &[r#"{"range":{"a":{"gte":1,"lt":2}}}"#, r#"{"range":{"a":{"lt":2.0,"gte":1e0}}}"#],
        &[r#"{"match":{"a":{"x":1,"y":2}}}"#, r#"{"match":{"a":{"y":2,"x":1}}}"#],
        &[
            r#"{"geoDistance":{"p":[43.6,3.8],"distance":"1km"}}"#,
            r#"{"geoDistance":{"distance":"1000 meters","p":"43.6,3.8"}}"#,
            r#"{"geoDistance":{"distance":"1km","p":{"lat_lon":{"lon":"3.8","lat":"43.6"}}}}"#,
        ],
        &[
            r#"{"geoPolygon":{"p":{"points":[[0,0],[0,10],[10,10]]}}}"#,
            r#"{"geoPolygon":{"p":{"points":[[0,10],[10,10],[0,0],[0,10]]}}}"#,
            r#"{"geoPolygon":{"p":{"points":["10,10","0,10",{"lat":0,"lon":0}]}}}"#,
        ],
        &[
            r#"{"geoBoundingBox":{"p":{"top":10,"left":170,"bottom":0,"right":-170}}}"#,
            r#"{"geoBoundingBox":{"p":{"top_left":[10,170],"bottomRight":"0,190"}}}"#,
        ],
        &[
            r#"{"select":{"field":"l","index":0,"query":{"in":{"value":["x","y"]}}}}"#,
            r#"{"select":{"query":{"or":[{"equals":{"value":"y"}},{"equals":{"value":"x"}}]},"index":-0.0,"field":"l"}}"#,
        ],
    ] {
        for text in same {
            assert_eq!(filter(text), filter(same[0]), "{text}");
        }
    }
}

#[test]
fn the_laws_of_logic_do_not_matter() {
    let a = r#"{"equals":{"a":1}}"#;
    let b = r#"{"exists":"b"}"#;
    let c = r#"{"match":{"c":[1]}}"#;
    for (one, other) in [
        // Absorption, distribution, consensus, and what is always so.
        (format!(r#"{{"or":[{a},{{"and":[{a},{b}]}}]}}"#), a.to_owned()),
        (
            format!(r#"{{"and":[{a},{{"or":[{b},{c}]}}]}}"#),
            format!(r#"{{"or":[{{"and":[{c},{a}]}},{{"and":[{a},{b}]}}]}}"#),
        ),
        (
            format!(r#"{{"or":[{{"and":[{a},{b}]}},{{"and":[{{"not":{a}}},{c}]}},{{"and":[{b},{c}]}}]}}"#),
            format!(r#"{{"or":[{{"and":[{a},{b}]}},{{"and":[{{"not":{a}}},{c}]}}]}}"#),
        ),
        (format!(r#"{{"or":[{a},{{"not":{a}}}]}}"#), "{}".to_owned()),
        (format!(r#"{{"and":[{a},{{"not":{a}}}]}}"#), r#"{"nothing":0}"#.to_owned()),
        (format!(r#"{{"or":[{a},{{"and":[{{"not":{a}}},{b}]}}]}}"#), format!(r#"{{"or":[{a},{b}]}}"#)),
    ] {
        assert_eq!(filter(&one), filter(&other), "{one} {other}");
    }
}

#[test]
fn what_a_field_can_be_does_not_matter() {
    for (one, other) in [
        (r#"{"and":[{"equals":{"a":1}},{"equals":{"a":2}}]}"#, r#"{"nothing":0}"#),
        (r#"{"and":[{"equals":{"a":1}},{"exists":"a"}]}"#, r#"{"equals":{"a":1}}"#),
        (r#"{"or":[{"range":{"a":{"gt":1}}},{"exists":"a"}]}"#, r#"{"exists":"a"}"#),
        (r#"{"or":[{"not":{"equals":{"a":1}}},{"not":{"equals":{"a":2}}}]}"#, "{}"),
        (r#"{"and":[{"range":{"a":{"gt":1}}},{"range":{"a":{"lt":1}}}]}"#, r#"{"nothing":0}"#),
        (r#"{"and":[{"equals":{"a":3}},{"range":{"a":{"gt":1}}}]}"#, r#"{"equals":{"a":3}}"#),
        (r#"{"and":[{"equals":{"a":"x"}},{"range":{"a":{"gt":1}}}]}"#, r#"{"nothing":0}"#),
        (r#"{"and":[{"exists":"a[1]"},{"missing":"a"}]}"#, r#"{"nothing":0}"#),
    ] {
        assert_eq!(filter(one), filter(other), "{one} {other}");
    }
}

#[test]
fn regular_expressions_and_places_are_not_the_opposite_of_their_negation() {
    for (condition, neither) in [
        (r#"{"regexp":{"a":"1"}}"#, r#"{"a":1}"#),
        (r#"{"geoDistance":{"a":[0,0],"distance":"1km"}}"#, r#"{"a":"no point"}"#),
    ] {
        let either = format!(r#"{{"or":[{condition},{{"not":{condition}}}]}}"#);
        assert!(!matches(&either, neither));
        assert_ne!(filter(&either), filter("{}"));
        assert_eq!(
            filter(&format!(r#"{{"and":[{condition},{{"not":{condition}}}]}}"#)),
            filter(r#"{"nothing":0}"#)
        );
        // No consensus over them.
        let apart = format!(
            r#"{{"or":[{{"and":[{condition},{{"exists":"b"}}]}},{{"and":[{{"not":{condition}}},{{"exists":"b"}}]}}]}}"#
        );
        assert_ne!(filter(&apart), filter(r#"{"exists":"b"}"#));
    }
}

#[test]
fn different_filters_have_different_rooms() {
    let texts = [
        "{}",
        r#"{"nothing":0}"#,
        r#"{"equals":{"a":1}}"#,
        r#"{"equals":{"a":"1"}}"#,
        r#"{"equals":{"a":true}}"#,
        r#"{"equals":{"a":null}}"#,
        r#"{"equals":{"a":"null"}}"#,
        r#"{"equals":{"":1}}"#,
        r#"{"equals":{"a.b":1}}"#,
        r#"{"equals":{"a":"\"}}],"}}"#,
        r#"{"equals":{"a":"\u0000"}}"#,
        r#"{"equals":{"a":"\\u0000"}}"#,
        r#"{"equals":{"a":5e-324}}"#,
        r#"{"exists":"a"}"#,
        r#"{"exists":"a[1]"}"#,
        r#"{"exists":"a\\[1\\]"}"#,
        r#"{"exists":"a[\"1\"]"}"#,
        r#"{"match":{"a":1}}"#,
        r#"{"match":{"a":[1,2]}}"#,
        r#"{"match":{"a":[2,1]}}"#,
        r#"{"range":{"a":{"gt":1}}}"#,
        r#"{"range":{"a":{"lt":1}}}"#,
        r#"{"range":{"a":{"gte":1}}}"#,
        r#"{"regexp":{"a":"x"}}"#,
        r#"{"regexp":{"a":{"value":"x","flags":"i"}}}"#,
        r#"{"geoDistance":{"a":[0,0],"distance":"1km"}}"#,
        r#"{"geoDistanceRange":{"a":[0,0],"from":"1m","to":"1km"}}"#,
        r#"{"geoBoundingBox":{"a":{"top":1,"left":0,"bottom":0,"right":1}}}"#,
        r#"{"select":{"field":"a","index":0,"query":{"exists":"value"}}}"#,
        r#"{"select":{"field":"a","index":1,"query":{"exists":"value"}}}"#,
    ];
    for (position, one) in texts.iter().enumerate() {
        for other in &texts[position + 1..] {
            assert_ne!(filter(one), filter(other), "{one} {other}");
            assert_ne!(filter(one).room_id("i", "c"), filter(other).room_id("i", "c"));
        }
    }
}
