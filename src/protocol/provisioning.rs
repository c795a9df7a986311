//! Provisioning profiles: what a `.mobileprovision` says of itself, and which upload a device is to get and to lose, purely. Called by
//! `service::provisioning` and by the simulator; an upload comes from a person, so nothing in it is believed.

use super::clip;
use super::queue::DeliveryState;
use crate::base::time::Timestamp;
use crate::pki::cms;
use crate::plist::{Dict, PlistError, parse_dict};
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest file, bytes; Apple's have some tens of KiB.
pub const MAX_FILE: usize = 1024 * 1024;
/// Longest text of one that is kept, bytes.
const MAX_TEXT: usize = 256;

/// What is known of one from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningFacts {
    pub uuid: String,
    pub name: String,
    /// Team and bundle identifier, as in the app's entitlements: `ABCDE12345.org.example.app`.
    pub app_id: String,
    pub team: Option<String>,
    /// How many devices it names; `None` for one that is for all of the team's.
    pub devices: Option<usize>,
    pub made_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    /// Whose signature it bears. It is whole; whether a device believes it is the device's to say.
    pub signed_by: String,
}

/// Why bytes are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisioningError {
    #[error("it has {0} bytes, at most {MAX_FILE} are taken")]
    TooLarge(usize),
    #[error("it is not signed as Apple signs them: {0}")]
    Signature(String),
    #[error("{0}")]
    Plist(#[from] PlistError),
    #[error("{0}")]
    Odd(&'static str),
}

/// Reads a `.mobileprovision`: a signed message with a property list inside.
///
/// # Errors
/// [`ProvisioningError`].
pub fn read_provisioning(bytes: &[u8]) -> Result<ProvisioningFacts, ProvisioningError> {
    if bytes.len() > MAX_FILE {
        return Err(ProvisioningError::TooLarge(bytes.len()));
    }
    let signed = cms::verify_attached(bytes).map_err(|e| ProvisioningError::Signature(e.to_string()))?;
    let signer = signed.signer.subject_common_name().unwrap_or_else(|| signed.signer.subject());
    let dict = parse_dict(&signed.content)?;
    let text = |key: &'static str, empty| -> Result<String, ProvisioningError> { plain(dict.string(key)?, empty) };
    let uuid = text("UUID", "its UUID is empty, too long or holds odd characters")?;
    if !uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || uuid.len() > 64 {
        return Err(ProvisioningError::Odd("its UUID is none"));
    }
    let rights = dict.dict("Entitlements")?;
    // macOS writes the name in front.
    let app_id = match rights.find_string("application-identifier")? {
        Some(id) => id,
        None => rights.string("com.apple.application-identifier")?,
    };
    let team = dict.find_string("TeamName")?.map(|team| clip(team, MAX_TEXT));
    let for_all = dict.flag("ProvisionsAllDevices")?;
    let devices = if for_all { None } else { dict.find_array("ProvisionedDevices")?.map(<[_]>::len) };
    let expires_at = date(&dict, "ExpirationDate").ok_or(ProvisioningError::Odd("it has no ExpirationDate"))?;
    Ok(ProvisioningFacts {
        uuid,
        name: text("Name", "its Name is empty, too long or holds odd characters")?,
        app_id: plain(app_id, "its application-identifier is empty, too long or holds odd characters")?,
        team: team.filter(|team| !team.chars().any(char::is_control)),
        devices,
        made_at: date(&dict, "CreationDate"),
        expires_at,
        signed_by: clip(&signer, MAX_TEXT).chars().filter(|c| !c.is_control()).collect(),
    })
}

fn plain(text: &str, odd: &'static str) -> Result<String, ProvisioningError> {
    let is_odd = text.trim().is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control);
    if is_odd { Err(ProvisioningError::Odd(odd)) } else { Ok(text.to_owned()) }
}

/// A date that fits into a time of ours; a property list's may lie before 1970 or after the sun.
fn date(dict: &Dict, key: &str) -> Option<Timestamp> {
    let at: SystemTime = dict.get(key)?.as_date()?.into();
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().filter(|ms| *ms < 253_402_300_800_000).map(Timestamp)
}

/// One upload of a line on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub version: i64,
    pub line: i64,
    /// The last command about it: an install, or a removal; and how it stands, if that is known.
    pub installs: bool,
    pub state: Option<DeliveryState>,
    /// The device acknowledged it and has not lost it since.
    pub stands: bool,
    /// And listed it afterwards.
    pub confirmed: bool,
    pub failed: bool,
    /// When a refusal is tried again; none: not by itself.
    pub again: Option<Timestamp>,
}

/// One thing to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Install(i64),
    Remove(i64),
    /// Ask the device what it has: a replacement is to be confirmed before the old one goes.
    List,
}

