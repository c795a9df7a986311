//! Keys and authorities: how the data key stands and its replacement, the machine's own key, and the school's own certificates.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    Field, FormSpec, Html, Mood, Table, badge, code, facts, folded, list, note, number, paragraph, post_button, row,
    section, text, when_or,
};
use super::{Answer, Outcome, Visit, home};
use crate::base::secret::Secret;
use crate::service::actor::Permission;
use crate::service::replacing;
use crate::service::rotating::{self, Code};
use crate::store::{Purpose, Standing};

const PATH: &str = "/console/keys";
/// Devices that are named.
const NAMED: usize = 50;

pub fn show(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let (w, s) = (v.words, &v.words.serving);
    let keys = rotating::show(v.cx, &v.actor)?;
    let about = facts([
        (s.keys_in_force, number(i64::from(keys.key_id))),
        (s.keys_older, number(i64::try_from(keys.older).unwrap_or(i64::MAX))),
        (s.keys_left, text(&format!("{} / {}", keys.left, keys.all))),
        (s.keys_code, when_or(keys.recovery_code_made_at, v.now, w.never)),
    ]);
    let has_code = keys.recovery_code_made_at.is_some();
    let choices = if has_code {
        vec![("keep", s.keys_code_keep), ("new", s.keys_code_new)]
    } else {
        vec![("new", s.keys_code_new), ("none", s.keys_code_none)]
    };
    let password =
        || Field::password("password", w.own_password, "current-password").hint(w.own_password_hint).required();
    let mut rotate = FormSpec::new("/console/keys/rotate", &v.token)
        .field(Field::choice("what", s.keys_code_what, choices).value(v.typed("what")));
    if has_code {
        rotate = rotate.field(Field::password("code", s.keys_code_typed, "off"));
    }
    let rotate = rotate.field(password()).button(s.keys_rotate);
    let machine = FormSpec::new("/console/keys/machine", &v.token).field(password()).button(s.keys_machine);
    let page = Page::new(Area::Keys, s.nav_keys).lead(s.keys_lead).with(section(s.keys_data, [about]));
    let page = page
        .with(folded(s.keys_rotate, [note(s.keys_rotate_does), rotate.html()]))
        .with(folded(s.keys_machine, [note(s.keys_machine_does), machine.html()]));
    authorities(v, page)
}

fn purpose(v: &Visit<'_>, purpose: Purpose) -> &'static str {
    let s = &v.words.serving;
    match purpose {
        Purpose::Root => s.authority_root,
        Purpose::Issuing => s.authority_issuing,
        Purpose::Tls => s.authority_tls,
        Purpose::Signer => s.authority_signer,
        Purpose::Identity | Purpose::Account => s.authority_identity,
        Purpose::Push => s.authority_push,
        Purpose::Escrow => s.authority_escrow,
    }
}

/// The school's own certificates, what is to come, and who lacks it.
fn authorities(v: &Visit<'_>, page: Page) -> Outcome {
    let (w, s) = (v.words, &v.words.serving);
    let status = replacing::status(v.cx, &v.actor)?;
    let coming = status.authorities.iter().any(|(_, standing, _)| *standing == Standing::Next);
    let rows = status.authorities.iter().map(|(kind, standing, certificate)| {
        let mark = match standing {
            Standing::Next => badge(Mood::Busy, s.authority_next),
            _ => badge(Mood::Good, w.secret_confirmed),
        };
        let mark = row([text(purpose(v, *kind)), mark]);
        vec![mark, code(&hex::encode(certificate.fingerprint())[..16]), home::until(v, certificate.not_after())]
    });
    let table = Table::new(s.authorities).columns([s.authorities, w.number, w.ends]).rows(rows);
    let missing = if status.missing.is_empty() {
        note(s.authority_none_missing)
    } else {
        let names = status.missing.iter().take(NAMED).map(|name| code(name));
        super::parts::stacked([paragraph(&format!("{}: {}", s.authority_devices, status.missing.len())), list(names)])
    };
    let button = |verb: &str, words: &str| post_button(&format!("{PATH}/{verb}"), &v.token, words, "");
    let root = if coming {
        vec![button("root-finish", s.root_finish), button("root-cancel", s.root_cancel)]
    } else {
        vec![button("root", s.root_replace)]
    };
    let below =
        [button("issuing", s.issuing_replace), button("signer", s.signer_replace), button("tls", s.tls_replace)];
    Ok(page
        .with(section(s.authorities, [table.html(), missing]))
        .with(section(s.root_replace, [note(s.root_replace_does), row(root).into_buttons()]))
        .with(section(s.below_the_root, [note(s.below_the_root_does), row(below).into_buttons()]))
        .into())
}

pub fn act(v: &Visit<'_>, verb: &str, form: &Form) -> Outcome {
    let (cx, actor) = (v.cx, &v.actor);
    let password = form.secret("password");
    let password = password.as_ref().map(|typed| typed.expose().as_str());
    match verb {
        "rotate" => {
            let code = match form.text("what") {
                "keep" => Code::Keep(form.secret("code").unwrap_or_else(|| Secret::new(String::new()))),
                "none" => Code::None,
                _ => Code::New,
            };
            if let Some(made) = rotating::begin(cx, actor, password, &code)? {
                return Ok(shown(v, made.expose()));
            }
        }
        "machine" => rotating::replace_machine_key(cx, actor, password)?,
        "root" => replacing::begin(cx, actor)?,
        "root-finish" => replacing::finish(cx, actor)?,
        "root-cancel" => replacing::cancel(cx, actor)?,
        "issuing" => replacing::replace_issuing(cx, actor)?,
        "signer" => replacing::replace_signer(cx, actor)?,
        "tls" => drop(replacing::renew_tls(cx, actor)?),
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{PATH}?said=done")))
}

/// A new recovery code, this once.
fn shown(v: &Visit<'_>, made: &str) -> Answer {
    let w = v.words;
    let parts: [Html; 2] = [code(made).into_paragraph(), note(w.recovery_shown)];
    Page::new(Area::Keys, w.recovery).under(PATH, w.serving.nav_keys).with(section(w.shown_once, parts)).into()
}
