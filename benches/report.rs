//! The table that the benchmark prints: each figure with its goal, and beside it what the machine gives without Cordon.

use serde_json::{Value, json};

/// What is good enough, in the unit of its line.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Shown to understand the others.
    None,
}

/// One measured thing.
#[derive(Debug)]
pub struct Line {
    pub what: String,
    pub unit: &'static str,
    pub figure: f64,
    pub goal: Goal,
    /// The limit that the same machine showed in the same run, and what was measured for it.
    pub raw: Option<(&'static str, f64)>,
}

impl Line {
    fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtLeast(goal) => Some(self.figure >= goal),
            Goal::AtMost(goal) => Some(self.figure <= goal),
            Goal::None => None,
        }
    }

    fn to_json(&self) -> Value {
        let goal = match self.goal {
            Goal::AtLeast(goal) | Goal::AtMost(goal) => Some(goal),
            Goal::None => None,
        };
        let raw =
            self.raw.map(|(what, figure)| json!({ "what": what, "figure": figure, "ratio": self.figure / figure }));
        json!({ "what": self.what, "unit": self.unit, "figure": self.figure, "goal": goal, "met": self.is_met(), "raw": raw })
    }

    fn cells(&self) -> [String; 5] {
        let goal = match self.goal {
            Goal::AtLeast(goal) => format!("≥ {}", number(goal)),
            Goal::AtMost(goal) => format!("≤ {}", number(goal)),
            Goal::None => String::new(),
        };
        let verdict = match self.is_met() {
            Some(true) => " ok",
            Some(false) => " MISSED",
            None => "",
        };
        let raw = self.raw.map_or_else(String::new, |(what, figure)| format!("{} {what}", number(figure)));
        let ratio = self.raw.map_or_else(String::new, |(_, figure)| format!("{:.2}", self.figure / figure));
        [self.what.clone(), format!("{} {}", number(self.figure), self.unit), goal + verdict, raw, ratio]
    }
}

/// Prints all lines on stdout: aligned for people, one JSON array for scripts.
pub fn print(lines: &[Line], as_json: bool) {
    if as_json {
        println!("{}", Value::from_iter(lines.iter().map(Line::to_json)));
        return;
    }
    let mut rows = vec![["what", "figure", "goal", "limit of the machine", "ratio"].map(str::to_owned)];
    rows.extend(lines.iter().map(Line::cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in &rows {
        let padded: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    }
}

/// Whole above 100, one digit below; thousands apart.
fn number(n: f64) -> String {
    if n < 100.0 {
        return format!("{n:.1}");
    }
    let digits = format!("{n:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
