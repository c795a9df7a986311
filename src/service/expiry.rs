//! Everything that ends one day, in one list: what it is, when, whether it renews by itself, and what a person must do where it does not.
//! Read by the API, the calendar feed, `/metrics`, health, and `expiring`, which tells webhooks.

use super::actor::{Actor, Permission};
use super::{Context, Error, serving};
use crate::base::time::{DAY, Timestamp};
use crate::pki::x509::Certificate;
use crate::store::Purpose;
use serde_json::json;

/// Setting: SHA-256 (hex) of the secret in the calendar's address.
const FEED: &str = "expiry_feed";

/// Who renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Cordon does.
    Alone,
    /// Cordon does the work, but a person must begin it.
    Begun,
    /// A person must do it.
    Person,
}

impl Renewal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Begun => "begun",
            Self::Person => "person",
        }
    }
}

/// One thing that ends, or many of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Another one after each renewal.
    pub key: String,
    /// `push`, `tls`, `root`, `issuing`, `signer`, `escrow`, `identities`, `account-certificates`, `provisioning`, `token`.
    pub kind: &'static str,
    pub name: String,
    pub not_after: Timestamp,
    /// How many things this line stands for; identities are counted together, and `not_after` is the first of them.
    pub count: usize,
    pub renewal: Renewal,
    /// What happens by itself and what a person must do.
    pub what: String,
}

impl Entry {
    /// For people, at the beginning of a sentence.
    pub fn title(&self) -> String {
        match self.kind {
            "push" => format!("The push certificate {}", self.name),
            "tls" => format!("The TLS certificate {}", self.name),
            "root" => format!("The school's root {}", self.name),
            "issuing" => format!("The issuing authority {}", self.name),
            "signer" => format!("The profile signer {}", self.name),
            "escrow" => format!("The FileVault escrow certificate {}", self.name),
            "identities" => format!("{} identities of devices, the first", self.count),
            "provisioning" => format!("The provisioning profile {}", self.name),
            "account-certificates" => format!("{} certificates of accounts, the first", self.count),
            _ => format!("The API token “{}”", self.name),
        }
    }

    /// Whole days until the end; negative when it is over.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.since(now).div_euclid(DAY)
    }
}

/// The calendar of everything that ends, soonest first.
///
/// # Errors
/// `Denied` for a teacher.
pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<Entry>, Error> {
    actor.require(Permission::LookAround)?;
    entries(cx)
}

