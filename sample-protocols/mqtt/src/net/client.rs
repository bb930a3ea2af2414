//! One socket: what has come in part, and what is written in part.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::ops::Range;

use kuzzle_protocol_abi::ConnectionId;
use mio::net::TcpStream;

use crate::broker::{Frame, Kept, Key, Memory, Taken};
use crate::codec::Version;

/// Slices of one vectored write.
const SEGMENTS: usize = 32;
/// Pieces of at least so many bytes are not copied again.
const SHARED: usize = 2048;
/// About how many bytes are gathered for one write.
const GATHERED: usize = 256 * 1024;

/// A part of a vectored write.
enum Segment {
    /// Of the scratch buffer.
    Gathered(Range<usize>),
    /// A piece of a frame, without its first bytes.
    Shared { frame: usize, piece: u8, skip: usize },
}

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
    /// What that takes.
    input_kept: Kept,
    output: Vec<Frame>,
    output_kept: Kept,
    /// Frames of the output that are written.
    written: usize,
    /// Bytes of the next one that are written.
    offset: usize,
    /// The other side has said that it sends nothing more: there is no further event, so the socket is
    /// read to its end.
    pub(super) ended: bool,
    /// The system takes no more for now.
    pub(super) blocked: bool,
    /// More has come, which is left until the client takes what it has asked for.
    pub(super) paused: bool,
    /// More has come, which is left until others have had their turn.
    pub(super) waits: bool,
    /// It is among those of which more is to be read without waiting.
    pub(super) again: bool,
    /// It has taken something since [`Client::is_there`] was asked.
    took: bool,
    /// When what waits was looked through for messages that have expired, in milliseconds.
    refreshed: u64,
    /// What comes is thrown away.
    pub(super) closing: bool,
    /// It has a time limit to hear why it is closed.
    pub(super) lingers: bool,
    /// Our side of the connection is shut.
    pub(super) shut: bool,
}

impl Client {
    pub(super) fn new(key: Key, stream: TcpStream, memory: &Memory) -> Self {
        Self {
            key,
            stream,
            version: None,
            connection: None,
            input: Vec::new(),
            input_kept: memory.keep(0),
            output: Vec::new(),
            output_kept: memory.keep(0),
            written: 0,
            offset: 0,
            ended: false,
            blocked: false,
            paused: false,
            waits: false,
            again: false,
            took: false,
            refreshed: 0,
            closing: false,
            lingers: false,
            shut: false,
        }
    }

    /// Keeps what has come until there is more. Answers false if there is no memory left for it.
    pub(super) fn keep(&mut self, input: Vec<u8>, memory: &Memory) -> bool {
        self.input = input;
        let more = self.input.capacity().saturating_sub(self.input_kept.bytes());
        let has_room = more == 0 || memory.has_room(self.input_kept.bytes(), more);
        self.input_kept.set(self.input.capacity());
        has_room
    }

    /// Forgets what has come.
    pub(super) fn drop_input(&mut self) {
        self.waits = false;
        self.input = Vec::new();
        self.input_kept.set(0);
    }

    /// Whether it is there though no packet has come for too long: what it has sent is not read yet, or is
    /// not read because it is slow to take what it has asked for.
    pub(super) fn is_there(&mut self) -> bool {
        let took = std::mem::take(&mut self.took);
        if self.paused { took } else { self.again || self.stream.peek(&mut [0]).is_ok_and(|len| len > 0) }
    }

    /// Adds frames to what is to be written.
    pub(super) fn queue(&mut self, taken: Taken, now: impl FnOnce() -> u64) {
        let Taken { mut frames, kept, waited, .. } = taken;
        if waited {
            let now = now();
            frames.retain_mut(|frame| frame.refresh(now));
        }
        self.output_kept.absorb(kept);
        if self.output.is_empty() {
            self.output = frames;
        } else {
            self.output.append(&mut frames);
        }
    }

    /// Forgets what is not yet begun to be written. Answers whether there was any.
    pub(super) fn drop_unwritten(&mut self) -> bool {
        let begun = self.begun();
        let is_cut = self.output.len() > begun;
        self.output.truncate(begun);
        is_cut
    }

    /// Frames of the output that are written at least in part.
    fn begun(&self) -> usize {
        self.written + usize::from(self.offset > 0)
    }

    /// Brings what has waited for the network up to date, once a second.
    pub(super) fn refresh(&mut self, now: u64) {
        if now >= self.refreshed + 1000 {
            self.refreshed = now;
            let mut waiting = self.output.split_off(self.begun());
            waiting.retain_mut(|frame| frame.refresh(now));
            self.output.append(&mut waiting);
        }
    }

