//! A profile built in a form: the payloads that a school uses most, and every other that Apple's schema has; what a profile looks like to
//! the lint; its versions, and what changed between them.

use super::form::Form;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Mood, Table, badge, code, exactly, facts, link, named, note, number, or_dash, row,
    section, text,
};
use super::{Answer, Outcome, Visit, schema_form, story};
use crate::protocol::catalogue::{self, KeySpec, PayloadSpec, SystemSpec};
use crate::protocol::profile::Doubt;
use crate::service::actor::Permission;
use crate::service::library_versions::{self as versions, Wish};
use crate::service::{Error, library};
use crate::store::ProfileVersionRow;

const PROFILES: &str = "/console/profiles";
const PATH: &str = "/console/profiles/build";

/// What schools and offices set most, in the order in which they come to need it.
const COMMON: [(&str, &str); 26] = [
    ("com.apple.wifi.managed", "Wi-Fi"),
    ("com.apple.mobiledevice.passwordpolicy", "Passcode"),
    ("com.apple.applicationaccess", "Restrictions"),
    ("com.apple.security.root", "Root certificate"),
    ("com.apple.security.pkcs1", "Certificate"),
    ("com.apple.security.pkcs12", "Certificate with its key"),
    ("com.apple.mail.managed", "Mail"),
    ("com.apple.eas.account", "Exchange"),
    ("com.apple.caldav.account", "Calendars (CalDAV)"),
    ("com.apple.carddav.account", "Contacts (CardDAV)"),
    ("com.apple.ldap.account", "Directory of people (LDAP)"),
    ("com.apple.vpn.managed", "VPN"),
    ("com.apple.webClip.managed", "Web clip"),
    ("com.apple.homescreenlayout", "Home Screen layout"),
    ("com.apple.shareddeviceconfiguration", "Lock Screen message"),
    ("com.apple.app.lock", "Single App Mode"),
    ("com.apple.webcontent-filter", "Web content filter"),
    ("com.apple.notificationsettings", "Notifications"),
    ("com.apple.MCX.FileVault2", "FileVault"),
    ("com.apple.security.firewall", "Firewall"),
    ("com.apple.SoftwareUpdate", "Software update"),
    ("com.apple.loginitems.managed", "Login items"),
    ("com.apple.DirectoryService.managed", "Directory binding"),
    ("com.apple.MCX", "Mobile accounts, energy, time"),
    ("com.apple.loginwindow", "Login window"),
    ("com.apple.subscribedcalendar.account", "Subscribed calendar"),
];

fn title(payload_type: &str) -> String {
    let known = COMMON.iter().find(|(name, _)| *name == payload_type);
    known.map_or_else(|| payload_type.to_owned(), |(_, words)| (*words).to_owned())
}

