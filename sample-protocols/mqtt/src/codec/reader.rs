//! Reads the data types of MQTT (MQTT 5.0, section 1.5) from a packet's body.

use super::decode::DecodeError;

/// What is left of a packet.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.bytes.split_at_checked(len).ok_or(DecodeError::malformed("a field exceeds the packet"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn two(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn four(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Never 0.
    pub(super) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.two()? {
            0 => Err(DecodeError::protocol("a packet identifier is 0")),
            id => Ok(id),
        }
    }

    /// A variable byte integer, in the fewest bytes.
    pub(super) fn variable(&mut self) -> Result<u32, DecodeError> {
        match variable(self.bytes) {
            Ok(Some((value, len))) => {
                self.bytes = &self.bytes[len..];
                Ok(value)
            }
            Ok(None) => Err(DecodeError::malformed("a field exceeds the packet")),
            Err(error) => Err(error),
        }
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.two()?;
        self.take(usize::from(len))
    }

    /// UTF-8 without U+0000; surrogates are no UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::malformed("a string is not UTF-8"))?;
        if bytes.contains(&0) {
            return Err(DecodeError::malformed("a string holds U+0000"));
        }
        Ok(text)
    }
}

/// A variable byte integer at the beginning of `bytes`, and how many bytes it has; `None`: more are
/// needed.
pub(super) fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(DecodeError::malformed("a variable byte integer is longer than it need be"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        return Err(DecodeError::malformed("a variable byte integer has more than four bytes"));
    }
    Ok(None)
}
