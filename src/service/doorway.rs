//! How the school's door stands: which way the enrolment page takes for who brings no wish of their own, and whether devices of Automated
//! Device Enrolment are let in. Called by the API, the page and the device side of enrolment.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing, trust};
use crate::base::texts::Text;
use serde_json::json;

/// Setting: `automatic`, `ota` or `profile`.
const WAY: &str = "enrollment.way";
/// Setting: `open`, `known` or `closed`.
const AUTOMATED: &str = "enrollment.automated";

/// How the enrolment page gives a device its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorWay {
    /// Over-the-air profile delivery: the device shows its built-in identity first.
    OverTheAir,
    /// The enrolment profile itself, as a download.
    Profile,
}

impl DoorWay {
    pub fn as_str(self) -> &'static str {
        match self {
            DoorWay::OverTheAir => "ota",
            DoorWay::Profile => "profile",
        }
    }

    /// # Errors
    /// `Invalid`, naming the words there are.
    pub fn parse(word: &str) -> Result<Self, Error> {
        match word {
            "ota" => Ok(DoorWay::OverTheAir),
            "profile" => Ok(DoorWay::Profile),
            _ => Err(bad("way", "is one of ota and profile")),
        }
    }
}

/// What the page does for who brings no wish of their own, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayChosen {
    /// As somebody set it; `None`: by itself.
    pub set: Option<DoorWay>,
    pub way: DoorWay,
    /// In plain words, for who runs the school.
    pub why: &'static str,
}

const RECOMMENDED: &str = "Apple recommends over-the-air delivery to most organisations, because it scales: the person is logged in, the device \
    shows its built-in identity and says what it is before it is given anything, and the profile can be updated later, even when it has expired.";
const UNKNOWN_CERTIFICATE: &str = "Over-the-air delivery is what Apple recommends to most organisations, but it starts with an HTTPS request of the \
    device itself, and this server's certificate comes from the school's own authority, which a new device does not know. So the page gives the profile \
    directly; it will change over by itself once the certificate is publicly trusted. With “ota” the page has people install a trust profile first.";
const DIRECT: &str = "The page gives the enrolment profile directly: fewer steps, and no look at the device before it is given anything. Apple recommends \
    over-the-air delivery to most organisations; “automatic” uses it as soon as the server's certificate is publicly trusted.";
const TRUST_FIRST: &str = "Over-the-air delivery, as Apple recommends to most organisations. This server's certificate comes from the school's own \
    authority, so the page has people install a trust profile first; on an iPhone or iPad its root must also be switched on by hand, in Settings → \
    General → About → Certificate Trust Settings.";

/// Which devices are let in that come by Automated Device Enrolment. That a genuine Apple device asks is checked in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automated {
    /// Every one: whoever has the address can only be a device that Apple sent here, or one that somebody sent here by hand.
    Open,
    /// Those whose serial number is here already.
    Known,
    Closed,
}

impl Automated {
    pub fn as_str(self) -> &'static str {
        match self {
            Automated::Open => "open",
            Automated::Known => "known",
            Automated::Closed => "closed",
        }
    }

    /// # Errors
    /// `Invalid`, naming the words there are.
    pub fn parse(word: &str) -> Result<Self, Error> {
        let all = [Automated::Open, Automated::Known, Automated::Closed];
        all.into_iter()
            .find(|one| one.as_str() == word)
            .ok_or_else(|| bad("automated", "is one of open, known and closed"))
    }
}

/// The door as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    pub way: WayChosen,
    pub automated: Automated,
}

/// Which way the page takes.
pub fn way(cx: &Context) -> Result<WayChosen, Error> {
    let set = cx.store.read(|db| db.find_text_setting(WAY))?.and_then(|word| DoorWay::parse(&word).ok());
    let public = trust::current(cx)?.publicly_trusted;
    let (way, why) = match (set, public) {
        (None | Some(DoorWay::OverTheAir), true) => (DoorWay::OverTheAir, RECOMMENDED),
        (Some(DoorWay::OverTheAir), false) => (DoorWay::OverTheAir, TRUST_FIRST),
        (None, false) => (DoorWay::Profile, UNKNOWN_CERTIFICATE),
        (Some(DoorWay::Profile), _) => (DoorWay::Profile, DIRECT),
    };
    Ok(WayChosen { set, way, why })
}

/// Which automated devices are let in.
pub fn automated(cx: &Context) -> Result<Automated, Error> {
    let set = cx.store.read(|db| db.find_text_setting(AUTOMATED))?;
    Ok(set.and_then(|word| Automated::parse(&word).ok()).unwrap_or(Automated::Open))
}

/// The door, for who asks through the API.
///
/// # Errors
/// `Denied`.
pub fn show(cx: &Context, actor: &Actor) -> Result<Door, Error> {
    actor.require(Permission::Invite)?;
    Ok(Door { way: way(cx)?, automated: automated(cx)? })
}

/// Changes what is given; `automatic` leaves the way to Cordon.
///
/// # Errors
/// `Denied` for anybody but the owner; `Invalid` for words that are none.
pub fn change(cx: &Context, actor: &Actor, way: Option<&str>, automated: Option<&str>) -> Result<Door, Error> {
    actor.require(Permission::Administer)?;
    if let Some(word) = way.filter(|word| *word != "automatic") {
        DoorWay::parse(word).map_err(|_| bad("way", "is one of automatic, ota and profile"))?;
    }
    automated.map(Automated::parse).transpose()?;
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        for (name, value) in [(WAY, way), (AUTOMATED, automated)] {
            if let Some(value) = value {
                tx.put_setting(name, &json!(value))?;
                auditing::record(tx, actor, "setting.set", Some(name), Some(json!({ "value": value })), now)?;
            }
        }
        Ok(())
    })?;
    show(cx, actor)
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}
