//! From a verb and a path to an action of the API: segments, of which a literal one beats a parameter, without
//! backtracking (Kuzzle: lib/core/network/httpRouter).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::mpsc;

use hyper::Method;
use kuzzle_protocol_abi::{EntryPoint, Error, Request};
use serde::Deserialize;

use super::query;

/// The verbs that a route can have.
const VERBS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) controller: Box<str>,
    pub(crate) action: Box<str>,
}

/// What was found for a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) target: &'a Target,
    /// Names and values of the path's parameters.
    pub(crate) parameters: Vec<(&'a str, Cow<'a, str>)>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    parameter: Option<Box<Node>>,
    leaf: Option<Leaf>,
}

/// Where a route ends. Routes may name a parameter at the same place differently.
#[derive(Debug)]
struct Leaf {
    names: Vec<Box<str>>,
    target: Target,
}

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct Router {
    verbs: [Node; VERBS.len()],
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    http: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    verb: String,
    path: String,
}

/// What `server:publicApi` answers.
#[derive(Deserialize)]
struct PublicApi {
    result: Option<HashMap<String, HashMap<String, Action>>>,
}

/// Asks the host for its API.
///
/// # Errors
/// The host answers something else.
pub(crate) fn from_api(entry_point: &EntryPoint) -> Result<Router, Error> {
    let answer = ask(entry_point, "publicApi")?;
    let failed = |problem| Error::failed(format!("cannot build the HTTP routes: server:publicApi {problem}"));
    Router::parse(&answer).map_err(failed)
}

/// Asks the host something about itself: an action of the controller `server`.
///
/// # Errors
/// The host does not answer.
pub(super) fn ask(entry_point: &EntryPoint, action: &str) -> Result<Vec<u8>, Error> {
    let (sender, receiver) = mpsc::channel();
    let document = format!(r#"{{"controller":"server","action":"{action}"}}"#);
    entry_point.execute(Request::new(document.as_bytes()), move |answer| {
        let _ = sender.send(answer.map(|answer| answer.content().to_vec()));
    });
    receiver.recv().map_err(|_| Error::failed(format!("server:{action} was not answered")))?
}

impl Router {
    /// The routes of an answer to `server:publicApi`.
    fn parse(answer: &[u8]) -> Result<Self, String> {
        let api: PublicApi =
            serde_json::from_slice(answer).map_err(|error| format!("has an unexpected answer: {error}"))?;
        let mut router = Self::default();
        for (controller, actions) in api.result.ok_or("has no result")? {
            for (action, Action { http }) in actions {
                for route in http {
                    let target =
                        Target { controller: controller.as_str().into(), action: action.as_str().into() };
                    router.add(&route.verb, &route.path, target)?;
                }
            }
        }
        Ok(router)
    }

    fn add(&mut self, verb: &str, path: &str, target: Target) -> Result<(), String> {
        let verb_index = VERBS.iter().position(|known| known.as_str().eq_ignore_ascii_case(verb));
        let index = verb_index.ok_or_else(|| format!("names the verb \"{verb}\", which is unknown"))?;
        let mut node = &mut self.verbs[index];
        let mut names = Vec::new();
        for segment in segments(path) {
            node = match segment.strip_prefix(':') {
                None => node.literals.entry(segment.into()).or_default(),
                Some(name) => {
                    names.push(name.into());
                    node.parameter.get_or_insert_default()
                }
            };
        }
        if let Some(other) = node.leaf.replace(Leaf { names, target }) {
            return Err(format!("has the route {verb} {path} twice, once for {:?}", other.target));
        }
        Ok(())
    }

    /// Whether routes can have this verb.
    pub(crate) fn knows(method: &Method) -> bool {
        VERBS.contains(method)
    }

    /// The action for a path as it stands in the request.
    pub(crate) fn find<'a>(&'a self, method: &Method, path: &'a str) -> Option<Found<'a>> {
        let mut node = &self.verbs[VERBS.iter().position(|known| known == method)?];
        let mut values = Vec::new();
        for segment in segments(path) {
            let segment = query::decode(segment, false);
            node = if let Some(next) = node.literals.get(&*segment) {
                next
            } else {
                values.push(segment);
                node.parameter.as_ref()?
            };
        }
        let Leaf { names, target } = node.leaf.as_ref()?;
        Some(Found { target, parameters: names.iter().map(|name| &**name).zip(values).collect() })
    }
}

/// Empty segments count for nothing, so neither does a slash at the end.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(&str, &str, &str)]) -> Router {
        let mut router = Router::default();
        for (verb, path, action) in routes {
            let target = Target { controller: "c".into(), action: (*action).into() };
            router.add(verb, path, target).unwrap();
        }
        router
    }

    fn find(router: &Router, verb: Method, path: &str) -> Option<(String, String)> {
        let found = router.find(&verb, path)?;
        let parameters: Vec<_> =
            found.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some((found.target.action.to_string(), parameters.join("&")))
    }

    #[test]
    fn a_literal_beats_a_parameter_and_nothing_is_tried_twice() {
        let router = router(&[
            ("GET", "/", "root"),
            ("GET", "/_me", "me"),
            ("GET", "/:index/:collection", "both"),
            ("POST", "/:index/:collection/_publish", "publish"),
        ]);
        let some = |action: &str, parameters: &str| Some((action.to_owned(), parameters.to_owned()));
        for (path, expected) in [
            ("/", some("root", "")),
            ("", some("root", "")),
            ("/_me", some("me", "")),
            ("/_me/", some("me", "")),
            ("//_me", some("me", "")),
            ("/_Me", None),
            ("/_me/x", None),
            ("/i/c", some("both", "index=i&collection=c")),
            ("/a%20b/c%2Fd", some("both", "index=a b&collection=c/d")),
            ("/i", None),
        ] {
            assert_eq!(find(&router, Method::GET, path), expected, "{path}");
        }
        assert_eq!(find(&router, Method::PUT, "/"), None);
        assert_eq!(find(&router, Method::POST, "/i/c/_publish"), some("publish", "index=i&collection=c"));
    }

    #[test]
    fn the_routes_come_from_the_description_of_the_api() {
        let api =
            br#"{"result":{"server":{"now":{"http":[{"path":"/_now","url":"/_now","verb":"GET"}]},"x":{}}}}"#;
        let router = Router::parse(api).unwrap();
        assert_eq!(find(&router, Method::GET, "/_now"), Some(("now".to_owned(), String::new())));
        assert!(Router::parse(b"{}").is_err() && Router::parse(b"[]").is_err());
    }

    /// Every route of Kuzzle 2.56 leads to its own action.
    #[test]
    fn all_routes_of_kuzzle_are_found() {
        let table = include_str!("../../tests/kuzzle-http-routes.tsv");
        let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        assert!(rows.len() > 290, "{}", rows.len());
        let mut router = Router::default();
        for row in &rows {
            let target = Target { controller: row[2].into(), action: row[3].into() };
            router.add(row[0], row[1], target).unwrap();
        }
        for row in &rows {
            let path = row[1].replace(':', "value-of-");
            let found = router.find(&Method::from_bytes(row[0].as_bytes()).unwrap(), &path);
            let found = found.unwrap_or_else(|| panic!("{row:?}"));
            assert_eq!((&*found.target.controller, &*found.target.action), (row[2], row[3]));
            let names: Vec<_> = segments(row[1]).filter_map(|segment| segment.strip_prefix(':')).collect();
            assert_eq!(found.parameters.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        }
    }
}
