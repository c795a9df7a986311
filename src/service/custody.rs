//! Custody: secrets of devices are kept sealed, every generation, per physical device. `checkin` brings what devices send by
//! themselves, `polling` what they answer, `commands` what is sent to them; `revealing` is the only way out for people.

use super::actor::{Actor, Permission};
use super::commands::{self, Told};
use super::{Context, Error, auditing, devices, filevault};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::pki::activation_lock::BypassCode;
use crate::plist::{Dictionary, Value};
use crate::protocol::catalogue;
use crate::protocol::report::{Report, Status};
use crate::store::{ChannelKind, DeliveryRow, DeviceRow, EnrollmentRow, NewSecret, SecretRow, Tx};
use serde_json::json;

/// Every kind that is kept.
pub const KINDS: [&str; 8] = [
    "unlock-token",
    "bootstrap-token",
    "filevault-key",
    "activation-lock-code",
    "activation-lock-server-code",
    "recovery-lock",
    "firmware-password",
    "lock-pin",
];
/// Larger values are no secrets of Apple's; they stay in the sealed answer. An unlock token has a few KB.
const MAX_VALUE: usize = 256 * 1024;
/// Plists are bounded in depth before they come here; this only bounds the recursion's own claim.
const MAX_DEPTH: usize = 16;

/// A code that the server made, beside the one that the device made.
const SERVER_CODE: &str = "activation-lock-server-code";
/// What a new device is asked by itself.
pub const WHAT_IT_IS: &str = "DeviceInformation";
const QUERIES: [&str; 9] = [
    "IsSupervised",
    "SerialNumber",
    "DeviceName",
    "Model",
    "ModelName",
    "ProductName",
    "OSVersion",
    "BuildVersion",
    "IsMDMLostModeEnabled",
];
/// What people sent goes first.
pub(super) const AFTER_THE_OTHERS: i64 = -1;

/// The question for the code that opens Apple's Activation Lock. A device answers it only for some days after it was supervised.
const BYPASS_CODE: &str = "ActivationLockBypassCode";

/// The place that a device's secret is sealed for.
pub(super) fn place(device: i64, kind: &str, generation: i64) -> String {
    format!("secret/{device}/{kind}/{generation}")
}

/// Every generation of every kind of a device, without values.
///
/// # Errors
/// `NotFound` for the device.
pub fn list(cx: &Context, actor: &Actor, device: &str) -> Result<Vec<SecretRow>, Error> {
    actor.require(Permission::LookAround)?;
    let found = devices::find(cx, actor, device)?;
    cx.store.read(|db| Ok(db.list_secrets(found.id, None)?))
}

/// Adds a generation of what the device itself sent, unless it only repeats what is there.
pub(super) fn keep(
    cx: &Context,
    tx: &Tx<'_>,
    device: i64,
    kind: &str,
    value: &Secret<Vec<u8>>,
    now: Timestamp,
) -> Result<(), Error> {
    let last = tx.find_secret(device, kind)?;
    if let Some(last) = &last
        && last.withdrawn_at.is_none()
        && let Some(sealed) = &last.sealed_value
        && cx.open(&place(device, kind, last.generation), sealed)?.expose() == value.expose()
    {
        return Ok(());
    }
    let generation = last.map_or(1, |l| l.generation + 1);
    let sealed = cx.seal(&place(device, kind, generation), value.expose());
    tx.insert_secret(&NewSecret { device, kind, generation, sealed_value: Some(&sealed), command: None }, now)?;
    Ok(())
}

/// A secret found in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captured {
    pub kind: &'static str,
    pub value: Secret<Vec<u8>>,
}

/// Takes the secrets out of an answer and leaves a note where each was, so that the stored answer holds no second copy.
pub(super) fn capture(request_type: &str, keys: &Dictionary) -> (Dictionary, Vec<Captured>) {
    let mut captured = Vec::new();
    let left = take_out(request_type, keys, &mut captured, 0);
    (left, captured)
}

