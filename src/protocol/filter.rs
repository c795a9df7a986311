//! Filters of smart groups: `platform = iPadOS and os_version < 17`, read, written back and applied, purely. Called by
//! `service::groups`; where the facts come from is decided there.
//!
//! `or` binds weaker than `and`, `not` strongest. A comparison with a fact that is not known is false, whatever it says.

use std::cmp::Ordering;
use std::fmt;

/// Longest filter, bytes; what people read is shorter.
const MAX_TEXT: usize = 1_000;
/// Comparisons in one filter, and nesting of its parentheses.
const MAX_TERMS: usize = 64;
const MAX_DEPTH: usize = 16;

/// What a filter may ask of a device.
pub const FIELDS: [&str; 10] = [
    "platform",
    "model",
    "model_name",
    "product_name",
    "name",
    "serial",
    "os_version",
    "build_version",
    "supervised",
    "lost",
];

/// How a fact is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::More),
    ("contains", Operator::Contains),
];

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    Compare { field: &'static str, operator: Operator, value: String },
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

/// Why a text is no filter, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFilter(String);

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`BadFilter`], naming the word that does not fit.
    pub fn parse(text: &str) -> Result<Filter, BadFilter> {
        if text.len() > MAX_TEXT {
            return Err(BadFilter(format!("has more than {MAX_TEXT} bytes")));
        }
        let words = words(text)?;
        let mut parser = Parser { words: &words, at: 0, terms: 0 };
        let filter = parser.either(0)?;
        match parser.words.get(parser.at) {
            None => Ok(filter),
            Some(word) => {
                Err(BadFilter(format!("“{}” is one word too many; join comparisons with and, or", word.text)))
            }
        }
    }

    /// Whether a device fits. `fact` gives what is known of it by field.
    pub fn fits(&self, fact: &dyn Fn(&str) -> Option<String>) -> bool {
        match self {
            Filter::Compare { field, operator, value } => {
                fact(field).is_some_and(|known| compare(field, &known, *operator, value))
            }
            Filter::Not(inner) => !inner.fits(fact),
            Filter::And(one, other) => one.fits(fact) && other.fits(fact),
            Filter::Or(one, other) => one.fits(fact) || other.fits(fact),
        }
    }
}

fn compare(field: &str, known: &str, operator: Operator, value: &str) -> bool {
    if operator == Operator::Contains {
        return known.to_lowercase().contains(&value.to_lowercase());
    }
    let order = if field.ends_with("version") && field != "build_version" {
        versions(known, value)
    } else {
        known.to_lowercase().cmp(&value.to_lowercase())
    };
    match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::AtMost => order != Ordering::Greater,
        Operator::More => order == Ordering::Greater,
        Operator::AtLeast => order != Ordering::Less,
        Operator::Contains => false,
    }
}

/// 17 is 17.0 and less than 17.0.1; what is no number counts as 0.
fn versions(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| text.split('.').map(|n| n.trim().parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    let (one, other) = (numbers(one), numbers(other));
    let at = |numbers: &Vec<u64>, i: usize| numbers.get(i).copied().unwrap_or(0);
    (0..one.len().max(other.len()))
        .map(|i| at(&one, i).cmp(&at(&other, i)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl fmt::Display for Filter {
    /// Reads back as the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::Compare { field, operator, value } => {
                let sign = OPERATORS.iter().find(|(_, known)| known == operator).map_or("=", |(sign, _)| sign);
                let bare = !value.is_empty()
                    && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ','))
                    && !["and", "or", "not", "contains"].iter().any(|word| value.eq_ignore_ascii_case(word));
                if bare {
                    write!(f, "{field} {sign} {value}")
                } else {
                    write!(f, "{field} {sign} \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
                }
            }
            Filter::Not(inner) => write!(f, "not ({inner})"),
            Filter::And(one, other) => write!(f, "({one}) and ({other})"),
            Filter::Or(one, other) => write!(f, "({one}) or ({other})"),
        }
    }
}

struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(keyword)
    }
}

fn words(text: &str) -> Result<Vec<Word>, BadFilter> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let mut word = String::from(c);
        match c {
            c if c.is_whitespace() => continue,
            '(' | ')' | '=' => {}
            '<' | '>' | '!' => {
                if letters.peek() == Some(&'=') {
                    letters.next();
                    word.push('=');
                }
            }
            '"' => {
                word.clear();
                loop {
                    match letters.next() {
                        None => return Err(BadFilter(String::from("a quotation mark is not closed"))),
                        Some('"') => break,
                        Some('\\') => word.extend(letters.next()),
                        Some(c) => word.push(c),
                    }
                }
                words.push(Word { text: word, quoted: true });
                continue;
            }
            _ => {
                while let Some(c) = letters.next_if(|c| !c.is_whitespace() && !"()=<>!\"".contains(*c)) {
                    word.push(c);
                }
            }
        }
        words.push(Word { text: word, quoted: false });
    }
    Ok(words)
}

struct Parser<'a> {
    words: &'a [Word],
    at: usize,
    terms: usize,
}

