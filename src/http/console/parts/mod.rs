//! The pieces that pages are made of: tables, forms, badges. The only place of the console with markup; everything that comes from
//! outside goes through a template or [`text`], and an [`Html`] cannot be made elsewhere.

mod fields;
mod tables;

pub use fields::{Field, FormSpec, post_button};
pub use tables::{Column, Table, facts};

use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};
use askama::filters::HtmlSafe;
use std::fmt;

/// Markup made here.
#[derive(Debug, Clone, Default)]
pub struct Html(String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

impl Html {
    pub fn into_paragraph(self) -> Html {
        Html(format!("<p>{self}</p>"))
    }

    pub fn into_buttons(self) -> Html {
        Html(format!("<div class=\"buttons\">{self}</div>"))
    }

    /// The one line that says whether everything is all right.
    pub fn verdict(self) -> Html {
        Html(format!("<p class=\"verdict\">{self}</p>"))
    }
}

/// What a status means beside its words: a colour and a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Good,
    Busy,
    Warn,
    Bad,
    Quiet,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Mood::Good => "good",
            Mood::Busy => "busy",
            Mood::Warn => "warn",
            Mood::Bad => "bad",
            Mood::Quiet => "still",
        }
    }
}

fn rendered(template: &impl askama::Template) -> Html {
    // Writing into a String does not fail, and the templates were checked when compiling.
    Html(template.render().unwrap_or_default())
}

/// Text, escaped for content and for attributes in double quotes.
pub fn text(plain: &str) -> Html {
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Html(out)
}

/// SVG that this house drew.
pub(super) fn drawn(svg: String) -> Html {
    Html(svg)
}

pub fn link(href: &str, label: &str) -> Html {
    Html(format!("<a href=\"{}\">{}</a>", text(href), text(label)))
}

pub fn button_link(href: &str, label: &str) -> Html {
    Html(format!("<a class=\"button second\" href=\"{}\">{}</a>", text(href), text(label)))
}

/// The one thing that most people come to this page for.
pub fn main_link(href: &str, label: &str) -> Html {
    Html(format!("<a class=\"button\" href=\"{}\">{}</a>", text(href), text(label)))
}

pub fn code(plain: &str) -> Html {
    Html(format!("<code>{}</code>", text(plain)))
}

pub fn quiet(plain: &str) -> Html {
    Html(format!("<span class=\"quiet\">{}</span>", text(plain)))
}

pub fn number(n: i64) -> Html {
    Html(format!("<span class=\"number\">{}</span>", grouped(n)))
}

/// 12345 as 12,345.
pub fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    if n < 0 { format!("−{out}") } else { out }
}

/// A status: words, with a shape and a colour that say the same.
pub fn badge(mood: Mood, words: &str) -> Html {
    Html(format!("<span class=\"badge {}\">{}</span>", mood.class(), text(words)))
}

/// Two lines: the name of something and what identifies it.
pub fn named(first: Html, second: &str) -> Html {
    if second.is_empty() { first } else { Html(format!("{first}<span class=\"under\">{}</span>", text(second))) }
}

/// One after the other, with a blank between.
pub fn row(parts: impl IntoIterator<Item = Html>) -> Html {
    Html(parts.into_iter().map(|part| part.0).collect::<Vec<_>>().join(" "))
}

pub fn paragraph(words: &str) -> Html {
    Html(format!("<p>{}</p>", text(words)))
}

/// A sentence of the server's, with its instants made readable.
pub fn prose(words: &str) -> Html {
    let mut out = String::new();
    for (i, word) in words.split(' ').enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let end = word.trim_end_matches(['.', ',', ':', ';', ')']);
        let is_instant = end.len() == 20 && end.ends_with('Z') && end.as_bytes()[10] == b'T' && end.is_ascii();
        if is_instant {
            let shown = format!("{} {} UTC", &end[..10], &end[11..16]);
            out.push_str(&format!(
                "<time datetime=\"{}\">{}</time>{}",
                text(end),
                text(&shown),
                text(&word[end.len()..])
            ));
        } else {
            out.push_str(&text(word).0);
        }
    }
    Html(out)
}

