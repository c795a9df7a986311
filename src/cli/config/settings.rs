//! Reading what was said: file and variables into values that know where they stand, and those into a [`Config`], with complaints that name
//! the line or the variable.

use super::{
    ACME_DIRECTORY, Apple, Config, KEYS, Listen, Listeners, LogFormat, OF_THIS_MACHINE, Public, Tls, TlsSource,
};
use crate::cli::failure::Failure;
use crate::cli::nearest::nearest;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// One value as written, and where.
pub(super) struct Setting {
    pub(super) values: Vec<String>,
    pub(super) origin: String,
}

impl Setting {
    fn wrong(&self, why: impl fmt::Display) -> Failure {
        Failure::new("configuration", format!("{}: {why}", self.origin))
    }

    fn one(&self) -> Result<&str, Failure> {
        match self.values.as_slice() {
            [one] => Ok(one),
            _ => Err(self.wrong("one value goes here, not a list")),
        }
    }
}

/// Everything that was said, by key; what is added later wins.
#[derive(Default)]
pub(super) struct Settings(pub(super) BTreeMap<&'static str, Setting>);

impl Settings {
    pub(super) fn add_file(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let bad = |error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            Failure::new("configuration", format!("{}:{line}: {}", path.display(), error.message()))
        };
        let table: toml::Table = toml::from_str(text).map_err(bad)?;
        self.add_table(path, &table, "")
    }

    fn add_table(&mut self, path: &Path, table: &toml::Table, above: &str) -> Result<(), Failure> {
        for (name, value) in table {
            let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            let section = KEYS.iter().any(|known| known.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.')));
            let origin = format!("{} in {}", key, path.display());
            match (KEYS.iter().find(|known| **known == key), value) {
                (Some(known), value) => {
                    let values = texts(value).ok_or_else(|| {
                        Failure::new(
                            "configuration",
                            format!("{origin}: write it as text in quotes, or a list of such texts"),
                        )
                    })?;
                    self.0.insert(known, Setting { values, origin });
                }
                (None, toml::Value::Table(table)) if section => self.add_table(path, table, &key)?,
                _ => {
                    let near = nearest(&key, KEYS).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                    return Err(Failure::new("configuration", format!("{origin}: there is no such key{near}")));
                }
            }
        }
        Ok(())
    }

    /// Empty variables count as not set. Unknown ones are left alone: the prefix is not ours alone.
    pub(super) fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        for key in KEYS {
            let variable = format!("CORDON_{}", key.to_ascii_uppercase().replace('.', "_"));
            if let Some(value) = environment.get(&variable).filter(|value| !value.is_empty()) {
                let list = matches!(key, "proxy.trusted" | "hostname_aliases");
                let values = if list {
                    value.split(',').map(|one| one.trim().to_owned()).collect()
                } else {
                    vec![value.clone()]
                };
                self.0.insert(key, Setting { values, origin: variable });
            }
        }
    }

    pub(super) fn into_config(self) -> Result<Config, Failure> {
        let tls = self.tls()?;
        let log = match self.read("log.format", |text| Ok(text.to_owned()))?.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => return Err(self.wrong("log.format", "the format is text or json")),
        };
        let text = |text: &str| Ok(text.to_owned());
        let path = |text: &str| Ok(PathBuf::from(text));
        let listen = |key: &str, usual: &str| match self.read(key, listen)? {
            Some(listen) => Ok(listen),
            None => listen(usual).map_err(|why| Failure::new("configuration", why)),
        };
        let lasting = self.0.iter().filter(|(key, _)| !OF_THIS_MACHINE.contains(key));
        let said = lasting.map(|(key, setting)| ((*key).to_owned(), setting.values.clone())).collect();
        Ok(Config {
            said,
            hostname: self.read("hostname", text)?,
            aliases: self.0.get("hostname_aliases").map(|setting| setting.values.clone()).unwrap_or_default(),
            public: Public {
                people_url: self.read("public.people_url", url)?,
                devices_url: self.read("public.devices_url", url)?,
                trust_url: self.read("public.trust_url", url)?,
            },
            listen: Listeners {
                people: listen("listen.people", "[::]:443")?,
                devices: listen("listen.devices", "[::]:8443")?,
                proxied: listen("listen.proxied", "off")?,
                metrics: listen("listen.metrics", "off")?,
                http: listen("listen.http", "off")?,
            },
            trusted: self.trusted()?,
            forwards_certificate: self.read("proxy.forwards_certificate", flag)?.unwrap_or(false),
            tls,
            apple: Apple {
                apns_url: self.read("apple.apns_url", url)?,
                ca_file: self.read("apple.ca_file", path)?,
                device_ca_file: self.read("apple.device_ca_file", path)?,
            },
            log,
            log_level: self.read("log.level", text)?.unwrap_or_else(|| String::from("info")),
            machine_key: self.read("machine_key_file", path)?,
            webhook_ca_file: self.read("webhooks.ca_file", path)?,
            mdmcert_url: self.read("mdmcert.url", url)?,
        })
    }

    fn read<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Failure> {
        let Some(setting) = self.0.get(key) else { return Ok(None) };
        parse(setting.one()?).map(Some).map_err(|why| setting.wrong(why))
    }

    fn wrong(&self, key: &str, why: &str) -> Failure {
        self.0
            .get(key)
            .map_or_else(|| Failure::new("configuration", format!("{key}: {why}")), |setting| setting.wrong(why))
    }

    fn tls(&self) -> Result<Tls, Failure> {
        let (text, path) = (|text: &str| Ok(text.to_owned()), |text: &str| Ok(PathBuf::from(text)));
        let file = |key: &str| {
            let found = self.read(key, path)?;
            found
                .ok_or_else(|| self.wrong("tls.mode", &format!("with tls.mode = \"files\", {key} must be set as well")))
        };
        let source = match self.read("tls.mode", text)?.as_deref() {
            None => TlsSource::Chosen,
            Some("own-ca") => TlsSource::OwnCa,
            Some("files") => TlsSource::Files { certificate: file("tls.cert_file")?, key: file("tls.key_file")? },
            Some("acme") => TlsSource::Acme {
                directory: self.read("tls.acme_directory", url)?.unwrap_or_else(|| ACME_DIRECTORY.to_owned()),
                ca_file: self.read("tls.acme_ca_file", path)?,
                contact: self.read("tls.acme_contact", text)?,
                binding: match (self.read("tls.acme_eab_kid", text)?, self.read("tls.acme_eab_key_file", path)?) {
                    (Some(kid), Some(file)) => Some((kid, file)),
                    (None, None) => None,
                    (Some(_), None) => {
                        return Err(self.wrong("tls.acme_eab_kid", "tls.acme_eab_key_file must be set as well"));
                    }
                    (None, Some(_)) => {
                        return Err(self.wrong("tls.acme_eab_key_file", "tls.acme_eab_kid must be set as well"));
                    }
                },
            },
            Some(_) => return Err(self.wrong("tls.mode", "the mode is own-ca, files or acme")),
        };
        Ok(Tls { source, publicly_trusted: self.read("tls.publicly_trusted", flag)? })
    }

    fn trusted(&self) -> Result<Vec<IpAddr>, Failure> {
        let Some(setting) = self.0.get("proxy.trusted") else {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        };
        let address =
            |text: &String| text.parse().map_err(|_| setting.wrong(format_args!("{text} is not an IP address")));
        setting.values.iter().filter(|text| !text.is_empty()).map(address).collect()
    }
}

fn texts(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Boolean(flag) => Some(vec![flag.to_string()]),
        toml::Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| String::from("this is true or false"))
}

fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    let parts =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && (host.starts_with('[') || !host.contains(':')));
    let port = parts.and_then(|(_, port)| port.parse().ok());
    port.map(|port| Listen::At { address: text.to_owned(), port })
        .ok_or_else(|| format!("{text} is not HOST:PORT, such as [::]:443, nor off"))
}

fn url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic()) => Ok(format!("https://{host}")),
        _ => Err(format!("{text} is not an address that begins with https://")),
    }
}
