//! A simulated device enrols through the real listeners, runs one command, and is forgotten. It is in no count and no list, no webhook hears
//! of it, and Apple is never asked to push it.

use super::Finding;
use super::looks::host_and_port;
use crate::protocol::queue::DeliveryState;
use crate::service::actor::Actor;
use crate::service::ports::{Rehearsal, Surroundings};
use crate::service::{Context, Error, commands, enrolling, trust};
use std::sync::atomic::{AtomicBool, Ordering};

const PHASE: &str = "enrolment";
const DOCTOR: Actor = Actor::Job("doctor");
/// One at a time: there is one simulated device.
static BUSY: AtomicBool = AtomicBool::new(false);

struct Turn;

impl Turn {
    fn take() -> Option<Turn> {
        (!BUSY.swap(true, Ordering::SeqCst)).then_some(Turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::SeqCst);
    }
}

/// Forgets simulated devices that a crash left behind.
///
/// # Errors
/// Faults of the store.
pub fn clean_up(cx: &Context) -> Result<(), Error> {
    if cx.store.read(|db| db.has_synthetic())? {
        cx.store.write(|tx| tx.forget_synthetic())?;
    }
    Ok(())
}

pub(super) fn enrol(cx: &Context, world: Option<&dyn Surroundings>) -> Result<Vec<Finding>, Error> {
    let running = world.filter(|world| world.listeners().iter().any(|listener| listener.bound.is_some()));
    let Some(world) = running else {
        return Ok(vec![Finding::skipped(PHASE, "No simulated device was enrolled, because no server runs.")]);
    };
    let Some(_turn) = Turn::take() else {
        return Ok(vec![Finding::skipped(PHASE, "Another simulated device is enrolling now.")]);
    };
    let wish = enrolling::Wish { name: Some(String::from("cordon doctor")), ..enrolling::Wish::default() };
    let issued = match enrolling::issue(cx, &DOCTOR, &wish) {
        Ok(issued) => issued,
        Err(error) => {
            return Ok(vec![Finding::bad(
                PHASE,
                format!("No enrolment profile can be made: {error}"),
                "Mend what is said above first.",
            )]);
        }
    };
    let seed = u64::from_le_bytes(cx.random_bytes());
    let rehearsal = Rehearsal {
        seed,
        profile: issued.bytes.expose().clone(),
        hosts: [cx.urls().people, cx.urls().devices].iter().filter_map(|url| host_and_port(url)).collect(),
        publicly_trusted: trust::current(cx)?.publicly_trusted,
        now: cx.now(),
    };
    let udid = world.udid_of(seed);
    cx.expect_synthetic(Some(udid.clone()));
    let mut sent = None;
    let went = world.rehearse(&rehearsal, &mut || {
        let mut keys = crate::plist::Dictionary::new();
        keys.insert(
            String::from("Queries"),
            crate::plist::Value::Array(vec![crate::plist::Value::String(String::from("UDID"))]),
        );
        let wish = commands::Wish {
            request_type: String::from("DeviceInformation"),
            keys,
            user: None,
            uuid: None,
            not_before: None,
            expires_at: None,
            unchecked: false,
        };
        let view = commands::send(cx, &DOCTOR, &udid, &wish).map_err(|error| error.to_string())?;
        sent = Some(view.delivery.command);
        Ok(())
    });
    let state = match &sent {
        Some(uuid) => cx.store.read(|db| db.find_delivery_of(uuid))?.map(|delivery| delivery.state),
        None => None,
    };
    cx.store.write(|tx| tx.forget_synthetic())?;
    cx.expect_synthetic(None);
    cx.store.write(|tx| tx.forget_profile(issued.issued_profile))?;
    Ok(vec![match went {
        Ok(()) if state == Some(DeliveryState::Acknowledged) => Finding::good(
            PHASE,
            "A simulated device fetched its identity, enrolled, ran a command and answered, through the real listeners. It is forgotten again.",
        ),
        Ok(()) => Finding::bad(
            PHASE,
            format!(
                "A simulated device enrolled, but its command is {}.",
                state.map_or("missing", DeliveryState::as_str)
            ),
            "Read the server's log of this minute.",
        ),
        Err((stage, why)) => Finding::bad(PHASE, format!("A simulated device failed {stage}: {why}."), next(stage)),
    }])
}

fn next(stage: &str) -> &'static str {
    match stage {
        "to reach the server" => "The findings above on names and ports say where to begin.",
        "to trust the server" => {
            "The certificate must be for the host name, valid, and end in a root that the profile brings: cordon tls"
        }
        "to read its profile" => "Read the server's log; a profile like this would be refused by real devices too.",
        "to get its identity (SCEP)" => {
            "Devices fetch their identity from the people's address: a proxy or firewall must let /scep through."
        }
        "to check in" => {
            "Devices check in at the devices' address: a proxy must pass /mdm/checkin with the device's certificate or signature."
        }
        _ => "Read the server's log of this minute.",
    }
}
