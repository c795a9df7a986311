//! `/key`: how the school's secrets are sealed, and new keys in the place of old ones.

use super::reply::json;
use super::{Call, Response};
use crate::base::secret::Secret;
use crate::service::Error;
use crate::service::rotating::{self, Code};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct KeyState {
    /// Id of the data key that seals.
    pub key_id: u32,
    /// Whether older keys are still needed: the server is sealing everything anew.
    pub rotating: bool,
    /// Secrets that an older key sealed, and how many there are altogether.
    pub left: i64,
    pub all: i64,
    pub recovery_code_made_at: Option<String>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_code: Option<String>,
}

fn state(call: &Call<'_>, made: Option<Secret<String>>) -> Result<KeyState, Error> {
    let standing = rotating::show(call.cx, &call.actor)?;
    Ok(KeyState {
        key_id: standing.key_id,
        rotating: standing.older > 0,
        left: standing.left,
        all: standing.all,
        recovery_code_made_at: standing.recovery_code_made_at.map(|at| at.to_string()),
        recovery_code: made.map(|code| code.expose().clone()),
    })
}

pub fn show(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(200, &state(call, None)?))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeyRotation {
    /// The code in force, which goes on opening copies.
    pub recovery_code: Option<String>,
    /// Make a new code instead; it is in the answer and nowhere else.
    pub new_recovery_code: bool,
    /// The caller's own; not needed on the control socket.
    pub current_password: Option<String>,
}

pub fn rotate(call: &Call<'_>) -> Result<Response, Error> {
    let body: KeyRotation = call.body()?;
    let code = match (body.recovery_code.map(Secret::new), body.new_recovery_code) {
        (_, true) => Code::New,
        (Some(code), false) => Code::Keep(code),
        (None, false) => Code::None,
    };
    let password = body.current_password.map(Secret::new);
    let made = rotating::begin(call.cx, &call.actor, password.as_ref().map(|p| p.expose().as_str()), &code)?;
    Ok(json(202, &state(call, made)?))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachineKeyReplacement {
    /// The caller's own; not needed on the control socket.
    pub current_password: Option<String>,
}

pub fn replace_machine_key(call: &Call<'_>) -> Result<Response, Error> {
    let body: MachineKeyReplacement = call.body()?;
    let password = body.current_password.map(Secret::new);
    rotating::replace_machine_key(call.cx, &call.actor, password.as_ref().map(|p| p.expose().as_str()))?;
    Ok(Response::empty(204))
}
