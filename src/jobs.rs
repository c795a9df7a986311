//! Upkeep: one scheduler thread for what runs by the clock, and the push thread that the outbox wakes. Started by `cli`.

use crate::service::ports::PushSender;
use crate::service::pushing::Pusher;
use crate::service::{Context, Error, commands};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// "Last seen" is lost by a crash for at most this long; nobody was promised more.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// After a fault of the store: long enough not to fill the log.
const FAULT_PAUSE: Duration = Duration::from_secs(10);

/// The running threads; dropping it stops and joins them, and flushes what was gathered.
pub struct Jobs {
    cx: Arc<Context>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// # Errors
    /// When the system gives no thread.
    pub fn start(cx: Arc<Context>, sender: Arc<dyn PushSender>) -> std::io::Result<Jobs> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut jobs = Jobs { cx: Arc::clone(&cx), stop: Arc::clone(&stop), threads: Vec::new() };
        let (push_cx, push_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads.push(Builder::new().name(String::from("push")).spawn(move || push(&push_cx, sender, &push_stop))?);
        jobs.threads.push(Builder::new().name(String::from("upkeep")).spawn(move || upkeep(&cx, &stop))?);
        Ok(jobs)
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.cx.ring_pusher();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A job that panicked has said so in the log already.
            let _ = thread.join();
        }
        log_fault("flush", self.cx.flush_seen());
    }
}

fn push(cx: &Arc<Context>, sender: Arc<dyn PushSender>, stop: &AtomicBool) {
    let mut pusher = Pusher::new(Arc::clone(cx), sender);
    while !stop.load(Ordering::SeqCst) {
        let pause = match pusher.step() {
            Ok(next) => Duration::from_millis(u64::try_from(next.since(cx.now())).unwrap_or(0)),
            Err(fault) => {
                log_fault("push", Err(fault));
                FAULT_PAUSE
            }
        };
        cx.wait_for_push_work(pause);
    }
}

fn upkeep(cx: &Context, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        std::thread::park_timeout(FLUSH_EVERY);
        log_fault("flush", cx.flush_seen());
        log_fault("expire", commands::expire(cx).map(drop));
    }
}

fn log_fault(job: &str, result: Result<(), Error>) {
    if let Err(fault) = result {
        let source = fault.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(job, error = %fault, source, "a job failed; it is tried again");
    }
}
