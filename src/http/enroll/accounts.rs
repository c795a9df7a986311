//! `/accounts`: a person of the school gives an account of their own a new password. They log in with their school name and password; the
//! pass for the next minutes rides in the page's form and in no cookie, so that nothing of it stays in the browser.

use super::pages::{Alert, Frame, alert, broken, frame, status};
use super::{Desk, form, look};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::http::message::{Request, Response};
use crate::http::origin::Origin;
use crate::service::accounts::AccountView;
use crate::service::{Context, Error, own_accounts};
use ::http::Method;
use askama::Template;

pub const PATH: &str = "/accounts";

/// Everything that this page says.
struct Words {
    title: &'static str,
    lead: &'static str,
    name: &'static str,
    password: &'static str,
    log_in: &'static str,
    yours: &'static str,
    none: &'static str,
    new_password: &'static str,
    again: &'static str,
    replace: &'static str,
    hint: &'static str,
    done: &'static str,
    on_its_way: &'static str,
}

const ENGLISH: Words = Words {
    title: "Your accounts",
    lead: "Has a password changed? Give it here, and your devices get it. Only that one account is set up anew; the others stay as they are.",
    name: "School name",
    password: "School password",
    log_in: "Log in",
    yours: "Accounts whose password can be changed here",
    none: "There is no account of yours whose password can be changed here. Ask whoever runs your school's device management.",
    new_password: "New password of this account",
    again: "The same again",
    replace: "Put it on my devices",
    hint: "It is sealed until your devices have it, and then forgotten here. Change it where the account lives first: this page does not.",
    done: "Done",
    on_its_way: "The new password is on its way to your devices. They get it as soon as they are online.",
};

struct Line {
    id: String,
    name: String,
    kind: String,
}

#[derive(Template)]
#[template(path = "enroll/accounts.html")]
struct Page {
    frame: Frame,
    w: &'static Words,
    form: String,
    alert: Option<Alert>,
    done: Option<String>,
    name: String,
    pass: Option<String>,
    lines: Vec<Line>,
}

/// What the page shows beside what it always shows.
#[derive(Default)]
struct Shown {
    wrong: Option<Error>,
    done: Option<String>,
    name: String,
    /// Set for somebody who is logged in.
    pass: Option<String>,
}

pub fn handle(cx: &Context, desk: &Desk, request: &Request, from: &Origin) -> Response {
    match request.method {
        Method::GET | Method::HEAD => page(cx, desk, request, Shown::default()),
        Method::POST => act(cx, desk, request, from),
        _ => super::not_so("GET, POST"),
    }
}

fn act(cx: &Context, desk: &Desk, request: &Request, from: &Origin) -> Response {
    let fields = form::read(&request.body.bytes);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let text = |name: &str| field(name).map(str::trim).filter(|value| !value.is_empty());
    let name = text("name").unwrap_or_default().to_owned();
    if !form::is_ours(desk, request, text("form")) {
        let wrong = Some(Error::invalid(Text::PageTooOld));
        return page(cx, desk, request, Shown { wrong, name, ..Shown::default() });
    }
    let Some(pass) = text("pass") else {
        let entered = match (text("name"), field("password").filter(|value| !value.is_empty())) {
            (Some(name), Some(password)) => own_accounts::enter(cx, name, password, from.address()),
            _ => Err(Error::invalid(Text::NothingToEnterWith)),
        };
        return match entered {
            Ok(pass) => page(cx, desk, request, Shown { pass: Some(pass.expose().clone()), ..Shown::default() }),
            Err(wrong) => page(cx, desk, request, Shown { wrong: Some(wrong), name, ..Shown::default() }),
        };
    };
    let pass = Some(pass.to_owned());
    match change(cx, pass.as_deref().unwrap_or_default(), &field, from) {
        Ok(view) => page(cx, desk, request, Shown { pass, done: Some(view.profile.name), ..Shown::default() }),
        Err(wrong) => page(cx, desk, request, Shown { pass, wrong: Some(wrong), ..Shown::default() }),
    }
}

fn change<'a>(
    cx: &Context,
    pass: &str,
    field: &dyn Fn(&str) -> Option<&'a str>,
    from: &Origin,
) -> Result<AccountView, Error> {
    let given = field("new").unwrap_or_default();
    if Some(given) != field("again") {
        return Err(Error::invalid(crate::base::texts::Appliance::PasswordsDiffer.into()));
    }
    let account = field("account").unwrap_or_default();
    own_accounts::change(cx, pass, account, Secret::new(given.to_owned()), from.address())
}

fn page(cx: &Context, desk: &Desk, request: &Request, shown: Shown) -> Response {
    let made = || -> Result<Response, Error> {
        let Shown { mut wrong, done, name, mut pass } = shown;
        let lines = match pass.as_deref().map(|pass| own_accounts::list(cx, pass)) {
            Some(Ok((_, all))) => all
                .into_iter()
                .map(|one| Line { id: one.row.public_id, name: one.profile.name, kind: one.row.kind })
                .collect(),
            Some(Err(over)) => {
                (wrong, pass) = (Some(wrong.unwrap_or(over)), None);
                Vec::new()
            }
            None => Vec::new(),
        };
        let bound = form::bind(desk, request, cx.random_bytes::<16>());
        let code = wrong.as_ref().map_or(200, status);
        let wait = match wrong.as_ref().map(|wrong| &wrong.public) {
            Some(Text::TooManyTries { seconds }) => Some(seconds.to_string()),
            _ => None,
        };
        let alert = wrong.as_ref().map(|wrong| alert(request, wrong));
        let page = Page { frame: frame(cx)?, w: &ENGLISH, form: bound.token, alert, done, name, pass, lines };
        let mut response = look::page(code, page.render().map_err(Error::internal)?);
        response.headers.extend(bound.cookie.map(|cookie| ("set-cookie", cookie)));
        response.headers.extend(wait.map(|seconds| ("retry-after", seconds)));
        Ok(response)
    };
    made().unwrap_or_else(|e| broken(request, e))
}