    /// Writes as much as the system takes, many frames at once. Small pieces are gathered in `scratch`,
    /// which costs less than handing the system thousands of them; large ones are written from where
    /// they are.
    pub(super) fn write(&mut self, scratch: &mut Vec<u8>) -> io::Result<()> {
        self.blocked = false;
        while self.written < self.output.len() {
            scratch.clear();
            let segments = self.gather(scratch);
            let mut slices = [IoSlice::new(&[]); SEGMENTS];
            for (slice, segment) in slices.iter_mut().zip(&segments) {
                *slice = IoSlice::new(match segment {
                    Segment::Gathered(range) => &scratch[range.clone()],
                    Segment::Shared { frame, piece, skip } => {
                        &self.output[*frame].pieces()[usize::from(*piece)][*skip..]
                    }
                });
            }
            match self.stream.write_vectored(&slices[..segments.len()]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.took = true;
                    self.advance(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output = Vec::new();
        self.output_kept.set(0);
        self.written = 0;
        Ok(())
    }

    /// What one write takes, from where the last one has ended.
    fn gather(&self, scratch: &mut Vec<u8>) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::with_capacity(1);
        let mut begin = 0;
        let mut skip = self.offset;
        for (frame, one) in self.output.iter().enumerate().skip(self.written) {
            // One more of each kind has to fit.
            if scratch.len() >= GATHERED || segments.len() + 4 > SEGMENTS {
                break;
            }
            for (piece, bytes) in (0..).zip(one.pieces()) {
                let skipped = skip.min(bytes.len());
                skip -= skipped;
                let left = &bytes[skipped..];
                if left.len() < SHARED {
                    scratch.extend_from_slice(left);
                } else {
                    if begin < scratch.len() {
                        segments.push(Segment::Gathered(begin..scratch.len()));
                        begin = scratch.len();
                    }
                    segments.push(Segment::Shared { frame, piece, skip: skipped });
                }
            }
        }
        if begin < scratch.len() {
            segments.push(Segment::Gathered(begin..scratch.len()));
        }
        segments
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A client and the other end of its connection, whose buffers are small.
    fn pair() -> (Client, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let other = std::net::TcpStream::connect(address).expect("it listens");
        let (stream, _) = listener.accept().expect("it has been connected");
        stream.set_nonblocking(true).expect("it is a socket");
        let key = Key { index: 0, generation: 1 };
        (Client::new(key, TcpStream::from_std(stream), &Memory::new(1 << 30)), other)
    }

    fn taken(frames: Vec<Frame>) -> Taken {
        Taken { frames, close: false, waited: false, kept: Memory::new(1 << 30).keep(0) }
    }

    /// Frames of all sizes, small ones between large ones, and their bytes.
    fn frames(count: usize) -> (Vec<Frame>, Vec<u8>) {
        let sizes = [1, 5, 300, SHARED - 1, SHARED, 7, 60_000, 2, GATHERED + 1];
        let mut all = Vec::new();
        let frames = (0..count).map(|number| {
            let bytes: Vec<u8> = (0..sizes[number % sizes.len()]).map(|at| (at * 7 + number) as u8).collect();
            all.extend_from_slice(&bytes);
            match *bytes {
                [a, b] => Frame::Small([a, b, 0, 0, 0], 2),
                _ => Frame::Other(bytes.into()),
            }
        });
        (frames.collect(), all)
    }

    #[test]
    fn however_little_the_network_takes_all_bytes_come_in_order() {
        let (mut client, mut other) = pair();
        let (frames, expected) = frames(300);
        let mut scratch = Vec::new();
        let mut parts = frames.chunks(100).map(<[Frame]>::to_vec);
        let mut got = Vec::new();
        let mut blocked = 0;
        while got.len() < expected.len() {
            if !client.blocked
                && let Some(part) = parts.next()
            {
                client.queue(taken(part), || 0);
            }
            client.write(&mut scratch).expect("the other end is there");
            blocked += usize::from(client.blocked);
            let mut some = vec![0; 40_001];
            let len = other.read(&mut some).expect("there is something");
            got.extend_from_slice(&some[..len]);
        }
        assert!(got == expected && blocked > 0, "{blocked}");
        assert!(client.output.is_empty() && client.output.capacity() == 0 && client.offset == 0);
    }

    #[test]
    fn what_is_begun_is_written_to_its_end_and_the_rest_can_be_forgotten() {
        let (mut client, mut other) = pair();
        let large: Vec<u8> = (0..20_000_000_usize).map(|at| at as u8).collect();
        let last = Frame::Small([9; 5], 5);
        client.queue(taken(vec![Frame::Other(large.clone().into()), last.clone(), last.clone()]), || 0);
        let mut scratch = Vec::new();
        client.write(&mut scratch).expect("the other end is there");
        assert!(client.blocked && client.offset > 0);
        assert!(client.drop_unwritten() && !client.drop_unwritten());
        client.queue(taken(vec![last]), || 0);
        let mut got = Vec::new();
        while got.len() < large.len() + 5 {
            let mut some = vec![0; 1_000_000];
            let len = other.read(&mut some).expect("there is something");
            got.extend_from_slice(&some[..len]);
            client.write(&mut scratch).expect("the other end is there");
        }
        assert!(got[..large.len()] == large && got[large.len()..] == [9; 5]);
    }

    #[test]
    fn one_write_takes_many_frames() {
        let (mut client, _other) = pair();
        let frames = vec![Frame::Small([0; 5], 5); 10_000];
        client.queue(taken(frames), || 0);
        let mut scratch = Vec::new();
        let segments = client.gather(&mut scratch);
        assert_eq!((segments.len(), scratch.len()), (1, 50_000));
    }
}
