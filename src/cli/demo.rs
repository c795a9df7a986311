//! `cordon demo`: the whole thing for show. A server on a temporary directory, a stand-in for Apple's push service, and a simulated
//! classroom that enrols, is pushed and runs commands through the real listeners. Nothing leaves this machine.

use super::args::{DemoArgs, Global};
use super::config::LogFormat;
use super::failure::Failure;
use super::{log, serve};
use crate::base::secret::Secret;
use crate::base::time::SystemClock;
use crate::pki::SystemRandom;
use crate::plist::{Dictionary, Value, to_xml};
use crate::server::{Options, Server};
use crate::service::actor::Actor;
use crate::service::commands::{self, Wish};
use crate::service::enrolling;
use crate::service::founding::Place;
use crate::service::{people, push_certificates, school};
use crate::simulator::apns::{Delivered, StandIn, UnknownTokens};
use crate::simulator::classroom::{Milestone, Plan, Progress};
use crate::simulator::device::World;
use crate::simulator::fleet::Fleet;
use crate::simulator::network::Network;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOPIC: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-00000000d3f0";
/// A stage that is not through by then has failed: generous, for slow and busy machines.
const STAGE_LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Devices in a session at the same time.
const WORKERS: usize = 16;

/// One step of the story, finished.
struct Told {
    name: &'static str,
    done: usize,
    expected: usize,
    seconds: f64,
}

/// Plays the story; with `--once` to its end, else it stays up afterwards.
///
/// # Errors
/// When a device did not do everything, or the server could not start.
pub fn run(global: &Global, args: DemoArgs) -> Result<(), Failure> {
    log::start(LogFormat::Text, "error");
    serve::raise_file_limit();
    let stop = serve::stop_signal()?;
    let directory =
        tempfile::Builder::new().prefix("cordon-demo-").tempdir().map_err(|e| Failure::new("file", e.to_string()))?;
    let demo = Demo::start(directory.path(), args.devices as usize)?;
    let begun = Instant::now();
    let told = demo.play(global.json);
    let seconds = begun.elapsed().as_secs_f64();
    let progress = demo.progress();
    let ok = progress.is_complete() && told.iter().all(|stage| stage.done == stage.expected);
    report(global, args.devices, &told, seconds, ok)?;
    if ok && !args.once {
        demo.say_where_to_look(global, directory.path())?;
        let _ = stop.recv();
    }
    let failure = demo.failure(&progress);
    demo.server.stop()?;
    if ok { Ok(()) } else { Err(failure) }
}

/// Everything that runs.
struct Demo {
    server: Server,
    apns: StandIn,
    fleet: Fleet,
    plan: Plan,
    /// Good for this run only.
    password: String,
}

/// Who logs in to the demo's console.
const ADMIN: &str = "demo";

impl Demo {
    fn start(directory: &Path, devices: usize) -> Result<Demo, Failure> {
        let broken = |e: std::io::Error| Failure::new("demo", e.to_string());
        let apns = StandIn::start().map_err(broken)?;
        // A device's token is known to the stand-in a moment after its TokenUpdate; a push in between is as good as delivered.
        apns.on_unknown(UnknownTokens::Accept);
        let place = Place::in_directory(directory);
        let mut options = Options::new(place, "localhost", Arc::new(SystemClock), Arc::new(SystemRandom));
        options.listen_people = String::from("127.0.0.1:0");
        options.listen_devices = String::from("127.0.0.1:0");
        options.apns_url = apns.url();
        options.apple_ca_pem = Some(apns.ca_pem().into_bytes());
        let server = Server::start(options)?;
        let cx = server.context();
        let actor = actor();
        let named = school::School { organization: Some(String::from("Hill School")), hostname: None };
        school::set_up(cx, &actor, &named)?;
        let (certificate, key) = apns.push_certificate(TOPIC).map_err(broken)?;
        push_certificates::import(cx, &actor, &certificate, Some(&key), false, None)?;
        push_certificates::load(cx, server.push_sender())?;
        let password = crate::base::ids::short_code(&cx.random_bytes::<12>());
        people::create(cx, &actor, ADMIN, "owner", &Secret::new(password.clone()))?;

        let plan = Plan::school_morning(devices);
        let world = Arc::new(World::real(Network::default()));
        let fleet = Fleet::start(Arc::clone(&world), plan.devices(&world), WORKERS);
        Ok(Demo { server, apns, fleet, plan, password })
    }

