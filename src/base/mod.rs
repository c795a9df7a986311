//! The ground floor: plain words that every other room speaks. No IO, no clock, no SQL.
//!
//! Deliberately not here: anything that knows Apple's messages (`protocol`) or bytes of certificates (`pki`).

pub mod csv;
pub mod ids;
pub mod limits;
pub mod push;
pub mod random;
pub mod secret;
pub mod texts;
pub mod time;
