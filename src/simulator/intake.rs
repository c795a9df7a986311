//! What happens to one command between its arrival and its result: counted, compared, carried out once.
//!
//! Called by `session`. What each RequestType does is in `answers`; here are the rules that hold for every command.

use super::answers::{Act, Reply, perform};
use super::device::{Device, DeviceError};
use super::link::Link;
use super::messages;
use super::passcode;
use super::profile::Refusal;
use super::session::Next;
use super::state::{Blob, Channel, Event, Executed, Wait};
use crate::pki::digest::sha256;
use crate::plist::{Dict, Dictionary, parse_dict};

impl Device {
    /// Reads a command, carries it out unless that was done before, and says what goes back.
    pub(super) fn take_command(
        &mut self,
        link: &mut Link,
        channel: Channel,
        bytes: &[u8],
    ) -> Result<Next, DeviceError> {
        let command = match parse_dict(bytes) {
            Ok(dict) => dict,
            Err(error) => return self.unreadable(error.to_string()),
        };
        let uuid = match command.string("CommandUUID") {
            Ok(uuid) if !uuid.is_empty() => uuid.to_owned(),
            _ => return self.unreadable("there is no CommandUUID".to_owned()),
        };
        let body = command.dict("Command");
        let request_type = body.as_ref().ok().and_then(|b| b.string("RequestType").ok()).unwrap_or_default().to_owned();
        if let Some(done) = self.note_delivery(channel, &uuid, &request_type, bytes) {
            let again = self.state.find_answer(&uuid).cloned();
            return Ok(Next::Send(again.unwrap_or_else(|| messages::bare_result(&self.state, channel, &uuid, &done))));
        }
        let setting_up = self.state.find_line(channel).is_some_and(|line| line.wait == Some(Wait::Setup));
        if setting_up && request_type != "DeviceConfigured" {
            self.read_policy(body.as_ref().ok());
            if let Some(known) = self.state.find_executed_mut(&uuid) {
                known.not_now += 1;
            }
            return Ok(Next::Send(messages::not_now(&self.state, channel, &uuid)));
        }
        if self.is_busy_for(&uuid, &request_type) {
            return Ok(Next::Send(messages::not_now(&self.state, channel, &uuid)));
        }
        match body {
            Ok(body) if !request_type.is_empty() => self.execute(link, channel, &uuid, &request_type, &body),
            _ => Ok(self.finish(channel, &uuid, Reply::FormatError("the command has no RequestType".to_owned()))),
        }
    }

    fn unreadable(&mut self, why: String) -> Result<Next, DeviceError> {
        self.state.faults.push(format!("a command cannot be read: {why}"));
        Err(DeviceError::UnreadableCommand(why))
    }

    /// Counts the delivery and compares the bytes with the first one. The final status, if this command is finished already.
    fn note_delivery(&mut self, channel: Channel, uuid: &str, request_type: &str, bytes: &[u8]) -> Option<String> {
        let digest = Blob(sha256(bytes).to_vec());
        self.note(channel, Event::Command { command_uuid: uuid.to_owned(), request_type: request_type.to_owned() });
        let Some(known) = self.state.find_executed_mut(uuid) else {
            self.state.executed.push(Executed {
                channel,
                command_uuid: uuid.to_owned(),
                request_type: request_type.to_owned(),
                digest,
                deliveries: 1,
                not_now: 0,
                executions: 0,
                status: None,
            });
            return None;
        };
        known.deliveries += 1;
        let (same, own_channel, done) = (known.digest == digest, known.channel == channel, known.status.clone());
        if !same {
            self.state.faults.push(format!("command {uuid} came again with different bytes"));
        }
        if !own_channel {
            self.state.faults.push(format!("command {uuid} came on two channels"));
        }
        done
    }

    /// A command whose delivery counts, though its answer is not acted on.
    pub(super) fn note_delivery_unread(&mut self, channel: Channel, bytes: &[u8]) {
        if let Ok(command) = parse_dict(bytes)
            && let Ok(uuid) = command.string("CommandUUID")
        {
            let request_type =
                command.dict("Command").ok().and_then(|b| b.string("RequestType").ok().map(str::to_owned));
            self.note_delivery(channel, uuid, &request_type.unwrap_or_default(), bytes);
        }
    }

    fn is_busy_for(&mut self, uuid: &str, request_type: &str) -> bool {
        match self.state.behaviour.not_now.get_mut(request_type) {
            Some(left) if *left > 0 => *left -= 1,
            _ => return false,
        }
        if let Some(known) = self.state.find_executed_mut(uuid) {
            known.not_now += 1;
        }
        true
    }

