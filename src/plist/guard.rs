//! The walk over the events of a property list before anything is built from it.
//!
//! Checked here: size, XML at all, no DTD subset, no unknown entities (the plist crate turns them into empty strings), depth, count.

use super::{Fault, PlistError, fault};
use crate::base::limits::{MAX_DRAINED_BODY, MAX_PLIST_DEPTH, MAX_PLIST_VALUES};
use ::plist::stream::{Event, XmlReader};

pub(super) fn check(bytes: &[u8]) -> Result<(), PlistError> {
    let bad = |f| Err(fault("", f));
    if bytes.is_empty() {
        return bad(Fault::Empty);
    }
    if bytes.len() > MAX_DRAINED_BODY {
        return bad(Fault::TooLarge);
    }
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if !start.starts_with(b"<") {
        return bad(Fault::NotXml);
    }
    doctype(bytes)?;
    entities(bytes)?;
    dates(bytes)?;
    depth_and_count(bytes)
}

/// Apple's own DOCTYPE names an external DTD and has no `[`; one with a subset declares entities of its own.
fn doctype(bytes: &[u8]) -> Result<(), PlistError> {
    let head = &bytes[..bytes.len().min(64 * 1024)];
    let Some(at) = find(head, b"<!DOCTYPE") else {
        return if find(bytes, b"<!ENTITY").is_some() { Err(fault("", Fault::Doctype)) } else { Ok(()) };
    };
    let rest = &bytes[at..];
    let end = rest.iter().position(|b| matches!(b, b'>' | b'['));
    match end.map(|i| rest[i]) {
        Some(b'>') if find(rest, b"<!ENTITY").is_none() => Ok(()),
        _ => Err(fault("", Fault::Doctype)),
    }
}

/// Only the five entities of XML and character references are known; any other would silently vanish.
fn entities(bytes: &[u8]) -> Result<(), PlistError> {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == b'&') {
        rest = &rest[at + 1..];
        let known: [&[u8]; 5] = [b"amp;", b"lt;", b"gt;", b"quot;", b"apos;"];
        if !rest.starts_with(b"#") && !known.iter().any(|k| rest.starts_with(k)) {
            // CDATA may hold a bare ampersand; devices do not send CDATA, so it is refused as well.
            return Err(fault("", Fault::Syntax));
        }
    }
    Ok(())
}

/// Apple writes dates as `2026-09-01T07:30:00Z`. The plist crate panics on one that a time zone pushes out of the year 9999, so a
/// date without `Z`, or with anything but text in it, is refused before that crate sees it.
fn dates(bytes: &[u8]) -> Result<(), PlistError> {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == b'<') {
        rest = &rest[at + 1..];
        if !named_date(rest) {
            continue;
        }
        let text = rest
            .strip_prefix(b"date>")
            .and_then(|text| text.iter().position(|b| *b == b'<').map(|end| text.split_at(end)));
        if !text.is_some_and(|(text, after)| text.ends_with(b"Z") && after.starts_with(b"</date>")) {
            return Err(fault("", Fault::Syntax));
        }
    }
    Ok(())
}

/// Whether an opening tag is called `date`, in any name space, as the plist crate ignores those.
fn named_date(tag: &[u8]) -> bool {
    let name = tag.split(|b| matches!(b, b'>' | b'/' | b'<') || b.is_ascii_whitespace()).next().unwrap_or_default();
    name.rsplit(|b| *b == b':').next() == Some(b"date")
}

fn depth_and_count(bytes: &[u8]) -> Result<(), PlistError> {
    let (mut depth, mut count) = (0_usize, 0_usize);
    for event in XmlReader::new(bytes) {
        let event = event.map_err(|_| fault("", Fault::Syntax))?;
        count += 1;
        if count > MAX_PLIST_VALUES {
            return Err(fault("", Fault::TooMany));
        }
        match event {
            Event::StartArray(_) | Event::StartDictionary(_) => depth += 1,
            Event::EndCollection => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_PLIST_DEPTH {
            return Err(fault("", Fault::TooDeep));
        }
    }
    Ok(())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
