//! One device: how it stands, what waits and why, who uses it, what is on it, what happened to it, and what can be done.

use super::frame::{Area, Page};
use super::parts::{
    self, Html, Mood, Table, badge, button_link, code, facts, folded, link, main_link, named, note, number, or_dash,
    paragraph, post_button, quiet, row, section, text, when, when_or,
};
use super::{Outcome, Visit, actions, filters, marks, story};
use crate::service::actor::Permission;
use crate::service::channels::{self, ChannelStory};
use crate::service::devices::{self, DeviceView};
use crate::service::variables::Whose;
use crate::service::{Error, commands, custody, reasons};
use crate::store::{ChannelKind, CommandFilter};

/// Lines of the story on the page, and on the page of the whole story.
const LINES: usize = 25;
const ALL_LINES: usize = 500;
/// Commands on the page.
const COMMANDS: usize = 10;

/// What every page about one device begins with.
pub fn page(v: &Visit<'_>, device: &DeviceView, title: &str) -> Page {
    let name = marks::device_name(&device.row);
    let path = marks::device_path(&device.row.public_id);
    Page::new(Area::Devices, format!("{title}: {name}"))
        .under("/console/devices", v.words.nav_devices)
        .under(path, name)
}

fn own(stories: &[ChannelStory]) -> Option<&ChannelStory> {
    let own = stories.iter().filter(|s| s.view.row.channel == ChannelKind::Device);
    own.max_by_key(|s| (s.view.row.state == crate::protocol::lifecycle::State::Active, s.view.row.id))
}

pub fn show(v: &Visit<'_>, id: &str) -> Outcome {
    let w = v.words;
    let device = devices::show(v.cx, &v.actor, id)?;
    let stories = channels::explain(v.cx, &v.actor, &device.row.public_id, None)?;
    let path = marks::device_path(&device.row.public_id);
    let mut page = Page::new(Area::Devices, marks::device_name(&device.row)).under("/console/devices", w.nav_devices);
    let own = own(&stories);
    page = page.mark(marks::state(w, own.map(|s| s.view.row.state.as_str())));
    for mark in marks::lost(w, &device.row) {
        page = page.mark(mark);
    }
    if let Some(own) = own {
        if own.view.row.blocked_at.is_some() {
            page = page.mark(badge(Mood::Bad, w.state_blocked));
        }
        if own.view.push.as_ref().is_some_and(|p| p.dead_at.is_some()) {
            page = page.mark(badge(Mood::Warn, w.state_unreachable));
        }
        page = page.mark(row([quiet(w.last_seen), when_or(own.view.last_seen_at, v.now, w.never)]));
    }
    page = with_actions(v, page, &device, &path);
    page = page.with(section(w.waiting_title, waiting(v, &stories)));
    page = page.with(section(w.about_title, [about(v, &device, own)]));
    let users: Vec<&ChannelStory> = stories.iter().filter(|s| s.view.row.channel == ChannelKind::User).collect();
    if !users.is_empty() {
        page = page.with(section(w.users_title, [people(v, &users)]));
    }
    page = page.with(section(w.profiles_title, profiles(v, &device)?));
    page = page.with(super::stock::of_device(v, &device.row.public_id)?);
    page = page.with(filters::own_fields(v, Whose::Device(&device.row.public_id), &path)?);
    page = page.with(section(
        w.nav_commands,
        [
            recent(v, &device)?,
            link(&format!("/console/commands?device={}", parts::segment(&device.row.public_id)), w.all_commands)
                .into_paragraph(),
        ],
    ));
    if v.may(Permission::LookAround) {
        page = page.with(section(w.secrets_title, [secrets(v, &device, &path)?]));
    }
    let lines = devices::timeline(v.cx, &v.actor, &device.row.public_id, LINES)?;
    let more = if lines.len() == LINES {
        link(&format!("{path}/story"), w.whole_story).into_paragraph()
    } else {
        Html::default()
    };
    page = page.with(section(w.story_title, [story::list(v, &lines), more]));
    Ok(page.into())
}

/// Everything that is kept of what happened, newest first.
pub fn whole_story(v: &Visit<'_>, id: &str) -> Outcome {
    let device = devices::show(v.cx, &v.actor, id)?;
    let lines = devices::timeline(v.cx, &v.actor, &device.row.public_id, ALL_LINES)?;
    Ok(page(v, &device, v.words.story_title).with(section(v.words.newest_first, [story::list(v, &lines)])).into())
}

