//! What can be said: the top of the command line, the options of every subcommand, and those of the two that build a server.
//!
//! The arguments of the other subcommands stand beside their work, in their files.

use super::config::Config;
use super::failure::Failure;
use super::invitations;
use super::mail;
use super::{account, login_policy, pair, profile, provisioning, schedule, setup_plan};
use super::{
    admin, backup, doctor, expiry, filevault, generated, inventory, key, recovery_code, report, restore, retention,
    secret, setup_link, support,
};
use super::{audit, authorities, command, device, enroll, push, push_cert, setup, tls, token, webhook};
use super::{directory, group, user};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the server keeps everything, when it is a service.
const SERVICE_DIR: &str = "/var/lib/cordon";
/// The machine key as the package keeps it: apart from the folder that people copy.
const SERVICE_KEY: &str = "/etc/cordon/machine.key";
/// Read if it is there.
const SERVICE_CONFIG: &str = "/etc/cordon/cordon.toml";
/// In the data directory; read if the other is not there.
pub const LOCAL_CONFIG: &str = "cordon.toml";

#[derive(Debug, Parser)]
#[command(
    name = "cordon",
    version,
    about = "Manages Apple devices of a school: one program, one file",
    arg_required_else_help = true,
    after_help = "Examples:
  cordon demo                                         see all of it work, on this machine only
  cordon serve                                        the server; the first start creates everything
  cordon setup --organization 'Hill School' --hostname mdm.hill.example
  cordon push-cert import MDM_Certificate.pem --key push.key
  cordon enroll profile --name 'iPad 7' --output ipad-7.mobileconfig
  cordon device list
  cordon command send DEVICE DeviceInformation Queries=SerialNumber --wait

DEVICE is everywhere Cordon's own id, the UDID (or EnrollmentID), or the serial number.
Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub verb: Verb,
}

/// `cordon serve` and nothing beside it; says what [`Cli`] says of it.
#[derive(Parser)]
#[command(name = "cordon")]
struct ServeAlone {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    verb: OnlyServe,
}

#[derive(Subcommand)]
enum OnlyServe {
    Serve(ServeArgs),
}

impl Cli {
    /// What was said.
    ///
    /// `serve` is tried first, alone: reading a line with the whole grammar builds all of it, with every word of help, and a server
    /// would keep the memory of that for as long as it runs.
    ///
    /// # Errors
    /// As clap puts them: wrong usage, and help or version where those were asked for.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        match ServeAlone::try_parse_from(&args) {
            Ok(ServeAlone { global, verb: OnlyServe::Serve(args) }) => Ok(Cli { global, verb: Verb::Serve(args) }),
            Err(_) => Cli::try_parse_from(args),
        }
    }
}

/// Options that every subcommand takes.
#[derive(Debug, Args)]
pub struct GlobalArgs {
    /// Where the database lies [default: /var/lib/cordon as root or as the service, else your own data directory]
    #[arg(long, value_name = "DIR", env = "CORDON_DATA_DIR", global = true, help_heading = "Everywhere")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file [default: /etc/cordon/cordon.toml if there, else cordon.toml in the data directory if there]
    #[arg(long, value_name = "FILE", env = "CORDON_CONFIG", global = true, help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// Print JSON for scripts instead of words
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the server
    Serve(ServeArgs),
    /// Show the whole of it on a throw-away database, with a simulated classroom
    Demo(DemoArgs),
    /// Set the school's name and the host name that devices use
    Setup(setup::Args),
    /// Make enrolment profiles
    Enroll(enroll::Args),
    /// See devices, lock one
    Device(device::Args),
    /// Send commands, see what became of them
    Command(command::Args),
    /// Call a device now
    Push(push::Args),
    /// Show the certificate that devices and browsers meet
    Tls(tls::Args),
    /// The certificate that Apple's push service knows this school by
    PushCert(push_cert::Args),
    /// Tokens for scripts that use the HTTP API
    Token(token::Args),
    /// Who did what
    Audit(audit::Args),
    /// Is all well?
    #[command(after_help = "Examples:
  cordon status
  cordon status --json

Exit code 1 when something needs attention.")]
    Status,

