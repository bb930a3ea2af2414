//! Rules that a host watches from its side.

use std::collections::HashSet;
use std::time::Duration;

use kuzzle_protocol_abi::testing::{Recorded, Rule};
use kuzzle_protocol_abi::{DisconnectReason, MetricKind};
use serde_json::json;

use super::super::clients::Client;
use super::super::process::Surroundings;
use super::super::scene::{Scene, Served, Stop, news, unknown_connections};

/// Every callback, for a client that is there, if any, and for an unknown connection.
fn every_callback(scene: &Scene<'_>, served: &Served, client: Option<&Client>) {
    let running = served.running;
    let known = client.and_then(|client| client.id);
    for connection in known.into_iter().chain([unknown_connections()[1]]) {
        for _ in 0..3 {
            scene.step("join_channel was being called");
            let _ = running.join_channel(connection, "conformance");
            scene.step("broadcast was being called");
            let _ = running.broadcast(&["conformance"], &news());
            scene.step("notify was being called");
            let _ = running.notify(connection, &["conformance"], &news());
            scene.step("leave_channel was being called");
            let _ = running.leave_channel(connection, "conformance");
        }
        scene.step("disconnect was being called");
        let _ = running.disconnect(connection, DisconnectReason::Requested, "conformance");
    }
}

/// No `execute` inside a callback.
pub(in super::super) fn reentrancy(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let (way, client) = served.client_if_any(scene);
    every_callback(scene, &served, client.as_ref());
    if let Some(way) = way {
        scene.step("clients sent several requests at once");
        if let Some(mut client) = way.connect(served.host) {
            for _ in 0..10 {
                let _ = client.send();
            }
            let _ = client.request(served.host);
        }
    }
    served.kept(Rule::Reentrancy)
}

/// Callbacks return quickly, also when a client reads nothing.
///
/// A machine may be busy, so one slow call says nothing: of six calls at least four must be slow.
pub(in super::super) fn blocking(scene: &Scene<'_>) -> Result<(), Stop> {
    const CALLS: usize = 6;
    /// More than the system buffers for a client.
    const FLOOD: usize = 300;
    let served = scene.serve()?;
    let running = served.running;
    let (way, client) = served.client_if_any(scene);
    let connection = client.as_ref().and_then(|client| client.id).unwrap_or(unknown_connections()[1]);
    for _ in 0..CALLS {
        scene.step("join_channel was being called");
        let _ = running.join_channel(connection, "conformance");
        scene.step("broadcast was being called");
        let _ = running.broadcast(&["conformance"], &news());
        scene.step("notify was being called");
        let _ = running.notify(connection, &["conformance"], &news());
        scene.step("leave_channel was being called");
        let _ = running.leave_channel(connection, "conformance");
        scene.step("disconnect was being called");
        let _ = running.disconnect(unknown_connections()[2], DisconnectReason::Requested, "");
    }
    slow(&served, 4)?;
    scene.step("join_channel was being called");
    let _ = running.join_channel(connection, "conformance");
    let large = json!({ "large": "x".repeat(64 << 10) });
    scene.step("broadcast was being called for a client that reads nothing");
    for number in 0..FLOOD {
        let _ = running.broadcast(&["conformance"], &large);
        if number % 10 == 0 {
            slow(&served, 8)?;
        }
    }
    scene.step("disconnect was being called for a client that reads nothing");
    let _ = running.disconnect(connection, DisconnectReason::Overflow, "");
    slow(&served, 8)?;
    // Completions are callbacks too.
    scene.step("completions were being called");
    if let Some(mut client) = way.and_then(|way| way.connect(served.host)) {
        for _ in 0..CALLS {
            let _ = client.request(served.host);
        }
    }
    slow(&served, 4)
}

fn slow(served: &Served, most: usize) -> Result<(), Stop> {
    let slow = served.host.recorded().slow;
    for call in &slow {
        let same: Vec<_> = slow.iter().filter(|other| other.function == call.function).collect();
        if same.len() >= most {
            let longest = same.iter().map(|call| call.lasted.as_millis()).max().unwrap_or(0);
            return Err(Stop::failed(format!(
                "{} took 100 ms or longer {} times, at most {longest} ms",
                call.function,
                same.len()
            )));
        }
    }
    Ok(())
}

