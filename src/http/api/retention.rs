//! `/retention`: how long answers, stories and the log of webhooks are kept.

use super::reply::json;
use super::{Call, Response};
use crate::service::Error;
use crate::service::purging::{self, Wish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Retention {
    /// Days that answers of devices are kept.
    pub results_days: i64,
    /// Days that stories of devices, and their finished commands, are kept.
    pub timeline_days: i64,
    /// Days that events and the log of webhooks are kept.
    pub webhook_log_days: i64,
}

fn view(kept: purging::Retention) -> Retention {
    Retention { results_days: kept.results, timeline_days: kept.timeline, webhook_log_days: kept.webhook_log }
}

pub fn show(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &view(purging::show(call.cx, &call.actor)?)))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionChange {
    #[schema(minimum = 1, maximum = 3650)]
    pub results_days: Option<i64>,
    #[schema(minimum = 1, maximum = 3650)]
    pub timeline_days: Option<i64>,
    #[schema(minimum = 1, maximum = 3650)]
    pub webhook_log_days: Option<i64>,
}

pub fn change(call: &Call<'_>) -> Result<Response, Error> {
    let body: RetentionChange = call.body()?;
    let wish = Wish { results: body.results_days, timeline: body.timeline_days, webhook_log: body.webhook_log_days };
    Ok(json(200, &view(purging::change(call.cx, &call.actor, wish)?)))
}
