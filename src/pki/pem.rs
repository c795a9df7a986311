//! PEM text (RFC 7468) in and out, for keys and certificates that people bring as files. Private to this room.
//!
//! Lenient on reading, because people paste: text around the blocks, any line length and header lines of old files are skipped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Larger texts than this hold no certificate chain that anybody means.
const MAX_TEXT: usize = 1024 * 1024;

/// All blocks that decode, as label and bytes.
pub(super) fn blocks(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, String)> = None;
    if text.len() > MAX_TEXT {
        return found;
    }
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            open = Some((label, String::new()));
        } else if line.starts_with("-----END ") {
            if let Some((label, body)) = open.take()
                && let Ok(bytes) = STANDARD.decode(body)
            {
                found.push((label.to_owned(), bytes));
            }
        } else if let Some((_, body)) = &mut open
            && !line.contains(':')
        {
            body.push_str(line);
        }
    }
    found
}

/// One block with lines of 64 characters.
pub(super) fn encode(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_with_noise() {
        let bytes: Vec<u8> = (0..200).map(|n| n as u8).collect();
        let text = format!("subject=x\r\n{}\nmore\n{}", encode("A", &bytes).replace('\n', "\r\n"), encode("B C", b""));
        assert_eq!(blocks(&text), [("A".to_owned(), bytes), ("B C".to_owned(), vec![])]);
        assert!(blocks("-----BEGIN A-----\n!!!\n-----END A-----").is_empty());
        assert!(blocks("-----BEGIN A-----\nAAAA").is_empty());
    }
}