/// Payloads are released as often as retained, once nobody is there any more.
pub(in super::super) fn payloads(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let running = served.running;
    let (way, first) = served.client_if_any(scene);
    let mut clients: Vec<_> = first.into_iter().collect();
    clients.extend(way.into_iter().flat_map(|way| (0..3).filter_map(move |_| way.connect(served.host))));
    let ids: Vec<_> = clients.iter().filter_map(|client| client.id).collect();
    for id in &ids {
        scene.step("join_channel was being called");
        let _ = running.join_channel(*id, "conformance");
    }
    for number in 0..100 {
        if scene.is_late() {
            break;
        }
        scene.step("broadcast and notify were being called");
        let _ = running.broadcast(&["conformance", "nobody's"], &json!({ "number": number }));
        for id in ids.iter().copied().chain([unknown_connections()[1]]) {
            let _ = running.notify(id, &["conformance"], &json!({ "number": number }));
        }
    }
    if let Some(client) = clients.first_mut() {
        let _ = client.request(served.host);
    }
    let noticed = clients.iter().all(Client::is_stream);
    drop(clients);
    if noticed {
        let none_left = |recorded: &Recorded| recorded.connected().is_empty().then_some(());
        let _ = served.host.wait_for(Duration::from_secs(3), none_left);
    }
    for id in served.host.recorded().connected() {
        let _ = running.disconnect(id, DisconnectReason::Shutdown, "");
    }
    scene.shut_down(running)?;
    scene.step("shutdown had returned, and payloads were still retained");
    let settled = || {
        let references = served.host.references();
        (references.retained == references.released).then_some(())
    };
    if served.host.wait_for(Duration::from_secs(2), |_| settled()).is_none() && settled().is_none() {
        let references = served.host.references();
        return Err(Stop::failed(format!(
            "payloads were retained {} times and released {} times",
            references.retained, references.released
        )));
    }
    served.kept(Rule::Payloads)
}

/// What belongs to the whole process is left alone.
pub(in super::super) fn process(scene: &Scene<'_>) -> Result<(), Stop> {
    let before = Surroundings::now();
    let served = scene.serve()?;
    let (way, client) = served.client_if_any(scene);
    every_callback(scene, &served, client.as_ref());
    if let Some(mut client) = way.and_then(|way| way.connect(served.host)) {
        let _ = client.request(served.host);
    }
    let changes = Surroundings::now().changes_since(&before);
    if changes.is_empty() {
        return Ok(());
    }
    Err(Stop::failed(format!("it changed what belongs to the whole process: {}", changes.join("; "))))
}

/// Extensions: unknown ones are answered with null.
pub(in super::super) fn extensions(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let unknown: [&[u8]; 6] = [
        b"",
        b"kuzzle.metrics/0",
        b"kuzzle.unknown/1",
        b"com.example.conformance/1",
        b"\xff\xfe",
        &[b'x'; 65_536],
    ];
    for id in unknown {
        let name = String::from_utf8_lossy(&id[..id.len().min(40)]).into_owned();
        scene.step(&format!("get_extension was being called with \"{name}\""));
        if served.running.extension(id).is_some() {
            return Err(Stop::failed(format!("it answered a table for the unknown extension \"{name}\"")));
        }
    }
    scene.step("the metrics of the protocol were being read");
    match served.running.metrics() {
        Some(Err(status)) => return Err(Stop::failed(format!("its metrics could not be read: {status}"))),
        Some(Ok(metrics)) => {
            let mut names = HashSet::new();
            for metric in metrics {
                let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                let is_name = (1..=64).contains(&metric.name.len()) && metric.name.bytes().all(is_allowed);
                let is_value = metric.kind != MetricKind::Counter || metric.value >= 0;
                if !is_name || !is_value || !names.insert(metric.name.clone()) {
                    return Err(Stop::failed(format!(
                        "the host would not show its metric \"{}\": a name of 1 to 64 of A-Z a-z 0-9 _ . - that \
                         occurs once is wanted, and a counter of 0 or more",
                        metric.name
                    )));
                }
            }
        }
        None => {}
    }
    served.kept(Rule::Panics)
}
