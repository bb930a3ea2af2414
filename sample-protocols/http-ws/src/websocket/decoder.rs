//! Bytes from a client to messages: fragments are put together, masks and compression removed. Knows no socket.
//!
//! A message that lies whole in what was received is handed over where it lies; between messages nothing is kept.

use super::deflate;
use super::frame::{self, Header, Opcode, Violation};

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Text that is UTF-8, or bytes.
    Message(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// The client closes, with this code. Nothing follows.
    Close(Option<u16>),
}

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    /// Read no further; the rest of the input is dropped.
    Stop,
}

/// Where in the stream of frames the input is.
#[derive(Debug)]
enum State {
    Header,
    Payload { header: Header, received: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Message {
    text: bool,
    compressed: bool,
}

/// The decoder of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_message: usize,
    compression: bool,
    state: State,
    /// The beginning of a header, or of a control frame's payload.
    partial: Vec<u8>,
    /// The message that is being put together, and its bytes.
    message: Option<Message>,
    bytes: Vec<u8>,
}

impl Decoder {
    /// `max_message` in bytes, also after decompression. `compression`: permessage-deflate was agreed on.
    pub(crate) fn new(max_message: usize, compression: bool) -> Self {
        Self {
            max_message,
            compression,
            state: State::Header,
            partial: Vec::new(),
            message: None,
            bytes: Vec::new(),
        }
    }

    /// Takes what was received, which it changes.
    ///
    /// # Errors
    /// The client breaks RFC 6455 or RFC 7692, or exceeds the limit: close it, and feed no more.
    pub(crate) fn feed(
        &mut self,
        bytes: &mut [u8],
        handle: &mut impl FnMut(Event<'_>) -> Next,
    ) -> Result<Next, Violation> {
        let mut input = bytes;
        loop {
            match self.state {
                State::Header => {
                    let Some((header, taken)) = self.header(input)? else { return Ok(Next::Continue) };
                    let payload_and_rest = &mut std::mem::take(&mut input)[taken..];
                    self.begin(&header)?;
                    if is_whole(payload_and_rest, header.len) {
                        let (payload, rest) = payload_and_rest.split_at_mut(header.len as usize);
                        input = rest;
                        frame::unmask(payload, header.mask, 0);
                        if self.frame(&header, payload, handle)? == Next::Stop {
                            return Ok(Next::Stop);
                        }
                    } else {
                        input = payload_and_rest;
                        self.state = State::Payload { header, received: 0 };
                    }
                }
                State::Payload { header, ref mut received } => {
                    let taken =
                        input.len().min(usize::try_from(header.len - *received).unwrap_or(usize::MAX));
                    let (chunk, rest) = std::mem::take(&mut input).split_at_mut(taken);
                    input = rest;
                    frame::unmask(chunk, header.mask, (*received % 4) as usize);
                    *received += taken as u64;
                    let whole = *received == header.len;
                    let kept = if header.opcode.is_control() { &mut self.partial } else { &mut self.bytes };
                    kept.extend_from_slice(chunk);
                    if !whole {
                        return Ok(Next::Continue);
                    }
                    self.state = State::Header;
                    let payload = if header.opcode.is_control() {
                        std::mem::take(&mut self.partial)
                    } else {
                        Vec::new()
                    };
                    if self.frame(&header, &payload, handle)? == Next::Stop {
                        return Ok(Next::Stop);
                    }
                }
            }
        }
    }

    /// The next header, and how many bytes of the input belong to it.
    fn header(&mut self, input: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        if self.partial.is_empty() {
            let header = frame::parse(input, self.compression)?;
            if header.is_none() {
                self.partial.extend_from_slice(input);
            }
            return Ok(header.map(|header| (header, header.size)));
        }
        let before = self.partial.len();
        let more = input.len().min(frame::LONGEST - before);
        self.partial.extend_from_slice(&input[..more]);
        let Some(header) = frame::parse(&self.partial, self.compression)? else { return Ok(None) };
        self.partial = Vec::new();
        Ok(Some((header, header.size - before)))
    }

    /// Checks a header against the frames before it.
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        match header.opcode {
            Opcode::Continuation if self.message.is_none() => {
                return Err(Violation::protocol("continuation of nothing"));
            }
            Opcode::Text | Opcode::Binary if self.message.is_some() => {
                return Err(Violation::protocol("message inside a message"));
            }
            Opcode::Text | Opcode::Binary => {
                let text = header.opcode == Opcode::Text;
                self.message = Some(Message { text, compressed: header.compressed });
            }
            _ => {}
        }
        if !header.opcode.is_control() && header.len > (self.max_message - self.bytes.len()) as u64 {
            return Err(Violation::TOO_BIG);
        }
        Ok(())
    }

    /// Takes a whole frame. The payload of a data frame may be in `bytes` already.
    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        handle: &mut impl FnMut(Event<'_>) -> Next,
    ) -> Result<Next, Violation> {
        match header.opcode {
            Opcode::Ping => return Ok(handle(Event::Ping(payload))),
            Opcode::Pong => return Ok(handle(Event::Pong)),
            Opcode::Close => {
                handle(Event::Close(frame::parse_close(payload)?));
                return Ok(Next::Stop);
            }
            _ => {}
        }
        if !header.fin {
            self.bytes.extend_from_slice(payload);
            return Ok(Next::Continue);
        }
        let message = self.message.take().expect("`begin` has seen to it");
        if self.bytes.is_empty() {
            return self.deliver(message, payload, handle);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(payload);
        self.deliver(message, &bytes, handle)
    }

    fn deliver(
        &self,
        message: Message,
        bytes: &[u8],
        handle: &mut impl FnMut(Event<'_>) -> Next,
    ) -> Result<Next, Violation> {
        let inflated;
        let bytes = if message.compressed {
            inflated = deflate::inflate(bytes, self.max_message)?;
            &inflated
        } else {
            bytes
        };
        if message.text && std::str::from_utf8(bytes).is_err() {
            return Err(Violation::NOT_UTF8);
        }
        Ok(handle(Event::Message(bytes)))
    }
}

/// Whether all of a payload is there.
fn is_whole(input: &[u8], len: u64) -> bool {
    input.len() as u64 >= len
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x9a, 0x01, 0xff, 0x5c];

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::write_header(&mut bytes, Opcode::Text, false, payload.len());
        bytes[0] = first;
        bytes[1] |= 0x80;
        bytes.extend(MASK);
        let start = bytes.len();
        bytes.extend(payload);
        frame::unmask(&mut bytes[start..], MASK, 0);
        bytes
    }

