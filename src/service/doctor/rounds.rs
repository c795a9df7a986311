//! An examination in the background: somebody asks for it in the console, a thread of `jobs` carries it out, and the page shows how far it is.
//! One at a time; what it found is kept until the next one or the end of the program.

use super::{Finding, LOOKS, Look, Surroundings, conclude};
use crate::base::time::Timestamp;
use crate::service::actor::{Actor, Permission};
use crate::service::{Context, Error};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// One examination.
#[derive(Debug, Clone)]
pub struct Round {
    pub asked_at: Timestamp,
    /// Looks that are done, and all.
    pub done: usize,
    pub all: usize,
    pub findings: Vec<Finding>,
    pub ended_at: Option<Timestamp>,
    /// It could not be finished.
    pub failed: bool,
    asked_by: Actor,
    begun: bool,
}

/// The one that runs or ran last, and the bell of the thread that carries it out.
#[derive(Default)]
pub(in crate::service) struct Rounds {
    last: Mutex<Option<Round>>,
    asked: Condvar,
}

impl Rounds {
    fn last(&self) -> MutexGuard<'_, Option<Round>> {
        self.last.lock().unwrap_or_else(|p| p.into_inner())
    }
}

/// Asks for an examination; one that is under way already is enough.
///
/// # Errors
/// `Denied` for anybody but an owner.
pub fn ask(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let mut last = cx.rounds.last();
    if last.as_ref().is_none_or(|round| round.ended_at.is_some()) {
        *last = Some(Round {
            asked_at: cx.now(),
            done: 0,
            all: LOOKS.len(),
            findings: Vec::new(),
            ended_at: None,
            failed: false,
            asked_by: actor.clone(),
            begun: false,
        });
    }
    drop(last);
    cx.rounds.asked.notify_all();
    Ok(())
}

/// The examination that runs, or the last one.
///
/// # Errors
/// `Denied` for anybody but an owner.
pub fn last(cx: &Context, actor: &Actor) -> Result<Option<Round>, Error> {
    actor.require(Permission::Administer)?;
    Ok(cx.rounds.last().clone())
}

/// Carries out what was asked for, if anything was; waits for it at most so long.
///
/// # Errors
/// Faults of the store; the page says then that it could not be finished.
pub fn wait_and_carry_out(cx: &Context, at_most: Duration) -> Result<(), Error> {
    let waits = |last: &mut Option<Round>| last.as_ref().is_none_or(|round| round.begun);
    let waited = cx.rounds.asked.wait_timeout_while(cx.rounds.last(), at_most, waits);
    let (mut last, _) = waited.unwrap_or_else(|p| p.into_inner());
    let Some(round) = last.as_mut().filter(|round| !round.begun) else { return Ok(()) };
    round.begun = true;
    let asked_by = round.asked_by.clone();
    drop(last);
    let world = cx.surroundings();
    let world = world.as_ref().map(|world| &**world as &dyn Surroundings);
    for look in LOOKS {
        let found = one(cx, world, look);
        if let Some(round) = cx.rounds.last().as_mut() {
            round.done += 1;
            round.findings.extend(found);
        }
    }
    let found = cx.rounds.last().as_ref().map(|round| round.findings.clone()).unwrap_or_default();
    let concluded = conclude(cx, &asked_by, &found);
    if let Some(round) = cx.rounds.last().as_mut() {
        round.ended_at = Some(cx.now());
        round.failed = concluded.is_err();
    }
    concluded
}

/// What one look finds; its failing is a finding too.
pub(super) fn one(cx: &Context, world: Option<&dyn Surroundings>, look: Look) -> Vec<Finding> {
    look(cx, world).unwrap_or_else(|error| {
        let why = error.source.as_ref().map_or(error.public.to_string(), |source| source.to_string());
        vec![Finding::bad("inside", format!("A look at the server failed: {why}"), "Read the server's log.")]
    })
}
