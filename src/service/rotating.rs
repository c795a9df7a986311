//! New keys in place of old ones while the server goes on: the data key, under which every secret is sealed anew in small steps, and
//! the machine key that opens it here. Begun by an owner (`http`), carried on by `jobs`; a kill in between loses nothing, because what
//! is left to do can be read from the database: data keys before the newest.

use super::actor::{Actor, Permission};
use super::recovery::{self, NewCode};
use super::{Context, Error, auditing, founding, login};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{MINUTE, Timestamp};
use crate::pki::sealing::{DataKey, Keyring};
use crate::store::{SealedCursor, create_machine_key, find_machine_key, next_machine_key, settle_machine_key};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Values of one step; each is one more row for the writer, which devices wait for.
const STEP: usize = 64;
/// What was sealed before the new key came may still be on its way into the database for so long; a restart ends it at once.
const ON_ITS_WAY: i64 = 10 * MINUTE;

/// How far this process has come; all that a restart must know is in the database.
#[derive(Default)]
pub struct Rotation(Mutex<Walk>);

#[derive(Default)]
pub(super) struct Walk {
    cursor: SealedCursor,
    /// Nothing was sealed with an older key after this.
    settled_at: Option<Timestamp>,
    /// Since the walk began at the first table.
    began_at: Option<Timestamp>,
    found: bool,
    /// An old key is destroyed, but perhaps still in the write-ahead log.
    to_wipe: bool,
}

/// The keys as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Id of the data key that seals.
    pub key_id: u32,
    /// Older data keys that still open something.
    pub older: usize,
    /// Secrets not sealed with the newest key yet, and all of them.
    pub left: i64,
    pub all: i64,
    /// Whether a recovery code opens a copy.
    pub recovery_code_made_at: Option<Timestamp>,
}

/// What becomes of the recovery code, which must open the new key too.
#[derive(Debug, Clone)]
pub enum Code {
    /// The code in force goes on; it has to be given.
    Keep(Secret<String>),
    /// A new one takes its place.
    New,
    /// For a school that has none.
    None,
}

/// The keys as they stand.
pub fn show(cx: &Context, actor: &Actor) -> Result<Standing, Error> {
    actor.require(Permission::Administer)?;
    let ring = cx.keyring();
    let (left, all) = cx.store.read(|db| db.count_sealed_otherwise(ring.current().id()))?;
    let recovery_code_made_at = recovery::find_made_at(cx)?;
    Ok(Standing { key_id: ring.current().id(), older: ring.older().len(), left, all, recovery_code_made_at })
}

/// Makes a new data key. From here on it seals; what older keys sealed follows in steps. Returns the new recovery code, if one was asked for.
///
/// # Errors
/// `Denied` for anybody but an owner who has given the password again; `Conflict` while a rotation is going on or the clock is behind;
/// `Invalid` for a wrong recovery code, or none where one is in force.
pub fn begin(
    cx: &Context,
    actor: &Actor,
    password: Option<&str>,
    code: &Code,
) -> Result<Option<Secret<String>>, Error> {
    allow(cx, actor, password)?;
    let has_code = recovery::find_made_at(cx)?.is_some();
    let (kept, made) = match code {
        Code::Keep(typed) => (Some(recovery::open_with_code(&cx.store, typed.expose())?.1), None),
        Code::New => (None, Some(NewCode::mint(cx)?)),
        Code::None if has_code => return Err(Error::invalid(Text::RotationNeedsCode)),
        Code::None => (None, None),
    };
    let machine_key = machine_key(cx)?;
    // One at a time. The ring's own lock is not held over the transaction: whoever writes just now may want to seal.
    let mut walk = cx.rotation.lock();
    let ring = cx.keyring();
    if !ring.older().is_empty() {
        return Err(Error::conflict(Text::RotationGoingOn));
    }
    let old = ring.current().clone();
    let new = DataKey::generate(&*cx.random, old.id() + 1);
    let both = [&old, &new];
    let now = cx.now();
    cx.store.write(|tx| {
        founding::wrap_for_machine(tx, [&new].into_iter(), &machine_key, &*cx.random, now)?;
        if let Some(kept) = &kept {
            kept.wrap(cx, tx, [&new].into_iter(), now)?;
        }
        if let Some(made) = &made {
            made.wrap(cx, tx, both.into_iter(), now)?;
        }
        let detail = json!({ "from": old.id(), "to": new.id(), "new_recovery_code": made.is_some() });
        auditing::record(tx, actor, "key.rotate", None, Some(detail), now)
    })?;
    put_ring(cx, vec![old, new])?;
    *walk = Walk { settled_at: Some(now.plus(ON_ITS_WAY)), ..Walk::default() };
    Ok(made.map(|made| made.code))
}

