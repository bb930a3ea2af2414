//! Clients that do not know the protocol: they try the formats in which Kuzzle is usually spoken.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::ConnectionId;
use kuzzle_protocol_abi::testing::{ApiRequest, FakeHost};
use serde_json::json;

use super::scene::Stop;

/// How long a client waits for its request to come to the host.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long one read may wait.
const SLICE: Duration = Duration::from_millis(5);

/// A way to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One JSON document a datagram.
    Datagrams,
    /// One JSON document a line.
    Lines,
    /// One JSON document a text frame.
    WebSocket,
    /// `POST /_query`.
    Http,
    /// Published to `Kuzzle/request`.
    Mqtt,
}

const OVER_TCP: [Format; 4] = [Format::Lines, Format::WebSocket, Format::Http, Format::Mqtt];

/// An address and a format that lead to requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    address: SocketAddr,
    format: Format,
}

/// The addresses that a protocol has reported, and whether they are of UDP.
pub(super) fn addresses(host: FakeHost) -> Vec<(SocketAddr, bool)> {
    let listeners = host.recorded().listeners;
    let parse = |listener: &kuzzle_protocol_abi::testing::Listener| {
        Some((listener.address.parse().ok()?, listener.transport.to_lowercase().contains("udp")))
    };
    listeners.iter().filter_map(parse).collect()
}

/// Tries the formats one after the other.
pub(super) fn find_way(host: FakeHost) -> Result<Way, Stop> {
    let addresses = addresses(host);
    if addresses.is_empty() {
        return Err(Stop::skipped("it needs clients, and the protocol has reported no TCP or UDP listener"));
    }
    for (address, is_udp) in addresses {
        let formats = if is_udp { &[Format::Datagrams][..] } else { &OVER_TCP[..] };
        for format in formats {
            let way = Way { address, format: *format };
            if way.connect(host).is_some() {
                return Ok(way);
            }
        }
    }
    Err(Stop::skipped(
        "it needs clients, and none of the formats that are tried led to a request: JSON in datagrams, JSON in \
         lines, WebSocket, HTTP (POST /_query), MQTT (Kuzzle/request)",
    ))
}

