//! Devices and Apple services that speak the real protocol over real loopback sockets: for the demo, the doctor and the tests.
//!
//! Deliberately not here: any short cut into the server. What the simulator knows, it learnt over a socket.

pub mod apns;