    fn execute(
        &mut self,
        link: &mut Link,
        channel: Channel,
        uuid: &str,
        request_type: &str,
        body: &Dict,
    ) -> Result<Next, DeviceError> {
        let managed = self.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        if let Some(known) = self.state.find_executed_mut(uuid) {
            known.executions += 1;
        }
        let act = perform(&mut self.state, &managed.enrolling, channel, request_type, body);
        passcode::look(&mut self.state, self.world.clock.now());
        match act {
            Act::Answer(reply) => Ok(self.finish(channel, uuid, reply)),
            Act::Erase(keys) => match self.finish(channel, uuid, Reply::Acknowledged(keys)) {
                Next::Send(report) => Ok(Next::SendAndVanish(report)),
                other => Ok(other),
            },
            Act::Leave => {
                self.remove_management();
                Ok(Next::End)
            }
            Act::EnrollAgain(profile) => {
                let reply = match self.enroll(&profile) {
                    Ok(()) => Reply::Acknowledged(Dictionary::new()),
                    Err(DeviceError::Profile(refusal)) => Reply::Error(refusal),
                    Err(error) => Reply::Error(Refusal::installation(4001, error.to_string())),
                };
                // The result goes out under whichever identity holds now.
                let managed = self.managed.clone().ok_or(DeviceError::NotEnrolled)?;
                *link = self.link_to(&managed)?;
                Ok(self.finish(channel, uuid, reply))
            }
        }
    }

    fn finish(&mut self, channel: Channel, uuid: &str, reply: Reply) -> Next {
        let report = messages::result(&self.state, channel, uuid, reply);
        if let Some(known) = self.state.find_executed_mut(uuid) {
            known.status = Some(report.status.clone());
        }
        self.state.keep_answer(uuid, report.clone());
        Next::Send(report)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Kind;
    use super::super::state::Standing;
    use super::super::test_school::{MDM_IDENTIFIER, command, enrolled, hand_out, statuses, text};
    use super::super::test_server::{Script, answer};
    use super::*;

    #[test]
    fn a_command_takes_effect_once_and_its_bytes_may_not_change() {
        let lock = |message: &str| command("L", "DeviceLock", &[("Message", text(message))]);
        let server = Script::start(vec![hand_out(&lock("a")), hand_out(&lock("a")), hand_out(&lock("b"))]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        device.poll(Channel::Device).unwrap();
        assert_eq!(statuses(&server), ["Idle", "Acknowledged", "Acknowledged", "Acknowledged"]);
        let bodies: Vec<_> = server.seen().into_iter().map(|s| s.body).collect();
        assert!(bodies[1] == bodies[2] && bodies[2] == bodies[3]);
        let done = &device.executed()[0];
        assert_eq!((done.deliveries, done.executions), (3, 1));
        assert_eq!(device.faults(), ["command L came again with different bytes"]);
    }

    #[test]
    fn leaving_management_checks_out_once() {
        let remove = command("R", "RemoveProfile", &[("Identifier", text(MDM_IDENTIFIER))]);
        let server = Script::start(vec![hand_out(&remove), answer(500, "text/plain", b"")]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        device.poll(Channel::Device).unwrap();
        assert_eq!(statuses(&server), ["Idle", "CheckOut"]);
        assert_eq!(server.seen()[1].header("content-type"), Some("application/x-apple-aspen-mdm-checkin"));
        assert_eq!(device.standing(), Standing::Removed);
        assert!(matches!(device.poll(Channel::Device), Err(DeviceError::NotEnrolled)));
    }

    #[test]
    fn erase_answers_and_then_nothing_is_left() {
        let server = Script::start(vec![
            hand_out(&command("E", "EraseDevice", &[("PIN", text("123456"))])),
            hand_out(&command("A", "ProfileList", &[])),
        ]);
        let (mut device, _) = enrolled(Kind::Mac, &server);
        device.poll(Channel::Device).unwrap();
        assert_eq!(statuses(&server), ["Idle", "Acknowledged"]);
        assert_eq!(device.standing(), Standing::Erased);
        assert!(device.state().held.is_none() && device.state().first_acknowledged.contains_key("EraseDevice"));
    }

    #[test]
    fn unreadable_commands() {
        let no_uuid = b"<plist><dict/></plist>".to_vec();
        let no_type =
            b"<plist><dict><key>CommandUUID</key><string>X</string><key>Command</key><dict/></dict></plist>".to_vec();
        let server = Script::start(vec![hand_out(&no_type), hand_out(&no_uuid)]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        assert!(matches!(device.poll(Channel::Device), Err(DeviceError::UnreadableCommand(_))));
        assert_eq!(statuses(&server), ["Idle", "CommandFormatError"]);
        assert_eq!(device.faults().len(), 1);
    }
}