enum Stream {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// A client that has made a request.
pub(super) struct Client {
    format: Format,
    stream: Stream,
    /// Its connection, if the request named one.
    pub(super) id: Option<ConnectionId>,
    /// Its first request, as it came to the host.
    pub(super) first: ApiRequest,
    /// What has been received.
    received: Vec<u8>,
    closed: bool,
}

impl Way {
    /// Connects, and makes one request; `None` if that does not come to the host.
    pub(super) fn connect(self, host: FakeHost) -> Option<Client> {
        let stream = match self.format {
            Format::Datagrams => {
                let local = if self.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let socket = UdpSocket::bind(local).ok()?;
                socket.connect(self.address).ok()?;
                socket.set_read_timeout(Some(SLICE)).ok()?;
                Stream::Udp(socket)
            }
            _ => {
                let stream = TcpStream::connect_timeout(&self.address, PATIENCE).ok()?;
                stream.set_read_timeout(Some(SLICE)).ok()?;
                stream.set_write_timeout(Some(PATIENCE)).ok()?;
                stream.set_nodelay(true).ok()?;
                Stream::Tcp(stream)
            }
        };
        let first = ApiRequest::default();
        let mut client =
            Client { format: self.format, stream, id: None, first, received: Vec::new(), closed: false };
        client.greet()?;
        let (_, request) = client.request(host)?;
        client.id = request.connection;
        client.first = request;
        Some(client)
    }
}

impl Client {
    fn write(&mut self, bytes: &[u8]) -> Option<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes).ok(),
            Stream::Udp(socket) => socket.send(bytes).ok().map(drop),
        }
    }

    /// What a format wants before the first request.
    fn greet(&mut self) -> Option<()> {
        match self.format {
            Format::WebSocket => {
                self.write(
                    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                )?;
                self.read_until(PATIENCE, |bytes| position(bytes, b"\r\n\r\n").is_some())?;
                position(&self.received, b" 101 ").map(drop)
            }
            Format::Mqtt => {
                self.write(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")?;
                self.read_until(PATIENCE, |bytes| bytes.len() >= 4)?;
                if !self.received.starts_with(&[0x20, 2]) {
                    return None;
                }
                let mut packet = vec![0, 1];
                packet.extend(mqtt_string("Kuzzle/response"));
                packet.push(0);
                let packet = mqtt_packet(0x82, &packet);
                self.write(&packet)
            }
            _ => Some(()),
        }
    }

    /// Sends a request, and waits until the host has it: its id, and itself.
    pub(super) fn request(&mut self, host: FakeHost) -> Option<(String, ApiRequest)> {
        let id = self.send()?;
        let came = |request: &&ApiRequest| position(&request.document, id.as_bytes()).is_some();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let found = host.wait_for(SLICE, |recorded| recorded.requests.iter().rev().find(came).cloned());
            if let Some(request) = found {
                return Some((id, request));
            }
            self.read();
            if self.closed {
                break;
            }
        }
        host.recorded().requests.iter().rev().find(came).map(|request| (id.clone(), request.clone()))
    }

    /// Sends a request without waiting for it.
    pub(super) fn send(&mut self) -> Option<String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let id = format!("kuzzle-conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let document = json!({ "controller": "server", "action": "now", "requestId": id }).to_string();
        let bytes = self.format.encode(&document);
        self.write(&bytes)?;
        Some(id)
    }

    fn read(&mut self) {
        let mut buffer = [0; 65_536];
        let result = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer),
            Stream::Udp(socket) => socket.recv(&mut buffer),
        };
        match result {
            Ok(0) if matches!(self.stream, Stream::Tcp(_)) => self.closed = true,
            Ok(length) => self.received.extend_from_slice(&buffer[..length]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => self.closed = true,
            },
        }
    }

    fn read_until(&mut self, patience: Duration, done: impl Fn(&[u8]) -> bool) -> Option<()> {
        let until = Instant::now() + patience;
        loop {
            if done(&self.received) {
                return Some(());
            }
            if self.closed || Instant::now() >= until {
                return None;
            }
            self.read();
        }
    }

    /// How often this text is received, from the beginning; having found it, waits for more of it.
    pub(super) fn count(&mut self, text: &str, patience: Duration, then: Duration) -> usize {
        let text = text.as_bytes();
        if self.read_until(patience, |bytes| position(bytes, text).is_some()).is_some() {
            let until = Instant::now() + then;
            while Instant::now() < until && !self.closed {
                self.read();
            }
        }
        occurrences(&self.received, text)
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> usize {
        self.received.len()
    }

    /// Whether closing the client can be noticed by the protocol.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.stream, Stream::Tcp(_))
    }
}

impl Format {
    fn encode(self, document: &str) -> Vec<u8> {
        match self {
            Self::Datagrams => document.as_bytes().to_vec(),
            Self::Lines => format!("{document}\n").into_bytes(),
            Self::Http => format!(
                "POST /_query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \
                 {}\r\n\r\n{document}",
                document.len()
            )
            .into_bytes(),
            Self::WebSocket => {
                // A mask of zeroes leaves the bytes as they are; requests are shorter than 64 KiB.
                let length = document.len() as u16;
                let mut frame = vec![0x81, 0x80 | 126];
                frame.extend(length.to_be_bytes());
                frame.extend([0; 4]);
                frame.extend(document.as_bytes());
                frame
            }
            Self::Mqtt => {
                let mut packet = mqtt_string("Kuzzle/request");
                packet.extend(document.as_bytes());
                mqtt_packet(0x30, &packet)
            }
        }
    }
}

fn mqtt_string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn mqtt_packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        packet.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

fn occurrences(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len().max(1)).filter(|window| *window == wanted).count()
}
