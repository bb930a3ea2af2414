//! Where this crate answers and Koncorde fails, or answers by accident.

use crate::{document, filter, matches, refusal};

#[test]
fn the_negation_of_select_is_its_opposite() {
    let text = r#"{"not":{"select":{"field":"l","index":0,"query":{"equals":{"value":"x"}}}}}"#;
    assert!(!matches(text, r#"{"l":["x"]}"#));
    for given in [r#"{"l":["y"]}"#, r#"{"l":[]}"#, r#"{"l":"x"}"#, "{}"] {
        assert!(matches(text, given), "{given}");
    }
}

#[test]
fn the_negation_of_nothing_is_everything() {
    assert_eq!(filter(r#"{"not":{"nothing":true}}"#), filter("{}"));
}

#[test]
fn boxes_over_the_antimeridian_work_and_others_that_are_inverted_are_refused() {
    let text = r#"{"geoBoundingBox":{"p":{"top":10,"left":170,"bottom":0,"right":-170}}}"#;
    for (given, is_inside) in [
        (r#"{"p":[5,175]}"#, true),
        (r#"{"p":[5,180]}"#, true),
        (r#"{"p":[5,-180]}"#, true),
        (r#"{"p":[5,-175]}"#, true),
        (r#"{"p":[5,-169]}"#, false),
        (r#"{"p":[5,0]}"#, false),
    ] {
        assert_eq!(matches(text, given), is_inside, "{given}");
    }
    let refused = r#""geoBoundingBox.p": top must be greater than bottom, and left must differ from right"#;
    assert_eq!(refusal(r#"{"geoBoundingBox":{"p":{"top":0,"left":0,"bottom":10,"right":10}}}"#), refused);
    assert_eq!(refusal(r#"{"geoBoundingBox":{"p":{"top":1,"left":5,"bottom":0,"right":5}}}"#), refused);
}

#[test]
fn elements_of_one_array_do_not_contradict_each_other() {
    let both = filter(r#"{"and":[{"exists":"t[\"x\"]"},{"missing":"t[\"y\"]"}]}"#);
    assert!(both.matches(&document(r#"{"t":["x"]}"#)));
    assert!(!both.matches(&document(r#"{"t":["x","y"]}"#)));
}

#[test]
fn exclusive_bounds_exclude_large_numbers_too() {
    assert!(!matches(r#"{"range":{"a":{"gt":1e17}}}"#, r#"{"a":1e17}"#));
    assert!(matches(r#"{"not":{"range":{"a":{"gt":1e17}}}}"#, r#"{"a":1e17}"#));
    assert!(!matches(r#"{"range":{"a":{"lt":-1e300}}}"#, r#"{"a":-1e300}"#));
    // Between the bound and the epsilon, it is one or the other.
    assert!(matches(r#"{"not":{"range":{"a":{"gt":1}}}}"#, r#"{"a":1.00000000005}"#));
    assert!(!matches(r#"{"range":{"a":{"gt":1}}}"#, r#"{"a":1.00000000005}"#));
    assert_eq!(filter(r#"{"range":{"a":{"gt":1,"lt":1.0000000001}}}"#), filter(r#"{"nothing":1}"#));
}

#[test]
fn flags_without_a_meaning_change_nothing() {
    let plain = filter(r#"{"regexp":{"a":"x"}}"#);
    for flags in ["g", "u", "d", "gg", ""] {
        let flagged = filter(&format!(r#"{{"regexp":{{"a":{{"value":"x","flags":"{flags}"}}}}}}"#));
        assert_eq!(flagged, plain);
        for _ in 0..2 {
            assert!(flagged.matches(&document(r#"{"a":"x"}"#)));
        }
    }
    let sticky = filter(r#"{"regexp":{"a":{"value":"b|a","flags":"y"}}}"#);
    assert!(sticky.matches(&document(r#"{"a":"ab"}"#)) && !sticky.matches(&document(r#"{"a":"cab"}"#)));
    assert_eq!(
        refusal(r#"{"regexp":{"a":{"value":"x","flags":"q"}}}"#),
        r#""regexp.a": unknown regexp flag "q" (allowed: d,g,i,m,s,u,y)"#
    );
}

#[test]
fn places_may_be_negated_in_groups() {
    let text = r#"{"not":{"or":[{"geoDistance":{"p":[0,0],"distance":"1km"}},{"equals":{"a":1}}]}}"#;
    assert!(matches(text, r#"{"p":[1,1]}"#));
    assert!(!matches(text, r#"{"p":[1,1],"a":1}"#));
    assert!(!matches(text, r#"{"p":[0,0]}"#));
}
