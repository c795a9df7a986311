//! The console in a real headless Chromium: a person's story by visible labels only, and every page looked at by axe-core and photographed.
//! `scripts/test` installs what is needed; the screenshots stay under `target/console`.

use crate::support::School;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const PASSWORD: &str = "tin roof in may";

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

pub fn artefacts() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join("console")
}

/// Runs one script against a school, as the owner `ada`.
#[track_caller]
fn browse(school: &School, script: &str, more: &[(&str, String)]) {
    assert!(
        folder().join("node_modules/puppeteer-core").exists(),
        "the browser tests need Chromium, Node and the packages in tests/browser: `scripts/test` installs them"
    );
    let address = school.server().people().unwrap();
    let mut command = Command::new("node");
    command.current_dir(folder()).arg(script);
    command.env("CORDON_URL", format!("https://localhost:{}", address.port()));
    command.env("CORDON_NAME", "ada").env("CORDON_PASSWORD", PASSWORD).env("CORDON_ARTEFACTS", artefacts());
    command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
    let output = command.output().expect("`node` could not be started: `scripts/test` installs it");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}:\n{out}\n{err}");
}

fn school() -> School {
    let school = School::new();
    school.api("POST", "/admins", &json!({ "name": "ada", "role": "owner", "password": PASSWORD })).is(201);
    school
}

#[test]
fn a_stranger_finds_an_ipad_and_locks_it() {
    let school = school();
    let (ipad, _other) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    let serial = ipad.with(|d| d.spec().serial.clone());
    let uuid = school.send(&ipad, "DeviceInformation", json!({ "Queries": ["DeviceName", "OSVersion", "ModelName"] }));
    school.wait_for(&uuid, "Acknowledged");
    let name = school.device(&ipad)["name"].as_str().unwrap().to_owned();
    browse(&school, "story.mjs", &[("CORDON_IPAD", serial), ("CORDON_IPAD_NAME", name)]);
    let locks = ipad.executed().iter().filter(|done| done.request_type == "DeviceLock").count();
    assert_eq!(locks, 1, "the iPad was locked once");
}

#[test]
fn what_waits_is_kept_fresh_without_a_reload() {
    let school = school();
    let ipad = school.enroll_deaf(Kind::Ipad, 1);
    let uuid = school.send(&ipad, "RestartDevice", Value::Null);
    browse(&school, "live.mjs", &[("CORDON_COMMAND", format!("/console/commands/{uuid}"))]);
    assert_eq!(school.state_of(&uuid), "Cancelled");
}

