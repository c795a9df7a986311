//! Hostile input on real sockets: every test sends what nobody should send, and ends with a good device that is served at once.
//!
//! A status is an action on somebody's device, so no answer of a device route may ever be 401 or 403 here ([`wire::Answer::of_device`]).
//! `school` is a running server and what belongs to it, `wire` speaks HTTP byte by byte.

mod api;
mod bodies;
mod identity;
mod scep;
pub mod school;
mod slow;
mod sweep;
pub mod wire;
