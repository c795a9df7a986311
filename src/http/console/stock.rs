//! What stands on devices: apps, certificates and changes on the page of a device, which devices have an app, and all of it as a file.

use super::audit::file as saved;
use super::frame::{Area, Page};
use super::parts::{
    self, Field, FormSpec, Html, Table, button_link, folded, link, named, note, or_dash, section, text, when,
};
use super::{Answer, Outcome, Visit, marks};
use crate::base::time::Timestamp;
use crate::protocol::stock::{Item, Kind};
use crate::service::Error;
use crate::service::stock::{self, Part};
use crate::store::{StockChange, StockLine};
use serde_json::json;

const PATH: &str = "/console/inventory";
/// Lines of one table, and of a search.
const ROWS: usize = 500;
const FOUND: usize = 300;
const CHANGES: usize = 50;

/// Folded on the page of a device.
pub fn of_device(v: &Visit<'_>, id: &str) -> Result<Html, Error> {
    let p = &v.words.plans;
    let apps = stock::of_device(v.cx, &v.actor, id, Kind::App)?;
    let certificates = stock::of_device(v.cx, &v.actor, id, Kind::Certificate)?;
    let changes = stock::changes(v.cx, &v.actor, id, None, CHANGES)?;
    let app = |(item, since): &(Item, Timestamp)| {
        let who = format!("{PATH}?search={}", parts::segment(&item.key));
        vec![named(link(&who, &item.name), &item.key), text(&item.value), when(*since, v.now)]
    };
    let certificate = |(item, since): &(Item, Timestamp)| {
        let issuer = or_dash(item.detail.as_deref());
        vec![text(&item.name), issuer, text(&item.value), when(*since, v.now)]
    };
    let change = |line: &StockChange| {
        let (before, after) = (or_dash(line.change.before.as_deref()), or_dash(line.change.after.as_deref()));
        vec![named(text(&line.change.name), &line.change.key), before, after, when(line.at, v.now)]
    };
    let w = v.words;
    let apps_table = Table::new(p.apps)
        .columns([p.app, p.version, w.known_since])
        .rows(apps.iter().take(ROWS).map(app))
        .empty(p.apps_none);
    let certificates_table = Table::new(p.certificates)
        .columns([w.name, p.issued_by, w.ends, w.known_since])
        .rows(certificates.iter().take(ROWS).map(certificate))
        .empty(p.certificates_none);
    let changes_table = Table::new(p.changes)
        .columns([w.what, p.before, p.after, w.at])
        .rows(changes.iter().map(change))
        .empty(p.changes_none);
    Ok(section(
        p.inventory,
        [
            folded(&format!("{} ({})", p.apps, apps.len()), [apps_table.html()]),
            folded(&format!("{} ({})", p.certificates, certificates.len()), [certificates_table.html()]),
            folded(p.changes, [changes_table.html()]),
        ],
    ))
}

/// Which devices have an app; the files.
pub fn search(v: &Visit<'_>) -> Outcome {
    let (w, p) = (v.words, &v.words.plans);
    let part = v.query("search");
    let ask = FormSpec::asking(PATH)
        .field(Field::search("search", p.app).hint(p.who_has_hint).value(part.as_deref()))
        .button(w.search);
    let mut page = Page::new(Area::Devices, p.who_has).under("/console/devices", w.nav_devices).with(ask.html());
    if let Some(part) = &part {
        let found = stock::search(v.cx, &v.actor, Kind::App, part, Part { from: 0, most: FOUND })?;
        let line = |one: &StockLine| {
            let name = one.device_name.as_deref().or(one.serial.as_deref()).unwrap_or(&one.device);
            let device = link(&marks::device_path(&one.device), name);
            vec![named(text(&one.item.name), &one.item.key), text(&one.item.value), device, when(one.since, v.now)]
        };
        let table = Table::new(p.who_has)
            .columns([p.app, p.version, w.device, w.known_since])
            .rows(found.iter().map(line))
            .empty(p.who_has_none);
        page = page.with(table.html());
    }
    let files = [
        button_link(&format!("{PATH}/devices.csv"), p.as_csv),
        button_link(&format!("{PATH}/devices.json"), p.as_json),
        button_link(&format!("{PATH}/apps.csv"), p.apps_as_csv),
    ];
    Ok(page.with(section(p.take_out, [parts::row(files).into_buttons(), note(p.take_out_hint)])).into())
}

pub fn file(v: &Visit<'_>, name: &str) -> Outcome {
    let (media, bytes) = match name {
        "devices.csv" => ("text/csv; charset=utf-8", stock::devices_as_csv(&stock::export(v.cx, &v.actor)?)),
        "apps.csv" => {
            let found = stock::search(v.cx, &v.actor, Kind::App, "", Part::ALL)?;
            ("text/csv; charset=utf-8", stock::lines_as_csv(&found))
        }
        "devices.json" => {
            let lines = stock::export(v.cx, &v.actor)?;
            let one = |line: &stock::ExportLine| {
                let (d, s) = (&line.device, &line.stock);
                json!({ "id": d.public_id, "serial": d.serial, "name": d.name, "platform": d.platform, "model": d.model_name,
                    "system": d.os_version, "supervised": d.supervised, "state": s.state, "groups": s.groups,
                    "last_seen_at": s.last_seen_at.map(|at| at.to_string()), "apps": s.apps, "certificates": s.certificates,
                    "profiles": s.profiles, "facts": line.facts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>() })
            };
            let all = json!({ "items": lines.iter().map(one).collect::<Vec<_>>() });
            ("application/json", all.to_string().into_bytes())
        }
        _ => return Err(super::nothing_here(v)),
    };
    Ok(Answer::File(saved(media, &format!("cordon-{name}"), bytes)))
}
