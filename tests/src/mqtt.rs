//! A client of MQTT 3.1.1 and 5.0 on a plain socket, that sends any bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::{Client, DEADLINE};

/// A packet of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// CONNACK: session present, code.
    ConnAck(bool, u8),
    /// PUBLISH.
    Publish {
        /// The topic.
        topic: String,
        /// The payload.
        payload: Vec<u8>,
        /// 0, 1 or 2.
        qos: u8,
        /// Sent again.
        dup: bool,
        /// 0 with QoS 0.
        id: u16,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP: the packet's type, id and code.
    Acknowledgement(u8, u16, u8),
    /// SUBACK or UNSUBACK: codes.
    Codes(Vec<u8>),
    /// PINGRESP.
    Pong,
    /// DISCONNECT: code.
    Disconnect(u8),
}

/// A client of the protocol `mqtt`.
pub struct MqttClient {
    stream: TcpStream,
    buffer: Vec<u8>,
    version: u8,
}

impl MqttClient {
    /// Connects the socket only.
    pub fn open(address: SocketAddr, version: u8) -> Self {
        let stream = TcpStream::connect(address).expect("the host listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self { stream, buffer: Vec::new(), version }
    }

    /// Connects with MQTT 3.1.1 and a clean session.
    pub fn connect(address: SocketAddr, id: &str) -> Self {
        Self::connect_with(address, 4, id, true).0
    }

    /// Connects with MQTT 5.0 and a clean start.
    pub fn connect_5(address: SocketAddr, id: &str) -> Self {
        Self::connect_with(address, 5, id, true).0
    }

    /// Connects; answers whether there was a session. If it is not clean, the session is kept.
    pub fn connect_with(address: SocketAddr, version: u8, id: &str, clean: bool) -> (Self, bool) {
        let mut client = Self::open(address, version);
        client.send_bytes(&connect(version, id, clean));
        match client.packet() {
            Some(Packet::ConnAck(present, 0)) => (client, present),
            other => panic!("the host does not take the client: {other:?}"),
        }
    }

    /// Connects with MQTT 5.0, a clean start and this keep-alive in seconds.
    pub fn connect_alive(address: SocketAddr, id: &str, seconds: u8) -> Self {
        let mut client = Self::open(address, 5);
        let mut bytes = connect(5, id, true);
        bytes[11] = seconds;
        client.send_bytes(&bytes);
        assert_eq!(client.packet(), Some(Packet::ConnAck(false, 0)));
        client
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the host reads");
    }

    /// Sends bytes as they are, as far as the host takes them.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a PUBLISH.
    pub fn publish(&mut self, topic: &str, qos: u8, id: u16, payload: &str) {
        self.send_bytes(&publish(self.version, topic, qos, false, id, payload.as_bytes()));
    }

    /// Subscribes and answers the code.
    pub fn listen(&mut self, filter: &str, qos: u8) -> u8 {
        self.listen_all(&[filter], qos)[0]
    }

    /// Subscribes to all of them in one packet and answers the codes.
    pub fn listen_all(&mut self, filters: &[&str], qos: u8) -> Vec<u8> {
        let properties: &[u8] = if self.version == 5 { &[0] } else { &[] };
        let mut body = [&[0, 1], properties].concat();
        filters.iter().for_each(|filter| body.extend([&text(filter)[..], &[qos]].concat()));
        self.send_bytes(&packet(0x82, &body));
        match self.packet() {
            Some(Packet::Codes(codes)) => codes,
            other => panic!("no SUBACK: {other:?}"),
        }
    }

    /// Subscribes through the API to everything in a collection, and listens to the channel.
    pub fn listen_to(&mut self, index: &str, collection: &str) -> String {
        let (_, channel) = self.subscribe(index, collection);
        assert_eq!(self.listen(&channel, 0), 0);
        channel
    }

    /// The next packet, or `None` when the host has closed the connection.
    pub fn packet(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, len)) = parse(&self.buffer, self.version) {
                self.buffer.drain(..len);
                return Some(packet);
            }
            let mut some = [0; 16_384];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(len) => self.buffer.extend_from_slice(&some[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no packet comes in time: {error}"),
            }
        }
    }

    /// What comes before the host closes the connection.
    pub fn until_closed(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.packet()).collect()
    }

    /// The next PUBLISH: topic and payload.
    pub fn message(&mut self) -> (String, String) {
        match self.packet() {
            Some(Packet::Publish { topic, payload, .. }) => {
                (topic, String::from_utf8(payload).expect("our payloads are text"))
            }
            other => panic!("no message: {other:?}"),
        }
    }

    /// Makes sure that nothing waits here but the answer to a ping.
    pub fn has_nothing(&mut self) {
        self.has_nothing_after(&[]);
    }

    /// The same after some bytes that are not answered.
    pub fn has_nothing_after(&mut self, bytes: &[u8]) {
        self.send_bytes(&[bytes, b"\xC0\x00"].concat());
        assert_eq!(self.packet(), Some(Packet::Pong));
    }

    /// Retains a message of QoS 1 and waits until that is done.
    pub fn retain(&mut self, topic: &str, payload: &str) {
        let mut bytes = publish(self.version, topic, 1, false, 1, payload.as_bytes());
        bytes[0] |= 1;
        self.send_bytes(&bytes);
        assert!(matches!(self.packet(), Some(Packet::Acknowledgement(4, 1, _))));
    }

    /// Publishes a message of QoS 1 and waits until it is acknowledged, with any code.
    pub fn publish_and_wait(&mut self, topic: &str, payload: &str) {
        self.publish(topic, 1, 1, payload);
        assert!(matches!(self.packet(), Some(Packet::Acknowledgement(4, 1, _))));
    }

    /// Has the system keep about so many bytes of what comes.
    pub fn set_buffer(&self, bytes: usize) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_recv_buffer_size(bytes).expect("it is a TCP socket");
    }

    /// A clone of the socket, for tests that read and write from two threads.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().expect("there are descriptors left")
    }
}

