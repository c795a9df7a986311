//! The edges of the house: listeners that turn sockets into [`message::Request`]s and the rooms that answer them.
//!
//! Only this room knows status codes. `listen` (public, TLS) and `control` (local Unix socket) call one [`message::Handler`],
//! [`routes::Front`]; async never leaves `listen`. The edges `device`, `scep`, `enroll`, `api` and `console` never import each other.

pub mod api;
mod calendar;
pub mod console;
pub mod control;
mod crl;
pub mod device;
pub mod doors;
pub mod enroll;
mod form;
pub mod listen;
pub mod look;
pub mod message;
pub mod metrics;
mod origin;
mod query;
pub mod redirect;
pub mod routes;
pub mod scep;
mod setup;
pub mod tls;
pub mod trust;