/// Which systems take it, and for whom.
fn systems(v: &Visit<'_>, spec: &PayloadSpec) -> String {
    let s = &v.words.schema;
    let one = |system: &SystemSpec| {
        let mut said = vec![system.platform.name().to_owned()];
        said.extend(system.since.map(|since| format!("{} {since}", s.from_version)));
        said.extend(system.removed.map(|removed| format!("({} {removed})", s.until_version)));
        let whose = match (system.device_channel, system.user_channel) {
            (true, false) => s.on_device,
            (false, true) => s.on_user,
            _ => "",
        };
        said.extend(Some(whose.to_owned()).filter(|whose| !whose.is_empty()));
        said.extend(system.supervised.then(|| s.supervised_only.to_owned()));
        said.join(" ")
    };
    spec.systems.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What should it set?
pub fn choose(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let (w, s) = (v.words, &v.words.schema);
    let line = |(name, words): &(&str, &str)| {
        let found = catalogue::find_payloads(name);
        let systems: Vec<String> = found.iter().take(1).map(|spec| systems(v, spec)).collect();
        vec![named(link(&format!("{PATH}/{name}"), words), name), text(&systems.join(", "))]
    };
    let table = Table::new(s.payload).columns([s.payload, s.systems]).rows(COMMON.iter().map(line));
    let all = catalogue::payload_types();
    let others = all.into_iter().filter(|name| !COMMON.iter().any(|(known, _)| known == name)).map(|name| (name, name));
    let other = FormSpec::asking(PATH).field(Field::choice("kind", s.payload, others)).button(s.payload_show);
    let page = Page::new(Area::Profiles, s.build).under(PROFILES, w.nav_profiles).lead(s.build_lead);
    if let Some(kind) = v.query("kind") {
        return Ok(Answer::To(format!("{PATH}/{}", parts::segment(&kind))));
    }
    Ok(page.with(section(s.payload, [table.html()])).with(section(s.build_others, [other.html()])).into())
}

fn specs(v: &Visit<'_>, kind: &str) -> Result<Vec<PayloadSpec>, Error> {
    let found = catalogue::find_payloads(kind);
    if found.is_empty() { Err(super::nothing_here(v)) } else { Ok(found) }
}

/// Those of all that go by this name, each once.
fn keys(specs: Vec<PayloadSpec>) -> Vec<KeySpec> {
    let mut all: Vec<KeySpec> = Vec::new();
    for key in specs.into_iter().flat_map(|spec| spec.keys) {
        if !all.iter().any(|known| known.key == key.key) {
            all.push(key);
        }
    }
    all
}

/// The form of one payload.
pub fn form(v: &Visit<'_>, kind: &str) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let (w, s) = (v.words, &v.words.schema);
    let specs = specs(v, kind)?;
    let about = facts([
        (s.apple_name, code(kind)),
        (s.systems, text(&specs.iter().take(1).map(|spec| systems(v, spec)).collect::<String>())),
    ]);
    let form = FormSpec::new(&format!("{PATH}/{}", parts::segment(kind)), &v.token)
        .field(Field::text("cordon_name", w.name).hint(s.payload_name_hint).value(v.typed("cordon_name")).required())
        .field(Field::text("cordon_id", s.payload_id).hint(s.payload_id_hint).value(v.typed("cordon_id")).required());
    let form = schema_form::fields(v, form, &keys(specs)).button(s.payload_add);
    let page = Page::new(Area::Profiles, title(kind)).under(PROFILES, w.nav_profiles).under(PATH, s.build);
    Ok(page.with(section(w.about_title, [about, note(s.variables_hint)])).with(form.html()).into())
}

pub fn make(v: &Visit<'_>, kind: &str, form: &Form) -> Outcome {
    v.actor.require(Permission::Enroll)?;
    let keys = schema_form::read(form, &keys(specs(v, kind)?))?;
    let payloads = vec![(kind.to_owned(), keys)];
    let (identifier, name) = (form.text("cordon_id").to_owned(), form.text("cordon_name").to_owned());
    let made = versions::make(v.cx, &v.actor, &Wish { identifier, name, payloads })?;
    Ok(Answer::To(format!("{PROFILES}/{}?said=done", parts::segment(&made.row.public_id))))
}

/// What the lint says of the version in force.
pub fn doubts(v: &Visit<'_>, profile: &str) -> Result<Html, Error> {
    let s = &v.words.schema;
    let found = versions::doubts(v.cx, &v.actor, profile)?;
    if found.is_empty() {
        return Ok(section(s.doubts, [badge(Mood::Good, s.no_doubts).into_paragraph()]));
    }
    let line = |one: &Doubt| {
        let mark = if one.serious { badge(Mood::Bad, s.wrong) } else { badge(Mood::Warn, s.doubtful) };
        row([mark, text(&one.words)])
    };
    Ok(section(s.doubts, [parts::list(found.iter().take(100).map(line))]))
}

/// All versions, and what changed between two.
pub fn history(v: &Visit<'_>, id: &str) -> Outcome {
    let (w, s) = (v.words, &v.words.schema);
    let profile = library::show(v.cx, &v.actor, id)?;
    let path = format!("{PROFILES}/{}", parts::segment(&profile.row.public_id));
    let all = versions::list(v.cx, &v.actor, id)?;
    let wanted = |name: &str| v.query(name).and_then(|text| text.parse().ok());
    let (from, to, changed) = versions::diff(v.cx, &v.actor, id, wanted("from"), wanted("to"))?;
    let line = |one: &ProfileVersionRow| {
        let here = if one.version == profile.row.version { badge(Mood::Good, s.current) } else { Html::default() };
        let diff = link(&format!("{path}/versions?to={}&from={}", one.version, one.version - 1), s.differences);
        vec![row([number(one.version), here]), text(story::person(&one.created_by)), exactly(one.created_at), diff]
    };
    let table =
        Table::new(s.versions).columns([w.version, w.changed_by, w.at, ""]).rows(all.iter().take(200).map(line));
    let side = |value: &Option<String>| value.as_deref().map_or_else(|| or_dash(None), code);
    let rows = changed.iter().map(|one| vec![code(&one.path), side(&one.before), side(&one.after)]);
    let diff = Table::new(s.differences).columns([s.key, s.before, s.after]).rows(rows).empty(s.differences_none);
    let title = format!("{} {} {from} {} {to}", s.differences, s.differences_between, s.to);
    let page = Page::new(Area::Profiles, format!("{}: {}", s.versions, profile.row.name))
        .under(PROFILES, w.nav_profiles)
        .under(path.clone(), profile.row.name.clone());
    Ok(page.with(section(s.versions, [table.html()])).with(section(&title, [diff.html()])).into())
}
