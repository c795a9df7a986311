//! An API that answers what a test says and remembers what it was asked. Only for the tests of this room.

use super::{Api, Call, Reply};
use crate::base::time::Timestamp;
use crate::cli::failure::Failure;
use crate::cli::voice::Voice;
use serde_json::Value;
use std::cell::RefCell;

type Answer = dyn Fn(&Call) -> (u16, Value);

/// A running server, unless told otherwise.
pub struct Fake {
    answer: Box<Answer>,
    pub asked: RefCell<Vec<Call>>,
    pub live: bool,
    pub addressed: bool,
}

impl Fake {
    pub fn new(answer: impl Fn(&Call) -> (u16, Value) + 'static) -> Fake {
        Fake { answer: Box::new(answer), asked: RefCell::default(), live: true, addressed: true }
    }

    /// The last request.
    pub fn last(&self) -> Call {
        self.asked.borrow().last().unwrap().clone()
    }
}

impl Api for Fake {
    fn call(&self, call: &Call) -> Result<Reply, Failure> {
        self.asked.borrow_mut().push(call.clone());
        let (status, body) = (self.answer)(call);
        Ok(Reply { status, body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() } })
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn knows_addresses(&self) -> bool {
        self.addressed
    }
}

/// What `speak` says on stdout and stderr, at 2026-11-18 12:00 UTC.
pub fn heard(
    json: bool,
    speak: impl FnOnce(&mut Voice<'_>) -> Result<(), Failure>,
) -> (Result<(), Failure>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let now = Timestamp::from_secs(1_795_003_200);
    let done = speak(&mut Voice::into(json, &mut out, &mut err, now));
    (done, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}
