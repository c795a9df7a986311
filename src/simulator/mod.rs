//! The simulator: devices that speak the real protocol over real sockets, for `cordon demo`, rehearsals, the doctor and the tests.
//!
//! A [`device::Device`] reads a real enrolment profile and believes nothing else: what it does not find there, it does not know. It
//! reaches loopback addresses only. [`fleet::Fleet`] runs many on a few threads; [`classroom`] tells the demo's story about them.
//!
//! Written from the protocol's text, not from the server's code, so that the two check each other.

pub mod agents;
mod answers;
pub mod apns;
pub mod arriving;
pub mod browser;
pub mod built_in;
pub mod classroom;
pub mod device;
mod enrollment;
mod facts;
pub mod filevault;
pub mod fleet;
mod intake;
pub mod keys;
mod link;
pub mod locks;
mod messages;
pub mod network;
pub mod network_user;
pub mod passcode;
pub mod profile;
mod profiles;
mod provisioning;
mod replacement;
mod scep;
mod session;
mod sharing;
pub mod spec;
pub mod state;
#[cfg(test)]
mod test_school;
#[cfg(test)]
mod test_server;
pub mod wire;
