//! The configuration: bootstrap settings only, from flags, then `CORDON_…` variables, then the TOML file. What the school decides lives
//! in the database. Read by `serve`, and by verbs that work on the file; the environment is an argument here.

mod settings;

use super::failure::Failure;
use crate::service::Urls;
use settings::{Setting, Settings};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Every key of the file. As a variable: upper case, dots to `_`, after `CORDON_`.
const KEYS: [&str; 29] = [
    "hostname",
    "hostname_aliases",
    "public.people_url",
    "public.devices_url",
    "public.trust_url",
    "listen.people",
    "listen.devices",
    "listen.proxied",
    "listen.metrics",
    "listen.http",
    "proxy.trusted",
    "proxy.forwards_certificate",
    "mdmcert.url",
    "tls.mode",
    "tls.cert_file",
    "tls.key_file",
    "tls.publicly_trusted",
    "tls.acme_directory",
    "tls.acme_ca_file",
    "tls.acme_contact",
    "tls.acme_eab_kid",
    "tls.acme_eab_key_file",
    "apple.apns_url",
    "apple.ca_file",
    "apple.device_ca_file",
    "log.format",
    "log.level",
    "machine_key_file",
    "webhooks.ca_file",
];

/// The machine key among systemd's credentials (`LoadCredential=machine.key:…`).
const CREDENTIAL: &str = "machine.key";

/// Longest configuration file.
const MAX_FILE: usize = 256 * 1024;

/// What the server is told before it can open its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Serves at first start only; then the database knows it.
    pub hostname: Option<String>,
    /// Further names that the TLS certificate serves, such as a former host name.
    pub aliases: Vec<String>,
    pub public: Public,
    pub listen: Listeners,
    /// Addresses whose forwarded client certificates are believed.
    pub trusted: Vec<IpAddr>,
    /// The proxy hands on the certificates of devices.
    pub forwards_certificate: bool,
    pub tls: Tls,
    pub apple: Apple,
    pub log: LogFormat,
    /// Filter of the log, such as `info` or `cordon::http=debug`.
    pub log_level: String,
    /// `None`: `machine.key` in the data directory.
    pub machine_key: Option<PathBuf>,
    /// Roots in PEM that receivers of webhooks may be certified by, beside the public ones.
    pub webhook_ca_file: Option<PathBuf>,
    /// `None`: mdmcert.download.
    pub mdmcert_url: Option<String>,
    /// Everything that was said, as it was written, but for what belongs to this machine alone.
    pub said: BTreeMap<String, Vec<String>>,
}

/// Keys that mean nothing on another machine, or that the database knows better.
const OF_THIS_MACHINE: [&str; 4] = ["hostname", "machine_key_file", "log.format", "log.level"];

/// Addresses as seen from outside, where they differ from host name and port. Without a trailing slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Public {
    pub people_url: Option<String>,
    pub devices_url: Option<String>,
    pub trust_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    pub people: Listen,
    pub devices: Listen,
    pub proxied: Listen,
    pub metrics: Listen,
    /// Plain HTTP for certificate authorities (HTTP-01); sends everybody else to HTTPS.
    pub http: Listen,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Off,
    /// `host:port`; port 0 takes a free one.
    At {
        address: String,
        port: u16,
    },
}

impl Listen {
    /// `host:port`, unless it is off.
    pub fn address(&self) -> Option<&str> {
        match self {
            Listen::Off => None,
            Listen::At { address, .. } => Some(address),
        }
    }

    /// The port as configured, unless it is off or any free one.
    pub fn fixed_port(&self) -> Option<u16> {
        match self {
            Listen::At { port, .. } if *port != 0 => Some(*port),
            _ => None,
        }
    }
}

/// The certificate of the listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub source: TlsSource,
    /// `None`: found out from the served chain.
    pub publicly_trusted: Option<bool>,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// Nothing is said: what was chosen at set-up, the school's own authority while nobody chose.
    Chosen,
    /// Issued by the school's own authority.
    OwnCa,
    /// Somebody else's; the files are watched.
    Files { certificate: PathBuf, key: PathBuf },
    /// Issued over ACME by this directory.
    Acme {
        directory: String,
        ca_file: Option<PathBuf>,
        contact: Option<String>,
        /// External account binding: the key's id, and the file that holds the key in base64url.
        binding: Option<(String, PathBuf)>,
    },
}

