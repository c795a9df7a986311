//! The processes under load: the real server as the binary it ships as, and, from this benchmark itself, two that do less: our
//! listener with nothing behind it, and TLS with nothing but a thread per connection. All three serve the same certificate.

use crate::Fault;
use crate::school::{School, open};
use cordon::http::listen::{Listener, Options, Runtime, Sizes, Timeouts};
use cordon::http::message::{BodyLimit, Door, Handler, Head, Request, Response};
use cordon::http::tls::{ClientAuth, TlsHolder, server_config};
use cordon::service::founding;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A running process; killed when dropped.
pub struct Server {
    process: Child,
    pub devices: SocketAddr,
    /// From the start of the process to the line that says it is ready.
    pub start_up: Duration,
}

/// Ports that were free a moment ago. The real server cannot be given port 0: its address is in every enrolled device.
#[derive(Clone, Copy)]
pub struct Ports {
    people: SocketAddr,
    devices: SocketAddr,
}

impl Ports {
    pub fn free() -> Result<Ports, Fault> {
        let (a, b) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        Ok(Ports { people: a.local_addr()?, devices: b.local_addr()? })
    }
}

impl Server {
    /// `cordon serve` on this database.
    pub fn real(school: &School, ports: Ports) -> Result<Server, Fault> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
        command.arg("--data-dir").arg(&school.directory).args(["--json", "serve"]);
        command.env("CORDON_HOSTNAME", "localhost").env("CORDON_LOG_LEVEL", "error");
        command
            .env("CORDON_LISTEN_PEOPLE", ports.people.to_string())
            .env("CORDON_LISTEN_DEVICES", ports.devices.to_string());
        // What the measured devices' profiles hold; a server that would be found elsewhere refuses to strand them.
        command
            .env("CORDON_PUBLIC_PEOPLE_URL", "https://localhost")
            .env("CORDON_PUBLIC_DEVICES_URL", "https://localhost");
        // Nobody is there, and nothing may leave this machine.
        command.env("CORDON_APPLE_APNS_URL", "https://127.0.0.1:9");
        Server::start(command, |_| Ok(ports.devices))
    }

    /// This benchmark as another server: `null` or `tls`.
    pub fn lesser(kind: &str, school: &School) -> Result<Server, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--server").arg(kind).arg(&school.directory);
        Server::start(command, |line| Ok(line.trim().parse()?))
    }

    fn start(mut command: Command, address: impl Fn(&str) -> Result<SocketAddr, Fault>) -> Result<Server, Fault> {
        let begun = Instant::now();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let out = process.stdout.take().ok_or("no output to read")?;
        BufReader::new(out).read_line(&mut line)?;
        let start_up = begun.elapsed();
        if line.is_empty() {
            return Err(format!("a server did not start: {}", process.wait()?).into());
        }
        let devices = address(&line)?;
        Ok(Server { process, devices, start_up })
    }

    /// Resident memory in MB (`VmRSS`), once it has settled.
    pub fn resident(&self) -> Result<f64, Fault> {
        std::thread::sleep(Duration::from_secs(1));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Processor time it has used so far, in seconds: unlike a rate, it says the same on a machine that others use too.
    pub fn processor_time(&self) -> Result<f64, Fault> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it, in ticks of 10 ms.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / 100.0)
    }

    /// Ends it as an administrator does.
    pub fn stop(mut self) -> Result<(), Fault> {
        let id =
            i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw).ok_or("no such process")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other side of [`Server::lesser`]: serves until stdin ends.
pub fn serve(kind: &str, directory: &Path) -> Result<(), Fault> {
    let cx = open(directory)?;
    let founding::TlsIdentity { chain_der: chain, key_pkcs8: key } =
        founding::tls_identity(&cx, &["localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
    let tls = server_config(chain, key.expose(), ClientAuth::Optional)?;
    cx.store.close()?;
    let mut out = std::io::stdout();
    if kind == "tls" {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        writeln!(out, "{}", listener.local_addr()?)?;
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let tls = Arc::clone(&tls);
                std::thread::spawn(move || drop(echo(tcp, tls)));
            }
        });
        return wait();
    }
    let runtime = Runtime::start(&Sizes::default())?;
    let tls = Some(Arc::new(TlsHolder::new(tls)));
    let address = String::from("127.0.0.1:0");
    let told = Options { address, door: Door::Devices, tls, handler: Arc::new(Nothing), timeouts: Timeouts::default() };
    let listener = Listener::start(told, &runtime)?;
    writeln!(out, "{}", listener.local_addr())?;
    wait()
}

fn wait() -> Result<(), Fault> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Answers 200 to every chunk that comes: TLS and sockets alone.
fn echo(tcp: TcpStream, tls: Arc<ServerConfig>) -> Result<(), Fault> {
    tcp.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(tls)?, tcp);
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk)? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// The room behind the listener that has nothing in it.
struct Nothing;

impl Handler for Nothing {
    fn body_limit(&self, _: &Head<'_>) -> BodyLimit {
        BodyLimit::at_most(1024 * 1024)
    }

    fn handle(&self, _: Request) -> Response {
        Response::empty(200)
    }
}
