//! Tables that become cards on a small screen, and lists of facts.

use super::{Html, rendered};
use askama::Template;

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    class: &'static str,
    /// Where the table ordered by this column is, and how it is ordered now: `ascending`, `descending` or nothing.
    sort: Option<(String, &'static str)>,
}

impl Column {
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), class: "", sort: None }
    }

    pub fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), class: "figure", sort: None }
    }

    pub fn sorted(mut self, href: String, now: &'static str) -> Self {
        self.sort = Some((href, now));
        self
    }
}

/// A table with a caption for who cannot see it, words for when it is empty, and the way on.
#[derive(Template)]
#[template(path = "console/parts/table.html")]
pub struct Table {
    caption: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Html>>,
    empty: String,
    pages: Vec<(String, String)>,
}

impl Table {
    pub fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), columns: Vec::new(), rows: Vec::new(), empty: String::new(), pages: Vec::new() }
    }

    pub fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    pub fn columns<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.columns.extend(names.into_iter().map(Column::text));
        self
    }

    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<Html>>) -> Self {
        self.rows.extend(rows);
        self
    }

    pub fn empty(mut self, words: impl Into<String>) -> Self {
        self.empty = words.into();
        self
    }

    /// A way to another page of it.
    pub fn page(mut self, href: Option<String>, name: &str) -> Self {
        self.pages.extend(href.map(|href| (href, name.to_owned())));
        self
    }

    pub fn html(&self) -> Html {
        rendered(self)
    }
}

#[derive(Template)]
#[template(path = "console/parts/facts.html")]
struct Facts {
    pairs: Vec<(String, Html)>,
}

/// Names and what they stand for.
pub fn facts<'a>(pairs: impl IntoIterator<Item = (&'a str, Html)>) -> Html {
    rendered(&Facts { pairs: pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() })
}
