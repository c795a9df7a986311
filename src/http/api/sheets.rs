//! Sheets for paper, as `look::paper` draws them.
//!
//! Asked for with a reason, and recorded before anything is opened.

use super::{Call, Response};
use crate::base::secret::Secret;
use crate::http::look::paper;
use crate::service::Error;
use crate::service::sheets;
use serde::Deserialize;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SheetWish {
    /// At least 10 characters; kept in the audit.
    #[serde(default)]
    pub reason: String,
    /// One's own, again; from somebody who is logged in by name.
    pub password: Option<String>,
}

pub fn secrets(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let body: SheetWish = call.body()?;
    let password = body.password.map(Secret::new);
    let sheet = sheets::secrets(call.cx, &call.actor, device, &body.reason, password.as_ref())?;
    Ok(paper::secrets(&sheet))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TheftSheetWish {
    /// At least 10 characters; kept in the audit.
    #[serde(default)]
    pub reason: String,
}

pub fn theft(call: &Call<'_>, device: &str) -> Result<Response, Error> {
    let body: TheftSheetWish = call.body()?;
    Ok(paper::theft(&sheets::theft(call.cx, &call.actor, device, &body.reason)?))
}
