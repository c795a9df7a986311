//! The command conversation of one channel: connect, report, take a command, report its result, until the answer is empty.
//!
//! Called through [`Device::poll`] after a push, and by the fleet when a device connects by itself. The rules kept here are the
//! protocol's: a result is repeated until a 2xx, only a last `NotNow` makes the device come back. Commands themselves are in `intake`.

use std::time::Duration;

use super::device::{Device, DeviceError};
use super::link::Link;
use super::messages::{self, REPORT};
use super::network::WireError;
use super::state::{Channel, Event, Outgoing, Standing};
use super::wire::{Answer, Delivery};
use crate::plist::parse;

/// A server that hands out more than this in one session does not stop by itself.
const MAX_COMMANDS: usize = 5_000;
/// Longest pause before a result is sent again.
const MAX_RETRY_MILLIS: u64 = 60_000;

/// What the device does next.
pub(super) enum Next {
    Send(Outgoing),
    /// Send this, and then everything on the device is gone.
    SendAndVanish(Outgoing),
    End,
}

/// How sending one report ended.
enum Sent {
    Answered(Answer),
    /// Gone before the answer, on purpose.
    Left,
    Failed(WireError),
}

impl Device {
    /// One session on this channel. Does nothing for a device that is asleep.
    ///
    /// # Errors
    /// [`DeviceError`] when the session did not come to its empty answer; what must be repeated is remembered and due later.
    pub fn poll(&mut self, channel: Channel) -> Result<(), DeviceError> {
        if self.state.behaviour.asleep {
            return Ok(());
        }
        let managed = self.managed.clone().ok_or(DeviceError::NotEnrolled)?;
        let mut link = self.link_to(&managed)?;
        let line = self.state.find_line_mut(channel).ok_or(DeviceError::NotEnrolled)?;
        line.due_at = None;
        let mut next = match line.unsent.take() {
            Some(unsent) => Next::Send(unsent),
            None => Next::Send(messages::idle(&self.state, channel)),
        };
        for _ in 0..MAX_COMMANDS {
            next = match next {
                Next::End => return Ok(()),
                Next::Send(report) => self.step(&mut link, channel, report)?,
                Next::SendAndVanish(report) => {
                    // Whatever the server says now, there is nobody left to hear it.
                    let sent = self.send(&mut link, channel, &report);
                    self.note_sent(channel, &report, &sent);
                    if matches!(&sent, Sent::Answered(answer) if answer.is_success()) {
                        self.note_acknowledged(&report);
                    }
                    self.managed = None;
                    self.state.forget_management(Standing::Erased);
                    return Ok(());
                }
            };
        }
        self.state.faults.push(format!("more than {MAX_COMMANDS} commands in one session"));
        Err(DeviceError::Endless(MAX_COMMANDS))
    }

    /// Sends one report and acts on its answer.
    fn step(&mut self, link: &mut Link, channel: Channel, report: Outgoing) -> Result<Next, DeviceError> {
        let sent = self.send(link, channel, &report);
        self.note_sent(channel, &report, &sent);
        match sent {
            Sent::Answered(answer) if answer.is_success() => {
                if let Some(line) = self.state.find_line_mut(channel) {
                    line.retries = 0;
                }
                self.note_acknowledged(&report);
                if answer.body.is_empty() {
                    self.come_back_after_not_now(channel, &report);
                    return Ok(Next::End);
                }
                self.take_command(link, channel, &answer.body)
            }
            Sent::Answered(answer) if throws_out(&answer) => {
                self.thrown_out(answer.status);
                Err(DeviceError::Refused { message: "report", status: answer.status })
            }
            Sent::Answered(answer) => {
                self.keep_for_later(channel, report);
                Err(DeviceError::Refused { message: "report", status: answer.status })
            }
            Sent::Left => {
                self.keep_for_later(channel, report);
                Ok(Next::End)
            }
            Sent::Failed(error) => {
                self.keep_for_later(channel, report);
                Err(error.into())
            }
        }
    }

    /// Management ends by the server's word; remembered, because it should never happen by mistake.
    pub(super) fn thrown_out(&mut self, status: u16) {
        self.state.faults.push(format!("thrown out with HTTP status {status}"));
        self.managed = None;
        self.state.forget_management(Standing::ThrownOut(status));
    }

