//! Invitations to enrol, as those see them who hand them out: made for one device or for a class, listed, revoked. Who uses one is at
//! [`super::arriving`].
//!
//! A code is shown once, when it is made; only its hash is kept, so a lost sheet is revoked and made anew.

use super::actor::{Actor, Permission};
use super::doorway::DoorWay;
use super::tokens::parse_span;
use super::{Context, Error, auditing};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{DAY, Timestamp};
use crate::pki::digest::sha256;
use crate::store::{InvitationRow, InvitedDevice, NewInvitation};
use serde_json::json;

/// Life of an invitation: from printing the sheet to the day the class has its devices.
pub const INVITATION_LIFE: i64 = 30 * DAY;
/// The longest life that may be asked for.
const LONGEST_LIFE: i64 = 365 * DAY;
/// Invitations that are made at once: a year of a large school.
pub const MAX_AT_ONCE: usize = 500;
/// Devices of one invitation.
const MAX_USES: i64 = 1_000;
/// Characters of a code: 58 bits, in three groups of four that can be typed from paper.
const CODE: usize = 12;
/// Longest name of who an invitation is for, in characters.
const MAX_NAME: usize = 120;

/// What is asked of new invitations.
#[derive(Debug, Clone)]
pub struct Wish {
    /// One invitation for each: whose device it is for.
    pub recipients: Vec<String>,
    /// Row of the person of the school it is for, when there is one recipient.
    pub person: Option<i64>,
    pub class: Option<String>,
    pub way: Option<DoorWay>,
    /// Devices that one invitation enrols.
    pub uses: i64,
    /// Milliseconds.
    pub life: i64,
}

/// A new invitation, with the code that is nowhere else.
#[derive(Debug)]
pub struct Made {
    pub id: String,
    /// Three groups of four.
    pub code: Secret<String>,
    pub recipient: String,
    pub class: Option<String>,
    pub uses: i64,
    pub expires_at: Timestamp,
}

impl Made {
    /// The page with the code filled in, for a QR code.
    pub fn url(&self, cx: &Context) -> Secret<String> {
        Secret::new(format!("{}/enroll?code={}", cx.urls().people, self.code.expose()))
    }
}

/// Makes invitations.
///
/// # Errors
/// `Invalid` for too many, for empty names and for lives that are none; `Denied`; `Conflict` with a clock that runs behind.
pub fn make(cx: &Context, actor: &Actor, wish: &Wish) -> Result<Vec<Made>, Error> {
    actor.require(Permission::Invite)?;
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    check(wish)?;
    cx.require_space()?;
    let now = cx.now();
    let expires_at = now.plus(wish.life);
    let class = wish.class.as_deref().map(str::trim).filter(|class| !class.is_empty());
    let made: Vec<Made> = wish
        .recipients
        .iter()
        .map(|recipient| Made {
            id: format!("i-{}", short_code(&cx.random_bytes::<8>())),
            code: Secret::new(grouped(&short_code(&cx.random_bytes::<CODE>()))),
            recipient: recipient.trim().to_owned(),
            class: class.map(str::to_owned),
            uses: wish.uses,
            expires_at,
        })
        .collect();
    cx.store.write(|tx| -> Result<(), Error> {
        for one in &made {
            tx.insert_invitation(
                &NewInvitation {
                    public_id: &one.id,
                    hash: &hash(one.code.expose()),
                    recipient: &one.recipient,
                    person: wish.person,
                    class,
                    way: wish.way.map(DoorWay::as_str),
                    uses: wish.uses,
                    created_by: &actor.name(),
                    expires_at,
                },
                now,
            )?;
            let detail = json!({ "for": one.recipient, "class": class, "uses": wish.uses, "expires_at": expires_at.to_string() });
            auditing::record(tx, actor, "invitation.make", Some(&one.id), Some(detail), now)?;
        }
        Ok(())
    })?;
    Ok(made)
}

fn check(wish: &Wish) -> Result<(), Error> {
    let count = wish.recipients.len();
    if !(1..=MAX_AT_ONCE).contains(&count) {
        return Err(bad("count", &format!("1 to {MAX_AT_ONCE} invitations are made at once")));
    }
    let named =
        |text: &str| (1..=MAX_NAME).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control);
    if !wish.recipients.iter().all(|name| named(name)) {
        return Err(bad("for", &format!("say in 1 to {MAX_NAME} characters whose device it is for")));
    }
    if wish.class.as_deref().is_some_and(|class| !class.trim().is_empty() && !named(class)) {
        return Err(bad("class", "is too long"));
    }
    if !(1..=MAX_USES).contains(&wish.uses) {
        return Err(bad("uses", &format!("is a number from 1 to {MAX_USES}")));
    }
    if !(1..=LONGEST_LIFE).contains(&wish.life) {
        return Err(bad("expires_in", "is at most 365d"));
    }
    Ok(())
}

