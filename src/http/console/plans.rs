//! Set-up plans: what a device gets while Setup Assistant waits.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Table, facts, folded, link, main_link, named, number, section, text, when,
};
use super::{Answer, Outcome, Visit, marks, schema_form, story};
use crate::base::texts::Text;
use crate::protocol::catalogue;
use crate::service::actor::Permission;
use crate::service::setting_up::{self, PlanView, PlanWish};
use crate::service::{Error, devices};
use serde_json::{Value, json};

const PATH: &str = "/console/plans";
const ACCOUNT: &str = "AccountConfiguration";

pub fn list(v: &Visit<'_>) -> Outcome {
    let s = &v.words.serving;
    let plans = setting_up::list(v.cx, &v.actor)?;
    let line = |one: &PlanView| {
        let name = link(&format!("{PATH}/{}", parts::segment(&one.row.public_id)), &one.row.name);
        vec![name, whom(v, one), text(&one.profiles.join(", ")), text(&steps(v, one))]
    };
    let table = Table::new(s.nav_plans).columns([s.plan, s.plan_for, s.plan_profiles, s.plan_steps]);
    let mut page = Page::new(Area::Plans, s.nav_plans).lead(s.plans_lead);
    if v.may(Permission::Enroll) {
        page = page.action(main_link("/console/plans/new", s.plan_new));
    }
    Ok(page.with(table.rows(plans.iter().map(line)).empty(s.no_plans).html()).into())
}

fn whom(v: &Visit<'_>, one: &PlanView) -> Html {
    let s = &v.words.serving;
    if let Some(group) = &one.group {
        return named(link(&format!("/console/groups/{}", parts::segment(group)), group), s.plan_group);
    }
    let Some(device) = &one.device else { return text(s.plan_everybody) };
    match devices::show(v.cx, &v.actor, device) {
        Ok(shown) => marks::device_link(&shown.row),
        Err(_) => text(device),
    }
}

fn steps(v: &Visit<'_>, one: &PlanView) -> String {
    let names: Vec<String> = one.row.commands.iter().map(|name| v.words.request(name)).collect();
    names.join(", ")
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let (w, s) = (v.words, &v.words.serving);
    let one = setting_up::show(v.cx, &v.actor, id)?;
    let about = facts([
        (s.plan_for, whom(v, &one)),
        (s.plan_profiles, text(&one.profiles.join(", "))),
        (s.plan_steps, text(&steps(v, &one))),
        (s.plan_limit, number(one.row.limit_seconds)),
        (w.made_by, text(story::person(&one.row.created_by))),
        (w.at, when(one.row.created_at, v.now)),
    ]);
    let mut page =
        Page::new(Area::Plans, one.row.name.clone()).under(PATH, s.nav_plans).with(section(w.about_title, [about]));
    if v.may(Permission::Enroll) {
        let remove = FormSpec::new(&format!("{PATH}/{}/remove", parts::segment(id)), &v.token)
            .field(Field::tick("sure", s.plan_remove_sure).required())
            .danger(s.plan_remove);
        page = page.with(folded(s.plan_remove, [remove.html()]));
    }
    Ok(page.into())
}

pub fn new(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let (w, s) = (v.words, &v.words.serving);
    let whom = [("", s.plan_everybody), ("group", s.plan_group), ("device", s.plan_device)];
    let mut form = FormSpec::new("/console/plans/new", &v.token)
        .field(Field::text("name", w.name).value(v.typed("name")).required())
        .field(Field::choice("what", s.plan_for, whom).value(v.typed("what")))
        .field(Field::text("who", w.whom).hint(s.plan_whom_hint).value(v.typed("who")))
        .field(Field::area("profiles", s.plan_profiles).low().hint(s.plan_profiles_hint).value(v.typed("profiles")))
        .field(Field::area("apps", s.plan_apps).low().hint(s.plan_apps_hint).value(v.typed("apps")))
        .field(Field::number("limit", s.plan_limit).hint(s.plan_limit_hint).value(v.typed("limit").or(Some("300"))));
    if let Some(spec) = catalogue::find(ACCOUNT) {
        form = form.fold(s.plan_account, s.plan_account_hint, v.refused.is_some());
        form = schema_form::optional_fields(v, form, &spec.keys).unfold();
    }
    let page = Page::new(Area::Plans, s.plan_new).under(PATH, s.nav_plans).lead(s.plans_lead);
    Ok(page.with(form.button(w.make).html()).into())
}

pub fn add(v: &Visit<'_>, form: &Form) -> Outcome {
    let lines = |name: &str| -> Vec<String> {
        form.text(name).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let keys = catalogue::find(ACCOUNT).map(|spec| schema_form::read(form, &spec.keys)).transpose()?;
    let who = form.some("who");
    let wish = PlanWish {
        name: form.text("name").to_owned(),
        group: who.clone().filter(|_| form.text("what") == "group"),
        device: who.filter(|_| form.text("what") == "device"),
        profiles: lines("profiles"),
        account: keys.filter(|keys| keys.as_object().is_some_and(|map| !map.is_empty())),
        apps: lines("apps").iter().map(|line| app(v, line)).collect::<Result<_, _>>()?,
        limit_seconds: form.number("limit")?,
    };
    let made = setting_up::create(v.cx, &v.actor, &wish)?;
    Ok(Answer::To(format!("{PATH}/{}?said=done", parts::segment(&made.row.public_id))))
}

/// InstallApplication's keys.
fn app(v: &Visit<'_>, line: &str) -> Result<Value, Error> {
    if let Ok(number) = line.parse::<u64>() {
        return Ok(json!({ "iTunesStoreID": number, "ManagementFlags": 1 }));
    }
    if line.starts_with("https://") {
        return Ok(json!({ "ManifestURL": line, "ManagementFlags": 1 }));
    }
    let s = &v.words.serving;
    let why = format!("{line} {}", s.not_a_store_number);
    Err(Error::invalid(Text::BadArgument { key: s.plan_apps.to_owned(), why }))
}

pub fn remove(v: &Visit<'_>, id: &str) -> Outcome {
    setting_up::remove(v.cx, &v.actor, id)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}
