//! When a command may go out and when it is given up: two fields by the clock on the school's wall, and how a page shows what they said.

use super::Visit;
use super::form::Form;
use super::parts::{Field, FormSpec, Html, moment_on_the_wall};
use crate::base::time::Timestamp;
use crate::service::Error;
use crate::service::commands::Wish;
use crate::service::timing::{self, Timing, Wall};

const NOT_BEFORE: &str = "not_before";
const EXPIRES_AT: &str = "expires_at";

/// Which clock is meant.
fn clock(v: &Visit<'_>, wall: &Wall) -> String {
    match &wall.name {
        Some(name) => format!("{} {name}.", v.words.schema.by_clock),
        None => v.words.schema.by_utc.to_owned(),
    }
}

/// Both fields, empty for at once and for as long as it takes.
pub fn fields(v: &Visit<'_>) -> Result<[Field; 2], Error> {
    let s = &v.words.schema;
    let clock = clock(v, &timing::wall(v.cx, &v.actor)?);
    let one = |name: &str, label: &str, hint: &str| {
        Field::moment(name, label).hint(&format!("{hint} {clock}")).value(v.typed(name)).wrong(v.wrong(name))
    };
    Ok([one(NOT_BEFORE, s.not_before, s.not_before_hint), one(EXPIRES_AT, s.give_up, s.give_up_hint)])
}

/// The fields, opened when they are wanted.
pub fn folded(v: &Visit<'_>, form: FormSpec) -> Result<FormSpec, Error> {
    let open = [NOT_BEFORE, EXPIRES_AT].into_iter().any(|name| v.typed(name).is_some());
    let form = form.fold(v.words.schema.times, "", open);
    Ok(fields(v)?.into_iter().fold(form, FormSpec::field).unfold())
}

/// What they say.
///
/// # Errors
/// `Invalid` for what is no time.
pub fn read(v: &Visit<'_>, form: &Form) -> Result<Timing, Error> {
    let wall = timing::wall(v.cx, &v.actor)?;
    let one = |name: &'static str| wall.read(name, form.text(name));
    Ok(Timing { not_before: one(NOT_BEFORE)?, expires_at: one(EXPIRES_AT)? })
}

/// The wish at these times.
///
/// # Errors
/// As [`read`].
pub fn at_its_time(v: &Visit<'_>, form: &Form, wish: Wish) -> Result<Wish, Error> {
    let Timing { not_before, expires_at } = read(v, form)?;
    Ok(Wish { not_before, expires_at, ..wish })
}

/// Lines of a list of facts, for those that were said.
pub fn said(v: &Visit<'_>, said: Timing) -> Result<Vec<(&'static str, Html)>, Error> {
    let (wall, s) = (timing::wall(v.cx, &v.actor)?, &v.words.schema);
    let zone = wall.name.as_deref().unwrap_or("UTC");
    let shown = |at: Timestamp| moment_on_the_wall(at, &format!("{} ({zone})", wall.show(at)));
    let lines = [(s.not_before, said.not_before), (s.give_up, said.expires_at)];
    Ok(lines.into_iter().filter_map(|(label, at)| Some((label, shown(at?)))).collect())
}