/// A life in words, such as 30d; [`INVITATION_LIFE`] when nothing is said.
///
/// # Errors
/// `Invalid`.
pub fn life(text: Option<&str>) -> Result<i64, Error> {
    text.map_or(Ok(INVITATION_LIFE), parse_span)
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Open,
    Used,
    Expired,
    Revoked,
}

impl Standing {
    pub fn of(row: &InvitationRow, now: Timestamp) -> Self {
        if row.revoked_at.is_some() {
            Standing::Revoked
        } else if row.used >= row.uses {
            Standing::Used
        } else if row.expires_at <= now {
            Standing::Expired
        } else {
            Standing::Open
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Open => "open",
            Standing::Used => "used",
            Standing::Expired => "expired",
            Standing::Revoked => "revoked",
        }
    }
}

/// An invitation and the devices that came in by it.
#[derive(Debug, Clone)]
pub struct View {
    pub row: InvitationRow,
    pub standing: Standing,
    pub devices: Vec<InvitedDevice>,
}

/// Newest first; `before` is the row number that the last page ended with.
///
/// # Errors
/// `Denied`.
pub fn list(
    cx: &Context,
    actor: &Actor,
    class: Option<&str>,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<View>, Error> {
    actor.require(Permission::Invite)?;
    let now = cx.now();
    cx.store.read(|db| {
        let rows = db.list_invitations(before.unwrap_or(i64::MAX), class, limit)?;
        rows.into_iter()
            .map(|row| {
                let devices = if row.used > 0 { db.list_invited_devices(row.id)? } else { Vec::new() };
                Ok(View { standing: Standing::of(&row, now), row, devices })
            })
            .collect()
    })
}

/// Ends an invitation; devices that came in by it stay.
///
/// # Errors
/// `NotFound` when there is none that could still be used.
pub fn revoke(cx: &Context, actor: &Actor, id: &str) -> Result<(), Error> {
    actor.require(Permission::Invite)?;
    let now = cx.now();
    cx.store.write(|tx| {
        if !tx.revoke_invitation(id, now)? {
            return Err(Error::not_found(Text::NoSuchInvitation { id: id.chars().take(40).collect() }));
        }
        auditing::record(tx, actor, "invitation.revoke", Some(id), None, now)
    })
}

/// What is kept of a code: case, blanks and hyphens are how people type, and o, l, i, u are how they read.
pub(super) fn hash(code: &str) -> [u8; 32] {
    let plain: String =
        code.chars().filter(|c| !c.is_whitespace() && *c != '-').flat_map(char::to_lowercase).take(64).collect();
    sha256(format!("invitation/{plain}").as_bytes())
}

fn grouped(code: &str) -> String {
    let characters: Vec<char> = code.chars().collect();
    characters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_typed_as_people_type() {
        let code = grouped("k7m2p9xw4htz");
        assert_eq!(code, "k7m2-p9xw-4htz");
        for typed in ["K7M2 P9XW 4HTZ", "k7m2p9xw4htz", " k7m2–p9xw-4htz ".replace('–', "-").as_str()] {
            assert_eq!(hash(typed), hash(&code), "{typed}");
        }
        assert_ne!(hash("k7m2-p9xw-4hty"), hash(&code));
    }

    #[test]
    fn wishes_are_bounded() {
        let wish = Wish {
            recipients: vec!["Ada".into()],
            person: None,
            class: None,
            way: None,
            uses: 1,
            life: INVITATION_LIFE,
        };
        assert!(check(&wish).is_ok());
        let refused = |change: fn(&mut Wish)| {
            let mut wish = wish.clone();
            change(&mut wish);
            check(&wish).is_err()
        };
        assert!(refused(|w| w.recipients.clear()));
        assert!(refused(|w| w.recipients = vec!["x".into(); MAX_AT_ONCE + 1]));
        assert!(refused(|w| w.recipients = vec![" ".into()]));
        assert!(refused(|w| w.recipients = vec!["a\nb".into()]));
        assert!(refused(|w| w.uses = 0) && refused(|w| w.uses = 1_001));
        assert!(refused(|w| w.life = 0) && refused(|w| w.life = LONGEST_LIFE + 1));
    }
}
