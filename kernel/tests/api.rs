//! The table of actions: its routes are Kuzzle's, and the documentation shows all of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use kuzzle_kernel::{ACTIONS, Action, Argument};

/// Verb, path, controller and action of every route of Kuzzle, in its order.
const ROUTES: &str = include_str!("vectors/kuzzle-http-routes.tsv");

#[test]
fn routes_are_those_of_kuzzle_in_its_order() {
    for action in ACTIONS {
        let theirs: Vec<_> = ROUTES
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|columns| columns[2] == action.controller && columns[3] == action.name)
            .map(|columns| (columns[0], columns[1]))
            .collect();
        assert_eq!(action.routes, theirs, "{}:{}", action.controller, action.name);
    }
}

#[test]
fn actions_are_sorted_and_unique() {
    let name = |action: &Action| (action.controller, action.name);
    assert!(ACTIONS.windows(2).all(|pair| name(&pair[0]) < name(&pair[1])));
}

/// Write it anew with `KUZZLE_BLESS=1 cargo test -p kuzzle-kernel --test api`.
#[test]
fn the_table_in_the_docs_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let found = fs::read_to_string(&path).unwrap();
    let (before, rest) = found.split_once("<!-- actions -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of actions -->\n").unwrap();
    let expected = format!("{before}<!-- actions -->\n{}<!-- end of actions -->\n{after}", table());
    let blesses = std::env::var_os("KUZZLE_BLESS").is_some();
    if blesses {
        fs::write(&path, &expected).unwrap();
    }
    assert!(blesses || found == expected, "docs/api.md is not up to date");
}

fn table() -> String {
    let mut table = String::from("| action | what it does | arguments | routes |\n|---|---|---|---|\n");
    for Action { controller, name, about, arguments, routes, .. } in ACTIONS {
        let arguments: Vec<_> = arguments.iter().map(argument).collect();
        let routes: Vec<_> = routes.iter().map(|(verb, path)| format!("`{verb} {path}`")).collect();
        let (arguments, routes) = (arguments.join("<br>"), routes.join("<br>"));
        writeln!(table, "| `{controller}:{name}` | {about} | {arguments} | {routes} |").unwrap();
    }
    table
}

fn argument(argument: &Argument) -> String {
    let Argument { name, kind, required } = argument;
    if *required { format!("`{name}`: {kind}") } else { format!("*`{name}`: {kind}*") }
}
