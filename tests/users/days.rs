//! A day of a Mac and of a Shared iPad: logins, logouts, a reboot, a new enrolment, with every push counted at the stand-in.

use super::profiles::add;
use crate::support::School;
use crate::support::device::Handle;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::{Account, Channel};
use serde_json::{Value, json};

fn assign(school: &School, profile: &str, whom: &Value) {
    school.api("POST", &format!("/profiles/{profile}/assign"), whom).is(200);
}

fn standing(device: &Handle, channel: Channel) -> Vec<String> {
    let all = device.with(|d| d.state().profiles.clone());
    let mut found: Vec<String> = all.into_iter().filter(|p| p.channel == channel).map(|p| p.identifier).collect();
    found.sort();
    found
}

#[test]
fn a_mac_with_a_daemon_and_three_agents() {
    let school = School::new();
    for (name, kind) in [("mac.wifi", "com.apple.wifi.managed"), ("mac.dock", "com.apple.dock")] {
        add(&school, name, kind);
    }
    let mac = school.enroll(Kind::Mac, 1);
    let network = |password: &str| Account::Network { password: password.to_owned() };
    let right = mac.add_user(&school.stand_in, "grace", network("compiler"));
    let wrong = mac.add_user(&school.stand_in, "niels", network("not this one"));
    assign(&school, "mac.wifi", &json!({ "device": mac.udid() }));
    assign(&school, "mac.dock", &json!({ "everyone_on": mac.udid() }));
    school.wait_until("the local user's profile", || (standing(&mac, Channel::User) == ["mac.dock"]).then_some(()));
    school.wait_until("the device's profile", || (standing(&mac, Channel::Device) == ["mac.wifi"]).then_some(()));
    // The school does not know them: refused at the login window, silent, and nobody's queue is touched.
    for agent in [right, wrong] {
        assert!(!mac.log_in(agent).managed);
        mac.with(|d| d.log_out(agent));
    }
    assert_eq!(school.device(&mac)["users"].as_array().unwrap().len(), 1);
    // Known by now, each with a password; one of them types another.
    for (agent, name) in [(right, "grace"), (wrong, "niels")] {
        let guid = mac.with(|d| d.state().person(agent).unwrap().guid.clone());
        school.api("POST", "/users", &json!({ "short_name": name, "guids": [guid], "password": "compiler" })).is(201);
    }
    let login = mac.log_in(right);
    assert!(login.managed, "the right password");
    assert_eq!(standing(&mac, right), ["mac.dock"], "what is assigned is there when she is let in");
    assert_eq!(login.round_trips, 2);
    assert!(!mac.log_in(wrong).managed, "the wrong one: an empty token, and silence");
    let guid = mac.with(|d| d.state().person(wrong).unwrap().guid.clone());
    school.try_send(&mac, Some(&guid), "ProfileList", Value::Null).is(404);
    // Three agents and the daemon, each with work of its own and each called by its own token.
    let before = [Channel::Device, Channel::User, right].map(|c| mac.pushes(c).len());
    let hers = school.send_to(&mac, Some("grace"), "ProfileList", Value::Null);
    school.wait_for(&hers, "Acknowledged");
    let after = [Channel::Device, Channel::User, right].map(|c| mac.pushes(c).len());
    assert_eq!(after, [before[0], before[1], before[2] + 1]);
    // Away: her commands wait for her, and go out with the next login, under a new token.
    mac.with(|d| d.log_out(right));
    let waits = school.send_to(&mac, Some("grace"), "ProfileList", Value::Null);
    school.wait_until("the call in vain", || (mac.pushes(right).len() > after[2]).then_some(()));
    assert_eq!(school.state_of(&waits), "Queued");
    assert_eq!(mac.log_in(right).round_trips, 2);
    assert_eq!(school.state_of(&waits), "Acknowledged");
    // The local user's channel and the device's: each was called for its own work, and for nothing else.
    let user = mac.with(|d| d.spec().person.clone().unwrap().short_name);
    let before = [Channel::Device, Channel::User].map(|c| mac.pushes(c).len());
    let list = school.send_to(&mac, Some(&user), "ProfileList", Value::Null);
    let reported = school.wait_for(&list, "Acknowledged")["result"]["ProfileList"].to_string();
    assert!(reported.contains("mac.dock") && !reported.contains("mac.wifi"), "{reported}");
    let after = [Channel::Device, Channel::User].map(|c| mac.pushes(c).len());
    assert_eq!(after, [before[0], before[1] + 1]);

    // A reboot: the daemon answers, the people come back one by one.
    mac.with(|d| d.reboot()).unwrap();
    let waits = school.send_to(&mac, Some(&user), "ProfileList", Value::Null);
    school.wait_for(&waits, "Acknowledged");
    assert_eq!(mac.log_in(Channel::User).round_trips, 1, "nothing is left for the login");

    // Enrolled anew: queues are swept, tokens are new, and what is assigned comes again by itself.
    mac.set_deaf(true);
    let swept = school.send_to(&mac, Some(&user), "ProfileList", Value::Null);
    mac.with(|d| d.state().profiles.len());
    let old = mac.token(Channel::User);
    mac.set_deaf(false);
    let profile = school.profile(&Value::Null);
    mac.enroll(&school.stand_in, &profile);
    assert_ne!(mac.token(Channel::User), old);
    assert!(matches!(school.state_of(&swept).as_str(), "Cleared" | "Acknowledged"));
    school.wait_until("both again", || {
        let shown = school.get(&format!("/devices/{}/profiles", mac.udid()));
        let installed = |n: usize| shown["items"][n]["profiles"][0]["installed"] == 1;
        (installed(0) && installed(1)).then_some(())
    });
}