    fn play(&self, quiet: bool) -> Vec<Told> {
        let mut told = vec![self.stage(Milestone::Enrolled, quiet, || self.enroll_all())];
        if let Some(sleeper) = self.plan.sleeper {
            self.fleet.with(sleeper, |device| device.behaviour_mut().asleep = true);
        }
        for milestone in [Milestone::Informed, Milestone::ProfileInstalled, Milestone::Locked] {
            told.push(self.stage(milestone, quiet, || self.send_all(milestone)));
        }
        told
    }

    /// Each device gets a profile of its own, with its own one-time challenge.
    fn enroll_all(&self) -> Result<(), Failure> {
        for k in 0..self.fleet.len() {
            let wish = enrolling::Wish { name: Some(format!("Demo device {}", k + 1)), ..enrolling::Wish::default() };
            let issued = enrolling::issue(self.server.context(), &actor(), &wish)?;
            self.fleet.enroll(k, issued.bytes.expose().clone());
        }
        Ok(())
    }

    /// The stand-in learns how to reach the devices that have enrolled.
    fn register_all(&self) {
        let receive = self.fleet.receiver();
        let lines = self.fleet.map(|device| [device.state().device.clone(), device.state().user.clone()]);
        for line in lines.into_iter().flatten().flatten() {
            let receive = receive.clone();
            self.apns.register(
                &line.token.0,
                TOPIC,
                &line.magic,
                Arc::new(move |push: Delivered| receive(&push.token, &push.magic)),
            );
        }
    }

    fn send_all(&self, milestone: Milestone) -> Result<(), Failure> {
        let Some(request_type) = milestone.request_type() else { return Ok(()) };
        self.register_all();
        for serial in self.fleet.map(|device| device.spec().serial.clone()) {
            let wish = Wish {
                request_type: request_type.to_owned(),
                keys: keys(milestone),
                user: None,
                uuid: None,
                not_before: None,
                expires_at: None,
                unchecked: false,
            };
            commands::send(self.server.context(), &actor(), &serial, &wish)?;
        }
        Ok(())
    }

