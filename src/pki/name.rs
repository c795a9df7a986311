//! Distinguished names: read as text for people (RFC 4514), and written for certificates and requests. Private to this room.
//!
//! Names are never compared as text: equality is that of the encoded bytes.

use super::asn1::{self, Malformed, Oid, Reader, SEQUENCE, SET};
use std::fmt::Write as _;

/// Attribute types with the short names that Apple's payloads, openssl and RFC 4514 use.
const SHORT: [(&str, &str); 14] = [
    ("CN", "2.5.4.3"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("serialNumber", "2.5.4.5"),
    ("title", "2.5.4.12"),
    ("givenName", "2.5.4.42"),
    ("SN", "2.5.4.4"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
];

/// The attribute type behind a short name (in any case) or a dotted number.
pub(super) fn attribute_type(name: &str) -> Option<Oid> {
    let dotted = SHORT.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)).map_or(name, |(_, dotted)| dotted);
    Oid::new(dotted).ok()
}

/// A name with one attribute per RDN, in the order given. Empty values are left out.
pub(super) fn build(attributes: &[(Oid, &str)]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = attributes
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(oid, value)| {
            asn1::element(
                SET,
                &[&asn1::sequence(&[&asn1::oid(oid), &asn1::element(string_tag(oid), &[value.as_bytes()])])],
            )
        })
        .collect();
    asn1::sequence(&rdns.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// RFC 5280 appendix A: country is PrintableString, mail addresses and domain components are IA5String.
fn string_tag(oid: &Oid) -> u8 {
    match oid.to_string().as_str() {
        "2.5.4.6" => asn1::PRINTABLE,
        "1.2.840.113549.1.9.1" | "0.9.2342.19200300.100.1.25" => asn1::IA5,
        _ => asn1::UTF8,
    }
}

/// The first value of an attribute type in an encoded name.
pub(super) fn find(name: &[u8], wanted: &Oid) -> Option<String> {
    for rdn in Reader::only(name, SEQUENCE).ok()?.inside().each() {
        for pair in rdn.ok()?.inside().each() {
            let mut pair = pair.ok()?.inside();
            if pair.any().ok()?.is_oid(wanted) {
                return asn1::text(&pair.any().ok()?);
            }
        }
    }
    None
}

/// An encoded name as RFC 4514 text: last RDN first, `+` inside an RDN, `#hex` for what is not text.
///
/// # Errors
/// If the bytes are not a name.
pub(super) fn to_text(name: &[u8]) -> Result<String, Malformed> {
    let mut rdns = Vec::new();
    for rdn in Reader::only(name, SEQUENCE)?.inside().each() {
        let mut pairs = Vec::new();
        for pair in Reader::only(rdn?.raw, SET)?.inside().each() {
            let mut pair = Reader::only(pair?.raw, SEQUENCE)?.inside();
            let kind = pair.expect(asn1::OID)?;
            let value = pair.any()?;
            let kind = Oid::from_bytes(kind.value).map_err(|_| Malformed)?.to_string();
            let kind =
                SHORT.iter().find(|(_, dotted)| *dotted == kind).map_or(kind.as_str(), |(short, _)| short).to_owned();
            let value = asn1::text(&value).map_or_else(|| format!("#{}", hex::encode(value.raw)), |text| escape(&text));
            pairs.push(format!("{kind}={value}"));
        }
        rdns.push(pairs.join("+"));
    }
    rdns.reverse();
    Ok(rdns.join(","))
}

fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (i, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            ' ' if i == 0 || i == last => out.extend(['\\', c]),
            '#' if i == 0 => out.extend(['\\', c]),
            c if c.is_control() => c.to_string().bytes().for_each(|b| {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\{b:02X}");
            }),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let kind = |name| attribute_type(name).unwrap();
        let name = build(&[
            (kind("C"), "DE"),
            (kind("o"), "A+B, \"C\""),
            (kind("CN"), " #x\n"),
            (kind("1.2.3.4"), "v"),
            (kind("OU"), ""),
        ]);
        assert_eq!(to_text(&name).unwrap(), "1.2.3.4=v,CN=\\ #x\\0A,O=A\\+B\\, \\\"C\\\",C=DE");
        assert_eq!(find(&name, &kind("CN")).as_deref(), Some(" #x\n"));
        assert_eq!(find(&name, &kind("UID")), None);
        assert_eq!(attribute_type("nonsense"), None);
        for cut in 0..name.len() {
            assert!(to_text(&name[..cut]).is_err());
        }
        assert_eq!(to_text(&build(&[])).unwrap(), "");
    }
}
