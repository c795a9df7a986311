//! A profile that is there from eight to half past twelve: it comes and goes by the school's clock, leaves also when the server was off at
//! the end of its window, and follows holidays, other windows and another zone at once.

use super::{assign, device_group, member, standing, until, why};
use crate::support::{Plan, School};
use crate::users::profiles::add;
use cordon::base::time::{Clock, DAY, HOUR, MINUTE, ManualClock, Timestamp};
use cordon::service::schedules;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use serde_json::{Value, json};
use std::sync::Arc;

/// A school in Berlin on Monday, 2026-11-23, and the clock on its wall.
fn berlin(wall: &str, plan: Plan) -> (School, Arc<ManualClock>) {
    let at: jiff::Timestamp = format!("2026-11-23T{wall}:00+01:00").parse().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(at.as_millisecond())));
    let school = School::planned(Plan { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..plan });
    school.api("PATCH", "/calendar", &json!({ "time_zone": "Europe/Berlin" })).is(200);
    (school, clock)
}

fn turn(school: &School) {
    schedules::turn(school.server().context()).unwrap();
}

fn morning(school: &School) {
    add(school, "p.exam", "com.apple.applicationaccess");
    let wish = json!({ "name": "Mornings", "windows": ["mon-fri 8:00–12:30"] });
    let made = school.api("POST", "/schedules", &wish).is(201);
    assert_eq!(made["windows"], json!(["Mon-Fri 08:00-12:30"]));
}

#[test]
fn a_profile_comes_and_goes_with_its_window() {
    let (school, clock) = berlin("07:00", Plan::default());
    let ipad = school.enroll(Kind::Ipad, 1);
    morning(&school);
    device_group(&school, "Lab");
    member(&school, "Lab", &json!({ "devices": [ipad.udid()] }));
    let noted = assign(&school, "p.exam", &json!({ "group": "Lab", "during": "mornings" }));
    assert!(noted["notes"].to_string().contains("2026-11-23 08:00 – 2026-11-23 12:30"), "{noted}");
    assert_eq!(noted["assignments"][0]["during"], "Mornings");
    turn(&school);
    assert!(standing(&ipad, Channel::Device).is_empty());
    let words = why(&school, &ipad, "p.exam");
    assert!(words.contains("which is closed now") && words.contains("\"wanted\":false"), "{words}");
    clock.advance(HOUR);
    turn(&school);
    until(&school, &ipad, Channel::Device, &["p.exam"]);
    assert!(why(&school, &ipad, "p.exam").contains("which is open now"));
    let shown = school.get("/schedules/Mornings");
    assert_eq!((&shown["open"], &shown["used"]), (&json!(true), &json!(1)));
    school.api("DELETE", "/schedules/Mornings", &Value::Null).is_problem(409, "schedule-in-use");
    clock.advance(4 * HOUR + 30 * MINUTE);
    turn(&school);
    until(&school, &ipad, Channel::Device, &[]);
    // Tomorrow is a holiday, the day after is not. Who looks twice sends nothing twice.
    school.api("PATCH", "/calendar", &json!({ "holidays": ["2026-11-24"] })).is(200);
    clock.advance(20 * HOUR);
    turn(&school);
    assert!(standing(&ipad, Channel::Device).is_empty());
    clock.advance(DAY);
    turn(&school);
    turn(&school);
    until(&school, &ipad, Channel::Device, &["p.exam"]);
    let kinds: Vec<String> = ipad.executed().iter().map(|e| e.request_type.clone()).collect();
    assert_eq!(kinds, ["InstallProfile", "RemoveProfile", "InstallProfile"]);
    // Today becomes one too; then it holds on holidays; then in another zone it is night; then always.
    school.api("PATCH", "/calendar", &json!({ "holidays": ["2026-11-24..2026-11-25"] })).is(200);
    until(&school, &ipad, Channel::Device, &[]);
    school.api("PATCH", "/schedules/Mornings", &json!({ "on_holidays": true })).is(200);
    until(&school, &ipad, Channel::Device, &["p.exam"]);
    school.api("PATCH", "/calendar", &json!({ "time_zone": "America/New_York" })).is(200);
    until(&school, &ipad, Channel::Device, &[]);
    assign(&school, "p.exam", &json!({ "group": "Lab" }));
    until(&school, &ipad, Channel::Device, &["p.exam"]);
    school.api("DELETE", "/schedules/Mornings", &Value::Null).is(204);
}

#[test]
fn a_window_that_ended_while_the_server_was_off_is_undone_at_its_start() {
    let (mut school, clock) = berlin("09:00", Plan::with_lasting_ports());
    let ipad = school.enroll(Kind::Ipad, 1);
    morning(&school);
    assign(&school, "p.exam", &json!({ "device": ipad.udid(), "during": "Mornings" }));
    until(&school, &ipad, Channel::Device, &["p.exam"]);
    school.stop();
    clock.advance(6 * HOUR);
    school.start();
    // Nobody but the server's own upkeep.
    until(&school, &ipad, Channel::Device, &[]);
    // Off over several windows: what holds now is what counts, and the clock is not believed when it runs backwards.
    school.stop();
    clock.advance(3 * DAY - 6 * HOUR);
    school.start();
    until(&school, &ipad, Channel::Device, &["p.exam"]);
    school.stop();
    clock.advance(-20 * HOUR);
    school.start();
    turn(&school);
    school.api("POST", "/profiles/p.exam/retry", &json!({})).is(200);
    assert_eq!(standing(&ipad, Channel::Device), ["p.exam"]);
}

#[test]
fn what_is_no_schedule_is_refused_in_words() {
    let (school, _) = berlin("07:00", Plan::default());
    for (wish, key) in [
        (json!({ "name": "x" }), "windows"),
        (json!({ "name": "x", "windows": ["Mon 25:00-26:00"] }), "windows"),
        (json!({ "name": "", "windows": ["daily 08:00-09:00"] }), "name"),
    ] {
        let refused = school.api("POST", "/schedules", &wish).is_problem(400, "bad-argument");
        assert!(refused.contains(key), "{refused}");
    }
    school.api("PATCH", "/calendar", &json!({ "time_zone": "Mars/Olympus" })).is_problem(400, "bad-argument");
    school.api("PATCH", "/calendar", &json!({ "holidays": ["Christmas"] })).is_problem(400, "bad-argument");
    morning(&school);
    let again = json!({ "name": "MORNINGS", "windows": ["daily 08:00-09:00"] });
    school.api("POST", "/schedules", &again).is_problem(409, "schedule-exists");
    let ipad = school.enroll(Kind::Ipad, 1);
    let wish = json!({ "device": ipad.udid(), "during": "Evenings" });
    school.api("POST", "/profiles/p.exam/assign", &wish).is_problem(404, "no-such-schedule");
}
