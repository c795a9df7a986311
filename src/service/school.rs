//! The school's own settings: organisation, host name, and the addresses that may never change under an enrolled device.

use super::actor::{Actor, Permission};
use super::founding::{HOSTNAME, ORGANIZATION, SCHOOL_ID};
use super::{Context, Error, Urls, auditing};
use crate::base::texts::Text;
use serde_json::{Value, json};

/// Settings that hold the public addresses once they are in use.
const PEOPLE_URL: &str = "public.people_url";
const DEVICES_URL: &str = "public.devices_url";
const TRUST_URL: &str = "public.trust_url";
/// Setting: the names beside the host name that lead here, as of the last start.
const KEPT_NAMES: &str = "public.kept_names";

/// Setting: what the server was told at its last start, so that a restore can tell it again.
const CONFIGURATION: &str = "configuration";

/// What people decided at set-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct School {
    pub organization: Option<String>,
    pub hostname: Option<String>,
}

/// Reads the settings; used before anybody has logged in, so it asks for no actor.
pub fn find(cx: &Context) -> Result<School, Error> {
    cx.store.read(|db| {
        Ok(School { organization: db.find_text_setting(ORGANIZATION)?, hostname: db.find_text_setting(HOSTNAME)? })
    })
}

/// The organisation's name for certificates and profiles, before set-up a neutral one.
pub fn organization(cx: &Context) -> Result<String, Error> {
    Ok(find(cx)?.organization.unwrap_or_else(|| String::from("Cordon")))
}

/// `cordon.<random id of this school>.mdm`: the PayloadIdentifier of every MDM profile of this school, for ever, so that a later one
/// replaces an earlier one. Never made from a host name, which may change.
pub fn payload_identifier(cx: &Context) -> Result<String, Error> {
    let id = cx.store.read(|db| db.find_text_setting(SCHOOL_ID))?;
    let id = id.ok_or_else(|| Error::internal("the school's id is missing"))?;
    Ok(format!("cordon.{id}.mdm"))
}

/// Sets what is given, leaves the rest; doing it twice changes nothing.
///
/// # Errors
/// `Invalid` for a host name no device could reach; `Denied` for anybody but the owner.
pub fn set_up(cx: &Context, actor: &Actor, school: &School) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    if let Some(hostname) = &school.hostname {
        check_hostname(hostname)?;
    }
    let before = find(cx)?;
    if let (Some(wanted), Some(held)) = (&school.hostname, &before.hostname)
        && wanted != held
    {
        let kept = cx.store.read(|db| db.find_setting(KEPT_NAMES))?.and_then(|kept| serde_json::from_value(kept).ok());
        let mut names: Vec<String> = kept.unwrap_or_default();
        names.push(wanted.clone());
        let lost = |address: &str| authority(address).is_none_or(|(host, _)| !names.contains(&host));
        refuse_stranding(cx, "hostname", held, wanted, lost)?;
    }
    let now = cx.now();
    cx.store.write(|tx| {
        for (name, new, old) in
            [(ORGANIZATION, &school.organization, &before.organization), (HOSTNAME, &school.hostname, &before.hostname)]
        {
            if let Some(value) = new
                && Some(value) != old.as_ref()
            {
                tx.put_setting(name, &json!(value))?;
                auditing::record(tx, actor, "setting.set", Some(name), Some(json!({ "value": value })), now)?;
            }
        }
        Ok(())
    })
}

/// The host name at first start: from the database if it knows one, else what the caller found (configuration or machine).
pub fn settle_hostname(cx: &Context, first: &str) -> Result<String, Error> {
    if let Some(held) = find(cx)?.hostname {
        return Ok(held);
    }
    check_hostname(first)?;
    cx.store.write(|tx| tx.put_setting(HOSTNAME, &json!(first)))?;
    Ok(first.to_owned())
}

/// Keeps what the server was told at this start: key to text, or to a list of texts. Never a secret: keys and passwords are not told so.
pub fn remember_configuration(cx: &Context, told: &Value) -> Result<(), Error> {
    if *told == find_configuration(cx)? {
        return Ok(());
    }
    Ok(cx.store.write(|tx| tx.put_setting(CONFIGURATION, told))?)
}

/// What the server was told at its last start; null if it never ran.
pub fn find_configuration(cx: &Context) -> Result<Value, Error> {
    Ok(cx.store.read(|db| db.find_setting(CONFIGURATION))?.unwrap_or_default())
}