fn take_out(request_type: &str, keys: &Dictionary, captured: &mut Vec<Captured>, depth: usize) -> Dictionary {
    let mut left = Dictionary::new();
    for (key, value) in keys {
        let kind = catalogue::secret_kind(request_type, key).filter(|kind| KINDS.contains(kind));
        let secret = kind.and_then(|kind| Some((kind, bytes(value)?)));
        let stays = match (secret, value) {
            (Some((kind, value)), _) if !value.is_empty() && value.len() <= MAX_VALUE => {
                captured.push(Captured { kind, value: Secret::new(value) });
                Value::String(format!("kept in custody as {kind}"))
            }
            (_, Value::Dictionary(inner)) if depth < MAX_DEPTH => {
                Value::Dictionary(take_out(request_type, inner, captured, depth + 1))
            }
            _ => value.clone(),
        };
        left.insert(key.clone(), stays);
    }
    left
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Data(data) => Some(data.clone()),
        Value::String(text) => Some(text.clone().into_bytes()),
        _ => None,
    }
}

/// What an answer means for custody: what it brought is kept, what its command carried is confirmed.
pub(super) fn settled(
    cx: &Context,
    tx: &Tx<'_>,
    report: &Report,
    delivery: &DeliveryRow,
    channel: &EnrollmentRow,
    captured: &[Captured],
    now: Timestamp,
) -> Result<(), Error> {
    for secret in captured {
        keep(cx, tx, channel.device, secret.kind, &secret.value, now)?;
        let detail = json!({ "kind": secret.kind }).to_string();
        tx.tell(channel.device, Some(channel.id), Some(&delivery.command), "secret-kept", Some(&detail), now)?;
    }
    if report.status == Status::Acknowledged && !says_unchanged(&report.keys) {
        let carried = tx.list_secrets_of_command(&delivery.command)?;
        for secret in &carried {
            // It was cleared: what was before is no longer in force.
            if secret.sealed_value.is_none() {
                tx.withdraw_secret(channel.device, &secret.kind, now)?;
            }
        }
        if !carried.is_empty() {
            tx.confirm_secrets(&delivery.command, now)?;
        }
        let brought = |kind| captured.iter().any(|secret| secret.kind == kind);
        // A new key that the Mac did not send along is escrowed all the same: SecurityInfo has it.
        if delivery.request_type == filevault::ROTATE
            && !brought(filevault::KIND)
            && let Some(device) = tx.find_device(channel.device)?
        {
            ask_by_itself(cx, tx, &device, channel, "SecurityInfo", now)?;
        }
    }
    Ok(())
}

/// `SetFirmwarePassword: {PasswordChanged: false}`: acknowledged, yet the old one stays.
fn says_unchanged(keys: &Dictionary) -> bool {
    keys.iter().any(|(key, value)| match value {
        Value::Boolean(changed) => key == "PasswordChanged" && !changed,
        Value::Dictionary(inner) => says_unchanged(inner),
        _ => false,
    })
}

/// Secrets that a command carries to the device: kind, and the value or `None` where the command clears it.
fn carried(request_type: &str, keys: &Dictionary, platform: &str) -> Option<(&'static str, Option<Secret<Vec<u8>>>)> {
    let value =
        |key: &str| keys.get(key).and_then(bytes).filter(|v| !v.is_empty() && v.len() <= MAX_VALUE).map(Secret::new);
    match request_type {
        "SetRecoveryLock" => Some(("recovery-lock", value("NewPassword"))),
        "SetFirmwarePassword" => Some(("firmware-password", value("NewPassword"))),
        // Only a Mac is locked with a PIN; other platforms ignore the key. An unknown one may be a Mac.
        "DeviceLock" | "EraseDevice" if matches!(platform, "macOS" | "unknown") => {
            value("PIN").map(|pin| ("lock-pin", Some(pin)))
        }
        _ => None,
    }
}

