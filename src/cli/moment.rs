//! Instants as people say them, both ways: "3 minutes ago" out, `2h` or RFC 3339 in. Pure; now is an argument.

use super::failure::Failure;
use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};
use serde_json::Value;

/// An RFC 3339 text of the API as a person would say it now; beyond 30 days the date itself. What is no date stays as it is.
pub fn told(text: &str, now: Timestamp) -> String {
    let Some(at) = parse(text) else { return super::voice::plain(text) };
    let distance = now.since(at);
    let span = distance.saturating_abs();
    let amount = match span {
        span if span < MINUTE => return String::from(if distance < -5_000 { "in a moment" } else { "just now" }),
        span if span < HOUR => amount(span / MINUTE, "minute"),
        span if span < DAY => amount(span / HOUR, "hour"),
        span if span <= 30 * DAY => amount(span / DAY, "day"),
        _ => return at.to_string(),
    };
    if distance > 0 { format!("{amount} ago") } else { format!("in {amount}") }
}

/// As [`told`] for a field of the API; nothing becomes `never`.
pub fn told_field(value: &Value, now: Timestamp) -> String {
    value.as_str().map_or_else(|| String::from("never"), |text| told(text, now))
}

fn amount(number: i64, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

/// RFC 3339, such as `2026-09-01T07:30:00+02:00`.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

/// What an option says: an instant, or a span from now such as `30m`, `2h`, `7d`, `2w`.
///
/// # Errors
/// Wrong usage, with how to write it.
pub fn parse_option(option: &str, text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let span = || {
        let unit = match text.chars().last()? {
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            'w' => 7 * DAY,
            _ => return None,
        };
        let number: u32 = text[..text.len() - 1].parse().ok()?;
        Some(now.plus(i64::from(number).saturating_mul(unit)))
    };
    parse(text).or_else(span).ok_or_else(|| {
        Failure::usage(format!(
            "{option} {text}: not an instant; write 2026-09-01T07:30:00+02:00, or a span from now like 30m, 2h, 7d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_in_words() {
        let now = parse("2026-11-18T12:00:00Z").unwrap();
        let table = [
            ("2026-11-18T12:00:00Z", "just now"),
            ("2026-11-18T11:59:01Z", "just now"),
            ("2026-11-18T12:00:03Z", "just now"),
            ("2026-11-18T12:00:30Z", "in a moment"),
            ("2026-11-18T11:59:00Z", "1 minute ago"),
            ("2026-11-18T11:57:00Z", "3 minutes ago"),
            ("2026-11-18T10:30:00Z", "1 hour ago"),
            ("2026-11-18T14:59:00Z", "in 2 hours"),
            ("2026-11-16T12:00:00Z", "2 days ago"),
            ("2026-10-01T12:00:00Z", "2026-10-01T12:00:00Z"),
            ("2027-11-18T12:00:00Z", "2027-11-18T12:00:00Z"),
            ("soon", "soon"),
        ];
        for (text, wanted) in table {
            assert_eq!(told(text, now), wanted, "{text}");
        }
        assert_eq!(told_field(&Value::Null, now), "never");
    }

    #[test]
    fn what_options_take() {
        let now = Timestamp::from_secs(1_000_000);
        assert_eq!(parse_option("--expires", "2h", now), Ok(now.plus(2 * HOUR)));
        assert_eq!(parse_option("--expires", "1w", now), Ok(now.plus(7 * DAY)));
        assert_eq!(parse_option("--expires", "1970-01-01T01:00:01+01:00", now), Ok(Timestamp::from_secs(1)));
        for bad in ["", "h", "2", "-2h", "2y", "tomorrow", "2026-09-01T07:30:00", "2ü"] {
            let failure = parse_option("--expires", bad, now).unwrap_err();
            assert_eq!(failure.exit_code(), super::super::failure::USAGE, "{bad}");
        }
    }
}
