//! The enrolment page in a real headless Chromium: by keyboard alone, on a screen of 320 px and a wide one, in light and dark, and with
//! what a screen reader would say. `scripts/test` installs what is needed; the screenshots stay under `target/enroll`.

use super::Door;
use serde_json::json;
use std::path::Path;
use std::process::Command;

#[test]
fn the_page_is_for_everybody_by_keyboard_and_on_a_small_screen() {
    let door = Door::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/browser");
    assert!(
        folder.join("node_modules/puppeteer-core").exists(),
        "this test needs Chromium, Node and the packages in tests/browser: `scripts/test` installs them"
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let made = door.invite(json!({ "for": "Ada's iPad" }));
    let port = door.school.server().people().unwrap().port();
    let output = Command::new("node")
        .current_dir(&folder)
        .arg("enroll.mjs")
        .env("CORDON_URL", format!("https://localhost:{port}"))
        .env("CORDON_CODE", made["code"].as_str().unwrap())
        .env("CORDON_ARTEFACTS", target.join("enroll"))
        .output()
        .expect("`node` could not be started: `scripts/test` installs it");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}
