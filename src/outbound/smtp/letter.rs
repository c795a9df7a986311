//! A letter as bytes (RFC 5322, MIME): ASCII throughout, so that every server takes it, whatever language the words are in.

use crate::base::time::Timestamp;
use crate::service::ports::Letter;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Bytes of text in one encoded word: with `Subject: ` before it, a line stays below the 76 characters that it may have (RFC 2047).
const WORD: usize = 39;
/// Characters of a line of base64 (RFC 2045).
const WIDTH: usize = 76;

/// Header, body, and the dot that ends it. Nothing in it begins with a dot: base64 has none.
pub fn bytes(letter: &Letter) -> String {
    let domain = letter.from.rsplit('@').next().unwrap_or_default();
    let mut out = String::new();
    for (name, value) in [
        ("From", format!("Cordon <{}>", letter.from)),
        ("To", letter.to.join(",\r\n ")),
        ("Subject", subject(&letter.subject)),
        ("Date", date(letter.at)),
        ("Message-ID", format!("<{}@{domain}>", letter.id)),
        ("MIME-Version", String::from("1.0")),
        ("Content-Type", String::from("text/plain; charset=utf-8")),
        ("Content-Transfer-Encoding", String::from("base64")),
        // No out-of-office answers.
        ("Auto-Submitted", String::from("auto-generated")),
    ] {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    let body = BASE64_STANDARD.encode(letter.body.replace('\n', "\r\n"));
    for line in body.as_bytes().chunks(WIDTH) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

fn subject(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_ascii() && text.len() <= 70 && !text.contains("=?") {
        return text;
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        if words.last().is_none_or(|word| word.len() + c.len_utf8() > WORD) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let encoded: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word))).collect();
    encoded.join("\r\n ")
}

/// As `Sun, 22 Nov 2026 16:06:30 +0000`.
fn date(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_second(at.secs()).unwrap_or_default();
    jiff::tz::TimeZone::UTC.to_datetime(instant).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_ascii_in_short_lines() {
        let letter = Letter {
            hello: "mdm.hill.example".into(),
            from: "cordon@hill.example".into(),
            to: vec!["it@hill.example".into(), "head@hill.example".into()],
            subject:
                "Cordon at Hügelschule: the push certificate of a very long name ends in 7 days\r\nBcc: x@evil.example"
                    .into(),
            body: format!(".\nÜber {}\n", "lang ".repeat(60)),
            at: Timestamp::from_secs(1_700_000_000),
            id: "lt-1".into(),
        };
        let text = bytes(&letter);
        assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 78), "{text}");
        assert!(
            !text.contains("\r\nBcc") && text.ends_with("\r\n.\r\n") && text.matches("\r\n.").count() == 1,
            "{text}"
        );
        assert!(text.contains("\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n") && text.contains("<lt-1@hill.example>"));
        assert!(text.contains("To: it@hill.example,\r\n head@hill.example\r\n"));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body = BASE64_STANDARD.decode(body.trim_end_matches(".\r\n").replace("\r\n", "")).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), letter.body.replace('\n', "\r\n"));
        let words: String = head
            .split("=?UTF-8?B?")
            .skip(1)
            .map(|word| String::from_utf8(BASE64_STANDARD.decode(word.split("?=").next().unwrap()).unwrap()).unwrap())
            .collect();
        assert_eq!(words, letter.subject.replace("\r\n", "  "));
        assert_eq!((subject("plain"), subject("=?x")), ("plain".to_owned(), "=?UTF-8?B?PT94?=".to_owned()));
    }
}
