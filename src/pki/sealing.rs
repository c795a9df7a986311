//! Secrets on disk: AES-256-GCM under a data key, bound to the place where they lie, so that a sealed value copied into another row
//! does not open. The data key itself is stored wrapped under a key that is not in the database.
//!
//! Called by `service` and `store`'s callers. Where the wrapping key comes from (machine file, recovery code) is deliberately not here.

use crate::base::random::{self, Random};
use crate::base::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::sync::Arc;
use zeroize::Zeroize;

/// First byte of every blob.
const VERSION: u8 = 1;
const HEAD: usize = 1 + 4;
const TAG: usize = 16;
/// Associated data of a wrapped data key; no place of a sealed value starts like this.
const WRAP_PLACE: &str = "\0data-key/";

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or of a version that this program does not know.
    #[error("not a sealed value")]
    NotSealed,
    /// Sealed with the data key of this id, which is not the one at hand.
    #[error("sealed with data key {0}, which is not the one at hand")]
    OtherKey(u32),
    /// Wrong key, wrong place, or changed bytes: they cannot be told apart.
    #[error("the sealed value does not open: wrong key, moved or damaged")]
    DoesNotOpen,
}

/// A 256-bit key that seals values. Cheap to clone.
#[derive(Clone)]
pub struct DataKey {
    id: u32,
    bytes: Arc<Secret<[u8; 32]>>,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

impl DataKey {
    /// A fresh key. `id` goes into every blob, in clear.
    pub fn generate(random: &dyn Random, id: u32) -> Self {
        Self { id, bytes: Arc::new(Secret::new(random::bytes(random))) }
    }

    /// The id that blobs of this key carry.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Seals `plaintext` for `place`, for example `command/plist/UUID`.
    ///
    /// The blob: version 1 | key id, u32 big-endian | nonce, 12 bytes | ciphertext | tag, 16 bytes. Nonces are random: at one
    /// million values a day a key stays below the 2^32 values that NIST SP 800-38D allows for ten years.
    pub fn seal(&self, random: &dyn Random, place: &str, plaintext: &[u8]) -> Vec<u8> {
        seal(self.bytes.expose(), self.id, random, place.as_bytes(), plaintext)
    }

    /// Opens what [`DataKey::seal`] made for the same `place`.
    ///
    /// # Errors
    /// [`SealError`]; never says more about a value that does not open.
    pub fn open(&self, place: &str, blob: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        match sealed_with(blob) {
            Some(id) if id == self.id => open(self.bytes.expose(), place.as_bytes(), blob),
            Some(id) => Err(SealError::OtherKey(id)),
            None => Err(SealError::NotSealed),
        }
    }

    /// This key, sealed under `wrapping` (the machine key, or one made from a recovery code), for the database.
    pub fn wrap(&self, random: &dyn Random, wrapping: &Secret<[u8; 32]>) -> Vec<u8> {
        seal(wrapping.expose(), self.id, random, WRAP_PLACE.as_bytes(), self.bytes.expose())
    }

    /// The key inside what [`DataKey::wrap`] made.
    ///
    /// # Errors
    /// [`SealError`] if `wrapping` is another key or the bytes were changed.
    pub fn unwrap(wrapped: &[u8], wrapping: &Secret<[u8; 32]>) -> Result<Self, SealError> {
        let id = sealed_with(wrapped).ok_or(SealError::NotSealed)?;
        let plain = open(wrapping.expose(), WRAP_PLACE.as_bytes(), wrapped)?;
        let mut bytes: [u8; 32] = plain.expose().as_slice().try_into().map_err(|_| SealError::NotSealed)?;
        let key = Self { id, bytes: Arc::new(Secret::new(bytes)) };
        bytes.zeroize();
        Ok(key)
    }
}

/// Every data key at hand: the newest seals, each opens what it sealed. More than one only while values move from one to the next.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: DataKey,
    older: Vec<DataKey>,
}

impl Keyring {
    /// The key with the highest id is the current one; `None` without any.
    pub fn new(mut keys: Vec<DataKey>) -> Option<Self> {
        keys.sort_by_key(DataKey::id);
        let current = keys.pop()?;
        Some(Self { current, older: keys })
    }

    pub fn current(&self) -> &DataKey {
        &self.current
    }

    /// Keys that only open.
    pub fn older(&self) -> &[DataKey] {
        &self.older
    }

    /// Current and older.
    pub fn keys(&self) -> impl Iterator<Item = &DataKey> {
        self.older.iter().chain([&self.current])
    }

    /// Seals with the current key, as [`DataKey::seal`].
    pub fn seal(&self, random: &dyn Random, place: &str, plaintext: &[u8]) -> Vec<u8> {
        self.current.seal(random, place, plaintext)
    }

    /// Opens with whichever key sealed it, as [`DataKey::open`].
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, place: &str, blob: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let id = sealed_with(blob).ok_or(SealError::NotSealed)?;
        self.keys().find(|key| key.id == id).ok_or(SealError::OtherKey(id))?.open(place, blob)
    }
}

