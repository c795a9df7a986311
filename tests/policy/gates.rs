//! Pairs on simulated devices: the locked restriction first, an hour of grace, the capability when the passcode complies, its withdrawal,
//! and back; a server that restarts in the middle; both halves in one profile; and a restriction that vanishes.

use super::{assign, device_group, member, no_member, standing, until, why};
use crate::support::device::Handle;
use crate::support::{Plan, School};
use crate::users::profiles::{add, mobileconfig};
use cordon::base::time::{Clock, HOUR, MINUTE, ManualClock, SystemClock};
use cordon::service::gates;
use cordon::simulator::profile;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

const DEVICE: Channel = Channel::Device;

struct Timed {
    school: School,
    clock: Arc<ManualClock>,
}

fn timed() -> Timed {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let school = School::planned(Plan { clock: clock.clone(), ..Plan::with_lasting_ports() });
    Timed { school, clock }
}

/// A passcode of eight for the VPN.
fn passcode_for_vpn(school: &School, mode: &str, on_lapse: &str) -> String {
    add(school, "p.vpn", "com.apple.vpn.managed");
    let policy =
        json!([{ "type": "com.apple.mobiledevice.passwordpolicy", "keys": { "forcePIN": true, "minLength": 8 } }]);
    let made = school
        .api(
            "POST",
            "/pairs",
            &json!({ "name": "VPN for a passcode", "mode": mode, "restriction": { "payloads": policy },
                     "capability": { "profile": "p.vpn" }, "on_lapse": on_lapse }),
        )
        .is(201);
    made["id"].as_str().unwrap().to_owned()
}

fn give(school: &School, pair: &str, whom: &Value) -> Value {
    school.api("POST", &format!("/pairs/{pair}/assign"), whom).is(200)
}

fn state(school: &School, pair: &str) -> Value {
    school.get(&format!("/pairs/{pair}/devices"))["items"][0].clone()
}

fn until_phase(school: &School, pair: &str, phase: &str) -> Value {
    school.wait_until(phase, || {
        let state = state(school, pair);
        (state["phase"] == phase).then_some(state)
    })
}

/// How often the device was asked.
fn asked(device: &Handle) -> usize {
    device.executed().iter().filter(|e| e.request_type == "SecurityInfo").count()
}

impl Timed {
    /// The job's turn after so many minutes; the server's own may have been quicker.
    fn later(&self, minutes: i64) {
        self.clock.advance(minutes * MINUTE);
        gates::run(self.school.server().context()).unwrap();
    }

