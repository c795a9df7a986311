//! Backups: complete copies of the database in `backup/` beside it, made by the running server when something changed, and thinned out
//! with age. Called by `jobs`, and when somebody asks for one now. Bringing one back is `restoring`'s.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing};
use crate::base::limits::MIN_FREE_SPACE;
use crate::base::texts::Appliance;
use crate::base::time::{HOUR, Timestamp};
use crate::service::Kind;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Setting: what the database held when the last backup was made.
const MARK: &str = "backup_mark";
/// How many are kept: the newest of each of so many hours, days and months.
const KEPT: [(usize, usize); 3] = [(HOURS, 11), (DAYS, 8), (MONTHS, 6)];
const HOURS: usize = 24;
const DAYS: usize = 14;
const MONTHS: usize = 12;
/// Largest backup that is handed out over HTTP: an answer is held in memory.
const MAX_DOWNLOAD: u64 = 256 * 1024 * 1024;
const MB: u64 = 1024 * 1024;

/// One at a time, and how the last one went.
#[derive(Default)]
pub struct Backups(Mutex<Option<String>>);

/// A file in `backup/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// `cordon-YYYYMMDDTHHMMSSZ.db`
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub taken_at: Timestamp,
}

/// Makes a backup if the last one is an hour old and something has changed since, and lets old ones go. `None`: not due.
///
/// # Errors
/// `Busy` when there is no room.
pub fn keep(cx: &Context) -> Result<Option<Backup>, Error> {
    let now = cx.now();
    let newest = scan(&directory(cx))?.into_iter().next();
    // One from the future is of a clock that ran ahead: it says nothing about the last hour.
    let fresh = newest.as_ref().is_some_and(|newest| (0..HOUR).contains(&now.since(newest.taken_at)));
    if fresh {
        return Ok(None);
    }
    let (mark, before) = cx.store.read(|db| Ok::<_, Error>((db.change_mark()?, db.find_text_setting(MARK)?)))?;
    let mark = hex::encode(crate::pki::digest::sha256(mark.as_bytes()));
    if newest.is_some() && before.as_ref() == Some(&mark) {
        return Ok(None);
    }
    let made = make(cx, now)?;
    cx.store.write(|tx| tx.put_setting(MARK, &json!(mark)))?;
    if cx.clock_is_behind().is_none() {
        thin_out(&directory(cx))?;
    }
    Ok(Some(made))
}

/// Makes a backup now.
///
/// # Errors
/// `Busy` when there is no room.
pub fn take(cx: &Context, actor: &Actor) -> Result<Backup, Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    // First, so that the copy itself says who asked for it.
    cx.store.write(|tx| auditing::record(tx, actor, "backup.take", None, None, now))?;
    make(cx, now)
}

/// Newest first.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<Backup>, Error> {
    actor.require(Permission::Administer)?;
    scan(&directory(cx))
}

/// The bytes of one, for whoever keeps them elsewhere.
///
/// # Errors
/// `NotFound`; `Conflict` for one that is too large to be held in memory.
pub fn download(cx: &Context, actor: &Actor, name: &str) -> Result<Vec<u8>, Error> {
    actor.require(Permission::Administer)?;
    // Found among those that are there, so that a name is never a path.
    let found = scan(&directory(cx))?.into_iter().find(|backup| backup.name == name);
    let backup = found
        .ok_or_else(|| Error::not_found(Appliance::NoSuchBackup { name: name.chars().take(80).collect() }.into()))?;
    if backup.bytes > MAX_DOWNLOAD {
        let text = Appliance::BackupTooLarge { name: backup.name, limit_mb: MAX_DOWNLOAD / MB };
        return Err(Error::conflict(text.into()));
    }
    let bytes = std::fs::read(&backup.path).map_err(Error::internal)?;
    cx.store.write(|tx| auditing::record(tx, actor, "backup.download", Some(name), None, cx.now()))?;
    Ok(bytes)
}

/// When the newest backup was made.
pub fn find_last(cx: &Context) -> Result<Option<Timestamp>, Error> {
    Ok(scan(&directory(cx))?.first().map(|backup| backup.taken_at))
}

/// Why there are no backups any more, if the last try failed.
pub fn find_worry(cx: &Context) -> Option<String> {
    cx.backups.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// `backup/` beside the database.
pub fn directory(cx: &Context) -> PathBuf {
    cx.store.path().parent().unwrap_or(Path::new(".")).join("backup")
}

/// `cordon-YYYYMMDDTHHMMSSZ.db`
pub fn file_name(at: Timestamp) -> String {
    format!("cordon-{}.db", at.to_string().replace(['-', ':'], ""))
}

fn make(cx: &Context, now: Timestamp) -> Result<Backup, Error> {
    let mut last = cx.backups.0.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make_file(cx, now);
    *last = made.as_ref().err().map(|error| error.source.as_ref().map_or(error.public.to_string(), |s| s.to_string()));
    made
}

fn make_file(cx: &Context, now: Timestamp) -> Result<Backup, Error> {
    let directory = directory(cx);
    crate::store::create_folder(&directory).map_err(Error::internal)?;
    let (needed, free) = (cx.store.copy_size()? + MIN_FREE_SPACE, cx.store.free_space()?);
    if free < needed {
        let text = Appliance::NoRoomForBackup { needed_mb: needed.div_ceil(MB), free_mb: free / MB };
        return Err(Error::new(Kind::Busy, text.into()));
    }
    let name = file_name(now);
    let path = directory.join(&name);
    let bytes = cx.store.copy_to(&path)?;
    Ok(Backup { name, path, bytes, taken_at: Timestamp::from_secs(now.secs()) })
}

/// Backups by their names, newest first. Other files in the folder are not ours.
fn scan(directory: &Path) -> Result<Vec<Backup>, Error> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::internal(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::internal)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(taken_at) = stamp(&name) else { continue };
        // It may have gone since: somebody tidies up.
        let Ok(meta) = entry.metadata() else { continue };
        found.push(Backup { path: entry.path(), bytes: meta.len(), name, taken_at });
    }
    found.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(found)
}