fn with_actions(v: &Visit<'_>, mut page: Page, device: &DeviceView, path: &str) -> Page {
    let w = v.words;
    let on: Vec<_> = actions::offered(v, &device.row).collect();
    for deed in on.iter().filter(|deed| deed.first) {
        page = page.action(main_link(&format!("{path}/{}", deed.verb), (deed.words)(w).name));
    }
    if v.may(Permission::Ask) {
        page = page.action(post_button(&format!("{path}/push"), &v.token, w.do_push, ""));
        page = page.action(post_button(&format!("{path}/ask"), &v.token, w.do_ask, ""));
    }
    let mut others: Vec<Html> = on
        .iter()
        .filter(|deed| !deed.first)
        .map(|deed| button_link(&format!("{path}/{}", deed.verb), (deed.words)(w).name))
        .collect();
    if v.may(Permission::Reveal) {
        others.push(button_link(&format!("{path}/theft"), w.serving.sheet_theft));
    }
    if v.may(Permission::Ask) {
        others.push(button_link(&format!("{path}/command"), w.schema.any_command));
    }
    if others.is_empty() { page } else { page.with(folded(w.more_actions, [row(others).into_buttons()])) }
}

/// What waits for whom, and why.
fn waiting(v: &Visit<'_>, stories: &[ChannelStory]) -> Vec<Html> {
    let mut all = Vec::new();
    for story in stories {
        let gone = story.view.row.state == crate::protocol::lifecycle::State::Gone;
        if gone && story.waiting.is_empty() && stories.len() > 1 {
            continue;
        }
        let words: Vec<Html> = story.words.iter().map(|words| parts::prose(words)).collect();
        // What was said of one command is not said again of the next.
        let mut said: Vec<&str> = Vec::new();
        all.push(row(words).into_paragraph());
        for one in &story.waiting {
            let head = row([
                link(&format!("/console/commands/{}", one.uuid), &v.words.request(&one.request_type)),
                marks::command_state(v.words, one.state),
                when(one.created_at, v.now),
            ]);
            let why: Vec<&String> = one.words.iter().filter(|words| !said.contains(&words.as_str())).collect();
            said.extend(one.words.iter().map(String::as_str));
            let why = parts::list(why.into_iter().map(|words| parts::prose(words)));
            all.push(parts::entry([head.into_paragraph(), why]));
        }
        let shown = i64::try_from(story.waiting.len()).unwrap_or(i64::MAX);
        if story.view.waiting > shown {
            all.push(note(&format!("{} {}", story.view.waiting - shown, v.words.more_wait)));
        }
        if story.waiting.is_empty() {
            all.push(note(v.words.nothing_waits));
        }
    }
    if all.is_empty() {
        all.push(note(v.words.never_enrolled));
    }
    all
}

fn about(v: &Visit<'_>, device: &DeviceView, own: Option<&ChannelStory>) -> Html {
    let (w, d) = (v.words, &device.row);
    let known = |value: &Option<String>| or_dash(value.as_deref());
    let supervised = match d.supervised {
        Some(true) => w.yes,
        Some(false) => w.no,
        None => w.not_known,
    };
    let mut pairs = vec![
        (w.serial, d.serial.as_deref().map_or_else(|| or_dash(None), code)),
        (w.model, marks::model(d)),
        (w.system, marks::system(d)),
        (w.build, known(&d.build_version)),
        (w.supervised, text(supervised)),
        (w.known_since, when(d.created_at, v.now)),
    ];
    if let Some(own) = own {
        pairs.push((w.enrollment_id, code(&own.view.row.enrollment_id)));
        let push = own.view.push.as_ref();
        pairs.push((w.last_called, when_or(push.and_then(|p| p.last_sent_at), v.now, w.never)));
    }
    if let Some(standing) = &device.standing {
        pairs.push((
            w.identity_ends,
            row([
                super::home::until(v, standing.not_after),
                quiet(&format!("{} {}", w.renews, parts::day(standing.due_at))),
            ]),
        ));
    }
    if d.lost_since.is_some() {
        pairs.push((
            w.lost_since,
            row([when_or(d.lost_since, v.now, w.never), quiet(d.lost_by.as_deref().unwrap_or_default())]),
        ));
    }
    facts(pairs)
}