impl Parser<'_> {
    fn take(&mut self, keyword: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|word| word.is(keyword));
        self.at += usize::from(found);
        found
    }

    fn either(&mut self, depth: usize) -> Result<Filter, BadFilter> {
        let mut left = self.both(depth)?;
        while self.take("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both(depth)?));
        }
        Ok(left)
    }

    fn both(&mut self, depth: usize) -> Result<Filter, BadFilter> {
        let mut left = self.one(depth)?;
        while self.take("and") {
            left = Filter::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, BadFilter> {
        if depth > MAX_DEPTH {
            return Err(BadFilter(String::from("is nested too deeply")));
        }
        if self.take("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.either(depth + 1)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err(BadFilter(String::from("a parenthesis is not closed")))
            };
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(BadFilter(format!("has more than {MAX_TERMS} comparisons")));
        }
        let word = |at: usize| self.words.get(at);
        let field = word(self.at).ok_or_else(|| BadFilter(String::from("ends where a comparison should stand")))?;
        let known = FIELDS.into_iter().find(|known| field.is(known));
        let known = known.ok_or_else(|| {
            BadFilter(format!("“{}” is nothing to ask of a device; fields are {}", field.text, FIELDS.join(", ")))
        })?;
        let sign = word(self.at + 1).and_then(|word| OPERATORS.iter().find(|(sign, _)| word.is(sign)));
        let Some((_, operator)) = sign else {
            return Err(BadFilter(format!("after {known} there should be = != < <= > >= or contains")));
        };
        let value = word(self.at + 2).filter(|w| w.quoted || !["(", ")", "and", "or", "not"].iter().any(|k| w.is(k)));
        let Some(value) = value else {
            return Err(BadFilter(format!("a value is missing after {known}")));
        };
        let filter = Filter::Compare { field: known, operator: *operator, value: value.text.clone() };
        self.at += 3;
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipad(field: &str) -> Option<String> {
        let known = match field {
            "platform" => "iPadOS",
            "os_version" => "17.6.1",
            "name" => "Cart 3, iPad 7",
            "supervised" => "yes",
            _ => return None,
        };
        Some(known.to_owned())
    }

    #[test]
    fn what_people_write() {
        let table = [
            ("platform = iPadOS", true),
            ("PLATFORM=ipados", true),
            ("platform = iPadOS and os_version < 17", false),
            ("platform = iPadOS and os_version < 18", true),
            ("os_version >= 17.6.1 and os_version <= 17.6.1", true),
            ("os_version = 17.6", false),
            ("os_version > 17.6", true),
            ("os_version != 9.9", true),
            ("os_version < 100", true),
            ("platform = macOS or platform = iPadOS and supervised = no", false),
            ("(platform = macOS or platform = iPadOS) and supervised = yes", true),
            ("not platform = macOS and supervised = yes", true),
            ("not (platform = iPadOS or supervised = yes)", false),
            ("name contains \"cart 3\"", true),
            ("name = \"Cart 3, iPad 7\"", true),
            ("serial = X", false),
            ("serial != X", false),
            ("not serial = X", true),
        ];
        for (text, fits) in table {
            assert_eq!(Filter::parse(text).unwrap().fits(&ipad), fits, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let table = [
            ("", "ends where"),
            ("colour = red", "colour"),
            ("platform iPadOS", "after platform"),
            ("platform =", "value is missing"),
            ("platform = and", "value is missing"),
            ("platform = iPadOS macOS", "macOS"),
            ("(platform = iPadOS", "parenthesis"),
            ("platform = \"x", "quotation"),
            ("platform = iPadOS and", "ends where"),
        ];
        for (text, word) in table {
            let told = Filter::parse(text).unwrap_err().to_string();
            assert!(told.contains(word), "{text}: {told}");
        }
        assert!(Filter::parse(&"(".repeat(500)).is_err());
        assert!(Filter::parse(&"not ".repeat(240)).is_err());
        assert!(Filter::parse(&vec!["name=a"; 100].join(" or ")).is_err());
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let operators: Vec<Operator> = OPERATORS.iter().map(|(_, operator)| *operator).collect();
        let leaf = (0..FIELDS.len(), proptest::sample::select(operators), "[a-zA-Z0-9 .\"\\\\()=<>and]{0,8}")
            .prop_map(|(field, operator, value)| Filter::Compare { field: FIELDS[field], operator, value });
        leaf.prop_recursive(4, 12, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|f| Filter::Not(Box::new(f))),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::And(Box::new(a), Box::new(b))),
                (inner.clone(), inner).prop_map(|(a, b)| Filter::Or(Box::new(a), Box::new(b))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(filter in filters()) {
            let text = filter.to_string();
            prop_assume!(text.len() <= MAX_TEXT);
            prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
        }

        #[test]
        fn not_and_or_keep_to_logic(one in filters(), other in filters()) {
            let (a, b) = (one.fits(&ipad), other.fits(&ipad));
            let boxed = || (Box::new(one.clone()), Box::new(other.clone()));
            prop_assert_eq!(Filter::Not(Box::new(one.clone())).fits(&ipad), !a);
            let (l, r) = boxed();
            prop_assert_eq!(Filter::And(l, r).fits(&ipad), a && b);
            let (l, r) = boxed();
            prop_assert_eq!(Filter::Or(l, r).fits(&ipad), a || b);
        }

        #[test]
        fn nothing_makes_it_panic(text in "[a-z =<>!()\"\\\\]{0,80}") {
            let _ = Filter::parse(&text);
        }
    }
}
