//! The behaviour of filters, documents and the index, through the public interface.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]
#![allow(missing_docs, reason = "a test has no public items")]

mod checks;
mod conditions;
mod corpus;
mod differences;
mod hostile;
mod normal_form;
mod oracle;
mod properties;
mod random;
mod threads;
mod vectors;

use koncorde::{Document, Filter, Limits};

/// A filter that has to be valid.
fn filter(json: &str) -> Filter {
    Filter::parse(json, &Limits::default()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// What is said of a filter that is not.
fn refusal(json: &str) -> String {
    match Filter::parse(json, &Limits::default()) {
        Ok(filter) => panic!("{filter:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn document(json: &str) -> Document {
    Document::parse(json, None).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn matches(filter_json: &str, document_json: &str) -> bool {
    filter(filter_json).matches(&document(document_json))
}
