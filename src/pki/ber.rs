//! BER to DER, as far as it helps to read what devices send: indefinite lengths become definite, constructed strings are folded into
//! one, lengths take their shortest form. Called by `cms` and `scep` before they read anything from a stranger.
//!
//! The order of SET members is deliberately kept as sent: signatures and certificate names lie over those bytes, and every reader in
//! this room takes members in any order. Fields that are IMPLICIT strings by schema stay constructed; `cms` folds the one it knows.

use super::asn1::{self, Malformed};
use crate::base::limits::MAX_BER_DEPTH;

/// Why bytes are not BER that this server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// Cut off, something behind the end, or a form that no certificate message uses.
    #[error("not well-formed BER")]
    Malformed,
    /// Nested deeper than [`MAX_BER_DEPTH`].
    #[error("BER nested too deeply")]
    TooDeep,
}

impl From<Malformed> for BerError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Rewrites one BER element, with nothing behind it, as DER (but see above for sets). Time and memory are linear in the input.
///
/// # Errors
/// [`BerError`].
pub fn to_der(bytes: &[u8]) -> Result<Vec<u8>, BerError> {
    let mut out = Vec::with_capacity(bytes.len());
    if convert(bytes, 0, &mut out)? != bytes.len() {
        return Err(BerError::Malformed);
    }
    Ok(out)
}

const CONSTRUCTED: u8 = 0x20;

/// Universal types that may be sent in pieces: bit, octet and character strings, and times.
fn is_string(tag: u8) -> bool {
    matches!(tag & !CONSTRUCTED, 3 | 4 | 12 | 18..=28 | 30) && tag & 0xc0 == 0
}

