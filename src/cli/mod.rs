//! The command line. One file per subcommand: what was said (arguments) → what it means (plan) → one request to the API → said once.
//!
//! Called by `main` and by nobody else. Verbs reach the API through [`reach`], over the control socket of the running server or on
//! the file itself; `serve` and `demo` are the two that build the server. Deliberately not here: rules about devices or rights.

mod account;
pub mod args;
mod audit;
mod authorities;
mod command;
pub mod config;
mod demo;
mod device;
mod enroll;
pub mod failure;
mod fields;
mod files;
mod generated;
mod inventory;
mod leaving;
mod library;
pub mod log;
mod moment;
mod nearest;
mod notify;
mod ownership;
mod push;
mod push_cert;
mod reach;
mod serve;
mod setup;
mod setup_link;
mod status;
mod support;
mod table;
mod tls;
mod token;
mod voice;
mod webhook;

mod invitations;

mod admin;
mod asking;
mod recovery_code;
mod report;
mod restore;

mod backup;
mod doctor;
mod expiry;
mod filevault;
mod key;
mod mail;
mod missing;
mod retention;
mod schedule;
mod secret;

mod channels;
mod directory;
mod group;
mod login_policy;
mod pair;
mod payloads;
mod profile;
mod provisioning;
mod setup_plan;
mod user;

use args::{Cli, Global, Verb};
use failure::Failure;
use reach::{Api, Founding, Reach};
use std::ffi::OsString;
use voice::Voice;

/// Runs what was asked for. Returns the exit code: 0 done, 1 failed, 2 wrong usage.
pub fn main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let cli = match Cli::read(args) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version are data and go to stdout, everything else to stderr; clap knows which.
            let _ = told.print();
            return told.exit_code();
        }
    };
    let json = cli.global.json;
    let done = Global::settle(&cli.global).and_then(|global| match cli.verb {
        Verb::Serve(args) => serve::run(&global, args),
        Verb::Demo(args) => demo::run(&global, args),
        Verb::Command(command::Args { verb: command::Verb::Types(args) }) => {
            command::types::run(&args, &mut Voice::of_this_process(json))
        }
        Verb::Audit(args) if args.offline().is_some() => {
            args.offline().map_or(Ok(()), |file| audit::verify_file(file, &mut Voice::of_this_process(json)))
        }
        Verb::Man => generated::man(&mut Voice::of_this_process(json)),
        Verb::Completions(args) => generated::completions(&args, &mut Voice::of_this_process(json)),
        Verb::Restore(args) => restore::run(&global, &args, &mut Voice::of_this_process(json)),
        verb => ask(&global, verb, &mut Voice::of_this_process(json)),
    });
    match done {
        Ok(()) => 0,
        Err(failure) => {
            Voice::of_this_process(json).fail(&failure);
            failure.exit_code()
        }
    }
}

/// Everything that is a request to the API.
fn ask(global: &Global, verb: Verb, voice: &mut Voice<'_>) -> Result<(), Failure> {
    // Setting a school up is the one verb that may make the database.
    let founding = if matches!(verb, Verb::Setup(_)) { Founding::Allowed } else { Founding::Refused };
    let reach = Reach::open(global, founding)?;
    let done = dispatch(&reach, verb, voice);
    let closed = reach.close();
    ownership::hand_over(&global.data_dir);
    done.and(closed)
}

fn dispatch(api: &dyn Api, verb: Verb, voice: &mut Voice<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Setup(args) => setup::run(api, &args, voice),
        Verb::Enroll(args) => enroll::run(api, &args, voice),
        Verb::Device(args) => device::run(api, &args, voice),
        Verb::Command(args) => command::run(api, args, voice),
        Verb::Push(args) => push::run(api, &args, voice),
        Verb::Tls(args) => tls::run(api, &args, voice),
        Verb::PushCert(args) => push_cert::run(api, &args, voice),
        Verb::Token(args) => token::run(api, &args, voice),
        Verb::Audit(args) => audit::run(api, &args, voice),
        Verb::Status => status::run(api, voice),

        Verb::Admin(args) => admin::run(api, &args, voice),
        Verb::RecoveryCode(args) => recovery_code::run(api, &args, voice),
        Verb::Restore(_) => Err(Failure::usage("restore works on files and cannot be asked of a server")),
        Verb::Webhook(args) => webhook::run(api, &args, voice),
        Verb::Backup(args) => backup::run(api, &args, voice),
        Verb::Doctor(args) => doctor::run(api, &args, voice),
        Verb::SetupLink(args) => setup_link::run(api, &args, voice),
        Verb::SupportBundle(args) => support::run(api, &args, voice),
        Verb::Report(args) => report::run(api, &args, voice),
        Verb::Expiry(args) => expiry::run(api, &args, voice),
        Verb::Key(args) => key::run(api, &args, voice),
        Verb::Mail(args) => mail::run(api, &args, voice),
        Verb::Retention(args) => retention::run(api, &args, voice),
        Verb::Inventory(args) => inventory::run(api, &args, voice),
        Verb::Schedule(args) => schedule::run(api, &args, voice),
        Verb::Ca(args) => authorities::ca(api, &args, voice),
        Verb::Cert(args) => authorities::cert(api, &args, voice),
        Verb::Filevault(args) => filevault::run(api, &args, voice),
        Verb::Secret(args) => secret::run(api, &args, voice),
        Verb::Invitations(args) => invitations::run(api, &args, voice),
        Verb::SetupPlan(args) => setup_plan::run(api, &args, voice),
        Verb::Directory(args) => directory::run(api, &args, voice),
        Verb::Provisioning(args) => provisioning::run(api, &args, voice),
        Verb::Account(args) => account::run(api, &args, voice),
        Verb::Group(args) => group::run(api, &args, voice),
        Verb::LoginPolicy(args) => login_policy::run(api, &args, voice),
        Verb::Pair(args) => pair::run(api, &args, voice),
        Verb::Profile(args) => profile::run(api, &args, voice),
        Verb::User(args) => user::run(api, &args, voice),
        Verb::Serve(_) | Verb::Demo(_) | Verb::Man | Verb::Completions(_) => {
            Err(Failure::usage("this builds a server and cannot be asked of one"))
        }
    }
}