#[test]
fn every_page_is_for_everybody_and_photographed() {
    let school = school();
    let devices = [school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2), school.enroll(Kind::Mac, 3)];
    for device in &devices {
        let queries = json!(["DeviceName", "OSVersion", "ModelName", "ProductName", "IsSupervised"]);
        let uuid = school.send(device, "DeviceInformation", json!({ "Queries": queries }));
        school.wait_for(&uuid, "Acknowledged");
    }
    let id = |n: usize| school.device(&devices[n])["id"].as_str().unwrap().to_owned();
    let apps = school.send(&devices[0], "InstalledApplicationList", Value::Null);
    school.wait_for(&apps, "Acknowledged");
    // Something waits: an iPad that does not hear its pushes.
    devices[1].set_deaf(true);
    let waiting = school.send(&devices[1], "RestartDevice", Value::Null);
    school.send(&devices[1], "ProfileList", Value::Null);
    school.api("POST", &format!("/devices/{}/lost", id(1)), &json!({ "message": "Call Hill School" })).is(200);
    school.api("POST", "/groups", &json!({ "name": "7b", "kind": "class" })).is(201);
    school
        .api("POST", "/users", &json!({ "short_name": "bea", "long_name": "Bea Roy", "mail": "bea@hill.example" }))
        .is(201);
    let members = json!({ "devices": [id(0), id(1)], "people": ["bea"] });
    school.api("POST", "/groups/7b/members", &members).is(200);
    school.api("POST", "/invitations", &json!({ "names": ["Ann", "Ben"], "class": "7b" })).is(201);
    school.api("POST", "/tokens", &json!({ "name": "backup", "role": "auditor", "expires_in": "90d" })).is(201);
    school.api("POST", "/admins", &json!({ "name": "tess", "role": "teacher", "password": PASSWORD })).is(201);
    let hook = json!({ "name": "desk", "url": "https://127.0.0.1:9/hook", "events": ["command.expired"] });
    let hook = school.api("POST", "/webhooks", &hook).is(201)["id"].as_str().unwrap().to_owned();
    school.api("POST", "/setup", &json!({ "organization": "Hill School" })).is(200);
    let profile = crate::users::profiles::add(&school, "hill.timetable", "com.apple.webClip.managed");
    let profile = profile["id"].as_str().unwrap();
    school.api("POST", &format!("/profiles/{profile}/assign"), &json!({ "group": "7b", "to": "devices" })).is(200);
    let payload = |kind: &str, keys: Value| json!({ "payloads": [{ "type": kind, "keys": keys }] });
    let pair = school
        .api(
            "POST",
            "/pairs",
            &json!({ "name": "Web clip for a passcode", "mode": "gated",
                     "restriction": payload("com.apple.mobiledevice.passwordpolicy", json!({ "forcePIN": true, "minLength": 8 })),
                     "capability": payload("com.apple.webClip.managed", json!({ "Label": "Library", "URL": "https://hill.example" })) }),
        )
        .is(201);
    let pair = pair["id"].as_str().unwrap().to_owned();
    school.api("POST", &format!("/pairs/{pair}/assign"), &json!({ "group": "7b", "to": "devices" })).is(200);

    let account = crate::policy::accounts::add_account(
        &school,
        &crate::policy::accounts::calendar(json!({ "user": "anna" }), Some("tin roof in may")),
    );
    let account = crate::policy::accounts::id(&account);
    let calendar = json!({ "time_zone": "Europe/Berlin", "holidays": ["2026-12-21..2027-01-06"] });
    school.api("PATCH", "/calendar", &calendar).is(200);
    let mornings = json!({ "name": "Mornings", "windows": ["Mon-Fri 08:00-12:30"] });
    school.api("POST", "/schedules", &mornings).is(201);

    let (ipad, lost, mac) = (format!("/console/devices/{}", id(0)), format!("/console/devices/{}", id(1)), id(2));
    let ask = json!({ "name": "room 12", "kind": "devices" });
    school.api("POST", "/groups", &ask).is(201);
    school
        .api("POST", "/groups/room 12/members".replace(' ', "%20").as_str(), &json!({ "devices": [id(0), id(1), mac] }))
        .is(200);
    let asked = cordon::service::bulk::begin(
        school.server().context(),
        &cordon::service::actor::Actor::LocalShell { user: String::from("root") },
        "room 12",
        "ProfileList",
        cordon::service::timing::Timing::default(),
    );
    let asked = asked.unwrap().row.public_id;
    let pages = [
        ("home", String::from("/console")),
        ("devices", "/console/devices".into()),
        ("devices-none", "/console/devices?search=nothing+like+it".into()),
        ("device", ipad.clone()),
        ("device-lost", lost.clone()),
        ("device-mac", format!("/console/devices/{mac}")),
        ("device-why", format!("{ipad}/why/{profile}")),
        ("device-story", format!("{ipad}/story")),
        ("device-secrets", format!("{ipad}/secrets")),
        ("device-secret", format!("{ipad}/secrets/unlock-token")),
        ("lock", format!("{ipad}/lock")),
        ("clear-passcode", format!("{ipad}/clear-passcode")),
        ("mark-lost", format!("{ipad}/lost")),
        ("erase", format!("{ipad}/erase")),
        ("command-any", format!("{ipad}/command")),
        ("command-settings", format!("{ipad}/command/Settings")),
        ("command-erase", format!("{ipad}/command/EraseDevice")),
        ("command-raw", format!("{ipad}/command/raw")),
        ("found", format!("{lost}/found")),
        ("commands", "/console/commands".into()),
        ("command-answer", format!("/console/commands/{apps}")),
        ("command-waiting", format!("/console/commands/{waiting}")),
        ("bulk", "/console/bulk".into()),
        ("bulk-progress", format!("/console/bulk/{asked}")),
        ("enrolment", "/console/enrolment".into()),
        ("invite", "/console/enrolment/invite".into()),
        ("enrolment-profile", "/console/enrolment/profile".into()),
        ("profiles", "/console/profiles".into()),
        ("profile", format!("/console/profiles/{profile}")),
        ("accounts", "/console/accounts".into()),
        ("account", format!("/console/accounts/{account}")),
        ("account-kinds", "/console/accounts/new".into()),
        ("account-new", "/console/accounts/new/wifi".into()),
        ("provisioning", "/console/provisioning".into()),
        ("provisioning-new", "/console/provisioning/new".into()),
        ("profile-new", "/console/profiles/new".into()),
        ("pairs", "/console/pairs".into()),
        ("pair", format!("/console/pairs/{pair}")),
        ("pair-new", "/console/pairs/new".into()),
        ("profile-build", "/console/profiles/build".into()),
        ("profile-wifi", "/console/profiles/build/com.apple.wifi.managed".into()),
        ("profile-restrictions", "/console/profiles/build/com.apple.applicationaccess".into()),
        ("profile-versions", format!("/console/profiles/{profile}/versions")),
        ("device-theft", format!("{ipad}/theft")),
        ("device-sheet", format!("{ipad}/sheet")),
        ("group-filter", "/console/groups/filter?any=no&field0=platform&how0=%3D&value0=iPadOS".into()),
        ("plans", "/console/plans".into()),
        ("plan-new", "/console/plans/new".into()),
        ("directory", "/console/directory".into()),
        ("keys", "/console/keys".into()),
        ("bulk-ahead", "/console/bulk?group=room+12&command=RestartDevice".into()),
        ("inventory", "/console/inventory?search=pages".into()),
        ("schedules", "/console/schedules".into()),
        ("schedule-new", "/console/schedules/new".into()),
        ("schedule", "/console/schedules/Mornings".into()),
        ("groups", "/console/groups".into()),
        ("group", "/console/groups/7b".into()),
        ("group-new", "/console/groups/new".into()),
        ("people", "/console/people".into()),
        ("person", "/console/people/bea".into()),
        ("people-import", "/console/people/import".into()),
        ("requests", "/console/requests".into()),
        ("audit", "/console/audit".into()),
        ("upkeep", "/console/upkeep".into()),
        ("doctor", "/console/doctor".into()),
        ("expiry", "/console/expiry".into()),
        ("backups", "/console/backups".into()),
        ("security", "/console/security".into()),
        ("quiet", "/console/quiet".into()),
        ("support", "/console/support".into()),
        ("mail", "/console/mail".into()),
        ("webhooks", "/console/webhooks".into()),
        ("webhook", format!("/console/webhooks/{hook}")),
        ("webhook-new", "/console/webhooks/new".into()),
        ("push", "/console/push".into()),
        ("settings", "/console/settings".into()),
        ("admins", "/console/admins".into()),
        ("admin", "/console/admins/tess".into()),
        ("token-new", "/console/tokens/new".into()),
        ("account", "/console/account".into()),
        ("refused-missing", "/console/nothing".into()),
    ];
    let pages: Value = pages.into_iter().map(|(name, path)| json!([name, path])).collect();
    browse(&school, "pages.mjs", &[("CORDON_PAGES", pages.to_string())]);
}
