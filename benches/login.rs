//! A login on a Mac that waits: everything that is queued for the person goes out in one exchange, while they look at a grey window.

use crate::load::{Link, command_uuid, report};
use crate::report::{Goal, Line};
use crate::school::{self, School, TOPIC};
use crate::servers::{Ports, Server};
use crate::{Fault, school::Device};
use cordon::base::push::{PushMagic, PushTarget, PushToken, Topic};
use cordon::plist::Dictionary;
use cordon::service::Error;
use cordon::service::actor::Actor;
use cordon::service::commands::{self, Wish};
use cordon::store::NewEnrollment;
use std::path::Path;
use std::time::Instant;

/// Macs whose person logs in, one after the other.
const LOGINS: usize = 15;
/// Commands that wait for each.
const WAITING: usize = 20;
const GUID: &str = "7B0A0000-0000-4000-8000-000000000001";

/// Round trips, time and processor time of one login.
pub fn measure(directory: &Path) -> Result<Vec<Line>, Fault> {
    let school = School::found(directory, LOGINS, LOGINS)?;
    let cx = school::open(directory)?;
    for device in &school.devices {
        add_person(&cx, &device.udid)?;
        for _ in 0..WAITING {
            let request_type = String::from("ProfileList");
            let (keys, user) = (Dictionary::new(), Some(GUID.to_owned()));
            let wish =
                Wish { request_type, keys, user, uuid: None, not_before: None, expires_at: None, unchecked: true };
            commands::send(&cx, &Actor::LocalShell { user: String::from("bench") }, &device.udid, &wish)?;
        }
    }
    cx.store.close()?;
    let server = Server::real(&school, Ports::free()?)?;
    let before = server.processor_time()?;
    let (mut times, mut trips) = (Vec::new(), 0);
    for device in &school.devices {
        let begun = Instant::now();
        trips = trips.max(log_in(&server, device)?);
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let cost = (server.processor_time()? - before) * 1_000.0 / LOGINS as f64;
    times.sort_by(f64::total_cmp);
    let line = |what: String, unit, figure, goal| Line { what, unit, figure, goal: Goal::AtMost(goal), raw: None };
    Ok(vec![
        line(format!("round trips of a login with {WAITING} commands"), "", trips as f64, WAITING as f64 + 1.0),
        line(format!("a login with {WAITING} commands, dialling included"), "ms", times[times.len() / 2], 300.0),
        line(String::from("processor time of such a login"), "ms", cost, 300.0),
    ])
}

/// The whole series, with the flag that says that somebody waits; how many requests it took.
fn log_in(server: &Server, device: &Device) -> Result<usize, Fault> {
    let who = format!(
        "<key>UserID</key><string>{GUID}</string><key>UserShortName</key><string>ada</string><key>NeedSyncResponse</key><true/>"
    );
    let mut link = Link::dial(server.devices, device)?;
    link.send(&report(&device.udid, &format!("<key>Status</key><string>Idle</string>{who}")))?;
    let mut trips = 1;
    loop {
        let Some(uuid) = command_uuid(link.receive()?) else { return Ok(trips) };
        let done = format!(
            "<key>Status</key><string>Acknowledged</string><key>CommandUUID</key><string>{uuid}</string>{who}\
             <key>ProfileList</key><array></array>"
        );
        link.send(&report(&device.udid, &done))?;
        trips += 1;
    }
}

fn add_person(cx: &cordon::service::Context, udid: &str) -> Result<(), Fault> {
    let bad = |e: cordon::base::ids::BadId| Error::internal(e.to_string());
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        let parent = tx.find_enrollment(udid)?.ok_or_else(|| Error::internal("not enrolled"))?;
        let id = format!("{udid}:{GUID}");
        let new = NewEnrollment {
            device: parent.device,
            parent: Some(parent.id),
            enrollment_id: &id,
            udid: Some(udid),
            user_enrollment_id: None,
            user_id: Some(GUID),
            user_short_name: Some("ada"),
            user_long_name: None,
        };
        let row = tx.insert_enrollment(&new, now)?;
        let target = PushTarget {
            topic: Topic::new(TOPIC).map_err(bad)?,
            token: PushToken::new(vec![9; 32]).map_err(bad)?,
            magic: PushMagic::new(&id).map_err(bad)?,
        };
        tx.activate(row, &target, false, false, now)?;
        Ok(())
    })?;
    Ok(())
}