    fn kinds(&self, pair: &str) -> Vec<String> {
        let story = self.school.get(&format!("/pairs/{pair}/timeline"));
        let lines = story["items"].as_array().unwrap();
        lines.iter().rev().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_capability_waits_for_the_passcode_goes_with_it_and_comes_back() {
    let mut timed = timed();
    let ipad = timed.school.enroll(Kind::Ipad, 1);
    let pair = passcode_for_vpn(&timed.school, "gated", "withdraw");
    let restriction = format!("cordon.{pair}.restriction");
    give(&timed.school, &pair, &json!({ "device": ipad.udid() }));
    // Grace: the restriction stands, locked; the device was asked on the same visit, and the capability waits.
    let state = until_phase(&timed.school, &pair, "grace");
    timed.school.wait_until("the first question", || (asked(&ipad) == 1).then_some(()));
    until(&timed.school, &ipad, DEVICE, &[&restriction]);
    let stands = ipad.with(|d| profile::read(&d.state().profiles[0].profile.0).unwrap());
    assert!(stands.removal_disallowed, "a restriction that its user could take off would hold nothing");
    let (since, ends) = (state["since"].as_str().unwrap(), state["until"].as_str().unwrap());
    let hour = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(hour(ends) - hour(since), 3600);
    assert!(
        why(&timed.school, &ipad, "p.vpn").contains("held back by the pair"),
        "{}",
        why(&timed.school, &ipad, "p.vpn")
    );
    let explained = timed.school.get(&format!("/devices/{}/explain", ipad.udid())).to_string();
    assert!(explained.contains("may put the new passcode off until"), "{explained}");

    let question = ipad.executed().iter().find(|e| e.request_type == "SecurityInfo").unwrap().command_uuid.clone();
    let explained = timed.school.get(&format!("/commands/{question}/explain")).to_string();
    assert!(explained.contains("holds “p.vpn” back"), "{explained}");

    // The user puts it off. The server is restarted in the middle, and forgets nothing.
    timed.later(5);
    timed.school.wait_until("the second question", || (asked(&ipad) == 2).then_some(()));
    timed.school.crash();
    timed.clock.advance(10 * MINUTE);
    timed.school.start();
    gates::run(timed.school.server().context()).unwrap();
    timed.school.wait_until("the third question", || (asked(&ipad) == 3).then_some(()));
    assert_eq!(until_phase(&timed.school, &pair, "grace")["until"], ends, "the hour goes on");
    assert!(ipad.with(|d| d.opens_apps()));
    for minutes in [15, 15, 16] {
        timed.later(minutes);
    }
    // The hour is over: nothing can be opened, and the capability still waits.
    until_phase(&timed.school, &pair, "unmet");
    assert!(!ipad.with(|d| d.opens_apps()));
    assert_eq!(standing(&ipad, DEVICE), [restriction.as_str()]);

    // The user gives in. The new unlock token tells the server to ask, and everything that waits is released.
    ipad.with(|d| d.change_passcode(8)).unwrap();
    timed.later(1);
    until(&timed.school, &ipad, DEVICE, &[&restriction, "p.vpn"]);
    let open = until_phase(&timed.school, &pair, "open");
    assert_eq!((&open["answer"], &open["next_at"]), (&json!("complies"), &Value::Null), "nobody is asked for nothing");
    assert!(ipad.with(|d| d.opens_apps()));

    // Later it complies no more, and somebody's ordinary question shows it: the capability goes, the restriction stays.
    ipad.with(|d| d.change_passcode(4)).unwrap();
    let list = timed.school.send(&ipad, "SecurityInfo", Value::Null);
    timed.school.wait_for(&list, "Acknowledged");
    until(&timed.school, &ipad, DEVICE, &[&restriction]);
    until_phase(&timed.school, &pair, "lapsed");
    // And back.
    ipad.with(|d| d.change_passcode(9)).unwrap();
    timed.later(1);
    until(&timed.school, &ipad, DEVICE, &[&restriction, "p.vpn"]);
    until_phase(&timed.school, &pair, "open");
    let kinds = timed.kinds(&pair);
    let told = ["gate-waiting", "gate-grace", "gate-unmet", "gate-open", "gate-lapsed", "gate-open"];
    assert_eq!(kinds, told);
    let story = timed.school.device(&ipad)["timeline"].to_string();
    assert!(told.iter().all(|kind| story.contains(kind)), "the device tells the same");
}

#[test]
fn without_its_restriction_a_capability_never_stays() {
    let timed = timed();
    let school = &timed.school;
    let ipad = school.enroll(Kind::Ipad, 1);
    let pair = passcode_for_vpn(school, "gated", "keep");
    let restriction = format!("cordon.{pair}.restriction");
    device_group(school, "Cart");
    member(school, "Cart", &json!({ "devices": [ipad.udid()] }));
    ipad.with(|d| d.change_passcode(10)).unwrap();
    give(school, &pair, &json!({ "group": "Cart" }));
    let both = [restriction.as_str(), "p.vpn"];
    until(school, &ipad, DEVICE, &both);
    // It vanishes from the device: the capability is withdrawn, the restriction comes back, and then the capability.
    ipad.with(|d| d.take_off(DEVICE, &restriction));
    let before = ipad.executed().len();
    let list = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&list, "Acknowledged");
    until_phase(school, &pair, "open");
    until(school, &ipad, DEVICE, &both);
    let done: Vec<String> = ipad.executed()[before..].iter().map(|e| e.request_type.clone()).collect();
    assert!(done.contains(&String::from("RemoveProfile")), "{done:?}");
    assert!(timed.kinds(&pair).contains(&String::from("gate-restriction-gone")));
    // The capability cannot be had by itself.
    let refused = school.api("POST", "/profiles/p.vpn/assign", &json!({ "device": ipad.udid() }));
    assert!(refused.is_problem(409, "only-with-its-pair").contains("VPN for a passcode"));
    // The device leaves the group: first the capability goes, and only then the restriction.
    let before = ipad.executed().len();
    no_member(school, "Cart", &json!({ "devices": [ipad.udid()] }));
    until(school, &ipad, DEVICE, &[]);
    let done: Vec<String> = ipad.executed()[before..].iter().map(|e| e.request_type.clone()).collect();
    assert_eq!(done, ["RemoveProfile", "RemoveProfile"]);
    let removed = |n: usize| ipad.executed()[before + n].command_uuid.clone();
    let about = |uuid: &str| school.command(uuid)["history"].to_string();
    assert!(about(&removed(0)).contains("p.vpn") && !about(&removed(1)).contains("p.vpn"), "{}", about(&removed(0)));
    assert_eq!(school.get(&format!("/pairs/{pair}/devices"))["items"], json!([]));
    // Into the group again, and the restriction is removed from the library: the same.
    member(school, "Cart", &json!({ "devices": [ipad.udid()] }));
    until(school, &ipad, DEVICE, &both);
    assert_eq!(school.api("DELETE", &format!("/profiles/{restriction}"), &Value::Null).status, 204);
    until(school, &ipad, DEVICE, &[]);
    // Half a pair is given to nobody.
    let half = school.api("POST", &format!("/pairs/{pair}/assign"), &json!({ "device": ipad.udid() }));
    assert!(half.is_problem(409, "half-gone").contains(&format!("cordon pair remove {pair}")));
}

#[test]
fn nobody_takes_a_half_past_its_pair() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    ipad.with(|d| d.change_passcode(10)).unwrap();
    add(&school, "p.passcode", "com.apple.mobiledevice.passwordpolicy");
    let mail = ["com.apple.wifi.managed", "com.apple.mail.managed", "com.apple.caldav.account"];
    crate::users::profiles::upload(&school, &mobileconfig("p.mail", &mail, "1")).is(201);
    let make = |mode: &str, restriction: &str, capability: &str| {
        let half = |profile: &str| json!({ "profile": profile });
        let wish = json!({ "name": "Mail for a passcode", "mode": mode, "restriction": half(restriction), "capability": half(capability) });
        school.api("POST", "/pairs", &wish)
    };
    let gated = make("gated", "p.passcode", "p.mail").is(201)["id"].as_str().unwrap().to_owned();
    give(&school, &gated, &json!({ "device": ipad.udid() }));
    until(&school, &ipad, DEVICE, &["p.mail", "p.passcode"]);
    // Its accounts would come without the passcode: it stays whole, and nothing happened to the device.
    let before = ipad.executed().iter().filter(|e| e.request_type != "SecurityInfo").count();
    let told = school.api("POST", "/profiles/p.mail/split", &Value::Null).is_problem(409, "half-not-split");
    assert!(told.contains("Mail for a passcode") && told.contains(&format!("cordon pair remove {gated}")), "{told}");
    assert_eq!(school.get("/profiles/p.mail")["payload_types"], json!(mail));
    school.api("GET", "/profiles/p.mail.mail", &Value::Null).is_problem(404, "no-such-profile");
    assert_eq!(ipad.executed().iter().filter(|e| e.request_type != "SecurityInfo").count(), before);
    // Without the pair it is a profile like others.
    assert_eq!(school.api("DELETE", &format!("/pairs/{gated}"), &Value::Null).status, 204);
    until(&school, &ipad, DEVICE, &[]);

