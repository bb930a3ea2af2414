//! One socket: what has come in part, and what is written in part.

use std::io::{self, ErrorKind, IoSlice, Write};

use kuzzle_protocol_abi::ConnectionId;
use mio::net::TcpStream;

use crate::broker::{Frame, Key};
use crate::codec::Version;

/// Pieces of one vectored write; systems take at least 1,024.
const PIECES: usize = 512;

/// A client as its worker sees it. An idle one owns no memory beside this.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) key: Key,
    pub(super) stream: TcpStream,
    /// Set by CONNECT.
    pub(super) version: Option<Version>,
    /// How the host calls it.
    pub(super) connection: Option<ConnectionId>,
    /// The beginning of a packet that has not come whole.
    pub(super) input: Vec<u8>,
    output: Vec<Frame>,
    /// Frames of the output that are written.
    written: usize,
    /// Bytes of the next one that are written.
    offset: usize,
    /// The system takes no more for now.
    pub(super) blocked: bool,
    /// There may be more to read, which is left until the client takes what waits for it.
    pub(super) paused: bool,
    /// What comes is thrown away.
    pub(super) closing: bool,
    /// It has a time limit to hear why it is closed.
    pub(super) lingers: bool,
    /// Our side of the connection is shut.
    pub(super) shut: bool,
}

impl Client {
    pub(super) fn new(key: Key, stream: TcpStream) -> Self {
        Self {
            key,
            stream,
            version: None,
            connection: None,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            offset: 0,
            blocked: false,
            paused: false,
            closing: false,
            lingers: false,
            shut: false,
        }
    }

    /// Adds frames to what is to be written.
    pub(super) fn queue(&mut self, mut frames: Vec<Frame>) {
        if self.output.is_empty() {
            self.output = frames;
        } else {
            self.output.append(&mut frames);
        }
    }

    /// Forgets what is not yet begun to be written.
    pub(super) fn drop_unwritten(&mut self) {
        let begun = self.written + usize::from(self.offset > 0);
        self.output.truncate(begun);
    }

    /// Writes as much as the system takes, many frames at once.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.blocked = false;
        while self.written < self.output.len() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            let mut skip = self.offset;
            for frame in &self.output[self.written..] {
                if count + 4 > PIECES {
                    break;
                }
                for piece in frame.pieces() {
                    let skipped = skip.min(piece.len());
                    skip -= skipped;
                    if skipped < piece.len() {
                        pieces[count] = IoSlice::new(&piece[skipped..]);
                        count += 1;
                    }
                }
            }
            let result = self.stream.write_vectored(&pieces[..count]);
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.advance(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output = Vec::new();
        self.written = 0;
        Ok(())
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes;
        while let Some(frame) = self.output.get(self.written) {
            let len = frame.len();
            if self.offset < len {
                break;
            }
            self.offset -= len;
            self.written += 1;
        }
    }
}
