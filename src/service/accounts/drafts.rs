//! What is in an account's profile, and its next version: settings checked against Apple's schema, everything but the credential. Called by the
//! verbs of `accounts`.

use super::{AccountView, Said, bad};
use crate::base::texts::Text;
use crate::base::time::Timestamp;
use crate::pki::digest::sha256;
use crate::plist::{Dictionary, parse_dict};
use crate::protocol::catalogue::{self, Certainty, Finding, Problem};
use crate::protocol::profile::variables::{cut, variables};
use crate::protocol::profile::{AccountKind, Cover, account_profile, find_secret, payload_types};
use crate::service::account_credentials::{self as credentials, New};
use crate::service::actor::Actor;
use crate::service::{Context, Error, library, school};
use crate::store::{AccountRow, Credential, ProfileVersionRow, Tx};

/// Longest settings of one account, bytes of JSON.
const MAX_SETTINGS: usize = 64 * 1024;

/// Settings as typed keys, without a secret in them.
pub(super) fn checked(kind: AccountKind, settings: &serde_json::Value) -> Result<Dictionary, Error> {
    if settings.to_string().len() > MAX_SETTINGS {
        return Err(bad("settings", format!("are at most {MAX_SETTINGS} bytes")));
    }
    let keys =
        catalogue::payload_from_json(kind.payload_type(), settings).map_err(|e| bad("settings", e.to_string()))?;
    if let Some(key) = find_secret(&keys) {
        return Err(Error::invalid(Said::SecretInSettings { key }.into()));
    }
    let own = |f: &&Finding| !f.path.starts_with("Payload");
    let sure = |f: &&Finding| f.certainty() == Certainty::Wrong || f.problem == Problem::UnknownKey;
    match catalogue::check_payload(kind.payload_type(), &keys).unwrap_or_default().iter().filter(own).find(sure) {
        Some(finding) => Err(bad("settings", finding.to_string())),
        None => Ok(keys),
    }
}

/// The version of a profile that an account is to have: everything but the credential.
pub(super) struct Draft {
    pub(super) kind: AccountKind,
    name: String,
    body: Vec<u8>,
    variables: Vec<String>,
    types: Vec<String>,
}

pub(super) fn draft(
    cx: &Context,
    kind: AccountKind,
    credential: Credential,
    identifier: &str,
    name: &str,
    keys: &Dictionary,
) -> Result<Draft, Error> {
    let organization = school::organization(cx)?;
    let body = account_profile(&Cover { identifier, name, organization: Some(&organization) }, kind, keys);
    let whole = parse_dict(&body).map_err(Error::internal)?.into_dictionary();
    let used = variables(&whole).into_iter().collect::<Vec<_>>();
    if let Some(odd) = used.iter().find(|name| cut(name).is_none()) {
        return Err(Error::invalid(Text::NoVariable { name: odd.clone() }));
    }
    Ok(Draft {
        kind,
        name: name.to_owned(),
        body,
        variables: used,
        types: payload_types(kind, credential == Credential::Certificate),
    })
}

impl Draft {
    pub(super) fn put(
        &self,
        cx: &Context,
        tx: &Tx<'_>,
        profile: i64,
        version: i64,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), Error> {
        let row = ProfileVersionRow {
            version,
            sealed_body: cx.seal(&library::place(profile, version), &self.body),
            body_hash: sha256(&self.body),
            bytes: self.body.len() as i64,
            // Signed when it is sent.
            signer: None,
            payload_types: serde_json::Value::from(self.types.clone()).to_string(),
            variables: self.variables.clone(),
            signed_by: None,
            created_by: actor.name(),
            created_at: now,
        };
        Ok(tx.insert_profile_version(profile, &row)?)
    }
}

/// The next version of an account's profile, with a new credential or the one that is still on its way. A draft is made outside of the
/// transaction, from what was `seen`: if that is not so any more, somebody else's change would be undone by it.
#[allow(clippy::too_many_arguments, reason = "one call of one fact each; a struct would only rename them")]
pub(super) fn advance(
    cx: &Context,
    tx: &Tx<'_>,
    row: &AccountRow,
    seen: &AccountView,
    draft: &Draft,
    new: Option<&New>,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), Error> {
    let missing = || Error::internal("an account without its profile");
    let profile = tx.find_profile_by_row(row.profile)?.ok_or_else(missing)?;
    if profile.version != seen.profile.version {
        return Err(Error::conflict(Said::AccountChanged { account: row.public_id.clone() }.into()));
    }
    draft.put(cx, tx, profile.id, profile.version + 1, actor, now)?;
    tx.advance_profile(profile.id, &draft.name, profile.version + 1)?;
    if let Some(new) = new {
        if matches!(new, New::Password(_)) {
            tx.put_account_by_password(row.id)?;
        }
        credentials::put(cx, tx, row.id, new, now)?;
    }
    Ok(())
}
