//! The frames of RFC 6455, section 5.2: reads a client's header, writes a server's.

use std::fmt;

/// The longest header: two bytes, eight of length, four of mask.
pub(crate) const LONGEST: usize = 14;
/// The most that a control frame carries (RFC 6455, 5.5).
pub(crate) const CONTROL: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    pub(crate) const fn is_control(self) -> bool {
        self.bits() >= 8
    }
}

/// Why a client has to go: a close code (RFC 6455, 7.4.1) and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    pub(crate) const TOO_BIG: Self = Self { code: 1009, reason: "message too big" };
    pub(crate) const NOT_UTF8: Self = Self { code: 1007, reason: "text is not UTF-8" };
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// A client's frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1: the message is compressed (RFC 7692).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: [u8; 4],
    pub(crate) len: u64,
    /// Bytes of the header itself.
    pub(crate) size: usize,
}

/// Reads the header at the beginning of `bytes`; `None`: it is not whole yet. Faults are told as soon as the bytes
/// that hold them are there.
///
/// # Errors
/// What RFC 6455 demands of a client's frame is broken: 5.1 (masked), 5.2 (reserved bits and opcodes, shortest
/// length), 5.5 (control frames). `compression`: RSV1 has been agreed on.
pub(crate) fn parse(bytes: &[u8], compression: bool) -> Result<Option<Header>, Violation> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::protocol("reserved opcode"))?;
    let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
    if first & 0x30 != 0 || (compressed && !(compression && matches!(opcode, Opcode::Text | Opcode::Binary)))
    {
        return Err(Violation::protocol("reserved bit"));
    }
    if second & 0x80 == 0 {
        return Err(Violation::protocol("frame without mask"));
    }
    let short = second & 0x7f;
    if opcode.is_control() && (!fin || usize::from(short) > CONTROL) {
        return Err(Violation::protocol(if fin {
            "control frame too long"
        } else {
            "fragmented control frame"
        }));
    }
    let (len, extended) = match short {
        126 => {
            let Some(bytes) = rest.first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), 2)
        }
        127 => {
            let Some(bytes) = rest.first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), 8)
        }
        short => (u64::from(short), 0),
    };
    let shortest = match extended {
        0 => 0,
        2 => 126,
        _ => 65_536,
    };
    if len < shortest || len >> 63 != 0 {
        return Err(Violation::protocol("length not in its shortest form"));
    }
    let Some(mask) = rest[extended..].first_chunk::<4>() else { return Ok(None) };
    Ok(Some(Header { fin, compressed, opcode, mask: *mask, len, size: 2 + extended + 4 }))
}

/// Removes the mask (RFC 6455, 5.3) from bytes that begin at `offset` of the payload.
pub(crate) fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut mask = mask;
    mask.rotate_left(offset % 4);
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends the header of a server's whole message or control frame.
pub(crate) fn write_header(out: &mut Vec<u8>, opcode: Opcode, compressed: bool, len: usize) {
    out.push(0x80 | if compressed { 0x40 } else { 0 } | opcode.bits());
    match len {
        0..=125 => out.push(len as u8),
        126..=65_535 => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// A control frame.
pub(crate) fn control(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(CONTROL)];
    let mut frame = Vec::with_capacity(2 + payload.len());
    write_header(&mut frame, opcode, false, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// The code that stands for a close frame without one (RFC 6455, 7.4.1).
pub(crate) const NO_CODE: u16 = 1005;

/// A close frame; the reason is cut to what fits, at a character.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    if code == NO_CODE {
        return control(Opcode::Close, b"");
    }
    let reason = &reason[..reason.floor_char_boundary(CONTROL - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    control(Opcode::Close, &payload)
}

/// The code of a client's close frame, if it has one.
///
/// # Errors
/// RFC 6455, 5.5.1 and 7.4: one byte, a code that must not be sent, a reason that is not UTF-8.
pub(crate) fn parse_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Violation::protocol("close frame of one byte"))
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::protocol("close code must not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::NOT_UTF8);
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(opcode: Opcode, fin: bool, len: u64, size: usize) -> Header {
        Header { fin, compressed: false, opcode, mask: [1, 2, 3, 4], len, size }
    }

    #[test]
    fn reads_lengths_of_all_three_forms() {
        let cases: [(&[u8], Header); 3] = [
            (&[0x81, 0x85, 1, 2, 3, 4, 9], header(Opcode::Text, true, 5, 6)),
            (&[0x02, 0xfe, 0, 126, 1, 2, 3, 4], header(Opcode::Binary, false, 126, 8)),
            (
                &[0x80, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
                header(Opcode::Continuation, true, 65_536, 14),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes, false), Ok(Some(expected)));
            for whole in 0..expected.size {
                assert_eq!(parse(&bytes[..whole], false), Ok(None), "{whole} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn removes_a_mask_in_pieces_as_in_one() {
        let original: Vec<u8> = (0..100).collect();
        let mask = [0xde, 0xad, 0xbe, 0xef];
        let plain: Vec<u8> =
            original.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        for cut in 0..original.len() {
            let mut bytes = original.clone();
            let (head, tail) = bytes.split_at_mut(cut);
            unmask(head, mask, 0);
            unmask(tail, mask, cut);
            assert_eq!(bytes, plain);
        }
    }

    #[test]
    fn writes_lengths_in_their_shortest_form() {
        for (len, expected) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_header(&mut out, Opcode::Text, false, len);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn cuts_a_reason_at_a_character() {
        let frame = close(1011, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert_eq!(parse_close(&frame[2..]), Ok(Some(1011)));
    }
}
