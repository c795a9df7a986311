//! Cordon: an Apple device-management (MDM) server in one binary and one SQLite file.
//!
//! The house has floors; a `use crate::` line may go downstairs in one step, never up (`tests/tidy.rs` holds this):
//!
//! | floor | room | what lives there |
//! |-|-|-|
//! | 0 | [`base`] | plain words without IO: ids, push targets, time, secrets, limits |
//! | 0 | [`plist`] | property lists from strangers: bounded first, then typed field access |
//! | 0 | [`pki`] | bytes-level cryptography: certificates, CMS, SCEP, sealing |
//! | 0 | [`protocol`] | Apple's language and its pure rules: check-in, queue, commands, profiles |
//! | 1 | [`store`] | SQLite: one writer with group commit, readers, one file per table group |
//! | 2 | [`service`] | the work: one verb per function |
//! | 3 | [`apple`] | clients of Apple's services |
//! | 3 | [`http`] | listeners and the edges behind them |
//! | 3 | [`simulator`] | devices and stand-ins that speak the real protocol |
//! | 3 | [`outbound`] | requests to the receivers of webhooks |
//! | 3 | [`directory`] | the school's people over LDAP |
//! | 3 | [`jobs`] | the one scheduler thread: which upkeep verb runs when |
//! | 4 | [`server`] | the running server, put together |
//! | 5 | [`cli`] | subcommands |
//!
//! Invariants:
//! - Only `store` knows SQL.
//! - Only `http` knows status codes, and only `protocol::status` names those that act on a device.
//! - Below the third floor nobody reads the clock, the environment or a socket.
//! - No network call inside a transaction; one writer at a time.
//! - What a request promised is on disk before its answer leaves.
//! - Async lives only inside `http::listen`, `apple::apns` and the simulator's push stand-in, and never shows in a signature.
//! - Secrets are a type ([`base::secret::Secret`]) in memory and sealed on disk.
//!
//! Reading order: `protocol::lifecycle`, `protocol::queue`, `service::checkin`, `service::commands`, `http::device`.

pub mod apple;
pub mod base;
pub mod cli;
pub mod directory;
pub mod http;
pub mod jobs;
pub mod outbound;
pub mod pki;
pub mod plist;
pub mod protocol;
pub mod server;
pub mod service;
pub mod simulator;
pub mod store;
