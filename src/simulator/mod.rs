//! The simulator: devices that speak the real protocol over real sockets, for `cordon demo`, rehearsals, the doctor and the tests.
//!
//! A device reads a real enrolment profile and believes nothing else: what it does not find there, it does not know. It reaches
//! loopback addresses only.

pub mod network;
#[cfg(test)]
mod test_server;
pub mod wire;
