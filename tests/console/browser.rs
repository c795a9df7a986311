//! The console in a real headless Chromium: a person's story by visible labels only, and every page looked at by axe-core and photographed.
//! `scripts/test` installs what is needed; the screenshots stay under `target/console`.

use crate::support::School;
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const PASSWORD: &str = "tin roof in may";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

fn artefacts() -> PathBuf {
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
fn every_page_is_for_everybody_and_photographed() {
    let school = school();
    let devices = [school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2), school.enroll(Kind::Mac, 3)];
    for device in &devices {
        let uuid = school.send(
            device,
            "DeviceInformation",
            json!({ "Queries": ["DeviceName", "OSVersion", "ModelName", "ProductName"] }),
        );
        school.wait_for(&uuid, "Acknowledged");
    }
    let pages: Vec<(&str, String)> = vec![("home", "/console".into()), ("devices", "/console/devices".into())];
    let pages: Value = pages.into_iter().map(|(name, path)| json!([name, path])).collect();
    browse(&school, "pages.mjs", &[("CORDON_PAGES", pages.to_string())]);
}
