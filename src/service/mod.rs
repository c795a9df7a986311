//! The work: one verb per function, over the store and the ports.
//!
//! Deliberately not here: sockets, the clock, SQL.

pub mod ports;
