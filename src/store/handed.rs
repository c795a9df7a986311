//! Writes that were handed in for whoever holds the write connection to run, and how their callers learn what came of them.
//!
//! Used by `writer` alone. Deliberately not here: transactions. A closure that owns what it needs can run on any thread; its caller
//! sleeps until the answer is there, or until it is called upon to lead the next group because nobody else holds the connection.

use super::{Db, StoreError, Tx};
use crate::base::limits::MAX_WAITING_WRITES;
use rusqlite::Connection;
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex};

/// Tells a caller the fate of the group that its write was in.
pub(super) type Deliver = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Runs the closure; says whether its writes stay, and how to answer.
type Work = Box<dyn FnOnce(Option<&Connection>) -> (Deliver, bool) + Send>;

/// One write on its way.
pub(super) struct Parcel {
    work: Work,
    call: Box<dyn Fn() + Send>,
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

impl Parcel {
    pub(super) fn pack<T, E>(work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static) -> (Parcel, Receipt<T, E>)
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let slot = Arc::new(Slot { state: Mutex::new((None, false)), changed: Condvar::new() });
        let (answers, calls) = (Arc::clone(&slot), Arc::clone(&slot));
        let work = Box::new(move |conn: Option<&Connection>| -> (Deliver, bool) {
            let ran = conn.map(|conn| catch_unwind(AssertUnwindSafe(|| work(&Tx { db: Db { conn } }))));
            let kept = matches!(ran, Some(Ok(Ok(_))));
            let deliver = move |fate: Result<(), StoreError>| {
                let answer = match (ran, fate) {
                    (Some(Err(panic)), _) => Err(panic),
                    (Some(Ok(Err(refused))), _) => Ok(Err(refused)),
                    (Some(Ok(Ok(value))), Ok(())) => Ok(Ok(value)),
                    (_, Err(e)) => Ok(Err(E::from(e))),
                    (None, Ok(())) => Ok(Err(E::from(StoreError::Corrupt("a write that did not run")))),
                };
                answers.change(|state| state.0 = Some(answer));
            };
            (Box::new(deliver), kept)
        });
        let call = Box::new(move || calls.change(|state| state.1 = true));
        (Parcel { work, call }, Receipt(slot))
    }

    pub(super) fn run(self, conn: &Connection) -> (Deliver, bool) {
        (self.work)(Some(conn))
    }

    /// For one that could not even begin.
    pub(super) fn unopened(self) -> Deliver {
        (self.work)(None).0
    }
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
            (parcel.call)();
        }
    }
}
