//! The school's directory over LDAP: reads people page by page and checks passwords by binding. Implements `service::ports::Directory`;
//! whom it finds and what becomes of them is `service::directories`' to decide.
//!
//! Certificates are checked always: against the public authorities, or against those that were given. Plain `ldap` goes to this
//! machine only; the service sees to that.

use crate::base::limits::{DIRECTORY_TIMEOUT, MAX_DIRECTORY_RECORDS};
use crate::base::secret::Secret;
use crate::service::ports::{Directory, DirectoryFault, DirectoryPlace, DirectoryRecord};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{LdapConn, LdapConnSettings, Scope, SearchEntry, ldap_escape};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Records asked for at once; the limit of many servers is 1,000.
const PAGE: i32 = 500;
/// LDAP result code for a wrong name or password.
const INVALID_CREDENTIALS: u32 = 49;

/// The real directory.
#[derive(Debug, Default)]
pub struct Ldap;

impl Directory for Ldap {
    fn read(&self, place: &DirectoryPlace) -> Result<Vec<DirectoryRecord>, DirectoryFault> {
        let mut connection = open(place)?;
        let wanted = attributes(place);
        let adapters: Vec<Box<dyn Adapter<_, _>>> =
            vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE))];
        let mut search = connection
            .streaming_search_with(adapters, &place.base_dn, Scope::Subtree, &place.filter, wanted)
            .map_err(|e| fault("the search", &e))?;
        let mut records = Vec::new();
        while let Some(entry) = search.next().map_err(|e| fault("the search", &e))? {
            if records.len() == MAX_DIRECTORY_RECORDS {
                return Err(DirectoryFault(format!(
                    "the search finds more than {MAX_DIRECTORY_RECORDS} people; narrow the filter"
                )));
            }
            records.extend(record(place, &SearchEntry::construct(entry)));
        }
        search.result().success().map_err(|e| fault("the search", &e))?;
        let _ = connection.unbind();
        Ok(records)
    }

    fn check(&self, place: &DirectoryPlace, name: &str, password: &Secret<String>) -> Result<bool, DirectoryFault> {
        // A bind without a password is a bind as nobody, and always succeeds.
        if password.expose().is_empty() {
            return Ok(false);
        }
        let mut connection = open(place)?;
        let filter = format!("(&{}({}={}))", bracketed(&place.filter), place.short_name, ldap_escape(name));
        let (found, _) = connection
            .search(&place.base_dn, Scope::Subtree, &filter, vec![place.short_name.clone()])
            .and_then(ldap3::SearchResult::success)
            .map_err(|e| fault("the search", &e))?;
        let _ = connection.unbind();
        let entries: Vec<SearchEntry> =
            found.into_iter().filter(|e| !e.is_ref() && !e.is_intermediate()).map(SearchEntry::construct).collect();
        let [entry] = entries.as_slice() else { return Ok(false) };
        let mut connection = connect(place)?;
        let bound = connection
            .with_timeout(DIRECTORY_TIMEOUT)
            .simple_bind(&entry.dn, password.expose())
            .map_err(|e| fault("the login", &e))?;
        let _ = connection.unbind();
        match bound.rc {
            0 => Ok(true),
            INVALID_CREDENTIALS => Ok(false),
            _ => Err(DirectoryFault(format!("the login: {bound}"))),
        }
    }
}

/// Connected, and bound as the one who asks.
fn open(place: &DirectoryPlace) -> Result<LdapConn, DirectoryFault> {
    let mut connection = connect(place)?;
    if let Some((dn, password)) = &place.bind {
        let bound = connection
            .with_timeout(DIRECTORY_TIMEOUT)
            .simple_bind(dn, password.expose())
            .map_err(|e| fault("the bind", &e))?;
        bound.success().map_err(|e| fault(&format!("the bind as {dn}"), &e))?;
    }
    connection.with_timeout(DIRECTORY_TIMEOUT);
    Ok(connection)
}

fn connect(place: &DirectoryPlace) -> Result<LdapConn, DirectoryFault> {
    let settings = LdapConnSettings::new().set_conn_timeout(DIRECTORY_TIMEOUT).set_config(Arc::new(tls(place)?));
    LdapConn::with_settings(settings, &place.url).map_err(|e| fault(&format!("the connection to {}", place.url), &e))
}

fn tls(place: &DirectoryPlace) -> Result<ClientConfig, DirectoryFault> {
    let mut roots = RootCertStore::empty();
    match &place.ca_pem {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|e| DirectoryFault(format!("the CA file is not PEM: {e}")))?;
                roots.add(certificate).map_err(|e| DirectoryFault(format!("the CA file: {e}")))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| DirectoryFault(e.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn attributes(place: &DirectoryPlace) -> Vec<String> {
    let named = [Some(&place.short_name), place.long_name.as_ref(), place.mail.as_ref()];
    named.into_iter().flatten().chain(place.guids.iter()).cloned().collect()
}

/// What is not readable as a person (no short name) is none.
fn record(place: &DirectoryPlace, entry: &SearchEntry) -> Option<DirectoryRecord> {
    let text = |name: &String| {
        let found = entry.attrs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, values)| values.first()).filter(|value| !value.is_empty()).cloned()
    };
    let bytes = |name: &String| {
        let found = entry.bin_attrs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, values)| values.first()).cloned()
    };
    let guids = place.guids.iter().filter_map(|name| {
        // Active Directory gives 16 bytes, the first three fields little-endian; by chance they may look like text.
        let guid = match text(name) {
            Some(text) if text.len() != 16 => Some(text),
            Some(text) => guid_text(text.as_bytes()),
            None => guid_text(&bytes(name)?),
        };
        Some((name.clone(), guid?))
    });
    Some(DirectoryRecord {
        short_name: text(&place.short_name)?,
        long_name: place.long_name.as_ref().and_then(text),
        mail: place.mail.as_ref().and_then(text),
        guids: guids.collect(),
    })
}

/// `objectGUID` as Macs and people write it.
fn guid_text(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Some(uuid::Uuid::from_bytes_le(bytes).as_hyphenated().to_string().to_uppercase())
}

fn bracketed(filter: &str) -> String {
    if filter.starts_with('(') { filter.to_owned() } else { format!("({filter})") }
}

fn fault(what: &str, error: &ldap3::LdapError) -> DirectoryFault {
    let text: String =
        format!("{what}: {error}").chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    DirectoryFault(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_directory_ids_read_as_on_macs() {
        let bytes = hex::decode("3e2d1c6f1b0a2d4c8e3f112233445566").unwrap();
        assert_eq!(guid_text(&bytes).as_deref(), Some("6F1C2D3E-0A1B-4C2D-8E3F-112233445566"));
        assert_eq!(guid_text(b"short"), None);
    }

    #[test]
    fn a_name_cannot_change_the_question() {
        assert_eq!(ldap_escape("a)(uid=*"), "a\\29\\28uid=\\2a");
        assert_eq!(bracketed("uid=*"), "(uid=*)");
    }
}