    /// Starts a stage and watches the devices until all are through.
    fn stage(&self, milestone: Milestone, quiet: bool, begin: impl FnOnce() -> Result<(), Failure>) -> Told {
        let begun = Instant::now();
        let expected = self.fleet.len();
        let bar = bar(milestone, expected, quiet);
        let started = begin();
        // The sleeper misses the stages in between and catches up when it wakes, in the last one.
        let sleeps =
            self.plan.sleeper.is_some() && matches!(milestone, Milestone::Informed | Milestone::ProfileInstalled);
        let enough = if sleeps { expected - 1 } else { expected };
        let mut woken = false;
        let mut done = 0;
        while started.is_ok() && begun.elapsed() < STAGE_LIMIT {
            done = self.progress().find_stage(milestone).map_or(0, |stage| stage.done);
            bar.set_position(done as u64);
            if done >= enough {
                break;
            }
            if milestone == Milestone::Locked && done + 1 == expected && !woken {
                woken = true;
                self.wake_sleeper();
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bar.finish();
        let seconds = begun.elapsed().as_secs_f64();
        if !quiet {
            say_stage(milestone, done, enough, expected, seconds);
        }
        Told { name: milestone.name(), done: done.min(enough), expected: enough, seconds }
    }

    fn wake_sleeper(&self) {
        if let Some(sleeper) = self.plan.sleeper {
            self.fleet.with(sleeper, |device| device.behaviour_mut().asleep = false);
            self.fleet.wake(sleeper);
        }
    }

    fn progress(&self) -> Progress {
        Progress::of(&self.fleet.map(|device| device.state().clone()))
    }

    /// Why it did not work, from the devices' own mouths.
    fn failure(&self, progress: &Progress) -> Failure {
        let mut words: Vec<String> = progress.faults.iter().take(5).cloned().collect();
        words.extend(self.fleet.troubles().into_iter().take(5).map(|(k, what)| format!("device {}: {what}", k + 1)));
        if words.is_empty() {
            words.push(String::from("not every device finished in time"));
        }
        Failure::new("demo", format!("the demo did not finish: {}", words.join("; ")))
    }

    fn say_where_to_look(&self, global: &Global, directory: &Path) -> Result<(), Failure> {
        if global.json {
            return Ok(());
        }
        let urls = self.server.context().urls();
        let dir = directory.display();
        let text = format!(
            "\nThe server stays up until Ctrl-C. Look around in a browser (it warns of the demo's own certificate):\n\
             \n  {}/console   name  {ADMIN}   password  {}\n\
             \nOr from another terminal:\n\
             \n  cordon --data-dir {dir} device list\n  cordon --data-dir {dir} command list\n  cordon --data-dir {dir} device show {}\
             \n\n  people   {}\n  devices  {}\n",
            urls.people,
            self.password,
            self.fleet.with(0, |device| device.spec().serial.clone()),
            urls.people,
            urls.devices,
        );
        write_out(&text)
    }
}

fn actor() -> Actor {
    Actor::Job("demo")
}

/// Apple's keys of each command in the story.
fn keys(milestone: Milestone) -> Dictionary {
    let mut keys = Dictionary::new();
    match milestone {
        Milestone::Informed => {
            let queries = [
                "DeviceName",
                "OSVersion",
                "BuildVersion",
                "ModelName",
                "Model",
                "ProductName",
                "SerialNumber",
                "UDID",
            ];
            keys.insert(String::from("Queries"), Value::Array(queries.into_iter().map(Value::from).collect()));
        }
        Milestone::ProfileInstalled => {
            keys.insert(String::from("Payload"), Value::Data(web_clip()));
        }
        Milestone::Locked => {
            keys.insert(String::from("Message"), Value::from("This iPad belongs to Hill School."));
        }
        Milestone::Enrolled => {}
    }
    keys
}

/// A harmless managed profile: one web clip.
fn web_clip() -> Vec<u8> {
    let entry =
        |pairs: &[(&str, Value)]| -> Dictionary { pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect() };
    let payload = entry(&[
        ("PayloadType", Value::from("com.apple.webClip.managed")),
        ("PayloadVersion", Value::from(1)),
        ("PayloadIdentifier", Value::from("demo.cordon.webclip.schedule")),
        ("PayloadUUID", Value::from("2C0F7A0E-4C0F-4B9E-9C53-0E5F6A1B2C3D")),
        ("Label", Value::from("Schedule")),
        ("URL", Value::from("https://school.example/schedule")),
    ]);
    to_xml(&Value::Dictionary(entry(&[
        ("PayloadType", Value::from("Configuration")),
        ("PayloadVersion", Value::from(1)),
        ("PayloadIdentifier", Value::from("demo.cordon.webclip")),
        ("PayloadUUID", Value::from("8E1D3C5A-7B0F-4B37-8A3E-5D1B7C9E0F21")),
        ("PayloadDisplayName", Value::from("Schedule")),
        ("PayloadContent", Value::Array(vec![Value::Dictionary(payload)])),
    ])))
}

fn bar(milestone: Milestone, expected: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(expected as u64).with_message(milestone.name());
    if let Ok(style) = ProgressStyle::with_template("{msg:20} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

fn say_stage(milestone: Milestone, done: usize, enough: usize, expected: usize, seconds: f64) {
    let note = match milestone {
        _ if done < enough => "  — not all in time",
        Milestone::Informed | Milestone::ProfileInstalled if enough < expected => "  (one is asleep)",
        Milestone::Locked if expected >= 3 => "  (the sleeper woke and caught up)",
        _ => "",
    };
    eprintln!("{:<20} {done:>4} of {enough}  in {seconds:>5.2} s{note}", milestone.name());
}

fn report(global: &Global, devices: u32, told: &[Told], seconds: f64, ok: bool) -> Result<(), Failure> {
    if global.json {
        let stage =
            |t: &Told| json!({ "name": t.name, "done": t.done, "expected": t.expected, "seconds": rounded(t.seconds) });
        let stages: Vec<_> = told.iter().map(stage).collect();
        let all = json!({ "ok": ok, "devices": devices, "seconds": rounded(seconds), "stages": stages });
        return write_out(&format!("{all}\n"));
    }
    if ok {
        write_out(&format!("{devices} devices enrolled, answered three commands each, in {seconds:.1} s.\n"))?;
    }
    Ok(())
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::new("output", e.to_string()))
}
