//! `export_protocol!` in an author's crate: what it refuses, and that it needs no unsafe code there.

#[test]
fn refuses_what_is_no_protocol_and_works_where_unsafe_code_is_forbidden() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/export_macro/forbids_unsafe_code.rs");
    cases.compile_fail("tests/export_macro/no_protocol.rs");
    cases.compile_fail("tests/export_macro/no_type.rs");
    cases.compile_fail("tests/export_macro/nothing.rs");
    cases.compile_fail("tests/export_macro/two_types.rs");
}
