//! What Apple's push service needs to reach one channel of one device: topic, token and magic together, or nothing.

use std::fmt;

/// APNs topic of an MDM push certificate: the UID of its subject, `com.apple.mgmt.…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(String);

impl Topic {
    /// Refuses what Apple would refuse in the MDM payload: not `com.apple.mgmt.…`, or longer than 255 bytes.
    pub fn new(text: &str) -> Result<Self, super::ids::BadId> {
        let good = text.starts_with("com.apple.mgmt.")
            && text.len() <= 255
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(super::ids::BadId { what: "Topic", why: "does not start with com.apple.mgmt. or holds odd characters" })
        }
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// APNs device token of one channel; opaque bytes, usually 32 but never assumed to be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushToken(Vec<u8>);

impl PushToken {
    /// 1 to 256 bytes; Apple says not to assume a length.
    pub fn new(bytes: Vec<u8>) -> Result<Self, super::ids::BadId> {
        if bytes.is_empty() || bytes.len() > 256 {
            return Err(super::ids::BadId { what: "Token", why: "is empty or longer than 256 bytes" });
        }
        Ok(Self(bytes))
    }
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// Lower-case hex, as in `/3/device/<hex>`.
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushToken({}…)", hex::encode(&self.0[..self.0.len().min(4)]))
    }
}

/// The `PushMagic` string that a push must carry back to the device.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushMagic(String);

impl PushMagic {
    /// 1 to 1,024 bytes, so that the push stays far below APNs' 4,096.
    pub fn new(text: &str) -> Result<Self, super::ids::BadId> {
        if text.is_empty() || text.len() > 1024 {
            return Err(super::ids::BadId { what: "PushMagic", why: "is empty or longer than 1024 bytes" });
        }
        Ok(Self(text.to_owned()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushMagic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushMagic(…)")
    }
}

/// Where a push for one enrollment goes. Only an active enrollment has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    pub topic: Topic,
    pub token: PushToken,
    pub magic: PushMagic,
}
