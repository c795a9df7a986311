//! What may take the place of an enrolment profile on a simulated device: the same enrolment with the same rights or fewer, as Apple's own
//! installer has it. Called by `device` when a renewal arrives.

use super::profile::{Enrolling, Refusal};

/// Whether `new` may take the place of `old` (immutable URLs, topic, user channel; rights may shrink, never grow).
///
/// # Errors
/// [`Refusal`] naming the first key that may not change.
pub fn check_replacement(old: &Enrolling, new: &Enrolling) -> Result<(), Refusal> {
    let (before, after) = (&old.mdm, &new.mdm);
    let fixed = [
        ("PayloadIdentifier", old.profile.identifier == new.profile.identifier),
        ("Topic", before.topic == after.topic),
        ("ServerURL", before.server_url == after.server_url),
        ("CheckInURL", before.check_in_url == after.check_in_url),
        ("com.apple.mdm.per-user-connections", before.per_user_connections == after.per_user_connections),
    ];
    if let Some((key, _)) = fixed.iter().find(|(_, same)| !same) {
        return Err(Refusal::mdm(12012, format!("the new profile changes {key}, which an update may not")));
    }
    if after.access_rights & !before.access_rights != 0 {
        return Err(Refusal::mdm(12009, "the new profile adds access rights, which an update may not"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::profile::read_enrollment;
    use super::super::test_school::{Parts, number, parts, text};
    use super::*;

    #[test]
    fn a_replacement_may_only_shrink_rights() {
        let old = read_enrollment(&parts().bytes()).unwrap();
        let against = |bend: fn(&mut Parts)| {
            let mut parts = parts();
            bend(&mut parts);
            check_replacement(&old, &read_enrollment(&parts.bytes()).unwrap()).map_err(|r| r.code)
        };
        assert_eq!(against(|_| {}), Ok(()));
        assert_eq!(against(|p| p.mdm.insert("AccessRights".into(), number(1)).map_or((), drop)), Ok(()));
        assert_eq!(
            against(|p| p.mdm.insert("Topic".into(), text("com.apple.mgmt.other")).map_or((), drop)),
            Err(12012)
        );
        assert_eq!(
            against(|p| p.mdm.insert("ServerURL".into(), text("https://other.test/")).map_or((), drop)),
            Err(12012)
        );
        assert_eq!(against(|p| p.mdm.remove("CheckInURL").map_or((), drop)), Err(12012));
        assert_eq!(against(|p| p.mdm.remove("ServerCapabilities").map_or((), drop)), Err(12012));
        assert_eq!(against(|p| p.top.insert("PayloadIdentifier".into(), text("another")).map_or((), drop)), Err(12012));
        let mut less = parts();
        less.mdm.insert("AccessRights".into(), number(1));
        let less = read_enrollment(&less.bytes()).unwrap();
        assert_eq!(check_replacement(&less, &old).unwrap_err().code, 12009);
    }
}
