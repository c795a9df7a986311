//! From nothing to the first managed device, by the printed steps only: the commands are read from the handbook's pages and typed into a
//! shell. A simulated iPad stands for the iPad and the stand-in for Apple; nothing else is helped along.
//!
//! Here the program that was just built is used. `scripts/first-hour` does the same in a bare Debian, from `apt install` on, and the time
//! from there to the device's first answer is what the handbook promises: at most five minutes.

use crate::appliance::write_ca;
use crate::support::{TOPIC, lasting_address};
use cordon::pki::csr::Csr;
use cordon::simulator::apns::StandIn;
use cordon::simulator::device::{Device, World};
use cordon::simulator::fleet::Fleet;
use cordon::simulator::network::{Network, Via};
use cordon::simulator::spec::{Kind, Spec};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the handbook promises.
const PROMISED: Duration = Duration::from_secs(300);

/// The machine: a bare Debian in a folder, or this one with a directory of its own.
struct Machine {
    bare: Option<PathBuf>,
    folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
    server: Option<Child>,
}

impl Machine {
    fn new() -> Self {
        let bare = std::env::var_os("CORDON_FIRST_HOUR_ROOT").map(PathBuf::from);
        let settings = vec![("CORDON_LISTEN_PEOPLE", lasting_address()), ("CORDON_LISTEN_DEVICES", lasting_address())];
        Self { bare, folder: tempfile::tempdir().unwrap(), settings, server: None }
    }

    /// Where the person at the keyboard is.
    fn desk(&self) -> PathBuf {
        self.bare.as_ref().map_or_else(|| self.folder.path().to_owned(), |root| root.join("root"))
    }