/// Appends the element at the start of `bytes` to `out`; returns how many bytes it took.
fn convert(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<usize, BerError> {
    let (tag, header, length) = asn1::header(bytes)?;
    if tag == 0 {
        return Err(BerError::Malformed); // an end-of-contents that ends nothing
    }
    let start = out.len();
    let used = match length {
        Some(length) if tag & CONSTRUCTED == 0 => {
            let content = bytes.get(header..header.saturating_add(length)).ok_or(BerError::Malformed)?;
            out.extend_from_slice(content);
            header + length
        }
        None if tag & CONSTRUCTED == 0 => return Err(BerError::Malformed),
        _ if depth == MAX_BER_DEPTH => return Err(BerError::TooDeep),
        _ if is_string(tag) => {
            if tag & !CONSTRUCTED == asn1::BIT_STRING {
                out.push(0); // the count of unused bits, once for all pieces
            }
            header + members(&bytes[header..], length, |rest| fold(rest, tag & !CONSTRUCTED, depth + 1, out))?
        }
        _ => header + members(&bytes[header..], length, |rest| convert(rest, depth + 1, out))?,
    };
    // The header goes in front once the length is known; a byte is moved at most once for each level of nesting.
    let mut head = vec![if is_string(tag) { tag & !CONSTRUCTED } else { tag }];
    asn1::push_length(&mut head, out.len() - start);
    out.splice(start..start, head);
    Ok(used)
}

/// Appends the content of one piece of a string, which may itself be in pieces. Pieces are BIT STRINGs or OCTET STRINGs
/// (X.690 §8.21.6); some senders repeat the type of the whole. A piece of a BIT STRING must be whole octets.
fn fold(bytes: &[u8], whole: u8, depth: usize, out: &mut Vec<u8>) -> Result<usize, BerError> {
    let (tag, header, length) = asn1::header(bytes)?;
    let piece = tag & !CONSTRUCTED;
    if piece != whole && (piece != asn1::OCTET_STRING || whole == asn1::BIT_STRING) {
        return Err(BerError::Malformed);
    }
    if tag & CONSTRUCTED != 0 {
        if depth == MAX_BER_DEPTH {
            return Err(BerError::TooDeep);
        }
        return Ok(header + members(&bytes[header..], length, |rest| fold(rest, whole, depth + 1, out))?);
    }
    let end = header.saturating_add(length.ok_or(BerError::Malformed)?);
    let content = bytes.get(header..end).ok_or(BerError::Malformed)?;
    match content.split_first() {
        Some((0, bits)) if whole == asn1::BIT_STRING => out.extend_from_slice(bits),
        _ if whole == asn1::BIT_STRING => return Err(BerError::Malformed),
        _ => out.extend_from_slice(content),
    }
    Ok(end)
}

/// Calls `each` for one member after the other, up to the given length or the end-of-contents; returns the bytes taken, with it.
fn members(
    bytes: &[u8],
    length: Option<usize>,
    mut each: impl FnMut(&[u8]) -> Result<usize, BerError>,
) -> Result<usize, BerError> {
    let whole = match length {
        Some(length) => bytes.get(..length).ok_or(BerError::Malformed)?,
        None => bytes,
    };
    let mut at = 0;
    loop {
        let rest = &whole[at..];
        match (length, rest) {
            (Some(_), []) => return Ok(at),
            (None, [0, 0, ..]) => return Ok(at + 2),
            _ => at += each(rest)?,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// DER rewritten the way streaming encoders write: every constructed element with indefinite length, every OCTET STRING in
    /// pieces of at most `piece` bytes.
    pub fn indefinite(der: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader = asn1::Reader::new(der);
        while !reader.is_empty() {
            let element = reader.any().unwrap();
            if element.tag & CONSTRUCTED != 0 {
                out.extend([element.tag, 0x80]);
                out.extend(indefinite(element.value, piece));
                out.extend([0, 0]);
            } else if element.tag == asn1::OCTET_STRING {
                out.extend([0x24, 0x80]);
                element.value.chunks(piece).for_each(|part| out.extend(asn1::octets(part)));
                out.extend([0, 0]);
            } else {
                out.extend_from_slice(element.raw);
            }
        }
        out
    }

    #[test]
    fn shapes() {
        for (ber, der) in [
            ("3080020101 0000", "3003020101"),
            ("30808000 0000", "30028000"),
            ("3081030201 01", "3003020101"),
            ("2480 0401aa 2480 0402bbcc 0000 0400 0000", "0403aabbcc"),
            ("2406 0401aa 0401bb", "0402aabb"),
            ("2380 030200aa 030200bb 0000", "030300aabb"),
            ("3a09 04034a6f6e 04026573", "1a054a6f6e6573"),
            ("a080 0401aa 0401bb 0000", "a0060401aa0401bb"),
            ("3106 0201020201 01", "31060201020201 01"),
            ("0500", "0500"),
        ] {
            let bytes = |text: &str| hex::decode(text.replace(' ', "")).unwrap();
            assert_eq!(to_der(&bytes(ber)).as_deref(), Ok(bytes(der).as_slice()), "{ber}");
        }
        for bad in [
            "",
            "0000",
            "30",
            "3080",
            "30800200",
            "308000",
            "0480",
            "050000",
            "1f8100",
            "24030201 01",
            "2380030104 0000",
            "3003020201",
        ] {
            assert_eq!(to_der(&hex::decode(bad.replace(' ', "")).unwrap()), Err(BerError::Malformed), "{bad}");
        }
    }

    #[test]
    fn depth_is_capped() {
        for (open, limit) in [([0x30, 0x80], MAX_BER_DEPTH), ([0x24, 0x80], MAX_BER_DEPTH)] {
            let nested = |depth: usize| [open.repeat(depth), [0, 0].repeat(depth)].concat();
            assert!(to_der(&nested(limit)).is_ok());
            assert_eq!(to_der(&nested(limit + 1)), Err(BerError::TooDeep));
            assert_eq!(to_der(&open.repeat(500_000)), Err(BerError::TooDeep));
        }
    }

    fn der() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| asn1::octets(&bytes)),
            any::<[u8; 3]>().prop_map(|bytes| asn1::integer(&bytes)),
        ];
        leaf.prop_recursive(6, 64, 5, |inner| {
            (
                prop_oneof![Just(asn1::SEQUENCE), Just(asn1::SET), Just(asn1::context(0))],
                proptest::collection::vec(inner, 0..5),
            )
                .prop_map(|(tag, parts)| asn1::element(tag, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
        })
    }

    proptest! {
        #[test]
        fn der_comes_back(der in der(), piece in 1usize..50) {
            prop_assert_eq!(to_der(&der).unwrap(), der.clone());
            prop_assert_eq!(to_der(&indefinite(&der, piece)).unwrap(), der);
        }

        #[test]
        fn cut_anywhere_is_an_error(der in der(), piece in 1usize..50, at in any::<prop::sample::Index>()) {
            let ber = indefinite(&der, piece);
            prop_assert!(to_der(&ber[..at.index(ber.len())]).is_err());
        }

        #[test]
        fn noise_never_panics_and_what_passes_is_stable(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(der) = to_der(&bytes) {
                prop_assert_eq!(to_der(&der).unwrap(), der);
            }
        }
    }
}