    /// People who log in by name
    Admin(admin::Args),
    /// The second key to the school, on paper
    RecoveryCode(recovery_code::Args),
    /// A one-time address for setting up in a browser
    SetupLink(setup_link::Args),
    /// Print the man page
    #[command(hide = true, after_help = "Examples:\n  cordon man > cordon.1")]
    Man,
    /// Print completions for a shell
    #[command(hide = true)]
    Completions(generated::Args),
    /// Look at everything, and enrol a simulated device
    Doctor(doctor::Args),
    /// One file for somebody who helps, without a name in it
    SupportBundle(support::Args),
    /// How devices stand on security, and which have gone quiet
    Report(report::Args),
    /// What ends when, and what must be done about it
    Expiry(expiry::Args),
    /// Copy the school to one file, now
    Backup(backup::Args),
    /// Bring a copied school back, or prove that it could be
    Restore(restore::Args),
    /// Tell other programs over HTTP what happens
    Webhook(webhook::Args),
    /// Tell people by e-mail what they must do something about
    Mail(mail::Args),
    /// The school's own root and what stands below it: see it, replace it
    Ca(authorities::CaArgs),
    /// Identities of devices: see them, revoke one
    Cert(authorities::CertArgs),
    /// Unlock tokens, recovery keys, PINs: what is kept of a device
    Secret(secret::Args),
    /// Invitations to the enrolment page
    Invitations(invitations::Args),
    /// The LDAP directory that people come from
    Directory(directory::Args),
    /// Groups of devices and people, and classes
    Group(group::Args),
    /// Configuration profiles, and who should have them
    Profile(profile::Args),
    /// Pairs: a restriction, and what a device gets for it
    Pair(pair::Args),
    /// Provisioning profiles for apps of your own
    Provisioning(provisioning::Args),
    /// Accounts on devices (mail, calendars, Wi-Fi, …), each in a profile of its own
    Account(account::Args),
    /// How long a login may wait, who is managed on a Shared iPad
    LoginPolicy(login_policy::Args),
    /// What a device gets while Setup Assistant waits
    SetupPlan(setup_plan::Args),
    /// How long answers and stories are kept
    Retention(retention::Args),
    /// How often devices are asked what they are and what stands on them
    Inventory(inventory::Args),
    /// When assigned profiles are to be there, and the school's holidays
    Schedule(schedule::Args),
    /// The people of the school, who use devices
    User(user::Args),
    /// Have Macs escrow their FileVault recovery keys
    Filevault(filevault::Args),
    /// The key that seals every secret: rotate it
    Key(key::Args),
}

/// Runs the server.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  cordon serve
  cordon serve --data-dir ./school --hostname mdm.hill.example
  cordon serve --listen-people '[::]:443' --listen-devices '[::]:8443'
  cordon serve --listen-proxied 127.0.0.1:8080      behind a reverse proxy

A listener is HOST:PORT, or `off`; port 0 takes a free one. The first start on an empty directory creates everything.
One line on stdout says when it is ready. Ctrl-C or SIGTERM stops it cleanly.")]
pub struct ServeArgs {
    /// Name that devices reach this server by; after the first start the database knows it
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// For browsers, scripts and enrolment [default: [::]:443]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_people: Option<String>,
    /// For enrolled devices [default: [::]:8443]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_devices: Option<String>,
    /// Plain HTTP for a reverse proxy [default: off]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_proxied: Option<String>,
}

impl ServeArgs {
    /// The configuration keys that were given as flags.
    fn flags(&self) -> BTreeMap<&'static str, String> {
        let all = [
            ("hostname", &self.hostname),
            ("listen.people", &self.listen_people),
            ("listen.devices", &self.listen_devices),
            ("listen.proxied", &self.listen_proxied),
        ];
        all.into_iter().filter_map(|(key, value)| value.clone().map(|value| (key, value))).collect()
    }
}

/// The whole thing, for show.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cordon demo
  cordon demo --devices 200
  cordon demo --once --json

Nothing leaves this machine: the server, a stand-in for Apple's push service and the devices all run in this process,
on a database in a temporary directory.")]
pub struct DemoArgs {
    /// Simulated devices
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub devices: u32,
    /// Play the story to its end and exit, instead of staying up
    #[arg(long)]
    pub once: bool,
}

