//! Measures the core loop on this machine: polls, commands, pushes, memory, start-up. Each figure stands beside a limit of the same
//! machine, measured in the same run with the same load, because figures of different machines cannot be compared but ratios can.
//!
//! Run by `scripts/bench`. The server is a process of its own, the binary that ships; the load shares its cores.

mod desired;
mod load;
mod login;
mod pages;
mod pushes;
mod report;
mod school;
mod servers;

use load::{Link, acknowledge, drive, idle};
use report::{Goal, Line};
use school::School;
use servers::{Ports, Server};
use std::path::Path;
use std::time::{Duration, Instant};

/// Whatever goes wrong ends the benchmark.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Connections that poll; the limits of goal 1.
const POLLING: [usize; 2] = [16, 64];
/// Connections that work through their queues.
const WORKING: usize = 64;
/// Commands waiting for each of them.
const QUEUED: usize = 400;
/// Devices of a large school.
const ENROLLED: usize = 10_000;
/// Connections that only wait.
const WAITING: usize = 2_000;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [flag, kind, directory] = arguments.as_slice()
        && flag == "--server"
    {
        return servers::serve(kind, Path::new(directory));
    }
    let as_json = arguments.iter().any(|a| a == "--json");
    let only: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    type Part = (&'static str, fn(&Path) -> Result<Vec<Line>, Fault>);
    let parts: [Part; 8] = [
        ("polls", polls),
        ("cycles", cycles),
        ("pushes", |_| pushes::measure()),
        ("memory", memory),
        ("start", start),
        ("login", login::measure),
        ("desired", desired::measure),
        ("pages", pages::measure),
    ];
    raise_file_limit()?;
    let mut lines = Vec::new();
    for (name, measure) in parts {
        if only.is_empty() || only.iter().any(|o| *o == name) {
            eprintln!("measuring {name} …");
            let directory = tempfile::Builder::new().prefix("cordon-bench").tempdir()?;
            lines.extend(measure(directory.path())?);
        }
    }
    report::print(&lines, as_json);
    Ok(())
}

/// Idle polls with an empty queue on kept-alive connections.
fn polls(directory: &Path) -> Result<Vec<Line>, Fault> {
    let school = School::found(directory, WORKING, WORKING)?;
    let span = Duration::from_secs(4);
    let run = |server: &Server, n: usize| {
        drive(server.devices, &school.devices[..n], span, |device, _| Some(idle(&device.udid)))
    };
    let (ports, mut lines) = (Ports::free()?, Vec::new());
    for n in POLLING {
        // The rate, and the server's processor time for each in µs.
        let rate = |server: Server| -> Result<(f64, f64), Fault> {
            let (before, tally) = (server.processor_time()?, run(&server, n)?);
            Ok((tally.rate, (server.processor_time()? - before) * 1e6 / tally.answers as f64))
        };
        let (bare, _) = rate(Server::lesser("tls", &school)?)?;
        let (null, null_cost) = rate(Server::lesser("null", &school)?)?;
        let (real, cost) = rate(Server::real(&school, ports)?)?;
        let line = |what: String, figure, goal, raw| Line { what, unit: "/s", figure, goal, raw: Some(raw) };
        lines.push(line(
            format!("idle polls, {n} connections"),
            real,
            Goal::AtLeast(5_000.0),
            ("our listener, no handler", null),
        ));
        let raw = Some(("our listener, no handler", null_cost));
        lines.push(Line {
            what: format!("processor time of a poll, {n} connections"),
            unit: "µs",
            figure: cost,
            goal: Goal::None,
            raw,
        });
        lines.push(line(
            format!("our listener, {n} connections"),
            null,
            Goal::None,
            ("TLS alone, a thread each", bare),
        ));
    }
    Ok(lines)
}

