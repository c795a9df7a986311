//! The edges of the house: listeners that turn sockets into [`message::Request`]s and the rooms that answer them.
//!
//! Only this room knows status codes. `listen` (public, TLS) and `control` (local Unix socket) call one [`message::Handler`];
//! async never leaves `listen`.

pub mod control;
pub mod listen;
pub mod message;
pub mod tls;
