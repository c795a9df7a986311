//! `/reports/security` and `/reports/activity`: how devices stand, and which have gone quiet; and the policy for those.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::service::Error;
use crate::service::activity::{self, Standing};
use crate::service::security::{self, Line, word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct SecurityLine {
    pub id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub platform: String,
    pub last_seen_at: String,
    /// yes, no or unknown, as the five below.
    pub passcode_present: &'static str,
    pub passcode_compliant: &'static str,
    pub encrypted: &'static str,
    /// When the device said so (SecurityInfo).
    pub told_at: Option<String>,
    pub supervised: &'static str,
    /// Whether whoever holds the device can remove its management.
    pub mdm_removable: &'static str,
    /// ProfileList or SecurityInfo.
    pub mdm_removable_source: Option<&'static str>,
    pub mdm_removable_at: Option<String>,
}

/// `format=csv` for a spreadsheet.
pub fn security(call: &Call<'_>) -> Result<Response, Error> {
    let lines = security::report(call.cx, &call.actor)?;
    if call.query("format").as_deref() == Some("csv") {
        return Ok(Response::new(200, "text/csv; charset=utf-8", security::to_csv(&lines)));
    }
    let view = |line: Line| SecurityLine {
        id: line.row.public_id,
        serial: line.row.serial,
        name: line.row.name,
        platform: line.platform,
        last_seen_at: line.row.last_seen_at.to_string(),
        passcode_present: word(line.passcode_present),
        passcode_compliant: word(line.passcode_compliant),
        encrypted: word(line.encrypted),
        told_at: line.told_at.map(|at| at.to_string()),
        supervised: word(line.supervised),
        mdm_removable: word(line.removable),
        mdm_removable_source: line.removable_source,
        mdm_removable_at: line.removable_at.map(|at| at.to_string()),
    };
    Ok(json(200, &Page { items: lines.into_iter().map(view).collect(), next_cursor: None }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Activity {
    pub id: String,
    pub serial: Option<String>,
    pub name: Option<String>,
    /// active, quiet (a push asks once a day) or inactive.
    pub state: &'static str,
    /// On any of its channels.
    pub last_seen_at: String,
    /// When a push last asked.
    pub tested_at: Option<String>,
    pub inactive_since: Option<String>,
    /// What may be the reason.
    pub causes: Vec<String>,
}

pub fn activity(call: &Call<'_>) -> Result<Response, Error> {
    let wanted = call.query("state");
    let fits = |standing: &Standing| wanted.as_deref().is_none_or(|wanted| standing.state.as_str() == wanted);
    let view = |standing: Standing| Activity {
        state: standing.state.as_str(),
        id: standing.row.public_id,
        serial: standing.row.serial,
        name: standing.row.name,
        last_seen_at: standing.row.last_seen_at.to_string(),
        tested_at: standing.row.tested_at.map(|at| at.to_string()),
        inactive_since: standing.row.inactive_since.map(|at| at.to_string()),
        causes: standing.causes,
    };
    let items = activity::list(call.cx, &call.actor)?.into_iter().filter(fits).map(view).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityPolicy {
    /// Days without a word after which a device is inactive.
    pub days: i64,
    /// Inactive devices are put into this group, and taken out when they come back.
    pub group: Option<String>,
    /// Inactive devices are a reason for /healthz to complain.
    pub alert: bool,
}

fn policy(policy: activity::Policy) -> Response {
    json(200, &ActivityPolicy { days: policy.days, group: policy.group, alert: policy.alert })
}

pub fn show_policy(call: &Call<'_>) -> Result<Response, Error> {
    Ok(policy(activity::policy(call.cx, &call.actor)?))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ActivityPolicyChange {
    #[schema(minimum = 1, maximum = 30)]
    pub days: Option<i64>,
    /// Empty for no group.
    pub group: Option<String>,
    pub alert: Option<bool>,
}

pub fn change_policy(call: &Call<'_>) -> Result<Response, Error> {
    let body: ActivityPolicyChange = call.body()?;
    Ok(policy(activity::change(call.cx, &call.actor, body.days, body.group.as_deref(), body.alert)?))
}
