//! permessage-deflate (RFC 7692), without context between messages: no connection holds a compressor.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::Violation;

/// What the server answers to an offer that it accepts.
pub(crate) const ACCEPTED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// What the sender of a message leaves out at its end (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Messages shorter than this are sent as they are.
pub(crate) const WORTHWHILE: usize = 256;

thread_local! {
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Whether one of the offers in `Sec-WebSocket-Extensions` can be accepted with [`ACCEPTED`].
pub(crate) fn is_offered<'a>(mut offers: impl Iterator<Item = &'a str>) -> bool {
    offers.any(|offers| offers.split(',').any(acceptable))
}

/// A window that the server should keep small cannot be promised, so such an offer is declined.
fn acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return false;
    }
    let mut seen: Vec<&str> = Vec::new();
    parts.all(|parameter| {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (parameter, None),
        };
        let window = |value: &str| matches!(value, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15");
        let known = match (name, value) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => true,
            ("client_max_window_bits", Some(value)) => window(value),
            ("server_max_window_bits", Some(value)) => value == "15",
            _ => false,
        };
        let new = !seen.contains(&name);
        seen.push(name);
        known && new
    })
}

/// # Errors
/// The data are no deflate stream, or more than `most` bytes come out of them.
pub(crate) fn inflate(message: &[u8], most: usize) -> Result<Vec<u8>, Violation> {
    const BROKEN: Violation = Violation { code: 1007, reason: "message cannot be decompressed" };
    INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(false);
        let mut out = Vec::with_capacity(message.len().saturating_mul(3).clamp(64, most.max(64)));
        for mut input in [message, &TAIL] {
            loop {
                let (before_in, before_out) = (inflate.total_in(), out.len());
                let status =
                    inflate.decompress_vec(input, &mut out, FlushDecompress::Sync).map_err(|_| BROKEN)?;
                input = &input[(inflate.total_in() - before_in) as usize..];
                if out.len() > most {
                    return Err(Violation::TOO_BIG);
                }
                if status == Status::StreamEnd {
                    // A final block may end a message early; then nothing but padding may follow.
                    return Ok(out);
                }
                if out.len() == out.capacity() {
                    out.reserve(out.len().clamp(64, (most + 1 - out.len()).max(64)));
                    continue;
                }
                if input.is_empty() {
                    break;
                }
                if before_in == inflate.total_in() && before_out == out.len() {
                    return Err(BROKEN);
                }
            }
        }
        Ok(out)
    })
}

/// Compresses a message; `None` if that makes it no shorter.
pub(crate) fn deflate(message: &[u8]) -> Option<Vec<u8>> {
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        let mut out = Vec::with_capacity(message.len() / 2 + 64);
        let mut input = message;
        loop {
            let before = deflate.total_in();
            deflate.compress_vec(input, &mut out, FlushCompress::Sync).ok()?;
            input = &input[(deflate.total_in() - before) as usize..];
            if out.len() < out.capacity() && input.is_empty() {
                break;
            }
            if out.len() >= message.len() {
                return None;
            }
            out.reserve(out.len().max(64));
        }
        out.truncate(out.strip_suffix(&TAIL)?.len());
        (out.len() < message.len()).then_some(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        for len in [1, 100, 10_000, 1_000_000] {
            let message = b"Kuzzle and its notifications; ".repeat(len / 30 + 1);
            let compressed = deflate(&message).unwrap_or_default();
            if !compressed.is_empty() {
                assert_eq!(inflate(&compressed, message.len()).as_ref(), Ok(&message));
                assert_eq!(inflate(&compressed, message.len() - 1), Err(Violation::TOO_BIG));
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = deflate(&vec![0; 50_000_000]).expect("zeros are short");
        assert!(bomb.len() < 300_000);
        assert_eq!(inflate(&bomb, 1 << 20), Err(Violation::TOO_BIG));
    }

    #[test]
    fn what_is_no_deflate_is_refused() {
        assert!(inflate(&[0xff, 0xff, 0xff, 0xff], 100).is_err());
    }

    /// RFC 7692, 7.2.3.1, 7.2.3.4 and 7.2.3.5.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for example in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(example, 100).as_deref(), Ok(&b"Hello"[..]), "{example:x?}");
        }
    }

    #[test]
    fn offers_are_accepted_as_far_as_they_can_be_kept() {
        for (offer, accepted) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
            ("permessage-deflate; unknown", false),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits", false),
            ("x-webkit-deflate-frame", false),
            ("", false),
        ] {
            assert_eq!(is_offered([offer].into_iter()), accepted, "{offer}");
        }
    }
}
