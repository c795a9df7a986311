//! A school for measuring: a founded database with devices enrolled by direct writes, as check-ins would have left them.

use crate::Fault;
use cordon::base::ids::{DeviceId, upper_uuid};
use cordon::base::push::{PushMagic, PushTarget, PushToken, Topic};
use cordon::base::random;
use cordon::base::time::{Clock, DAY, SystemClock};
use cordon::pki::SystemRandom;
use cordon::pki::keys::PrivateKey;
use cordon::pki::templates::issue_device_identity;
use cordon::plist::{Dictionary, Value};
use cordon::protocol::profile::IdentityMethod;
use cordon::service::actor::Actor;
use cordon::service::commands::{self, Wish};
use cordon::service::founding::{self, Place};
use cordon::service::{Context, Error};
use cordon::simulator::network::{ClientIdentity, tls_config};
use cordon::store::{BindingState, CertificateRow, IssuedProfile, NewEnrollment, Purpose, Tx, Way};
use rustls::ClientConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A topic of nobody.
pub const TOPIC: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000000";

/// The database, and the devices that can connect to it.
pub struct School {
    pub directory: PathBuf,
    pub devices: Vec<Device>,
}

/// An enrolled device that holds its key.
#[derive(Clone)]
pub struct Device {
    pub udid: String,
    pub tls: Arc<ClientConfig>,
}

impl School {
    /// Founds a database in `directory` with `enrolled` devices, of which the first `connecting` hold real keys.
    pub fn found(directory: &Path, enrolled: usize, connecting: usize) -> Result<School, Fault> {
        let cx = open(directory)?;
        // RSA, as SCEP clients have; one key for all, because only its certificate tells devices apart.
        let key = PrivateKey::generate_rsa(2048)?;
        let (now, spki) = (cx.now(), key.spki_der());
        let issue = |name: &str| {
            issue_device_identity(&cx.authorities().issuing, &spki, name, "Bench", now, 365, &SystemRandom)
        };
        let sample = issue("sample")?.der().to_vec();
        let mut rows = Vec::with_capacity(enrolled);
        for n in 0..enrolled {
            let udid = upper_uuid(random::bytes(&SystemRandom));
            // Issuing takes a millisecond each; those that never connect only need something of the same size.
            let der = if n < connecting { issue(&udid)?.der().to_vec() } else { sample.clone() };
            let fingerprint =
                if n < connecting { cordon::pki::digest::sha256(&der) } else { random::bytes(&SystemRandom) };
            rows.push((udid, fingerprint, der));
        }
        cx.store.write(|tx| -> Result<(), Error> {
            let profile = tx.insert_issued_profile(&profile(), now)?;
            for (udid, fingerprint, der) in &rows {
                enrol(tx, &cx, profile, udid, fingerprint, der)?;
            }
            Ok(())
        })?;
        let root = [cx.authorities().root.der().to_vec()];
        let issuing = cx.authorities().issuing.certificate.der().to_vec();
        let (mut devices, key) = (Vec::new(), key.to_pkcs8_der());
        for (udid, _, der) in rows.into_iter().take(connecting) {
            let chain = [der, issuing.clone()];
            let identity = ClientIdentity { chain: &chain, key_pkcs8: key.expose() };
            devices.push(Device { udid, tls: tls_config(&root, Some(identity))? });
        }
        cx.store.close()?;
        Ok(School { directory: directory.to_owned(), devices })
    }

