//! What Koncorde 4.7.0 answers: `tests/vectors`.

use std::collections::HashMap;

use koncorde::{Document, Filter, Limits};
use serde_json::Value;

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn parse(filter: &Value) -> Result<Filter, koncorde::Error> {
    Filter::parse(&filter.to_string(), &Limits::default())
}

#[test]
fn documents_match_as_in_koncorde() {
    for case in vectors(include_str!("../vectors/koncorde-match.json")) {
        let filter = &case["filter"];
        // Koncorde fails to store these, which is looked at in `differences.rs`.
        if case.get("storeError").is_some() {
            continue;
        }
        let parsed = parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        for document in case["docs"].as_array().unwrap() {
            let text = document["doc"].to_string();
            let found = parsed.matches(&Document::parse(&text, None).unwrap());
            assert_eq!(found, document["match"].as_bool().unwrap(), "{filter} {text}");
        }
    }
}

#[test]
fn filters_are_refused_in_the_words_of_koncorde() {
    let too_many: Vec<Value> = (0..101).map(|n| serde_json::json!({ "equals": { "a": n } })).collect();
    for case in vectors(include_str!("../vectors/koncorde-errors.json")) {
        let filter = if case["filter"] == "or of 101 equals" {
            serde_json::json!({ "or": too_many })
        } else {
            case["filter"].clone()
        };
        let found = parse(&filter).map_err(|error| error.to_string());
        match case.get("error") {
            Some(error) => assert_eq!(found.unwrap_err(), error.as_str().unwrap(), "{filter}"),
            None => assert!(found.is_ok(), "{filter}: {found:?}"),
        }
    }
}

#[test]
fn filters_with_one_room_in_koncorde_have_one_room() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/koncorde-normalize.json")).unwrap();
    let (index, collection) = vectors["index"].as_str().unwrap().split_once('/').unwrap();
    let mut rooms = HashMap::new();
    for case in vectors["cases"].as_array().unwrap() {
        let filter = &case["filter"];
        match (parse(filter), case.get("error")) {
            (Ok(parsed), None) => {
                let own = parsed.room_id(index, collection);
                let first = rooms.entry(case["roomId"].as_str().unwrap()).or_insert_with(|| own.clone());
                assert_eq!(*first, own, "{filter}");
            }
            (Err(own), Some(error)) => assert_eq!(own.to_string(), error.as_str().unwrap(), "{filter}"),
            (own, error) => panic!("{filter}: {own:?} instead of {error:?}"),
        }
    }
    assert!(rooms.len() > 50);
    let everything = Filter::everything().room_id(index, collection);
    assert!(rooms.get(everything.as_str()).is_some_and(|own| *own == everything));
}
