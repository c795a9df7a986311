//! The few ASN.1 forms that X.509, PKCS#10 and CMS need: a reader that hands out slices of what was sent, and a DER writer.
//!
//! Private to this room. Reading never copies, never recurses and never re-encodes: callers verify signatures over `raw` bytes.
//! Indefinite lengths and constructed strings are not understood here; `ber::to_der` takes them away first.

use crate::base::time::Timestamp;
pub(super) use const_oid::ObjectIdentifier as Oid;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const IA5: u8 = 0x16;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[n]` around other elements, or IMPLICIT over a constructed type.
pub(super) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// The bytes are not of the form that the standard asks for. Carries nothing: the value is a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed ASN.1")]
pub struct Malformed;

/// One element: its tag, its content, and all of its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    pub raw: &'a [u8],
}

impl<'a> Element<'a> {
    pub fn inside(&self) -> Reader<'a> {
        Reader::new(self.value)
    }
    pub fn is_oid(&self, oid: &Oid) -> bool {
        self.tag == OID && self.value == oid.as_bytes()
    }
}

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The one element that `bytes` are, with nothing behind it.
    pub fn only(bytes: &'a [u8], tag: u8) -> Result<Element<'a>, Malformed> {
        let mut reader = Self::new(bytes);
        let element = reader.expect(tag)?;
        reader.end()?;
        Ok(element)
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    pub fn any(&mut self) -> Result<Element<'a>, Malformed> {
        let (tag, header, length) = header(self.rest)?;
        let end = header.checked_add(length.ok_or(Malformed)?).ok_or(Malformed)?;
        let raw = self.rest.get(..end).ok_or(Malformed)?;
        self.rest = &self.rest[end..];
        Ok(Element { tag, value: &raw[header..], raw })
    }

    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        self.optional(tag)?.ok_or(Malformed)
    }

    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        if self.rest.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    pub fn sequence(&mut self) -> Result<Reader<'a>, Malformed> {
        Ok(self.expect(SEQUENCE)?.inside())
    }

    /// All further elements.
    pub fn each(mut self) -> impl Iterator<Item = Result<Element<'a>, Malformed>> {
        std::iter::from_fn(move || {
            if self.is_empty() {
                return None;
            }
            let next = self.any();
            if next.is_err() {
                self.rest = &[];
            }
            Some(next)
        })
    }
}

/// Tag, length of the header, and length of the content (`None` for the indefinite form).
/// Tags above 30 and lengths of more than four bytes occur in nothing that this room reads.
pub(super) fn header(bytes: &[u8]) -> Result<(u8, usize, Option<usize>), Malformed> {
    let (&tag, rest) = bytes.split_first().ok_or(Malformed)?;
    if tag & 0x1f == 0x1f {
        return Err(Malformed);
    }
    let (&first, rest) = rest.split_first().ok_or(Malformed)?;
    match first {
        0..=0x7f => Ok((tag, 2, Some(usize::from(first)))),
        0x80 => Ok((tag, 2, None)),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = rest.get(..count).ok_or(Malformed)?;
            Ok((tag, 2 + count, Some(digits.iter().fold(0, |length, b| length << 8 | usize::from(*b)))))
        }
        _ => Err(Malformed),
    }
}

/// The octets of a BIT STRING that is whole octets long.
pub(super) fn whole_bits<'a>(element: &Element<'a>) -> Result<&'a [u8], Malformed> {
    match element.value.split_first() {
        Some((0, octets)) => Ok(octets),
        _ => Err(Malformed),
    }
}

/// Text of any of the string types that appear in names and challenges; T61 is read as Latin-1, as everyone does.
pub(super) fn text(element: &Element<'_>) -> Option<String> {
    match element.tag {
        UTF8 | PRINTABLE | IA5 | 0x12 | 0x1a => std::str::from_utf8(element.value).ok().map(str::to_owned),
        0x14 => Some(element.value.iter().map(|b| char::from(*b)).collect()),
        0x1e => {
            let units = element.value.chunks(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0xd800, // half a unit: an unpaired surrogate, refused below
            });
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// UTCTime (RFC 5280: 50–99 are 19xx) or GeneralizedTime, in UTC; seconds may be missing in old certificates.
pub(super) fn instant(element: &Element<'_>) -> Result<Timestamp, Malformed> {
    let digits = element.value.strip_suffix(b"Z").ok_or(Malformed)?;
    let digits = digits.split(|b| *b == b'.').next().unwrap_or(digits);
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = |from: usize, count: usize| -> Result<i64, Malformed> {
        let part = digits.get(from..from + count).ok_or(Malformed)?;
        Ok(part.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    };
    let (year, at) = match element.tag {
        0x17 => (number(0, 2).map(|y| if y < 50 { 2000 + y } else { 1900 + y })?, 2),
        0x18 => (number(0, 4)?, 4),
        _ => return Err(Malformed),
    };
    let second = if digits.len() == at + 8 { 0 } else { number(at + 8, 2)? };
    let (month, day, hour, minute) = (number(at, 2)?, number(at + 2, 2)?, number(at + 4, 2)?, number(at + 6, 2)?);
    let sane = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !sane || digits.len() > at + 10 {
        return Err(Malformed);
    }
    Ok(Timestamp::from_secs(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years are counted from March so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468
}

// ---- writing

/// One DER element with the concatenation of `parts` as its content.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    push_length(&mut out, length);
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out
}

/// The length octets in their shortest form (X.690 §10.1).
pub(super) fn push_length(out: &mut Vec<u8>, length: usize) {
    let digits = length.to_be_bytes();
    let digits = &digits[digits.iter().take_while(|b| **b == 0).count()..];
    match digits {
        [] => out.push(0),
        [small @ 0..=0x7f] => out.push(*small),
        _ => {
            out.push(0x80 | digits.len() as u8); // at most 8
            out.extend_from_slice(digits);
        }
    }
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// A SET OF in DER order: sorted by encoding (X.690 §11.6). `tag` is [`SET`] or an IMPLICIT one.
pub(super) fn set_of(tag: u8, mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    element(tag, &members.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

pub(super) fn oid(oid: &Oid) -> Vec<u8> {
    element(OID, &[oid.as_bytes()])
}

pub(super) fn null() -> Vec<u8> {
    vec![5, 0]
}

pub(super) fn boolean_true() -> Vec<u8> {
    vec![1, 1, 0xff]
}

/// A non-negative INTEGER from big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let digits = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
    match digits.first() {
        None => vec![INTEGER, 1, 0],
        Some(0x80..) => element(INTEGER, &[&[0], digits]),
        Some(_) => element(INTEGER, &[digits]),
    }
}

pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, &[bytes])
}

pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// UTCTime up to 2049, GeneralizedTime after it (RFC 5280 §4.1.2.5).
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    // Seconds clamped to the years that the two types can say; jiff then always has a date for them.
    let at = at.secs().clamp(0, 253_370_764_800);
    let text = jiff::Timestamp::from_second(at).unwrap_or_default().strftime("%Y%m%d%H%M%SZ").to_string();
    match text.get(2..) {
        Some(short) if &text[..4] < "2050" => element(0x17, &[short.as_bytes()]),
        _ => element(0x18, &[text.as_bytes()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Result<String, Malformed> {
        instant(&Element { tag, value: text.as_bytes(), raw: b"" }).map(|at| at.to_string())
    }

    #[test]
    fn times() {
        for (tag, text, wanted) in [
            (0x17, "700101000000Z", "1970-01-01T00:00:00Z"),
            (0x17, "491231235959Z", "2049-12-31T23:59:59Z"),
            (0x17, "0002291200Z", "2000-02-29T12:00:00Z"),
            (0x17, "500101000000Z", "1950-01-01T00:00:00Z"),
            (0x18, "20500301000000Z", "2050-03-01T00:00:00Z"),
            (0x18, "20240229235959.5Z", "2024-02-29T23:59:59Z"),
        ] {
            assert_eq!(read(tag, text).as_deref(), Ok(wanted), "{text}");
        }
        for bad in ["", "Z", "7001010000", "70010100000aZ", "701301000000Z", "700101000000000000Z", "700101000000+0100"]
        {
            assert_eq!(read(0x17, bad), Err(Malformed), "{bad}");
        }
        assert!(read(0x18, "99991231235959Z").is_ok());
    }

    #[test]
    fn times_written_are_times_read() {
        for secs in [0, 951_782_400, 2_524_607_999, 2_524_608_000, 4_107_542_400] {
            let written = time(Timestamp::from_secs(secs));
            let element = Reader::new(&written).any().unwrap();
            assert_eq!(instant(&element), Ok(Timestamp::from_secs(secs)));
            assert_eq!(element.tag, if secs < 2_524_608_000 { 0x17 } else { 0x18 });
        }
    }

    #[test]
    fn lengths_and_integers() {
        for length in [0, 1, 127, 128, 255, 256, 65_536] {
            let content = vec![7; length];
            let whole = octets(&content);
            assert_eq!(Reader::only(&whole, OCTET_STRING).unwrap().value, content);
            assert!(Reader::only(&whole[..whole.len() - 1], OCTET_STRING).is_err());
        }
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert!(Reader::new(&[0x30, 0x85, 1, 1, 1, 1, 1]).any().is_err());
        assert!(Reader::new(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).any().is_err());
        assert!(Reader::new(&[0x3f, 0x81, 0x01, 0x00]).any().is_err());
    }
}