/// Commands that are handed out, answered, and filed for good.
fn cycles(directory: &Path) -> Result<Vec<Line>, Fault> {
    let school = School::found(directory, WORKING, WORKING)?;
    let queued = school.queue(QUEUED)?;
    let server = Server::real(&school, Ports::free()?)?;
    let tally = drive(server.devices, &school.devices, Duration::from_secs(5), |device, body| match body {
        b"" => Some(idle(&device.udid)),
        body => acknowledge(&device.udid, body),
    })?;
    let cost = server.processor_time()? * 1e6 / tally.answers as f64;
    // Killed, not stopped: what was answered must be in the file all the same. The first answer of each connection acknowledged nothing.
    drop(server);
    let (filed, answered) = (school.count_acknowledged()?, tally.answers - WORKING);
    if filed < answered {
        return Err(format!("{answered} commands were acknowledged, but only {filed} are in the file").into());
    }
    let (rows, syncs) = (rows_per_second(directory)?, syncs_per_second(directory)?);
    let line = |what: String, figure, goal, raw| Line { what, unit: "/s", figure, goal, raw };
    Ok(vec![
        line(
            format!("commands acknowledged on disk, {WORKING} connections"),
            tally.rate,
            Goal::AtLeast(3_000.0),
            Some(("one-row writes, 64 callers", rows)),
        ),
        Line {
            what: String::from("processor time of a command"),
            unit: "µs",
            figure: cost,
            goal: Goal::None,
            raw: None,
        },
        line(
            format!("commands queued on disk, {WORKING} callers"),
            queued,
            Goal::None,
            Some(("one-row writes, 64 callers", rows)),
        ),
        line(String::from("one-row writes on disk, 64 callers"), rows, Goal::None, Some(("fdatasync of 4 KB", syncs))),
    ])
}

/// The least that a durable write can be, through the same writer.
fn rows_per_second(directory: &Path) -> Result<f64, Fault> {
    let cx = school::open(directory)?;
    let (begun, each) = (Instant::now(), 500);
    std::thread::scope(|scope| {
        let write = |caller: usize| -> Result<(), Fault> {
            let name = format!("bench {caller}");
            (0..each).try_for_each(|n| {
                cx.store.write(|tx| tx.put_setting(&name, &serde_json::json!(n))).map_err(Fault::from)
            })
        };
        let callers: Vec<_> = (0..WORKING).map(|caller| scope.spawn(move || write(caller))).collect();
        callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok((WORKING * each) as f64 / begun.elapsed().as_secs_f64())
}

/// What the disk gives.
fn syncs_per_second(directory: &Path) -> Result<f64, Fault> {
    use std::io::Write;
    let mut file = std::fs::File::create(directory.join("sync"))?;
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// Resident memory of the server: idle, and with many connections that each have polled once.
fn memory(directory: &Path) -> Result<Vec<Line>, Fault> {
    let school = School::found(directory, WORKING, WORKING)?;
    let server = Server::real(&school, Ports::free()?)?;
    let idle_memory = server.resident()?;
    let mut links = Vec::with_capacity(WAITING);
    for device in school.devices.iter().cycle().take(WAITING) {
        let mut link = Link::dial(server.devices, device)?;
        link.send(&idle(&device.udid))?;
        link.receive()?;
        links.push(link);
    }
    let with_connections = server.resident()?;
    let line = |what: String, figure, goal| Line { what, unit: "MB", figure, goal: Goal::AtMost(goal), raw: None };
    Ok(vec![
        line(String::from("memory, idle"), idle_memory, 15.0),
        line(format!("memory, {WAITING} waiting connections with certificates"), with_connections, 80.0),
    ])
}

/// From the start of the process to the line that says it is ready; the median of several.
fn start(directory: &Path) -> Result<Vec<Line>, Fault> {
    let (large, small) = (directory.join("large"), directory.join("small"));
    let mut medians = Vec::new();
    for (directory, enrolled) in [(&large, ENROLLED), (&small, 1)] {
        let school = School::found(directory, enrolled, 1)?;
        let ports = Ports::free()?;
        // The first start issues the TLS certificate.
        Server::real(&school, ports)?.stop()?;
        let mut times = Vec::new();
        for _ in 0..7 {
            let server = Server::real(&school, ports)?;
            times.push(server.start_up.as_secs_f64() * 1_000.0);
            server.stop()?;
        }
        times.sort_by(f64::total_cmp);
        medians.push(times[times.len() / 2]);
    }
    Ok(vec![Line {
        what: format!("start with {ENROLLED} devices"),
        unit: "ms",
        figure: medians[0],
        goal: Goal::AtMost(100.0),
        raw: Some(("with one device", medians[1])),
    }])
}

/// Every connection is a file here and in the server, which inherits the limit.
fn raise_file_limit() -> Result<(), Fault> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(maximum.map_or(65_536, |most| most.min(65_536))), maximum })?)
}
