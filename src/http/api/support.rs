//! `/support-bundle`: what somebody who helps needs to know, without a name in it.

use super::reply::json;
use super::{Call, Response};
use crate::service::{Error, support};

pub fn bundle(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &support::bundle(call.cx, &call.actor)?))
}