    /// What comes out of these bytes when they come in pieces of `size`.
    fn decode(decoder: &mut Decoder, bytes: &[u8], size: usize) -> (Vec<String>, Result<Next, Violation>) {
        let mut events = Vec::new();
        let mut last = Ok(Next::Continue);
        for piece in bytes.chunks(size) {
            last = decoder.feed(&mut piece.to_vec(), &mut |event| {
                events.push(match event {
                    Event::Message(bytes) => format!("message of {}: {:?}", bytes.len(), bytes.first()),
                    other => format!("{other:?}"),
                });
                Next::Continue
            });
            if last != Ok(Next::Continue) {
                break;
            }
        }
        (events, last)
    }

    #[test]
    fn events_are_the_same_however_the_bytes_come() {
        let long = vec![b'x'; 70_000];
        let bytes = [
            masked(0x81, b"hello"),
            masked(0x01, b"a"),
            masked(0x89, b"ping"),
            masked(0x00, &long),
            masked(0x8a, b""),
            masked(0x80, b"z"),
            masked(0x82, &[0xff; 200]),
            masked(0x81, b""),
            masked(0x88, b"\x03\xe8bye"),
            masked(0x81, b"nobody reads this"),
        ]
        .concat();
        let expected = [
            "message of 5: Some(104)",
            "Ping([112, 105, 110, 103])",
            "Pong",
            "message of 70002: Some(97)",
            "message of 200: Some(255)",
            "message of 0: None",
            "Close(Some(1000))",
        ];
        for size in [1, 2, 3, 5, 7, 13, 127, 4096, bytes.len()] {
            let mut decoder = Decoder::new(1 << 20, false);
            let (events, last) = decode(&mut decoder, &bytes, size);
            assert_eq!(events, expected, "in pieces of {size}");
            assert_eq!(last, Ok(Next::Stop));
        }
    }

    #[test]
    fn nothing_is_kept_between_messages() {
        let bytes = [masked(0x01, &[b'x'; 10_000]), masked(0x80, &[b'x'; 10_000])].concat();
        let mut decoder = Decoder::new(1 << 20, false);
        assert_eq!(decode(&mut decoder, &bytes, 1000).1, Ok(Next::Continue));
        assert_eq!((decoder.bytes.capacity(), decoder.partial.capacity()), (0, 0));
    }

    #[test]
    fn the_limit_is_that_of_the_whole_message() {
        let whole = [masked(0x01, &[b'x'; 60]), masked(0x80, &[b'x'; 40])].concat();
        let (events, last) = decode(&mut Decoder::new(100, false), &whole, 7);
        assert_eq!((events.len(), last), (1, Ok(Next::Continue)));
        assert_eq!(decode(&mut Decoder::new(99, false), &whole, 7).1, Err(Violation::TOO_BIG));
        // The length alone is enough: nothing is reserved for it.
        let header = &masked(0x81, &[b'x'; 70_000])[..14];
        assert_eq!(decode(&mut Decoder::new(99, false), header, 14).1, Err(Violation::TOO_BIG));
    }

    #[test]
    fn compressed_messages_are_inflated_within_the_limit() {
        let text = b"kuzzle ".repeat(1000);
        let compressed = deflate::deflate(&text).expect("it gets shorter");
        let (head, tail) = compressed.split_at(compressed.len() / 2);
        let bytes = [masked(0x41, head), masked(0x89, b""), masked(0x80, tail)].concat();
        let (events, _) = decode(&mut Decoder::new(text.len(), true), &bytes, 11);
        assert_eq!(events, ["Ping([])", "message of 7000: Some(107)"]);
        assert_eq!(decode(&mut Decoder::new(text.len() - 1, true), &bytes, 11).1, Err(Violation::TOO_BIG));
        // RSV1 belongs to the first frame only.
        let bytes = [masked(0x41, head), masked(0xc0, tail)].concat();
        assert!(decode(&mut Decoder::new(text.len(), true), &bytes, 11).1.is_err());
    }

    /// Bytes of all kinds end in events or a violation, never in more memory than the limit.
    #[test]
    fn noise_is_survived() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..20_000 {
            let mut bytes: Vec<u8> = (0..next() % 64).map(|_| next() as u8).collect();
            if let [first, second, ..] = &mut bytes[..] {
                // Mostly what is nearly right.
                *first = [0x81, 0x01, 0x80, 0x00, 0x89, 0x88, 0xc1, *first][(round % 8) as usize];
                *second |= 0x80;
            }
            let mut decoder = Decoder::new(1000, round % 2 == 0);
            let size = (next() % 16 + 1) as usize;
            let _ = decode(&mut decoder, &bytes, size);
            assert!(decoder.bytes.len() <= 1000);
        }
    }
}
