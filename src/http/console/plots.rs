//! Plots, drawn here as SVG: nothing runs in the browser, and the numbers stand beside them as a table for who cannot see them.

use super::parts::{Html, drawn, grouped, text};
use std::fmt::Write;

/// One bar: its name, and how much.
pub struct Bar {
    pub name: String,
    pub amount: i64,
}

/// Width of a plot in its own units; it scales with the page.
const WIDE: i64 = 600;

/// Upright bars from left to right, with the highest one's amount; `about` says what it is.
pub fn columns(about: &str, bars: &[Bar]) -> Html {
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    let count = i64::try_from(bars.len()).unwrap_or(1).max(1);
    let (height, floor) = (180, 150);
    let step = WIDE / count;
    let mut svg = begin(about, bars, height);
    for line in [0, 1] {
        let y = floor - line * 120;
        let _ = write!(svg, "<line class=\"grid\" x1=\"0\" y1=\"{y}\" x2=\"{WIDE}\" y2=\"{y}\"/>");
    }
    let _ = write!(svg, "<text class=\"scale\" x=\"0\" y=\"24\">{}</text>", grouped(most));
    for (i, bar) in bars.iter().enumerate() {
        let x = i64::try_from(i).unwrap_or(0) * step;
        let high = (bar.amount * 120 + most - 1) / most;
        let (left, wide) = (x + step / 8, step * 3 / 4);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{left}\" y=\"{}\" width=\"{wide}\" height=\"{high}\" rx=\"3\"><title>{}: {}</title></rect>",
            floor - high,
            text(&bar.name),
            grouped(bar.amount)
        );
        // Every other name where there are many.
        if bars.len() <= 8 || (bars.len() - 1 - i).is_multiple_of(2) {
            // And every fourth on a small screen.
            let class = if bars.len() > 8 && !(bars.len() - 1 - i).is_multiple_of(4) { "tick less" } else { "tick" };
            let _ = write!(
                svg,
                "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
                x + step / 2,
                floor + 20,
                text(&bar.name)
            );
        }
    }
    end(svg, about, bars)
}

/// Lying bars, one below the other, each with its name and amount.
pub fn rows(about: &str, bars: &[Bar]) -> Html {
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    let height = i64::try_from(bars.len()).unwrap_or(0) * 34 + 4;
    let mut svg = begin(about, bars, height);
    for (i, bar) in bars.iter().enumerate() {
        let y = i64::try_from(i).unwrap_or(0) * 34;
        let long = (bar.amount * 340 + most - 1) / most;
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"0\" y=\"{}\">{}</text><rect class=\"bar\" x=\"170\" y=\"{}\" width=\"{long}\" height=\"18\" rx=\"4\"/>\
             <text class=\"amount\" x=\"{}\" y=\"{}\">{}</text>",
            y + 20,
            text(&bar.name),
            y + 6,
            178 + long,
            y + 20,
            grouped(bar.amount)
        );
    }
    end(svg, about, bars)
}

fn begin(about: &str, bars: &[Bar], height: i64) -> String {
    let said: Vec<String> = bars.iter().map(|bar| format!("{}: {}", bar.name, bar.amount)).collect();
    format!(
        "<figure class=\"plot\"><svg role=\"img\" viewBox=\"0 0 {WIDE} {height}\" aria-label=\"{}\">",
        text(&format!("{about}. {}", said.join(", ")))
    )
}

fn end(mut svg: String, about: &str, bars: &[Bar]) -> Html {
    svg.push_str("</svg></figure>");
    if bars.is_empty() {
        return super::parts::note(about);
    }
    drawn(svg)
}

/// How much of something is done, as a bar of its own; the words stand beside it.
pub fn progress(about: &str, done: i64, of: i64) -> Html {
    drawn(format!("<progress max=\"{}\" value=\"{done}\" aria-label=\"{}\"></progress>", of.max(1), text(about)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_says_its_numbers_and_nothing_in_it_is_markup() {
        let bars = [Bar { name: "<b>Mo".into(), amount: 3 }, Bar { name: "Tu".into(), amount: 0 }];
        for svg in [columns("Seen", &bars), rows("Seen", &bars)] {
            let svg = svg.to_string();
            assert!(svg.contains("&lt;b&gt;Mo: 3, Tu: 0") && !svg.contains("<b>") && !svg.contains("style="), "{svg}");
        }
    }
}