/// The id of the data key that `blob` needs, or `None` if it is not a sealed value.
pub fn sealed_with(blob: &[u8]) -> Option<u32> {
    let head: [u8; HEAD] = blob.get(..HEAD)?.try_into().ok()?;
    let [version, id @ ..] = head;
    (version == VERSION && blob.len() >= HEAD + NONCE_LEN + TAG).then(|| u32::from_be_bytes(id))
}

fn gcm(key: &[u8; 32]) -> LessSafeKey {
    // 32 bytes is the length that AES-256 takes, the only thing that `new` checks.
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a 32-byte key fits AES-256"))
}

/// The head takes part in the associated data, so a changed key id does not open either.
fn associated(head: &[u8], place: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([head, place].concat())
}

fn seal(key: &[u8; 32], id: u32, random: &dyn Random, place: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = random::bytes(random);
    let mut blob = Vec::with_capacity(HEAD + NONCE_LEN + plaintext.len() + TAG);
    blob.push(VERSION);
    blob.extend_from_slice(&id.to_be_bytes());
    let aad = associated(&blob, place);
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(plaintext);
    // GCM refuses only messages beyond 64 GiB, which no caller can hold in memory.
    let tag = gcm(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut blob[HEAD + NONCE_LEN..])
        .expect("AES-GCM seals anything below 64 GiB");
    blob.extend_from_slice(tag.as_ref());
    blob
}

fn open(key: &[u8; 32], place: &[u8], blob: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
    let (head, rest) = blob.split_at_checked(HEAD).ok_or(SealError::NotSealed)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::NotSealed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::NotSealed)?;
    let mut buffer = sealed.to_vec();
    match gcm(key).open_in_place(nonce, associated(head, place), &mut buffer) {
        Ok(plain) => {
            let length = plain.len();
            buffer.truncate(length);
            Ok(Secret::new(buffer))
        }
        Err(_) => Err(SealError::DoesNotOpen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::SystemRandom;

    #[test]
    fn opens_only_with_the_key_and_at_the_place() {
        let key = DataKey::generate(&SystemRandom, 7);
        let blob = key.seal(&SystemRandom, "command/plist/A", b"PIN 123456");
        assert_eq!(sealed_with(&blob), Some(7));
        assert_eq!(key.open("command/plist/A", &blob).unwrap().expose(), b"PIN 123456");
        assert_eq!(key.open("command/plist/B", &blob), Err(SealError::DoesNotOpen));
        assert_eq!(DataKey::generate(&SystemRandom, 7).open("command/plist/A", &blob), Err(SealError::DoesNotOpen));
        assert_eq!(DataKey::generate(&SystemRandom, 8).open("command/plist/A", &blob), Err(SealError::OtherKey(7)));
        assert_ne!(blob, key.seal(&SystemRandom, "command/plist/A", b"PIN 123456"));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let key = DataKey::generate(&SystemRandom, 1);
        let blob = key.seal(&SystemRandom, "p", b"x");
        for i in 0..blob.len() {
            let mut bad = blob.clone();
            bad[i] ^= 1;
            assert!(key.open("p", &bad).is_err(), "byte {i}");
            assert!(key.open("p", &blob[..i]).is_err(), "cut {i}");
        }
        assert!(key.open("p", &key.seal(&SystemRandom, "p", b"")).unwrap().expose().is_empty());
    }

    #[test]
    fn a_ring_seals_with_the_newest_key_and_opens_with_each() {
        let (one, two) = (DataKey::generate(&SystemRandom, 1), DataKey::generate(&SystemRandom, 2));
        let old = one.seal(&SystemRandom, "p", b"old");
        let ring = Keyring::new(vec![two.clone(), one]).unwrap();
        assert_eq!((ring.current().id(), ring.older().len(), ring.keys().count()), (2, 1, 2));
        assert_eq!(sealed_with(&ring.seal(&SystemRandom, "p", b"new")), Some(2));
        assert_eq!(ring.open("p", &old).unwrap().expose(), b"old");
        assert_eq!(Keyring::new(vec![two]).unwrap().open("p", &old), Err(SealError::OtherKey(1)));
        assert!(Keyring::new(Vec::new()).is_none() && ring.open("p", b"").is_err());
    }

    #[test]
    fn wrapped_key_is_the_same_key() {
        let wrapping = Secret::new([9; 32]);
        let key = DataKey::generate(&SystemRandom, 3);
        let wrapped = key.wrap(&SystemRandom, &wrapping);
        let again = DataKey::unwrap(&wrapped, &wrapping).unwrap();
        assert_eq!(again.id(), 3);
        let blob = key.seal(&SystemRandom, "p", b"secret");
        assert_eq!(again.open("p", &blob).unwrap().expose(), b"secret");
        assert_eq!(DataKey::unwrap(&wrapped, &Secret::new([8; 32])).unwrap_err(), SealError::DoesNotOpen);
        assert!(DataKey::unwrap(b"", &wrapping).is_err());
        // A sealed value is not a wrapped key, even under the same bytes.
        let as_wrapping = Secret::new(*key.bytes.expose());
        assert!(DataKey::unwrap(&key.seal(&SystemRandom, "p", &[0; 32]), &as_wrapping).is_err());
    }
}
