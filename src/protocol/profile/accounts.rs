//! One account in one profile: which payload each kind is, and where in it a password or a certificate belongs. Pure; called by
//! `service::accounts`, which keeps settings and credentials apart until a device is sent both.

use super::building::{Cover, Part, build, uuid};
use crate::plist::{Dictionary, Value};
use crate::protocol::catalogue::is_password;

const PKCS12: &str = "com.apple.security.pkcs12";
/// EAP-TLS, which proves by certificate.
const EAP_TLS: i64 = 13;

/// What kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    Mail,
    /// Exchange on iPhone and iPad.
    Exchange,
    /// Exchange on a Mac.
    ExchangeMac,
    CalDav,
    CardDav,
    Ldap,
    Wifi,
    Vpn,
}

impl AccountKind {
    pub const ALL: [AccountKind; 8] = [
        AccountKind::Mail,
        AccountKind::Exchange,
        AccountKind::ExchangeMac,
        AccountKind::CalDav,
        AccountKind::CardDav,
        AccountKind::Ldap,
        AccountKind::Wifi,
        AccountKind::Vpn,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            AccountKind::Mail => "mail",
            AccountKind::Exchange => "exchange",
            AccountKind::ExchangeMac => "exchange-mac",
            AccountKind::CalDav => "caldav",
            AccountKind::CardDav => "carddav",
            AccountKind::Ldap => "ldap",
            AccountKind::Wifi => "wifi",
            AccountKind::Vpn => "vpn",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub fn payload_type(self) -> &'static str {
        match self {
            AccountKind::Mail => "com.apple.mail.managed",
            AccountKind::Exchange => "com.apple.eas.account",
            AccountKind::ExchangeMac => "com.apple.ews.account",
            AccountKind::CalDav => "com.apple.caldav.account",
            AccountKind::CardDav => "com.apple.carddav.account",
            AccountKind::Ldap => "com.apple.ldap.account",
            AccountKind::Wifi => "com.apple.wifi.managed",
            AccountKind::Vpn => "com.apple.vpn.managed",
        }
    }

    /// Whether Apple's payload has a place for a certificate.
    pub fn takes_certificate(self) -> bool {
        !matches!(self, AccountKind::CalDav | AccountKind::CardDav | AccountKind::Ldap)
    }
}

/// What an account proves itself with, ready for the payload.
pub enum Proof<'a> {
    Password(&'a str),
    Identity {
        pkcs12: &'a [u8],
        password: &'a str,
        /// Tells one certificate from the next: its fingerprint, hex.
        mark: &'a str,
    },
}

/// The first key that holds a secret: a credential is given apart, and not kept.
pub fn find_secret(keys: &Dictionary) -> Option<String> {
    keys.iter().find_map(|(key, value)| match value {
        Value::Dictionary(inner) => find_secret(inner).map(|path| format!("{key}.{path}")),
        Value::Boolean(_) => None,
        _ if is_password(key) => Some(key.clone()),
        // A container with a key of its own.
        Value::Data(_) if key == "Certificate" => Some(key.clone()),
        _ => None,
    })
}

/// The profile of an account without its credential.
pub fn account_profile(cover: &Cover<'_>, kind: AccountKind, keys: &Dictionary) -> Vec<u8> {
    build(cover, &[Part { payload_type: kind.payload_type().to_owned(), keys: keys.clone() }])
}

/// Puts the credential into a profile made by [`account_profile`]. The account keeps its PayloadUUID, so that a device changes it in place;
/// a certificate comes as a payload of its own with another UUID each time.
pub fn with_proof(profile: &Dictionary, kind: AccountKind, proof: &Proof<'_>) -> Dictionary {
    let mut profile = profile.clone();
    let identifier = profile.get("PayloadIdentifier").and_then(Value::as_string).unwrap_or_default().to_owned();
    let Some(Value::Array(payloads)) = profile.get_mut("PayloadContent") else { return profile };
    let Some(Value::Dictionary(account)) = payloads.first_mut() else { return profile };
    match proof {
        Proof::Password(password) => put_password(account, kind, password),
        Proof::Identity { pkcs12, password, mark } => {
            let id = format!("{identifier}.identity");
            let uuid = uuid(&format!("{id}.{mark}"));
            put_certificate(account, kind, &uuid);
            let mut identity = Dictionary::new();
            for (key, text) in [
                ("PayloadType", PKCS12),
                ("PayloadIdentifier", id.as_str()),
                ("PayloadUUID", uuid.as_str()),
                ("PayloadDisplayName", "Certificate"),
                ("PayloadCertificateFileName", "account.p12"),
                ("Password", password),
            ] {
                identity.insert(key.to_owned(), text.into());
            }
            identity.insert(String::from("PayloadVersion"), 1.into());
            identity.insert(String::from("PayloadContent"), Value::Data(pkcs12.to_vec()));
            payloads.insert(0, Value::Dictionary(identity));
        }
    }
    profile
}

