//! Backups: which there are, one more now, one to download, and how to come back from one.

use super::audit::file;
use super::frame::{Area, Page};
use super::parts::{
    Table, code, exactly, facts, link, named, note, paragraph, post_button, section, text, verbatim, when,
};
use super::{Answer, Outcome, Visit, parts, upkeep};
use crate::service::backing_up::{self, Backup};

const PATH: &str = "/console/backups";

pub fn show(v: &Visit<'_>) -> Outcome {
    let u = v.words.upkeep();
    let all = backing_up::list(v.cx, &v.actor)?;
    let line = |one: &Backup| {
        let href = format!("{PATH}/{}", parts::segment(&one.name));
        let made = named(when(one.taken_at, v.now), &one.name);
        vec![made, exactly(one.taken_at), text(&size(one.bytes)), link(&href, u.backup_download)]
    };
    let table = Table::new(u.backups).columns([u.backup_made, v.words.at, u.backup_size, ""]);
    let table = table.rows(all.iter().map(line)).empty(u.backups_none);
    let newest = all.first().map_or("cordon-….db", |one| one.name.as_str());
    let folder = facts([(u.backup_place, code(&backing_up::directory(v.cx).display().to_string()))]);
    let how = [
        paragraph(u.restore_prove),
        verbatim(&format!("cordon restore {newest} --verify")),
        paragraph(u.restore_new),
        verbatim(&format!("cordon restore {newest}")),
        note(u.restore_hint),
    ];
    let page = Page::new(Area::Upkeep, u.backups).under(upkeep::PATH, u.nav).lead(u.backups_lead);
    let page = page.action(post_button(PATH, &v.token, u.backup_now, ""));
    Ok(page.with(section(u.backups, [table.html(), folder])).with(section(u.restore, how)).into())
}

pub fn take(v: &Visit<'_>) -> Outcome {
    backing_up::take(v.cx, &v.actor)?;
    Ok(Answer::To(format!("{PATH}?said=done")))
}

pub fn download(v: &Visit<'_>, name: &str) -> Outcome {
    let bytes = backing_up::download(v.cx, &v.actor, name)?;
    // A name that was found is one of ours: letters, digits and a hyphen.
    Ok(Answer::File(file("application/vnd.sqlite3", name, bytes)))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}
