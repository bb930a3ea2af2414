//! Clients and their requests.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use kuzzle_protocol_abi::testing::{Answer, Recorded, Rule};
use kuzzle_protocol_abi::{DisconnectReason, Status};

use super::super::clients::{self, Client};
use super::super::random::Random;
use super::super::scene::{Scene, Served, Stop, marked, marker};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a second answer is waited for.
const TWICE: Duration = Duration::from_millis(60);
/// How long a client that has closed its socket may take to be removed.
const REMOVAL: Duration = Duration::from_secs(5);

/// Each request is answered exactly once, and what the protocol passes to the host is right.
pub(in super::super) fn requests(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let way = served.way(scene)?;
    for number in 0..3 {
        let Some(mut client) = way.connect(served.host) else {
            return Err(Stop::failed(format!("client {number} was not served")));
        };
        scene.step("a client waited for the answer to its first request");
        let first = client.first.number;
        once(&served, &mut client, first)?;
        for _ in 0..3 {
            scene.step("a client waited for an answer");
            let Some((_, request)) = client.request(served.host) else {
                return Err(Stop::failed("a client's second request did not come to the host"));
            };
            once(&served, &mut client, request.number)?;
        }
    }
    served.kept(Rule::Arguments)
}

/// Makes sure that the answer to one request came, and did not come again.
fn once(served: &Served, client: &mut Client, request: usize) -> Result<(), Stop> {
    let before = client.received();
    match client.count(&marker(request), ANSWER, TWICE) {
        1 => Ok(()),
        0 if !served.host.recorded().is_answered(request) => {
            Err(Stop::failed("the completion of a request was not called"))
        }
        // Perhaps it is compressed or encrypted: something must have come at least.
        0 if client.received() > before => Ok(()),
        0 => Err(Stop::failed("a request was executed, but its answer did not reach the client")),
        times => Err(Stop::failed(format!("a request was answered {times} times"))),
    }
}

/// Answers that come long after `execute`, on another thread; requests that the host does not accept;
/// connections that are dropped in between.
pub(in super::super) fn completions(scene: &Scene<'_>) -> Result<(), Stop> {
    const LATER: Duration = Duration::from_millis(60);
    let modes = [
        None,
        Some(Status::InvalidRequest),
        Some(Status::InvalidJson),
        Some(Status::BadHandle),
        Some(Status::Stopped),
    ];
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let served = scene.serve_with(move |request| {
        if request.json()["controller"] != "server" || request.json()["action"] != "now" {
            return Answer::minimal(request);
        }
        let mode = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % (2 * modes.len());
        match modes[mode / 2] {
            Some(status) => Answer::refuse(status, "refused by kuzzle-host conformance"),
            None => marked(request).later(LATER),
        }
    })?;
    let way = served.way(scene)?;
    let mut came = 0;
    for _ in 0..4 * modes.len() {
        scene.step("answers came later, or requests were refused");
        let Some(mut client) = way.connect(served.host) else { continue };
        came += 1;
        if came % 3 == 0 {
            // It goes before its answer comes.
            drop(client);
            continue;
        }
        if came % 3 == 1
            && let Some(id) = client.id
        {
            let _ = served.running.disconnect(id, DisconnectReason::Requested, "");
        }
        let _ = client.request(served.host);
    }
    if came == 0 {
        return Err(Stop::failed("no client was served"));
    }
    scene.step("the last answers came later");
    let all = |recorded: &Recorded| {
        let late = recorded.requests.iter().filter(|request| {
            let document = request.json();
            document["action"] == "now" && recorded.is_answered(request.number)
        });
        (late.count() > 0).then_some(())
    };
    if served.host.wait_for(ANSWER, all).is_none() {
        return Err(Stop::failed("no answer that came later was taken"));
    }
    std::thread::sleep(2 * LATER);
    served.still_serves(scene, Some(way))
}

