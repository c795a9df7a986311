//! Places for pushes in flight: a fixed number, each with a waker that is used again for the next push.
//!
//! Used by `connection`. This is what keeps a push free of a task and of an allocation of its own: the HTTP/2 library
//! wakes a place, the place notes its number, and the connection looks only at noted places.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

pub(super) struct Slots<T> {
    places: Vec<Option<T>>,
    wakers: Vec<Waker>,
    free: Vec<usize>,
    noted: Arc<Noted>,
    /// Kept to swap with the noted numbers, so that neither list is allocated twice.
    spare: Vec<usize>,
}

impl<T> Slots<T> {
    pub(super) fn new(count: usize) -> Self {
        let noted = Arc::new(Noted::default());
        let waker = |place| Waker::from(Arc::new(SlotWaker { place, noted: noted.clone() }));
        Self {
            places: std::iter::repeat_with(|| None).take(count).collect(),
            wakers: (0..count).map(waker).collect(),
            free: (0..count).rev().collect(),
            spare: Vec::new(),
            noted,
        }
    }

    /// Taken places.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Puts `value` into a free place and notes it, so that it is looked at once and leaves its waker.
    /// Grows by a place if none is free; [`Self::is_full`] tells before.
    pub(super) fn insert(&mut self, value: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            let place = self.places.len();
            self.wakers.push(Waker::from(Arc::new(SlotWaker { place, noted: self.noted.clone() })));
            self.places.push(None);
            place
        });
        self.places[place] = Some(value);
        self.noted.lock().places.push(place);
    }

    /// Calls `look` for every place that was woken since; `Some(done)` frees the place and is collected.
    /// A place may be looked at without cause.
    pub(super) fn look<D>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut T, &mut Context<'_>) -> Option<D>,
        mut done: impl FnMut(T, D),
    ) {
        let mut woken = std::mem::take(&mut self.spare);
        self.noted.take(&mut woken, cx);
        for place in woken.drain(..) {
            let Some(value) = &mut self.places[place] else { continue };
            let mut slot_cx = Context::from_waker(&self.wakers[place]);
            if let Some(outcome) = look(value, &mut slot_cx)
                && let Some(value) = self.places[place].take()
            {
                self.free.push(place);
                done(value, outcome);
            }
        }
        self.spare = woken;
    }

    /// Takes out every value for which `when` holds.
    pub(super) fn take_if(&mut self, mut when: impl FnMut(&mut T) -> bool, mut taken: impl FnMut(T)) {
        for (place, value) in self.places.iter_mut().enumerate() {
            if let Some(value) = value.take_if(|v| when(v)) {
                self.free.push(place);
                taken(value);
            }
        }
    }
}

#[derive(Default)]
struct Noted(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    places: Vec<usize>,
    task: Option<Waker>,
}

impl Noted {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the noted numbers into the empty `into` and remembers whom to wake for the next one.
    fn take(&self, into: &mut Vec<usize>, cx: &Context<'_>) {
        let mut inner = self.lock();
        std::mem::swap(&mut inner.places, into);
        match &mut inner.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

struct SlotWaker {
    place: usize,
    noted: Arc<Noted>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut inner = self.noted.lock();
        inner.places.push(self.place);
        // The first note wakes the task; until it has looked, more notes need no further wake.
        if inner.places.len() == 1
            && let Some(task) = inner.task.take()
        {
            drop(inner);
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_woken_places_are_looked_at_and_places_are_reused() {
        let mut slots: Slots<u32> = Slots::new(2);
        let mut cx = Context::from_waker(Waker::noop());
        slots.insert(1);
        assert!(!slots.is_full());
        slots.insert(2);
        assert!(slots.is_full());
        let mut wakers = Vec::new();
        let keep = |_: &mut u32, cx: &mut Context<'_>| {
            wakers.push(cx.waker().clone());
            None::<()>
        };
        slots.look(&mut cx, keep, |_, _| ());
        assert_eq!(wakers.len(), 2, "new ones are looked at once");
        wakers[1].wake_by_ref();
        let mut finished = Vec::new();
        slots.look(&mut cx, |value, _| Some(*value * 10), |value, done| finished.push((value, done)));
        assert_eq!(finished, [(2, 20)]);
        assert_eq!(slots.len(), 1);
        slots.insert(4);
        let mut rest = Vec::new();
        slots.take_if(|_| true, |value| rest.push(value));
        assert_eq!(rest, [1, 4]);
        assert_eq!(slots.len(), 0);
    }
}
