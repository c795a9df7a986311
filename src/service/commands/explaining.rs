//! Why a command is where it is, in plain words: what became of it, what it waits for, and what to do about that. Called by the API, the
//! console and the command line; nothing is changed here.

use super::{owner, show};
use crate::base::time::Timestamp;
use crate::protocol::lifecycle::State;
use crate::protocol::queue::DeliveryState;
use crate::service::actor::Actor;
use crate::service::{Context, Error, gates};
use crate::store::{DeliveryRow, EnrollmentRow, PushRow, ResultRow};

/// Why a command is where it is, in plain words, most important first.
///
/// # Errors
/// `NotFound`.
pub fn explain(cx: &Context, actor: &Actor, uuid: &str) -> Result<Vec<String>, Error> {
    let view = show(cx, actor, uuid)?;
    let delivery = &view.delivery;
    let (channel, _) = owner(cx, delivery)?;
    let push = cx.store.read(|db| db.find_push(channel.id))?;
    let seen = cx.find_seen(channel.id).max(channel.last_seen_at);
    let ahead = cx.store.read(|db| db.count_ahead(delivery))?;
    let paused = match &channel.target {
        Some(target) => {
            let certificates = cx.store.read(|db| db.list_push_certificates())?;
            certificates.into_iter().find(|c| c.topic == target.topic.as_str()).and_then(|c| c.paused_why)
        }
        None => None,
    };
    let mut words = vec![state_in_words(delivery, view.result.as_ref())];
    if let Some(at) = view.result.as_ref().and_then(|r| r.purged_at) {
        words.push(format!(
            "What the device answered was purged at {at}: the time that this school keeps answers was over."
        ));
    }
    // What the gates of pairs asked, or let through, is explained by how they stand.
    if matches!(view.created_by.as_str(), "job:gates" | "job:profiles") {
        words.extend(cx.store.read(|db| gates::in_words(db, &channel, cx.now()))?);
    }
    if !delivery.state.is_finished() {
        words.extend(waiting_in_words(&channel, delivery, push.as_ref(), paused, seen, ahead, cx.now()));
    }
    Ok(words)
}

fn state_in_words(delivery: &DeliveryRow, result: Option<&ResultRow>) -> String {
    let at = delivery.finished_at.map(|t| t.to_string()).unwrap_or_default();
    match delivery.state {
        DeliveryState::Queued => String::from("It waits to be fetched by the device; it has not been sent yet."),
        DeliveryState::Sent => format!(
            "It was handed to the device {} and has not been answered yet. If the answer was lost, the same command is handed out again when the device comes.",
            times(delivery.sent_count)
        ),
        DeliveryState::NotNow => format!(
            "The device has said “not now” {}. It is usually locked, or was not unlocked since it started. It asks again by itself when it can.",
            times(delivery.not_now_count)
        ),
        DeliveryState::Acknowledged => format!("Done: the device acknowledged it at {at}."),
        DeliveryState::Error => {
            let chain = result.and_then(|r| r.error_chain.clone()).unwrap_or_else(|| String::from("no reason given"));
            format!("The device answered with an error at {at}: {chain}")
        }
        DeliveryState::CommandFormatError => format!(
            "The device could not make sense of it (at {at}). Check its keys, or ask for a newer system on the device."
        ),
        DeliveryState::Cancelled => format!("It was cancelled at {at}, before the device had it."),
        DeliveryState::Expired => format!("Its time was over at {at}, before the device had it."),
        DeliveryState::Cleared => {
            format!("The device enrolled anew at {at}, which empties its queue. Send it again if it is still wanted.")
        }
    }
}

fn times(n: i64) -> String {
    match n {
        1 => String::from("once"),
        2 => String::from("twice"),
        n => format!("{n} times"),
    }
}

fn waiting_in_words(
    channel: &EnrollmentRow,
    delivery: &DeliveryRow,
    push: Option<&PushRow>,
    paused: Option<String>,
    seen: Option<Timestamp>,
    ahead: i64,
    now: Timestamp,
) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(at) = delivery.not_before.filter(|at| *at > now) {
        words.push(format!("It is not to be sent before {at}."));
    }
    if ahead > 0 {
        words.push(format!("{ahead} older command(s) for this device go first."));
    }
    if channel.state == State::Started {
        words.push(String::from("The enrolment is not finished: the device has not said yet how it can be reached."));
    }
    if let Some(why) = push.and_then(|p| p.dead_why.as_ref()) {
        words.push(format!("It cannot be called: {why}. It becomes reachable when it sends a new token by itself, or is enrolled again."));
    } else if let Some(why) = paused {
        words.push(format!("Pushes are paused because Apple refuses the push certificate ({why}). Renew it with `cordon push-cert import`."));
    } else if let Some(push) = push {
        if let Some(at) = push.last_sent_at {
            words.push(format!(
                "The device was last called at {at} ({}).",
                push.last_result.as_deref().unwrap_or("no answer yet")
            ));
        }
        if let Some(at) = push.due_at {
            words.push(format!("If it does not come, it is called again at {at}."));
        }
    }
    words.push(match seen {
        Some(at) => {
            format!("The device was last heard of at {at}. It may be asleep, switched off or without a network.")
        }
        None => String::from("The device has not been heard of since it enrolled."),
    });
    if let Some(at) = delivery.expires_at {
        words.push(format!("If it is not fetched by {at}, it expires."));
    }
    words
}
