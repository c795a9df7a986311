//! The school's people: kept by hand, from lists, signing in, erased; their groups; and who of them is managed on which Mac. What needs
//! no device is asked of the door itself, as in [`super::people`].

mod groups;
mod ldap;
mod network;
mod roster;
mod teachers;
mod users;
