//! Clients of the sample protocols, on plain sockets.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use serde_json::{Value, json};

use crate::DEADLINE;

/// What clients of all protocols can do.
pub trait Client {
    /// Sends bytes as one request, without waiting for its answer.
    fn send_text(&mut self, request: &str);

    /// The next answer or notification, as it came.
    fn receive_text(&mut self) -> String;

    /// Sends a request without waiting for its answer.
    fn send(&mut self, request: &Value) {
        self.send_text(&request.to_string());
    }

    /// The next answer or notification.
    fn receive(&mut self) -> Value {
        let text = self.receive_text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// Sends a request and answers what comes next.
    fn request(&mut self, request: &Value) -> Value {
        self.send(request);
        self.receive()
    }

    /// Subscribes to everything in a collection; answers room and channel.
    fn subscribe(&mut self, index: &str, collection: &str) -> (String, String) {
        self.subscribe_with(&json!({ "index": index, "collection": collection }))
    }

    /// Subscribes to everything, with these members in the request; answers room and channel.
    fn subscribe_with(&mut self, members: &Value) -> (String, String) {
        let mut request = json!({
            "controller": "realtime", "action": "subscribe", "body": {}, "requestId": "subscribe"
        });
        for (name, value) in members.as_object().expect("members of a request") {
            request[name.as_str()] = value.clone();
        }
        let answer = self.request(&request);
        assert_eq!((&answer["status"], &answer["requestId"]), (&json!(200), &json!("subscribe")), "{answer}");
        let text = |name: &str| answer["result"][name].as_str().expect("a subscription is named").to_owned();
        (text("roomId"), text("channel"))
    }

    /// How many there are in a room.
    fn count(&mut self, room: &str) -> u64 {
        let request = json!({ "controller": "realtime", "action": "count", "body": { "roomId": room } });
        let answer = self.request(&request);
        answer["result"]["count"].as_u64().unwrap_or_else(|| panic!("no count: {answer}"))
    }

    /// Asks for the time, and makes sure that this is what comes next.
    fn is_served(&mut self) {
        let request = json!({ "controller": "server", "action": "now", "requestId": "still there" });
        let answer = self.request(&request);
        assert!(answer["result"]["now"].is_u64(), "{answer}");
        assert_eq!(answer["requestId"], "still there", "{answer}");
    }
}

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

    /// The next line, or `None` when the host has closed the connection.
    pub fn try_receive(&mut self) -> Option<Value> {
        let line = self.try_receive_text()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
    }

    fn try_receive_text(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("an answer comes in time");
        line.pop().map(|end| {
            assert_eq!(end, '\n', "the last line is whole");
            line
        })
    }

    /// A clone of the socket, for tests that read and write from two threads.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().expect("there are descriptors left")
    }
}

impl Client for LineClient {
    fn send_text(&mut self, request: &str) {
        self.send_bytes(format!("{request}\n").as_bytes());
    }

    fn receive_text(&mut self) -> String {
        self.try_receive_text().expect("the connection is open")
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
}

impl Client for UdpClient {
    fn send_text(&mut self, request: &str) {
        self.send_bytes(request.as_bytes());
    }

    fn receive_text(&mut self) -> String {
        let mut buffer = vec![0; 65_536];
        let length = loop {
            match self.socket.recv(&mut buffer) {
                // A receive with a time limit is not taken up again after a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("an answer comes in time"),
            }
        };
        buffer.truncate(length);
        String::from_utf8(buffer).expect("every datagram is text")
    }
}
