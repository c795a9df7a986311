//! Events: what happened, told to other programs and, by e-mail, to people. A verb records an event in the transaction of what it tells;
//! when nobody wants the kind, that costs one look at a number in memory. `webhooks` and `mail` hold whom to tell, `telling` and `mailing`
//! carry it out.

use super::{Context, Error};
use crate::base::ids::short_code;
use crate::base::time::{HOUR, Timestamp};
use crate::store::{ChannelKind, Db, MailServerRow, NewEvent, Store, Tx};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The same job's faults are told at most this often.
const FAULT_PAUSE: i64 = HOUR;
/// Longest text of a device's that goes into an event.
const MAX_TEXT: usize = 512;

/// What an event tells. The words are a contract with receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    DeviceAuthenticated,
    DeviceEnrolled,
    DeviceTokenUpdated,
    DeviceCheckedOut,
    DeviceBootstrapToken,
    DeviceAttention,
    DeviceInactive,
    DeviceActiveAgain,
    CommandQueued,
    CommandSent,
    CommandNotNow,
    CommandAcknowledged,
    CommandError,
    CommandExpired,
    CommandCancelled,
    PushDead,
    PushTopicPaused,
    CertificateExpiring,
    TokenExpiring,
    ServerFault,
}

impl Kind {
    pub const ALL: [Kind; 20] = [
        Kind::DeviceAuthenticated,
        Kind::DeviceEnrolled,
        Kind::DeviceTokenUpdated,
        Kind::DeviceCheckedOut,
        Kind::DeviceBootstrapToken,
        Kind::DeviceAttention,
        Kind::DeviceInactive,
        Kind::DeviceActiveAgain,
        Kind::CommandQueued,
        Kind::CommandSent,
        Kind::CommandNotNow,
        Kind::CommandAcknowledged,
        Kind::CommandError,
        Kind::CommandExpired,
        Kind::CommandCancelled,
        Kind::PushDead,
        Kind::PushTopicPaused,
        Kind::CertificateExpiring,
        Kind::TokenExpiring,
        Kind::ServerFault,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::DeviceAuthenticated => "device.authenticated",
            Kind::DeviceEnrolled => "device.enrolled",
            Kind::DeviceTokenUpdated => "device.token_updated",
            Kind::DeviceCheckedOut => "device.checked_out",
            Kind::DeviceBootstrapToken => "device.bootstrap_token",
            Kind::DeviceAttention => "device.attention",
            Kind::DeviceInactive => "device.inactive",
            Kind::DeviceActiveAgain => "device.active_again",
            Kind::CommandQueued => "command.queued",
            Kind::CommandSent => "command.sent",
            Kind::CommandNotNow => "command.not_now",
            Kind::CommandAcknowledged => "command.acknowledged",
            Kind::CommandError => "command.error",
            Kind::CommandExpired => "command.expired",
            Kind::CommandCancelled => "command.cancelled",
            Kind::PushDead => "push.dead",
            Kind::PushTopicPaused => "push.topic_paused",
            Kind::CertificateExpiring => "certificate.expiring",
            Kind::TokenExpiring => "token.expiring",
            Kind::ServerFault => "server.fault",
        }
    }

    pub fn find(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// What webhooks need in memory: which kinds anybody wants, and the bell of the thread that tells them.
pub(super) struct Hooks {
    wanted: AtomicU32,
    bell: Arc<Bell>,
    /// When a fault of a job was last told.
    faults: Mutex<HashMap<&'static str, Timestamp>>,
    /// What [`super::faults`] has found and told.
    pub(super) conditions: Mutex<HashMap<&'static str, Timestamp>>,
    /// Since when nothing reaches Apple's push service.
    pub(super) pushes_fail_since: Mutex<Option<Timestamp>>,
    pub(super) bad_tokens_since: Mutex<Option<Timestamp>>,
    reloading: Mutex<()>,
}

impl Hooks {
    pub(super) fn load(store: &Store) -> Result<Hooks, Error> {
        let wanted = store.read(wanted)?;
        Ok(Hooks {
            wanted: AtomicU32::new(wanted),
            bell: Arc::default(),
            faults: Mutex::default(),
            conditions: Mutex::default(),
            pushes_fail_since: Mutex::default(),
            bad_tokens_since: Mutex::default(),
            reloading: Mutex::default(),
        })
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

/// Wakes the thread that tells.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(|p| p.into_inner()) = true;
        self.heard.notify_all();
    }

    fn wait(&self, at_most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(|p| p.into_inner());
        let (mut rung, _) =
            self.heard.wait_timeout_while(rung, at_most, |rung| !*rung).unwrap_or_else(|p| p.into_inner());
        *rung = false;
    }
}

impl Context {
    /// Events may be owed: wakes the teller. Called after the commit; costs nothing without webhooks.
    pub fn ring_teller(&self) {
        if self.hooks.wanted.load(Ordering::SeqCst) != 0 {
            self.hooks.bell.ring();
        }
    }

    /// Wakes the teller whatever there is to tell; for its stop.
    pub fn wake_teller(&self) {
        self.hooks.bell.ring();
    }

    /// Waits until the bell or for `at_most`.
    pub fn wait_for_telling(&self, at_most: Duration) {
        self.hooks.bell.wait(at_most);
    }
}

fn wanted(db: &Db<'_>) -> Result<u32, Error> {
    let mut bits = 0;
    for webhook in db.list_webhooks()?.into_iter().filter(|w| w.enabled) {
        for kind in Kind::ALL {
            if webhook.kinds.is_empty() || webhook.kinds.iter().any(|k| k == kind.as_str()) {
                bits |= kind.bit();
            }
        }
    }
    if let Some(mail) = db.find_mail_server()? {
        bits |= Kind::ALL.into_iter().filter(|kind| mails(&mail, *kind)).fold(0, |all, kind| all | kind.bit());
    }
    Ok(bits)
}

/// Whether people are told of this kind by e-mail.
fn mails(mail: &MailServerRow, kind: Kind) -> bool {
    mail.enabled && mail.kinds.iter().any(|wanted| wanted == kind.as_str())
}

/// Webhooks changed: which kinds are wanted now. Called after the commit.
pub(super) fn reload(cx: &Context) -> Result<(), Error> {
    // One at a time, so that the last look into the file is also the last one kept.
    let _turn = cx.hooks.reloading.lock().unwrap_or_else(|p| p.into_inner());
    let wanted = cx.store.read(wanted)?;
    cx.hooks.wanted.store(wanted, Ordering::SeqCst);
    Ok(())
}

/// Whether any enabled webhook or the e-mail wants this kind.
pub(super) fn wants(cx: &Context, kind: Kind) -> bool {
    cx.hooks.wanted.load(Ordering::SeqCst) & kind.bit() != 0
}

/// Writes an event into the caller's transaction, if anybody wants it. `more` makes the part that only this kind has (an object);
/// it must not hold a secret, nor a command's keys or answer. The caller rings [`Context::ring_teller`] after its commit.
pub(super) fn record(
    cx: &Context,
    tx: &Tx<'_>,
    kind: Kind,
    device: Option<i64>,
    now: Timestamp,
    more: impl FnOnce() -> Value,
) -> Result<(), Error> {
    // The doctor's simulated device is told to nobody.
    if device.is_some_and(|device| cx.is_synthetic(device)) {
        return Ok(());
    }
    if !wants(cx, kind) {
        return Ok(());
    }
    let takers = tx.list_takers(kind.as_str())?;
    let by_mail = tx.find_mail_server()?.is_some_and(|mail| mails(&mail, kind));
    if takers.is_empty() && !by_mail {
        return Ok(());
    }
    let event = write(cx, tx, kind.as_str(), device, now, more())?;
    for webhook in takers {
        tx.owe_event(event, &webhook, now)?;
    }
    if by_mail {
        tx.owe_mail(event)?;
    }
    Ok(())
}

/// One event; returns its sequence number.
pub(super) fn write(
    cx: &Context,
    tx: &Tx<'_>,
    kind: &str,
    device: Option<i64>,
    now: Timestamp,
    more: Value,
) -> Result<i64, Error> {
    let id = format!("ev-{}", short_code(&cx.random_bytes::<16>()));
    let mut payload = Map::new();
    payload.insert(String::from("id"), json!(id));
    payload.insert(String::from("kind"), json!(kind));
    payload.insert(String::from("at"), json!(now.to_string()));
    if let Some(device) = device {
        payload.insert(String::from("device"), describe(tx, device)?);
    }
    if let Value::Object(more) = more {
        payload.extend(more);
    }
    let payload = Value::Object(payload).to_string();
    Ok(tx.insert_event(&NewEvent { public_id: &id, kind, device, payload: &payload }, now)?)
}

fn describe(db: &Db<'_>, device: i64) -> Result<Value, Error> {
    let row = db.find_device(device)?.ok_or_else(|| Error::internal("an event of a device that is not there"))?;
    let channels = db.list_enrollments(device)?;
    let own = channels.iter().find(|c| c.channel == ChannelKind::Device);
    Ok(json!({ "id": row.public_id, "serial": row.serial, "udid": own.map(|c| c.enrollment_id.as_str()) }))
}

/// The `command` part of an event: which one and how it stands; never what is in it.
pub(super) fn command(uuid: &str, request_type: &str, state: &str, user: Option<&str>) -> Value {
    json!({ "command": { "uuid": uuid, "request_type": request_type, "state": state, "user": user.map(bounded) } })
}

/// A text from outside, cut to what fits into an event.
pub(super) fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// A job failed. Told in words that may be shown; the log has the rest.
///
/// # Errors
/// When even this cannot be written.
pub fn tell_fault(cx: &Context, job: &'static str, fault: &Error) -> Result<(), Error> {
    if !wants(cx, Kind::ServerFault) {
        return Ok(());
    }
    let now = cx.now();
    {
        let mut faults = cx.hooks.faults.lock().unwrap_or_else(|p| p.into_inner());
        if faults.get(job).is_some_and(|last| (0..FAULT_PAUSE).contains(&now.since(*last))) {
            return Ok(());
        }
        faults.insert(job, now);
    }
    let fault = json!({ "fault": { "job": job, "kind": format!("{:?}", fault.kind).to_lowercase(), "detail": fault.public.to_string() } });
    cx.store.write(|tx| record(cx, tx, Kind::ServerFault, None, now, || fault))?;
    cx.ring_teller();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_word_and_a_bit_of_its_own() {
        let words: HashSet<_> = Kind::ALL.iter().map(|k| k.as_str()).collect();
        let bits: HashSet<_> = Kind::ALL.iter().map(|k| k.bit()).collect();
        assert_eq!((words.len(), bits.len()), (Kind::ALL.len(), Kind::ALL.len()));
        assert!(Kind::ALL.iter().all(|k| Kind::find(k.as_str()) == Some(*k)));
        assert_eq!(Kind::find("webhook.test"), None);
    }
}