/// Types of the payloads that such a profile has when it is sent.
pub fn payload_types(kind: AccountKind, by_certificate: bool) -> Vec<String> {
    let own = kind.payload_type().to_owned();
    if by_certificate { vec![PKCS12.to_owned(), own] } else { vec![own] }
}

fn put_password(account: &mut Dictionary, kind: AccountKind, password: &str) {
    let key = match kind {
        AccountKind::Mail => {
            let sends = account.get("OutgoingMailServerAuthentication").and_then(Value::as_string);
            if sends.is_some_and(|how| how != "EmailAuthNone") {
                account.insert(String::from("OutgoingPasswordSameAsIncomingPassword"), true.into());
            }
            "IncomingPassword"
        }
        AccountKind::Exchange | AccountKind::ExchangeMac => "Password",
        AccountKind::CalDav => "CalDAVPassword",
        AccountKind::CardDav => "CardDAVPassword",
        AccountKind::Ldap => "LDAPAccountPassword",
        AccountKind::Wifi => match account.get_mut("EAPClientConfiguration") {
            Some(Value::Dictionary(eap)) => {
                eap.insert(String::from("UserPassword"), password.into());
                return;
            }
            _ => "Password",
        },
        AccountKind::Vpn => {
            let (part, key) = match vpn_type(account) {
                "IKEv2" | "AlwaysOn" => ("IKEv2", "AuthPassword"),
                "L2TP" => ("PPP", "AuthPassword"),
                "IPSec" => ("IPSec", "XAuthPassword"),
                _ => ("VPN", "AuthPassword"),
            };
            inside(account, part).insert(key.to_owned(), password.into());
            return;
        }
    };
    account.insert(key.to_owned(), password.into());
}

fn put_certificate(account: &mut Dictionary, kind: AccountKind, uuid: &str) {
    match kind {
        AccountKind::Mail => {
            for key in ["SMIMEEnabled", "SMIMESigningEnabled"] {
                account.insert(key.to_owned(), true.into());
            }
            account.insert(String::from("SMIMESigningCertificateUUID"), uuid.into());
        }
        AccountKind::ExchangeMac => {
            account.insert(String::from("AuthenticationCertificateUUID"), uuid.into());
        }
        AccountKind::Exchange => {
            account.insert(String::from("PayloadCertificateUUID"), uuid.into());
        }
        AccountKind::Wifi => {
            let eap = inside(account, "EAPClientConfiguration");
            if !eap.contains_key("AcceptEAPTypes") {
                eap.insert(String::from("AcceptEAPTypes"), Value::Array(vec![EAP_TLS.into()]));
            }
            account.insert(String::from("PayloadCertificateUUID"), uuid.into());
        }
        AccountKind::Vpn => {
            let part = match vpn_type(account) {
                "IKEv2" | "AlwaysOn" => "IKEv2",
                "IPSec" | "L2TP" => "IPSec",
                _ => "VPN",
            };
            let part = inside(account, part);
            part.insert(String::from("AuthenticationMethod"), "Certificate".into());
            part.insert(String::from("PayloadCertificateUUID"), uuid.into());
        }
        AccountKind::CalDav | AccountKind::CardDav | AccountKind::Ldap => {}
    }
}

fn vpn_type(account: &Dictionary) -> &str {
    account.get("VPNType").and_then(Value::as_string).unwrap_or("VPN")
}

