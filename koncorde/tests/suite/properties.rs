//! Random filters and documents: the normal form, the index and the filter as it is written agree.

use std::collections::HashMap;

use crate::oracle;
use crate::random::Random;
use koncorde::{Document, Filter, Index, Limits};
use serde_json::Value;

fn parse(filter: &Value) -> Filter {
    let limits = Limits { conditions: 0, ..Limits::default() };
    Filter::parse(&filter.to_string(), &limits).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

fn document(document: &Value) -> Document {
    Document::parse(&document.to_string(), None).unwrap()
}

#[test]
fn filters_match_as_they_are_written() {
    let random = &mut Random::new(1);
    let (mut matched, mut total) = (0, 0);
    for _ in 0..1500 {
        let filter = random.filter(3);
        let parsed = parse(&filter);
        for _ in 0..12 {
            let given = random.document();
            let wanted = oracle::matches(&filter, &given);
            assert_eq!(parsed.matches(&document(&given)), wanted, "{filter}\n{given}");
            matched += usize::from(wanted);
            total += 1;
        }
    }
    assert!(matched > total / 10 && matched < total * 9 / 10, "{matched} of {total}");
}

#[test]
fn the_index_finds_what_matches() {
    let random = &mut Random::new(2);
    for _ in 0..30 {
        let mut index = Index::new();
        let mut filters: HashMap<usize, Filter> = HashMap::new();
        for step in 0..300 {
            let id = random.below(100);
            match random.below(5) {
                0 => assert_eq!(index.remove(&id), filters.remove(&id).is_some()),
                _ => {
                    let filter = parse(&random.filter(2));
                    index.insert(id, &filter);
                    filters.insert(id, filter);
                }
            }
            assert_eq!(index.len(), filters.len());
            assert_eq!(index.contains(&id), filters.contains_key(&id));
            if step % 10 == 0 {
                let given = random.document();
                let document = document(&given);
                let mut found: Vec<usize> = Vec::new();
                index.matches(&document, &mut found);
                found.sort_unstable();
                let mut wanted: Vec<usize> = filters
                    .iter()
                    .filter(|(_, filter)| filter.matches(&document))
                    .map(|(id, _)| *id)
                    .collect();
                wanted.sort_unstable();
                assert_eq!(found, wanted, "{given}\n{filters:?}");
            }
        }
        for id in 0..100 {
            index.remove(&id);
        }
        assert!(index.is_empty());
        let mut found: Vec<usize> = Vec::new();
        index.matches(&document(&random.document()), &mut found);
        assert!(found.is_empty());
    }
}

#[test]
fn other_words_for_the_same_have_the_same_room() {
    let random = &mut Random::new(3);
    for _ in 0..2000 {
        let filter = random.filter(2);
        let other = random.rewritten(&filter);
        assert_eq!(parse(&filter), parse(&other), "{filter}\n{other}");
    }
}

#[test]
fn no_room_stands_for_two_meanings() {
    let random = &mut Random::new(4);
    let documents: Vec<Value> = (0..60).map(|_| random.document()).collect();
    let mut meanings: HashMap<String, (Vec<bool>, Value)> = HashMap::new();
    for _ in 0..3000 {
        let filter = random.filter(2);
        let meaning: Vec<bool> =
            documents.iter().map(|document| oracle::matches(&filter, document)).collect();
        let room = parse(&filter).room_id("i", "c");
        let (first, by) = meanings.entry(room).or_insert_with(|| (meaning.clone(), filter.clone()));
        assert_eq!(*first, meaning, "{filter}\n{by}");
    }
    assert!(meanings.len() > 1000);
}

#[test]
fn past_the_bound_order_and_repetition_still_do_not_matter() {
    let random = &mut Random::new(5);
    let limits = Limits { normalization_steps: 3, ..Limits::default() };
    for _ in 0..500 {
        let filter = random.filter(3);
        let parsed = Filter::parse(&filter.to_string(), &limits).unwrap();
        let repeated = serde_json::json!({ "and": [filter, { "or": [filter, filter] }] });
        assert_eq!(Filter::parse(&repeated.to_string(), &limits).unwrap(), parsed, "{filter}");
        for _ in 0..5 {
            let given = random.document();
            assert_eq!(
                parsed.matches(&document(&given)),
                oracle::matches(&filter, &given),
                "{filter}\n{given}"
            );
        }
    }
}
