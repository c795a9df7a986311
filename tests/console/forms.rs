//! Forms that follow from Apple's schema: any command and any payload, explained first; profiles with their doubts, versions and what
//! changed; and a property list of one's own.

use super::House;
use super::pages::plant;
use cordon::protocol::catalogue;

#[test]
fn every_command_has_a_form_that_says_what_would_become_of_it() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let base = format!("/console/devices/{}/command", ids[0]);
    let list = ada.get(&base);
    list.has("Those that would run")
        .has("Those that would not")
        .has("EraseDevice")
        .has("Send a property list of your own");
    for spec in catalogue::list() {
        let page = ada.get(&format!("{base}/{}", spec.request_type));
        assert_eq!(page.status, 200, "{}: {}", spec.request_type, page.text);
        page.has("Will it run?").has(spec.request_type);
        assert!(page.text.len() < 200 * 1024, "{}: {} bytes", spec.request_type, page.text.len());
        for key in spec.keys.iter().filter(|key| key.key != "ANY") {
            page.has(key.key);
        }
    }
    assert_eq!(ada.get(&format!("{base}/NoSuchThing")).status, 404);
    // Plants are an iPad that never said whether it is supervised, with iPadOS 17.0.
    ada.get(&format!("{base}/ShutDownDevice")).has("Probably").has("supervision");
    ada.get(&format!("{base}/SetFirmwarePassword")).has("It will not run").has("does not know it");
}

#[test]
fn a_command_is_sent_by_its_form_and_what_takes_away_asks_for_the_name() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let base = format!("/console/devices/{}/command", ids[0]);
    let page = ada.get(&base);
    let sent = ada.post(&page, &format!("{base}/ProfileList"), &[("ManagedOnly", "true")]);
    assert_eq!(sent.status, 303, "{}", sent.text);
    // A setting that is comfort needs no name; one that takes away does, whichever form it comes from.
    let named = ada.post(&page, &format!("{base}/Settings"), &[("Settings.0.Enabled", "true")]);
    assert_eq!(named.status, 422, "{}", named.text);
    named.has("name of this device");
    let removes = [("Identifier", "hill.wifi")];
    ada.post(&page, &format!("{base}/RemoveProfile"), &removes).has("is not the name of this device");
    let removed =
        ada.post(&page, &format!("{base}/RemoveProfile"), &[("Identifier", "hill.wifi"), ("device_name", "Room 12")]);
    assert_eq!(removed.status, 303, "{}", removed.text);
    let wrong = ada.post(&page, &format!("{base}/DeviceLock"), &[("PIN", "12"), ("device_name", "Room 11")]);
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    wrong.has("is not the name of this device");
    // A list of one's own goes as it is, after the warning.
    let raw = "<plist version=\"1.0\"><dict><key>RequestType</key><string>NotYetKnown</string></dict></plist>";
    let path = format!("{base}/raw");
    ada.get(&path).has("Nothing here is checked");
    assert_eq!(ada.post(&page, &path, &[("plist", raw), ("device_name", "Room 11")]).status, 422);
    assert_eq!(ada.post(&page, &path, &[("plist", "nonsense"), ("device_name", "Room 12")]).status, 422);
    let sent = ada.post(&page, &path, &[("plist", raw), ("device_name", "Room 12")]);
    assert_eq!(sent.status, 303, "{}", sent.text);
    ada.get(sent.header("location").split('?').next().unwrap()).has("NotYetKnown");
    // Somebody of the help desk sees what they may send, and nothing else.
    let desk = house.logged_in("helpdesk");
    let list = desk.get(&base);
    assert!(list.text.contains("RestartDevice") && !list.text.contains("EraseDevice") && !list.text.contains("/raw"));
    assert_eq!(desk.get(&format!("{base}/EraseDevice")).status, 403);
    assert_eq!(desk.get(&path).status, 403);
}

