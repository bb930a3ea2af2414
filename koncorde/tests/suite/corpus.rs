//! What the fuzz targets have found interesting, once more: `fuzz/corpus`.

use std::fs;
use std::path::Path;

use crate::checks;

/// The texts of the corpus of one target.
fn corpus(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let texts: Vec<String> = files.filter_map(|bytes| String::from_utf8(bytes).ok()).collect();
    assert!(texts.len() > 5);
    texts
}

#[test]
fn filters_of_the_corpus() {
    for text in corpus("koncorde_filter") {
        checks::filter(&text);
    }
}

#[test]
fn documents_of_the_corpus() {
    for text in corpus("koncorde_match") {
        checks::matching(&text);
    }
}
