//! The school's people: kept by hand, signing in, erased. Most of it is asked of the door itself, as in [`super::people`].

mod users;
