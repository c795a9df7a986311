//! What ends when: one list, who renews each thing, and the secret address of the calendar.

use super::form::Form;
use super::frame::{Area, Page};
use super::home::until;
use super::parts::{
    Html, Mood, Table, badge, code, link, list, named, note, paragraph, post_button, prose, row, section, stacked, text,
};
use super::{Answer, Outcome, Visit, upkeep};
use crate::service::actor::Permission;
use crate::service::expiry::{self, Entry, Renewal};

const PATH: &str = "/console/expiry";

pub fn show(v: &Visit<'_>) -> Outcome {
    let (w, u) = (v.words, v.words.upkeep());
    let entries = expiry::list(v.cx, &v.actor)?;
    let line = |one: &Entry| {
        let who = match one.renewal {
            Renewal::Alone => badge(Mood::Good, u.by_itself),
            Renewal::Begun => badge(Mood::Quiet, u.when_begun),
            Renewal::Person => badge(Mood::Busy, u.by_person),
        };
        vec![
            named(text(&one.title()), &super::parts::day(one.not_after)),
            until(v, one.not_after),
            who,
            prose(&one.what),
        ]
    };
    let table = Table::new(u.expiry)
        .columns([w.what, w.ends, w.standing, u.next_step])
        .rows(entries.iter().map(line))
        .empty(u.expiry_none);
    let mut page = page(v).lead(u.expiry_lead).with(section(u.expiry, [table.html(), note(u.not_held)]));
    if v.may(Permission::Administer) {
        let buttons = row([
            post_button("/console/expiry/feed", &v.token, u.feed_new, ""),
            post_button("/console/expiry/feed-end", &v.token, u.feed_end, ""),
        ]);
        page = page.with(section(u.feed, [note(u.feed_hint), buttons.into_buttons()]));
        let told = [link("/console/mail", u.told_mail), link("/console/webhooks", u.told_hooks)];
        page = page.with(section(u.told_how, [list(told)]));
    }
    Ok(page.into())
}

fn page(v: &Visit<'_>) -> Page {
    let u = v.words.upkeep();
    Page::new(Area::Upkeep, u.expiry).under(upkeep::PATH, u.nav)
}

pub fn act(v: &Visit<'_>, verb: &str, _: &Form) -> Outcome {
    let u = v.words.upkeep();
    match verb {
        "feed" => {
            let address = expiry::open_feed(v.cx, &v.actor)?;
            let shown: Html = stacked([paragraph(u.feed_shown), code(&address).into_paragraph()]);
            Ok(page(v).under(PATH, u.expiry).with(section(v.words.shown_once, [shown])).into())
        }
        "feed-end" => {
            expiry::close_feed(v.cx, &v.actor)?;
            Ok(Answer::To(format!("{PATH}?said=done")))
        }
        _ => Err(super::nothing_here(v)),
    }
}
