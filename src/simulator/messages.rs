//! The bodies that a simulated device sends: check-in messages and reports, as property lists.
//!
//! Called by `device` and `session`. Written from the protocol's text and not from the server's parser, so that the two check each other.

use super::answers::Reply;
use super::profile::{MdmPayload, Refusal};
use super::spec::Kind;
use super::state::{Account, Blob, Channel, Line, Outgoing, State, Wait};
use crate::plist::{Dictionary, Value, to_xml};

/// `Content-Type` of check-in messages.
pub const CHECK_IN: &str = "application/x-apple-aspen-mdm-checkin";
/// `Content-Type` of reports; it carries a parameter, as on real devices.
pub const REPORT: &str = "application/x-apple-aspen-mdm; charset=UTF-8";

/// The first message of an enrolment.
pub fn authenticate(state: &State, mdm: &MdmPayload) -> Vec<u8> {
    let spec = &state.spec;
    let mut message = check_in("Authenticate", state, Channel::Device);
    put(&mut message, "Topic", &mdm.topic);
    if spec.kind == Kind::Mac {
        put(&mut message, "DeviceName", &spec.name);
        put(&mut message, "ModelName", &spec.model_name);
        put(&mut message, "Model", &spec.product);
    }
    // Mobile systems tell these only to a server with the right to ask.
    if spec.kind == Kind::Mac || mdm.access_rights & 16 != 0 {
        put(&mut message, "OSVersion", &spec.os_version);
        put(&mut message, "BuildVersion", &spec.build_version);
        put(&mut message, "ProductName", &spec.product);
        put(&mut message, "SerialNumber", &spec.serial);
    }
    to_xml(&Value::Dictionary(message))
}

/// Where to push; for the device channel with the unlock token, if there is one.
pub fn token_update(
    state: &State,
    mdm: &MdmPayload,
    channel: Channel,
    line: &Line,
    unlock_token: Option<&Blob>,
) -> Vec<u8> {
    let mut message = check_in("TokenUpdate", state, channel);
    put(&mut message, "Topic", &mdm.topic);
    put(&mut message, "PushMagic", &line.magic);
    message.insert("Token".to_owned(), Value::Data(line.token.0.clone()));
    match channel {
        Channel::Device => {
            message.insert("AwaitingConfiguration".to_owned(), Value::Boolean(state.awaiting.contains(&channel)));
            if let Some(token) = unlock_token {
                message.insert("UnlockToken".to_owned(), Value::Data(token.0.clone()));
            }
        }
        Channel::User | Channel::Agent(_) if state.spec.kind == Kind::Mac => {
            message.insert("NotOnConsole".to_owned(), Value::Boolean(false));
        }
        Channel::User | Channel::Agent(_) => {
            message.insert("AwaitingConfiguration".to_owned(), Value::Boolean(state.awaiting.contains(&channel)));
        }
    }
    to_xml(&Value::Dictionary(message))
}

/// The single goodbye.
pub fn check_out(state: &State, mdm: &MdmPayload) -> Vec<u8> {
    let mut message = check_in("CheckOut", state, Channel::Device);
    put(&mut message, "Topic", &mdm.topic);
    to_xml(&Value::Dictionary(message))
}

/// A poll without a result.
pub fn idle(state: &State, channel: Channel) -> Outgoing {
    let mut report = Dictionary::new();
    put(&mut report, "Status", "Idle");
    outgoing(report, "Idle", None, state, channel)
}

/// `NotNow` for a command.
pub fn not_now(state: &State, channel: Channel, command_uuid: &str) -> Outgoing {
    let mut report = Dictionary::new();
    put(&mut report, "Status", "NotNow");
    outgoing(report, "NotNow", Some(command_uuid), state, channel)
}

/// The result of a command.
pub fn result(state: &State, channel: Channel, command_uuid: &str, reply: Reply) -> Outgoing {
    let (status, mut report) = match reply {
        Reply::Acknowledged(keys) => ("Acknowledged", keys),
        Reply::Error(refusal) => ("Error", error_chain(&refusal)),
        Reply::FormatError(why) => ("CommandFormatError", error_chain(&Refusal::mdm(12008, why))),
    };
    put(&mut report, "Status", status);
    outgoing(report, status, Some(command_uuid), state, channel)
}

/// A finished command was delivered again and its answer is no longer at hand: the bare status.
pub fn bare_result(state: &State, channel: Channel, command_uuid: &str, status: &str) -> Outgoing {
    let mut report = Dictionary::new();
    put(&mut report, "Status", status);
    outgoing(report, status, Some(command_uuid), state, channel)
}

fn error_chain(refusal: &Refusal) -> Dictionary {
    let mut item = Dictionary::new();
    item.insert("ErrorCode".to_owned(), Value::Integer(refusal.code.into()));
    put(&mut item, "ErrorDomain", refusal.domain);
    put(&mut item, "LocalizedDescription", &refusal.text);
    put(&mut item, "USEnglishDescription", &refusal.text);
    let mut report = Dictionary::new();
    report.insert("ErrorChain".to_owned(), Value::Array(vec![Value::Dictionary(item)]));
    report
}

fn check_in(message_type: &str, state: &State, channel: Channel) -> Dictionary {
    let mut message = Dictionary::new();
    put(&mut message, "MessageType", message_type);
    identify(&mut message, state, channel);
    message
}

fn outgoing(
    mut report: Dictionary,
    status: &str,
    command_uuid: Option<&str>,
    state: &State,
    channel: Channel,
) -> Outgoing {
    if let Some(uuid) = command_uuid {
        put(&mut report, "CommandUUID", uuid);
    }
    identify(&mut report, state, channel);
    let body = Blob(to_xml(&Value::Dictionary(report)));
    Outgoing { status: status.to_owned(), command_uuid: command_uuid.map(str::to_owned), body }
}

/// Every user request also carries the device's id; a Shared iPad tells its users apart by short name alone.
fn identify(message: &mut Dictionary, state: &State, channel: Channel) {
    put(message, "UDID", &state.spec.udid);
    let Some(person) = state.person(channel) else { return };
    let agent = if let Channel::Agent(n) = channel { state.agents.get(n) } else { None };
    let shared = agent.is_some_and(|a| a.account == Account::SharedIpad);
    put(message, "UserID", if shared { "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF" } else { &person.guid });
    put(message, "UserShortName", &person.short_name);
    put(message, "UserLongName", &person.long_name);
    if let Some(token) = agent.and_then(|a| a.auth_token.as_ref()) {
        put(message, "AuthToken", token);
    }
    if let Some(wait) = state.find_line(channel).and_then(|line| line.wait) {
        let key = if wait == Wait::Login { "NeedSyncResponse" } else { "UserConfiguration" };
        message.insert(key.to_owned(), Value::Boolean(true));
    }
}

/// A network user logs in: only the device and the user's GUID are known, and the answer to a challenge the second time.
pub fn user_authenticate(state: &State, channel: Channel, digest_response: Option<&str>) -> Vec<u8> {
    let mut message = Dictionary::new();
    put(&mut message, "MessageType", "UserAuthenticate");
    put(&mut message, "UDID", &state.spec.udid);
    if let Some(person) = state.person(channel) {
        put(&mut message, "UserID", &person.guid);
    }
    if let Some(response) = digest_response {
        put(&mut message, "DigestResponse", response);
    }
    to_xml(&Value::Dictionary(message))
}

fn put(message: &mut Dictionary, key: &str, text: &str) {
    message.insert(key.to_owned(), Value::String(text.to_owned()));
}
