//! How much memory 100,000 filters of each mix take in an index (Linux only).

#![allow(missing_docs, reason = "a benchmark has no public items")]

mod mix;

use std::fs;

use koncorde::{Filter, Index, Limits};

const FILTERS: usize = 100_000;

/// Bytes that the process has in memory.
fn resident() -> Option<usize> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}

fn main() {
    let mut kept = Vec::new();
    for mix in mix::MIXES {
        let Some(before) = resident() else { return println!("cannot tell how much memory is in use") };
        let mut index = Index::new();
        for number in 0..FILTERS {
            let filter = Filter::parse(&mix::filter(mix, number), &Limits::default());
            index.insert(number, &filter.expect("the filter is valid"));
        }
        let bytes = resident().unwrap_or_default().saturating_sub(before);
        println!("{mix}: {} MB for {FILTERS} filters, {} bytes for each", bytes / 1_000_000, bytes / FILTERS);
        // What is freed would be used again.
        kept.push(index);
    }
}
