//! How a subcommand speaks: data once on stdout, talk on stderr; JSON when asked for. Every verb gets one [`Voice`].
//!
//! What comes from devices (names above all) is shown without control characters, so that no iPad's name can drive the terminal.

use super::failure::Failure;
#[cfg(test)]
use crate::base::time::ManualClock;
use crate::base::time::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Where words go, and in which form.
pub struct Voice<'a> {
    json: bool,
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    /// Data goes to a person's screen.
    pub on_screen: bool,
    /// Somebody sits there who can answer a question.
    pub can_ask: bool,
    clock: Box<dyn Clock>,
}

impl<'a> Voice<'a> {
    /// Speaks into anything; nobody is there to answer.
    #[cfg(test)]
    pub fn into(json: bool, out: &'a mut dyn Write, err: &'a mut dyn Write, now: Timestamp) -> Voice<'a> {
        Voice {
            json,
            out: Box::new(out),
            err: Box::new(err),
            on_screen: false,
            can_ask: false,
            clock: Box::new(ManualClock::at(now)),
        }
    }

    /// Standard output and error of this process.
    pub fn of_this_process(json: bool) -> Voice<'static> {
        let (out, err) = (io::stdout(), io::stderr());
        let on_screen = out.is_terminal();
        let can_ask = io::stdin().is_terminal() && err.is_terminal();
        Voice { json, out: Box::new(out), err: Box::new(err), on_screen, can_ask, clock: Box::new(SystemClock) }
    }

    /// Says the result: as JSON, or in words.
    ///
    /// # Errors
    /// When stdout cannot be written, except that nobody listens any more (`cordon device list | head`).
    pub fn show(&mut self, data: &Value, words: impl FnOnce() -> String) -> Result<(), Failure> {
        let mut text = if self.json { data.to_string() } else { words() };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.data(text.as_bytes())
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// As [`Voice::show`].
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::new("output", format!("cannot write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// The instant that "3 minutes ago" counts from.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A remark beside the data. If stderr is gone there is nowhere to say so.
    pub fn talk(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// Advice for people only; scripts that asked for JSON have no use for it.
    pub fn advise(&mut self, text: &str) {
        if !self.json {
            self.talk(text);
        }
    }

    /// The failure that ends the program.
    pub fn fail(&mut self, failure: &Failure) {
        let text = if self.json {
            json!({ "error": { "id": failure.id, "detail": failure.detail } }).to_string()
        } else {
            format!("cordon: {}", plain(&failure.detail))
        };
        self.talk(&text);
    }

    /// Asks for a yes on the terminal; a no where nobody can answer.
    pub fn confirm(&mut self, question: &str) -> bool {
        if !self.can_ask {
            return false;
        }
        let _ = write!(self.err, "{question} [y/N] ").and_then(|()| self.err.flush());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

/// Text from elsewhere without what a terminal would obey: controls, and marks that turn the direction of writing.
pub fn plain(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// As [`plain`], of several lines.
pub fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(json: bool, speak: impl FnOnce(&mut Voice<'_>)) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        speak(&mut Voice::into(json, &mut out, &mut err, Timestamp(0)));
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn data_and_talk_go_apart() {
        let speak = |voice: &mut Voice<'_>| {
            voice.show(&json!({"a": 1}), || String::from("one")).unwrap();
            voice.talk("by the way");
            voice.advise("next");
            assert!(!voice.confirm("sure?"));
        };
        assert_eq!(spoken(false, speak), ("one\n".into(), "by the way\nnext\n".into()));
        assert_eq!(spoken(true, speak), ("{\"a\":1}\n".into(), "by the way\n".into()));
    }

    #[test]
    fn failures_in_both_forms() {
        let failure = Failure::new("no-such-device", "No device is known as “\u{1b}[2J”.");
        let (out, err) = spoken(false, |voice| voice.fail(&failure));
        assert_eq!((out.as_str(), err.as_str()), ("", "cordon: No device is known as “\u{fffd}[2J”.\n"));
        let (_, err) = spoken(true, |voice| voice.fail(&failure));
        let error: Value = serde_json::from_str(&err).unwrap();
        assert_eq!(error["error"]["id"], "no-such-device");
    }

    #[test]
    fn nobody_listening_is_no_failure() {
        struct Gone(ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut err = Vec::new();
        assert!(Voice::into(false, &mut Gone(ErrorKind::BrokenPipe), &mut err, Timestamp(0)).data(b"x").is_ok());
        assert!(Voice::into(false, &mut Gone(ErrorKind::StorageFull), &mut err, Timestamp(0)).data(b"x").is_err());
    }
}
