//! Writes that were handed in for whoever holds the write connection to run, and how their callers learn what came of them.
//!
//! Used by `writer` alone. Deliberately not here: transactions. A closure that owns what it needs can run on any thread, and again
//! where what it wrote was undone; its caller sleeps until the answer is there, or until it is called upon to lead the next group
//! because nobody else holds the connection.

use super::{Db, StoreError, Tx};
use crate::base::limits::MAX_WAITING_WRITES;
use rusqlite::Connection;
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex};

/// One write on its way, whatever it answers.
pub(super) type Parcel = Box<dyn Write>;

pub(super) trait Write: Send {
    /// Runs the closure; `true` when its writes are to stay. Only the last run counts.
    fn run(&mut self, conn: &Connection) -> bool;

    /// Tells the caller the fate of the group that its write was in.
    fn deliver(self: Box<Self>, fate: Result<(), StoreError>);

    /// Calls upon the caller to lead.
    fn call(&self);
}

/// Where its caller waits.
pub(super) struct Receipt<T, E>(Arc<Slot<T, E>>);

struct Slot<T, E> {
    state: Mutex<(Option<Answer<T, E>>, bool)>,
    changed: Condvar,
}

/// What the closure gave, or its panic.
type Answer<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

impl<T, E> Slot<T, E> {
    fn change(&self, change: impl FnOnce(&mut (Option<Answer<T, E>>, bool))) {
        change(&mut self.state.lock().unwrap_or_else(|p| p.into_inner()));
        self.changed.notify_one();
    }
}

struct Packed<W, T, E> {
    work: W,
    ran: Option<Answer<T, E>>,
    slot: Arc<Slot<T, E>>,
}

impl<W, T, E> Write for Packed<W, T, E>
where
    W: Fn(&Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let ran = catch_unwind(AssertUnwindSafe(|| (self.work)(&Tx { db: Db { conn } })));
        matches!(self.ran.insert(ran), Ok(Ok(_)))
    }

    fn deliver(self: Box<Self>, fate: Result<(), StoreError>) {
        let answer = match (self.ran, fate) {
            (Some(Err(panic)), _) => Err(panic),
            (Some(Ok(Err(refused))), _) => Ok(Err(refused)),
            (Some(Ok(Ok(value))), Ok(())) => Ok(Ok(value)),
            (_, Err(e)) => Ok(Err(E::from(e))),
            (None, Ok(())) => Ok(Err(E::from(StoreError::Corrupt("a write that did not run")))),
        };
        self.slot.change(|state| state.0 = Some(answer));
    }

    fn call(&self) {
        self.slot.change(|state| state.1 = true);
    }
}

/// Wraps a closure up for the line.
pub(super) fn pack<T, E>(work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static) -> (Parcel, Receipt<T, E>)
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let slot = Arc::new(Slot { state: Mutex::new((None, false)), changed: Condvar::new() });
    (Box::new(Packed { work, ran: None, slot: Arc::clone(&slot) }), Receipt(slot))
}

impl<T, E> Receipt<T, E> {
    /// Sleeps until the answer is there; `lead` is run whenever this caller is called upon.
    pub(super) fn wait(self, lead: impl Fn()) -> Result<T, E> {
        let mut state = self.0.state.lock().unwrap_or_else(|p| p.into_inner());
        loop {
            if let Some(answer) = state.0.take() {
                drop(state);
                return answer.unwrap_or_else(|panic| resume_unwind(panic));
            }
            if std::mem::take(&mut state.1) {
                drop(state);
                lead();
                state = self.0.state.lock().unwrap_or_else(|p| p.into_inner());
                continue;
            }
            state = self.0.changed.wait(state).unwrap_or_else(|p| p.into_inner());
        }
    }
}

/// The line of those that wait to be run.
#[derive(Default)]
pub(super) struct Handed(Mutex<VecDeque<Parcel>>);

impl Handed {
    /// # Errors
    /// `Busy` when too many wait.
    pub(super) fn put(&self, parcel: Parcel) -> Result<(), StoreError> {
        let mut line = self.0.lock().unwrap_or_else(|p| p.into_inner());
        if line.len() >= MAX_WAITING_WRITES {
            return Err(StoreError::Busy);
        }
        line.push_back(parcel);
        Ok(())
    }

    pub(super) fn take(&self) -> Option<Parcel> {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).pop_front()
    }

    /// Calls upon the caller who waits first, if any.
    pub(super) fn call_first(&self) {
        if let Some(parcel) = self.0.lock().unwrap_or_else(|p| p.into_inner()).front() {
            parcel.call();
        }
    }
}
