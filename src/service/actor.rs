//! Who does something. Every verb that changes or shows anything takes an [`Actor`]; roles are checked here and nowhere else.

use super::error::Error;
use crate::base::texts::Text;
pub use crate::store::Role;

/// Who asked. Written into the audit as [`Actor::name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A script with an API token.
    Token { name: String, role: Role, from: String },
    /// Somebody on this machine who may use the control socket: owner, without a password. `user` is what the system says of the
    /// caller's process, never what the caller says.
    LocalShell { user: String },
    /// Somebody who logged in by name; `session` is its number.
    Admin { name: String, role: Role, session: i64, from: String },
    /// The server's own upkeep.
    Job(&'static str),
    /// Somebody at the enrolment page, or a device that came by itself: may be given one enrolment profile. `name` says by what right
    /// (`invitation:…`, `person:…`, `device:…`), `from` where from.
    Visitor { name: String, from: String },
}

/// What a verb asks of its actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Devices, their groups, commands and their results without secrets; a teacher those of own classes.
    Look,
    /// Ask a device something, call it, mark it lost; a teacher those of own classes.
    Ask,
    /// Give or cancel commands that take nothing away.
    Command,
    /// Commands that erase, unlock or remove.
    Destroy,
    /// What belongs to the whole school and to no device: people, push certificates, what is in custody.
    LookAround,
    /// The school's people and groups.
    People,
    /// Enrolment profiles.
    Enroll,
    /// Invitations to enrol; a teacher those of own classes.
    Invite,
    /// The school's own things: push certificate, settings, tokens.
    Administer,
    /// The audit.
    Audit,
    /// Secrets in custody, and where a lost device is.
    Reveal,
}

/// Which devices an actor may see or act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    All,
    /// Those in the classes that the admin of this name teaches.
    Classes(&'a str),
    Nothing,
}

impl Permission {
    /// The least role that has it, for the words of a refusal.
    fn needed(self) -> &'static str {
        match self {
            Permission::Look | Permission::Invite => "teacher",
            Permission::LookAround => "auditor",
            // A teacher may ask too, but only where they teach.
            Permission::Ask | Permission::Command => "helpdesk",
            Permission::Destroy | Permission::Enroll | Permission::People => "admin",
            Permission::Administer => "owner",
            Permission::Audit => "auditor",
            Permission::Reveal => "admin",
        }
    }
}

impl Actor {
    /// `token:NAME`, `local:USER`, `admin:NAME`, `job:NAME`.
    pub fn name(&self) -> String {
        match self {
            Actor::Token { name, .. } => format!("token:{name}"),
            Actor::LocalShell { user } => format!("local:{user}"),
            Actor::Admin { name, .. } => format!("admin:{name}"),
            Actor::Job(name) => format!("job:{name}"),
            Actor::Visitor { name, .. } => name.clone(),
        }
    }

    /// Where the request came from, for the audit: an address, `local` (control socket or command line), `server`.
    pub fn origin(&self) -> &str {
        match self {
            Actor::Token { from, .. } | Actor::Admin { from, .. } | Actor::Visitor { from, .. } => from,
            Actor::LocalShell { .. } => "local",
            Actor::Job(_) => "server",
        }
    }

    pub(super) fn role(&self) -> Role {
        match self {
            Actor::Token { role, .. } | Actor::Admin { role, .. } => *role,
            Actor::LocalShell { .. } | Actor::Job(_) => Role::Owner,
            Actor::Visitor { .. } => Role::Teacher,
        }
    }

    /// A teacher has their own classes; a token of that role is nobody's, and has none.
    pub fn scope(&self) -> Scope<'_> {
        match self {
            Actor::Admin { name, role: Role::Teacher, .. } => Scope::Classes(name),
            Actor::Token { role: Role::Teacher, .. } => Scope::Nothing,
            _ => Scope::All,
        }
    }

    /// # Errors
    /// `Denied`, naming the role that would do.
    pub fn require(&self, permission: Permission) -> Result<(), Error> {
        if let Actor::Visitor { .. } = self {
            // Whoever let the visitor in asked for the one thing that they are there for.
            let allowed = permission == Permission::Enroll;
            return if allowed {
                Ok(())
            } else {
                Err(Error::denied(Text::RoleMissing { needed: permission.needed() }))
            };
        }
        // Which devices, is [`Actor::scope`]'s question.
        let allowed = match permission {
            Permission::Look => true,
            Permission::LookAround => self.role() != Role::Teacher,
            Permission::Ask => self.role() != Role::Auditor,
            Permission::Command => matches!(self.role(), Role::Owner | Role::Admin | Role::Helpdesk),
            Permission::Invite => matches!(self.role(), Role::Owner | Role::Admin | Role::Teacher),
            Permission::Destroy | Permission::Enroll | Permission::People => {
                matches!(self.role(), Role::Owner | Role::Admin)
            }
            Permission::Administer => self.role() == Role::Owner,
            Permission::Audit => matches!(self.role(), Role::Owner | Role::Admin | Role::Auditor),
            Permission::Reveal => matches!(self.role(), Role::Owner | Role::Admin),
        };
        if allowed { Ok(()) } else { Err(Error::denied(Text::RoleMissing { needed: permission.needed() })) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_given_a_profile_and_nothing_else() {
        use Permission::{Administer, Ask, Audit, Command, Destroy, Enroll, Invite, Look, Reveal};
        let visitor = Actor::Visitor { name: String::from("invitation:i-1"), from: String::new() };
        for permission in [Look, Ask, Command, Destroy, Enroll, Invite, Administer, Audit, Reveal] {
            assert_eq!(visitor.require(permission).is_ok(), permission == Enroll, "{permission:?}");
        }
    }

    #[test]
    fn the_role_table() {
        use Permission::{Administer, Ask, Audit, Command, Destroy, Enroll, Invite, Look, LookAround, People, Reveal};
        let all = [Look, LookAround, People, Ask, Command, Destroy, Enroll, Invite, Administer, Audit, Reveal];
        let table = [
            (Role::Owner, &all[..]),
            (Role::Admin, &[Look, LookAround, People, Ask, Command, Destroy, Enroll, Invite, Audit, Reveal][..]),
            (Role::Helpdesk, &[Look, LookAround, Ask, Command][..]),
            (Role::Teacher, &[Look, Ask, Invite][..]),
            (Role::Auditor, &[Look, LookAround, Audit][..]),
        ];
        for (role, allowed) in table {
            let actor = Actor::Token { name: String::from("t"), role, from: String::new() };
            for permission in all {
                assert_eq!(actor.require(permission).is_ok(), allowed.contains(&permission), "{role:?} {permission:?}");
            }
        }
    }
}