    /// Queues `each` commands for every connecting device; returns how many per second were on disk.
    pub fn queue(&self, each: usize) -> Result<f64, Fault> {
        let cx = open(&self.directory)?;
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            let senders: Vec<_> =
                self.devices.iter().map(|device| scope.spawn(|| send(&cx, &device.udid, each))).collect();
            senders
                .into_iter()
                .try_for_each(|sender| sender.join().map_err(|_| "a sender panicked")?.map_err(Fault::from))
        })?;
        let rate = (self.devices.len() * each) as f64 / begun.elapsed().as_secs_f64();
        cx.store.close()?;
        Ok(rate)
    }

    /// Acknowledged deliveries in the file, as whoever opens it next will find it.
    pub fn count_acknowledged(&self) -> Result<usize, Fault> {
        let file = rusqlite::Connection::open(self.directory.join("cordon.db"))?;
        let count: i64 =
            file.query_row("SELECT count(*) FROM delivery WHERE state = 'Acknowledged'", [], |row| row.get(0))?;
        Ok(usize::try_from(count)?)
    }
}

/// Opens the database in `directory`, founding it if need be.
pub fn open(directory: &Path) -> Result<Context, Fault> {
    Ok(founding::open(&Place::in_directory(directory), Arc::new(SystemClock), Arc::new(SystemRandom))?)
}

fn send(cx: &Context, udid: &str, count: usize) -> Result<(), Error> {
    let actor = Actor::LocalShell { user: String::from("bench") };
    let queries =
        ["DeviceName", "OSVersion", "SerialNumber", "ModelName"].map(|q| Value::String(q.to_owned())).to_vec();
    let mut keys = Dictionary::new();
    keys.insert(String::from("Queries"), Value::Array(queries));
    let request_type = String::from("DeviceInformation");
    let wish =
        Wish { request_type, keys, user: None, uuid: None, not_before: None, expires_at: None, unchecked: false };
    (0..count).try_for_each(|_| commands::send(cx, &actor, udid, &wish).map(drop))
}

fn profile() -> IssuedProfile {
    IssuedProfile {
        payload_identifier: String::from("cordon.bench.mdm"),
        name: String::from("bench"),
        way: Way::Download,
        person: None,
        replaces: None,
        server_url: String::from("https://localhost/mdm/command"),
        check_in_url: String::from("https://localhost/mdm/checkin"),
        topic: TOPIC.to_owned(),
        access_rights: 8191,
        per_user: false,
        capabilities: Vec::new(),
        sign_message: false,
        identity: IdentityMethod::Scep,
        signed: false,
        signer: None,
        certificates: Vec::new(),
        ends_at: None,
        enroll_by: None,
        created_by: String::from("bench"),
    }
}

fn enrol(tx: &Tx<'_>, cx: &Context, profile: i64, udid: &str, fingerprint: &[u8; 32], der: &[u8]) -> Result<(), Error> {
    let now = cx.now();
    let device = tx.insert_device(&DeviceId::mint(cx.random_bytes()), now)?;
    let new = NewEnrollment {
        device,
        parent: None,
        enrollment_id: udid,
        udid: Some(udid),
        user_enrollment_id: None,
        user_id: None,
        user_short_name: None,
        user_long_name: None,
    };
    let enrollment = tx.insert_enrollment(&new, now)?;
    tx.start_generation(enrollment, 1, Some(profile), now)?;
    let bad = |e: cordon::base::ids::BadId| Error::internal(e.to_string());
    let target = PushTarget {
        topic: Topic::new(TOPIC).map_err(bad)?,
        token: PushToken::new(fingerprint.to_vec()).map_err(bad)?,
        magic: PushMagic::new(udid).map_err(bad)?,
    };
    tx.activate(enrollment, &target, false, false, now)?;
    let row = CertificateRow {
        fingerprint: *fingerprint,
        der: der.to_vec(),
        serial: hex::encode(&fingerprint[..16]),
        subject: format!("CN={udid}"),
        not_before: now.plus(-DAY),
        not_after: now.plus(365 * DAY),
        issued_profile: Some(profile),
        revoked_at: None,
    };
    tx.insert_certificate(&row, Purpose::Identity, now)?;
    tx.put_binding(fingerprint, enrollment, BindingState::Current, now)?;
    tx.tell(device, Some(enrollment), None, "enrolled", None, SystemClock.now())?;
    Ok(())
}