/// The options of every subcommand, settled.
#[derive(Debug, Clone)]
pub struct Global {
    pub data_dir: PathBuf,
    /// `None` when none was named and the usual one is not there.
    pub config_file: Option<PathBuf>,
    pub json: bool,
}

impl Global {
    /// Fills in what was not said from this machine.
    ///
    /// # Errors
    /// When there is no place for the data directory.
    pub fn settle(said: &GlobalArgs) -> Result<Global, Failure> {
        let service = Path::new(SERVICE_DIR);
        let may_use = rustix::process::geteuid().is_root()
            || rustix::fs::access(service, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let data_dir = match &said.data_dir {
            Some(dir) => dir.clone(),
            None => default_data_dir(may_use, variable("XDG_DATA_HOME"), variable("HOME")).ok_or_else(|| {
                Failure::usage("there is no home directory to keep data in; say where with --data-dir DIR")
            })?,
        };
        // Beside the database: there a restore puts what the old machine was told.
        let places = [PathBuf::from(SERVICE_CONFIG), data_dir.join(LOCAL_CONFIG)];
        let usual = || places.into_iter().find(|path| path.exists());
        Ok(Global { data_dir, config_file: said.config.clone().or_else(usual), json: said.json })
    }

    /// The configuration: environment over file.
    ///
    /// # Errors
    /// Naming the key and where it was set.
    pub fn config(&self) -> Result<Config, Failure> {
        self.config_with(&ServeArgs::default())
    }

    /// The configuration of a server: flag over environment over file.
    ///
    /// # Errors
    /// As [`Global::config`].
    pub fn config_with(&self, args: &ServeArgs) -> Result<Config, Failure> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut config = Config::load(self.config_file.as_deref(), &environment, &args.flags())?;
        if config.machine_key.is_none() && self.data_dir == Path::new(SERVICE_DIR) {
            config.machine_key = Some(PathBuf::from(SERVICE_KEY)).filter(|path| path.exists());
        }
        Ok(config)
    }
}

