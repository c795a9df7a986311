//! Keys for simulated devices. RSA keys cost tens of milliseconds of CPU each, so they can be made ahead, on several threads; the
//! throw-away key that signs SCEP requests is one for the whole classroom, while identity keys are never shared.
//!
//! Called by `scep` and by whoever sets a classroom up.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::pki;
use crate::pki::keys::PrivateKey;

/// Identity keys that are ready, and the shared signer.
pub struct KeyPool {
    random: Arc<dyn Random>,
    ready: Mutex<Vec<PrivateKey>>,
    signer: OnceLock<pki::scep::client::Signer>,
}

/// Bits of the keys that are made ahead, and of the signer.
const USUAL_BITS: usize = 2048;

impl KeyPool {
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random, ready: Mutex::new(Vec::new()), signer: OnceLock::new() }
    }

    /// Makes `n` identity keys on `threads` threads and returns when they are ready.
    ///
    /// # Errors
    /// The text of the key generator's error.
    pub fn fill(&self, n: usize, threads: usize) -> Result<(), String> {
        let threads = threads.clamp(1, 64);
        std::thread::scope(|scope| {
            let share = |t: usize| n / threads + usize::from(t < n % threads);
            let running: Vec<_> = (0..threads)
                .map(|t| scope.spawn(move || (0..share(t)).try_for_each(|_| self.make(USUAL_BITS).map(|key| self.put(key)))))
                .collect();
            running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("the key generator panicked".to_owned())))
        })
    }

    /// An identity key of this many bits, from the pool or fresh; each is given out once.
    pub(super) fn take(&self, bits: usize) -> Result<PrivateKey, String> {
        let ready = if bits == USUAL_BITS { self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop() } else { None };
        ready.map_or_else(|| self.make(bits), Ok)
    }
}