/// Let's Encrypt.
const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Apple's services, or stand-ins for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apple {
    /// `None`: Apple's own.
    pub apns_url: Option<String>,
    /// Roots in PEM that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// Authorities in PEM whose word counts for a device's built-in identity beside Apple's.
    pub device_ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads the file if there is one, and lets variables and then flags win.
    ///
    /// # Errors
    /// Naming the key, where it was set, and for an unknown key the nearest known one.
    pub fn load(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        flags: &BTreeMap<&'static str, String>,
    ) -> Result<Config, Failure> {
        let mut settings = Settings::default();
        if let Some(path) = file {
            settings.add_file(path, &super::files::read_text(path, MAX_FILE)?)?;
        }
        settings.add_environment(environment);
        for (key, value) in flags {
            let flag = format!("--{}", key.replace(['.', '_'], "-"));
            settings.0.insert(key, Setting { values: vec![value.clone()], origin: flag });
        }
        let mut config = settings.into_config()?;
        if config.machine_key.is_none()
            && let Some(credentials) = environment.get("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty())
        {
            config.machine_key = Some(Path::new(credentials).join(CREDENTIAL)).filter(|path| path.exists());
        }
        Ok(config)
    }

    /// The addresses that devices and people use: as configured, else from the host name and the ports listened on (443 goes without
    /// saying). With a proxied listener the proxy has the host name on 443 for both.
    pub fn urls(&self, hostname: &str, people_port: Option<u16>, devices_port: Option<u16>) -> Urls {
        let host = match hostname.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => hostname.to_owned(),
        };
        let proxied = self.listen.proxied != Listen::Off;
        let usual = |port: Option<u16>| match port.filter(|port| *port != 443 && !proxied) {
            Some(port) => format!("https://{host}:{port}"),
            None => format!("https://{host}"),
        };
        let people = self.public.people_url.clone().unwrap_or_else(|| usual(people_port));
        Urls {
            trust: self.public.trust_url.clone().unwrap_or_else(|| people.clone()),
            people,
            devices: self.public.devices_url.clone().unwrap_or_else(|| usual(devices_port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: Option<&str>,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cordon.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let flags = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        Config::load(file.map(|_| path.as_path()), &environment, &flags)
    }

    #[test]
    fn nothing_said_is_the_documented_default() {
        let config = load(None, &[("CORDON_HOSTNAME", ""), ("CORDON_UNKNOWN", "x")], &[]).unwrap();
        assert_eq!(config.hostname, None);
        assert_eq!(config.listen.people.address(), Some("[::]:443"));
        assert_eq!(config.listen.devices.fixed_port(), Some(8443));
        assert_eq!((config.listen.proxied, config.listen.metrics), (Listen::Off, Listen::Off));
        assert_eq!(config.trusted, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(config.tls, Tls { source: TlsSource::Chosen, publicly_trusted: None });
        assert_eq!((config.log, config.machine_key), (LogFormat::Text, None));
    }

    #[test]
    fn flag_over_environment_over_file() {
        let file = "hostname = \"file.example\"\n[listen]\npeople = \"127.0.0.1:1\"\ndevices = \"127.0.0.1:2\"\nproxied = \"off\"\n\
                    [proxy]\ntrusted = [\"10.0.0.1\"]\n[apple]\nca_file = \"/ca.pem\"\n[log]\nformat = \"json\"\n";
        let environment = [
            ("CORDON_HOSTNAME", "environment.example"),
            ("CORDON_LISTEN_PEOPLE", "127.0.0.1:3"),
            ("CORDON_PROXY_TRUSTED", "10.0.0.2, ::2"),
            ("CORDON_PUBLIC_DEVICES_URL", "https://d.example/"),
            ("CORDON_MACHINE_KEY_FILE", "/etc/k"),
        ];
        let config = load(Some(file), &environment, &[("hostname", "flag.example")]).unwrap();
        assert_eq!(config.hostname.as_deref(), Some("flag.example"));
        assert_eq!(config.listen.people.address(), Some("127.0.0.1:3"));
        assert_eq!(config.listen.devices.address(), Some("127.0.0.1:2"));
        assert_eq!(config.trusted, ["10.0.0.2".parse::<IpAddr>().unwrap(), "::2".parse().unwrap()]);
        assert_eq!(config.public.devices_url.as_deref(), Some("https://d.example"));
        assert_eq!((config.log, config.machine_key), (LogFormat::Json, Some(PathBuf::from("/etc/k"))));
        assert_eq!(config.apple.ca_file, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let table = [
            ("listen.poeple = \"x\"", "listen.poeple in ", "did you mean listen.people?"),
            ("hostnam = \"x\"", "hostnam in ", "did you mean hostname?"),
            ("[zebra]\nx = 1", "zebra in ", "there is no such key"),
            ("hostname = 3", "hostname in ", "text in quotes"),
            ("hostname = [\"a\", \"b\"]", "hostname in ", "not a list"),
            ("[tls]\nmode = \"files\"", "tls.mode in ", "tls.cert_file must be set"),
            ("[tls]\npublicly_trusted = \"maybe\"", "tls.publicly_trusted in ", "true or false"),
            ("[tls]\nmode = \"x\"", "tls.mode in ", "own-ca"),
            ("[log]\nformat = \"xml\"", "log.format in ", "text or json"),
            ("[listen]\npeople = \"443\"", "listen.people in ", "HOST:PORT"),
            ("[proxy]\ntrusted = [\"proxy\"]", "proxy.trusted in ", "not an IP address"),
            ("[public]\npeople_url = \"http://x\"", "public.people_url in ", "https://"),
            ("a = 1\nb = ", "cordon.toml:2: ", ""),
        ];
        for (file, place, why) in table {
            let failure = load(Some(file), &[], &[]).unwrap_err();
            assert!(failure.detail.contains(place) && failure.detail.contains(why), "{file}: {failure}");
        }
        let failure = load(None, &[("CORDON_LISTEN_PEOPLE", "::1:443")], &[]).unwrap_err();
        assert!(failure.detail.starts_with("CORDON_LISTEN_PEOPLE: "), "{failure}");
        let failure = load(None, &[], &[("listen.people", "x")]).unwrap_err();
        assert!(failure.detail.starts_with("--listen-people: "), "{failure}");
    }

    #[test]
    fn certificates_of_others_and_by_acme() {
        let files = "hostname_aliases = [\"old.example\"]\n[tls]\nmode = \"files\"\ncert_file = \"/c\"\nkey_file = \"/k\"\npublicly_trusted = true\n";
        let config = load(Some(files), &[("CORDON_PUBLIC_TRUST_URL", "https://certs.example")], &[]).unwrap();
        let source = TlsSource::Files { certificate: PathBuf::from("/c"), key: PathBuf::from("/k") };
        assert_eq!(config.tls, Tls { source, publicly_trusted: Some(true) });
        assert_eq!(config.aliases, ["old.example"]);
        assert_eq!(config.urls("mdm.example", None, None).trust, "https://certs.example");
        let config = load(None, &[("CORDON_TLS_MODE", "acme"), ("CORDON_LISTEN_HTTP", "[::]:80")], &[]).unwrap();
        let source =
            TlsSource::Acme { directory: ACME_DIRECTORY.to_owned(), ca_file: None, contact: None, binding: None };
        assert_eq!((config.tls.source, config.listen.http.fixed_port()), (source, Some(80)));
        let half = load(None, &[("CORDON_TLS_MODE", "acme"), ("CORDON_TLS_ACME_EAB_KID", "k-1")], &[]).unwrap_err();
        assert!(half.detail.contains("tls.acme_eab_key_file"), "{half}");
    }

    #[test]
    fn the_machine_key_of_systemd() {
        let credentials = tempfile::tempdir().unwrap();
        let environment = [("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap())];
        assert_eq!(load(None, &environment, &[]).unwrap().machine_key, None);
        let key = credentials.path().join("machine.key");
        std::fs::write(&key, b"k").unwrap();
        assert_eq!(load(None, &environment, &[]).unwrap().machine_key, Some(key));
        let named = load(Some("machine_key_file = \"/k\""), &environment, &[]).unwrap();
        assert_eq!(named.machine_key, Some(PathBuf::from("/k")));
    }

    #[test]
    fn addresses_from_host_name_and_ports() {
        let config = load(None, &[], &[]).unwrap();
        let urls = config.urls("mdm.example", Some(443), Some(8443));
        assert_eq!((urls.people.as_str(), urls.devices.as_str()), ("https://mdm.example", "https://mdm.example:8443"));
        assert_eq!(config.urls("::1", Some(1), None).people, "https://[::1]:1");
        let proxied = load(None, &[("CORDON_LISTEN_PROXIED", "127.0.0.1:8080")], &[]).unwrap();
        assert_eq!(proxied.urls("mdm.example", Some(443), Some(8443)).devices, "https://mdm.example");
        let public = load(None, &[("CORDON_PUBLIC_PEOPLE_URL", "https://p.example:1")], &[]).unwrap();
        assert_eq!(public.urls("mdm.example", Some(443), Some(8443)).people, "https://p.example:1");
    }
}
