//! `/backup`: complete copies of the database in `backup/`: listed, made now, downloaded.

use super::reply::json;
use super::views::Page;
use super::{Call, Response};
use crate::service::{Error, backing_up};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Backup {
    /// `cordon-YYYYMMDDTHHMMSSZ.db`
    pub name: String,
    /// Where it lies on the server's machine.
    pub path: String,
    pub bytes: u64,
    pub taken_at: String,
}

fn view(backup: backing_up::Backup) -> Backup {
    Backup {
        name: backup.name,
        path: backup.path.display().to_string(),
        bytes: backup.bytes,
        taken_at: backup.taken_at.to_string(),
    }
}

pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let items = backing_up::list(call.cx, &call.actor)?.into_iter().map(view).collect();
    Ok(json(200, &Page { items, next_cursor: None }))
}

pub fn take(call: &Call<'_>) -> Result<Response, Error> {
    Ok(json(201, &view(backing_up::take(call.cx, &call.actor)?)))
}

pub fn download(call: &Call<'_>, name: &str) -> Result<Response, Error> {
    let bytes = backing_up::download(call.cx, &call.actor, name)?;
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(Response::new(200, "application/vnd.sqlite3", bytes).with_header("content-disposition", disposition))
}