    /// Misbehaviour concerns results only; an `Idle` is always sent well.
    fn send(&mut self, link: &mut Link, channel: Channel, report: &Outgoing) -> Sent {
        let Some(managed) = self.managed.clone() else { return Sent::Left };
        let url = &managed.enrolling.mdm.server_url;
        let body = report.body.0.as_slice();
        if report.command_uuid.is_some() {
            let behaviour = &mut self.state.behaviour;
            if behaviour.late_millis > 0 {
                (self.world.pause)(Duration::from_millis(behaviour.late_millis));
            }
            let misdeed = if behaviour.leaves_before_answer > 0 {
                behaviour.leaves_before_answer -= 1;
                Some(Delivery::LeaveBeforeAnswer)
            } else if behaviour.cuts_body > 0 {
                behaviour.cuts_body -= 1;
                Some(Delivery::CutBody(body.len() / 2))
            } else {
                None
            };
            if let Some(misdeed) = misdeed {
                return match link.put_and_leave(url, REPORT, body, misdeed) {
                    Ok(()) => Sent::Left,
                    Err(error) => Sent::Failed(error),
                };
            }
            if self.state.behaviour.duplicates {
                match link.put(url, REPORT, body) {
                    // The command in this first answer counts as delivered; the second answer must offer the same bytes or another command.
                    Ok(first) if first.is_success() => self.note_delivery_unread(channel, &first.body),
                    Ok(refused) => return Sent::Answered(refused),
                    Err(error) => return Sent::Failed(error),
                }
            }
        }
        link.put(url, REPORT, body).map_or_else(Sent::Failed, Sent::Answered)
    }

    fn note_sent(&mut self, channel: Channel, report: &Outgoing, sent: &Sent) {
        let event = match sent {
            Sent::Answered(answer) => Event::Report {
                status: report.status.clone(),
                command_uuid: report.command_uuid.clone(),
                answer: answer.status,
            },
            Sent::Left => Event::Left,
            Sent::Failed(error) => Event::Failed { what: error.to_string() },
        };
        self.note(channel, event);
    }

    fn note_acknowledged(&mut self, report: &Outgoing) {
        let now = self.world.clock.now().0;
        if let ("Acknowledged", Some(uuid)) = (report.status.as_str(), &report.command_uuid)
            && let Some(request_type) = self.state.find_executed_mut(uuid).map(|e| e.request_type.clone())
        {
            self.state.first_acknowledged.entry(request_type).or_insert(now);
        }
    }

    /// Only when `NotNow` was the last status does the device come back without a push.
    fn come_back_after_not_now(&mut self, channel: Channel, report: &Outgoing) {
        let (now, wait) = (self.world.clock.now(), self.state.behaviour.repoll_millis);
        if let Some(line) = self.state.find_line_mut(channel)
            && report.status == "NotNow"
        {
            line.due_at = Some(now.plus(i64::try_from(wait).unwrap_or(i64::MAX)).0);
        }
    }

    /// A final result stays until the server takes it; a `NotNow` is not kept, but makes the device ask again; an `Idle` waits for a push.
    fn keep_for_later(&mut self, channel: Channel, report: Outgoing) {
        let (now, first) = (self.world.clock.now(), self.state.behaviour.retry_millis);
        let Some(line) = self.state.find_line_mut(channel) else { return };
        if report.status == "Idle" {
            return;
        }
        let wait = first.saturating_mul(1 << line.retries.min(16)).min(MAX_RETRY_MILLIS);
        line.retries += 1;
        line.due_at = Some(now.plus(i64::try_from(wait).unwrap_or(i64::MAX)).0);
        if report.status != "NotNow" {
            line.unsent = Some(report);
        }
    }
}

