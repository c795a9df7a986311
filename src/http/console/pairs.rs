//! Pairs: what there is, how far each device is with one, what happened, and the forms that make and change them.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, code, facts, folded, link, main_link, named, note, number,
    paragraph, post_button, quiet, row, section, text, when, when_or,
};
use super::{Answer, Outcome, Visit, marks, profiles, story};
use crate::protocol::gate::{OnLapse, Phase};
use crate::service::Error;
use crate::service::actor::Permission;
use crate::service::library::{self, AssignmentView};
use crate::service::pair_states::{self, GateView};
use crate::service::pairs::{self, Change, Half, PairView, Wish};
use crate::store::{PairLine, ProfileRow};

const PATH: &str = "/console/pairs";
/// Profiles that can be chosen from, and lines of a story.
const MOST: usize = 200;
const LINES: usize = 60;

fn path(id: &str) -> String {
    format!("{PATH}/{}", parts::segment(id))
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let (w, p) = (v.words, v.words.pairs());
    let found = pairs::list(v.cx, &v.actor)?;
    let line = |one: &PairView| {
        let phases = one.phases.iter().map(|(phase, n)| row([mark(v, phase), number(*n)]));
        vec![
            link(&path(&one.row.public_id), &one.row.name),
            profile(v, &one.restriction),
            profile(v, &one.capability),
            text(mode(v, one)),
            row(phases),
        ]
    };
    let table = Table::new(p.nav).columns([w.name, p.restriction, p.capability, p.mode, p.state]);
    let mut page = Page::new(Area::Pairs, p.nav).lead(p.lead);
    if v.may(Permission::Enroll) {
        page = page.action(main_link("/console/pairs/new", p.new));
    }
    Ok(page.with(table.rows(found.iter().map(line)).empty(p.none).html()).into())
}