    // Both in one: what is made of both follows its halves and nothing else, and no half goes from beneath it.
    let pair = make("together", "p.passcode", "p.mail").is(201)["id"].as_str().unwrap().to_owned();
    let one = format!("cordon.{pair}");
    give(&school, &pair, &json!({ "device": ipad.udid() }));
    until(&school, &ipad, DEVICE, &[&one]);
    for whole in ["p.mail", &one] {
        school.api("POST", &format!("/profiles/{whole}/split"), &Value::Null).is_problem(409, "half-not-split");
    }
    let other = mobileconfig(&one, &["com.apple.mail.managed"], "2");
    crate::users::profiles::upload(&school, &other).is_problem(409, "made-of-both");
    make("gated", "p.passcode", &one).is_problem(409, "made-of-both");
    school.api("DELETE", &format!("/profiles/{one}"), &Value::Null).is_problem(409, "made-of-both");
    for half in ["p.mail", "p.passcode"] {
        let told = school.api("DELETE", &format!("/profiles/{half}"), &Value::Null).is_problem(409, "still-in-pair");
        assert!(told.contains(&format!("cordon pair remove {pair}")), "{told}");
    }
    assert_eq!(standing(&ipad, DEVICE), [one.as_str()]);
    assert_eq!(school.api("DELETE", &format!("/pairs/{pair}"), &Value::Null).status, 204);
    until(&school, &ipad, DEVICE, &[]);
    let made = school.api("POST", "/profiles/p.mail/split", &Value::Null).is(200);
    assert_eq!(made["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_device_that_sleeps_is_asked_once_and_one_that_refuses_seldom() {
    let timed = timed();
    let school = &timed.school;
    let (asleep, odd) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Ipad, 2));
    let pair = passcode_for_vpn(school, "gated", "withdraw");
    device_group(school, "Cart");
    member(school, "Cart", &json!({ "devices": [asleep.udid(), odd.udid()] }));
    odd.with(|d| assert!(d.behaviour_mut().errors.insert("SecurityInfo".to_owned())));
    give(school, &pair, &json!({ "group": "Cart" }));
    school.wait_until("the first questions", || (asked(&asleep) == 1 && asked(&odd) == 1).then_some(()));
    school.wait_until("both in grace", || {
        let states = school.get(&format!("/pairs/{pair}/devices"));
        let grace = states["items"].as_array()?.iter().filter(|s| s["phase"] == "grace" && !s["answer"].is_null());
        (grace.count() == 2).then_some(())
    });
    let waiting = |device: &Handle| {
        let found = school.get(&format!("/devices/{}/commands?state=Queued", device.udid()));
        found["items"].as_array().unwrap().iter().filter(|c| c["request_type"] == "SecurityInfo").count()
    };
    asleep.set_deaf(true);
    for _ in 0..30 {
        timed.later(20);
    }
    assert_eq!((asked(&asleep), waiting(&asleep)), (1, 1), "one question waits for it, however long it sleeps");
    assert!(asked(&odd) <= 5, "{} questions to a device that refuses", asked(&odd));
    let states = school.get(&format!("/pairs/{pair}/devices")).to_string();
    assert!(states.contains("could not be asked"), "{states}");
    assert_eq!(standing(&odd, DEVICE).len(), 1, "what is not known to comply gets nothing");
    // It wakes with a good passcode.
    asleep.with(|d| d.change_passcode(8)).unwrap();
    asleep.set_deaf(false);
    asleep.poll(DEVICE).unwrap();
    until(school, &asleep, DEVICE, &[&format!("cordon.{pair}.restriction"), "p.vpn"]);
}

