//! `shutdown`, and what must not be there after it.

use std::time::{Duration, Instant};

use kuzzle_protocol_abi::testing::Rule;

use super::super::clients::Client;
use super::super::process::Belongings;
use super::super::scene::{Scene, Served, Stop, news};
use super::super::subject::Subject;

const IDLE: &str = "idle";
const BEFORE_START: &str = "before start";
const BUSY: &str = "with clients";

/// How long threads and descriptors may take to go: the system ends threads a moment after they were
/// joined.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a call after the end is waited for.
const SILENCE: Duration = Duration::from_millis(600);

/// Three processes: an image is initialised once.
pub(in super::super) fn parts(_: &Subject) -> Vec<String> {
    [IDLE, BEFORE_START, BUSY].map(str::to_owned).to_vec()
}

pub(in super::super) fn play(scene: &Scene<'_>) -> Result<(), Stop> {
    if scene.part == BEFORE_START {
        let functions = scene.load()?;
        let host = scene.subject.host(&scene.subject.options(), 0).build();
        let running = scene.init(host, functions)?;
        return scene.shut_down(running);
    }
    let served = scene.serve()?;
    let clients = if scene.part == BUSY { busy(scene, &served) } else { Vec::new() };
    let result = scene.shut_down(served.running);
    drop(clients);
    result
}

/// Clients that have asked, joined and been told something; none, if it is not known how.
fn busy(scene: &Scene<'_>, served: &Served) -> Vec<Client> {
    let (way, first) = served.client_if_any(scene);
    let Some(way) = way else { return Vec::new() };
    let more = (0..2).filter_map(|_| way.connect(served.host));
    let clients: Vec<_> = first.into_iter().chain(more).collect();
    scene.step("clients joined a channel, and something was broadcast");
    for client in &clients {
        if let Some(id) = client.id {
            let _ = served.running.join_channel(id, "conformance");
        }
    }
    let _ = served.running.broadcast(&["conformance"], &news());
    clients
}

/// No call of the host after `shutdown` has returned.
pub(in super::super) fn silence(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let mut clients = busy(scene, &served);
    scene.shut_down(served.running)?;
    scene.step("shutdown had returned, and clients went on");
    let until = Instant::now() + SILENCE;
    while Instant::now() < until {
        for client in &mut clients {
            let _ = client.send();
        }
        let broken = |recorded: &kuzzle_protocol_abi::testing::Recorded| {
            let mut violations = recorded.violations.iter();
            violations.any(|violation| violation.rule == Rule::AfterShutdown).then_some(())
        };
        if served.host.wait_for(Duration::from_millis(20), broken).is_some() {
            break;
        }
    }
    served.kept(Rule::AfterShutdown)
}

/// No thread and no descriptor is left.
pub(in super::super) fn leaks(scene: &Scene<'_>) -> Result<(), Stop> {
    let functions = scene.load()?;
    let Some(before) = Belongings::now() else {
        return Err(Stop::skipped("this system does not tell a process its threads and descriptors"));
    };
    let host = scene.subject.host(&scene.subject.options(), 0).answer(super::super::scene::marked).build();
    let running = scene.init(host, functions)?;
    scene.start(running)?;
    let served = Served { host, running };
    let clients = busy(scene, &served);
    drop(clients);
    scene.shut_down(running)?;
    scene.step("shutdown had returned");
    let until = Instant::now() + SETTLE;
    loop {
        let (threads, descriptors) = Belongings::now().unwrap_or_default().beyond(&before);
        if threads.is_empty() && descriptors.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let mut left = Vec::new();
            if !threads.is_empty() {
                left.push(format!("threads: {}", threads.join(", ")));
            }
            if !descriptors.is_empty() {
                left.push(format!("descriptors: {}", descriptors.join(", ")));
            }
            return Err(Stop::failed(format!("after shutdown there were left: {}", left.join("; "))));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
