//! Stories that a school lives through, told to the whole server from outside: sockets, certificates, pushes, the API.

mod commands;
mod enrolling;
mod identity;
mod office;
mod secrets;