fn people(v: &Visit<'_>, users: &[&ChannelStory]) -> Html {
    let w = v.words;
    let line = |story: &&ChannelStory| {
        let view = &story.view;
        let short = view.row.user_short_name.as_deref().or(view.row.user_id.as_deref()).unwrap_or(w.not_known);
        let mut state = vec![marks::state(w, Some(view.row.state.as_str()))];
        if view.row.not_on_console {
            state.push(badge(Mood::Quiet, w.not_on_console));
        }
        vec![
            named(text(view.row.user_long_name.as_deref().unwrap_or(short)), short),
            row(state),
            when_or(view.last_seen_at, v.now, w.never),
            number(view.waiting),
        ]
    };
    Table::new(w.users_title).columns([w.user, w.standing, w.last_seen, w.waiting]).rows(users.iter().map(line)).html()
}

fn profiles(v: &Visit<'_>, device: &DeviceView) -> Result<Vec<Html>, Error> {
    let w = v.words;
    let mut rows = Vec::new();
    for (channel, found) in channels::profiles(v.cx, &v.actor, &device.row.public_id, None)? {
        let whose = channel.row.user_short_name.clone().unwrap_or_default();
        for one in found {
            let name = if one.name.is_empty() { &one.identifier } else { &one.name };
            let name = match &one.id {
                Some(id) if v.may(Permission::LookAround) => {
                    link(&format!("/console/profiles/{}", parts::segment(id)), name)
                }
                _ => text(name),
            };
            let why = match &one.id {
                Some(id) => {
                    link(&format!("{}/why/{}", marks::device_path(&device.row.public_id), parts::segment(id)), w.why)
                }
                None => Html::default(),
            };
            rows.push(vec![named(name, &one.identifier), text(&whose), text(&one.words), why]);
        }
    }
    Ok(vec![
        Table::new(w.profiles_title)
            .columns([w.profile, w.user, w.standing, ""])
            .rows(rows)
            .empty(w.no_profiles)
            .html(),
    ])
}

/// Why it has a profile, or has not: every assignment that leads to it, channel by channel.
pub fn why(v: &Visit<'_>, id: &str, profile: &str) -> Outcome {
    let w = v.words;
    let found = reasons::why(v.cx, &v.actor, id, None, profile)?;
    let device = devices::show(v.cx, &v.actor, id)?;
    let mut shown = page(v, &device, &found.profile.name).lead(w.why_profile);
    for one in &found.channels {
        let mut said = vec![text(&one.state).into_paragraph()];
        said.push(match one.reasons.is_empty() {
            true => note(w.why_nothing),
            false => parts::list(one.reasons.iter().map(|words| parts::prose(words))),
        });
        if !one.beside.is_empty() {
            said.push(note(w.why_beside));
            said.push(parts::list(one.beside.iter().map(|words| parts::prose(words))));
        }
        shown = shown.with(section(one.user.as_deref().unwrap_or(w.device), said));
    }
    Ok(shown.into())
}

fn recent(v: &Visit<'_>, device: &DeviceView) -> Result<Html, Error> {
    let filter = CommandFilter { device: None, only: None, state: None, before: None, limit: COMMANDS };
    let found = commands::list(v.cx, &v.actor, Some(&device.row.public_id), filter)?;
    Ok(super::commands::table(v, &found, false).empty(v.words.no_commands).html())
}

fn secrets(v: &Visit<'_>, device: &DeviceView, path: &str) -> Result<Html, Error> {
    let kept = custody::list(v.cx, &v.actor, &device.row.public_id)?;
    if kept.is_empty() {
        return Ok(note(v.words.no_secrets));
    }
    let mut kinds: Vec<&str> = kept.iter().map(|row| v.words.secret(&row.kind)).collect();
    kinds.dedup();
    Ok(row([paragraph(&kinds.join(", ")), link(&format!("{path}/secrets"), v.words.see_secrets).into_paragraph()]))
}

/// Calls the device; asks it what it is.
pub fn call(v: &Visit<'_>, id: &str, verb: &str) -> Outcome {
    let path = marks::device_path(id);
    if verb == "push" {
        crate::service::pushing::push_now(v.cx, &v.actor, id, None)?;
        return Ok(super::Answer::To(format!("{path}?said=pushed")));
    }
    let wish = actions::wish(custody::WHAT_IT_IS, custody::what_it_is());
    commands::send(v.cx, &v.actor, id, &wish)?;
    Ok(super::Answer::To(format!("{path}?said=queued")))
}
