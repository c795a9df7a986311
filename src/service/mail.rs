//! E-mail for people: which server takes it, whom it is for, and which events it tells of. The password is kept sealed and never shown.
//! `mailing` sends; `letters` has the words.

use super::actor::{Actor, Permission};
use super::events::{self, Kind};
use super::ports::{MailPlace, MailSecurity, MailTaken};
use super::{Context, Error, auditing, letters, mailing};
use crate::base::secret::Secret;
use crate::base::texts::{Appliance, Text};
use crate::base::time::Timestamp;
use crate::store::{MailDelivery, MailServerRow};
use serde_json::json;
use std::net::IpAddr;

/// What is told of when nobody chose: what a person must do something about.
const USUAL: [Kind; 6] = [
    Kind::CertificateExpiring,
    Kind::TokenExpiring,
    Kind::PushTopicPaused,
    Kind::DeviceAttention,
    Kind::DeviceInactive,
    Kind::ServerFault,
];
const MAX_RECIPIENTS: usize = 20;
const MAX_CA: usize = 64 * 1024;
const MAX_PASSWORD: usize = 500;
const PASSWORD_PLACE: &str = "mail/1/password";

/// How mail is to be sent.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub host: String,
    /// 465 for TLS, 587 for STARTTLS, 25 on this machine when left out.
    pub port: Option<u16>,
    /// `tls` (when left out), `starttls`, or `plain` to this machine.
    pub security: Option<String>,
    pub username: Option<String>,
    /// Left out, the one held goes on, if server and name stay the same.
    pub password: Option<Secret<String>>,
    pub ca_pem: Option<String>,
    pub from: String,
    pub to: Vec<String>,
    /// Words of [`Kind`]; empty for those that a person must do something about.
    pub kinds: Vec<String>,
    pub enabled: Option<bool>,
}

/// The settings, with how many events wait for the next letter.
#[derive(Debug, Clone)]
pub struct MailView {
    pub row: MailServerRow,
    pub waiting: i64,
}

/// # Errors
/// `Invalid` for what cannot be right, and for a server elsewhere without TLS; `Denied` for anybody but the owner.
pub fn set(cx: &Context, actor: &Actor, wish: &Wish) -> Result<MailView, Error> {
    actor.require(Permission::Administer)?;
    let held = cx.store.read(|db| db.find_mail_server())?;
    let row = checked(cx, wish, held)?;
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        tx.put_mail_server(&row, now)?;
        let detail = json!({ "host": row.host, "port": row.port, "security": row.security, "login": row.username.is_some(),
            "recipients": row.recipients.len(), "kinds": row.kinds, "enabled": row.enabled });
        auditing::record(tx, actor, "mail.set", None, Some(detail), now)
    })?;
    events::reload(cx)?;
    show(cx, actor)
}

/// # Errors
/// `NotFound` when none is set.
pub fn show(cx: &Context, actor: &Actor) -> Result<MailView, Error> {
    actor.require(Permission::Administer)?;
    let (row, waiting) = cx.store.read(|db| Ok::<_, Error>((db.find_mail_server()?, db.count_unmailed()?)))?;
    Ok(MailView { row: row.ok_or_else(missing)?, waiting })
}

/// Forgets the server and the log; nothing is told by e-mail any more.
///
/// # Errors
/// `NotFound` when none is set.
pub fn remove(cx: &Context, actor: &Actor) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    cx.store.write(|tx| {
        if !tx.delete_mail_server()? {
            return Err(missing());
        }
        auditing::record(tx, actor, "mail.remove", None, None, now)
    })?;
    events::reload(cx)
}

/// Sends a trial letter to everybody who is to be told, and waits for the server's word.
///
/// # Errors
/// `NotFound` when none is set; `Busy` with the server's reason when it does not take the letter, or when nothing here may send.
pub fn test(cx: &Context, actor: &Actor) -> Result<(MailTaken, Vec<String>), Error> {
    actor.require(Permission::Administer)?;
    let row = show(cx, actor)?.row;
    let letter = letters::trial(cx, &row)?;
    let sent = mailing::send(cx, &row, &letter);
    let now = cx.now();
    cx.store.write(|tx| -> Result<(), Error> {
        match &sent {
            Ok(taken) => tx.note_mail_sent(None, mailing::refusals(taken).as_deref(), now, now)?,
            Err(error) => drop(tx.note_mail_failed(&error.public.to_string(), now, Timestamp(0), now)?),
        }
        auditing::record(tx, actor, "mail.test", None, Some(json!({ "taken": sent.is_ok() })), now)
    })?;
    Ok((sent?, row.recipients))
}

/// What people were told of, newest first.
///
/// # Errors
/// `Denied` for anybody but the owner.
pub fn log(cx: &Context, actor: &Actor, before: Option<i64>, limit: usize) -> Result<Vec<MailDelivery>, Error> {
    actor.require(Permission::Administer)?;
    Ok(cx.store.read(|db| db.list_mail_deliveries(before, limit))?)
}

