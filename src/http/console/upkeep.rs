//! The way to the pages that look after the server itself.

use super::frame::{Area, Page};
use super::parts::{Table, link, named, section};
use super::{Outcome, Visit};
use crate::service::actor::Permission;

pub const PATH: &str = "/console/upkeep";

pub fn show(v: &Visit<'_>) -> Outcome {
    v.actor.require(Permission::LookAround)?;
    let (w, u) = (v.words, v.words.upkeep());
    let places = [
        ("/console/doctor", u.doctor, u.doctor_what, Permission::Administer),
        ("/console/expiry", u.expiry, u.expiry_what, Permission::LookAround),
        ("/console/backups", u.backups, u.backups_what, Permission::Administer),
        ("/console/security", u.security, u.security_what, Permission::LookAround),
        ("/console/quiet", u.quiet, u.quiet_what, Permission::LookAround),
        ("/console/mail", u.mail, u.mail_what, Permission::Administer),
        ("/console/webhooks", w.nav_webhooks, u.webhooks_what, Permission::Administer),
        ("/console/settings", u.retention, u.retention_what, Permission::Administer),
        ("/console/audit", w.nav_audit, u.audit_what, Permission::Audit),
        ("/console/support", u.support, u.support_what, Permission::Administer),
    ];
    let rows =
        places.iter().filter(|place| v.may(place.3)).map(|(href, name, what, _)| vec![named(link(href, name), what)]);
    let table = Table::new(u.nav).columns([w.what]).rows(rows);
    Ok(Page::new(Area::Upkeep, u.nav).lead(u.lead).with(section(u.nav, [table.html()])).into())
}