/// A dictionary inside, made if it is not there.
fn inside<'a>(account: &'a mut Dictionary, key: &str) -> &'a mut Dictionary {
    if !matches!(account.get(key), Some(Value::Dictionary(_))) {
        account.insert(key.to_owned(), Value::Dictionary(Dictionary::new()));
    }
    match account.get_mut(key) {
        Some(Value::Dictionary(dict)) => dict,
        _ => unreachable!("it was just put there"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_settings;
    use super::*;
    use crate::plist::{parse_dict, to_xml};
    use crate::protocol::catalogue::{Certainty, check_payload, payload_from_json};
    use serde_json::json;

    fn profile(kind: AccountKind, keys: &serde_json::Value) -> Dictionary {
        let keys = payload_from_json(kind.payload_type(), keys).unwrap();
        let cover = Cover { identifier: "school.account.1", name: "Account", organization: None };
        parse_dict(&account_profile(&cover, kind, &keys)).unwrap().into_dictionary()
    }

    fn payload(profile: &Dictionary, at: usize) -> Dictionary {
        profile["PayloadContent"].as_array().unwrap()[at].as_dictionary().unwrap().clone()
    }

    /// Kind, settings, where the password goes, where the certificate goes.
    fn table() -> Vec<(AccountKind, serde_json::Value, &'static str, Option<&'static str>)> {
        let mail = json!({ "EmailAccountType": "EmailTypeIMAP", "IncomingMailServerAuthentication": "EmailAuthPassword",
            "IncomingMailServerHostName": "m", "OutgoingMailServerAuthentication": "EmailAuthPassword", "OutgoingMailServerHostName": "m" });
        let dav = |key: &str| json!({ key: "dav.example" });
        vec![
            (AccountKind::Mail, mail, "IncomingPassword", Some("SMIMESigningCertificateUUID")),
            (AccountKind::Exchange, json!({ "Host": "e" }), "Password", Some("PayloadCertificateUUID")),
            (AccountKind::ExchangeMac, json!({ "Host": "e" }), "Password", Some("AuthenticationCertificateUUID")),
            (AccountKind::CalDav, dav("CalDAVHostName"), "CalDAVPassword", None),
            (AccountKind::CardDav, dav("CardDAVHostName"), "CardDAVPassword", None),
            (AccountKind::Ldap, dav("LDAPAccountHostName"), "LDAPAccountPassword", None),
            (AccountKind::Wifi, json!({ "SSID_STR": "School" }), "Password", Some("PayloadCertificateUUID")),
            (
                AccountKind::Wifi,
                json!({ "SSID_STR": "School", "EAPClientConfiguration": { "AcceptEAPTypes": [25] } }),
                "EAPClientConfiguration.UserPassword",
                Some("PayloadCertificateUUID"),
            ),
            (
                AccountKind::Vpn,
                json!({ "UserDefinedName": "School", "VPNType": "IKEv2", "IKEv2": { "RemoteAddress": "v" } }),
                "IKEv2.AuthPassword",
                Some("IKEv2.PayloadCertificateUUID"),
            ),
        ]
    }

    fn at<'a>(dict: &'a Dictionary, path: &str) -> Option<&'a str> {
        match path.split_once('.') {
            Some((outer, inner)) => at(dict.get(outer)?.as_dictionary()?, inner),
            None => dict.get(path)?.as_string(),
        }
    }

    #[test]
    fn a_credential_goes_where_apple_wants_it_and_nowhere_else() {
        for (kind, keys, password, certificate) in table() {
            let bare = profile(kind, &keys);
            assert_eq!(find_secret(&payload(&bare, 0)), None);
            let done = with_proof(&bare, kind, &Proof::Password("hunter2"));
            assert_eq!(at(&payload(&done, 0), password), Some("hunter2"), "{kind:?}");
            let whole = String::from_utf8(to_xml(&Value::Dictionary(done.clone()))).unwrap();
            assert_eq!(whole.matches("hunter2").count(), 1, "{kind:?}");
            assert_eq!(find_secret(&payload(&done, 0)).as_deref(), Some(password), "{kind:?}");
            assert_eq!(kind.takes_certificate(), certificate.is_some(), "{kind:?}");
            let identity = |mark| {
                let done = with_proof(&bare, kind, &Proof::Identity { pkcs12: b"p12", password: "x", mark });
                (payload(&done, 0), payload(&done, 1), done)
            };
            let Some(certificate) = certificate else { continue };
            let (first, account, done) = identity("aa");
            assert_eq!(at(&account, certificate), at(&first, "PayloadUUID"), "{kind:?}");
            let types = read_settings(&to_xml(&Value::Dictionary(done))).unwrap().payload_types;
            assert_eq!(types, payload_types(kind, true), "{kind:?}");
            let (next, same, _) = identity("bb");
            assert_ne!(at(&first, "PayloadUUID"), at(&next, "PayloadUUID"), "another certificate is another payload");
            assert_eq!(at(&same, "PayloadUUID"), at(&account, "PayloadUUID"), "and the account stays the same one");
            for payload in [&first, &account] {
                let kind = at(payload, "PayloadType").unwrap();
                let wrong = |f: &crate::protocol::catalogue::Finding| f.certainty() == Certainty::Wrong;
                let found = check_payload(kind, payload).unwrap();
                // What the table leaves out of IKEv2 is not of interest here.
                assert!(!found.iter().any(|f| wrong(f) && !f.path.starts_with("IKEv2")), "{kind}: {found:?}");
            }
        }
    }

    #[test]
    fn secrets_in_settings_are_found() {
        let keys = |value: serde_json::Value| payload_from_json("com.apple.wifi.managed", &value).unwrap();
        assert_eq!(find_secret(&keys(json!({ "SSID_STR": "a" }))), None);
        assert_eq!(find_secret(&keys(json!({ "Password": "b" }))).as_deref(), Some("Password"));
        let inner = json!({ "EAPClientConfiguration": { "UserPassword": "b", "OneTimeUserPassword": true } });
        assert_eq!(find_secret(&keys(inner)).as_deref(), Some("EAPClientConfiguration.UserPassword"));
        for kind in AccountKind::ALL {
            assert_eq!(AccountKind::parse(kind.as_str()), Some(kind));
        }
    }
}
