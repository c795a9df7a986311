//! Users beside devices: Macs with several people, Shared iPads, logins that wait, and Setup Assistant.

mod channels;
mod logins;
pub mod profiles;
