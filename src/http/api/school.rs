//! The school's own things: set-up, enrolment profiles, push certificates, tokens, audit, health.

use super::reply::json;
use super::views::{self, Page};
use super::{Call, Door, Response};
use crate::base::secret::Secret;
use crate::base::texts::Text;
use crate::service::actor::Permission;
use crate::service::auditing::export::{self, Format};
use crate::service::push_signing::Vendor;
use crate::service::school::{self, School};
use crate::service::{
    Context, Error, auditing, first_steps, people, push_certificates, push_signing, recovery, tokens,
};
use crate::store::AuditFilter;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    pub organization: Option<String>,
    /// The name that devices know; an enrolled device never learns another.
    pub hostname: Option<String>,
    /// The first owner; nothing changes when that name is there already.
    pub admin: Option<FirstAdmin>,
    /// Make a recovery code if there is none yet. Only on the control socket.
    #[serde(default)]
    pub recovery_code: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstAdmin {
    pub name: String,
    pub password: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SetUpState {
    pub organization: Option<String>,
    pub hostname: Option<String>,
    /// The running server goes by another host name until it is started again.
    pub restart_needed: bool,
    pub recovery_code_made_at: Option<String>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_code: Option<String>,
    /// Whether this request made the first owner.
    pub admin_created: bool,
}

/// A second time with the same words changes nothing.
pub fn set_up(call: &Call<'_>) -> Result<Response, Error> {
    let body: SetUp = call.body()?;
    call.actor.require(Permission::Administer)?;
    let new_admin = match body.admin {
        Some(admin) if !people::exists(call.cx, &admin.name)? => Some(admin),
        _ => None,
    };
    school::set_up(call.cx, &call.actor, &School { organization: body.organization, hostname: body.hostname })?;
    if let Some(FirstAdmin { name, password }) = &new_admin {
        people::create(call.cx, &call.actor, name, "owner", &Secret::new(password.clone()))?;
    }
    let wanted = body.recovery_code && recovery::find_made_at(call.cx)?.is_none();
    let code = if wanted { Some(recovery::make(call.cx, &call.actor, None)?) } else { None };
    let mut state = setup_state(call)?;
    state.recovery_code = code.map(|code| code.expose().clone());
    state.admin_created = new_admin.is_some();
    Ok(json(200, &state))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SetUpLink {
    /// Opens once, within a day; the browser that opened it may take another day.
    pub url: String,
}

pub fn make_setup_link(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(201, &SetUpLink { url: first_steps::make_link(call.cx, &call.actor)? }))
}

pub fn show_setup(call: &Call<'_>) -> Result<Response, Error> {
    call.actor.require(Permission::Administer)?;
    Ok(json(200, &setup_state(call)?))
}

fn setup_state(call: &Call<'_>) -> Result<SetUpState, Error> {
    let now = school::find(call.cx)?;
    Ok(SetUpState {
        // The listeners' certificate and addresses are made at start.
        restart_needed: first_steps::steps(call.cx)?.restart_needed,
        organization: now.organization,
        hostname: now.hostname,
        recovery_code_made_at: recovery::find_made_at(call.cx)?.map(|at| at.to_string()),
        recovery_code: None,
        admin_created: false,
    })
}

pub fn list_push_certificates(call: &Call<'_>) -> Result<Response, Error> {
    let rows = push_certificates::list(call.cx, &call.actor)?;
    let items = rows.into_iter().map(|row| views::push_certificate(row, Vec::new())).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushImport {
    /// The certificate and its chain; may hold the key too.
    pub certificate_pem: String,
    pub key_pem: Option<String>,
    /// Take a second topic on purpose.
    #[serde(default)]
    pub additional: bool,
    /// The Apple Account at identity.apple.com that made it, to be remembered for the renewal.
    pub apple_account: Option<String>,
}

pub fn import_push_certificate(call: &Call<'_>) -> Result<Response, Error> {
    let body: PushImport = call.body()?;
    let imported = push_certificates::import(
        call.cx,
        &call.actor,
        &body.certificate_pem,
        body.key_pem.as_deref(),
        body.additional,
        body.apple_account.as_deref(),
    )?;
    if let Some(sender) = call.sender {
        push_certificates::load(call.cx, sender)?;
        call.cx.ring_pusher();
    }
    let warnings = imported.warnings.iter().map(|w| (*w).to_owned()).collect();
    Ok(json(201, &views::push_certificate(imported.certificate, warnings)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushRequest {
    pub email: Option<String>,
    /// Sign it here with a vendor certificate of your own.
    pub vendor: Option<PushVendor>,
    /// Have it signed by mdmcert.download; the answer comes to `email`.
    pub mdmcert: Option<PushMdmcert>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushVendor {
    /// Apple's MDM vendor certificate, the WWDR intermediate and Apple's root.
    pub chain_pem: String,
    /// Used once, not kept.
    pub key_pem: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushMdmcert {
    /// Your own key for the service.
    pub api_key: String,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct PushRequestMade {
    pub csr_pem: String,
    /// What to upload at identity.apple.com/pushcert, once the request is signed.
    pub upload: Option<String>,
    /// The signed request comes by mail to this address.
    pub mailed_to: Option<String>,
    pub warnings: Vec<String>,
}

pub fn request_push_certificate(call: &Call<'_>) -> Result<Response, Error> {
    let body: PushRequest = call.body()?;
    let (cx, actor, email) = (call.cx, &call.actor, body.email.as_deref());
    let made = match (body.vendor, body.mdmcert) {
        (None, None) => {
            PushRequestMade { csr_pem: push_certificates::request(cx, actor, email)?, ..PushRequestMade::default() }
        }
        (Some(vendor), None) => {
            let vendor = Vendor { chain_pem: vendor.chain_pem, key_pem: Secret::new(vendor.key_pem) };
            signed(push_signing::sign(cx, actor, email, &vendor)?)
        }
        (None, Some(mdmcert)) => {
            let (to, key) = (email.unwrap_or_default(), Secret::new(mdmcert.api_key));
            let csr_pem = push_signing::send(cx, actor, call.signing, to, &key)?;
            PushRequestMade { csr_pem, mailed_to: body.email, ..PushRequestMade::default() }
        }
        (Some(_), Some(_)) => {
            let (key, why) =
                (String::from("vendor"), String::from("a request is signed once: here or at mdmcert.download"));
            return Err(Error::invalid(Text::BadArgument { key, why }));
        }
    };
    Ok(json(201, &made))
}

fn signed(signed: push_signing::Signed) -> PushRequestMade {
    let warnings = signed.warnings.iter().map(|w| (*w).to_owned()).collect();
    PushRequestMade { csr_pem: signed.csr_pem, upload: Some(signed.upload), mailed_to: None, warnings }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushMailed {
    /// The text of the attachment that mdmcert.download sent.
    pub attachment: String,
}

pub fn open_signed_push_request(call: &Call<'_>) -> Result<Response, Error> {
    let body: PushMailed = call.body()?;
    Ok(json(200, &signed(push_signing::open(call.cx, &call.actor, &body.attachment)?)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub name: String,
    /// owner, admin, helpdesk, teacher or auditor.
    pub role: String,
    /// Like `12h`, `90d`, `2w`; never by default.
    pub expires_in: Option<String>,
}

pub fn create_token(call: &Call<'_>) -> Result<Response, Error> {
    let body: NewToken = call.body()?;
    let (row, secret) = tokens::create(call.cx, &call.actor, &body.name, &body.role, body.expires_in.as_deref())?;
    Ok(json(201, &views::token(row, Some(secret.expose().clone()))))
}

pub fn list_tokens(call: &Call<'_>) -> Result<Response, Error> {
    let items = tokens::list(call.cx, &call.actor)?.into_iter().map(|row| views::token(row, None)).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn revoke_token(call: &Call<'_>, id: &str) -> Result<Response, Error> {
    tokens::revoke(call.cx, &call.actor, id)?;
    Ok(Response::empty(204))
}

pub fn list_audit(call: &Call<'_>) -> Result<Response, Error> {
    let limit = call.limit()?;
    let mut rows = auditing::list(call.cx, &call.actor, &audit_filter(call, limit + 1)?)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    Ok(json(200, &Page { items: rows.into_iter().map(views::audit).collect(), next_cursor }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditVerdict {
    pub rows: i64,
    /// The first row that does not fit the one before it.
    pub broken_at: Option<i64>,
    /// Rows are missing at the end: the last that there must be.
    pub cut_before: Option<i64>,
    /// Hash of the last row, hex; an export that ends there says the same.
    pub head: String,
}

pub fn verify_audit(call: &Call<'_>) -> Result<Response, Error> {
    let verdict = auditing::verify(call.cx, &call.actor)?;
    let head = hex::encode(verdict.head);
    let (broken_at, cut_before) = (verdict.broken_at, verdict.cut_before);
    Ok(json(200, &AuditVerdict { rows: verdict.rows, broken_at, cut_before, head }))
}

/// Rows of one export; what is more goes on with `cursor`.
const EXPORTED: usize = 20_000;

/// `format=jsonl` or `csv`. The header `x-cordon-next-cursor` is there when there is more.
pub fn export_audit(call: &Call<'_>) -> Result<Response, Error> {
    let (format, kind) = match call.query("format").as_deref() {
        None | Some("jsonl") => (Format::JsonLines, "application/jsonl"),
        Some("csv") => (Format::Csv, "text/csv; charset=utf-8"),
        Some(_) => return Err(bad_argument("format", "must be jsonl or csv")),
    };
    let filter = audit_filter(call, EXPORTED + 1)?;
    let mut rows = auditing::list(call.cx, &call.actor, &filter)?;
    let more = rows.len() > EXPORTED;
    rows.truncate(EXPORTED);
    let mut text = if filter.after == 0 { export::heading(format) } else { String::new() };
    rows.iter().for_each(|row| text.push_str(&export::line(format, &export::to_json(row))));
    let mut response = Response::new(200, kind, text);
    if let Some(last) = rows.last().filter(|_| more) {
        response.headers.push(("x-cordon-next-cursor", last.seq.to_string()));
    }
    Ok(response)
}

fn audit_filter(call: &Call<'_>, limit: usize) -> Result<AuditFilter, Error> {
    let instant = |key: &str| {
        let bad = || bad_argument(key, "is not a date like 2026-09-01T08:00:00Z");
        call.query(key).map(|text| tokens::parse_instant(&text).ok_or_else(bad)).transpose()
    };
    Ok(AuditFilter {
        after: call.cursor()?.unwrap_or(0),
        actor: call.query("actor"),
        verb: call.query("verb"),
        device: call.query("device"),
        since: instant("since")?,
        until: instant("until")?,
        done: match call.query("result").as_deref() {
            None => None,
            Some("done") => Some(true),
            Some("refused") => Some(false),
            Some(_) => return Err(bad_argument("result", "must be done or refused")),
        },
        limit,
    })
}

fn bad_argument(key: &str, why: &str) -> Error {
    Error::invalid(Text::BadArgument { key: key.to_owned(), why: why.to_owned() })
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub ok: bool,
    pub version: &'static str,
    /// What is not all right, in words.
    pub reasons: Vec<String>,
    pub devices: Option<DeviceCounts>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceCounts {
    pub started: i64,
    pub active: i64,
    pub gone: i64,
}

/// The local socket hears everything; the outside only whether it is all right.
pub fn health(cx: &Context, door: Door) -> Response {
    let examined = examine(cx);
    let ok = examined.as_ref().is_ok_and(|health| health.ok);
    let status = if ok { 200 } else { 503 };
    match examined {
        Ok(health) if door == Door::Control => json(status, &health),
        Err(e) if door == Door::Control => {
            let reasons = vec![e.source.map_or_else(|| e.public.to_string(), |s| s.to_string())];
            json(status, &Health { ok, version: env!("CARGO_PKG_VERSION"), reasons, devices: None })
        }
        _ => Response::text(status, if ok { "ok\n" } else { "not ok\n" }),
    }
}

fn examine(cx: &Context) -> Result<Health, Error> {
    let found = crate::service::health::examine(cx)?;
    let (started, active, gone) = found.devices;
    let devices = Some(DeviceCounts { started, active, gone });
    Ok(Health { ok: found.reasons.is_empty(), version: env!("CARGO_PKG_VERSION"), reasons: found.reasons, devices })
}
