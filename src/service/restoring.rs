//! From a copy of the database file back to a school: prove that the copy is whole and opens, then put it in place. Called by `cli`,
//! while no server runs. Everything happens on a copy of the copy; the given file is only read.

use super::actor::{Actor, Permission};
use super::founding::{self, Place};
use super::{Context, Error, auditing, errands};
use crate::base::random::Random;
use crate::base::texts::Text;
use crate::base::time::{Clock, Timestamp};
use crate::protocol::queue::DeliveryState;
use crate::store::{Copied, NotWhole, Tx, copy_whole, put_in_place};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod proof;

pub use proof::Proof;
use proof::examine;

/// A school that is back.
#[derive(Debug)]
pub struct Restored {
    pub proof: Proof,
    /// Where the school is that was there before.
    pub kept_as: Option<PathBuf>,
    /// Commands that erase, lock or remove and had not been answered: they were cancelled, because they may have been carried out since.
    pub held_back: usize,
}

/// What opens the secrets of the copy.
#[derive(Clone, Copy)]
pub enum Opener<'a> {
    /// The key that this machine already has.
    MachineKey,
    RecoveryCode(&'a str),
}

/// Proves a copy without touching it, the machine key or the school that is here: in `scratch`, an empty private directory.
/// `machine_key` is where this machine's key lies.
///
/// # Errors
/// `Invalid` with what is wrong with the file or the code.
pub fn prove(
    copied: Copied<'_>,
    scratch: &Path,
    machine_key: &Path,
    opener: Opener<'_>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Proof, Error> {
    copy_in(copied, scratch)?;
    let place = match opener {
        Opener::MachineKey => Place { directory: scratch.to_owned(), machine_key: Some(machine_key.to_owned()) },
        // The new key of a mere proof goes the way of the scratch directory.
        Opener::RecoveryCode(_) => Place::in_directory(scratch),
    };
    let cx = open(&place, opener, clock, random)?;
    let proof = examine(&cx)?;
    cx.store.close()?;
    Ok(proof)
}

