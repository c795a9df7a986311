//! Accounts in a school without devices: changes that cross, and certificates that took each other's place before any device had them.

use super::*;
use crate::base::time::{HOUR, ManualClock};
use crate::pki::SystemRandom;
use crate::service::Kind;
use crate::service::founding::{self, Place};
use crate::service::school::{self, School};
use std::sync::Arc;

fn founded(dir: &std::path::Path) -> (Context, Actor, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
    let cx = founding::open(&Place::in_directory(dir), Arc::clone(&clock) as _, Arc::new(SystemRandom)).unwrap();
    let owner = Actor::LocalShell { user: String::from("ada") };
    school::set_up(&cx, &owner, &School { organization: Some(String::from("Hill")), hostname: None }).unwrap();
    (cx, owner, clock)
}

fn wish(kind: AccountKind, settings: serde_json::Value, credential: Credential, password: Option<&str>) -> Wish {
    let password = password.map(|text| Secret::new(text.to_owned()));
    Wish { kind, name: String::from("x"), holder: Whom::User(String::from("anna")), settings, credential, password }
}

#[test]
fn of_two_changes_at_once_none_undoes_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (cx, owner, _) = founded(dir.path());
    let kind = AccountKind::parse("caldav").unwrap();
    let made = add(&cx, &owner, wish(kind, json!({ "CalDAVHostName": "old" }), Credential::Password, Some("first")));
    let id = made.unwrap().row.public_id;
    // Somebody at the helpdesk looked, and before their password is written the settings are other ones.
    let seen = show(&cx, &owner, &id).unwrap();
    let other = Change { settings: Some(json!({ "CalDAVHostName": "new" })), ..Change::default() };
    change(&cx, &owner, &id, other).unwrap();
    let late = New::Password(Secret::new(String::from("second")));
    let refused = renew(&cx, &owner, &seen, &late, "account.password", "late").unwrap_err();
    assert!(refused.kind == Kind::Conflict && refused.public.to_string().contains("do it again"), "{refused}");
    let after = show(&cx, &owner, &id).unwrap();
    assert!(after.profile.version == 2 && after.row.settings.contains("new"));
    set_password(&cx, &owner, &id, Secret::new(String::from("second"))).unwrap();
    let current = cx.store.read(|db| db.find_profile_version(after.profile.id, 3)).unwrap().unwrap();
    let body = cx.open(&library::place(after.profile.id, 3), &current.sealed_body).unwrap();
    assert!(String::from_utf8_lossy(body.expose()).contains("<string>new</string>"));
}

#[test]
fn no_certificate_outlives_the_one_that_took_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (cx, owner, clock) = founded(dir.path());
    let kind = AccountKind::parse("wifi").unwrap();
    let settings =
        json!({ "SSID_STR": "s", "EncryptionType": "WPA2", "EAPClientConfiguration": { "AcceptEAPTypes": [13] } });
    let id = add(&cx, &owner, wish(kind, settings, Credential::Certificate, None)).unwrap().row.public_id;
    let mut all = Vec::new();
    let is_revoked = |print: &[u8; 32]| {
        let found = cx.store.read(|db| db.find_certificate(print)).unwrap();
        found.unwrap().revoked_at.is_some()
    };
    // A device that sleeps has none of them, so the key is forgotten twice and made anew.
    for _ in 0..3 {
        let seen = show(&cx, &owner, &id).unwrap();
        all.extend(seen.row.certificate);
        if all.len() < 3 {
            clock.advance(HOUR);
            let now = cx.now();
            cx.store.write(|tx| credentials::forget(tx, &seen.row, None, now)).unwrap();
            repair(&cx, &owner, &id, None).unwrap();
        }
    }
    assert!(all.len() == 3 && !all.iter().any(is_revoked), "each may be the one that some device has");
    let row = show(&cx, &owner, &id).unwrap().row;
    let now = cx.now();
    cx.store.write(|tx| credentials::forget(tx, &row, Some(now), now)).unwrap();
    assert_eq!(all.iter().map(is_revoked).collect::<Vec<_>>(), [true, true, false], "everybody has the last one");
    // What replaced it and reached nobody ends with the account, too.
    repair(&cx, &owner, &id, None).unwrap();
    let last = show(&cx, &owner, &id).unwrap().row.certificate.unwrap();
    remove(&cx, &owner, &id).unwrap();
    assert!(is_revoked(&all[2]) && is_revoked(&last));
}