/// Keeps what a command carries, as not yet confirmed, in the transaction that queues it.
pub(super) fn keep_carried(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    uuid: &str,
    request_type: &str,
    keys: &Dictionary,
    now: Timestamp,
) -> Result<(), Error> {
    let Some((kind, value)) = carried(request_type, keys, &device.platform) else { return Ok(()) };
    let generation = tx.find_secret(device.id, kind)?.map_or(1, |last| last.generation + 1);
    let sealed = value.map(|value| cx.seal(&place(device.id, kind, generation), value.expose()));
    let new = NewSecret { device: device.id, kind, generation, sealed_value: sealed.as_deref(), command: Some(uuid) };
    tx.insert_secret(&new, now)?;
    Ok(())
}

/// A code of ours for Apple's Activation Lock: kept first, then its hash may go to Apple when the lock is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCode {
    pub generation: i64,
    /// What Apple is given; it does not give the code away.
    pub escrow_key: String,
}

/// Makes an Activation Lock code for a device. The lock itself is set at Apple with the `escrow_key`.
///
/// # Errors
/// `Denied` below admin; `NotFound`.
pub fn make_bypass_code(cx: &Context, actor: &Actor, device: &str) -> Result<MadeCode, Error> {
    actor.require(Permission::Destroy)?;
    let found = devices::find(cx, actor, device)?;
    let code = BypassCode::mint(&*cx.random);
    let escrow_key = code.escrow_key();
    let now = cx.now();
    let value = Secret::new(code.text().expose().clone().into_bytes());
    let generation = cx.store.write(|tx| {
        keep(cx, tx, found.id, SERVER_CODE, &value, now)?;
        let generation = tx.find_secret(found.id, SERVER_CODE)?.map_or(1, |row| row.generation);
        let detail = json!({ "kind": SERVER_CODE, "generation": generation });
        auditing::record(tx, actor, "secret.make", Some(&found.public_id), Some(detail.clone()), now)?;
        tx.tell(found.id, None, None, "secret-kept", Some(&detail.to_string()), now)?;
        Ok::<_, Error>(generation)
    })?;
    Ok(MadeCode { generation, escrow_key })
}

/// Asks a device what it is, last in its first series, if nobody asked yet: whether it is supervised decides what else is asked for.
pub(super) fn ask_what_it_is(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, now: Timestamp) -> Result<(), Error> {
    if !cx.asks_at_enrollment
        || channel.channel != ChannelKind::Device
        || tx.was_asked(channel.id, channel.generation, WHAT_IT_IS)?
    {
        return Ok(());
    }
    let Some(device) = tx.find_device(channel.device)? else { return Ok(()) };
    let ready = commands::ready(cx, None, WHAT_IT_IS, what_it_is())?;
    let told = Told { priority: Some(AFTER_THE_OTHERS), ..Told::default() };
    commands::enqueue(cx, tx, &Actor::Job("custody"), &device, channel, &ready, &told, now)
}

/// The keys of that question.
pub fn what_it_is() -> Dictionary {
    let queries = QUERIES.map(|query| Value::String(query.to_owned())).to_vec();
    Dictionary::from_iter([(String::from("Queries"), Value::Array(queries))])
}

/// Asks a supervised device for its Activation Lock code, once per enrolment: Apple answers only for some days.
pub(super) fn ask_bypass_code(cx: &Context, tx: &Tx<'_>, channel: &EnrollmentRow, now: Timestamp) -> Result<(), Error> {
    match tx.find_device(channel.device)? {
        Some(device) => ask_bypass_code_of(cx, tx, &device, channel, now),
        None => Ok(()),
    }
}

/// The same for who has the device's row at hand.
pub(super) fn ask_bypass_code_of(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    now: Timestamp,
) -> Result<(), Error> {
    let takes_it = matches!(device.platform.as_str(), "iOS" | "iPadOS" | "macOS") && device.supervised == Some(true);
    if !takes_it
        || channel.channel != ChannelKind::Device
        || tx.was_asked(channel.id, channel.generation, BYPASS_CODE)?
    {
        return Ok(());
    }
    ask_by_itself(cx, tx, device, channel, BYPASS_CODE, now)
}

/// Queues a question that nobody typed.
pub(super) fn ask_by_itself(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    request_type: &str,
    now: Timestamp,
) -> Result<(), Error> {
    send_by_itself(cx, tx, device, channel, request_type, Dictionary::new(), now)
}

