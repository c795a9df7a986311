//! The list of devices: searched, filtered, ordered, a page at a time.

use super::frame::{Area, Page};
use super::marks::{self, with_query};
use super::parts::{Column, Field, FormSpec, Table, number, when_or};
use super::{Outcome, Visit};
use crate::service::overview::{self, Wish};
use crate::store::{DeviceLine, DeviceOrder, DeviceState};

const PATH: &str = "/console/devices";
/// Devices on a page.
const ROWS: usize = 50;
/// What the address of a list holds, beside where it goes on.
const NAMES: [&str; 6] = ["search", "state", "platform", "os", "sort", "down"];
const PLATFORMS: [&str; 5] = ["iPadOS", "iOS", "macOS", "tvOS", "visionOS"];

fn state(word: &str) -> Option<DeviceState> {
    Some(match word {
        "enrolled" => DeviceState::Enrolled,
        "started" => DeviceState::Started,
        "gone" => DeviceState::Gone,
        "lost" => DeviceState::Lost,
        "waiting" => DeviceState::Waiting,
        "unreachable" => DeviceState::Unreachable,
        "quiet" => DeviceState::Quiet,
        _ => return None,
    })
}

fn order(word: &str) -> DeviceOrder {
    match word {
        "serial" => DeviceOrder::Serial,
        "seen" => DeviceOrder::Seen,
        "arrival" => DeviceOrder::Arrival,
        _ => DeviceOrder::Name,
    }
}

pub fn list(v: &Visit<'_>) -> Outcome {
    let w = v.words;
    let (search, platform, os) = (v.query("search"), v.query("platform"), v.query("os"));
    let (sort, chosen) =
        (v.query("sort").unwrap_or_else(|| String::from("name")), v.query("state").unwrap_or_default());
    let descending = v.query("down").is_some();
    let after = v.query("after");
    // Row id first, so that the key may hold anything.
    let after =
        after.as_deref().and_then(|text| text.split_once('~')).and_then(|(id, key)| Some((key, id.parse().ok()?)));
    let wish = Wish {
        search: search.as_deref(),
        state: state(&chosen),
        platform: platform.as_deref(),
        os_version: os.as_deref(),
        order: order(&sort),
        descending,
        after,
        limit: ROWS + 1,
    };
    let mut lines = overview::list_devices(v.cx, &v.actor, &wish)?;
    let more = lines.len() > ROWS;
    lines.truncate(ROWS);

    let column = |name: &str, key: &str| {
        let here = key == sort;
        let turned = (here && !descending).then_some("yes");
        let now = match (here, descending) {
            (false, _) => "",
            (true, false) => "ascending",
            (true, true) => "descending",
        };
        Column::text(name).sorted(with_query(v, PATH, &NAMES, &[("sort", Some(key)), ("down", turned)]), now)
    };
    let next = lines.last().filter(|_| more).map(|line| {
        let address = with_query(v, PATH, &NAMES, &[]);
        let joint = if address.contains('?') { '&' } else { '?' };
        format!("{address}{joint}after={}", super::parts::segment(&format!("{}~{}", line.device.id, line.key)))
    });
    let first = after.map(|_| with_query(v, PATH, &NAMES, &[]));
    let table = Table::new(w.nav_devices)
        .column(column(w.device, "name"))
        .columns([w.model, w.system, w.standing])
        .column(column(w.last_seen, "seen"))
        .column(Column::number(w.waiting))
        .rows(lines.iter().map(|line| cells(v, line)))
        .empty(if search.is_some() || !chosen.is_empty() || platform.is_some() {
            w.devices_none_such
        } else {
            w.devices_none
        })
        .page(first, w.to_first)
        .page(next, w.next);

    let states = [
        ("", w.all),
        ("enrolled", w.state_enrolled),
        ("waiting", w.filter_waiting),
        ("quiet", w.filter_quiet),
        ("unreachable", w.state_unreachable),
        ("lost", w.filter_lost),
        ("started", w.state_started),
        ("gone", w.state_gone),
    ];
    let platforms = std::iter::once(("", w.all)).chain(PLATFORMS.map(|p| (p, p)));
    let mut filter = FormSpec::asking(PATH)
        .field(Field::search("search", w.search_devices).value(search.as_deref()))
        .field(Field::choice("state", w.standing, states).value(Some(&chosen)))
        .field(Field::choice("platform", w.system, platforms).value(platform.as_deref()))
        .button(w.search);
    if let Some(os) = &os {
        filter = filter.hidden("os", os);
    }
    if sort != "name" {
        filter = filter.hidden("sort", &sort);
    }
    let who_has = super::parts::button_link("/console/inventory", w.plans.who_has);
    Ok(Page::new(Area::Devices, w.nav_devices).action(who_has).with(filter.html()).with(table.html()).into())
}

fn cells(v: &Visit<'_>, line: &DeviceLine) -> Vec<super::parts::Html> {
    let device = &line.device;
    vec![
        marks::device_link(device),
        marks::model(device),
        marks::system(device),
        marks::standing(v.words, line),
        when_or(line.last_seen_at, v.now, v.words.never),
        number(line.waiting),
    ]
}
