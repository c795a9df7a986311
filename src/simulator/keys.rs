//! Keys for simulated devices. RSA keys cost tens of milliseconds of CPU each, so they can be made ahead, on several threads; the
//! throw-away key that signs SCEP requests is one for the whole classroom, while identity keys are never shared.
//!
//! Called by `scep` and by whoever sets a classroom up.

use std::sync::{Mutex, PoisonError};

use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::pki::keys::PrivateKey;
use crate::pki::scep::client::throw_away_signer;
use crate::pki::x509::Certificate;

/// Bits of the keys that are made ahead, and of the shared signer.
const USUAL_BITS: u32 = 2048;

/// Identity keys that are ready, and the shared signer's key.
#[derive(Default)]
pub struct KeyPool {
    ready: Mutex<Vec<PrivateKey>>,
    signer: Mutex<Option<(Certificate, PrivateKey)>>,
}

impl KeyPool {
    /// Makes `n` identity keys on `threads` threads, and returns when they are ready.
    ///
    /// # Errors
    /// The text of the key generator's error.
    pub fn fill(&self, n: usize, threads: usize) -> Result<(), String> {
        let threads = threads.clamp(1, 64);
        let share = |t: usize| n / threads + usize::from(t < n % threads);
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|t| {
                    scope.spawn(move || {
                        (0..share(t)).try_for_each(|_| {
                            let key = make(USUAL_BITS)?;
                            lock(&self.ready).push(key);
                            Ok(())
                        })
                    })
                })
                .collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("the key generator panicked".to_owned())))
        })
    }

    /// An identity key of this many bits, from the pool or fresh; each is given out once.
    pub(super) fn take(&self, bits: u32) -> Result<PrivateKey, String> {
        let ready = if bits == USUAL_BITS { lock(&self.ready).pop() } else { None };
        ready.map_or_else(|| make(bits), Ok)
    }

    /// The self-signed certificate, and its key, under which every SCEP request of this classroom is sent.
    pub(super) fn signer(&self, now: Timestamp, random: &dyn Random) -> Result<(Certificate, PrivateKey), String> {
        let mut signer = lock(&self.signer);
        if let Some(pair) = signer.as_ref() {
            return Ok(pair.clone());
        }
        let pair = throw_away_signer(now, random).map_err(|e| e.to_string())?;
        Ok(signer.insert(pair).clone())
    }
}

fn make(bits: u32) -> Result<PrivateKey, String> {
    PrivateKey::generate_rsa(bits).map_err(|e| e.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Clock, SystemClock};
    use crate::pki::SystemRandom;
    use std::collections::HashSet;

    #[test]
    fn identity_keys_are_distinct_and_the_signer_is_one() {
        let pool = KeyPool::default();
        pool.fill(3, 2).unwrap();
        let keys: HashSet<Vec<u8>> = (0..4).map(|_| pool.take(2048).unwrap().spki_der()).collect();
        assert_eq!(keys.len(), 4);
        let signer = || pool.signer(SystemClock.now(), &SystemRandom).unwrap().0;
        assert_eq!(signer(), signer());
    }
}
