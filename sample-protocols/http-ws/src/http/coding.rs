//! Content codings, in and out: gzip, deflate (zlib's format), identity.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

/// Why a body cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    TooManyLayers,
    Unsupported(String),
    TooLarge,
    Broken(String),
}

/// A coding of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Identity,
}

impl Coding {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Identity => "identity",
        }
    }
}

/// Undoes the codings of the header Content-Encoding, the last one first. No layer may give more than `most` bytes.
pub(crate) fn decode(
    body: Vec<u8>,
    codings: &str,
    max_layers: usize,
    most: usize,
) -> Result<Vec<u8>, Undecodable> {
    let codings = codings.split(',').map(|coding| coding.trim().to_ascii_lowercase());
    let codings: Vec<String> = codings.filter(|coding| !coding.is_empty()).collect();
    if codings.len() > max_layers {
        return Err(Undecodable::TooManyLayers);
    }
    let unsupported =
        |coding: &&String| !matches!(coding.as_str(), "gzip" | "x-gzip" | "deflate" | "identity");
    if let Some(coding) = codings.iter().find(unsupported) {
        return Err(Undecodable::Unsupported(coding.clone()));
    }
    codings.iter().rev().try_fold(body, |body, coding| match coding.as_str() {
        "identity" => Ok(body),
        "deflate" => read(ZlibDecoder::new(&body[..]), most),
        _ => read(MultiGzDecoder::new(&body[..]), most),
    })
}

fn read(decoder: impl Read, most: usize) -> Result<Vec<u8>, Undecodable> {
    let mut out = Vec::new();
    let mut decoder = decoder.take(most as u64 + 1);
    decoder.read_to_end(&mut out).map_err(|error| Undecodable::Broken(error.to_string()))?;
    if out.len() > most { Err(Undecodable::TooLarge) } else { Ok(out) }
}

/// The coding for an answer, by the header Accept-Encoding. As Kuzzle does it (lib/core/network/protocols/
/// httpwsProtocol.js): no `q` counts as less than one that is given, gzip wins ties, and other codings and `*` count
/// for nothing. Unlike Kuzzle, `q=0` forbids a coding (RFC 9110, 12.4.2).
pub(crate) fn negotiate(accepted: &str) -> Coding {
    let weight = |item: &str| -> Option<(f32, Coding)> {
        let mut parts = item.split(';').map(str::trim);
        let coding = match parts.next()?.to_ascii_lowercase().as_str() {
            "gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            _ => return None,
        };
        let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = given.map_or(0.0, |q| q.trim().parse().unwrap_or(0.0));
        (given.is_none() || weight > 0.0).then_some((weight, coding))
    };
    let mut best = (-1.0, Coding::Identity);
    for (weight, coding) in accepted.split(',').filter_map(weight) {
        if weight > best.0 || (weight == best.0 && coding == Coding::Gzip) {
            best = (weight, coding);
        }
    }
    best.1
}

/// Encodes an answer.
pub(crate) fn encode(body: &[u8], coding: Coding) -> Vec<u8> {
    const IN_MEMORY: &str = "memory takes what is written";
    let out = Vec::with_capacity(body.len() / 2 + 32);
    match coding {
        Coding::Identity => body.to_vec(),
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::fast());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, Compression::fast());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_undone_from_the_last_to_the_first() {
        let body = b"{\"a\":1}".to_vec();
        let coded = encode(&encode(&body, Coding::Gzip), Coding::Deflate);
        assert_eq!(decode(coded.clone(), "gzip, Deflate", 3, 100), Ok(body.clone()));
        assert!(decode(coded.clone(), "deflate, gzip", 3, 100).is_err());
        assert_eq!(decode(coded, "identity, gzip, deflate", 2, 100), Err(Undecodable::TooManyLayers));
        assert_eq!(decode(body, "br", 3, 100), Err(Undecodable::Unsupported("br".to_owned())));
    }

    #[test]
    fn a_bomb_stops_at_the_limit_in_every_layer() {
        let bomb = encode(&vec![0; 100 << 20], Coding::Gzip);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(decode(bomb.clone(), "gzip", 3, 1 << 20), Err(Undecodable::TooLarge));
        let nested = encode(&bomb, Coding::Gzip);
        assert_eq!(decode(nested, "gzip, gzip", 3, 1 << 20), Err(Undecodable::TooLarge));
    }

    #[test]
    fn what_is_cut_off_or_no_gzip_is_broken() {
        let coded = encode(b"hello hello hello", Coding::Gzip);
        for bytes in [&coded[..coded.len() - 1], &coded[..5], b"hello", b""] {
            let result = decode(bytes.to_vec(), "gzip", 3, 100);
            assert!(matches!(result, Err(Undecodable::Broken(_))), "{bytes:?}: {result:?}");
        }
    }

    #[test]
    fn answers_are_coded_as_kuzzle_would() {
        for (accepted, expected) in [
            ("gzip, deflate", Coding::Gzip),
            ("deflate, gzip", Coding::Gzip),
            ("deflate;q=0.5, gzip", Coding::Deflate),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=0, deflate", Coding::Deflate),
            ("deflate", Coding::Deflate),
            ("br", Coding::Identity),
            ("*", Coding::Identity),
            ("identity", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(negotiate(accepted), expected, "{accepted}");
        }
    }
}
