//! A profile with several accounts taken apart: one profile for each, with the certificates that it uses, and one with what is left. Pure;
//! called by `service::splitting`.

use super::building::uuid;
use super::settings::is_account;
use crate::plist::{Dictionary, Value};

/// One profile of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    pub identifier: String,
    pub name: String,
    pub profile: Dictionary,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pieces {
    pub accounts: Vec<Piece>,
    /// The profile itself without its accounts; `None` when nothing is left of it.
    pub rest: Option<Dictionary>,
}

/// Takes a profile apart; `None` for one with fewer than two accounts. Identifiers follow from the profile's and from those of the accounts,
/// so that the same profile always comes apart in the same way.
pub fn split(profile: &Dictionary) -> Option<Pieces> {
    let identifier = text(profile, "PayloadIdentifier");
    let all: Vec<&Dictionary> =
        profile.get("PayloadContent")?.as_array()?.iter().filter_map(Value::as_dictionary).collect();
    let accounts: Vec<&Dictionary> = all.iter().copied().filter(|p| is_account(text(p, "PayloadType"))).collect();
    if accounts.len() < 2 {
        return None;
    }
    let others: Vec<&Dictionary> = all.iter().copied().filter(|p| !is_account(text(p, "PayloadType"))).collect();
    let mut taken = vec![identifier.to_owned()];
    let pieces = accounts.iter().map(|account| piece(profile, identifier, account, &others, &mut taken)).collect();
    // A certificate that only accounts use goes with them.
    let is_used = |other: &&Dictionary| accounts.iter().any(|a| mentions(a, text(other, "PayloadUUID")));
    let stays = |other: &&Dictionary| {
        !is_used(other) || others.iter().any(|o| o != other && mentions(o, text(other, "PayloadUUID")))
    };
    let left: Vec<Value> = others.iter().filter(|o| stays(o)).map(|o| Value::Dictionary((*o).clone())).collect();
    let rest = (!left.is_empty()).then(|| {
        let mut rest = profile.clone();
        rest.insert(String::from("PayloadContent"), Value::Array(left));
        rest
    });
    Some(Pieces { accounts: pieces, rest })
}

fn piece(
    profile: &Dictionary,
    identifier: &str,
    account: &Dictionary,
    others: &[&Dictionary],
    taken: &mut Vec<String>,
) -> Piece {
    let kind = text(account, "PayloadType");
    let short = kind.strip_prefix("com.apple.").unwrap_or(kind).split('.').next().unwrap_or("account");
    let plain = format!("{identifier}.{short}");
    let id = (1..).map(|n| if n == 1 { plain.clone() } else { format!("{plain}.{n}") }).find(|id| !taken.contains(id));
    let id = id.unwrap_or(plain);
    taken.push(id.clone());
    let name = description(account).unwrap_or(short).to_owned();
    let mut whole = profile.clone();
    let mut content: Vec<Value> = others
        .iter()
        .filter(|other| mentions(account, text(other, "PayloadUUID")))
        .map(|other| Value::Dictionary((*other).clone()))
        .collect();
    content.push(Value::Dictionary(account.clone()));
    // On a device no two payloads may have the same UUID, and for a while both profiles may stand there.
    let ids: Vec<(String, String)> = content
        .iter()
        .filter_map(Value::as_dictionary)
        .map(|p| text(p, "PayloadUUID").to_owned())
        .filter(|old| !old.is_empty())
        .map(|old| (old.clone(), uuid(&format!("{id}/{old}"))))
        .collect();
    let mut content: Vec<Value> = content.iter().map(|payload| renamed(payload, &ids)).collect();
    for (at, payload) in content.iter_mut().enumerate() {
        if let Value::Dictionary(payload) = payload {
            payload.insert(String::from("PayloadIdentifier"), format!("{id}.{}", at + 1).into());
        }
    }
    whole.insert(String::from("PayloadContent"), Value::Array(content));
    for (key, value) in
        [("PayloadIdentifier", id.clone()), ("PayloadUUID", uuid(&id)), ("PayloadDisplayName", name.clone())]
    {
        whole.insert(key.to_owned(), value.into());
    }
    Piece { identifier: id, name, profile: whole }
}

fn text<'a>(dict: &'a Dictionary, key: &str) -> &'a str {
    dict.get(key).and_then(Value::as_string).unwrap_or_default()
}

/// What the account is called, as its payload says.
fn description(account: &Dictionary) -> Option<&str> {
    let ends = |key: &str| key.ends_with("AccountDescription");
    let own = account.iter().find(|(key, _)| ends(key)).and_then(|(_, value)| value.as_string());
    own.or_else(|| account.get("PayloadDisplayName").and_then(Value::as_string)).filter(|name| !name.trim().is_empty())
}

/// Whether a payload names another one by its UUID.
fn mentions(payload: &Dictionary, uuid: &str) -> bool {
    fn inside(value: &Value, uuid: &str) -> bool {
        match value {
            Value::String(text) => text == uuid,
            Value::Array(items) => items.iter().any(|item| inside(item, uuid)),
            Value::Dictionary(dict) => dict.values().any(|value| inside(value, uuid)),
            _ => false,
        }
    }
    !uuid.is_empty() && payload.iter().any(|(key, value)| key != "PayloadUUID" && inside(value, uuid))
}