#[test]
fn together_both_come_in_one_profile_and_go_in_one() {
    let mut timed = timed();
    let ipad = timed.school.enroll(Kind::Ipad, 1);
    let pair = passcode_for_vpn(&timed.school, "together", "withdraw");
    let one = format!("cordon.{pair}");
    give(&timed.school, &pair, &json!({ "device": ipad.udid() }));
    until(&timed.school, &ipad, DEVICE, &[&one]);
    let payloads = |ipad: &Handle| {
        let stands = ipad.with(|d| profile::read(&d.state().profiles[0].profile.0).unwrap());
        stands.payloads.iter().map(|p| p.kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(payloads(&ipad), ["com.apple.mobiledevice.passwordpolicy", "com.apple.vpn.managed"]);
    // Whether it complies or not: the profile is whole. The server restarts meanwhile.
    assert!(!ipad.with(|d| d.opens_apps() && d.state().passcode_held.wanted_since.is_none()), "the hour runs");
    timed.school.crash();
    timed.clock.advance(2 * HOUR);
    timed.school.start();
    assert!(!ipad.with(|d| d.opens_apps()));
    ipad.with(|d| d.change_passcode(8)).unwrap();
    assert!(ipad.with(|d| d.opens_apps()));
    assert_eq!(until_phase(&timed.school, &pair, "open")["capability"], true);
    // A half changes, and the one profile follows.
    let school = &timed.school;
    let mail =
        crate::users::profiles::mobileconfig("p.vpn", &["com.apple.vpn.managed", "com.apple.webClip.managed"], "2");
    crate::users::profiles::upload(school, &mail).is(201);
    school.wait_until("the new half", || (payloads(&ipad).len() == 3).then_some(()));
    // Taken off, it is gone whole, and comes back whole.
    ipad.with(|d| d.take_off(DEVICE, &one));
    let list = school.send(&ipad, "ProfileList", Value::Null);
    school.wait_for(&list, "Acknowledged");
    until(school, &ipad, DEVICE, &[&one]);
    // No more assigned, it goes whole.
    school.api("POST", &format!("/pairs/{pair}/unassign"), &json!({ "device": ipad.udid() })).is(200);
    until(school, &ipad, DEVICE, &[]);
    // Nor does it stand alone when the pair is removed.
    give(school, &pair, &json!({ "device": ipad.udid() }));
    until(school, &ipad, DEVICE, &[&one]);
    assert_eq!(school.api("DELETE", &format!("/pairs/{pair}"), &Value::Null).status, 204);
    until(school, &ipad, DEVICE, &[]);
}

#[test]
fn a_lapse_is_what_the_pair_says_and_a_fact_can_be_the_condition() {
    let timed = timed();
    let school = &timed.school;
    let (ipad, mac) = (school.enroll(Kind::Ipad, 1), school.enroll(Kind::Mac, 2));
    let pair = passcode_for_vpn(school, "gated", "after-grace");
    let restriction = format!("cordon.{pair}.restriction");
    ipad.with(|d| d.change_passcode(8)).unwrap();
    give(school, &pair, &json!({ "device": ipad.udid() }));
    let both = [restriction.as_str(), "p.vpn"];
    until(school, &ipad, DEVICE, &both);
    ipad.with(|d| d.change_passcode(4)).unwrap();
    let ask = || {
        let uuid = school.send(&ipad, "SecurityInfo", Value::Null);
        school.wait_for(&uuid, "Acknowledged");
    };
    ask();
    let lapsed = until_phase(school, &pair, "lapsed");
    assert!(lapsed["until"].is_string() && lapsed["capability"] == true, "{lapsed}");
    assert_eq!(standing(&ipad, DEVICE), both);
    timed.later(61);
    until(school, &ipad, DEVICE, &[&restriction]);
    // The school thinks again, and lets it be.
    school.api("PATCH", &format!("/pairs/{pair}"), &json!({ "on_lapse": "keep" })).is(200);
    until(school, &ipad, DEVICE, &both);
    school.api("PATCH", &format!("/pairs/{pair}"), &json!({ "on_lapse": "never" })).is_problem(400, "bad-argument");
    school
        .api("PATCH", &format!("/pairs/{pair}"), &json!({ "until": "EraseDevice.PIN=1" }))
        .is_problem(400, "bad-argument");

    // A Mac does not tell of passcodes, and is asked for what it does tell.
    give(school, &pair, &json!({ "device": mac.udid() }));
    school.wait_until("the Mac's silence", || {
        let states = school.get(&format!("/pairs/{pair}/devices"));
        states["items"].as_array()?.iter().any(|s| s["answer"] == "silent").then_some(())
    });
    assert_eq!(standing(&mac, DEVICE), [restriction.as_str()]);
    let until_fact = |until: &str| school.api("PATCH", &format!("/pairs/{pair}"), &json!({ "until": until })).is(200);
    until_fact("SecurityInfo.FDE_Enabled=true");
    until(school, &mac, DEVICE, &both);
    until_fact("DeviceInformation.IsAppleSilicon=false");
    until(school, &mac, DEVICE, &[&restriction]);
    until_fact("installed");
    until(school, &mac, DEVICE, &both);
    until(school, &ipad, DEVICE, &both);
}

#[test]
fn a_pair_that_is_none_is_refused_in_words() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    add(&school, "p.vpn", "com.apple.vpn.managed");
    add(&school, "p.passcode", "com.apple.mobiledevice.passwordpolicy");
    let make = |restriction: &str, capability: &str| {
        let half = |profile: &str| json!({ "profile": profile });
        let wish =
            json!({ "name": "x", "mode": "gated", "restriction": half(restriction), "capability": half(capability) });
        school.api("POST", "/pairs", &wish)
    };
    make("p.vpn", "p.vpn").is_problem(400, "same-profile");
    make("p.passcode", "p.nothing").is_problem(404, "no-such-profile");
    assign(&school, "p.vpn", &json!({ "device": ipad.udid() }));
    make("p.passcode", "p.vpn").is_problem(409, "assigned-by-itself");
    school.api("POST", "/profiles/p.vpn/unassign", &json!({ "device": ipad.udid() })).is(200);
    let made = make("p.passcode", "p.vpn").is(201);
    assert!(made["notes"].to_string().contains("is locked from now on"), "{made}");
    assert_eq!((&made["until"], &made["on_lapse"]), (&json!("passcode"), &json!("withdraw")));
    make("p.vpn", "p.passcode").is_problem(409, "other-way-round");
    // Every later version of the restriction is locked too, whatever was uploaded.
    let again = crate::users::profiles::mobileconfig("p.passcode", &["com.apple.mobiledevice.passwordpolicy"], "2");
    let again = crate::users::profiles::upload(&school, &again).is(201);
    assert!(again["notes"].to_string().contains("is locked from now on"), "{again}");
    let half = json!({ "profile": "p.vpn", "only": ["com.apple.dock"] });
    let wish =
        json!({ "name": "x", "mode": "together", "restriction": { "profile": "p.passcode" }, "capability": half });
    school.api("POST", "/pairs", &wish).is_problem(400, "bad-argument");
    school.api("GET", "/pairs/pa-none", &Value::Null).is_problem(404, "no-such-pair");
}

#[test]
fn another_condition_lets_no_restriction_go_before_its_capability() {
    let timed = timed();
    let school = &timed.school;
    let ipad = school.enroll(Kind::Ipad, 1);
    let pair = passcode_for_vpn(school, "gated", "withdraw");
    let restriction = format!("cordon.{pair}.restriction");
    ipad.with(|d| d.change_passcode(10)).unwrap();
    let whom = json!({ "device": ipad.udid() });
    give(school, &pair, &whom);
    until(school, &ipad, DEVICE, &[&restriction, "p.vpn"]);
    // It is to lose both, and sleeps; meanwhile somebody changes what the pair asks for.
    ipad.set_deaf(true);
    school.api("POST", &format!("/pairs/{pair}/unassign"), &whom).is(200);
    school.api("PATCH", &format!("/pairs/{pair}"), &json!({ "until": "installed" })).is(200);
    let waiting = school.get(&format!("/devices/{}/commands?state=Queued", ipad.udid()));
    let removals = waiting["items"].as_array().unwrap().iter().filter(|c| c["request_type"] == "RemoveProfile");
    assert_eq!(removals.count(), 1, "the capability first: {waiting}");
    ipad.set_deaf(false);
    ipad.poll(DEVICE).unwrap();
    until(school, &ipad, DEVICE, &[]);
    assert_eq!(school.get(&format!("/pairs/{pair}/devices"))["items"], json!([]));
}
