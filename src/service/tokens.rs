//! API tokens: made once, shown once, kept as a hash.

use super::actor::{Actor, Permission};
use super::{Context, Error, auditing};
use crate::base::ids::short_code;
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::base::time::{DAY, HOUR, Timestamp};
use crate::pki::digest::sha256;
use crate::store::{Role, TokenRow};
use base64::Engine;
use serde_json::json;

/// Every token of ours begins so; secret scanners and people recognise it.
const PREFIX: &str = "cordon_";

/// Makes a token; its text is in the answer and nowhere else. `expires_in` like `12h`, `90d`, `2w`; `None` never.
///
/// # Errors
/// `Invalid` for a role or span that is none; `Denied` for anybody but the owner.
pub fn create(
    cx: &Context,
    actor: &Actor,
    name: &str,
    role: &str,
    expires_in: Option<&str>,
) -> Result<(TokenRow, Secret<String>), Error> {
    actor.require(Permission::Administer)?;
    let role = Role::find(role).ok_or_else(|| Error::invalid(Text::BadRole { role: role.to_owned() }))?;
    if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return Err(Error::invalid(Text::BadArgument {
            key: String::from("name"),
            why: String::from("must have 1 to 100 characters"),
        }));
    }
    let now = cx.now();
    let expires_at = expires_in.map(parse_span).transpose()?.map(|span| now.plus(span));
    let random = Secret::new(cx.random_bytes::<32>());
    let text = Secret::new(format!("{PREFIX}{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(random.expose())));
    let token = TokenRow {
        id: format!("t-{}", short_code(&cx.random_bytes::<8>())),
        name: name.to_owned(),
        role,
        created_by: actor.name(),
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let hash = sha256(text.expose().as_bytes());
    cx.store.write(|tx| {
        tx.insert_token(&token, &hash)?;
        let detail =
            json!({ "name": token.name, "role": role.as_str(), "expires_at": expires_at.map(|t| t.to_string()) });
        auditing::record(tx, actor, "token.create", Some(&token.id), Some(detail), now)
    })?;
    Ok((token, text))
}

pub fn list(cx: &Context, actor: &Actor) -> Result<Vec<TokenRow>, Error> {
    actor.require(Permission::Administer)?;
    cx.store.read(|db| Ok(db.list_tokens()?))
}

/// # Errors
/// `NotFound` when no such token is in force.
pub fn revoke(cx: &Context, actor: &Actor, id: &str) -> Result<(), Error> {
    actor.require(Permission::Administer)?;
    let now = cx.now();
    cx.store.write(|tx| {
        if !tx.revoke_token(id, now)? {
            return Err(Error::not_found(Text::NoSuchToken { id: id.to_owned() }));
        }
        auditing::record(tx, actor, "token.revoke", Some(id), None, now)
    })
}

/// Who a bearer token stands for; `from` goes into the audit. The look-up is by SHA-256, so its time tells nothing about the token.
///
/// # Errors
/// `Denied` for an unknown, expired or revoked token, without saying which.
pub fn authenticate(cx: &Context, text: &str, from: &str) -> Result<Actor, Error> {
    let now = cx.now();
    let found = cx.store.read(|db| db.find_token_by_hash(&sha256(text.as_bytes())))?;
    let in_force = found.filter(|t| t.revoked_at.is_none() && t.expires_at.is_none_or(|at| at > now));
    let token = in_force.ok_or_else(|| Error::denied(Text::LoginNeeded))?;
    cx.note_token_used(&token.id, now);
    Ok(Actor::Token { name: token.name, role: token.role, from: from.to_owned() })
}

/// `90d`, `12h`, `2w` in milliseconds.
pub(super) fn parse_span(text: &str) -> Result<i64, Error> {
    let bad = || Error::invalid(Text::BadDuration { text: text.to_owned() });
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let number: i64 = number.parse().map_err(|_| bad())?;
    let unit = match unit {
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return Err(bad()),
    };
    if (1..=10_000).contains(&number) { Ok(number * unit) } else { Err(bad()) }
}

/// Parses an RFC 3339 instant of the API.
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(parse_span("90d").unwrap(), 90 * DAY);
        assert_eq!(parse_span("2w").unwrap(), 14 * DAY);
        for bad in ["", "d", "-1d", "0h", "5m", "99999d", "9é"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
