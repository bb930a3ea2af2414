//! A document and filters: the index, the normal form and the filter as it is written agree.

#![no_main]

#[path = "../../koncorde/tests/suite/checks.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| checks::matching(text));
