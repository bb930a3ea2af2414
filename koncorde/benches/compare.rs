//! Half of a comparison with the npm package `koncorde`: see `compare/README.md`.
//!
//! Writes filters and documents into a folder, matches them, and writes how long that took beside them.

#![allow(missing_docs, reason = "a benchmark has no public items")]

mod mix;

use std::env;
use std::fs;
use std::path::Path;
use std::time::Instant;

use koncorde::{Document, Filter, Index, Limits};

const SIZES: [usize; 3] = [100, 1000, 10_000];
const DOCUMENTS: usize = 500;
const SECONDS: f64 = 1.0;

fn main() {
    let Some(folder) = env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        return println!("benches/compare/run.sh does the comparison");
    };
    for mix in mix::MIXES {
        for size in SIZES {
            compare(mix, size, Path::new(&folder)).expect("the folder can be written to");
        }
    }
}

fn compare(mix: &str, size: usize, folder: &Path) -> std::io::Result<()> {
    let filters: Vec<String> = (0..size).map(|number| mix::filter(mix, number)).collect();
    let documents: Vec<String> = (0..DOCUMENTS).map(|number| mix::document(number, size)).collect();
    let mut index = Index::new();
    for (number, filter) in filters.iter().enumerate() {
        index.insert(number, &Filter::parse(filter, &Limits::default()).expect("the filter is valid"));
    }
    let mut matches = 0;
    let reading = per_second(|| {
        matches = 0;
        for text in &documents {
            let document = Document::parse(text, None).expect("the document is valid");
            index.for_each_match(&document, |_| matches += 1);
        }
    });
    let parsed: Vec<Document> =
        documents.iter().map(|text| Document::parse(text, None).expect("the document is valid")).collect();
    let matching = per_second(|| {
        let mut count = 0;
        for document in &parsed {
            index.for_each_match(document, |_| count += 1);
        }
        assert_eq!(count, matches);
    });
    let name = |part: &str| folder.join(format!("{mix}-{size}.{part}"));
    fs::write(name("filters"), filters.join("\n"))?;
    fs::write(name("documents"), documents.join("\n"))?;
    fs::write(name("result"), format!("{matches} {reading} {matching}"))
}

/// How many documents a second, if each round is about all of them.
fn per_second(mut round: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed().as_secs_f64() < SECONDS {
        round();
        rounds += 1;
    }
    f64::from(rounds) * DOCUMENTS as f64 / start.elapsed().as_secs_f64()
}