/// Any bytes, clients that come and go: each that was declared is removed when it has gone.
pub(in super::super) fn clients(scene: &Scene<'_>) -> Result<(), Stop> {
    let served = scene.serve()?;
    let addresses = clients::addresses(served.host);
    if addresses.is_empty() {
        return Err(Stop::skipped("the protocol has reported no TCP or UDP listener"));
    }
    let way = served.way(scene).ok();
    let mut random = Random::new(scene.seed);
    let times = if scene.thorough { 20 } else { 2 };
    for (address, is_udp) in addresses {
        for (what, bytes) in hostile(&mut random, times) {
            scene.step(&format!("a client sent {what} to {address}"));
            if is_udp {
                let local = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let socket = UdpSocket::bind(local).map_err(|error| Stop::skipped(error.to_string()))?;
                for datagram in bytes.chunks(60_000) {
                    let _ = socket.send_to(datagram, address);
                }
                if bytes.is_empty() {
                    let _ = socket.send_to(&[], address);
                }
            } else {
                throw(address, &bytes)?;
            }
        }
    }
    // What was sent last has been read, when this client has its answer.
    served.still_serves(scene, way)?;
    gone(scene, &served)?;
    let Some(way) = way else { return Ok(()) };
    scene.step("clients came and went");
    let many: Vec<_> = (0..30).filter_map(|_| way.connect(served.host)).collect();
    drop(many);
    gone(scene, &served)?;
    served.still_serves(scene, Some(way))
}

/// Sends bytes over TCP, and leaves whatever comes back.
fn throw(address: std::net::SocketAddr, bytes: &[u8]) -> Result<(), Stop> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)
        .map_err(|error| Stop::failed(format!("{address} does not accept connections any more: {error}")))?;
    let brief = Some(Duration::from_millis(30));
    let _ = (stream.set_write_timeout(brief), stream.set_read_timeout(brief));
    if stream.write_all(bytes).is_ok() {
        let _ = stream.read(&mut [0; 4096]);
    }
    Ok(())
}

/// Bytes that no protocol expects, each with what it is.
fn hostile(random: &mut Random, times: usize) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = vec![
        ("nothing".into(), Vec::new()),
        ("one byte".into(), vec![0]),
        ("a line feed".into(), b"\n".to_vec()),
        ("100,000 opening brackets".into(), [b'['; 100_000].iter().copied().chain(*b"\n").collect()),
        ("3 MiB without a line feed".into(), vec![b'x'; 3 << 20]),
        ("bytes that are not UTF-8".into(), b"\xff\xfe\xfd\n\xc0\x80\n".to_vec()),
        ("JSON that is no request".into(), b"[1,2,3]\nnull\n\"text\"\n{}\n".to_vec()),
        ("half a request".into(), br#"{"controller":"server","action":"#.to_vec()),
        ("half an HTTP request".into(), b"POST /_query HTTP/1.1\r\nContent-Length: 999999\r\n\r\n{".to_vec()),
        (
            "an HTTP request with a bad length".into(),
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
        ),
        ("an MQTT packet of the greatest length".into(), b"\x30\xff\xff\xff\x7f".to_vec()),
        ("MQTT packets of each kind".into(), (0..=255_u8).flat_map(|kind| [kind, 0]).collect()),
    ];
    for _ in 0..times {
        let length = random.below(2000);
        let bytes = (0..length).map(|_| random.next() as u8).collect();
        all.push((format!("{length} random bytes"), bytes));
    }
    all
}

/// Waits until every connection over TCP has been removed.
fn gone(scene: &Scene<'_>, served: &Served) -> Result<(), Stop> {
    scene.step("clients had gone, and were not removed yet");
    let is_tcp = clients::addresses(served.host).iter().all(|(_, is_udp)| !is_udp);
    if !is_tcp {
        return Ok(());
    }
    let none_left = |recorded: &Recorded| recorded.connected().is_empty().then_some(());
    if served.host.wait_for(REMOVAL, none_left).is_some() {
        return Ok(());
    }
    let left: HashSet<_> = served.host.recorded().connected().into_iter().collect();
    let seconds = REMOVAL.as_secs();
    Err(Stop::failed(format!(
        "{} connections were not removed {seconds} s after their clients had closed them",
        left.len()
    )))
}