/// A square code with words beside it.
pub fn scanned(square: Html, words: impl IntoIterator<Item = Html>) -> Html {
    let words: String = words.into_iter().map(|part| part.0).collect();
    Html(format!("<div class=\"scan\">{square}<div>{words}</div></div>"))
}

/// One thing of a list that has much to say.
pub fn entry(parts: impl IntoIterator<Item = Html>) -> Html {
    let body: String = parts.into_iter().map(|part| part.0).collect();
    Html(format!("<div class=\"entry\">{body}</div>"))
}

/// A part within a part.
pub fn titled(title: &str, body: &Html) -> Html {
    Html(format!("<h3>{}</h3>{body}", text(title)))
}

/// One below the other.
pub fn stacked(parts: impl IntoIterator<Item = Html>) -> Html {
    Html(parts.into_iter().map(|part| part.0).collect())
}

pub fn note(words: &str) -> Html {
    Html(format!("<p class=\"quiet\">{}</p>", text(words)))
}

/// Words of a program, as they are.
pub fn verbatim(words: &str) -> Html {
    Html(format!("<pre tabindex=\"0\">{}</pre>", text(words)))
}

pub fn list(items: impl IntoIterator<Item = Html>) -> Html {
    let items: String = items.into_iter().map(|item| format!("<li>{item}</li>")).collect();
    Html(format!("<ul>{items}</ul>"))
}

/// A part of a page with a heading of its own.
pub fn section(title: &str, parts: impl IntoIterator<Item = Html>) -> Html {
    let id: String = title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let (id, title) = (text(&id), text(title));
    let body: String = parts.into_iter().map(|part| part.0).collect();
    Html(format!(
        "<section class=\"card\" aria-labelledby=\"part-{id}\"><h2 id=\"part-{id}\">{title}</h2>{body}</section>"
    ))
}

/// Sections side by side where there is room.
pub fn side_by_side(parts: impl IntoIterator<Item = Html>) -> Html {
    let body: String = parts.into_iter().map(|part| part.0).collect();
    Html(format!("<div class=\"beside\">{body}</div>"))
}

/// More that is opened when it is wanted.
pub fn folded(title: &str, parts: impl IntoIterator<Item = Html>) -> Html {
    let body: String = parts.into_iter().map(|part| part.0).collect();
    Html(format!("<details class=\"card\"><summary>{}</summary>{body}</details>", text(title)))
}

/// One number that answers a question, with the page that says more.
pub fn tile(href: Option<&str>, count: &str, name: &str, under: &Html) -> Html {
    let inner = format!(
        "<span class=\"count\">{}</span><span class=\"name\">{}</span><span class=\"under\">{under}</span>",
        text(count),
        text(name)
    );
    match href {
        Some(href) => Html(format!("<li><a class=\"tile\" href=\"{}\">{inner}</a></li>", text(href))),
        None => Html(format!("<li><div class=\"tile\">{inner}</div></li>")),
    }
}

pub fn tiles(parts: impl IntoIterator<Item = Html>) -> Html {
    let body: String = parts.into_iter().map(|part| part.0).collect();
    Html(format!("<ul class=\"tiles\">{body}</ul>"))
}

/// A part that asks for itself again every so many seconds while the page is open, where there is a script; else it is as fresh as
/// the page.
pub fn renewed(href: &str, seconds: u32, inner: &Html) -> Html {
    Html(format!("<div hx-get=\"{}\" hx-trigger=\"every {seconds}s\" hx-swap=\"outerHTML\">{inner}</div>", text(href)))
}

/// A part that others ask for by its id; what changes in it is said.
pub fn marked(id: &'static str, inner: &Html) -> Html {
    Html(format!("<div id=\"{id}\" aria-live=\"polite\">{inner}</div>"))
}

