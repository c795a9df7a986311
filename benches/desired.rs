//! Wanted against standing for a whole school: every channel is looked at after a group changed, and a class gets what it gained.

use crate::Fault;
use crate::report::{Goal, Line};
use crate::school::{self, School};
use cordon::service::Error;
use cordon::service::actor::Actor;
use cordon::service::assigning::{self, Whom};
use cordon::service::groups::{self, Wish};
use cordon::service::{library, reconciling};
use cordon::store::Doing;
use std::path::Path;

/// Devices and profiles of a large school.
const DEVICES: usize = 2_000;
const PROFILES: usize = 40;
/// Devices that join a group.
const CLASS: usize = 30;

/// Processor time of looking at every channel after a class joined a group with one profile more.
pub fn measure(directory: &Path) -> Result<Vec<Line>, Fault> {
    let school = School::found(directory, DEVICES, DEVICES)?;
    let cx = school::open(directory)?;
    let actor = Actor::LocalShell { user: String::from("bench") };
    for name in ["all", "class"] {
        let wish = Wish { name: name.to_owned(), kind: String::from("devices"), ..Wish::default() };
        groups::add(&cx, &actor, &wish)?;
    }
    for n in 0..=PROFILES {
        let added = library::add(&cx, &actor, &profile(n), None)?;
        let group = if n < PROFILES { "all" } else { "class" };
        assigning::assign(&cx, &actor, &added.row.public_id, &Whom::Group(group.to_owned(), None))?;
    }
    let now = cx.now();
    let signer = Some(cx.authorities().signer.certificate.fingerprint());
    let channels = cx.store.write(|tx| -> Result<Vec<i64>, Error> {
        let missing = || Error::internal("the group just made is not there");
        let (all, class) =
            (tx.find_group("all")?.ok_or_else(missing)?.id, tx.find_group("class")?.ok_or_else(missing)?.id);
        let profiles = tx.list_profiles(0, PROFILES)?;
        let mut channels = Vec::new();
        for (n, device) in school.devices.iter().enumerate() {
            let channel = tx.find_enrollment(&device.udid)?.ok_or_else(|| Error::internal("not enrolled"))?;
            tx.put_group_device(all, channel.device, now)?;
            if n < CLASS {
                tx.put_group_device(class, channel.device, now)?;
            }
            for row in &profiles {
                let command = format!("{n}-{}", row.id);
                let doing = Doing {
                    profile: row.id,
                    command: &command,
                    installs: true,
                    version: 1,
                    fill: 0,
                    signer,
                    uncertain: false,
                };
                tx.put_channel_profile(channel.id, &doing)?;
                tx.put_profile_installed(channel.id, row.id)?;
            }
            channels.push(channel.id);
        }
        Ok(channels)
    })?;
    let before = processor_time()?;
    let queued = reconciling::reconcile_all(&cx, &channels)?;
    let cost = processor_time()? - before;
    if queued != CLASS {
        return Err(format!("{CLASS} devices should get one profile each, and {queued} commands were queued").into());
    }
    cx.store.close()?;
    let what =
        format!("processor time of reconciling {DEVICES} devices × {PROFILES} profiles, {CLASS} of which get one more");
    Ok(vec![Line { what, unit: "s", figure: cost, goal: Goal::AtMost(1.0), raw: None }])
}

fn profile(n: usize) -> Vec<u8> {
    let id = format!("bench.{n}");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>PayloadType</key><string>Configuration</string>\
         <key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>{id}</string><key>PayloadUUID</key>\
         <string>{id}</string><key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.wifi.managed</string>\
         <key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>{id}.1</string><key>PayloadUUID</key>\
         <string>{id}.1</string><key>SSID_STR</key><string>School {n}</string></dict></array></dict></plist>"
    )
    .into_bytes()
}

/// Seconds of this process, as the system counts them: hundredths.
fn processor_time() -> Result<f64, Fault> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
