//! Randomness as an argument. The real source is `pki::SystemRandom`; nothing else in the product makes random bytes.

/// A source of cryptographically strong random bytes.
pub trait Random: Send + Sync {
    /// Fills `buffer` wholly or panics: a machine without randomness must not issue keys.
    fn fill(&self, buffer: &mut [u8]);
}

/// `N` fresh random bytes.
pub fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut buffer = [0; N];
    random.fill(&mut buffer);
    buffer
}