fn mode(v: &Visit<'_>, one: &PairView) -> &'static str {
    if one.row.is_gated() { v.words.pairs().gated } else { v.words.pairs().together }
}

fn profile(v: &Visit<'_>, one: &ProfileRow) -> Html {
    match one.removed_at {
        None => link(&format!("/console/profiles/{}", parts::segment(&one.public_id)), &one.name),
        Some(_) => named(text(&one.name), v.words.pairs().removed),
    }
}

fn mark(v: &Visit<'_>, phase: &str) -> Html {
    let mood = match phase {
        "open" => Mood::Good,
        "grace" | "waiting" => Mood::Busy,
        _ => Mood::Warn,
    };
    badge(mood, v.words.pairs().phase(phase))
}

fn lapses(v: &Visit<'_>) -> [(&'static str, &'static str); 3] {
    let p = v.words.pairs();
    [
        (OnLapse::Withdraw.as_str(), p.withdraw),
        (OnLapse::AfterGrace.as_str(), p.after_grace),
        (OnLapse::Keep.as_str(), p.keep),
    ]
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let (w, p) = (v.words, v.words.pairs());
    let all = library::list(v.cx, &v.actor, 0, MOST)?;
    let page = Page::new(Area::Pairs, p.new).under(PATH, p.nav).lead(p.lead);
    if all.len() < 2 {
        return Ok(page.with(note(p.too_few)).into());
    }
    let names: Vec<(&str, &str)> = all.iter().map(|one| (one.row.public_id.as_str(), one.row.name.as_str())).collect();
    let form = FormSpec::new("/console/pairs/new", &v.token)
        .field(Field::text("name", w.name).hint(p.name_hint).value(v.typed("name")).required())
        .field(Field::choice("restriction", p.restriction, names.clone()).value(v.typed("restriction")))
        .field(Field::choice("capability", p.capability, names).value(v.typed("capability")))
        .field(Field::choice("mode", p.mode, [("gated", p.gated), ("together", p.together)]).value(v.typed("mode")))
        .field(Field::text("until", p.until).hint(p.until_hint).value(v.typed("until").or(Some("passcode"))))
        .field(Field::choice("on_lapse", p.on_lapse, lapses(v)).value(v.typed("on_lapse")))
        .button(p.new);
    Ok(page.with(form.html()).into())
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let half = |name: &str| Half::Profile { profile: form.text(name).to_owned(), only: Vec::new() };
    let wish = Wish {
        name: form.text("name").to_owned(),
        together: form.text("mode") == "together",
        restriction: half("restriction"),
        capability: half("capability"),
        until: form.get("until").filter(|text| !text.is_empty()).map(str::to_owned),
        on_lapse: OnLapse::parse(form.text("on_lapse")),
    };
    let made = pairs::create(v.cx, &v.actor, &wish)?;
    Ok(Answer::To(format!("{}?said=done", path(&made.row.public_id))))
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let (w, p) = (v.words, v.words.pairs());
    let one = pairs::show(v.cx, &v.actor, id)?;
    let mut about = vec![
        (p.mode, text(mode(v, &one))),
        (p.restriction, profile(v, &one.restriction)),
        (p.capability, profile(v, &one.capability)),
    ];
    if let Some(combined) = &one.combined {
        about.push((p.combined, profile(v, combined)));
    } else {
        let lapse = lapses(v).into_iter().find(|(name, _)| *name == one.row.on_lapse.as_str());
        about.push((p.until, code(&one.row.condition)));
        about.push((p.on_lapse, text(lapse.map_or("", |(_, words)| words))));
    }
    about.push((w.changed_by, text(story::person(&one.row.created_by))));
    about.push((w.at, when(one.row.created_at, v.now)));
    let mut page = Page::new(Area::Pairs, one.row.name.clone())
        .under("/console/profiles", w.nav_profiles)
        .under(PATH, p.nav)
        .with(section(w.about_title, [facts(about)]))
        .with(devices(v, id)?)
        .with(assigned(v, &one));
    if v.may(Permission::Enroll) {
        page = page.with(section(w.assign, [profiles::assign_form(v, &format!("{}/assign", path(id)))?]));
    }
    page = page.with(section(p.story, [events(v, id)?]));
    if v.may(Permission::Enroll) {
        if one.row.is_gated() {
            let change = FormSpec::new(&format!("{}/change", path(id)), &v.token)
                .field(Field::text("until", p.until).hint(p.until_hint).value(Some(&one.row.condition)).required())
                .field(Field::choice("on_lapse", p.on_lapse, lapses(v)).value(Some(one.row.on_lapse.as_str())));
            page = page.with(folded(p.change, [change.button(p.change).html()]));
        }
        let remove = FormSpec::new(&format!("{}/remove", path(id)), &v.token)
            .field(Field::tick("sure", p.remove_sure).required())
            .danger(w.remove_it);
        page = page.with(folded(w.remove_it, [note(p.remove_does), remove.html()]));
    }
    Ok(page.into())
}

fn devices(v: &Visit<'_>, id: &str) -> Result<Html, Error> {
    let p = v.words.pairs();
    let states = pair_states::states(v.cx, &v.actor, id, None)?;
    let line = |one: &GateView| {
        let device = link(&marks::device_path(&one.device), &one.device_name);
        let ends = one.until.filter(|_| matches!(one.phase, Phase::Grace | Phase::Lapsed));
        vec![
            one.user.as_deref().map_or_else(|| device.clone(), |user| named(device.clone(), user)),
            row([mark(v, one.phase.as_str()), quiet(&one.words)]),
            when_or(ends, v.now, "–"),
        ]
    };
    let table = Table::new(p.devices).columns([p.device, p.state, p.ends]);
    Ok(section(p.devices, [table.rows(states.iter().map(line)).empty(p.nobody).html()]))
}

fn assigned(v: &Visit<'_>, one: &PairView) -> Html {
    let w = v.words;
    let line = |a: &AssignmentView| {
        let (what, who, shown) = profiles::target(v, a);
        let out = if v.may(Permission::Enroll) {
            let to = format!("{}/withdraw?what={what}&who={}", path(&one.row.public_id), parts::segment(&who));
            post_button(&to, &v.token, w.withdraw, &who)
        } else {
            Html::default()
        };
        vec![shown, text(story::person(&a.row.created_by)), when(a.row.created_at, v.now), out]
    };
    let table = Table::new(w.assigned_to).columns([w.whom, w.asked_by, w.at, ""]);
    section(w.assigned_to, [table.rows(one.assignments.iter().take(300).map(line)).empty(w.assigned_nobody).html()])
}

fn events(v: &Visit<'_>, id: &str) -> Result<Html, Error> {
    let found = pair_states::story(v.cx, &v.actor, id, None, LINES)?;
    if found.is_empty() {
        return Ok(paragraph(v.words.no_story));
    }
    let line = |one: &PairLine| {
        let said = v.words.pairs().event(&one.line.kind).unwrap_or_default();
        let device = link(&marks::device_path(&one.device), &one.device);
        (when(one.line.at, v.now), row([text(said), device, quiet(&pair_states::words(&one.line))]))
    };
    Ok(parts::story(found.iter().map(line)))
}

pub fn act(v: &Visit<'_>, id: &str, verb: &str, form: &Form) -> Outcome {
    match verb {
        "assign" => {
            let whom = profiles::whom(form.text("what"), form.text("who"));
            let during = form.get("during").filter(|text| !text.is_empty());
            drop(pairs::assign(v.cx, &v.actor, id, &whom, during)?);
        }
        "withdraw" => {
            let (what, who) = (v.query("what").unwrap_or_default(), v.query("who").unwrap_or_default());
            drop(pairs::unassign(v.cx, &v.actor, id, &profiles::whom(&what, &who))?);
        }
        "change" => {
            let until = Some(form.text("until").to_owned());
            let change = Change { name: None, until, on_lapse: OnLapse::parse(form.text("on_lapse")) };
            drop(pairs::change(v.cx, &v.actor, id, &change)?);
        }
        "remove" => {
            pairs::remove(v.cx, &v.actor, id)?;
            return Ok(Answer::To(format!("{PATH}?said=done")));
        }
        _ => return Err(super::nothing_here(v)),
    }
    Ok(Answer::To(format!("{}?said=done", path(id))))
}
