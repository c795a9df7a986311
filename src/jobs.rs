//! Upkeep: one scheduler thread for what runs by the clock, the push thread that the outbox wakes, and the threads
//! that tell webhooks and send e-mail. Started by `server`.

use crate::service::doctor::rounds;
use crate::service::ports::{PushSender, WebhookSender};
use crate::service::pushing::Pusher;
use crate::service::serving::Keeper;
use crate::service::telling::Teller;
use crate::service::{
    Context, Error, accounts, activity, auditing, backing_up, bulk, commands, directories, events, expiring, faults,
    inventory, mailing, provisioning, purging, reconciling, renewing, replacing, rotating, schedules, setting_up,
    webhooks,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// "Last seen" is lost by a crash for at most this long; nobody was promised more.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// How soon a new certificate file is seen.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a fault of the store: long enough not to fill the log.
const FAULT_PAUSE: Duration = Duration::from_secs(10);
/// How long the doctor waits for somebody before looking whether the program ends.
const DOCTOR_LOOKS: Duration = Duration::from_millis(500);
/// Rounds of the upkeep thread between two rounds of renewals: a minute.
const RENEWALS: u32 = 12;
/// Rounds of the upkeep thread between two looks at dates that are days away: an hour.
const SELDOM: u32 = 720;
/// Rounds between two looks for what is no longer needed: ten minutes.
const PURGE: u32 = 120;
/// On a clean stop, how long an answer of a webhook's receiver is waited for.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The running threads; dropping it stops and joins them, and flushes what was gathered.
pub struct Jobs {
    cx: Arc<Context>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        cx: Arc<Context>,
        sender: Arc<dyn PushSender>,
        hooks: Arc<dyn WebhookSender>,
        keeper: Keeper,
    ) -> std::io::Result<Jobs> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut jobs = Jobs { cx: Arc::clone(&cx), stop: Arc::clone(&stop), threads: Vec::new() };
        let (push_cx, push_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads.push(Builder::new().name(String::from("push")).spawn(move || push(&push_cx, sender, &push_stop))?);
        let (hook_cx, hook_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads
            .push(Builder::new().name(String::from("webhooks")).spawn(move || tell(&hook_cx, hooks, &hook_stop))?);
        let (tls_cx, tls_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads.push(
            Builder::new().name(String::from("certificate")).spawn(move || certificate(&tls_cx, keeper, &tls_stop))?,
        );
        let (people_cx, people_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads.push(
            Builder::new().name(String::from("directory")).spawn(move || take_people_over(&people_cx, &people_stop))?,
        );
        let (mail_cx, mail_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads.push(Builder::new().name(String::from("mail")).spawn(move || send_mail(&mail_cx, &mail_stop))?);
        let (doctor_cx, doctor_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads
            .push(Builder::new().name(String::from("doctor")).spawn(move || make_rounds(&doctor_cx, &doctor_stop))?);
        let (backup_cx, backup_stop) = (Arc::clone(&cx), Arc::clone(&stop));
        jobs.threads
            .push(Builder::new().name(String::from("backup")).spawn(move || back_up(&backup_cx, &backup_stop))?);
        jobs.threads.push(Builder::new().name(String::from("upkeep")).spawn(move || upkeep(&cx, &stop))?);
        Ok(jobs)
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.cx.ring_pusher();
        self.cx.wake_teller();
        self.cx.acme_answers.stop();
        self.cx.ring_certificates();
        if let Some(sender) = self.cx.mail_sender() {
            sender.stop();
        }
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A job that panicked has said so in the log already.
            let _ = thread.join();
        }
        log_fault(&self.cx, "flush", self.cx.flush_seen());
        log_fault(&self.cx, "audit", auditing::flush(&self.cx));
    }
}

fn push(cx: &Arc<Context>, sender: Arc<dyn PushSender>, stop: &AtomicBool) {
    let mut pusher = Pusher::new(Arc::clone(cx), sender);
    while !stop.load(Ordering::SeqCst) {
        let pause = match pusher.step() {
            Ok(next) => Duration::from_millis(u64::try_from(next.since(cx.now())).unwrap_or(0)),
            Err(fault) => {
                log_fault(cx, "push", Err(fault));
                FAULT_PAUSE
            }
        };
        cx.wait_for_push_work(pause);
    }
}

/// A thread of its own: a certificate authority may take minutes.
fn certificate(cx: &Arc<Context>, mut keeper: Keeper, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let pause = match keeper.step() {
            Ok(()) => LOOK_EVERY,
            Err(fault) => {
                log_fault(cx, "certificate", Err(fault));
                FAULT_PAUSE
            }
        };
        if stop.load(Ordering::SeqCst) {
            break;
        }
        cx.wait_for_certificates(pause);
    }
}

fn upkeep(cx: &Context, stop: &AtomicBool) {
    let mut round: u32 = 0;
    while !stop.load(Ordering::SeqCst) {
        std::thread::park_timeout(FLUSH_EVERY);
        log_fault(cx, "flush", cx.flush_seen());
        log_fault(cx, "audit", auditing::flush(cx));
        log_fault(cx, "faults", faults::watch(cx));
        log_fault(cx, "expire", commands::expire(cx).map(drop));
        log_fault(cx, "schedules", schedules::turn(cx).map(drop));
        log_fault(cx, "profiles", reconciling::try_again(cx).map(drop));
        log_fault(cx, "provisioning", provisioning::try_again(cx).map(drop));
        log_fault(cx, "setup", setting_up::release_overdue(cx).map(drop));
        log_fault(cx, "forget-events", webhooks::forget_old(cx).map(drop));
        log_fault(cx, "bulk", for_a_while(stop, || bulk::step(cx)));
        log_fault(cx, "key-rotation", for_a_while(stop, || rotating::step(cx)));
        // Not right after a start: that is when all devices come back.
        if round > 0 && round.is_multiple_of(PURGE) {
            log_fault(cx, "purge", for_a_while(stop, || purging::step(cx)));
            log_fault(cx, "activity", activity::watch(cx));
        }
        if round.is_multiple_of(SELDOM) {
            log_fault(cx, "expiring", expiring::tell(cx));
            log_fault(cx, "authorities", replacing::keep_fresh(cx));
            log_fault(cx, "schedules", schedules::look_ahead(cx));
        }
        if round.is_multiple_of(RENEWALS) {
            log_fault(cx, "renewals", renewing::run(cx).map(drop));
            log_fault(cx, "inventory", inventory::run(cx).map(drop));
            log_fault(cx, "accounts", accounts::upkeep(cx, round.is_multiple_of(SELDOM)).map(drop));
        }
        round = round.wrapping_add(1);
    }
}

/// Steps until there is nothing to do, at most for a part of a round: devices want the writer too.
fn for_a_while(stop: &AtomicBool, mut step: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let begun = Instant::now();
    while !stop.load(Ordering::SeqCst) && begun.elapsed() < FLUSH_EVERY / 2 && step()? {}
    Ok(())
}

fn tell(cx: &Arc<Context>, sender: Arc<dyn WebhookSender>, stop: &AtomicBool) {
    let mut teller = Teller::new(Arc::clone(cx), sender);
    while !stop.load(Ordering::SeqCst) {
        let pause = match teller.step() {
            Ok(next) => Duration::from_millis(u64::try_from(next.since(cx.now())).unwrap_or(0)),
            Err(fault) => {
                log_fault(cx, "webhooks", Err(fault));
                FAULT_PAUSE
            }
        };
        cx.wait_for_telling(pause);
    }
    log_fault(cx, "webhooks", teller.finish(LAST_ANSWERS));
}

/// Asks the directory by itself; apart from the other upkeep, because a directory may take its time.
fn take_people_over(cx: &Context, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        std::thread::park_timeout(FLUSH_EVERY * 12);
        if !stop.load(Ordering::SeqCst) {
            log_fault(cx, "directory", directories::sync_if_due(cx).map(drop));
        }
    }
}

/// What somebody asked for in the console.
fn make_rounds(cx: &Context, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        log_fault(cx, "doctor", rounds::wait_and_carry_out(cx, DOCTOR_LOOKS));
    }
}

/// Apart from everything else, because a mail server may take its time.
fn send_mail(cx: &Context, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let pause = match mailing::step(cx) {
            Ok(next) => Duration::from_millis(u64::try_from(next.since(cx.now())).unwrap_or(0)),
            Err(fault) => {
                log_fault(cx, "mail", Err(fault));
                FAULT_PAUSE
            }
        };
        if !stop.load(Ordering::SeqCst) {
            std::thread::park_timeout(pause);
        }
    }
}

/// Apart from the other upkeep, because copying a large school takes its time.
fn back_up(cx: &Context, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        std::thread::park_timeout(FLUSH_EVERY * 12);
        if !stop.load(Ordering::SeqCst) {
            log_fault(cx, "backup", backing_up::keep(cx).map(drop));
        }
    }
}

fn log_fault(cx: &Context, job: &'static str, result: Result<(), Error>) {
    if let Err(fault) = result {
        let source = fault.source.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(job, error = %fault, source, "a job failed; it is tried again");
        if let Err(worse) = events::tell_fault(cx, job, &fault) {
            tracing::error!(job, error = %worse, "the fault cannot be told to webhooks");
        }
    }
}