/// Puts a new machine key in the place of this machine's: the file first, then the database, then the file's name.
///
/// # Errors
/// As [`begin`]; `Conflict` when the file cannot be replaced by the server.
pub fn replace_machine_key(cx: &Context, actor: &Actor, password: Option<&str>) -> Result<(), Error> {
    allow(cx, actor, password)?;
    // What is in force must be in the file, or a new file would be of no use.
    machine_key(cx)?;
    let path = &cx.machine_key_path;
    let new = Secret::new(cx.random_bytes::<32>());
    create_machine_key(&next_machine_key(path), &new)
        .map_err(|e| Error::conflict(Text::MachineKeyFixed { path: path.display().to_string(), why: e.to_string() }))?;
    let now = cx.now();
    let mut walk = cx.rotation.lock();
    let ring = cx.keyring();
    cx.store.write(|tx| {
        founding::wrap_for_machine(tx, ring.keys(), &new, &*cx.random, now)?;
        auditing::record(tx, actor, "key.machine", None, None, now)
    })?;
    settle_machine_key(path, true)?;
    walk.to_wipe = true;
    Ok(())
}

fn put_ring(cx: &Context, keys: Vec<DataKey>) -> Result<(), Error> {
    let ring = Keyring::new(keys).ok_or_else(|| Error::internal("no data key"))?;
    *cx.keyring.write().unwrap_or_else(|p| p.into_inner()) = Arc::new(ring);
    Ok(())
}

fn allow(cx: &Context, actor: &Actor, password: Option<&str>) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    login::verify_fresh(cx, actor, password)?;
    match cx.clock_is_behind() {
        Some(seen) => Err(Error::conflict(Text::ClockBehind { now: cx.now().to_string(), seen: seen.to_string() })),
        None => Ok(()),
    }
}

/// This machine's key, proven to open what is in the database.
fn machine_key(cx: &Context) -> Result<Secret<[u8; 32]>, Error> {
    let path = &cx.machine_key_path;
    let fixed =
        |why: &str| Error::conflict(Text::MachineKeyFixed { path: path.display().to_string(), why: why.to_owned() });
    let key = find_machine_key(path)?.ok_or_else(|| fixed("the file is not there"))?;
    founding::opens(&cx.store, &key)?.then_some(key).ok_or_else(|| fixed("the file does not open this database"))
}

impl Rotation {
    /// Held by whoever changes which keys there are, or how they are wrapped.
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Walk> {
        self.0.lock().unwrap_or_else(|p| p.into_inner())
    }
}

/// One step of upkeep: seals some values anew, or destroys the old keys when nothing needs them. `true` while there is more to do now.
///
/// # Errors
/// Faults of the store, and a value that does not open: its key is then never destroyed.
pub fn step(cx: &Context) -> Result<bool, Error> {
    let mut walk = cx.rotation.lock();
    if walk.to_wipe && cx.store.checkpoint()? {
        walk.to_wipe = false;
    }
    let ring = cx.keyring();
    if ring.older().is_empty() || cx.clock_is_behind().is_some() {
        return Ok(false);
    }
    let (now, current) = (cx.now(), ring.current().id());
    walk.began_at.get_or_insert(now);
    let batch = cx.store.read(|db| db.list_sealed_otherwise(current, &mut walk.cursor, STEP))?;
    if let Some(batch) = batch {
        walk.found = true;
        let mut anew = Vec::with_capacity(batch.len());
        for value in &batch {
            let plain =
                ring.open(&value.place, &value.blob).map_err(|e| Error::internal(format!("{}: {e}", value.place)))?;
            anew.push(ring.seal(&*cx.random, &value.place, plain.expose()));
        }
        cx.store.write(|tx| batch.iter().zip(&anew).try_for_each(|(old, blob)| tx.reseal(old, blob)))?;
        return Ok(true);
    }
    let (found, began_at) = (std::mem::take(&mut walk.found), walk.began_at.take());
    walk.cursor = SealedCursor::default();
    if found {
        // Once more from the front: what was on its way may lie behind us.
        return Ok(true);
    }
    if walk.settled_at.is_some_and(|settled| began_at.is_none_or(|began| began < settled)) {
        return Ok(false);
    }
    destroy(cx, &ring, now)?;
    walk.to_wipe = !cx.store.checkpoint()?;
    Ok(false)
}

/// A whole walk found nothing of the old keys: their wrappings go, and with them the keys.
fn destroy(cx: &Context, ring: &Keyring, now: Timestamp) -> Result<(), Error> {
    let current = ring.current();
    cx.store.write(|tx| {
        tx.delete_wrapped_keys_before(current.id())?;
        let gone: Vec<u32> = ring.older().iter().map(DataKey::id).collect();
        let detail = json!({ "destroyed": gone, "in_force": current.id() });
        auditing::record(tx, &Actor::Job("key-rotation"), "key.rotated", None, Some(detail), now)
    })?;
    put_ring(cx, vec![current.clone()])
}
