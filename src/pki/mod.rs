//! Bytes-level cryptography: certificates, CMS, SCEP and sealing. No files, no SQL, no HTTP, no clock: bytes go in, bytes come out.
//!
//! Called by `service` (issuing, sealing), `http` (who signed this?) and `simulator`. Every key and cipher operation is aws-lc-rs;
//! the formats around them are read and written by the small `asn1` file here, because what must be verified are the bytes as they
//! were sent: a library that decodes and re-encodes sorts sets, and with them breaks signatures and the leaf-first order of SCEP.

pub mod activation_lock;
mod asn1;
pub mod ber;
pub mod cms;
pub mod crl;
pub mod csr;
pub mod device_ca;
pub mod digest;
pub mod jws;
pub mod keys;
mod name;
mod oids;
mod pem;
pub mod pkcs12;
pub mod scep;
pub mod sealing;
pub mod server_trust;
pub mod stretching;
pub mod templates;
pub mod x509;

pub use digest::constant_time_eq;

use crate::base::random::Random;

/// The operating system's randomness, by way of aws-lc. The only source in the product.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl SystemRandom {
    /// Has the first random byte made on another thread. It costs 60 ms on a PC and more on less, once in a process (aws-lc
    /// measures how the processor's timing varies), and a database can be opened meanwhile.
    pub fn wake() {
        // Without the thread it only comes later.
        let _ = std::thread::Builder::new().name(String::from("entropy")).spawn(|| {
            let mut byte = [0; 1];
            SystemRandom.fill(&mut byte);
        });
    }
}

impl Random for SystemRandom {
    /// # Panics
    /// If the machine has no randomness: nothing may be issued or sealed then.
    #[expect(clippy::panic, reason = "a machine without randomness must not go on to make keys")]
    fn fill(&self, buffer: &mut [u8]) {
        if aws_lc_rs::rand::fill(buffer).is_err() {
            panic!("this machine gives no randomness");
        }
    }
}
