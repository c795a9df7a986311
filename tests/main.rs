//! The one integration binary: journeys as modules, and the guard of the house's plan ([`tidy`]).
//!
//! One binary, because every further one links the whole server again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests say what must be there; clippy.toml exempts only functions marked #[test]"
)]

mod handbook;
mod hostile;
mod journeys;
mod practices;
mod scep;
mod support;
mod tidy;

mod appliance;
mod console;
mod custody;
mod directory;
#[cfg(target_os = "linux")] // it looks into /proc and loads a recorder into the program
mod endurance;
mod enrolling;
mod lifecycle;
mod people;
mod policy;
mod push_certificates;
mod trust;
mod users;
mod webhooks;
