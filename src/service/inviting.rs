//! Invitations to enrol, as those see them who hand them out: made for one device, for a person of the school or for a class, listed,
//! revoked. A teacher does so for the classes they teach. Who uses one is at [`super::arriving`].
//!
//! A code is shown once, when it is made; only its hash is kept, so a lost sheet is revoked and made anew.

use super::actor::{Actor, Permission, Scope};
use super::doorway::DoorWay;
use super::tokens::parse_span;
use super::{Context, Error, auditing};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{DAY, Timestamp};
use crate::pki::digest::sha256;
use crate::store::{Db, GroupRow, InvitationRow, InvitedDevice, NewInvitation, PersonRow};
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

/// Whom invitations are for; one each.
#[derive(Debug, Clone)]
pub enum Whom {
    /// In the words of who makes them.
    Names(Vec<String>),
    /// People of the school, by short name or id: the device is theirs.
    People(Vec<String>),
    /// Every pupil of the class.
    Pupils,
}

/// What is asked of new invitations.
#[derive(Debug, Clone)]
pub struct Wish {
    pub whom: Whom,
    /// A class of the school, whose devices they become; or, for who may invite anybody, any words.
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
    /// Public id of the person it is for.
    pub person: Option<String>,
    pub class: Option<String>,
    pub uses: i64,
    pub expires_at: Timestamp,
}

/// Somebody who gets an invitation.
struct Recipient {
    name: String,
    person: Option<PersonRow>,
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
/// `Invalid` for too many, for empty names and for lives that are none; `NotFound` for people and classes that are not there, or not
/// the teacher's; `Denied`; `Conflict` with a clock that runs behind.
pub fn make(cx: &Context, actor: &Actor, wish: &Wish) -> Result<Vec<Made>, Error> {
    actor.require(Permission::Invite)?;
    if let Some(seen) = cx.clock_is_behind() {
        return Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() }));
    }
    check(wish)?;
    cx.require_space()?;
    let now = cx.now();
    let expires_at = now.plus(wish.life);
    let words = wish.class.as_deref().map(str::trim).filter(|class| !class.is_empty());
    let (group, recipients) = cx.store.read(|db| {
        let group = class(db, actor, words, matches!(wish.whom, Whom::Pupils))?;
        let recipients = recipients(db, actor, &wish.whom, group.as_ref())?;
        Ok::<_, Error>((group, recipients))
    })?;
    let class = group.as_ref().map(|group| group.name.as_str()).or(words);
    let made = |one: &Recipient| Made {
        id: format!("i-{}", short_code(&cx.random_bytes::<8>())),
        code: Secret::new(grouped(&short_code(&cx.random_bytes::<CODE>()))),
        recipient: one.name.clone(),
        person: one.person.as_ref().map(|person| person.public_id.clone()),
        class: class.map(str::to_owned),
        uses: wish.uses,
        expires_at,
    };
    let made: Vec<Made> = recipients.iter().map(made).collect();
    cx.store.write(|tx| -> Result<(), Error> {
        for (one, whom) in made.iter().zip(&recipients) {
            // The audit and this row name nobody: a person can be erased.
            let named = whom.person.as_ref().map_or(one.recipient.as_str(), |person| person.public_id.as_str());
            tx.insert_invitation(
                &NewInvitation {
                    public_id: &one.id,
                    hash: &hash(one.code.expose()),
                    recipient: named,
                    person: whom.person.as_ref().map(|person| person.id),
                    class,
                    group: group.as_ref().map(|group| group.id),
                    way: wish.way.map(DoorWay::as_str),
                    uses: wish.uses,
                    created_by: &actor.name(),
                    expires_at,
                },
                now,
            )?;
            let detail =
                json!({ "for": named, "class": class, "uses": wish.uses, "expires_at": expires_at.to_string() });
            auditing::record(tx, actor, "invitation.make", Some(&one.id), Some(detail), now)?;
        }
        Ok(())
    })?;
    Ok(made)
}

/// The class of the school that is meant. A teacher has to name one of their own; for others words that name none are only words.
fn class(db: &Db<'_>, actor: &Actor, words: Option<&str>, needed: bool) -> Result<Option<GroupRow>, Error> {
    let Some(words) = words else {
        return match actor.scope() {
            Scope::All if !needed => Ok(None),
            Scope::All => Err(bad("class", "say whose pupils are meant")),
            Scope::Classes(_) | Scope::Nothing => Err(bad("class", "name one of your classes")),
        };
    };
    let found = match actor.scope() {
        Scope::All => db.find_group(words)?.filter(|group| group.kind == "class"),
        Scope::Classes(teacher) => {
            let own = |group: &GroupRow| group.public_id == words || group.name.eq_ignore_ascii_case(words);
            db.list_groups(Some(teacher))?.into_iter().find(own)
        }
        Scope::Nothing => None,
    };
    match found {
        None if needed || actor.scope() != Scope::All => {
            Err(Error::not_found(Text::NoSuchGroup { name: words.to_owned() }))
        }
        found => Ok(found),
    }
}