    /// A shell line as the page has it, as root or as oneself.
    fn shell(&self, line: &str, server: bool) -> Command {
        let line = line.replace("sudo ", "");
        let mut command = match &self.bare {
            None => {
                let mut command = Command::new("sh");
                let program = Path::new(env!("CARGO_BIN_EXE_cordon")).parent().unwrap();
                command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.display()));
                command.env("CORDON_DATA_DIR", self.folder.path().join("data")).current_dir(self.folder.path());
                command.args(["-c", &line]);
                command
            }
            Some(root) => {
                let mut command = Command::new("chroot");
                // As the unit starts it: the package's user, its folder, its key as a credential.
                command.args(server.then_some("--userspec=cordon:cordon")).arg(root).args(["env", "-i"]);
                command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"]);
                if server {
                    command.args(["CORDON_DATA_DIR=/var/lib/cordon", "CREDENTIALS_DIRECTORY=/run/credentials/cordon"]);
                    command.args(self.settings.iter().map(|(name, value)| format!("{name}={value}")));
                }
                let desk = if server { "/" } else { "/root" };
                command.args(["sh", "-c", &format!("cd {desk} && {line}")]);
                command
            }
        };
        if server && self.bare.is_none() {
            command.envs(self.settings.iter().map(|(name, value)| (*name, value)));
        }
        command.stdin(Stdio::null());
        command
    }

    /// Types a line and reads what it prints.
    fn enter(&self, line: &str) -> String {
        println!("$ {line}");
        let output = self.shell(line, false).output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}\n{words}{}", String::from_utf8_lossy(&output.stderr));
        words
    }

    fn serve(&mut self, line: &str) {
        let mut server = self.shell(&format!("exec {line}"), true).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(!ready.is_empty(), "the server did not start: {:?}", server.wait());
        self.server = Some(server);
    }

    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::TERM)
            .unwrap();
        assert!(server.wait().unwrap().success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The lines to type under the headings of a page that begin with one of these words.
fn printed(page: &str, headings: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let (mut here, mut lines, mut begun) = (false, Vec::new(), String::new());
    for line in text.lines() {
        if line.starts_with('#') {
            here = headings.iter().any(|heading| line.trim_start_matches('#').trim().starts_with(heading));
        } else if here && line.starts_with("    ") {
            begun.push_str(line.trim());
            if begun.ends_with('\\') {
                begun.pop();
            } else {
                lines.push(std::mem::take(&mut begun));
            }
        }
    }
    assert!(!lines.is_empty(), "{page} has nothing to type under {headings:?}");
    lines
}

#[test]
fn from_nothing_to_the_first_managed_device_by_the_printed_steps() {
    let stand_in = StandIn::start().unwrap();
    let mut machine = Machine::new();
    machine.settings.push(("CORDON_APPLE_APNS_URL", stand_in.url()));
    let apple = write_ca(&stand_in, &machine.desk());
    let inside = if machine.bare.is_some() { String::from("/run/apple.pem") } else { apple.clone() };
    if let Some(root) = &machine.bare {
        std::fs::copy(&apple, root.join("run/apple.pem")).unwrap();
    }
    machine.settings.push(("CORDON_APPLE_CA_FILE", inside));
    // A person would think of one; and would have the device in hand.
    std::fs::write(machine.desk().join("ada.txt"), "tin roof in may\n").unwrap();
    let world = World::real(Network::default());
    world.network.route("mdm.hill.example", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Via::Tls).unwrap();
    let world = Arc::new(world);
    let ipad = Device::new(Arc::clone(&world), Spec::new(Kind::Ipad, 7));
    let serial = ipad.spec().serial.clone();
    let fleet = Fleet::start(world, vec![ipad], 1);
    super::register(&stand_in, &fleet, 1);

    let begun = Instant::now();
    let start = if machine.bare.is_some() {
        install(&machine);
        String::from("cordon serve")
    } else {
        printed("first-device.md", &["1."]).remove(0)
    };
    machine.serve(&start);
    if machine.bare.is_some() {
        assert!(machine.enter(&printed("install.md", &["Debian"])[1]).contains("/setup/"));
    }
    printed("set-up.md", &["Without a browser"]).iter().for_each(|line| drop(machine.enter(line)));
    if machine.bare.is_some() {
        // The package's server had no name before; `setup` says that it wants a restart now.
        machine.stop();
        machine.serve(&start);
    }
    let mut answered = false;
    for line in printed("first-device.md", &["3.", "4.", "6."]) {
        let line = line.replace("SERIALNUMBER", &serial);
        if line.contains("push-cert import") {
            sign(&stand_in, &machine.desk());
        }
        if line.contains("device list") {
            fleet.enroll(0, std::fs::read(machine.desk().join("ipad-7.mobileconfig")).unwrap());
            assert!(fleet.settle(PROMISED), "{:?}", fleet.troubles());
        }
        let words = machine.enter(&line);
        assert!(!line.contains("device list") || words.contains(&serial), "{words}");
        answered |= line.contains("--wait") && words.contains("OSVersion");
    }
    let took = begun.elapsed();
    assert!(answered, "the device answered");
    println!("from {start:?} to the first answer of a managed device: {:.1} s", took.as_secs_f64());
    assert!(took < PROMISED, "the handbook promises five minutes");
    machine.stop();
}

/// The package, as the page says it; and what systemd does with the unit's key.
fn install(machine: &Machine) {
    let name = std::env::var("CORDON_FIRST_HOUR_PACKAGE").unwrap();
    let line = printed("install.md", &["Debian"]).remove(0).replace("cordon_VERSION_amd64.deb", &name);
    machine.enter(&format!("{} -y -qq", line.replace("apt install", "apt-get install")));
    machine.enter(
        "install -d -m 0711 /run/credentials && install -d -m 0700 /run/credentials/cordon \
         && install -m 0400 /etc/cordon/machine.key /run/credentials/cordon/ && chown -R cordon: /run/credentials/cordon",
    );
}

/// What Apple's page does with the request.
fn sign(stand_in: &StandIn, desk: &Path) {
    let pem = std::fs::read_to_string(desk.join("push.csr")).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    let certificate = stand_in.push_certificate_for(TOPIC, Csr::parse(&der).unwrap().spki_der()).unwrap();
    std::fs::write(desk.join("MDM_HillSchool_Certificate.pem"), certificate).unwrap();
}
