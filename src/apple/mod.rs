//! Clients of Apple's services, each implementing a port of `service::ports`.
//!
//! Deliberately not here: what an answer means for a device (`protocol`) and what is stored about it (`service`).

pub mod apns;
