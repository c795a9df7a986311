//! QR codes as SVG, drawn as one path: small, sharp on paper, and without a style that a policy would have to allow.

use qrcode::{Color, EcLevel, QrCode};

/// The quiet zone that readers need, in modules.
const QUIET: usize = 4;

/// The `<svg>` element for `text`; `label` is what a screen reader says. `None` for what no code can hold (more than some 2,300 bytes).
pub fn svg(text: &str, label: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let side = width + 2 * QUIET;
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
            if run > 0 {
                path.push_str(&format!("M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET));
            }
            x += run.max(1);
        }
    }
    let label = label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    // Dark on light also where the page is dark: many readers know no other.
    Some(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_whole_and_quiet_around() {
        let drawn = svg("https://mdm.hill.example/enroll?code=k7m2-p9xw-4htz", "Code \"<A>\"").unwrap();
        assert!(drawn.contains("aria-label=\"Code &quot;&lt;A>&quot;\""));
        // The finder pattern's upper edge: seven modules from the end of the quiet zone.
        assert!(drawn.contains("d=\"M4 4h7v1h-7z"), "{drawn}");
        assert!(!drawn.contains("style="));
        assert!(svg(&"x".repeat(4_000), "").is_none());
    }
}
