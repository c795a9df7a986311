//! What goes on paper, and the codes and questions that the server makes by itself.

use super::REASON;
use crate::support::hidden::assert_hidden;
use crate::support::{Plan, School, wire};
use cordon::simulator::spec::Kind;
use serde_json::{Value, json};

#[test]
fn the_sealed_sheet_has_the_rules_of_a_reveal_and_no_more_than_people_type() {
    let school = School::new();
    let mac = school.enroll_deaf(Kind::Mac, 4);
    let sheet = |user: &str, reason: &str| {
        let path = format!("/devices/{}/secrets/sheet", mac.udid());
        school.as_person(user, "POST", &path, &json!({ "reason": reason }))
    };
    sheet("ada", REASON).is_problem(404, "no-such-secret");
    school.send(&mac, "SetRecoveryLock", json!({ "NewPassword": "tin <roof> & may" }));
    let made = school.of(&mac, "activation-lock-code", &Value::Null).is(201);
    assert_eq!(made["escrow_key"].as_str().unwrap().len(), 64);
    sheet("ada", "short").is_problem(400, "reason-needed");
    let page = sheet("ada", REASON);
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("tin &lt;roof&gt; &amp; may") && text.contains("activation-lock-server-code"), "{text}");
    assert!(
        text.contains("@media print")
            && !text.contains("http://")
            && !text.contains("https://")
            && !text.contains("<script")
    );
    let code = school.reveal(&mac, "activation-lock-server-code")["value"].as_str().unwrap().to_owned();
    assert!(text.contains(&code) && code.len() == 31, "{code}");
    let rows = school.audited("secret.sheet");
    assert_eq!((rows.len(), &rows[0]["detail"]["reason"]), (1, &json!(REASON)));
    assert_eq!(rows[0]["detail"]["secrets"].as_array().unwrap().len(), 2);
    assert_hidden(&school, "the code", code.as_bytes());
    assert_hidden(&school, "the recovery lock", b"tin <roof> & may");

    // What was refused stands there too, as what it was.
    let whole = school.get("/audit?limit=500");
    let refused: Vec<_> = whole["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["verb"] == "secret.sheet" && r["result"] != "done")
        .collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(refused[0]["subject"], school.device(&mac)["id"]);

    // A script never gets one; under the two-person rule one word of somebody else is for one sheet.
    let owner = school.token("owner");
    let path = format!("/api/v1/devices/{}/secrets/sheet", mac.udid());
    school.https(Some(&owner), "POST", &path, &json!({ "reason": REASON })).is_problem(403, "not-for-scripts");
    school.api("POST", "/secret-rule", &json!({ "two_person": true })).is(200);
    sheet("ada", REASON).is_problem(409, "second-person-needed");
    let open = school.get("/secret-requests");
    assert_eq!(open["items"][0]["kind"], "sheet");
    let id = open["items"][0]["id"].as_str().unwrap();
    let approve =
        |user: &str, id: &str| school.as_person(user, "POST", &format!("/secret-requests/{id}/approve"), &json!({}));
    approve("ada", id).is_problem(403, "own-secret-request");
    approve("grace", id).is(200);
    sheet("emmy", REASON).is_problem(409, "second-person-needed");
    let printed = sheet("ada", REASON);
    assert_eq!(printed.status, 200);
    assert!(printed.text().contains(&code) && printed.text().contains("tin &lt;roof&gt; &amp; may"));
    assert_eq!(school.audited("secret.sheet")[1]["detail"]["request"], json!(id));
    sheet("ada", REASON).is_problem(409, "second-person-needed");
    // The word was for a sheet, and opens nothing else.
    let one = format!("/devices/{}/secrets/recovery-lock/reveal", mac.udid());
    school.as_person("ada", "POST", &one, &json!({ "reason": REASON })).is_problem(409, "second-person-needed");
    assert_eq!(school.audited("secret.sheet").len(), 2);
}

#[test]
fn the_theft_sheet_has_no_secrets_and_the_look_at_the_place_is_recorded() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let theft = |reason: &str| school.of(&ipad, "theft-sheet", &json!({ "reason": reason }));
    theft("").is_problem(400, "reason-needed");
    assert!(theft(REASON).text().contains("has not said where it is"));
    let marked = school.of(&ipad, "lost", &json!({ "message": "Please call" })).is(200);
    school.wait_for(marked["command_uuid"].as_str().unwrap(), "Acknowledged");
    let located = school.of(&ipad, "locate", &json!({ "reason": REASON })).is(201)["command_uuid"].clone();
    school.wait_for(located.as_str().unwrap(), "Acknowledged");
    let page = theft("Stolen from room 12, police report filed");
    let text = page.text();
    let serial = ipad.with(|d| d.spec().serial.clone());
    for part in [serial.as_str(), "marked lost by", "latitude", "on: locked", "police report filed"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(school.audited("device.theft-sheet").len(), 2);
    assert_eq!(school.audited("device.whereabouts").len(), 1, "only a place that was shown is a look");
    let helpdesk = school.token("helpdesk");
    let path = format!("/api/v1/devices/{}/theft-sheet", ipad.udid());
    school.https(Some(&helpdesk), "POST", &path, &json!({ "reason": REASON })).is_problem(403, "role-missing");
}

#[test]
fn a_new_device_is_asked_what_it_is_and_gives_its_bypass_code() {
    let school =
        School::planned(Plan { tune: std::sync::Arc::new(|o| o.asks_at_enrollment = true), ..Plan::default() });
    let ipad = school.enroll(Kind::Ipad, 1);
    let kinds = || school.secrets(&ipad).into_iter().map(|s| s.0).collect::<Vec<_>>();
    school.wait_until("the bypass code", || kinds().contains(&String::from("activation-lock-code")).then_some(()));
    assert_eq!(school.device(&ipad)["supervised"], true);
    let list = school.get(&format!("/commands?device={}", ipad.udid()));
    let asked: Vec<_> = list["items"].as_array().unwrap().iter().map(|c| c["created_by"].clone()).collect();
    assert_eq!(asked, ["job:custody", "job:custody"]);
}

#[test]
fn what_the_server_asks_by_itself_goes_after_what_people_sent() {
    let school =
        School::planned(Plan { tune: std::sync::Arc::new(|o| o.asks_at_enrollment = true), ..Plan::default() });
    let ipad = school.unpack(Kind::Ipad, 1, Default::default());
    ipad.set_deaf(true);
    ipad.enroll(&school.stand_in, &school.profile(&Value::Null));
    // Queued after the server's own question, and handed out before it.
    let (first, second) =
        (school.send(&ipad, "ProfileList", Value::Null), school.send(&ipad, "CertificateList", Value::Null));
    let list = school.get(&format!("/commands?device={}", ipad.udid()));
    let own = list["items"].as_array().unwrap().iter().find(|c| c["created_by"] == "job:custody").unwrap().clone();
    assert_eq!((&own["request_type"], &own["state"]), (&json!("DeviceInformation"), &json!("Queued")));
    let (mut caller, udid) = (school.caller(Some(&ipad.identity())), ipad.udid());
    let mut order = Vec::new();
    let mut next = wire::command_uuid(&caller.report(&wire::idle(&udid)));
    while let Some(uuid) = next.filter(|_| order.len() < 9) {
        next = wire::command_uuid(&caller.report(&wire::result("Acknowledged", &udid, &uuid, &[])));
        order.push(uuid);
    }
    assert_eq!(order, [first, second, own["command_uuid"].as_str().unwrap().to_owned()]);
}