#[test]
fn a_command_is_sent_when_the_school_says_and_given_up_when_it_says() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let path = format!("/console/devices/{}/command/ProfileList", ids[0]);
    // The clock of this house shows 2026-11-18.
    let page = ada.get(&path);
    page.has("Send not before").has("Give up after").has("type=\"datetime-local\"").has("In UTC, as long as");
    let calendar = [("time_zone", "Europe/Berlin"), ("holidays", "")];
    assert_eq!(ada.post(&page, "/console/schedules/calendar", &calendar).status, 303);
    ada.get(&path).has("s clock: Europe/Berlin.");
    let (start, end) = ("2026-11-19T07:00", "2026-11-19T08:30");
    for (not_before, expires_at, field, words) in [
        ("", "2026-11-17T08:00", "expires_at", "is past"),
        (end, start, "expires_at", "before it may be sent"),
        (start, start, "expires_at", "before it may be sent"),
        ("tomorrow", "", "not_before", "“tomorrow” is no time"),
        ("", "2026-02-30T08:00", "expires_at", "is no time"),
    ] {
        let sent = [("not_before", not_before), ("expires_at", expires_at)];
        let told = ada.post(&page, &path, &sent);
        assert_eq!(told.status, 422, "{sent:?}");
        let (_, at) = told.text.split_once(&format!("name=\"{field}\"")).unwrap();
        let at = at.split_once("</div>").unwrap().0;
        assert!(at.contains("aria-invalid=\"true\"") && at.contains(words), "{sent:?}: {at}");
        assert_eq!(told.text.matches("aria-invalid").count(), 1);
        told.has(&format!("value=\"{not_before}\"")).has("<details class=\"inside\" open>");
    }
    let sent = ada.post(&page, &path, &[("not_before", start), ("expires_at", end)]);
    assert_eq!(sent.status, 303, "{}", sent.text);
    let shown = |page: &super::Page| {
        page.has("Send not before").has("2026-11-19 07:00 (Europe/Berlin)").has("datetime=\"2026-11-19T06:00:00Z\"");
        page.has("Give up after").has("2026-11-19 08:30 (Europe/Berlin)").has("datetime=\"2026-11-19T07:30:00Z\"");
    };
    shown(&ada.get(sent.header("location").split('?').next().unwrap()));
    // A restart for the night, and one's own property list.
    let times = [("not_before", start), ("expires_at", end)];
    let restart = ada.post(&page, &format!("/console/devices/{}/restart", ids[0]), &times);
    assert_eq!(restart.status, 303, "{}", restart.text);
    shown(&ada.get(restart.header("location").split('?').next().unwrap()));
    let raw = "<plist version=\"1.0\"><dict><key>RequestType</key><string>NotYetKnown</string></dict></plist>";
    let own = [&[("plist", raw), ("device_name", "Room 12")], &times[..]].concat();
    let sent = ada.post(&page, &format!("/console/devices/{}/command/raw", ids[0]), &own);
    shown(&ada.get(sent.header("location").split('?').next().unwrap()));
    // A whole group: refused with the same look ahead, then taken.
    ada.post(&page, "/console/groups/new", &[("name", "7b"), ("kind", "devices")]);
    ada.post(&page, "/console/groups/7b/add", &[("what", "device"), ("who", &ids[0])]);
    let ask = |expires_at: &str| {
        let wish = [("group", "7b"), ("command", "RestartDevice"), ("not_before", start), ("expires_at", expires_at)];
        ada.post(&page, "/console/bulk", &wish)
    };
    let told = ask("2026-11-19T06:00");
    assert_eq!(told.status, 422);
    told.has("before it may be sent").has("name=\"command\" value=\"RestartDevice\"").has("Ask every device of it");
    let asked = ask(end);
    assert_eq!(asked.status, 303, "{}", asked.text);
    shown(&ada.get(asked.header("location").split('?').next().unwrap()));
}

#[test]
fn a_profile_is_built_in_a_form_doubted_and_compared() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let kinds = ada.get("/console/profiles/build");
    for words in ["Wi-Fi", "Passcode", "Restrictions", "FileVault", "Login window", "Single App Mode"] {
        kinds.has(words);
    }
    // Every kind has its form, of a weight that a phone can carry.
    for kind in catalogue::payload_types() {
        let page = ada.get(&format!("/console/profiles/build/{kind}"));
        assert!(page.status == 200 && page.text.len() < 200 * 1024, "{kind}: {} {}", page.status, page.text.len());
    }
    let wifi = "/console/profiles/build/com.apple.wifi.managed";
    ada.get(wifi).has("Encryption type").has("WPA2").has("macOS");
    let common = [("cordon_name", "School Wi-Fi"), ("cordon_id", "hill.wifi"), ("SSID_STR", "Hill")];
    let with = |more: &[(&'static str, &'static str)]| [&common[..], more].concat();
    let wrong =
        ada.post(&kinds, wifi, &[("cordon_name", "x"), ("cordon_id", "hill.wifi"), ("ProxyServerPort", "many")]);
    assert_eq!(wrong.status, 422);
    wrong.has("ProxyServerPort").has("whole number").has("value=\"hill.wifi\"");
    let made = ada.post(&kinds, wifi, &with(&[("EncryptionType", "WPA2"), ("Password", "tin roof")]));
    assert_eq!(made.status, 303, "{}", made.text);
    let path = made.header("location").split('?').next().unwrap().to_owned();
    ada.get(&path).has("School Wi-Fi").has("Looked over");
    let again = ada.post(&kinds, wifi, &with(&[("EncryptionType", "WPA3"), ("Password", "tin roof")]));
    assert_eq!(again.status, 303, "{}", again.text);
    let versions = ada.get(&format!("{path}/versions"));
    versions.has("EncryptionType").has("WPA2").has("WPA3").has("in force");
    assert!(!versions.text.contains("tin roof"), "no secret is shown in a comparison");
    ada.get(&format!("{path}/versions?from=0&to=1")).has("SSID_STR");
    // What is wrong with a file is said before anybody gets it.
    let file = r#"<plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
        <key>PayloadIdentifier</key><string>hill.odd</string><key>PayloadUUID</key><string>7A9F3D0E-0000-4000-8000-000000000001</string>
        <key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.wifi.managed</string><key>PayloadVersion</key><integer>1</integer>
        <key>PayloadIdentifier</key><string>hill.odd.1</string><key>PayloadUUID</key><string>7A9F3D0E-0000-4000-8000-000000000002</string>
        <key>SSID</key><string>Hill</string></dict></array></dict></plist>"#;
    let added = ada.post(&kinds, "/console/profiles/new", &[("file", file), ("name", "Odd")]);
    assert_eq!(added.status, 303, "{}", added.text);
    ada.get(added.header("location").split('?').next().unwrap()).has("Looked over").has("SSID");
}
