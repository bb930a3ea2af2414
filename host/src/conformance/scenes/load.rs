//! Many calls: from many threads at once, and in random order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::{ConnectionId, DisconnectReason};
use serde_json::json;

use super::super::clients::Client;
use super::super::random::Random;
use super::super::scene::{Scene, Served, Stop, news, no_panic, unknown_connections};

/// `broadcast` from several threads, connections each from one, requests meanwhile.
pub(in super::super) fn threads(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let running = served.running;
    let way = served.way(scene).ok();
    let clients: Vec<Client> =
        way.iter().flat_map(|way| (0..4).filter_map(|_| way.connect(served.host))).collect();
    let mut ids: Vec<ConnectionId> = clients.iter().filter_map(|client| client.id).collect();
    ids.extend(unknown_connections());
    let time = Duration::from_millis(if scene.thorough { 10_000 } else { 400 });
    scene.step("broadcast, notify, join_channel and leave_channel were being called on many threads");
    let over = AtomicBool::new(false);
    let results = std::thread::scope(|scope| {
        let (over, ids) = (&over, &ids);
        let broadcasts = (0..3).map(|_| {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    no_panic("broadcast", running.broadcast(&["a", "b", "c"], &news()))?;
                }
                Ok(())
            })
        });
        let connections = (0..3).map(|number| {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    for id in ids.iter().skip(number).step_by(3) {
                        no_panic("join_channel", running.join_channel(*id, "a"))?;
                        no_panic("notify", running.notify(*id, &["a"], &news()))?;
                        no_panic("leave_channel", running.leave_channel(*id, "a"))?;
                    }
                }
                Ok(())
            })
        });
        let calls: Vec<_> = broadcasts.chain(connections).collect();
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Some(mut client) = way.and_then(|way| way.connect(served.host)) {
                let _ = client.send();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::Relaxed);
        calls.into_iter().map(|call| call.join()).collect::<Vec<_>>()
    });
    for result in results {
        result.map_err(|_| Stop::failed("a thread of the test panicked"))??;
    }
    drop(clients);
    served.still_serves(scene, way)
}

/// A sequence of calls with usual arguments, in an order that the seed decides.
pub(in super::super) fn random(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let way = served.way(scene).ok();
    let mut random = Random::new(scene.seed);
    let (calls, time) = if scene.thorough { (200_000, 60) } else { (4000, 2) };
    let until = Instant::now() + Duration::from_secs(time);
    let mut clients: Vec<Client> = Vec::new();
    let mut known: Vec<ConnectionId> = unknown_connections().to_vec();
    for number in 0..calls {
        if Instant::now() >= until {
            break;
        }
        let what = call(&served, &mut random, &known, &mut clients, |what| {
            scene.step(&format!("seed {}, call {number}: {what}", scene.seed));
        });
        what.map_err(|stop| match stop {
            Stop::Failed(reason) => Stop::Failed(format!("{reason}; seed {}, call {number}", scene.seed)),
            other => other,
        })?;
        // Now and then a client comes.
        if random.below(200) == 0
            && clients.len() < 16
            && let Some(client) = way.and_then(|way| way.connect(served.host))
        {
            known.extend(client.id);
            clients.push(client);
        }
    }
    drop(clients);
    served.still_serves(scene, way)
}

/// Makes one call.
fn call(
    served: &Served,
    random: &mut Random,
    known: &[ConnectionId],
    clients: &mut Vec<Client>,
    step: impl Fn(&str),
) -> Result<(), Stop> {
    let running = served.running;
    let id = *random.one_of(known);
    let channel = format!("channel-{}", random.below(12));
    let payload = json!({ "text": "x".repeat(random.below(300)) });
    match random.below(1000) {
        0..300 => {
            step(&format!("join_channel({:#x}, {channel})", id.as_raw()));
            no_panic("join_channel", running.join_channel(id, channel))
        }
        300..550 => {
            step(&format!("leave_channel({:#x}, {channel})", id.as_raw()));
            no_panic("leave_channel", running.leave_channel(id, channel))
        }
        550..750 => {
            step(&format!("broadcast({channel})"));
            no_panic("broadcast", running.broadcast(&[channel], &payload))
        }
        750..950 => {
            step(&format!("notify({:#x}, {channel})", id.as_raw()));
            no_panic("notify", running.notify(id, &[channel], &payload))
        }
        950..990 => {
            step("a request of a client");
            if !clients.is_empty() {
                let index = random.below(clients.len());
                let _ = clients[index].send();
            }
            Ok(())
        }
        990..995 => {
            step("a client goes");
            if !clients.is_empty() {
                let index = random.below(clients.len());
                drop(clients.swap_remove(index));
            }
            Ok(())
        }
        _ => {
            step(&format!("disconnect({:#x})", id.as_raw()));
            no_panic("disconnect", running.disconnect(id, DisconnectReason::Requested, "conformance"))
        }
    }
}