impl Client for MqttClient {
    fn send_text(&mut self, request: &str) {
        self.publish("Kuzzle/request", 0, 0, request);
    }

    fn receive_text(&mut self) -> String {
        self.message().1
    }
}

/// A CONNECT; if it is not clean, the session is kept for an hour.
fn connect(version: u8, id: &str, clean: bool) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([version, if clean { 2 } else { 0 }, 0, 0]);
    if version == 5 {
        let hour: &[u8] = if clean { &[0] } else { &[5, 0x11, 0, 0, 0x0E, 0x10] };
        body.extend(hour);
    }
    body.extend(text(id));
    packet(0x10, &body)
}

fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut len = body.len();
    loop {
        let byte = (len % 128) as u8;
        len /= 128;
        out.push(if len > 0 { byte | 0x80 } else { byte });
        if len == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn publish(version: u8, topic: &str, qos: u8, dup: bool, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    if version == 5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    packet(0x30 | u8::from(dup) << 3 | qos << 1, &body)
}

impl MqttClient {
    /// Sends a PUBLISH again.
    pub fn publish_again(&mut self, topic: &str, qos: u8, id: u16, payload: &str) -> bool {
        let bytes = publish(self.version, topic, qos, true, id, payload.as_bytes());
        self.try_send_bytes(&bytes)
    }

    /// Sends PUBACK (4), PUBREC (5), PUBREL (6) or PUBCOMP (7).
    pub fn acknowledge(&mut self, kind: u8, id: u16) -> bool {
        let [high, low] = id.to_be_bytes();
        let flags = if kind == 6 { 2 } else { 0 };
        self.try_send_bytes(&[kind << 4 | flags, 2, high, low])
    }
}

fn variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for index in 0..4 {
        let byte = *bytes.get(index)?;
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    panic!("the host sends a length of more than four bytes")
}

/// The packet at the beginning, and its length.
fn parse(bytes: &[u8], version: u8) -> Option<(Packet, usize)> {
    let first = *bytes.first()?;
    let (len, used) = variable(&bytes[1..])?;
    let total = 1 + used + len;
    let body = bytes.get(1 + used..total)?;
    let id = |body: &[u8]| u16::from_be_bytes([body[0], body[1]]);
    let without_properties = |body: &[u8]| {
        if version != 5 {
            return body.to_vec();
        }
        let (len, used) = variable(body).expect("properties are whole");
        body[used + len..].to_vec()
    };
    let packet = match first >> 4 {
        2 => Packet::ConnAck(body[0] == 1, body[1]),
        3 => {
            let qos = (first >> 1) & 3;
            let (topic, rest) = body[2..].split_at(usize::from(id(body)));
            let (packet_id, rest) = if qos > 0 { (id(rest), &rest[2..]) } else { (0, rest) };
            let topic = String::from_utf8(topic.to_vec()).expect("topics are text");
            Packet::Publish {
                topic,
                payload: without_properties(rest),
                qos,
                dup: first & 8 != 0,
                id: packet_id,
            }
        }
        kind @ 4..=7 => Packet::Acknowledgement(kind, id(body), body.get(2).copied().unwrap_or(0)),
        9 | 11 => Packet::Codes(without_properties(&body[2..])),
        13 => Packet::Pong,
        14 => Packet::Disconnect(body.first().copied().unwrap_or(0)),
        kind => panic!("a server does not send packets of type {kind}"),
    };
    Some((packet, total))
}
