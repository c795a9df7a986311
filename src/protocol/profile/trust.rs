//! The trust profile: nothing but the roots that a server's TLS chain ends in, for tools that prepare devices before they enrol.

use super::ROOT_TYPE;
use super::enrollment::{certificate, envelope};
use crate::base::ids::upper_uuid;
use crate::plist::{Value, to_xml};

/// One root of a trust profile.
pub struct Anchor<'a> {
    pub name: String,
    pub der: &'a [u8],
    /// SHA-256 of it: its UUID comes from here, so that the same root is the same payload each time.
    pub fingerprint: [u8; 32],
}

/// The profile as an XML property list, unsigned, as its receivers do not trust us yet. `None` without roots: an empty profile is
/// never handed out. The same roots make the same bytes.
pub fn trust_profile(identifier: &str, organization: &str, anchors: &[Anchor<'_>]) -> Option<Vec<u8>> {
    if anchors.is_empty() {
        return None;
    }
    let uuid = |from: &[u8; 32], salt: u8| {
        let mut bytes: [u8; 16] = std::array::from_fn(|at| from[at]);
        bytes[0] ^= salt;
        upper_uuid(bytes)
    };
    let payloads = (1..).zip(anchors).map(|(at, anchor)| {
        certificate(
            ROOT_TYPE,
            &format!("{identifier}.anchor.{at}"),
            &anchor.name,
            anchor.der,
            uuid(&anchor.fingerprint, 0),
        )
    });
    let payloads: Vec<Value> = payloads.collect();
    let mut whole = [0; 32];
    for anchor in anchors {
        whole.iter_mut().zip(anchor.fingerprint).for_each(|(sum, byte)| *sum ^= byte);
    }
    let name = format!("Trust Profile for {organization}");
    let mut top = envelope("Configuration", identifier, &name, uuid(&whole, 0x55));
    top.insert("PayloadDescription".to_owned(), "Configures your device to trust the MDM server.".into());
    top.insert("PayloadOrganization".to_owned(), organization.into());
    top.insert("PayloadScope".to_owned(), "System".into());
    top.insert("PayloadContent".to_owned(), Value::Array(payloads));
    Some(to_xml(&Value::Dictionary(top)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::parse_dict;

    fn anchor(n: u8) -> Anchor<'static> {
        Anchor { name: format!("Root {n}"), der: &[0x30, 1], fingerprint: [n; 32] }
    }

    #[test]
    fn only_roots_and_never_empty() {
        assert!(trust_profile("cordon.x.trust", "Hill School", &[]).is_none());
        let made = trust_profile("cordon.x.trust", "Hill School", &[anchor(1), anchor(2)]).unwrap();
        assert_eq!(Some(&made), trust_profile("cordon.x.trust", "Hill School", &[anchor(1), anchor(2)]).as_ref());
        let dict = parse_dict(&made).unwrap();
        assert_eq!(dict.string("PayloadScope").unwrap(), "System");
        assert_eq!(dict.string("PayloadType").unwrap(), "Configuration");
        let payloads = dict.array("PayloadContent").unwrap();
        let key = |at: usize, key: &str| payloads[at].as_dictionary().unwrap().get(key).unwrap().as_string().unwrap();
        assert_eq!((payloads.len(), key(0, "PayloadType"), key(1, "PayloadType")), (2, ROOT_TYPE, ROOT_TYPE));
        assert_ne!(key(0, "PayloadUUID"), key(1, "PayloadUUID"));
        assert_ne!(key(0, "PayloadIdentifier"), key(1, "PayloadIdentifier"));
    }
}
