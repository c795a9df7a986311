//! `cordon setup-link`: a one-time address for setting the school up in a browser, or for going on with it.

use super::failure::Failure;
use super::reach::{Api, Call};
use super::table::cell;
use super::voice::Voice;
use serde_json::Value;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon setup-link
  cordon setup-link --json

The link opens once, within a day. The browser that opened it may take another day, and stop and go on; with a new link it goes on in another one.
The server must run. When the school is set up and somebody can log in, there is no link any more.")]
pub struct Args {}

pub fn run(api: &dyn Api, _: &Args, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if !api.is_live() {
        return Err(Failure::new(
            "no-server",
            "no server runs that a browser could reach; start it first: cordon serve",
        ));
    }
    let made = api.json(&Call::post_json("/api/v1/setup/link", &Value::Null))?;
    voice.show(&made, || cell(&made, "url"))?;
    voice.advise(
        "The browser will warn that it does not know who certified this server: the school's own authority did, which is new to it.",
    );
    Ok(())
}
