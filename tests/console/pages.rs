//! Every page by every role, with hostile words planted everywhere, and with ten thousand devices.

use super::{Browser, House, PASSWORD};
use cordon::base::ids::DeviceId;
use cordon::base::push::{PushMagic, PushTarget, PushToken, Topic};
use cordon::base::time::{DAY, MINUTE};
use cordon::pki::SystemRandom;
use cordon::service::{Error, groups, people};
use cordon::store::{DeviceFacts, NewEnrollment};

const ROLES: [&str; 5] = ["owner", "admin", "helpdesk", "teacher", "auditor"];
const HOSTILE: &str = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>";

/// Enrolled devices, written down as a check-in would leave them; the id of each.
pub fn plant(house: &House, count: usize, name: impl Fn(usize) -> String) -> Vec<String> {
    let now = house.cx.now();
    house
        .cx
        .store
        .write(|tx| -> Result<Vec<String>, Error> {
            let mut ids = Vec::new();
            for i in 0..count {
                let id = DeviceId::mint(cordon::base::random::bytes(&SystemRandom));
                let row = tx.insert_device(&id, now)?;
                let platform = ["iPadOS", "macOS", "iOS"][i % 3];
                let facts = DeviceFacts {
                    serial: Some(format!("C02X{i:06}").parse().unwrap()),
                    name: Some(name(i)),
                    platform: Some(platform),
                    model_name: Some(name(i)),
                    product_name: Some(String::from("iPad13,18")),
                    os_version: Some(format!("17.{}", i % 12)),
                    ..DeviceFacts::default()
                };
                tx.update_device(row, &facts)?;
                let udid = format!("00008101-{i:016X}");
                let new = NewEnrollment {
                    device: row,
                    parent: None,
                    enrollment_id: &udid,
                    udid: Some(&udid),
                    user_enrollment_id: None,
                    user_id: None,
                    user_short_name: None,
                    user_long_name: None,
                };
                let channel = tx.insert_enrollment(&new, now)?;
                let target = PushTarget {
                    topic: Topic::new("com.apple.mgmt.External.pages").unwrap(),
                    token: PushToken::new(vec![7; 32]).unwrap(),
                    magic: PushMagic::new("magic").unwrap(),
                };
                tx.activate(channel, &target, false, false, now)?;
                let seen = now.plus(-(i as i64 % 20) * DAY);
                tx.put_last_seen(&[(channel, seen)])?;
                tx.tell(row, Some(channel), None, "TokenUpdate", None, seen)?;
                ids.push(id.as_str().to_owned());
            }
            Ok(ids)
        })
        .unwrap()
}