/// An instant: how long ago for the eye, exactly for who asks.
pub fn when(at: Timestamp, now: Timestamp) -> Html {
    let exact = text(&at.to_string()).0;
    Html(format!("<time datetime=\"{exact}\" title=\"{exact}\">{}</time>", text(&ago(at, now))))
}

/// As [`when`], or the words for never.
pub fn when_or(at: Option<Timestamp>, now: Timestamp, never: &str) -> Html {
    at.map_or_else(|| quiet(never), |at| when(at, now))
}

/// What happened, line by line: when, and what.
pub fn story(lines: impl IntoIterator<Item = (Html, Html)>) -> Html {
    let lines: String = lines.into_iter().map(|(at, what)| format!("<li>{at}<span>{what}</span></li>")).collect();
    Html(format!("<ol class=\"story\">{lines}</ol>"))
}

/// To the second, for lists where the order matters.
pub fn exactly(at: Timestamp) -> Html {
    let exact = at.to_string();
    let shown = exact.replacen('T', " ", 1).replace('Z', "");
    Html(format!("<time datetime=\"{}\">{}</time>", text(&exact), text(&shown)))
}

/// An instant in the words of the school's clock.
pub fn moment_on_the_wall(at: Timestamp, shown: &str) -> Html {
    Html(format!("<time datetime=\"{}\">{}</time>", text(&at.to_string()), text(shown)))
}

/// The day, in UTC.
pub fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// "3 minutes ago", "in 12 days"; the day itself when it is far.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let apart = now.since(at);
    let span = apart.abs();
    let said = |n: i64, unit: &str| {
        let unit = if n == 1 { unit.to_owned() } else { format!("{unit}s") };
        if apart >= 0 { format!("{n} {unit} ago") } else { format!("in {n} {unit}") }
    };
    match span {
        s if s < MINUTE => String::from(if apart >= 0 { "just now" } else { "in a moment" }),
        s if s < HOUR => said(s / MINUTE, "minute"),
        s if s < 2 * DAY => said(s / HOUR, "hour"),
        s if s < 90 * DAY => said(s / DAY, "day"),
        _ => day(at),
    }
}

/// What a person says of a name that may be missing.
pub fn or_dash(value: Option<&str>) -> Html {
    value.map_or_else(|| Html(String::from("<span class=\"quiet\" aria-hidden=\"true\">–</span>")), text)
}

/// A part of an address, escaped for one.
pub fn segment(plain: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    plain.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let hostile = "<script>alert('x')</script>\" onload=\"";
        let table = Table::new("Devices").column(Column::text("Name")).rows([vec![text(hostile)]]);
        let all = [
            link(hostile, hostile),
            badge(Mood::Bad, hostile),
            section(hostile, [paragraph(hostile)]),
            table.html(),
            facts([(hostile, text(hostile))]),
            code(hostile),
            named(text(hostile), hostile),
            verbatim(hostile),
            tile(Some(hostile), hostile, hostile, &text(hostile)),
            folded(hostile, []),
            FormSpec::new("/x", "t")
                .field(Field::text("n", hostile).value(Some(hostile)).hint(hostile))
                .button(hostile)
                .html(),
        ];
        for html in all {
            assert!(!html.0.contains("<script") && !html.0.contains("\" onload"), "{html}");
        }
        assert_eq!(segment("a/b c\"ü"), "a%2Fb%20c%22%C3%BC");
    }

    #[test]
    fn times_as_people_say_them() {
        let now = Timestamp::from_secs(1_800_000_000);
        let table = [
            (-5, "just now"),
            (-60, "1 minute ago"),
            (-7_200, "2 hours ago"),
            (-172_800, "2 days ago"),
            (86_400 * 3, "in 3 days"),
        ];
        for (seconds, said) in table {
            assert_eq!(ago(now.plus(seconds * 1000), now), said);
        }
        assert_eq!(ago(now.plus(-400 * DAY), now), "2025-12-11");
        assert_eq!(
            (grouped(1_234_567), grouped(12), grouped(-1_000)),
            ("1,234,567".into(), "12".into(), "−1,000".into())
        );
    }
}