/// 401, or 403 whose body (JSON or property list) says that the server does not know the device.
fn throws_out(answer: &Answer) -> bool {
    const CODE: &str = "com.apple.unrecognized.device";
    match answer.status {
        401 => true,
        403 => {
            let kind = answer.find_header("content-type").unwrap_or_default().to_ascii_lowercase();
            if kind.contains("json") {
                let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
                body.is_some_and(|b| b["code"] == CODE)
            } else {
                let body = parse(&answer.body).ok();
                body.and_then(|b| b.as_dictionary()?.get("code")?.as_string().map(|c| c == CODE)).unwrap_or(false)
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Kind;
    use super::super::test_school::{command, enrolled, hand_out, reports, settings_profile, statuses, text};
    use super::super::test_server::{Script, answer};
    use super::*;
    use crate::plist::Value;

    fn info(uuid: &str) -> Vec<u8> {
        command(uuid, "DeviceInformation", &[("Queries", Value::Array(vec![text("UDID"), text("IMEI")]))])
    }

    fn install(uuid: &str) -> Vec<u8> {
        command(uuid, "InstallProfile", &[("Payload", Value::Data(settings_profile("school.camera", "U1")))])
    }

    fn nothing() -> Vec<u8> {
        answer(200, "text/plain", b"")
    }

    #[test]
    fn answers_commands_until_the_empty_body() {
        let server = Script::start(vec![
            hand_out(&info("A")),
            hand_out(&install("B")),
            hand_out(&command("C", "Nonsense", &[])),
            nothing(),
        ]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        device.poll(Channel::Device).unwrap();
        assert_eq!(statuses(&server), ["Idle", "Acknowledged", "Acknowledged", "Error"]);
        let reports = reports(&server);
        let udid = device.spec().udid.clone();
        assert!(reports.iter().all(|r| r.string("UDID").unwrap() == udid && r.get("UserID").is_none()));
        let facts = reports[1].dict("QueryResponses").unwrap().into_dictionary();
        assert_eq!(facts.keys().collect::<Vec<_>>(), ["UDID"]); // an iPad without cellular has no IMEI and does not say so
        assert_eq!(device.state().profiles.len(), 1);
        let chain = reports[3].array("ErrorChain").unwrap();
        assert_eq!(chain[0].as_dictionary().unwrap()["ErrorCode"], Value::Integer(12021.into()));
        let seen = server.seen();
        assert!(seen.iter().all(|s| s.connection == 0 && s.method == "PUT" && s.target == "/mdm/command"));
        assert_eq!(seen[0].header("content-type"), Some("application/x-apple-aspen-mdm; charset=UTF-8"));
        assert!(device.faults().is_empty() && device.find_due().is_none());
    }

    #[test]
    fn comes_back_by_itself_only_after_a_last_not_now() {
        let server = Script::start(vec![hand_out(&install("B")), nothing(), hand_out(&install("B")), nothing()]);
        let (mut device, clock) = enrolled(Kind::Ipad, &server);
        device.behaviour_mut().not_now.insert("InstallProfile".to_owned(), 1);
        device.poll(Channel::Device).unwrap();
        let (at, channel) = device.find_due().unwrap();
        clock.advance(2_000);
        assert!(at <= device.world.clock.now());
        device.poll(channel).unwrap();
        assert_eq!(statuses(&server), ["Idle", "NotNow", "Idle", "Acknowledged"]);
        let done = &device.executed()[0];
        assert_eq!(
            (done.deliveries, done.not_now, done.executions, done.status.as_deref()),
            (2, 1, 1, Some("Acknowledged"))
        );
        assert!(device.faults().is_empty() && device.find_due().is_none());

        let server = Script::start(vec![hand_out(&install("B")), hand_out(&info("C")), nothing()]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        device.behaviour_mut().not_now.insert("InstallProfile".to_owned(), 1);
        device.poll(Channel::Device).unwrap();
        assert_eq!(statuses(&server), ["Idle", "NotNow", "Acknowledged"]);
        assert_eq!(device.find_due(), None);
    }

    #[test]
    fn a_result_is_repeated_until_the_server_takes_it() {
        for status in [400, 404, 500, 503] {
            let server = Script::start(vec![hand_out(&info("A")), answer(status, "text/plain", b"later"), nothing()]);
            let (mut device, clock) = enrolled(Kind::Ipad, &server);
            assert!(device.poll(Channel::Device).is_err());
            assert_eq!(device.standing(), Standing::Enrolled, "{status}");
            let (at, _) = device.find_due().unwrap();
            assert_eq!(at, clock_now(&clock).plus(1_000));
            // A restart in between loses nothing.
            let mut device = Device::restore(std::sync::Arc::clone(&device.world), &device.save()).unwrap();
            device.poll(Channel::Device).unwrap();
            let seen = server.seen();
            assert_eq!(seen[1].body, seen[2].body);
            assert_eq!(seen.len(), 3);
            assert_eq!(device.find_due(), None);
            assert_eq!(device.executed()[0].executions, 1);
        }
    }

    fn clock_now(clock: &crate::base::time::ManualClock) -> crate::base::time::Timestamp {
        crate::base::time::Clock::now(clock)
    }

    #[test]
    fn only_the_two_agreed_answers_end_management() {
        let code = br#"{"code":"com.apple.unrecognized.device"}"#;
        let plist = b"<plist><dict><key>code</key><string>com.apple.unrecognized.device</string></dict></plist>";
        let other = br#"{"code":"com.apple.softwareupdate.required"}"#;
        let table: [(u16, &str, &[u8], bool); 7] = [
            (401, "text/plain", b"", true),
            (403, "application/json", code, true),
            (403, "application/xml", plist, true),
            (403, "application/json", other, false),
            (403, "text/html", b"<html>proxy</html>", false),
            (410, "text/plain", b"", false),
            (500, "application/json", code, false),
        ];
        for (status, kind, body, out) in table {
            let server = Script::start(vec![answer(status, kind, body)]);
            let (mut device, _) = enrolled(Kind::Ipad, &server);
            assert!(device.poll(Channel::Device).is_err());
            let wanted = if out { Standing::ThrownOut(status) } else { Standing::Enrolled };
            assert_eq!(device.standing(), wanted, "{status} {kind}");
            assert_eq!(device.faults().len(), usize::from(out));
            assert_eq!(device.state().held.is_none(), out);
        }
    }

    #[test]
    fn leaves_and_cuts_when_told_and_makes_up_for_it() {
        let server = Script::start(vec![hand_out(&info("A")), nothing(), nothing(), nothing()]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        device.behaviour_mut().leaves_before_answer = 1;
        device.behaviour_mut().cuts_body = 1;
        device.poll(Channel::Device).unwrap(); // takes A, leaves
        device.poll(Channel::Device).unwrap(); // cuts
        device.poll(Channel::Device).unwrap(); // whole
        let seen = server.wait_for(4);
        assert_eq!(seen[1].body, seen[3].body);
        assert_eq!(seen[2].body, seen[3].body[..seen[3].body.len() / 2]);
        assert_eq!(device.executed()[0].executions, 1);
    }

    #[test]
    fn sends_results_twice_when_told() {
        let server =
            Script::start(vec![hand_out(&info("A")), hand_out(&info("B")), hand_out(&info("B")), nothing(), nothing()]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        device.behaviour_mut().duplicates = true;
        device.poll(Channel::Device).unwrap();
        let uuids: Vec<_> =
            reports(&server).iter().map(|r| r.find_string("CommandUUID").unwrap().unwrap_or("-").to_owned()).collect();
        assert_eq!(uuids, ["-", "A", "A", "B", "B"]);
        assert_eq!((device.executed()[1].deliveries, device.executed()[1].executions), (2, 1));
        assert!(device.faults().is_empty());
    }

    #[test]
    fn the_user_channel_names_its_person() {
        let server = Script::start(vec![hand_out(&install("B")), nothing()]);
        let (mut device, _) = enrolled(Kind::Mac, &server);
        device.poll(Channel::User).unwrap();
        let person = device.spec().person.clone().unwrap();
        assert!(
            reports(&server)
                .iter()
                .all(|r| r.string("UserID").unwrap() == person.guid && r.get("UserShortName").is_some())
        );
        assert_eq!(device.state().profiles[0].channel, Channel::User);
    }

    #[test]
    fn asleep_it_keeps_the_push_for_later() {
        let server = Script::start(vec![nothing()]);
        let (mut device, _) = enrolled(Kind::Ipad, &server);
        let line = device.state().device.clone().unwrap();
        device.behaviour_mut().asleep = true;
        assert_eq!(device.pushed(&line.token.0, &line.magic), None);
        assert_eq!(device.wake(), [Channel::Device]);
        assert_eq!(device.wake(), []);
        assert_eq!(device.pushed(&line.token.0, &line.magic), Some(Channel::Device));
        assert_eq!(device.pushed(b"another token", &line.magic), None);
        assert!(device.faults().is_empty());
        assert_eq!(device.pushed(&line.token.0, "wrong"), None);
        assert_eq!(device.faults().len(), 1);
    }
}