pub(crate) fn entries(cx: &Context) -> Result<Vec<Entry>, Error> {
    let mut all = Vec::new();
    for row in cx.store.read(|db| db.list_push_certificates())? {
        // A request that has not come back has no dates.
        if row.chain_pem.is_empty() {
            continue;
        }
        let account = row.apple_account.map_or_else(
            || String::from("with the Apple Account that made it"),
            |account| format!("with the Apple Account {account}"),
        );
        let what = format!(
            "Renew it at identity.apple.com/pushcert {account}, never make a new one: cordon push-cert request, then cordon push-cert import. Until then devices answer only when they connect by themselves."
        );
        let key = format!("push/{}/{}", row.topic, row.not_after.0);
        all.push(entry(key, "push", row.topic, row.not_after, Renewal::Person, &what));
    }
    let foreign = serving::find_foreign(cx)?;
    let own_tls = foreign.is_none();
    if let Some((fingerprint, name, not_after)) = foreign {
        let (renewal, what) = match serving::find_source(cx)?.as_str() {
            "acme" => (
                Renewal::Alone,
                "Renewed from the certificate authority by itself. If it does not happen: cordon doctor",
            ),
            "given" => (Renewal::Person, "Give the server the new certificate and its key: cordon tls choose given"),
            _ => (
                Renewal::Person,
                "Put the new certificate and key into the files of the configuration; they are read by themselves.",
            ),
        };
        all.push(entry(format!("tls/{fingerprint}"), "tls", name, not_after, renewal, what));
    }
    for (purpose, renewal, what) in [
        (Purpose::Tls, Renewal::Alone, "Renewed by itself when a third of its life is left."),
        (
            Purpose::Issuing,
            Renewal::Alone,
            "Replaced by itself 500 days before; devices are taken over by themselves. At once: cordon ca replace --issuing",
        ),
        (
            Purpose::Root,
            Renewal::Alone,
            "Replaced by itself, beginning two years before; devices learn the new one by themselves. How far it is: cordon ca status",
        ),
        (
            Purpose::Signer,
            Renewal::Alone,
            "Replaced by itself half a year before; then profiles are signed anew, each device on its day. At once: cordon ca replace --signer",
        ),
        (
            Purpose::Escrow,
            Renewal::Begun,
            "Macs get the new one with the next escrow profile: cordon filevault profile",
        ),
    ] {
        if purpose == Purpose::Tls && !own_tls {
            continue;
        }
        if let Some(row) = cx.store.read(|db| db.find_authority(purpose))? {
            let certificate = Certificate::parse(&row.der).map_err(Error::internal)?;
            let key = format!("{}/{}", purpose.as_str(), hex::encode(certificate.fingerprint()));
            let (name, ends) = (certificate.subject(), certificate.not_after());
            all.push(entry(key, purpose.as_str(), name, ends, renewal, what));
        }
    }
    if let Some((count, first)) = cx.store.read(|db| db.count_current_identities())? {
        let what = "Renewed over the air by themselves, spread over days; a device must be switched on and online. cordon device list shows who is late.";
        let mut line =
            entry(String::from("identities"), "identities", String::from("devices"), first, Renewal::Alone, what);
        line.count = count;
        all.push(line);
    }
    if let Some((count, first)) = cx.store.read(|db| db.count_account_certificates())? {
        let what =
            "Replaced by themselves a month before, one account at a time. cordon account list shows which ends when.";
        let mut line = entry(
            String::from("account-certificates"),
            "account-certificates",
            String::from("accounts"),
            first,
            Renewal::Alone,
            what,
        );
        line.count = count;
        all.push(line);
    }
    for (app, name, not_after) in cx.store.read(|db| db.list_provisioning_ends())? {
        let what = "Renew it on Apple's developer site and add the new file: cordon provisioning add. Each device gets it before it loses the old one.";
        let key = format!("provisioning/{app}/{}", not_after.0);
        all.push(entry(key, "provisioning", name, not_after, Renewal::Begun, what));
    }
    for token in cx.store.read(|db| db.list_tokens())? {
        if let (Some(not_after), None) = (token.expires_at, token.revoked_at) {
            let what = "Make another (cordon token create) and give it to whatever uses this one.";
            all.push(entry(format!("token/{}", token.id), "token", token.name, not_after, Renewal::Person, what));
        }
    }
    all.sort_by(|a, b| (a.not_after, &a.key).cmp(&(b.not_after, &b.key)));
    Ok(all)
}

fn entry(key: String, kind: &'static str, name: String, not_after: Timestamp, renewal: Renewal, what: &str) -> Entry {
    Entry { key, kind, name, not_after, count: 1, renewal, what: what.to_owned() }
}

/// A new secret address for the calendar; the one before stops working. The secret is shown once.
///
/// # Errors
/// `Denied` for anybody but an owner.
pub fn open_feed(cx: &Context, actor: &Actor) -> Result<String, Error> {
    actor.require(Permission::Administer)?;
    let secret = hex::encode(cx.random_bytes::<24>());
    let hash = hex::encode(crate::pki::digest::sha256(secret.as_bytes()));
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_setting(FEED, &json!(hash))?;
        super::auditing::record(tx, actor, "expiry.feed", None, Some(json!({ "open": true })), cx.now())
    })?;
    Ok(format!("{}/expiry/{secret}.ics", cx.urls().people))
}

/// The calendar's address stops working.
///
/// # Errors
/// As [`open_feed`].
pub fn close_feed(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_setting(FEED, &json!(null))?;
        super::auditing::record(tx, actor, "expiry.feed", None, Some(json!({ "open": false })), cx.now())
    })
}