/// What brings a device to what it should have: (line, upload) for each that is wanted. An old upload of a line stays until the device has
/// listed the one that takes its place; then it goes.
pub fn difference(wanted: &[(i64, i64)], standing: &[Standing], now: Timestamp) -> Vec<Step> {
    let (mut steps, mut removals, mut list) = (Vec::new(), Vec::new(), false);
    let is_busy = |s: &Standing| s.state.is_some_and(|state| !state.is_finished());
    let is_refused = |s: &Standing| s.failed && s.again.is_none_or(|at| at > now);
    for (_, version) in wanted {
        match standing.iter().find(|s| s.version == *version) {
            None => steps.push(Step::Install(*version)),
            Some(known) if is_busy(known) || known.stands => {}
            Some(known) if known.installs && is_refused(known) => {}
            Some(_) => steps.push(Step::Install(*version)),
        }
    }
    for old in standing.iter().filter(|s| s.stands && !wanted.iter().any(|(_, version)| *version == s.version)) {
        if is_busy(old) || (!old.installs && is_refused(old)) {
            continue;
        }
        let next = wanted.iter().find(|(line, _)| *line == old.line).map(|(_, version)| *version);
        match next.map(|version| standing.iter().find(|s| s.version == version)) {
            // Nothing takes its place.
            None => removals.push(Step::Remove(old.version)),
            Some(Some(new)) if new.stands && new.confirmed => removals.push(Step::Remove(old.version)),
            Some(Some(new)) if new.stands => list = true,
            Some(_) => {}
        }
    }
    steps.extend(removals);
    if list {
        steps.push(Step::List);
    }
    steps
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::time::DAY;
    use crate::pki::SystemRandom;
    use crate::pki::templates::new_root;
    use crate::plist::{Date, Dictionary, Value, to_xml};
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const YEAR: i64 = 365 * DAY;

    fn whole() -> Dictionary {
        let date = |at: Timestamp| Value::Date(Date::from(UNIX_EPOCH + Duration::from_millis(at.0.unsigned_abs())));
        let mut rights = Dictionary::new();
        rights.insert(String::from("application-identifier"), "ABCDE12345.org.hill.timetable".into());
        let mut dict = Dictionary::new();
        for (key, value) in [
            ("UUID", Value::from("11111111-2222-3333-4444-555555555555")),
            ("Name", "Timetable".into()),
            ("TeamName", "Hill School".into()),
            ("ProvisionsAllDevices", true.into()),
            ("CreationDate", date(NOW)),
            ("ExpirationDate", date(NOW.plus(YEAR))),
            ("Entitlements", Value::Dictionary(rights)),
        ] {
            dict.insert(key.to_owned(), value);
        }
        dict
    }

    fn signed(content: &[u8]) -> Vec<u8> {
        let root = new_root("Apple, for this test", NOW, &SystemRandom);
        cms::sign_attached(content, &root.certificate, &root.key, &[], NOW)
    }

    fn file(change: impl FnOnce(&mut Dictionary)) -> Vec<u8> {
        let mut dict = whole();
        change(&mut dict);
        signed(&to_xml(&Value::Dictionary(dict)))
    }

    #[test]
    fn what_a_file_says_of_itself() {
        let facts = read_provisioning(&file(|_| {})).unwrap();
        assert_eq!((facts.app_id.as_str(), facts.name.as_str()), ("ABCDE12345.org.hill.timetable", "Timetable"));
        assert_eq!((facts.made_at, facts.expires_at, facts.devices), (Some(NOW), NOW.plus(YEAR), None));
        assert!(facts.signed_by.contains("Apple, for this test"));
        let some = file(|d| {
            d.remove("ProvisionsAllDevices");
            d.insert(String::from("ProvisionedDevices"), Value::Array(vec!["a".into(), "b".into()]));
        });
        assert_eq!(read_provisioning(&some).unwrap().devices, Some(2));
    }

    #[test]
    fn what_is_none_is_refused_with_a_reason() {
        let put = |key: &'static str, value: Value| file(move |d| drop(d.insert(key.to_owned(), value)));
        let without = |key: &'static str| file(move |d| drop(d.remove(key)));
        let cases: [(Vec<u8>, &str); 12] = [
            (b"junk".to_vec(), "not signed"),
            (to_xml(&Value::Dictionary(whole())), "not signed"),
            (signed(b"junk"), ""),
            (without("UUID"), "UUID"),
            (without("ExpirationDate"), "ExpirationDate"),
            (without("Entitlements"), "Entitlements"),
            (put("UUID", "../../etc".into()), "UUID"),
            (put("UUID", "a\u{0}b".into()), "UUID"),
            (put("Name", Value::from("x".repeat(300))), "Name"),
            (put("Name", 7.into()), "Name"),
            (put("Entitlements", Value::Dictionary(Dictionary::new())), "application-identifier"),
            (vec![0x30; MAX_FILE + 1], "bytes"),
        ];
        for (bytes, part) in cases {
            let why = read_provisioning(&bytes).unwrap_err().to_string();
            assert!(why.contains(part), "{part} in {why}");
        }
        let mut cut = file(|_| {});
        cut.truncate(cut.len() - 40);
        assert!(read_provisioning(&cut).is_err());
        let long = put("TeamName", Value::from("t".repeat(4_000)));
        assert!(read_provisioning(&long).unwrap().team.unwrap().len() <= MAX_TEXT);
    }

    fn one(version: i64, line: i64) -> Standing {
        Standing {
            version,
            line,
            installs: true,
            state: Some(DeliveryState::Acknowledged),
            stands: true,
            confirmed: true,
            failed: false,
            again: None,
        }
    }

    #[test]
    fn the_table() {
        use Step::{Install, List, Remove};
        let queued = Standing { state: Some(DeliveryState::Queued), stands: false, confirmed: false, ..one(2, 1) };
        let unsure = Standing { confirmed: false, ..one(2, 1) };
        let lost = Standing { stands: false, confirmed: false, ..one(2, 1) };
        let refused = Standing { failed: true, ..lost };
        let due = Standing { again: Some(NOW), ..refused };
        let leaving = Standing { installs: false, state: Some(DeliveryState::Sent), ..one(1, 1) };
        let gone = Standing { installs: false, stands: false, confirmed: false, ..one(1, 1) };
        let wanted = [(1, 2)];
        // What stands; what follows when upload 2 of line 1 is wanted, and when nothing is.
        let table: [(&[Standing], &[Step], &[Step]); 10] = [
            (&[], &[Install(2)], &[]),
            (&[one(1, 1)], &[Install(2)], &[Remove(1)]),
            (&[one(1, 1), queued], &[], &[Remove(1)]),
            (&[one(1, 1), unsure], &[List], &[Remove(1), Remove(2)]),
            (&[one(1, 1), one(2, 1)], &[Remove(1)], &[Remove(1), Remove(2)]),
            (&[leaving, one(2, 1)], &[], &[Remove(2)]),
            (&[gone, one(2, 1)], &[], &[Remove(2)]),
            (&[one(1, 1), refused], &[], &[Remove(1)]),
            (&[one(1, 1), due], &[Install(2)], &[Remove(1)]),
            (&[one(1, 1), lost], &[Install(2)], &[Remove(1)]),
        ];
        for (standing, then, without) in table {
            assert_eq!(difference(&wanted, standing, NOW), then, "{standing:?}");
            assert_eq!(difference(&[], standing, NOW), without, "{standing:?}");
        }
        assert_eq!(difference(&[(1, 2), (7, 9)], &[one(3, 5)], NOW.plus(DAY)), [Install(2), Install(9), Remove(3)]);
    }

    proptest! {
        /// A device that does what it is told, in whatever order uploads come: at no moment is an app without a profile that it had, and in the end
        /// there is the newest and nothing else.
        #[test]
        fn an_app_is_never_without(uploads in 1_usize..5, waits in proptest::collection::vec(0_usize..3, 0..12)) {
            let (mut have, mut waits) = (Vec::<Standing>::new(), waits.into_iter());
            for newest in 1..=i64::try_from(uploads).unwrap() {
                let rounds = if newest == uploads as i64 { 12 } else { waits.next().unwrap_or(0) };
                for _ in 0..rounds {
                    let had = have.iter().any(|s| s.stands);
                    for step in difference(&[(1, newest)], &have, NOW) {
                        match step {
                            Step::Install(version) => {
                                have.retain(|s| s.version != version);
                                have.push(Standing { confirmed: false, ..one(version, 1) });
                            }
                            Step::Remove(version) => {
                                for s in have.iter_mut().filter(|s| s.version == version) {
                                    (s.stands, s.confirmed, s.installs) = (false, false, false);
                                }
                            }
                            Step::List => have.iter_mut().for_each(|s| s.confirmed |= s.stands),
                        }
                        prop_assert!(!had || have.iter().any(|s| s.stands));
                    }
                }
            }
            let left: Vec<i64> = have.iter().filter(|s| s.stands).map(|s| s.version).collect();
            prop_assert_eq!(left, vec![uploads as i64]);
            prop_assert_eq!(difference(&[(1, uploads as i64)], &have, NOW), vec![]);
        }

        #[test]
        fn no_bytes_make_it_fall(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_provisioning(&bytes);
        }
    }
}
