//! Clients of the sample protocols, on plain sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use serde_json::{Value, json};

use crate::DEADLINE;

/// A client of the protocol `line`: one JSON document a line over TCP.
pub struct LineClient {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl LineClient {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the host listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let lines = BufReader::new(stream.try_clone().expect("there are descriptors left"));
        Self { stream, lines }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the host reads");
    }

    /// Sends a request without waiting for its answer.
    pub fn send(&mut self, request: &Value) {
        self.send_bytes(format!("{request}\n").as_bytes());
    }

    /// The next line, or `None` when the host has closed the connection.
    pub fn try_receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("an answer comes in time");
        (read > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
    }

    /// The next line.
    pub fn receive(&mut self) -> Value {
        self.try_receive().expect("the connection is open")
    }

    /// Sends a request and answers the next line.
    pub fn request(&mut self, request: &Value) -> Value {
        self.send(request);
        self.receive()
    }

    /// Subscribes to everything in a collection; answers room and channel.
    pub fn subscribe(&mut self, index: &str, collection: &str) -> (String, String) {
        let answer = self.request(&subscribe(index, collection));
        subscribed(&answer)
    }

    /// A clone of the socket, for tests that read and write from two threads.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().expect("there are descriptors left")
    }
}

/// A client of the protocol `udp`: one JSON document a datagram.
pub struct UdpClient {
    socket: UdpSocket,
}

impl UdpClient {
    /// Binds a socket that talks to `address` only.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("the system has ports left");
        socket.connect(address).expect("the address is local");
        socket.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
        Self { socket }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send(bytes).expect("the host listens");
    }

    /// Sends a request without waiting for its answer.
    pub fn send(&self, request: &Value) {
        self.send_bytes(request.to_string().as_bytes());
    }

    /// The next datagram.
    pub fn receive(&self) -> Value {
        let mut buffer = vec![0; 65_536];
        let length = self.socket.recv(&mut buffer).expect("an answer comes in time");
        serde_json::from_slice(&buffer[..length]).expect("every datagram is JSON")
    }

    /// Sends a request and answers the next datagram.
    pub fn request(&self, request: &Value) -> Value {
        self.send(request);
        self.receive()
    }

    /// Subscribes to everything in a collection; answers room and channel.
    pub fn subscribe(&self, index: &str, collection: &str) -> (String, String) {
        subscribed(&self.request(&subscribe(index, collection)))
    }
}

fn subscribe(index: &str, collection: &str) -> Value {
    json!({
        "controller": "realtime", "action": "subscribe", "index": index, "collection": collection,
        "body": {}, "requestId": "subscribe"
    })
}

fn subscribed(answer: &Value) -> (String, String) {
    assert_eq!(answer["status"], 200, "{answer}");
    let text =
        |name: &str| answer["result"][name].as_str().expect("the answer names room and channel").to_owned();
    (text("roomId"), text("channel"))
}
