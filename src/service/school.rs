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
        refuse_stranding(cx, "hostname", held, wanted)?;
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

/// # Errors
/// `Conflict` when devices are enrolled: what they hold can never change.
fn refuse_stranding(cx: &Context, setting: &'static str, held: &str, wanted: &str) -> Result<(), Error> {
    let (started, active, _) = cx.store.read(|db| db.count_enrollments())?;
    let devices = started + active;
    if devices == 0 {
        return Ok(());
    }
    let (held, wanted) = (held.to_owned(), wanted.to_owned());
    Err(Error::conflict(Text::UrlsFrozen { setting, held, wanted, devices }))
}

/// Puts the public addresses in force. While no device is enrolled they follow the configuration; afterwards a change of the
/// devices' address is refused, because ServerURL and CheckInURL of an enrolled device can never change.
///
/// # Errors
/// `Conflict` when enrolled devices hold another address.
pub fn settle_urls(cx: &Context, wanted: Urls) -> Result<Urls, Error> {
    let held = cx.store.read(|db| db.find_text_setting(DEVICES_URL))?;
    if let Some(held) = held.filter(|h| *h != wanted.devices) {
        refuse_stranding(cx, DEVICES_URL, &held, &wanted.devices)?;
    }
    cx.store.write(|tx| {
        tx.put_setting(PEOPLE_URL, &json!(wanted.people))?;
        tx.put_setting(TRUST_URL, &json!(wanted.trust))?;
        tx.put_setting(DEVICES_URL, &json!(wanted.devices))
    })?;
    cx.set_urls(wanted.clone());
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::check_hostname;

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
