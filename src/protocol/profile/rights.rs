//! AccessRights in Apple's bits and in words: what a server may do with a device. Chosen once; a later profile may drop rights,
//! never add one.
//!
//! Called by `service::enrolling`; the table of words is what the command line, the API and the enrolment page show.

use super::ProfileError;

/// One bit of the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    pub bit: u32,
    /// How people choose it.
    pub name: &'static str,
    /// What it allows, for the person whose device it is.
    pub words: &'static str,
}

const fn right(bit: u32, name: &'static str, words: &'static str) -> Right {
    Right { bit, name, words }
}

/// Every right that Apple defines, by bit.
pub const RIGHTS: [Right; 13] = [
    right(1, "inspect-profiles", "see which configuration profiles are installed"),
    right(2, "install-profiles", "install and remove configuration profiles"),
    right(4, "lock", "lock the device and remove its passcode"),
    right(8, "erase", "erase the device"),
    right(16, "device-info", "see name, model, serial number and storage"),
    right(32, "network-info", "see phone numbers and network addresses"),
    right(64, "inspect-provisioning", "see which provisioning profiles are installed"),
    right(128, "install-provisioning", "install and remove provisioning profiles"),
    right(256, "inspect-apps", "see which apps are installed"),
    right(512, "restrictions", "see which restrictions are in force"),
    right(1024, "security", "see the state of encryption and passcode"),
    right(2048, "settings", "change settings, such as the device's name"),
    right(4096, "apps", "install, manage and remove apps of the organisation"),
];

/// The right that brings an UnlockToken with it.
const LOCK: u32 = 4;

/// `AccessRights`: what a server may do with a device. Can shrink in a renewal, never grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRights(u16);

impl AccessRights {
    /// Every right.
    pub const ALL: AccessRights = AccessRights(8191);

    /// Checks Apple's rules: not 0, no unknown bit, 2 (install profiles) needs 1 (inspect them), 128 needs 64.
    ///
    /// # Errors
    /// [`ProfileError::AccessRights`] says which rule is broken.
    pub fn new(bits: u32) -> Result<Self, ProfileError> {
        let why = match bits {
            0 => "must not be 0",
            bits if bits > 8191 => "has bits above 4096",
            bits if bits & 2 != 0 && bits & 1 == 0 => "2 (install-profiles) needs 1 (inspect-profiles)",
            bits if bits & 128 != 0 && bits & 64 == 0 => "128 (install-provisioning) needs 64 (inspect-provisioning)",
            bits => {
                return u16::try_from(bits).map(Self).map_err(|_| ProfileError::AccessRights("has bits above 4096"));
            }
        };
        Err(ProfileError::AccessRights(why))
    }

    /// Reads names in the order written: `all`, a name of [`RIGHTS`], or one with `-` before it, which takes it away. Beginning
    /// with such a one means all but those.
    ///
    /// # Errors
    /// [`ProfileError::UnknownRight`] with the word, else as [`AccessRights::new`].
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ProfileError> {
        let mut bits = None;
        for name in names.into_iter().map(str::trim).filter(|name| !name.is_empty()) {
            let (name, taken) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
            let of_name = match name {
                "all" => 8191,
                name => RIGHTS
                    .iter()
                    .find(|right| right.name == name)
                    .map(|right| right.bit)
                    .ok_or_else(|| ProfileError::UnknownRight(name.chars().take(40).collect()))?,
            };
            let before = bits.unwrap_or(if taken { 8191 } else { 0 });
            bits = Some(if taken { before & !of_name } else { before | of_name });
        }
        Self::new(bits.unwrap_or(0))
    }

    /// Apple's bit mask.
    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// The names of the rights that are in it.
    pub fn names(self) -> Vec<&'static str> {
        self.rights().map(|right| right.name).collect()
    }

    /// The rights that are in it, by bit.
    pub fn rights(self) -> impl Iterator<Item = &'static Right> {
        RIGHTS.iter().filter(move |right| self.bits() & right.bit != 0)
    }

    /// Whether a profile with `self` may be replaced by one with `later`.
    pub fn allows_later(self, later: AccessRights) -> bool {
        later.bits() & !self.bits() == 0
    }

    /// Whether devices hand over the UnlockToken that ClearPasscode needs.
    pub fn brings_unlock_token(self) -> bool {
        self.bits() & LOCK != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_rights_by_apples_rules() {
        for (bits, good) in [
            (0, false),
            (1, true),
            (2, false),
            (3, true),
            (64, true),
            (128, false),
            (192, true),
            (8191, true),
            (8192, false),
        ] {
            assert_eq!(AccessRights::new(bits).is_ok(), good, "{bits}");
        }
        assert!(AccessRights::new(65_537).is_err());
        assert_eq!(AccessRights::new(8191), Ok(AccessRights::ALL));
        assert_eq!(AccessRights::ALL.bits(), 8191);
    }

    #[test]
    fn every_bit_has_one_name() {
        assert_eq!(RIGHTS.iter().map(|right| right.bit).sum::<u32>(), 8191);
        for (n, right) in RIGHTS.iter().enumerate() {
            assert_eq!(right.bit, 1 << n);
        }
    }

    #[test]
    fn chosen_in_words() {
        let table: [(&[&str], Result<u32, &str>); 9] = [
            (&["all"], Ok(8191)),
            (&["all", "-lock"], Ok(8187)),
            (&["-erase", " -lock"], Ok(8191 - 12)),
            (&["device-info", "network-info"], Ok(48)),
            (&["device-info", "-device-info", "apps"], Ok(4096)),
            (&[], Err("must not be 0")),
            (&["install-profiles"], Err("needs 1 (inspect-profiles)")),
            (&["all", "-inspect-provisioning"], Err("needs 64")),
            (&["fly"], Err("fly")),
        ];
        for (names, wanted) in table {
            let read = AccessRights::from_names(names.iter().copied());
            match (read, wanted) {
                (Ok(read), Ok(bits)) => assert_eq!(read.bits(), bits, "{names:?}"),
                (Err(e), Err(words)) => assert!(e.to_string().contains(words), "{names:?}: {e}"),
                (read, _) => panic!("{names:?}: {read:?}"),
            }
        }
    }

    #[test]
    fn rights_shrink_and_never_grow() {
        let few = AccessRights::from_names(["-lock"]).unwrap();
        assert!(AccessRights::ALL.allows_later(few) && few.allows_later(few));
        assert!(!few.allows_later(AccessRights::ALL));
        assert!(!few.brings_unlock_token() && AccessRights::ALL.brings_unlock_token());
        assert!(!few.names().contains(&"lock") && few.names().contains(&"erase"));
    }
}