fn renamed(value: &Value, ids: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => match ids.iter().find(|(old, _)| old == text) {
            Some((_, new)) => Value::String(new.clone()),
            None => value.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| renamed(item, ids)).collect()),
        Value::Dictionary(dict) => {
            Value::Dictionary(dict.iter().map(|(key, value)| (key.clone(), renamed(value, ids))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{lint, read_settings};
    use super::*;
    use crate::plist::to_xml;
    use proptest::prelude::*;

    fn payload(kind: &str, id: &str, more: &[(&str, &str)]) -> Value {
        let mut dict = Dictionary::new();
        let own = [("PayloadType", kind), ("PayloadIdentifier", id), ("PayloadUUID", id)];
        for (key, text) in own.iter().chain(more) {
            dict.insert((*key).to_owned(), (*text).into());
        }
        dict.insert(String::from("PayloadVersion"), 1.into());
        Value::Dictionary(dict)
    }

    fn profile(payloads: Vec<Value>) -> Dictionary {
        let Value::Dictionary(mut top) = payload("Configuration", "school.all", &[]) else { unreachable!() };
        top.insert(String::from("PayloadContent"), Value::Array(payloads));
        top
    }

    fn types(profile: &Dictionary) -> Vec<String> {
        read_settings(&to_xml(&Value::Dictionary(profile.clone()))).unwrap().payload_types
    }

    #[test]
    fn each_account_goes_with_the_certificates_that_it_uses() {
        let whole = profile(vec![
            payload("com.apple.wifi.managed", "w", &[("SSID_STR", "School")]),
            payload("com.apple.security.pkcs12", "c", &[]),
            payload("com.apple.mail.managed", "m", &[("EmailAccountDescription", "School mail")]),
            payload("com.apple.eas.account", "e", &[("PayloadCertificateUUID", "c")]),
            payload("com.apple.caldav.account", "k", &[]),
            payload("com.apple.caldav.account", "l", &[]),
        ]);
        let pieces = split(&whole).unwrap();
        let shown: Vec<(&str, &str, Vec<String>)> =
            pieces.accounts.iter().map(|p| (p.identifier.as_str(), p.name.as_str(), types(&p.profile))).collect();
        let of = |types: &[&str]| types.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                ("school.all.mail", "School mail", of(&["com.apple.mail.managed"])),
                ("school.all.eas", "eas", of(&["com.apple.security.pkcs12", "com.apple.eas.account"])),
                ("school.all.caldav", "caldav", of(&["com.apple.caldav.account"])),
                ("school.all.caldav.2", "caldav", of(&["com.apple.caldav.account"])),
            ]
        );
        let exchange = pieces.accounts[1].profile["PayloadContent"].as_array().unwrap();
        let (certificate, account) = (exchange[0].as_dictionary().unwrap(), exchange[1].as_dictionary().unwrap());
        assert_eq!(account["PayloadCertificateUUID"], certificate["PayloadUUID"]);
        assert_ne!(text(certificate, "PayloadUUID"), "c");
        assert_eq!(types(&pieces.rest.clone().unwrap()), ["com.apple.wifi.managed"]);
        assert_eq!(split(&whole), Some(pieces), "always the same way");
        let accounts =
            profile(vec![payload("com.apple.mail.managed", "m", &[]), payload("com.apple.ldap.account", "l", &[])]);
        assert_eq!(split(&accounts).unwrap().rest, None);
        assert_eq!(split(&profile(vec![payload("com.apple.mail.managed", "m", &[])])), None);
        assert_eq!(split(&Dictionary::new()), None);
    }

    proptest! {
        /// Whatever is in a profile: nothing is lost, each piece has one account, and no identifier or UUID is there twice.
        #[test]
        fn nothing_is_lost(kinds in proptest::collection::vec(0_usize..5, 0..9)) {
            let names = ["com.apple.mail.managed", "com.apple.caldav.account", "com.apple.wifi.managed", "com.apple.eas.account", "com.apple.dock"];
            let payloads: Vec<Value> =
                kinds.iter().enumerate().map(|(n, kind)| payload(names[*kind], &format!("p{n}"), &[])).collect();
            let whole = profile(payloads);
            let accounts = kinds.iter().filter(|k| [0, 1, 3].contains(*k)).count();
            let Some(pieces) = split(&whole) else { prop_assert!(accounts < 2); return Ok(()) };
            prop_assert_eq!(pieces.accounts.len(), accounts);
            let mut found: Vec<String> = pieces.rest.iter().flat_map(types).collect();
            let mut ids = vec![String::from("school.all")];
            for piece in &pieces.accounts {
                prop_assert!(!ids.contains(&piece.identifier));
                ids.push(piece.identifier.clone());
                prop_assert!(!lint(&piece.profile).iter().any(|d| d.words.contains("is there twice") || d.words.contains("accounts (")));
                found.extend(types(&piece.profile));
            }
            let mut wanted = types(&whole);
            wanted.sort();
            found.sort();
            prop_assert_eq!(found, wanted);
        }
    }
}
