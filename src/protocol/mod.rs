//! Apple's language and its pure rules: messages, decisions and tables without IO, clock or randomness.
//!
//! Deliberately not here: who sends, stores or schedules anything.

pub mod push;
