//! A client of WebSocket on a plain socket, that sends any bytes.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::client::Client;
use crate::http::{HttpClient, Reply};

/// What opens a WebSocket, without the empty line at its end.
const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// A frame of a client: its first byte (fin, reserved bits, opcode) and payload, masked.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, 0x80, payload.len());
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame without mask, as servers send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, 0, payload.len());
    frame.extend(payload);
    frame
}

fn header(first: u8, mask: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        0..=125 => header.push(mask | len as u8),
        126..=65_535 => {
            header.push(mask | 126);
            header.extend((len as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header
}

/// A WebSocket.
pub struct WebSocketClient {
    stream: BufReader<TcpStream>,
    /// The answer to the handshake.
    pub opened: Reply,
}

impl WebSocketClient {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, "")
    }

    /// Connects, with more headers, each with its end of line.
    pub fn connect_with(address: SocketAddr, headers: &str) -> Self {
        let mut http = HttpClient::connect(address);
        http.send(format!("{HANDSHAKE}{headers}\r\n"));
        let opened = http.receive();
        assert_eq!(opened.status, 101, "{}", String::from_utf8_lossy(&opened.body));
        Self { stream: http.into_stream(), opened }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the host reads");
    }

    /// Sends bytes as they are, to a host that may have closed already.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// A clone of the socket.
    pub fn stream(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("there are descriptors left")
    }

    /// The next frame: its first byte and its payload; `None`: the host has closed the connection.
    pub fn try_receive_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("nothing comes in time: {error}"),
        }
        assert_eq!(head[1] & 0x80, 0, "a server masks nothing");
        let len = match head[1] {
            126 => u16::from_be_bytes(self.read()).into(),
            127 => u64::from_be_bytes(self.read()),
            len => len.into(),
        };
        let mut payload = vec![0; usize::try_from(len).expect("it fits into memory")];
        self.stream.read_exact(&mut payload).expect("a frame is whole");
        Some((head[0], payload))
    }

    fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("a header is whole");
        bytes
    }

    /// The next frame.
    pub fn receive_frame(&mut self) -> (u8, Vec<u8>) {
        self.try_receive_frame().expect("the connection is open")
    }

    /// Reads on until the close frame, and answers its code and reason; `None`: there comes none.
    pub fn closing(&mut self) -> Option<(u16, String)> {
        loop {
            let (first, payload) = self.try_receive_frame()?;
            if first == CLOSE {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                return Some((
                    code,
                    String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned(),
                ));
            }
        }
    }
}

impl Client for WebSocketClient {
    fn send_text(&mut self, request: &str) {
        self.send_bytes(&masked(TEXT, request.as_bytes()));
    }

    fn receive_text(&mut self) -> String {
        let (first, payload) = self.receive_frame();
        assert_eq!(first, TEXT, "{payload:?}");
        String::from_utf8(payload).expect("text is UTF-8")
    }
}