/// Queues a command that nobody typed.
pub(super) fn send_by_itself(
    cx: &Context,
    tx: &Tx<'_>,
    device: &DeviceRow,
    channel: &EnrollmentRow,
    request_type: &str,
    keys: Dictionary,
    now: Timestamp,
) -> Result<(), Error> {
    let ready = commands::ready(cx, None, request_type, keys)?;
    commands::enqueue(cx, tx, &Actor::Job("custody"), device, channel, &ready, &Told::default(), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(pairs: &[(&str, Value)]) -> Dictionary {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    #[test]
    fn answers_lose_their_secrets_at_any_depth_and_nothing_else() {
        let cms = Value::Data(b"sealed for the school".to_vec());
        let info = dict(&[("FDE_PersonalRecoveryKeyCMS", cms), ("FDE_Enabled", Value::Boolean(true))]);
        let (left, captured) = capture("SecurityInfo", &dict(&[("SecurityInfo", Value::Dictionary(info))]));
        assert_eq!(captured.len(), 1);
        assert_eq!(
            (captured[0].kind, captured[0].value.expose().as_slice()),
            ("filevault-key", &b"sealed for the school"[..])
        );
        let inner = left["SecurityInfo"].as_dictionary().unwrap();
        assert_eq!(inner["FDE_PersonalRecoveryKeyCMS"].as_string(), Some("kept in custody as filevault-key"));
        assert_eq!(inner["FDE_Enabled"], Value::Boolean(true));

        let rows: [(&str, Dictionary, Option<&str>); 6] = [
            (BYPASS_CODE, dict(&[(BYPASS_CODE, "AAAA-1".into())]), Some("activation-lock-code")),
            (BYPASS_CODE, dict(&[(BYPASS_CODE, "".into())]), None),
            (
                "RotateFileVaultKey",
                dict(&[("RotateResult", dict(&[("EncryptedNewRecoveryKey", Value::Data(vec![1]))]).into())]),
                Some("filevault-key"),
            ),
            ("RequestUnlockToken", dict(&[("UnlockToken", Value::Data(vec![1]))]), Some("unlock-token")),
            // A secret, but of no kind that custody keeps.
            ("RequestMirroring", dict(&[("Password", "x".into())]), None),
            ("RequestUnlockToken", dict(&[("UnlockToken", Value::Data(vec![0; MAX_VALUE + 1]))]), None),
        ];
        for (request_type, keys, wanted) in rows {
            let (left, captured) = capture(request_type, &keys);
            assert_eq!(captured.first().map(|c| c.kind), wanted, "{request_type}");
            assert_eq!(left == keys, wanted.is_none(), "{request_type}");
        }
    }

    #[test]
    fn what_commands_carry() {
        let pin = dict(&[("PIN", "123456".into())]);
        let password = dict(&[("NewPassword", "correct horse".into())]);
        let rows = [
            ("DeviceLock", &pin, "macOS", Some(("lock-pin", true))),
            ("EraseDevice", &pin, "unknown", Some(("lock-pin", true))),
            ("DeviceLock", &pin, "iPadOS", None),
            ("DeviceLock", &password, "macOS", None),
            ("SetRecoveryLock", &password, "macOS", Some(("recovery-lock", true))),
            // Without a new password the lock is cleared.
            ("SetRecoveryLock", &pin, "macOS", Some(("recovery-lock", false))),
            ("SetFirmwarePassword", &password, "macOS", Some(("firmware-password", true))),
            ("VerifyFirmwarePassword", &password, "macOS", None),
        ];
        for (request_type, keys, platform, wanted) in rows {
            let found = carried(request_type, keys, platform).map(|(kind, value)| (kind, value.is_some()));
            assert_eq!(found, wanted, "{request_type} {platform}");
        }
    }

    #[test]
    fn an_acknowledged_change_that_changed_nothing() {
        let told =
            |changed| dict(&[("SetFirmwarePassword", dict(&[("PasswordChanged", Value::Boolean(changed))]).into())]);
        assert!(says_unchanged(&told(false)) && !says_unchanged(&told(true)) && !says_unchanged(&Dictionary::new()));
    }
}
