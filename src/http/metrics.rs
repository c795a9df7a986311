//! `/metrics` in Prometheus' text format, and the plain HTTP listener for monitors (`listen.metrics`) that serves it and `/healthz` with its
//! reasons. Counts requests by room for it. Nothing here names a device or a person.

use super::api;
use super::message::{BodyLimit, Door, Handler, Head, Request, Response};
use crate::base::time::Timestamp;
use crate::service::{Context, Error, backing_up, expiry, health};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Rooms that are counted, in the order of [`Tally::counts`].
const ROOMS: [&str; 6] = ["device", "scep", "enroll", "api", "console", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests since the start of this process.
pub struct Tally {
    counts: [[AtomicU64; CLASSES.len()]; ROOMS.len()],
    micros: [AtomicU64; ROOMS.len()],
    /// When this process began, in seconds since 1970: looked at once, so that it does not wander.
    started: f64,
}

impl Tally {
    /// Of a process that begins now.
    pub fn new(now: Timestamp) -> Self {
        Self { counts: Default::default(), micros: Default::default(), started: now.0 as f64 / 1000.0 }
    }

    /// `room`: one of the names above; anything else counts as other.
    pub fn note(&self, room: &str, status: u16, took: Duration) {
        let room = ROOMS.iter().position(|name| *name == room).unwrap_or(ROOMS.len() - 1);
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.counts[room][class].fetch_add(1, Ordering::Relaxed);
        self.micros[room].fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }
}

/// The whole text.
pub fn answer(cx: &Context, tally: &Tally) -> Response {
    match text(cx, tally) {
        Ok(text) => Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => {
            let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::error!(error = %error, source, "metrics could not be gathered");
            Response::text(500, "The numbers could not be gathered; the log says why.\n")
        }
    }
}

fn text(cx: &Context, tally: &Tally) -> Result<String, Error> {
    let mut out = String::with_capacity(4096);
    let healthy = health::examine(cx)?.reasons.is_empty();
    let gauges = health::gauges(cx)?;
    let version = env!("CARGO_PKG_VERSION");
    family(&mut out, "cordon_info", "gauge", "Version of the server.", &[(format!("version=\"{version}\""), 1.0)]);
    one(&mut out, "cordon_healthy", "1 when /healthz has no reason to complain.", f64::from(u8::from(healthy)));
    let (started, active, gone) = gauges.devices;
    let states = [("started", started), ("active", active), ("gone", gone)];
    labelled(&mut out, "cordon_devices", "Devices by the state of their enrolment.", "state", &states);
    one(&mut out, "cordon_user_channels", "Managed users on devices.", gauges.user_channels as f64);
    let seen = "Active devices that were heard of in the last day.";
    one(&mut out, "cordon_devices_seen_in_a_day", seen, gauges.seen_in_a_day as f64);
    let (queued, sent, not_now) = gauges.commands;
    let states = [("Queued", queued), ("Sent", sent), ("NotNow", not_now)];
    labelled(&mut out, "cordon_commands_waiting", "Commands that are not answered yet.", "state", &states);
    one(&mut out, "cordon_pushes_owed", "Pushes that wait to be sent.", gauges.pushes_owed as f64);
    let oldest = gauges.oldest_push_owed.map_or(0, |at| cx.now().since(at).max(0));
    one(&mut out, "cordon_push_oldest_seconds", "Age of the oldest push that waits.", oldest as f64 / 1000.0);
    one(&mut out, "cordon_push_tokens_dead", "Channels whose push token is dead.", gauges.dead_tokens as f64);
    one(&mut out, "cordon_webhooks_waiting", "Requests to webhooks that wait.", gauges.webhooks_waiting as f64);
    one(&mut out, "cordon_attention", "Doubts about devices that wait for a person.", gauges.attention as f64);
    one(&mut out, "cordon_database_bytes", "Size of the database.", gauges.database_bytes as f64);
    one(&mut out, "cordon_disk_free_bytes", "Free space beside the database.", cx.store.free_space()? as f64);
    if let Some(at) = backing_up::find_last(cx)? {
        one(&mut out, "cordon_backup_last_timestamp_seconds", "When the newest backup was made.", at.secs() as f64);
    }
    let ends: Vec<(String, f64)> = expiry::entries(cx)?
        .iter()
        .map(|entry| {
            // Names are chosen by people, who may choose one twice.
            let id = match entry.key.split_once('/') {
                Some(("token" | "provisioning", id)) => format!(",id=\"{}\"", escape(id)),
                _ => String::new(),
            };
            let labels = format!("kind=\"{}\",name=\"{}\"{id}", entry.kind, escape(&entry.name));
            (labels, entry.not_after.secs() as f64)
        })
        .collect();
    family(&mut out, "cordon_expiry_timestamp_seconds", "gauge", "When it ends; identities: the first of them.", &ends);
    let clock_behind = f64::from(u8::from(cx.clock_is_behind().is_some()));
    one(&mut out, "cordon_clock_behind", "1 while the machine's clock lies behind what was seen before.", clock_behind);
    requests(&mut out, tally);
    process(&mut out, tally);
    Ok(out)
}

fn requests(out: &mut String, tally: &Tally) {
    let mut counts = Vec::new();
    for (room, row) in ROOMS.iter().zip(&tally.counts) {
        for (class, count) in CLASSES.iter().zip(row) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                counts.push((format!("room=\"{room}\",status=\"{class}\""), count as f64));
            }
        }
    }
    family(out, "cordon_http_requests_total", "counter", "Requests since the start, by what they were for.", &counts);
    let seconds: Vec<_> = ROOMS
        .iter()
        .zip(&tally.micros)
        .map(|(room, micros)| (format!("room=\"{room}\""), micros.load(Ordering::Relaxed) as f64 / 1e6))
        .collect();
    family(out, "cordon_http_handling_seconds_total", "counter", "Time spent on them.", &seconds);
}

