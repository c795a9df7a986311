//! What a simulated device is made of: kind, names, serial, versions. Everything follows from one seed number, so that a classroom is
//! the same in every run and a test can name "the third iPad".
//!
//! Called by `device` and by whoever sets a classroom up. Not here: anything that changes while the device lives (`state`).

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::base::ids::upper_uuid;

/// Which of Apple's platforms a device plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Ipad,
    Mac,
    Iphone,
    AppleTv,
}

impl Kind {
    /// Apple's word, for names and messages.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Ipad => "iPad",
            Kind::Mac => "Mac",
            Kind::Iphone => "iPhone",
            Kind::AppleTv => "Apple TV",
        }
    }
}

/// A person with an account on a Mac: the user channel speaks for this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Upper-case GUID, `UserID`.
    pub guid: String,
    pub short_name: String,
    pub long_name: String,
}

/// A device as it leaves the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Everything else that is derived (tokens, addresses) follows from this.
    pub seed: u64,
    pub kind: Kind,
    pub name: String,
    pub serial: String,
    pub udid: String,
    /// `ProductName` of the hardware, e.g. `iPad13,18`.
    pub product: String,
    /// `ModelName`, e.g. `iPad` or `MacBook Air`.
    pub model_name: String,
    /// `ModelNumber`, e.g. `MPQ03`.
    pub model_number: String,
    pub os_version: String,
    pub build_version: String,
    /// Whole gigabytes of storage.
    pub capacity_gb: u32,
    pub supervised: bool,
    /// Only Macs have one.
    pub person: Option<Person>,
}

/// kind, product, model name, model number, OS, build, storage
type Model = (Kind, &'static str, &'static str, &'static str, &'static str, &'static str, u32);

const IPADS: [Model; 3] = [
    (Kind::Ipad, "iPad13,18", "iPad", "MPQ03", "18.1", "22B83", 64),
    (Kind::Ipad, "iPad12,1", "iPad", "MK2K3", "17.7", "21H16", 64),
    (Kind::Ipad, "iPad13,16", "iPad Air", "MM9C3", "18.1", "22B83", 256),
];
const MACS: [Model; 3] = [
    (Kind::Mac, "MacBookAir10,1", "MacBook Air", "MGN63", "15.1", "24B83", 256),
    (Kind::Mac, "Mac14,2", "MacBook Air", "MLXW3", "15.1", "24B83", 256),
    (Kind::Mac, "Macmini9,1", "Mac mini", "MGNR3", "14.7", "23H124", 512),
];
const IPHONE: Model = (Kind::Iphone, "iPhone14,6", "iPhone SE", "MMX53", "18.1", "22B83", 128);
const APPLE_TV: Model = (Kind::AppleTv, "AppleTV14,1", "Apple TV", "MN873", "18.1", "22J580", 64);

impl Spec {
    /// A device of this kind, wholly determined by `seed`.
    pub fn new(kind: Kind, seed: u64) -> Self {
        let pick = usize::from(derive(seed, "model")[0]) % 3;
        let (kind, product, model_name, model_number, os, build, gb) = match kind {
            Kind::Ipad => IPADS[pick],
            Kind::Mac => MACS[pick],
            Kind::Iphone => IPHONE,
            Kind::AppleTv => APPLE_TV,
        };
        let [given, family] = name_of(seed);
        Spec {
            seed,
            kind,
            name: format!("{} {:02}", kind.word(), seed),
            serial: serial(seed),
            udid: udid(kind, product, seed),
            product: product.to_owned(),
            model_name: model_name.to_owned(),
            model_number: model_number.to_owned(),
            os_version: os.to_owned(),
            build_version: build.to_owned(),
            capacity_gb: gb,
            supervised: true,
            person: (kind == Kind::Mac).then(|| Person {
                guid: derived_uuid(seed, "person"),
                short_name: format!("{}.{}", given.to_lowercase(), family.to_lowercase()),
                long_name: format!("{given} {family}"),
            }),
        }
    }

    /// A plausible class: three iPads to each Mac, numbered from 1.
    pub fn classroom(devices: usize) -> Vec<Spec> {
        (1..=devices as u64).map(|n| Spec::new(if n % 4 == 0 { Kind::Mac } else { Kind::Ipad }, n)).collect()
    }
}

/// 32 bytes that depend on the seed and the label only. Plausible values, never secrets.
pub fn derive(seed: u64, label: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, format!("cordon simulator {seed} {label}").as_bytes()).as_ref());
    out
}

/// An upper-case UUID that depends on the seed and the label only.
pub fn derived_uuid(seed: u64, label: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&derive(seed, label)[..16]);
    upper_uuid(bytes)
}

/// Ten characters as on devices since 2021: random, without vowels and the letters that are hard to read.
fn serial(seed: u64) -> String {
    const LETTERS: &[u8; 24] = b"CDFGHJKLMNPQRTVWXY234679";
    derive(seed, "serial")[..10].iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect()
}

/// A Mac reports a UUID, an older iPad 40 hex digits, a newer one `chip-ecid`.
fn udid(kind: Kind, product: &str, seed: u64) -> String {
    let hex = hex::encode(derive(seed, "udid"));
    match kind {
        Kind::Mac => derived_uuid(seed, "udid"),
        _ if product == "iPad12,1" => hex[..40].to_owned(),
        Kind::AppleTv => format!("00008110-{}", hex[..16].to_uppercase()),
        Kind::Ipad | Kind::Iphone => format!("00008101-{}", hex[..16].to_uppercase()),
    }
}

fn name_of(seed: u64) -> [&'static str; 2] {
    const GIVEN: [&str; 16] = [
        "Ada", "Grace", "Emmy", "Lise", "Marie", "Rosa", "Vera", "Irene", "Alan", "Niels", "Max", "Carl", "Leo",
        "Paul", "Kurt", "Hans",
    ];
    const FAMILY: [&str; 16] = [
        "Acker", "Baum", "Dorn", "Esche", "Feld", "Garten", "Hain", "Kamp", "Linde", "Moor", "Nuss", "Obst", "Quell",
        "Rose", "Sand", "Wiese",
    ];
    let hash = derive(seed, "person name");
    [GIVEN[usize::from(hash[0] % 16)], FAMILY[usize::from(hash[1] % 16)]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_classroom_is_the_same_every_time_and_no_two_devices_are_alike() {
        let class = Spec::classroom(2_000);
        assert_eq!(class, Spec::classroom(2_000));
        assert_eq!(class.iter().filter(|s| s.kind == Kind::Mac).count(), 500);
        let distinct = |f: fn(&Spec) -> &str| class.iter().map(f).collect::<HashSet<_>>().len();
        assert_eq!((distinct(|s| &s.udid), distinct(|s| &s.serial), distinct(|s| &s.name)), (2_000, 2_000, 2_000));
        assert!(class.iter().all(|s| s.person.is_some() == (s.kind == Kind::Mac)));
    }

    #[test]
    fn udids_have_the_shapes_that_apple_uses() {
        let shapes: HashSet<usize> = Spec::classroom(60).iter().map(|s| s.udid.len()).collect();
        assert_eq!(shapes, HashSet::from([25, 36, 40]));
    }
}
