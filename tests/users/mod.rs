//! Users beside devices: Macs with several people, Shared iPads, logins that wait, and Setup Assistant.

use cordon::protocol::profile::IdentityMethod;
use cordon::store::{IssuedProfile, Way};

mod channels;
mod days;
mod logins;
mod model;
pub mod profiles;
mod setups;

/// An enrolment profile's record, for tests that enrol past the sockets.
pub fn issued_profile(topic: &str) -> IssuedProfile {
    IssuedProfile {
        payload_identifier: String::from("cordon.model.mdm"),
        name: String::from("model"),
        way: Way::Download,
        person: None,
        replaces: None,
        server_url: String::from("https://localhost/mdm/command"),
        check_in_url: String::from("https://localhost/mdm/checkin"),
        topic: topic.to_owned(),
        access_rights: 8191,
        per_user: false,
        capabilities: Vec::new(),
        sign_message: false,
        identity: IdentityMethod::Scep,
        signed: false,
        signer: None,
        certificates: Vec::new(),
        ends_at: None,
        enroll_by: None,
        created_by: String::from("model"),
    }
}