/// The entries for whoever knows the secret.
///
/// # Errors
/// Faults of the store; `None` for a wrong secret.
pub fn by_feed(cx: &Context, secret: &str) -> Result<Option<Vec<Entry>>, Error> {
    let Some(held) = cx.store.read(|db| db.find_text_setting(FEED))? else { return Ok(None) };
    let said = hex::encode(crate::pki::digest::sha256(secret.as_bytes()));
    if crate::pki::digest::constant_time_eq(held.as_bytes(), said.as_bytes()) {
        entries(cx).map(Some)
    } else {
        Ok(None)
    }
}

/// The calendar in iCalendar (RFC 5545): one whole day for each end, with alarms 30, 7 and 1 days before.
pub fn calendar(entries: &[Entry], now: Timestamp) -> String {
    let stamp = compact(now);
    let mut out = String::from(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Cordon//Expiry//EN\r\nMETHOD:PUBLISH\r\nX-WR-CALNAME:Cordon: what ends\r\n",
    );
    for entry in entries {
        let day = &compact(entry.not_after)[..8];
        let next = &compact(entry.not_after.plus(DAY))[..8];
        let id = hex::encode(&crate::pki::digest::sha256(entry.key.as_bytes())[..12]);
        let lines = [
            String::from("BEGIN:VEVENT"),
            format!("UID:{id}@cordon"),
            format!("DTSTAMP:{stamp}"),
            format!("DTSTART;VALUE=DATE:{day}"),
            format!("DTEND;VALUE=DATE:{next}"),
            format!("SUMMARY:{}", escape(&format!("{} ends", entry.title()))),
            format!("DESCRIPTION:{}", escape(&entry.what)),
            String::from("TRANSP:TRANSPARENT"),
        ];
        lines.iter().for_each(|line| fold(&mut out, line));
        for days in [30, 7, 1] {
            let alarm = [
                String::from("BEGIN:VALARM"),
                String::from("ACTION:DISPLAY"),
                format!("TRIGGER:-P{days}D"),
                format!("DESCRIPTION:{}", escape(&format!("{} ends in {days} days", entry.title()))),
                String::from("END:VALARM"),
            ];
            alarm.iter().for_each(|line| fold(&mut out, line));
        }
        out.push_str("END:VEVENT\r\n");
    }
    out.push_str("END:VCALENDAR\r\n");
    out
}

/// `YYYYMMDDTHHMMSSZ`
fn compact(at: Timestamp) -> String {
    at.to_string().replace(['-', ':'], "")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace('\n', "\\n")
}

/// Lines are at most 75 bytes long and go on after a blank (RFC 5545 §3.1).
fn fold(out: &mut String, line: &str) {
    let mut length = 0;
    for c in line.chars().filter(|c| !c.is_control()) {
        if length + c.len_utf8() > 74 {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push(c);
        length += c.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_folded_and_escaped() {
        let name = "com.apple.mgmt.External.x; a, very \u{e9}long name that will not fit on one line of a calendar";
        let what = "Do this, then that.";
        let one = entry(
            String::from("push/1"),
            "push",
            name.to_owned(),
            Timestamp::from_secs(1_795_000_000),
            Renewal::Person,
            what,
        );
        let text = calendar(&[one], Timestamp::from_secs(1_790_000_000));
        assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
        assert!(text.contains("DTSTART;VALUE=DATE:20261118\r\nDTEND;VALUE=DATE:20261119\r\n"), "{text}");
        assert!(text.contains("DESCRIPTION:Do this\\, then that.") && text.matches("BEGIN:VALARM").count() == 3);
        let unfolded = text.replace("\r\n ", "");
        assert!(unfolded.contains("x\\; a\\, very \u{e9}long name that will not fit on one line of a calendar ends"));
        assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.ends_with("END:VCALENDAR\r\n"));
    }
}