/// Path, and the roles that see it. `{device}` is one that is there.
fn matrix() -> Vec<(&'static str, &'static [&'static str])> {
    const LOOK: &[&str] = &["owner", "admin", "helpdesk", "auditor"];
    const ENROLL: &[&str] = &["owner", "admin"];
    const COMMAND: &[&str] = &["owner", "admin", "helpdesk"];
    const OWNER: &[&str] = &["owner"];
    const AUDIT: &[&str] = &["owner", "admin", "auditor"];
    vec![
        ("/console", &ROLES),
        ("/console/devices", &ROLES),
        ("/console/commands", &ROLES),
        ("/console/groups", &ROLES),
        ("/console/account", &ROLES),
        ("/console/devices/{device}", LOOK),
        ("/console/devices/{device}/story", LOOK),
        ("/console/devices/{device}/secrets", LOOK),
        ("/console/devices/{device}/secrets/unlock-token", ENROLL),
        ("/console/devices/{device}/lock", ENROLL),
        ("/console/devices/{device}/erase", ENROLL),
        ("/console/devices/{device}/restart", COMMAND),
        ("/console/devices/{device}/lost", COMMAND),
        ("/console/devices/{device}/locate", ENROLL),
        ("/console/devices/{device}/command", COMMAND),
        ("/console/devices/{device}/command/ProfileList", COMMAND),
        ("/console/devices/{device}/command/EraseDevice", ENROLL),
        ("/console/devices/{device}/command/raw", ENROLL),
        ("/console/devices/{device}/theft", ENROLL),
        ("/console/devices/{device}/sheet", ENROLL),
        ("/console/groups/filter", ENROLL),
        ("/console/groups/filter/now", ENROLL),
        ("/console/plans", LOOK),
        ("/console/plans/new", ENROLL),
        ("/console/directory", LOOK),
        ("/console/keys", OWNER),
        ("/console/profiles/build", ENROLL),
        ("/console/profiles/build/com.apple.wifi.managed", ENROLL),
        ("/console/bulk", &["owner", "admin", "helpdesk", "teacher"]),
        ("/console/enrolment", &["owner", "admin", "teacher"]),
        ("/console/enrolment/invite", &["owner", "admin", "teacher"]),
        ("/console/enrolment/profile", ENROLL),
        ("/console/accounts", LOOK),
        ("/console/accounts/new", ENROLL),
        ("/console/accounts/new/exchange", ENROLL),
        ("/console/provisioning", LOOK),
        ("/console/provisioning/new", ENROLL),
        ("/console/profiles", LOOK),
        ("/console/profiles/new", ENROLL),
        ("/console/people", LOOK),
        ("/console/people/new", ENROLL),
        ("/console/people/import", ENROLL),
        ("/console/groups/new", ENROLL),
        ("/console/schedules", LOOK),
        ("/console/inventory", &ROLES),
        ("/console/inventory?search=pages", &ROLES),
        ("/console/inventory/devices.csv", &ROLES),
        ("/console/inventory/devices.json", &ROLES),
        ("/console/inventory/apps.csv", &ROLES),
        ("/console/schedules/new", ENROLL),
        ("/console/requests", ENROLL),
        ("/console/audit", AUDIT),
        ("/console/audit/export", AUDIT),
        ("/console/upkeep", LOOK),
        ("/console/doctor", OWNER),
        ("/console/doctor/now", OWNER),
        ("/console/expiry", LOOK),
        ("/console/backups", OWNER),
        ("/console/security", LOOK),
        ("/console/security?format=csv", LOOK),
        ("/console/quiet", LOOK),
        ("/console/support", OWNER),
        ("/console/mail", OWNER),
        ("/console/webhooks", OWNER),
        ("/console/webhooks/new", OWNER),
        ("/console/push", LOOK),
        ("/console/settings", OWNER),
        ("/console/admins", OWNER),
        ("/console/admins/new", OWNER),
        ("/console/admins/owner", OWNER),
        ("/console/tokens/new", OWNER),
    ]
}

#[test]
fn every_page_by_every_role() {
    let house = House::new();
    let device = plant(&house, 3, |i| format!("iPad {i}"))[0].clone();
    let browsers: Vec<(&str, Browser<'_>)> = ROLES.into_iter().map(|role| (role, house.logged_in(role))).collect();
    let mut wrong = Vec::new();
    for (path, roles) in matrix() {
        let path = path.replace("{device}", &device);
        for (role, browser) in &browsers {
            let page = browser.get(&path);
            // A teacher is told of devices of other classes what is said of devices that are not there.
            let refused = matches!(page.status, 403) || (*role == "teacher" && page.status == 404);
            if roles.contains(role) && page.status != 200 || !roles.contains(role) && !refused {
                wrong.push(format!("{path} by {role}: {}", page.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What cannot be seen is not offered either: every link of a page leads somewhere.
    for (role, browser) in &browsers {
        for path in ["/console", "/console/devices", &format!("/console/devices/{device}")] {
            let page = browser.get(path);
            for link in page.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                if link.starts_with("/console") && !link.starts_with("/console/assets/") {
                    let link = link.replace("&amp;", "&").replace("&#38;", "&");
                    assert_eq!(browser.get(&link).status, 200, "{role} on {path}: {link}");
                }
            }
        }
    }
}

#[test]
fn what_nobody_may_is_in_the_audit_and_changes_nothing() {
    let house = House::new();
    let device = plant(&house, 1, |_| String::from("iPad"))[0].clone();
    let auditor = house.logged_in("auditor");
    let page = auditor.get("/console");
    for (path, fields) in [
        (format!("/console/devices/{device}/restart"), vec![]),
        (format!("/console/devices/{device}/erase"), vec![("reason", "because I can do it"), ("device_name", "iPad")]),
        (String::from("/console/admins/new"), vec![("name", "eve"), ("role", "owner"), ("password", PASSWORD)]),
        (String::from("/console/settings/place"), vec![("organization", "Mine")]),
        (String::from("/console/groups/new"), vec![("name", "g"), ("kind", "devices")]),
    ] {
        assert_eq!(auditor.post(&page, &path, &fields).status, 403, "{path}");
    }
    let log = auditor.get("/console/audit?refused=yes");
    log.has("Refused").has("auditor");
    assert!(people::list(&house.cx, &House::local()).unwrap().iter().all(|one| one.name != "eve"));
    auditor.get("/console/commands").has("No commands yet.");
}

#[test]
fn a_teacher_sees_own_classes_only() {
    let house = House::new();
    let ids = plant(&house, 4, |i| format!("Room {i}"));
    house.person("tess", "teacher");
    let wish = groups::Wish { name: "7b".into(), kind: "class".into(), filter: None, login_mode: None };
    groups::add(&house.cx, &House::local(), &wish).unwrap();
    let members = [groups::Member::Device(ids[1].clone()), groups::Member::Admin("tess".into())];
    groups::add_members(&house.cx, &House::local(), "7b", &members).unwrap();
    let tess = house.browser();
    tess.log_in("tess");
    let list = tess.get("/console/devices");
    list.has("Room 1");
    assert!(!list.text.contains("Room 2"));
    assert_eq!(tess.get(&format!("/console/devices/{}", ids[1])).status, 200);
    assert_eq!(tess.get(&format!("/console/devices/{}", ids[2])).status, 404);
    assert_eq!(tess.get(&format!("/console/devices/{}/lost", ids[2])).status, 404);
    // Asking is a teacher's, what stops somebody's work is not.
    let page = tess.get("/console/devices");
    assert_eq!(tess.post(&page, &format!("/console/devices/{}/push", ids[1]), &[]).status, 303);
    assert_eq!(tess.post(&page, &format!("/console/devices/{}/push", ids[2]), &[]).status, 404);
    assert_eq!(tess.post(&page, &format!("/console/devices/{}/restart", ids[1]), &[]).status, 403);
    tess.get("/console/groups").has("7b");
    assert!(!tess.get("/console").text.contains("/console/people"));
}

#[test]
fn nothing_that_somebody_wrote_becomes_markup() {
    let house = House::new();
    let ids = plant(&house, 2, |_| HOSTILE.to_owned());
    let browser = house.logged_in("owner");
    let page = browser.get("/console");
    let sent = [
        ("/console/settings/place", vec![("organization", HOSTILE), ("kind", "school")]),
        ("/console/groups/new", vec![("name", HOSTILE), ("kind", "devices")]),
        ("/console/people/new", vec![("short_name", "ada"), ("long_name", HOSTILE), ("mail", "ada@example.org")]),
        ("/console/people/new", vec![("short_name", HOSTILE)]),
        ("/console/enrolment/invite", vec![("names", HOSTILE), ("class", HOSTILE), ("as", "page")]),
        ("/console/tokens/new", vec![("name", HOSTILE), ("role", "auditor")]),
        ("/console/webhooks/new", vec![("name", HOSTILE), ("url", "https://hooks.example/<script>")]),
        ("/console/profiles/new", vec![("file", HOSTILE), ("name", HOSTILE)]),
        ("/console/admins/new", vec![("name", HOSTILE), ("role", HOSTILE), ("password", PASSWORD)]),
    ];
    let device = format!("/console/devices/{}", ids[0]);
    let lost = format!("{device}/lost");
    let plain = |text: &str, whence: &str| {
        assert!(!text.contains("<script>") && !text.contains("<img"), "{whence}: {text}");
    };
    for (path, fields) in sent {
        let answer = browser.post(&page, path, &fields);
        assert!(answer.status < 500, "{path}: {}", answer.status);
        plain(&answer.text, path);
    }
    let answer = browser.post(&page, &lost, &[("message", HOSTILE)]);
    assert_eq!(answer.status, 303, "{}", answer.text);
    let escaped = HOSTILE.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    for path in [
        "/console".into(),
        "/console/devices".into(),
        format!("/console/devices?search={escaped}&state={escaped}&os={escaped}&sort={escaped}&after={escaped}"),
        device.clone(),
        format!("{device}/story"),
        format!("{device}/erase"),
        format!("/console/devices/{escaped}"),
        format!("/console/{escaped}"),
        "/console/commands".into(),
        format!("/console/commands?state={escaped}"),
        format!("/console/commands/{escaped}"),
        "/console/groups".into(),
        format!("/console/groups/{escaped}"),
        "/console/people".into(),
        "/console/people/ada".into(),
        format!("/console/people?search={escaped}"),
        "/console/enrolment".into(),
        "/console/admins".into(),
        "/console/webhooks".into(),
        format!("/console/audit?actor={escaped}&verb={escaped}"),
        "/console/audit".into(),
        "/console/settings".into(),
        format!("/console?said={escaped}"),
        format!("/console/login?next={escaped}"),
    ] {
        plain(&browser.get(&path).text, &path);
    }
    browser.get(&device).has("&lt;script&gt;");
}

#[test]
fn ten_thousand_devices_are_a_page_at_a_time() {
    let house = House::new();
    let ids = plant(&house, 10_000, |i| format!("iPad {:05}", (i * 7_919) % 10_000));
    let browser = house.logged_in("owner");
    let most = 200 * 1024;
    let light = |path: &str| {
        let page = browser.get(path);
        assert!(
            page.status == 200 && page.text.len() <= most,
            "{path}: {} with {} bytes",
            page.status,
            page.text.len()
        );
        page
    };
    for path in ["/console", "/console/commands", "/console/audit", &format!("/console/devices/{}", ids[5_000])] {
        light(path);
    }
    // By every order, every device once.
    for sort in ["sort=name", "sort=seen", "sort=seen&down=yes", "sort=name&down=yes"] {
        let (mut path, mut seen, mut pages) = (format!("/console/devices?{sort}&state=quiet"), 0, 0);
        let mut names = std::collections::BTreeSet::new();
        loop {
            let page = light(&path);
            let found: Vec<&str> =
                page.text.split("<span class=\"under\">C02X").skip(1).map(|rest| &rest[..6]).collect();
            seen += found.len();
            names.extend(found.iter().map(|name| (*name).to_owned()));
            pages += 1;
            let links = page.text.split("href=\"").skip(1).filter_map(|rest| rest.split_once("\">"));
            match links.filter(|(_, rest)| rest.starts_with("Next page")).map(|(href, _)| href).next() {
                Some(next) => path = next.replace("&amp;", "&").replace("&#38;", "&"),
                None => break,
            }
            assert!(pages < 300);
        }
        assert_eq!((seen, names.len()), (6_000, 6_000), "{sort}: those not seen for more than seven days");
    }
    light("/console/devices?search=ipad+0777").has("iPad 07770");
    assert!(!light("/console/devices?search=ipad+0777").text.contains("Next page"));
    light("/console/devices?platform=macOS&os=17.1").has("macOS 17.1");
}

#[test]
fn everything_can_be_done_with_forms_alone() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let device = format!("/console/devices/{}", ids[0]);
    let page = ada.get(&device);
    let done = |path: &str, fields: &[(&str, &str)], status: u16| {
        let answer = ada.post(&page, path, fields);
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        answer
    };
    // Erase only with the name typed back, and a reason.
    let erase = format!("{device}/erase");
    let refused = done(&erase, &[("reason", "it is sold to the town hall"), ("device_name", "Room 11")], 422);
    refused.has("This was not done").has("it is sold to the town hall");
    done(&erase, &[("reason", "short"), ("device_name", "Room 12")], 422);
    let queued = done(&erase, &[("reason", "it is sold to the town hall"), ("device_name", "Room 12")], 303);
    let command = queued.header("location").split('?').next().unwrap().to_owned();
    ada.get(&command).has("Waits to be fetched").has("it has not been sent yet");
    done(&format!("{command}/cancel"), &[], 303);
    ada.get(&command).has("Cancelled");
    // Lost, and found again; meanwhile no passcode is cleared.
    done(&format!("{device}/lost"), &[("message", "Call the school")], 303);
    ada.get(&device).has("Lost").has("It was found");
    done(
        &format!("{device}/clear-passcode"),
        &[("possession", "she stands in front of me"), ("device_name", "Room 12")],
        409,
    );
    done(&format!("{device}/found"), &[("reason", "it was in the library")], 303);
    // People, groups, invitations, tokens, settings.
    done("/console/people/new", &[("short_name", "bea"), ("long_name", "Bea Roy")], 303);
    ada.get("/console/people?search=bea").has("Bea Roy");
    done("/console/people/bea", &[("long_name", "Bea Roy-Hill"), ("mail", "bea@school.example")], 303);
    ada.get("/console/people/bea").has("Bea Roy-Hill");
    done("/console/groups/new", &[("name", "7b"), ("kind", "class")], 303);
    done("/console/groups/7b/add", &[("what", "device"), ("who", "C02X000000")], 303);
    done("/console/groups/7b/add", &[("what", "teacher"), ("who", "bea")], 303);
    ada.get("/console/groups/7b").has("Room 12").has("Bea Roy-Hill");
    let bulk = done("/console/bulk", &[("group", "7b"), ("command", "ProfileList")], 303);
    let bulk = bulk.header("location").split('?').next().unwrap().to_owned();
    ada.get(&bulk).has("0 / 1 devices are through").has("hx-get=").has("Waits to be fetched");
    assert!(!ada.get(&format!("{bulk}/now")).text.contains("<html"));
    done("/console/bulk", &[("group", "7b"), ("command", "EraseDevice")], 422);
    done("/console/groups/7b/remove?device=C02X000000", &[], 303);
    assert!(!ada.get("/console/groups/7b").text.contains("Room 12"));
    done("/console/groups/7b/dissolve", &[("sure", "yes")], 303);
    let made = done(
        "/console/enrolment/invite",
        &[("names", "Ann\nBen"), ("class", "7b"), ("uses", "1"), ("expires", "7d"), ("as", "page")],
        200,
    );
    made.has("Ann").has("Ben").has("<svg class=\"qr\"");
    done("/console/enrolment/invite", &[("names", "Cy"), ("as", "sheet")], 200).has("class=\"ticket\"");
    ada.get("/console/enrolment?class=7b").has("Ann");
    done("/console/tokens/new", &[("name", "backup"), ("role", "auditor"), ("expires", "90d")], 200).has("cordon_");
    ada.get("/console/admins").has("backup");
    done("/console/admins/new", &[("name", "bob"), ("role", "admin"), ("password", PASSWORD)], 303);
    done("/console/admins/bob", &[("role", "helpdesk")], 303);
    ada.get("/console/admins/bob").has("Help desk");
    done("/console/settings/place", &[("organization", "Hill School"), ("kind", "office")], 303);
    let office = ada.get("/console/admins/new");
    office.has("Hill School");
    assert!(!office.text.contains("Teacher") && !ada.get("/console/groups/new").text.contains(">Class<"));
    done("/console/settings/retention", &[("results", "30"), ("timeline", "200"), ("webhook_log", "10")], 303);
    ada.get("/console/settings").has("value=\"200\"");
    done("/console/settings/recovery", &[("password", "wrong")], 403);
    done("/console/settings/recovery", &[("password", PASSWORD)], 200).has("Shown this once");
    done(
        "/console/webhooks/new",
        &[("name", "desk"), ("url", "https://hooks.school.example/cordon"), ("events", "device.enrolled")],
        200,
    );
    ada.get("/console/webhooks").has("desk");
    done("/console/push/request", &[("email", "it@school.example")], 200).has("BEGIN CERTIFICATE REQUEST");
    done("/console/audit/verify", &[], 200).has("Whole");
    ada.get("/console/audit?verb=group").has("group.add");
    let file = ada.get("/console/audit/export?format=csv");
    assert!(file.header("content-disposition").contains("audit-1-") && file.text.lines().count() > 20);
    // One's own account.
    done("/console/account/app", &[("current", PASSWORD)], 200).has("<svg class=\"qr\"");
    let changed = done("/console/account", &[("current", PASSWORD), ("password", "another roof in june")], 303);
    assert_eq!(changed.header("location"), "/console/login");
    assert_eq!(ada.get("/console").status, 303, "and every session is over");
}

#[test]
fn a_part_renews_itself_and_only_that() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let page = ada.get(&format!("/console/devices/{}", ids[0]));
    let queued = ada.post(&page, &format!("/console/devices/{}/restart", ids[0]), &[]);
    let command = queued.header("location").split('?').next().unwrap().to_owned();
    ada.get(&command).has(&format!("hx-get=\"{command}/now\"")).has("hx-trigger=\"every 3s\"");
    let piece = ada.get(&format!("{command}/now"));
    assert!(piece.status == 200 && !piece.text.contains("<html") && piece.text.contains("hx-get"));
    let page = ada.get(&command);
    ada.post(&page, &format!("{command}/cancel"), &[]);
    assert!(!ada.get(&format!("{command}/now")).text.contains("hx-get"), "what is over asks no more");
    house.clock.advance(31 * MINUTE);
    assert_eq!(
        ada.send("GET", &format!("{command}/now"), &[], &[("hx-request", "true")]).header("hx-redirect"),
        "/console/login"
    );
}
