//! Apple's device-management language and its pure rules: bytes in, decisions out. Called by `service`, the device edge and the simulator.
//!
//! Deliberately not here: sockets, SQL, the clock and randomness (they are arguments), and bytes of certificates (`pki`).
//! Reading order: [`sender`], [`checkin`], [`report`], [`lifecycle`], [`queue`], [`status`], [`command`], [`catalogue`], [`profile`].

pub mod attributes;
pub mod catalogue;
pub mod checkin;
pub mod command;
pub mod desired;
pub mod digest;
pub mod filter;
pub mod inbound;
pub mod lifecycle;
pub mod network_user;
pub mod profile;
pub mod provisioning;
pub mod push;
pub mod queue;
pub mod report;
pub mod schedule;
pub mod sender;
pub mod series;
pub mod status;
pub mod stock;

/// At most `max` bytes of `text`, cut at a character: for words that are shown to people and decide nothing.
fn clip(text: &str, max: usize) -> String {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod samples {
    /// A device's property list around `inner`, which is the content of the top dictionary.
    pub fn doc(inner: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
             \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n{inner}</dict>\n</plist>\n"
        )
        .into_bytes()
    }

    /// Key and string pairs as property-list text.
    pub fn strings(pairs: &[(&str, &str)]) -> String {
        pairs.iter().map(|(k, v)| format!("<key>{k}</key><string>{v}</string>")).collect()
    }
}
