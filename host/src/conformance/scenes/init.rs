//! `init` with every kind of configuration.

use std::net::{TcpListener, UdpSocket};

use kuzzle_protocol_abi::Status;
use kuzzle_protocol_abi::testing::FakeHost;
use serde_json::{Value, json};

use super::super::clients;
use super::super::journal::Phase;
use super::super::scene::{Scene, Stop, marked};
use super::super::subject::{Property, Subject, is_port, with, wrong_type};

const NONE: &str = "no options";
const EMPTY: &str = "empty options";
const PLAIN: &str = "port 0";
const TAKEN: &str = "a port in use";
const UNKNOWN: &str = "an unknown option";
const NO_OBJECT: &str = "options that are no object";
const WRONG: &str = "a wrong type of ";
/// Options of which each is given a wrong type.
const MOST: usize = 32;

/// One scene for each configuration.
pub(in super::super) fn parts(subject: &Subject) -> Vec<String> {
    let mut parts = [PLAIN, NONE, EMPTY, TAKEN, UNKNOWN, NO_OBJECT].map(str::to_owned).to_vec();
    let typed = subject.properties().into_iter().filter(|property| wrong_type(&property.schema).is_some());
    parts.extend(typed.take(MOST).map(|property| format!("{WRONG}{}", property.path.join("."))));
    parts
}

pub(in super::super) fn play(scene: &Scene<'_>) -> Result<(), Stop> {
    let subject = scene.subject;
    let plain = subject.options();
    let sections = || plain.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let each_section =
        |value: Value| sections().fold(plain.clone(), |options, section| with(&options, &[section], &value));
    match scene.part {
        PLAIN => {
            let host = run(scene, &plain, 0)?.map_err(|error| {
                Stop::failed(format!("it refused options that its schema allows, {plain}: {error}"))
            })?;
            match clients::addresses(host).iter().find(|(address, _)| address.port() == 0) {
                Some(_) => Err(Stop::failed("it reported the port 0 instead of the one that was bound")),
                None => Ok(()),
            }
        }
        // Its usual port may be in use where this runs.
        NONE => succeeds_or_tells(run(scene, &json!({}), 0)?),
        EMPTY => succeeds_or_tells(run(scene, &each_section(json!({})), 0)?),
        NO_OBJECT => succeeds_or_tells(run(scene, &each_section(json!(["no", "object"])), 0)?),
        UNKNOWN => {
            let mut options = plain.clone();
            for section in sections() {
                options =
                    with(&options, &[section, "kuzzleConformance".to_owned()], &json!({ "un": ["known"] }));
            }
            succeeds_or_tells(run(scene, &options, 0)?)
        }
        TAKEN => taken(scene, &plain),
        part => {
            let path = part.strip_prefix(WRONG).unwrap_or_default();
            let is_it = |property: &Property| property.path.join(".") == path;
            let property = subject.properties().into_iter().find(is_it);
            let Some((property, value)) =
                property.and_then(|it| wrong_type(&it.schema).map(|value| (it, value)))
            else {
                return Err(Stop::skipped("no such option"));
            };
            succeeds_or_tells(run(scene, &with(&plain, &property.path, &value), 0)?)
        }
    }
}

/// `init` and `start` with these options: the host that it serves, or its error.
fn run(
    scene: &Scene<'_>,
    options: &Value,
    port: u16,
) -> Result<Result<FakeHost, kuzzle_protocol_abi::Error>, Stop> {
    let functions = scene.load()?;
    let host = scene.subject.host(options, port).answer(marked).build();
    scene.journal.step(Phase::Init, &format!("init was being called with {options}"));
    let running = match host.init(functions) {
        Ok(running) => running,
        Err(error) => return Ok(Err(error)),
    };
    scene.journal.step(Phase::Init, &format!("start was being called with {options}"));
    Ok(running.start().map(|()| host))
}

fn succeeds_or_tells(result: Result<FakeHost, kuzzle_protocol_abi::Error>) -> Result<(), Stop> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.status() == Status::Panic => Err(Stop::failed(format!("it panicked: {error}"))),
        Err(error) if error.message().trim().is_empty() || error.message() == error.status().to_string() => {
            Err(Stop::failed("it failed without an error text that would say what to do"))
        }
        Err(_) => Ok(()),
    }
}

/// Every port that it can be given is in use, by a TCP and by a UDP socket.
fn taken(scene: &Scene<'_>, plain: &Value) -> Result<(), Stop> {
    let (_tcp, _udp, port) = occupy().ok_or_else(|| Stop::skipped("no port could be occupied"))?;
    let mut options = plain.clone();
    for property in scene.subject.properties() {
        if property.path.last().is_some_and(|name| is_port(name, &property.schema)) {
            options = with(&options, &property.path, &json!(port));
        }
    }
    match run(scene, &options, port)? {
        Ok(host) => match clients::addresses(host).iter().find(|(address, _)| address.port() == port) {
            Some((address, _)) => {
                Err(Stop::failed(format!("it reported {address} as bound, which somebody else listens on")))
            }
            None => Ok(()),
        },
        failed => succeeds_or_tells(failed),
    }
}

fn occupy() -> Option<(TcpListener, UdpSocket, u16)> {
    (0..50).find_map(|_| {
        let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = tcp.local_addr().ok()?.port();
        Some((tcp, UdpSocket::bind(("127.0.0.1", port)).ok()?, port))
    })
}