fn recipients(db: &Db<'_>, actor: &Actor, whom: &Whom, group: Option<&GroupRow>) -> Result<Vec<Recipient>, Error> {
    let known = |person: PersonRow| {
        let name = person.long_name.clone().unwrap_or_else(|| person.short_name.clone());
        Recipient { name, person: Some(person) }
    };
    let found: Vec<Recipient> = match whom {
        Whom::Names(names) => {
            names.iter().map(|name| Recipient { name: name.trim().to_owned(), person: None }).collect()
        }
        Whom::People(names) => {
            let mut found = Vec::new();
            for name in names {
                let person = db.find_person_by_any(name)?.filter(|person| person.disabled_at.is_none());
                let person = match (person, group) {
                    // Whoever is not in the class is not a teacher's to know.
                    (Some(person), Some(group)) if actor.scope() != Scope::All => {
                        db.find_part(group.id, person.id)?.map(|_| person)
                    }
                    (person, _) => person,
                };
                found.push(known(person.ok_or_else(|| Error::not_found(Text::NoSuchPerson { name: name.clone() }))?));
            }
            found
        }
        Whom::Pupils => {
            let people = group.map(|group| db.list_group_people(group.id)).transpose()?.unwrap_or_default();
            let pupils = people.into_iter().filter(|(one, part)| part == "member" && one.disabled_at.is_none());
            pupils.map(|(one, _)| known(one)).collect()
        }
    };
    match found.len() {
        0 => Err(bad("class", "has no pupils yet; import them, or say how many invitations there are to be")),
        n if n > MAX_AT_ONCE => Err(bad("count", &format!("1 to {MAX_AT_ONCE} invitations are made at once"))),
        _ => Ok(found),
    }
}

fn check(wish: &Wish) -> Result<(), Error> {
    let named =
        |text: &str| (1..=MAX_NAME).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control);
    if let Whom::Names(names) | Whom::People(names) = &wish.whom {
        if !(1..=MAX_AT_ONCE).contains(&names.len()) {
            return Err(bad("count", &format!("1 to {MAX_AT_ONCE} invitations are made at once")));
        }
        if !names.iter().all(|name| named(name)) {
            return Err(bad("for", &format!("say in 1 to {MAX_NAME} characters whose device it is for")));
        }
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

/// Newest first, a teacher's only of own classes; `before` is the row number that the last page ended with.
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
    let taught_by = match actor.scope() {
        Scope::All => None,
        Scope::Classes(teacher) => Some(teacher),
        Scope::Nothing => return Ok(Vec::new()),
    };
    cx.store.read(|db| {
        let rows = db.list_invitations(taught_by, before.unwrap_or(i64::MAX), class, limit)?;
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
        let own = match (actor.scope(), tx.find_invitation(id)?.and_then(|row| row.group)) {
            (Scope::All, _) => true,
            (Scope::Classes(teacher), Some(group)) => {
                tx.list_groups(Some(teacher))?.iter().any(|taught| taught.id == group)
            }
            _ => false,
        };
        if !own || !tx.revoke_invitation(id, now)? {
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
        let wish =
            Wish { whom: Whom::Names(vec!["Ada".into()]), class: None, way: None, uses: 1, life: INVITATION_LIFE };
        assert!(check(&wish).is_ok());
        let refused = |change: fn(&mut Wish)| {
            let mut wish = wish.clone();
            change(&mut wish);
            check(&wish).is_err()
        };
        assert!(refused(|w| w.whom = Whom::People(Vec::new())));
        assert!(refused(|w| w.whom = Whom::Names(vec!["x".into(); MAX_AT_ONCE + 1])));
        assert!(refused(|w| w.whom = Whom::Names(vec![" ".into()])));
        assert!(refused(|w| w.whom = Whom::Names(vec!["a\nb".into()])));
        assert!(refused(|w| w.uses = 0) && refused(|w| w.uses = 1_001));
        assert!(refused(|w| w.life = 0) && refused(|w| w.life = LONGEST_LIFE + 1));
    }
}
