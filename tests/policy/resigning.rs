//! The certificate that signs profiles comes to its end: each device gets its profiles anew, in place, on a day of its own.

use super::{assign, device_group, member, standing, until};
use crate::support::device::Handle;
use crate::support::{Plan, School};
use crate::users::profiles::add;
use cordon::base::time::{Clock, DAY, ManualClock, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates::issue_profile_signer;
use cordon::simulator::profile;
use cordon::simulator::spec::Kind;
use cordon::simulator::state::Channel;
use cordon::store::{CertificateRow, Purpose, Standing, StoreError};
use serde_json::json;
use std::sync::Arc;

const DEVICE: Channel = Channel::Device;

/// The school's signer is one that ends after so many days.
fn plant_signer(school: &mut School, days: i64) {
    let cx = school.server().context();
    let now = cx.now();
    let key = PrivateKey::generate_rsa(2048).unwrap();
    let authorities = cx.authorities();
    let issuing = &authorities.issuing;
    let made = issue_profile_signer(issuing, &key.spki_der(), "Old signer", "Hill School", now, days, &SystemRandom);
    let certificate = made.unwrap();
    let fingerprint = certificate.fingerprint();
    let place = format!("authority/signer/{}", hex::encode(fingerprint));
    let sealed = cx.seal(&place, key.to_pkcs8_der().expose());
    let row = CertificateRow {
        fingerprint,
        der: certificate.der().to_vec(),
        serial: certificate.serial_hex(),
        subject: certificate.subject(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        issued_profile: None,
        revoked_at: None,
    };
    let planted: Result<(), StoreError> = cx.store.write(|tx| {
        tx.insert_certificate(&row, Purpose::Signer, now)?;
        tx.insert_authority(Purpose::Signer, &fingerprint, &sealed, Standing::Current, now)
    });
    planted.unwrap();
    school.stop();
    school.start();
    assert_eq!(school.server().context().authorities().signer.certificate.fingerprint(), fingerprint);
}

#[test]
fn profiles_are_signed_anew_before_their_signer_ends_each_device_on_its_day() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let mut school = School::planned(Plan { clock: clock.clone(), ..Plan::with_lasting_ports() });
    let devices: Vec<_> = (1..=5).map(|seed| school.enroll(Kind::Ipad, seed)).collect();
    plant_signer(&mut school, 200);
    add(&school, "p.wifi", "com.apple.wifi.managed");
    add(&school, "p.vpn", "com.apple.vpn.managed");
    device_group(&school, "Cart");
    member(&school, "Cart", &json!({ "devices": devices.iter().map(|d| d.udid()).collect::<Vec<_>>() }));
    for profile in ["p.wifi", "p.vpn"] {
        assign(&school, profile, &json!({ "group": "Cart" }));
    }
    for device in &devices {
        until(&school, device, DEVICE, &["p.vpn", "p.wifi"]);
    }
    for device in &devices {
        device.set_deaf(true);
    }
    let cx = school.server().context();
    let signers = |device: &Handle| -> Vec<Vec<u8>> {
        let profiles = device.with(|d| d.state().profiles.clone());
        profiles.iter().map(|p| profile::read(&p.profile.0).unwrap().signers[0].clone()).collect()
    };
    let old = cx.authorities().signer.certificate.clone();
    let installs = |device: &Handle| device.executed().iter().filter(|e| e.request_type == "InstallProfile").count();
    // A successor is there half a year before; nobody is called for its sake alone.
    clock.advance(25 * DAY);
    cordon::service::replacing::keep_fresh(cx).unwrap();
    let new = cx.authorities().signer.certificate.clone();
    assert_ne!(old.fingerprint(), new.fingerprint());
    assert_eq!(cordon::service::resigning::run(cx).unwrap(), 0);
    // Day by day each device has its turn, with all its profiles at once, and well before the old signer ends.
    let mut days = std::collections::BTreeSet::new();
    for day in 0..116 {
        clock.advance(DAY);
        let before: Vec<usize> = devices.iter().map(|device| installs(device)).collect();
        // The server's own job may be quicker.
        cordon::service::resigning::run(cx).unwrap();
        for (device, before) in devices.iter().zip(before) {
            device.poll(DEVICE).unwrap();
            let done = installs(device) - before;
            assert!(done == 0 || done == 2, "both on one visit, not {done}");
            if done > 0 {
                days.insert(day);
            }
        }
    }
    assert!(old.not_after().since(clock.now()) > 50 * DAY);
    for device in &devices {
        assert_eq!(signers(device), vec![new.der().to_vec(); 2]);
        assert_eq!(installs(device), 4, "each profile once more, in place");
        assert_eq!(standing(device, DEVICE), ["p.vpn", "p.wifi"]);
    }
    assert!(days.len() > 1, "not all on one day: {days:?}");
}