/// Proves the copy, opens it for this machine and puts it into `place`. `scratch` lies on the same file system. With `replace` a
/// school that is there is kept aside under the returned name.
///
/// # Errors
/// As [`prove`]; `Conflict` when a school is there and `replace` is not said.
pub fn restore(
    copied: Copied<'_>,
    scratch: &Path,
    place: &Place,
    opener: Opener<'_>,
    replace: bool,
    actor: &Actor,
    (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<Restored, Error> {
    actor.require(Permission::Administer)?;
    let target = place.directory.join("cordon.db");
    // The file that lies there already and only lost its machine key is not "another school".
    let same =
        std::fs::canonicalize(copied.file).ok().is_some_and(|f| std::fs::canonicalize(&target).is_ok_and(|t| t == f));
    if target.exists() && !replace && !same {
        return Err(Error::conflict(Text::SchoolThere { path: target.display().to_string() }));
    }
    copy_in(copied, scratch)?;
    let opened = Place { directory: scratch.to_owned(), machine_key: Some(place.key_path()) };
    let cx = open(&opened, opener, Arc::clone(&clock), random)?;
    let proof = examine(&cx)?;
    let now = clock.now();
    let held_back = cx.store.write(|tx| -> Result<usize, Error> {
        // Who was logged in when the copy was taken is not logged in now.
        tx.end_all_sessions()?;
        let held_back = hold_back(tx, now)?;
        let detail = json!({ "as_of": proof.as_of.map(|at| at.to_string()), "held_back": held_back });
        auditing::record(tx, actor, "school.restore", None, Some(detail), now)?;
        Ok(held_back)
    })?;
    cx.store.close()?;
    let kept_as = format!("replaced-{}", now.to_string().replace([':', '-'], ""));
    let kept_as = put_in_place(scratch, &place.directory, &kept_as)?;
    Ok(Restored { proof, kept_as, held_back })
}

fn copy_in(copied: Copied<'_>, scratch: &Path) -> Result<(), Error> {
    let told = |why: String| Error::invalid(Text::NotRestorable { path: copied.file.display().to_string(), why });
    copy_whole(copied, scratch).map_err(|e| match e {
        NotWhole::Store(e @ (crate::store::StoreError::Full | crate::store::StoreError::Busy)) => Error::from(e),
        other => told(other.to_string()),
    })
}

fn open(place: &Place, opener: Opener<'_>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Context, Error> {
    match opener {
        Opener::RecoveryCode(code) => founding::open_with_recovery(place, code, clock, random),
        // A missing key must not be made here: nothing would be sealed with it.
        Opener::MachineKey if !place.key_path().exists() => Err(Error::invalid(Text::RecoveryCodeNeeded)),
        Opener::MachineKey => founding::open(place, clock, random),
    }
}

/// What was asked to be erased, locked or removed before the copy was made, and may have been done since: nobody wants it twice.
fn hold_back(tx: &Tx<'_>, now: Timestamp) -> Result<usize, Error> {
    let mut held = 0;
    for delivery in tx.list_everything_unfinished()? {
        if !errands::is_for_once(&delivery.request_type) {
            continue;
        }
        tx.finish_delivery(delivery.seq, DeliveryState::Cancelled, now)?;
        if let Some(channel) = tx.find_enrollment_by_row(delivery.enrollment)? {
            let detail = json!({ "by": "restore", "why": "it may have been carried out after the copy was made" });
            let (uuid, detail) = (delivery.command.as_str(), detail.to_string());
            tx.tell(channel.device, Some(channel.id), Some(uuid), "cancelled", Some(&detail), now)?;
        }
        held += 1;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;
    use crate::pki::SystemRandom;
    use crate::pki::keys::PrivateKey;
    use crate::pki::stretching::Cost;
    use crate::pki::x509::Certificate;
    use crate::service::recovery;
    use crate::service::school::{self, School};

    fn parts() -> (Arc<dyn Clock>, Arc<dyn Random>) {
        (Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000))), Arc::new(SystemRandom))
    }

    fn local() -> Actor {
        Actor::LocalShell { user: String::from("ada") }
    }

    /// A cleanly stopped school and its code.
    fn a_school(dir: &Path) -> String {
        let (clock, random) = parts();
        let mut cx = founding::open(&Place::in_directory(dir), clock, random).unwrap();
        cx.password_cost = Cost::LEAST;
        let school =
            School { organization: Some(String::from("Hill School")), hostname: Some(String::from("h.example")) };
        school::set_up(&cx, &local(), &school).unwrap();
        founding::tls_identity(&cx, &[String::from("h.example")]).unwrap();
        let code = recovery::make(&cx, &local(), None).unwrap();
        cx.store.close().unwrap();
        code.expose().clone()
    }

    #[test]
    fn a_proof_opens_every_key_and_touches_nothing() {
        let (home, scratch, elsewhere) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let code = a_school(home.path());
        let file = home.path().join("cordon.db");
        let before = std::fs::read(&file).unwrap();
        let no_key = elsewhere.path().join("machine.key");
        let (clock, random) = parts();
        let proof =
            prove(file.as_path().into(), scratch.path(), &no_key, Opener::RecoveryCode(&code), clock, random).unwrap();
        assert_eq!((proof.authority_keys, proof.organization.as_deref()), (4, Some("Hill School")));
        assert!(proof.recovery_code_made_at.is_some() && proof.counts.audit_rows >= 3);
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert!(!no_key.exists());
        let scratch = tempfile::tempdir().unwrap();
        let (clock, random) = parts();
        let refused =
            prove(file.as_path().into(), scratch.path(), &no_key, Opener::MachineKey, clock, random).unwrap_err();
        assert_eq!(refused.public, Text::RecoveryCodeNeeded);
        let scratch = tempfile::tempdir().unwrap();
        let (clock, random) = parts();
        prove(
            file.as_path().into(),
            scratch.path(),
            &home.path().join("machine.key"),
            Opener::MachineKey,
            clock,
            random,
        )
        .unwrap();
    }

    #[test]
    fn restored_on_a_new_machine_and_only_replaced_on_purpose() {
        let (home, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let code = a_school(home.path());
        let file = home.path().join("cordon.db");
        let place = Place::in_directory(new.path());
        let try_it = |replace| {
            let scratch = tempfile::tempdir_in(new.path()).unwrap();
            restore(
                file.as_path().into(),
                scratch.path(),
                &place,
                Opener::RecoveryCode(&code),
                replace,
                &local(),
                parts(),
            )
        };
        assert!(try_it(false).unwrap().kept_as.is_none());
        let (clock, random) = parts();
        let cx = founding::open(&place, clock, random).unwrap();
        assert_eq!(school::find(&cx).unwrap().hostname.as_deref(), Some("h.example"));
        assert_eq!(auditing::verify(&cx, &local()).unwrap().broken_at, None);
        // A running server is not pulled away from under its devices.
        assert!(try_it(true).is_err());
        cx.store.close().unwrap();
        assert!(matches!(try_it(false), Err(e) if matches!(e.public, Text::SchoolThere { .. })));
        let kept = try_it(true).unwrap().kept_as.unwrap();
        assert!(kept.exists(), "{}", kept.display());
    }

    #[test]
    fn a_lost_machine_key_is_made_anew_in_place() {
        let home = tempfile::tempdir().unwrap();
        let code = a_school(home.path());
        std::fs::remove_file(home.path().join("machine.key")).unwrap();
        let place = Place::in_directory(home.path());
        let scratch = tempfile::tempdir_in(home.path()).unwrap();
        let file = home.path().join("cordon.db");
        restore(file.as_path().into(), scratch.path(), &place, Opener::RecoveryCode(&code), false, &local(), parts())
            .unwrap();
        let (clock, random) = parts();
        founding::open(&place, clock, random).unwrap();
    }

    #[test]
    fn a_key_that_was_swapped_is_noticed() {
        let (home, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        a_school(home.path());
        let (clock, random) = parts();
        let cx = founding::open(&Place::in_directory(home.path()), clock, random).unwrap();
        let tls = cx.store.read(|db| db.find_authority(crate::store::Purpose::Tls)).unwrap().unwrap();
        let fingerprint = Certificate::parse(&tls.der).unwrap().fingerprint();
        let other = PrivateKey::generate_ec_p256().unwrap();
        let sealed =
            cx.seal(&founding::key_place(crate::store::Purpose::Tls, &fingerprint), other.to_pkcs8_der().expose());
        cx.store
            .write(|tx| {
                tx.insert_authority(
                    crate::store::Purpose::Tls,
                    &fingerprint,
                    &sealed,
                    crate::store::Standing::Current,
                    Timestamp(1),
                )
            })
            .unwrap();
        cx.store.close().unwrap();
        let (clock, random) = parts();
        let key = home.path().join("machine.key");
        let told = prove(
            home.path().join("cordon.db").as_path().into(),
            scratch.path(),
            &key,
            Opener::MachineKey,
            clock,
            random,
        )
        .unwrap_err();
        assert!(told.to_string().contains("does not belong to its certificate"), "{told}");
    }
}
