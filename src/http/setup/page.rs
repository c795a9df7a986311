//! The pages of the set-up: the list of steps, and the one that is to be taken.

use super::look;
use crate::http::message::Response;
use crate::service::doctor::Finding;
use crate::service::first_steps::Steps;
use crate::service::tls_choice::{self, Chosen};
use crate::service::{Context, Error, serving};
use askama::Template;

/// One step, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    School,
    Tls,
    Admin,
    Code,
    Push,
    Test,
    Done,
}

const ALL: [(Step, &str, &str); 7] = [
    (Step::School, "school", "The school"),
    (Step::Tls, "tls", "TLS certificate"),
    (Step::Admin, "admin", "Who runs it"),
    (Step::Code, "code", "Recovery code"),
    (Step::Push, "push", "Push certificate"),
    (Step::Test, "test", "Trial with a simulated device"),
    (Step::Done, "done", "Done"),
];

impl Step {
    pub fn parse(word: &str) -> Option<Step> {
        ALL.iter().find(|(_, name, _)| *name == word).map(|(step, ..)| *step)
    }

    fn is_taken(self, steps: &Steps) -> bool {
        match self {
            Step::School => steps.organization.is_some(),
            Step::Tls => steps.tls_decided,
            Step::Admin => steps.admin,
            Step::Code => steps.code_confirmed,
            Step::Push => steps.push_topic.is_some(),
            Step::Test => steps.tested,
            Step::Done => steps.done,
        }
    }

    /// The first that has not been taken.
    pub fn next(steps: &Steps) -> Step {
        ALL.iter().map(|(step, ..)| *step).find(|step| !step.is_taken(steps)).unwrap_or(Step::Done)
    }
}

/// What is said above the step.
#[derive(Default)]
pub struct Note {
    wrong: Option<String>,
    said: Option<String>,
    findings: Vec<Finding>,
}

impl Note {
    pub fn wrong(words: &str) -> Note {
        Note { wrong: Some(words.to_owned()), ..Note::default() }
    }

    pub fn said(words: &str) -> Note {
        Note { said: Some(words.to_owned()), ..Note::default() }
    }

    pub fn findings(findings: Vec<Finding>) -> Note {
        Note { findings, ..Note::default() }
    }
}

struct Frame {
    school: String,
    style: String,
    skip: &'static str,
    foot: &'static str,
}

fn frame(school: Option<&str>) -> Frame {
    Frame {
        school: school.unwrap_or("Cordon").to_owned(),
        style: look::STYLE_PATH.clone(),
        skip: "To the content",
        foot: "Cordon",
    }
}

struct Line {
    word: &'static str,
    title: &'static str,
    taken: bool,
    here: bool,
}

#[derive(Template)]
#[template(path = "setup/step.html")]
struct Page<'a> {
    frame: Frame,
    steps: &'a Steps,
    step: Step,
    lines: Vec<Line>,
    form: &'a str,
    /// A code that was shown and not confirmed.
    code: Option<String>,
    note: Note,
    chosen: Chosen,
    /// What is wrong with the certificate that should be served.
    fault: Option<String>,
    people: String,
}

#[derive(Template)]
#[template(path = "setup/words.html")]
struct Words {
    frame: Frame,
    title: &'static str,
    words: Vec<&'static str>,
    command: Option<&'static str>,
    link: Option<(&'static str, &'static str)>,
}

pub fn step(
    cx: &Context,
    steps: &Steps,
    step: Step,
    form: &str,
    code: Option<String>,
    note: Option<Note>,
) -> Result<Response, Error> {
    let line = |(one, word, title): &(Step, &'static str, &'static str)| Line {
        word,
        title,
        taken: one.is_taken(steps),
        here: *one == step,
    };
    let chosen = tls_choice::find(cx)?;
    let fault = serving::find_fault(cx)?;
    let note = note.unwrap_or_default();
    let status = if note.wrong.is_some() { 400 } else { 200 };
    let page = Page {
        frame: frame(steps.organization.as_deref()),
        steps,
        step,
        lines: ALL.iter().map(line).collect(),
        form,
        code: code.filter(|_| step == Step::Code),
        note,
        chosen,
        fault,
        people: cx.urls().people,
    };
    Ok(look::page(status, page.render().map_err(Error::internal)?))
}

fn words(
    status: u16,
    title: &'static str,
    words: Vec<&'static str>,
    command: Option<&'static str>,
    link: Option<(&'static str, &'static str)>,
) -> Response {
    let page = Words { frame: frame(None), title, words, command, link };
    match page.render() {
        Ok(html) => look::page(status, html),
        Err(_) => Response::text(status, title),
    }
}

/// While nothing is set up, to everybody without the link.
pub fn closed() -> Response {
    words(
        503,
        "This server is not set up yet",
        vec![
            "Whoever runs it opens the link that was printed when it started. Another one is made on the server itself with",
        ],
        Some("cordon setup-link"),
        None,
    )
}

/// A link that was opened already, or never was one.
pub fn link_over() -> Response {
    words(
        403,
        "This link is not in force",
        vec![
            "A set-up link opens once, and lasts a day in the browser that opened it. Nothing is lost: make a new one on the server and go on where you were.",
        ],
        Some("cordon setup-link"),
        None,
    )
}

/// The end.
pub fn finished(_: &Context) -> Response {
    words(
        200,
        "The school is set up",
        vec![
            "Log in with the name and the password that you chose. Next: enrol the first device.",
            "Keep the recovery code on paper, and a backup on another machine.",
        ],
        None,
        Some(("/console", "Log in")),
    )
}
