//! The doctor: examines the server in the background, shows how far it is, and what each phase means with the next step.

use super::frame::{Area, Page};
use super::parts::{
    Html, Mood, badge, entry, note, paragraph, post_button, prose, renewed, row, section, text, titled, when,
};
use super::{Answer, Outcome, Visit, plots, upkeep};
use crate::service::actor::Permission;
use crate::service::doctor::rounds::{self, Round};
use crate::service::doctor::{Finding, Verdict};

const PATH: &str = "/console/doctor";

pub fn show(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Administer)?;
    let u = v.words.upkeep();
    let last = rounds::last(v.cx, &v.actor)?;
    let page = Page::new(Area::Upkeep, u.doctor).under(upkeep::PATH, u.nav).lead(u.doctor_lead);
    let words = if last.is_some() { u.doctor_again } else { u.doctor_begin };
    Ok(page.action(post_button(PATH, &v.token, words, "")).with(state(v, last.as_ref())).into())
}

pub fn begin(v: &Visit<'_>) -> Outcome {
    rounds::ask(v.cx, &v.actor)?;
    Ok(Answer::To(String::from(PATH)))
}

/// Only the part that renews itself.
pub fn now(v: &Visit<'_>) -> Outcome {
    Ok(Answer::Piece(state(v, rounds::last(v.cx, &v.actor)?.as_ref())))
}

fn state(v: &Visit<'_>, last: Option<&Round>) -> Html {
    let u = v.words.upkeep();
    let Some(round) = last else { return section(u.doctor_found, [note(u.doctor_never)]) };
    let running = round.ended_at.is_none();
    let mut parts = Vec::new();
    if running {
        let words = if round.done == 0 { u.doctor_waits } else { u.doctor_running };
        let said = format!("{words} {} / {}", round.done, round.all);
        let (done, all) = (round.done as i64, round.all as i64);
        parts.extend([plots::progress(&said, done, all), paragraph(&said)]);
    } else {
        parts.push(
            row([verdict(v, round), text(u.doctor_at), when(round.ended_at.unwrap_or(round.asked_at), v.now)])
                .into_paragraph(),
        );
    }
    parts.extend(round.findings.iter().map(|one| finding(v, one)));
    let card = section(u.doctor_found, parts);
    if running { renewed("/console/doctor/now", 1, &card) } else { card }
}

fn verdict(v: &Visit<'_>, round: &Round) -> Html {
    let u = v.words.upkeep();
    let has = |verdict: Verdict| round.findings.iter().any(|one| one.verdict == verdict);
    if round.failed {
        badge(Mood::Bad, u.doctor_failed)
    } else if has(Verdict::Bad) {
        badge(Mood::Bad, u.doctor_bad)
    } else if has(Verdict::Warning) {
        badge(Mood::Warn, u.doctor_warned)
    } else {
        badge(Mood::Good, u.doctor_good)
    }
}

fn finding(v: &Visit<'_>, one: &Finding) -> Html {
    let u = v.words.upkeep();
    let mark = match one.verdict {
        Verdict::Good => badge(Mood::Good, u.good),
        Verdict::Warning => badge(Mood::Warn, u.warning),
        Verdict::Bad => badge(Mood::Bad, u.bad),
        Verdict::Skipped => badge(Mood::Quiet, u.skipped),
    };
    let said = row([mark, prose(&one.words)]).into_paragraph();
    let next = one.next.as_deref().map(|next| row([text(u.next_step), text(":"), prose(next)]).into_paragraph());
    entry([titled(phase(v, one.phase), &said), next.unwrap_or_default()])
}

fn phase(v: &Visit<'_>, word: &str) -> &'static str {
    let u = v.words.upkeep();
    match word {
        "database" => u.phase_database,
        "disk" => u.phase_disk,
        "backup" => u.phase_backup,
        "clock" => u.phase_clock,
        "permissions" => u.phase_permissions,
        "names" => u.phase_names,
        "ports" => u.phase_ports,
        "tls" => u.phase_tls,
        "certificates" => u.phase_certificates,
        "signing" => u.phase_signing,
        "stand-ins" => u.phase_stand_ins,
        "proxy" => u.phase_proxy,
        "push" => u.phase_push,
        "enrolment" => u.phase_enrolment,
        _ => u.phase_inside,
    }
}
