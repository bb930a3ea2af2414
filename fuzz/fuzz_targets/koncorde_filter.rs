//! A filter's text: it is refused, or has one room in whatever words.

#![no_main]

#[path = "../../koncorde/tests/suite/checks.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| checks::filter(text));