fn check_hostname(hostname: &str) -> Result<(), Error> {
    let ip = hostname.parse::<std::net::IpAddr>().is_ok();
    let good = !hostname.is_empty()
        && hostname.len() <= 253
        && hostname.split('.').all(|label| {
            let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            !label.is_empty() && label.len() <= 63 && inner && !label.starts_with('-') && !label.ends_with('-')
        });
    if ip || good { Ok(()) } else { Err(Error::invalid(Text::BadHostname { hostname: hostname.to_owned() })) }
}

/// Host and port of an `https` address.
fn authority(address: &str) -> Option<(String, u16)> {
    let rest = address.strip_prefix("https://")?;
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map(|(host, after)| (host, after.strip_prefix(':')))?,
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(443), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

/// # Errors
/// `Conflict` when enrolled devices hold an address that is `lost`: what they hold can never change.
fn refuse_stranding(
    cx: &Context,
    setting: &'static str,
    held: &str,
    wanted: &str,
    lost: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let addresses = cx.store.read(|db| db.list_held_addresses())?;
    let devices = addresses.iter().filter(|(address, _)| lost(address)).map(|(_, devices)| devices).sum();
    if devices == 0 {
        return Ok(());
    }
    let (held, wanted) = (held.to_owned(), wanted.to_owned());
    Err(Error::conflict(Text::UrlsFrozen { setting, held, wanted, devices }))
}

/// What leads to this server beside the public addresses that are wanted.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// On the listeners' certificate, the host name first.
    pub names: Vec<String>,
    /// Those among them that stay whatever the host name becomes.
    pub kept: Vec<String>,
    /// Of people's listener, and those that a proxy has in front of it.
    pub people_ports: Vec<u16>,
    pub devices_ports: Vec<u16>,
}

/// Puts the public addresses in force. ServerURL and CheckInURL of an enrolled device can never change, and what it holds of the people's
/// address (in a renewal that waits, in the URL of its Update button, in its certificate) does not change by itself either. So while
/// devices are enrolled, an address may change only if the old one goes on leading here: its name in `hostname_aliases`, its port served.
///
/// # Errors
/// `Conflict` when enrolled devices would be stranded.
pub fn settle_urls(cx: &Context, wanted: Urls, reach: &Reach) -> Result<Urls, Error> {
    let leads_here = |address: &str, wanted: &str, ports: &[u16]| match (authority(address), authority(wanted)) {
        (Some((host, port)), Some((its_host, its_port))) => {
            (host == its_host || reach.names.iter().any(|name| name.eq_ignore_ascii_case(&host)))
                && (port == its_port || ports.contains(&port))
        }
        _ => false,
    };
    let held = |name: &str| cx.store.read(|db| db.find_text_setting(name));
    // Said of the address that was in force; checked of every one that a device holds, however old.
    let before = held(DEVICES_URL)?.unwrap_or_else(|| wanted.devices.clone());
    let lost = |address: &str| !leads_here(address, &wanted.devices, &reach.devices_ports);
    refuse_stranding(cx, DEVICES_URL, &before, &wanted.devices, lost)?;
    if let Some(before) = held(PEOPLE_URL)?
        && !leads_here(&before, &wanted.people, &reach.people_ports)
    {
        refuse_stranding(cx, PEOPLE_URL, &before, &wanted.people, |_| true)?;
    }
    cx.store.write(|tx| {
        tx.put_setting(KEPT_NAMES, &json!(reach.kept))?;
        tx.put_setting(PEOPLE_URL, &json!(wanted.people))?;
        tx.put_setting(TRUST_URL, &json!(wanted.trust))?;
        tx.put_setting(DEVICES_URL, &json!(wanted.devices))
    })?;
    cx.set_urls(wanted.clone());
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::{authority, check_hostname};

    #[test]
    fn host_and_port_of_an_address() {
        let of = |text: &str| authority(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("https://Mdm.Hill.example/mdm/command").as_deref(), Some("mdm.hill.example 443"));
        assert_eq!(of("https://mdm.hill.example:8443/mdm/command").as_deref(), Some("mdm.hill.example 8443"));
        assert_eq!(of("https://[::1]:8443").as_deref(), Some("::1 8443"));
        assert_eq!(of("https://[::1]/x").as_deref(), Some("::1 443"));
        for bad in ["http://x", "https://", "https://x:y", "https://x:99999"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn host_names() {
        for good in ["mdm.example.org", "localhost", "127.0.0.1", "::1", "a-b.c"] {
            assert!(check_hostname(good).is_ok(), "{good}");
        }
        for bad in ["", "-a.b", "a..b", "a b", "https://x", "mdm.example.org:8443", "ä.de"] {
            assert!(check_hostname(bad).is_err(), "{bad}");
        }
    }
}