fn default_data_dir(may_use_service: bool, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if may_use_service {
        return Some(PathBuf::from(SERVICE_DIR));
    }
    // The XDG specification has relative paths ignored.
    let xdg = xdg.filter(|dir| dir.is_absolute());
    xdg.or_else(|| home.map(|home| home.join(".local/share"))).map(|dir| dir.join("cordon"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_whole_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_shows_examples() {
        fn walk(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    walk(sub, &path);
                } else {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains("Examples:") && help.contains(&path), "{path} --help has no examples");
                }
            }
        }
        walk(&Cli::command(), "cordon");
    }

    #[test]
    fn what_people_type() {
        let good = [
            "cordon demo --devices 2000 --once --json",
            "cordon --json demo",
            "cordon serve --listen-people off --listen-devices 127.0.0.1:0",
            "cordon setup --organization O --hostname h.example",
            "cordon enroll profile",
            "cordon enroll profile --user-channel --unsigned --identity scep --sign-message --access-rights 8191 --output f",
            "cordon device list --search 7 --limit 5 --json",
            "cordon device show X --data-dir /d",
            "cordon device lock X --pin 123456",
            "cordon command send X DeviceInformation Queries=UDID Queries=OSVersion --wait --timeout 5",
            "cordon command send X --plist f.plist --user u --not-before 2h --expires 2030-01-01T00:00:00Z --yes",
            "cordon command list --device X --state NotNow",
            "cordon command types",
            "cordon command types DeviceLock",
            "cordon push X --user u",
            "cordon push-cert request",
            "cordon push-cert import c.pem --key k.pem --additional",
            "cordon token create n --role admin --expires-in 90d",
            "cordon audit list --after 3",
            "cordon audit verify",
            "cordon status",
            "cordon setup --organization O --hostname h.example --admin ada --admin-password-file p --recovery-code-file c",
            "cordon admin add ada --role owner --password-file -",
            "cordon admin totp ada --remove",
            "cordon recovery-code check --recovery-code-file -",
            "cordon restore f --verify",
            "cordon restore f --replace --recovery-code-file -",
            "cordon webhook add n https://h.example/x --event command.error --event device.enrolled",
            "cordon webhook log wh-1 --limit 5 --json",
            "cordon key show",
            "cordon secret sheet X --reason R --output F",
            "cordon secret make-activation-lock-code X",
            "cordon device theft-sheet X --reason R --output F",
            "cordon filevault escrow X",
            "cordon filevault profile --output F",
            "cordon retention set --results-days 30",
            "cordon inventory set --every-hours 12",
            "cordon inventory find pages --kind app --csv",
            "cordon device export --csv --output F",
            "cordon command send --group 7b ProfileList --wait",
            "cordon command send --all DeviceInformation Queries=UDID",
            "cordon command bulk show bulk-1 --wait",
            "cordon schedule add Mornings --window W --on-holidays yes",
            "cordon schedule calendar --time-zone Europe/Berlin --holiday 2026-12-21",
            "cordon key rotate --recovery-code-file F --wait",
            "cordon key rotate --new-recovery-code --write-code-to F",
            "cordon key replace-machine-key",
            "cordon secret list X",
            "cordon secret reveal X lock-pin --reason R --generation 2 --json",
            "cordon secret two-person on",
            "cordon device lost X --phone 5 --footnote f",
            "cordon device lost X --missing",
            "cordon device found X --reason R --yes",
            "cordon device locate X --reason R --wait",
            "cordon device play-sound X",
            "cordon command send X ClearPasscode --possession P --yes",
            "cordon command send X DeviceLocation --reason R",
            "cordon user add anna --password-file f --guid G --guid H",
            "cordon user erase anna --yes",
            "cordon user import people.csv --dry-run",
            "cordon directory set --url ldaps://d --base dc=x --bind-dn cn=y --bind-password-file p --guid objectGUID",
            "cordon directory sync --json",
            "cordon mail set --host m --security starttls --user u --password-file p --from a@b --to c@d --to e@f --event token.expiring",
            "cordon mail test",
            "cordon mail log --limit 5",
            "cordon user network --mode digest --serve-further no",
            "cordon group add x --filter platform=iPadOS",
            "cordon group member add 7b --device D --person p --teacher t --admin a",
        ];
        for line in good {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        let bad = [
            "cordon",
            "cordon teleport",
            "cordon demo --devices 0",
            "cordon demo --devices 2001",
            "cordon enroll profile --identity acme",
            "cordon command send X",
            "cordon command send X A B=C --plist f",
            "cordon command list --state Asleep",
            "cordon token create n --role king",
            "cordon token create n",
            "cordon device lock X --pin 12",
            "cordon admin add ada --role king",
            "cordon restore f --verify --replace",
            "cordon setup --organization O --hostname h --admin-password-file p",
            "cordon secret reveal X lock-pin",
            "cordon device lost X",
            "cordon device locate X",
        ];
        for line in bad {
            let told = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(told.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn serve_read_alone_says_what_the_whole_grammar_says() {
        let lines = [
            "cordon serve",
            "cordon --json serve --hostname h",
            "cordon serve --data-dir d --config c --json --listen-people [::]:1 --listen-devices off --listen-proxied x:2",
        ];
        for line in lines {
            let words = || line.split(' ').map(OsString::from);
            assert!(ServeAlone::try_parse_from(words()).is_ok(), "{line}");
            let (read, whole) = (Cli::read(words()).unwrap(), Cli::try_parse_from(words()).unwrap());
            assert_eq!(format!("{read:?}"), format!("{whole:?}"));
        }
        for line in ["cordon", "cordon serve --help", "cordon --version", "cordon serve --nope", "cordon serv"] {
            let words = || line.split(' ').map(OsString::from);
            let (read, whole) = (Cli::read(words()).unwrap_err(), Cli::try_parse_from(words()).unwrap_err());
            assert_eq!(read.to_string(), whole.to_string());
        }
    }

    #[test]
    fn where_data_lies_by_default() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(default_data_dir(true, path("/x"), path("/home/a")), path("/var/lib/cordon"));
        assert_eq!(default_data_dir(false, path("/x"), path("/home/a")), path("/x/cordon"));
        assert_eq!(default_data_dir(false, path("relative"), path("/home/a")), path("/home/a/.local/share/cordon"));
        assert_eq!(default_data_dir(false, None, None), None);
    }
}