fn stamp(name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix("cordon-")?.strip_suffix(".db")?;
    let digits = |range: std::ops::Range<usize>| text.get(range).filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let (date, time) = (digits(0..8)?, digits(9..15)?);
    if text.len() != 16 || text.get(8..9) != Some("T") || !text.ends_with('Z') {
        return None;
    }
    let instant =
        format!("{}-{}-{}T{}:{}:{}Z", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..]);
    super::tokens::parse_instant(&instant)
}

fn thin_out(directory: &Path) -> Result<(), Error> {
    let all = scan(directory)?;
    let kept = keepers(all.iter().map(|backup| backup.name.as_str()));
    for backup in all.iter().filter(|backup| !kept.contains(backup.name.as_str())) {
        std::fs::remove_file(&backup.path).map_err(Error::internal)?;
    }
    Ok(())
}

/// Of names that are sorted newest first: the newest of each of the last 24 hours, 14 days and 12 months that have one.
fn keepers<'n>(names: impl Iterator<Item = &'n str> + Clone) -> BTreeSet<&'n str> {
    let mut kept = BTreeSet::new();
    for (count, digits) in KEPT {
        let mut last = "";
        let mut seen = 0;
        for name in names.clone() {
            let span = &name["cordon-".len()..][..digits];
            if span != last {
                seen += 1;
                if seen > count {
                    break;
                }
                kept.insert(name);
                last = span;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{DAY, ManualClock};
    use crate::pki::SystemRandom;
    use crate::service::founding::{self, Place};
    use crate::service::school::{self, School};
    use std::sync::Arc;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_secs(1_795_000_000).plus(hours * HOUR)
    }

    #[test]
    fn two_years_of_hours_leave_24_hours_14_days_and_12_months() {
        let names: Vec<String> = (0..2 * 365 * 24).rev().map(|hour| file_name(at(hour))).collect();
        let kept = keepers(names.iter().map(String::as_str));
        assert!(names[..24].iter().all(|name| kept.contains(name.as_str())), "the last day, hour by hour");
        let days: BTreeSet<&str> = kept.iter().map(|name| &name[7..15]).collect();
        let months: BTreeSet<&str> = kept.iter().map(|name| &name[7..13]).collect();
        assert_eq!(months.len(), 12);
        assert!(kept.len() <= 24 + 14 + 12 && days.len() >= 14, "{} of {} days", kept.len(), days.len());
        let again = keepers(kept.iter().rev().copied());
        assert_eq!(again, kept, "thinned out twice is thinned out once");
    }

    #[test]
    fn old_ones_go_from_the_folder_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(at(0)));
        let cx = founding::open(&Place::in_directory(dir.path()), clock as _, Arc::new(SystemRandom)).unwrap();
        let folder = directory(&cx);
        crate::store::create_folder(&folder).unwrap();
        let older: Vec<String> = (1..=90 * 24).map(|hour| file_name(at(-hour))).collect();
        older.iter().for_each(|name| std::fs::write(folder.join(name), "").unwrap());
        std::fs::write(folder.join("notes.txt"), "which stick is where").unwrap();
        let made = keep(&cx).unwrap().unwrap();
        let left = scan(&folder).unwrap();
        assert!(left[0] == made && made.bytes > 0);
        assert!((24 + 13..=24 + 14 + 12).contains(&left.len()), "{} are left", left.len());
        assert!(older[..23].iter().all(|name| left.iter().any(|backup| backup.name == *name)), "the last day");
        assert!(folder.join("notes.txt").exists());
    }

    #[test]
    fn only_our_own_names_count() {
        assert_eq!(stamp(&file_name(at(0))), Some(at(0)));
        for other in
            ["cordon.db", "cordon-20261118T110640Z.db.part", "cordon-2026-11-18.db", "cordon-20261318T110640Z.db"]
        {
            assert_eq!(stamp(other), None, "{other}");
        }
    }

    #[test]
    fn hourly_when_something_changed() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(at(0)));
        let cx =
            founding::open(&Place::in_directory(dir.path()), Arc::clone(&clock) as _, Arc::new(SystemRandom)).unwrap();
        let local = Actor::LocalShell { user: String::from("ada") };
        let name = |name: &str| School { organization: Some(name.to_owned()), hostname: None };
        assert!(keep(&cx).unwrap().is_some(), "the first at once");
        school::set_up(&cx, &local, &name("Hill")).unwrap();
        assert!(keep(&cx).unwrap().is_none(), "not twice within an hour");
        clock.advance(HOUR);
        cx.flush_seen().unwrap();
        let second = keep(&cx).unwrap().unwrap();
        clock.advance(HOUR);
        cx.flush_seen().unwrap();
        assert!(keep(&cx).unwrap().is_none(), "nothing happened");
        clock.advance(-2 * DAY);
        assert!(
            keep(&cx).unwrap().is_none() && list(&cx, &local).unwrap().len() == 2,
            "a clock that jumps back loses none"
        );
        assert_eq!(download(&cx, &local, &second.name).unwrap().len() as u64, second.bytes);
        for name in ["../cordon.db", "cordon.db", ""] {
            assert!(matches!(download(&cx, &local, name), Err(e) if e.kind == Kind::NotFound));
        }
        assert_eq!(find_worry(&cx), None);
    }
}