#[test]
fn a_shared_ipad_with_four_users() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    let names = ["ann", "bob", "cyd", "dan"].map(|name| format!("{name}@hill.example"));
    let users = names.clone().map(|name| ipad.add_user(&school.stand_in, &name, Account::SharedIpad));
    add(&school, "ipad.all", "com.apple.webClip.managed");
    add(&school, "ipad.cyd", "com.apple.mail.managed");
    assign(&school, "ipad.all", &json!({ "everyone_on": ipad.udid() }));
    assign(&school, "ipad.cyd", &json!({ "user": names[2] }));
    for (n, user) in users.into_iter().enumerate() {
        let login = ipad.log_in(user);
        assert!(login.managed);
        let wanted: &[&str] = if n == 2 { &["ipad.all", "ipad.cyd"] } else { &["ipad.all"] };
        assert_eq!(standing(&ipad, user), wanted, "what is assigned is there at the first poll");
        ipad.with(|d| d.log_out(user));
    }
    // A command for somebody who is away: called in vain, done at the next login.
    let waits = school.send_to(&ipad, Some(&names[0]), "ProfileList", Value::Null);
    school.wait_until("the call", || (!ipad.pushes(users[0]).is_empty()).then_some(()));
    ipad.log_in(users[1]);
    assert_eq!(school.state_of(&waits), "Queued");
    let words =
        school.get(&format!("/devices/{}/explain?user={}", ipad.udid(), names[0]))["items"][0]["commands"].to_string();
    assert!(words.contains("waits to be fetched"), "{words}");
    ipad.with(|d| d.log_out(users[1]));
    ipad.log_in(users[0]);
    school.wait_for(&waits, "Acknowledged");

    ipad.with(|d| d.reboot()).unwrap();
    let profile = school.profile(&Value::Null);
    ipad.enroll(&school.stand_in, &profile);
    let states =
        school.device(&ipad)["users"].as_array().unwrap().iter().map(|u| u["state"].clone()).collect::<Vec<_>>();
    assert_eq!(states, vec![json!("Started"); 4], "each is asked to say anew where to push");
    for user in users {
        assert!(ipad.log_in(user).managed);
        ipad.with(|d| d.log_out(user));
    }
    school.wait_until("all four again", || {
        (school.get("/profiles/ipad.all")["installed"] == 4 && school.get("/profiles/ipad.cyd")["installed"] == 1)
            .then_some(())
    });
}

#[test]
fn a_profile_for_a_group_follows_its_members() {
    let school = School::new();
    let ipad = school.enroll(Kind::Ipad, 1);
    for name in ["ann@hill.example", "bob@hill.example"] {
        school.api("POST", "/users", &json!({ "short_name": name })).is(201);
    }
    school.api("POST", "/groups", &json!({ "name": "class 7b", "kind": "class" })).is(201);
    school.api("POST", "/groups/class%207b/members", &json!({ "people": ["ann@hill.example"] })).is(200);
    let [ann, bob] =
        ["ann@hill.example", "bob@hill.example"].map(|n| ipad.add_user(&school.stand_in, n, Account::SharedIpad));
    add(&school, "class.web", "com.apple.webClip.managed");
    assign(&school, "class.web", &json!({ "group": "Class 7b" }));
    for user in [ann, bob] {
        ipad.log_in(user);
        ipad.with(|d| d.log_out(user));
    }
    assert_eq!(standing(&ipad, ann), ["class.web"]);
    assert!(standing(&ipad, bob).is_empty());
}