/// The server as a sender needs it.
pub(super) fn place(cx: &Context, row: &MailServerRow) -> Result<MailPlace, Error> {
    let login = match (&row.username, &row.sealed_password) {
        (Some(name), Some(sealed)) => {
            let open = cx.open(PASSWORD_PLACE, sealed)?;
            let text = String::from_utf8(open.expose().clone()).map_err(Error::internal)?;
            Some((name.clone(), Secret::new(text)))
        }
        _ => None,
    };
    let security = match row.security.as_str() {
        "tls" => MailSecurity::Tls,
        "starttls" => MailSecurity::StartTls,
        _ => MailSecurity::Plain,
    };
    Ok(MailPlace { host: row.host.clone(), port: row.port, security, login, ca_pem: row.ca_pem.clone() })
}

fn checked(cx: &Context, wish: &Wish, held: Option<MailServerRow>) -> Result<MailServerRow, Error> {
    let security = wish.security.as_deref().unwrap_or("tls");
    let usual_port = match security {
        "tls" => 465,
        "starttls" => 587,
        "plain" => 25,
        _ => return Err(bad("security", "is tls, starttls, or plain for a server on this machine")),
    };
    let host = wish.host.trim();
    if host.is_empty() || host.len() > 253 || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    {
        return Err(bad("host", "is the name of a mail server, like mail.hill.example, without a port"));
    }
    let local = host.eq_ignore_ascii_case("localhost")
        || host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if security == "plain" && !local {
        return Err(bad(
            "security",
            "plain sends everything in the clear and is for a server on this machine only; use tls or starttls",
        ));
    }
    if wish.ca_pem.as_ref().is_some_and(|pem| pem.len() > MAX_CA || !pem.contains("BEGIN CERTIFICATE")) {
        return Err(bad("ca_pem", "must hold certificates in PEM form"));
    }
    let port = wish.port.unwrap_or(usual_port);
    if port == 0 {
        return Err(bad("port", "is a number from 1 to 65535"));
    }
    if !is_address(&wish.from) {
        return Err(bad("from", "is one e-mail address, like cordon@hill.example"));
    }
    if wish.to.is_empty() || wish.to.len() > MAX_RECIPIENTS || !wish.to.iter().all(|one| is_address(one)) {
        return Err(bad("to", "has 1 to 20 e-mail addresses"));
    }
    let mut kinds: Vec<String> = Vec::new();
    for kind in &wish.kinds {
        let known = Kind::find(kind);
        let known = known.ok_or_else(|| Error::invalid(Text::UnknownEventKind { kind: events::bounded(kind) }))?;
        if !kinds.iter().any(|held| held == known.as_str()) {
            kinds.push(known.as_str().to_owned());
        }
    }
    if kinds.is_empty() {
        kinds = USUAL.map(|kind| kind.as_str().to_owned()).to_vec();
    }
    let username = wish.username.as_deref().map(str::trim).filter(|name| !name.is_empty());
    if username.is_some_and(|name| name.len() > 254 || name.chars().any(char::is_control)) {
        return Err(bad("username", "must have at most 254 characters"));
    }
    let before = held.as_ref();
    let same = before.filter(|b| (b.host.as_str(), b.port, b.security.as_str()) == (host, port, security));
    let same = same.filter(|b| b.username.as_deref() == username && b.ca_pem == wish.ca_pem);
    let sealed_password = match (username, &wish.password) {
        (None, None) => None,
        (Some(_), Some(password)) => {
            let text = password.expose();
            if text.is_empty() || text.len() > MAX_PASSWORD || text.contains('\0') {
                return Err(bad("password", "must have 1 to 500 characters"));
            }
            Some(cx.seal(PASSWORD_PLACE, text.as_bytes()))
        }
        // A password that is held goes to the server that it was given for, and to no other.
        (Some(_), None) => Some(
            same.and_then(|b| b.sealed_password.clone())
                .ok_or_else(|| bad("password", "is needed again when server, name or authorities change"))?,
        ),
        (None, Some(_)) => return Err(bad("username", "and its password come together or not at all")),
    };
    Ok(MailServerRow {
        host: host.to_owned(),
        port,
        security: security.to_owned(),
        username: username.map(str::to_owned),
        sealed_password,
        ca_pem: wish.ca_pem.clone(),
        sender: wish.from.clone(),
        recipients: wish.to.clone(),
        kinds,
        enabled: wish.enabled.unwrap_or(true),
        attempts: 0,
        due_at: Timestamp(0),
        last_at: None,
        last_sent_at: before.and_then(|b| b.last_sent_at),
        trouble: None,
    })
}

/// A plain address of letters that every server takes, and that cannot break out of a line.
fn is_address(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else { return false };
    let dotted = |part: &str| !part.is_empty() && part.split('.').all(|label| !label.is_empty());
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&b);
    let in_domain = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    text.len() <= 254
        && name.len() <= 64
        && dotted(name)
        && dotted(domain)
        && name.bytes().all(in_name)
        && domain.bytes().all(in_domain)
}

fn missing() -> Error {
    Error::not_found(Appliance::NoMailServer.into())
}

fn bad(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_may_stand_in_a_line() {
        for good in ["it@hill.example", "a.b+c@mail.hill.example", "root@localhost"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "@",
            "it",
            "it@",
            "@hill.example",
            "a b@x.example",
            "a@b@c",
            "a@b>\r\nRCPT TO:<x@y",
            "Ada <a@b.example>",
            "a@b..c",
            "ü@hill.example",
            "a@[127.0.0.1]",
            "a@b.example,c@d.example",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(!is_address(&format!("{}@hill.example", "x".repeat(65))));
    }
}