/// What the system says of this process, where it says it (Linux).
fn process(out: &mut String, tally: &Tally) {
    one(out, "process_start_time_seconds", "When this process began.", tally.started);
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        one(out, "process_open_fds", "Open files and connections.", files.count() as f64);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    if let Some(kilobytes) = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
        one(out, "process_resident_memory_bytes", "Memory in use.", kilobytes * 1024.0);
    }
}

fn one(out: &mut String, name: &str, help: &str, value: f64) {
    family(out, name, "gauge", help, &[(String::new(), value)]);
}

fn labelled(out: &mut String, name: &str, help: &str, label: &str, values: &[(&str, i64)]) {
    let values: Vec<_> = values.iter().map(|(word, count)| (format!("{label}=\"{word}\""), *count as f64)).collect();
    family(out, name, "gauge", help, &values);
}

fn family(out: &mut String, name: &str, kind: &str, help: &str, values: &[(String, f64)]) {
    // Writing into a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in values {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The handler of the listener for monitors.
pub struct Local {
    cx: Arc<Context>,
    tally: Arc<Tally>,
}

impl Local {
    pub fn new(cx: Arc<Context>, tally: Arc<Tally>) -> Self {
        Self { cx, tally }
    }
}

impl Handler for Local {
    fn body_limit(&self, _: &Head<'_>) -> BodyLimit {
        BodyLimit::at_most(0)
    }

    fn handle(&self, request: Request) -> Response {
        match request.path.as_str() {
            "/metrics" => answer(&self.cx, &self.tally),
            // Whoever can reach this listener may hear the reasons: it is local unless configured otherwise.
            "/healthz" => api::health(&self.cx, Door::Control),
            _ => Response::text(404, "There are /metrics and /healthz here.\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_labels_cannot_be_broken_out_of() {
        let tally = Tally::new(Timestamp(0));
        tally.note("device", 200, Duration::from_millis(3));
        tally.note("device", 200, Duration::from_millis(3));
        tally.note("api", 503, Duration::ZERO);
        tally.note("somewhere", 0, Duration::ZERO);
        let mut out = String::new();
        requests(&mut out, &tally);
        assert!(out.contains("cordon_http_requests_total{room=\"device\",status=\"2xx\"} 2\n"), "{out}");
        assert!(
            out.contains("{room=\"api\",status=\"5xx\"} 1\n") && out.contains("{room=\"other\",status=\"1xx\"} 1\n")
        );
        assert_eq!(escape("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
