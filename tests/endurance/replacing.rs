//! One database takes the place of another: a restore over a school that is there, and a file that a newer version wrote. Whenever the
//! power goes, there is one school or the other, and never none.

use super::disk::{Dice, Disk};
use super::import_push_certificate;
use super::power::{Watched, nothing_was_missed, whole};
use crate::appliance::{cordon, done, write_ca};
use crate::journeys::crash::{Program, Teacher};
use cordon::base::time::SystemClock;
use cordon::http::control::socket_path;
use cordon::pki::SystemRandom;
use cordon::service::founding::{self, Place};
use cordon::service::school;
use cordon::simulator::apns::StandIn;
use rustix::process::Signal;
use std::sync::Arc;

#[test]
fn a_restore_is_one_school_or_the_other_whenever_the_power_goes() {
    let watched = Watched::new();
    let copy = watched.folder.path().join("copy.db");
    watched.run(&["setup", "--organization", "Hill School", "--hostname", "localhost"]);
    watched.run(&["backup", "--output", copy.to_str().unwrap()]);
    watched.run(&["setup", "--organization", "Valley School", "--hostname", "localhost"]);
    // The school that is replaced was not stopped cleanly: its last writes are in its WAL.
    let stand_in = StandIn::start().unwrap();
    let mut environment = watched.environment();
    environment.extend(watched.listeners.clone());
    environment.push(("CORDON_APPLE_APNS_URL", stand_in.url()));
    environment.push(("CORDON_APPLE_CA_FILE", write_ca(&stand_in, watched.folder.path())));
    let mut program = Program::start(environment);
    import_push_certificate(&Teacher { socket: socket_path(&watched.data()).0 }, &stand_in);
    program.kill_with(Signal::USR2);
    let before = watched.records().len();
    watched.run(&["restore", copy.to_str().unwrap(), "--replace"]);
    let records = watched.records();
    nothing_was_missed(&watched, &records);

    let mut disk = Disk::new(&watched.disk());
    records[..before].iter().for_each(|record| disk.apply(record));
    let (mut dice, mut seen) = (Dice::new(8), Vec::new());
    for (n, record) in records[before..].iter().enumerate() {
        disk.apply(record);
        // Everywhere, and thrice where names change.
        for _ in 0..if "RULM".contains(record.kind) { 3 } else { 1 } {
            let left = tempfile::tempdir().unwrap();
            disk.survive(&mut dice, left.path());
            let data = left.path().join("data");
            assert!(data.join("cordon.db").exists(), "no school after {n} records: {}", record.in_words());
            let cx =
                founding::open(&Place::in_directory(&data), Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
            let name = school::find(&cx).unwrap().organization.unwrap();
            cx.store.close().unwrap();
            let db = whole(&data.join("cordon.db")).unwrap();
            let topics: i64 = db.query_row("SELECT count(*) FROM push_certificate", [], |row| row.get(0)).unwrap();
            assert!(matches!((name.as_str(), topics), ("Valley School", 1) | ("Hill School", 0)), "{name}, {topics}");
            seen.push(name);
        }
    }
    assert!(seen.len() > 30 && seen[0] == "Valley School", "{} of {seen:?}", seen.len());
    assert_eq!(seen.last().unwrap(), "Hill School", "what was restored stays");
    let aside = std::fs::read_dir(watched.data()).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.into_iter().find(|path| path.display().to_string().contains("cordon.db.replaced-")).unwrap();
    let db = whole(&aside).unwrap();
    assert_eq!(db.query_row("SELECT count(*) FROM push_certificate", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn an_older_program_leaves_a_newer_database_alone() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("data");
    done(&home, &["setup", "--organization", "Hill School", "--hostname", "localhost", "--json"]);
    let file = home.join("cordon.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    let now: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    db.pragma_update(None, "journal_mode", "DELETE").unwrap();
    db.pragma_update(None, "user_version", now + 1).unwrap();
    drop(db);
    let before = std::fs::read(&file).unwrap();
    let verbs: [&[&str]; 4] =
        [&["serve"], &["device", "list"], &["backup"], &["restore", file.to_str().unwrap(), "--verify"]];
    for verb in verbs {
        let refused = cordon(&home, verb);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && words.contains("newer Cordon"), "{verb:?}: {words}");
        assert!(std::fs::read(&file).unwrap() == before, "{verb:?} wrote into it");
    }
}
