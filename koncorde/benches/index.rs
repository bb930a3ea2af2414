//! How long the index takes: to match, to insert and to remove, with 1 to a million filters.
//!
//! `KONCORDE_BENCH_MAX` is the largest number of filters, a million by default.

#![allow(missing_docs, reason = "a benchmark has no public items")]

mod mix;

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use koncorde::{Document, Filter, Index, Limits};

const SIZES: [usize; 5] = [1, 1000, 10_000, 100_000, 1_000_000];

fn parse(text: &str) -> Filter {
    Filter::parse(text, &Limits::default()).expect("the filter is valid")
}

fn document(text: &str) -> Document {
    Document::parse(text, None).expect("the document is valid")
}

fn count(index: &Index<usize>, document: &Document) -> usize {
    let mut count = 0;
    index.for_each_match(document, |_| count += 1);
    count
}

fn sizes(max: usize) -> impl Iterator<Item = usize> {
    let wanted = env::var("KONCORDE_BENCH_MAX").ok().and_then(|max| max.parse().ok()).unwrap_or(usize::MAX);
    SIZES.into_iter().filter(move |size| *size <= max.min(wanted))
}

fn of_mixes(criterion: &mut Criterion) {
    for mix in mix::MIXES {
        let mut index = Index::new();
        let max = if matches!(mix, "mixed" | "equals") { 1_000_000 } else { 100_000 };
        for size in sizes(max) {
            for number in index.len()..size {
                index.insert(number, &parse(&mix::filter(mix, number)));
            }
            let mut group = criterion.benchmark_group(mix);
            group.sample_size(20).warm_up_time(Duration::from_millis(300));
            group.measurement_time(Duration::from_secs(1));
            let stranger = document(&mix::stranger());
            assert_eq!(count(&index, &stranger), 0);
            group.bench_function(BenchmarkId::new("match none", size), |bencher| {
                bencher.iter(|| count(&index, black_box(&stranger)));
            });
            let documents: Vec<Document> =
                (0..64).map(|number| document(&mix::document(number, size))).collect();
            let mut next = documents.iter().cycle();
            group.bench_function(BenchmarkId::new("match some", size), |bencher| {
                bencher.iter(|| next.next().map(|document| count(&index, black_box(document))));
            });
            let others: Vec<Filter> =
                (0..64).map(|number| parse(&mix::filter(mix, 10_000_000 + number))).collect();
            // Both are measured alone; the other half is done without the clock running.
            for (name, is_insert) in [("insert", true), ("remove", false)] {
                group.bench_function(BenchmarkId::new(name, size), |bencher| {
                    bencher.iter_custom(|times| {
                        let mut total = Duration::ZERO;
                        for _ in 0..times.div_ceil(64) {
                            let start = Instant::now();
                            for (number, filter) in others.iter().enumerate() {
                                index.insert(usize::MAX - number, filter);
                            }
                            let inserted = Instant::now();
                            for number in 0..others.len() {
                                index.remove(&(usize::MAX - number));
                            }
                            total += if is_insert { inserted - start } else { inserted.elapsed() };
                        }
                        total.mul_f64(times as f64 / (times.div_ceil(64) * 64) as f64)
                    });
                });
            }
            group.finish();
        }
    }
}

/// One or all of the filters match.
fn of_results(criterion: &mut Criterion) {
    let mut index = Index::new();
    for size in sizes(1_000_000) {
        for number in index.len()..size {
            index.insert(number, &parse(&format!(r#"{{"range":{{"age":{{"gte":-{number}.5}}}}}}"#)));
        }
        let mut group = criterion.benchmark_group("bounds");
        group.sample_size(10).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for (name, text, wanted) in [
            ("match one", format!(r#"{{"age":-{}}}"#, size - 1), 1),
            ("match all", r#"{"age":36}"#.to_owned(), size),
        ] {
            let document = document(&text);
            assert_eq!(count(&index, &document), wanted);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| count(&index, black_box(&document)));
            });
        }
        group.finish();
    }
}

fn of_parsing(criterion: &mut Criterion) {
    let text = mix::document(1, 1000);
    criterion.bench_function("parse document", |bencher| {
        bencher.iter(|| Document::parse(black_box(&text), None).is_ok());
    });
    for (name, text) in [
        ("equals", mix::filter("equals", 1)),
        ("regexp", mix::filter("expressions", 1)),
        (
            "bool",
            r#"{"bool":{"must":[{"in":{"a":["x","y"]}},{"range":{"age":{"gte":36,"lt":85}}}],"must_not":[{"equals":{"city":"NYC"}}],"should":[{"equals":{"h":"c"}},{"exists":"l"}]}}"#.to_owned(),
        ),
    ] {
        criterion.bench_function(&format!("parse filter {name}"), |bencher| {
            bencher.iter(|| parse(black_box(&text)));
        });
        let filter = parse(&text);
        criterion.bench_function(&format!("room id {name}"), |bencher| {
            bencher.iter(|| black_box(&filter).room_id("nyc-open-data", "yellow-taxi"));
        });
    }
}

criterion_group!(all, of_parsing, of_mixes, of_results);
criterion_main!(all);
