//! Forms: every field with a visible label, what belongs to it said by reference, and the session's token inside.

use super::{Html, rendered, text};
use askama::Template;

/// How a field is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Line(&'static str),
    Area,
    Choice(Vec<(String, String)>),
    Tick,
    File,
    /// Fields that are opened when they are wanted begin and end here.
    Open(bool),
    Close,
}

/// One field.
#[derive(Debug, Clone)]
pub struct Field {
    name: String,
    label: String,
    kind: Kind,
    value: String,
    hint: String,
    /// Why what was typed could not be taken.
    wrong: String,
    required: bool,
    autocomplete: &'static str,
    max: u32,
    rows: u32,
}

impl Field {
    fn new(name: &str, label: &str, kind: Kind) -> Self {
        let (value, hint) = (String::new(), String::new());
        Self {
            name: name.into(),
            label: label.into(),
            kind,
            value,
            hint,
            wrong: String::new(),
            required: false,
            autocomplete: "off",
            max: 500,
            rows: 6,
        }
    }

    pub fn text(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Line("text"))
    }

    /// A day and a time, as `2026-11-23T08:00`; browsers show a calendar.
    pub fn moment(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Line("datetime-local"))
    }

    pub fn number(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Line("number"))
    }

    pub fn search(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Line("search"))
    }

    /// Never shown again, whatever was typed.
    pub fn password(name: &str, label: &str, autocomplete: &'static str) -> Self {
        Self { autocomplete, max: 128, ..Self::new(name, label, Kind::Line("password")) }
    }

    pub fn area(name: &str, label: &str) -> Self {
        Self { max: 1_000_000, ..Self::new(name, label, Kind::Area) }
    }

    pub fn tick(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Tick)
    }

    pub fn file(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::File)
    }

    /// Value and words of each.
    pub fn choice<'a>(name: &str, label: &str, options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let options = options.into_iter().map(|(value, words)| (value.to_owned(), words.to_owned())).collect();
        Self::new(name, label, Kind::Choice(options))
    }

    pub fn value(mut self, value: Option<&str>) -> Self {
        self.value = value.unwrap_or_default().to_owned();
        self
    }

    /// An area of a few lines.
    pub fn low(mut self) -> Self {
        self.rows = 3;
        self
    }

    pub fn hint(mut self, words: &str) -> Self {
        self.hint = words.to_owned();
        self
    }

    /// Says at the field why it could not be taken.
    pub fn wrong(mut self, words: Option<&str>) -> Self {
        self.wrong = words.unwrap_or_default().to_owned();
        self
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// A form of ours.
#[derive(Template)]
#[template(path = "console/parts/form.html")]
pub struct FormSpec {
    action: String,
    /// Begins the ids of its fields: a page may have several forms.
    mark: String,
    /// Empty for one that only asks (GET).
    token: String,
    hidden: Vec<(String, String)>,
    fields: Vec<Field>,
    buttons: Vec<(String, &'static str)>,
    multipart: bool,
    class: &'static str,
    /// Where to ask, while somebody types, what becomes of it, and which part of the page shows the answer.
    live: Option<(String, &'static str)>,
}

impl FormSpec {
    pub fn new(action: &str, token: &str) -> Self {
        Self {
            action: action.into(),
            mark: action.chars().filter(char::is_ascii_alphanumeric).collect(),
            token: token.into(),
            hidden: Vec::new(),
            fields: Vec::new(),
            buttons: Vec::new(),
            multipart: false,
            class: "",
            live: None,
        }
    }

    /// One that asks for a page: no token, the fields in the address.
    pub fn asking(action: &str) -> Self {
        Self { class: "asking", ..Self::new(action, "") }
    }

    /// In two columns where there is room.
    pub fn wide(mut self) -> Self {
        self.class = "wide";
        self
    }

    /// Three fields make a row.
    pub fn rows(mut self) -> Self {
        self.class = "asking rules";
        self
    }

    /// Shows in the part of this id what becomes of it while somebody types; without a script the button does.
    pub fn live(mut self, href: &str, target: &'static str) -> Self {
        self.live = Some((href.into(), target));
        self
    }

    pub fn hidden(mut self, name: &str, value: &str) -> Self {
        self.hidden.push((name.into(), value.into()));
        self
    }

    pub fn field(mut self, field: Field) -> Self {
        self.multipart |= field.kind == Kind::File;
        self.fields.push(field);
        self
    }

    /// The fields from here to [`FormSpec::unfold`] are opened when they are wanted.
    pub fn fold(mut self, title: &str, hint: &str, open: bool) -> Self {
        self.fields.push(Field::new("", title, Kind::Open(open)).hint(hint));
        self
    }

    pub fn unfold(mut self) -> Self {
        self.fields.push(Field::new("", "", Kind::Close));
        self
    }

    pub fn button(mut self, words: &str) -> Self {
        self.buttons.push((words.to_owned(), ""));
        self
    }

    /// For what cannot be taken back.
    pub fn danger(mut self, words: &str) -> Self {
        self.buttons.push((words.to_owned(), "danger"));
        self
    }

    pub fn html(&self) -> Html {
        rendered(self)
    }
}

/// A button that does one thing at once.
pub fn post_button(action: &str, token: &str, words: &str, about: &str) -> Html {
    let about = if about.is_empty() {
        Html::default()
    } else {
        Html(format!("<span class=\"unseen\"> {}</span>", text(about)))
    };
    Html(format!(
        "<form class=\"inline\" method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"form\" value=\"{}\"><button class=\"second\" type=\"submit\">{}{about}</button></form>",
        text(action),
        text(token),
        text(words)
    ))
}
