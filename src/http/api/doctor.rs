//! `/doctor`: everything looked at, and a simulated device enrolled end to end.

use super::reply::json;
use super::{Call, Response};
use crate::service::Error;
use crate::service::doctor::{self, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Examination {
    /// Nothing is bad; there may be warnings.
    pub ok: bool,
    pub findings: Vec<Finding>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// database, disk, backup, clock, permissions, names, ports, tls, certificates, signing, stand-ins, proxy, push or enrolment.
    pub phase: &'static str,
    /// good, warning, bad or skipped.
    pub verdict: &'static str,
    pub words: String,
    /// What to do.
    pub next: Option<String>,
}

pub fn examine(call: &Call<'_>) -> Result<Response, Error> {
    let found = doctor::examine(call.cx, &call.actor)?;
    let ok = found.iter().all(|finding| finding.verdict != Verdict::Bad);
    let view = |finding: doctor::Finding| Finding {
        phase: finding.phase,
        verdict: finding.verdict.as_str(),
        words: finding.words,
        next: finding.next,
    };
    Ok(json(200, &Examination { ok, findings: found.into_iter().map(view).collect() }))
}
