//! The words of [`Text`] in English. Each message says what is wrong and what to do next; arguments come from outside and never hold a
//! secret. Deliberately not here: ids, and the messages of the subjects beside this file.

use super::Text;
use std::fmt;

impl Text {
    pub(super) fn english(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::NoSuchDevice { device } => {
                write!(f, "No device is known as “{device}”. Use its serial number, its UDID, or the id from `cordon device list`.")
            }
            Text::NoSuchCommand { uuid } => write!(f, "No command {uuid} is known. `cordon command list` shows those that are."),
            Text::NoSuchToken { id } => write!(f, "No API token {id} is in force. `cordon token list` shows them."),
            Text::NoSuchUser { user, device } => {
                write!(f, "{device} has no managed user “{user}”. `cordon device show {device}` lists its users.")
            }
            Text::NoSuchRoute { path } => write!(f, "There is nothing at {path}. The API is described at /api/v1/openapi.json."),
            Text::NotEnrolled { device } => {
                write!(f, "{device} is not enrolled, so it cannot be given a command. Enrol it again with a new enrolment profile.")
            }
            Text::UnknownRequestType { request_type } => {
                write!(f, "“{request_type}” is not a command of Apple's. Check the spelling; capitals matter (DeviceInformation).")
            }
            Text::BadArgument { key, why } => write!(f, "{key}: {why}."),
            Text::BadBody { why } => write!(f, "The request could not be read: {why}."),
            Text::CommandDoubt { finding } => {
                write!(f, "Apple's schema does not agree with this command: {finding}. To send it all the same, send it as a raw property list.")
            }
            Text::BadPlist { why } => write!(f, "The property list could not be read: {why}."),
            Text::CommandTooLarge { bytes, limit } => write!(f, "The command has {bytes} bytes; at most {limit} can be queued."),
            Text::QueueFull { waiting } => {
                write!(f, "{waiting} commands are waiting for this device already. Cancel some, or wait until it has been online.")
            }
            Text::UuidTaken { uuid } => write!(f, "A command {uuid} exists already. Leave CommandUUID out, or choose a new one."),
            Text::AlreadySent { uuid } => {
                write!(f, "{uuid} has been sent to the device and cannot be called back. It may be running; wait for the answer.")
            }
            Text::AlreadyFinished { uuid, state } => write!(f, "{uuid} is finished ({state}); there is nothing to cancel."),
            Text::NoPushCertificate => f.write_str(
                "There is no push certificate yet, and devices cannot be enrolled without one. \
                 Make a request with `cordon push-cert request`, have it signed, and bring it in with `cordon push-cert import CERT.pem`.",
            ),
            Text::PushCertificateUnreadable { why } => {
                write!(f, "That is not a push certificate in PEM form: {why}. Use the file as downloaded from identity.apple.com/pushcert.")
            }
            Text::PushCertificateWithoutKey => f.write_str(
                "The key of this push certificate is not here. Give it with --key, or put it in the same file; \
                 for a request made by `cordon push-cert request` it is found by itself.",
            ),
            Text::PushKeyMismatch => f.write_str("The key does not belong to this push certificate. Look for the key that made the request."),
            Text::PushCertificateNoTopic => f.write_str(
                "This certificate carries no MDM push topic (a UID of the form com.apple.mgmt.…). It may be a certificate of another kind.",
            ),
            Text::PushCertificateExpired { at } => write!(f, "This push certificate expired at {at}. Renew it on identity.apple.com/pushcert."),
            Text::PushCertificateNotYetValid { at } => write!(f, "This push certificate is valid only from {at}. Check this machine's clock."),
            Text::PushTopicChanged { new, held, devices, account } => write!(
                f,
                "This certificate has the topic {new}, but {devices} enrolled channels hold {held}; with it they could never be pushed again. \
                 Renew the certificate that is there, with the Apple Account that made it{}. To add this one on purpose use --additional.",
                account.as_ref().map(|account| format!(" ({account})")).unwrap_or_default()
            ),
            Text::VendorUnusable { why } => write!(f, "This vendor certificate cannot sign: {why}."),
            Text::NoSigningService => f.write_str(
                "A request is sent to mdmcert.download by the running server. Start it with `cordon serve`, or make a plain request \
                 and have it signed elsewhere.",
            ),
            Text::SigningServiceUnreached { url, why } => write!(
                f,
                "{url} could not be reached: {why}. Nothing is lost: try again when this machine is online."
            ),
            Text::SigningServiceRefused { url, why } => write!(
                f,
                "{url} refused the request: {why}. Check that the address is registered there and that the API key is yours."
            ),
            Text::SignedRequestUnreadable { why } => write!(
                f,
                "This is not a signed request that can be used: {why}. Save the attachment of the mail (its name ends in .b64.p7) and give that file."
            ),
            Text::RoleMissing { needed } => write!(f, "This needs the role “{needed}”. Ask the owner of this Cordon for it."),
            Text::LoginNeeded => f.write_str(
                "This needs an API token or a login that is in force: send it as “Authorization: Bearer TOKEN”. \
                 `cordon token create NAME --role admin` makes a token; POST /api/v1/login logs somebody in.",
            ),
            Text::BadRole { role } => write!(f, "“{role}” is not a role. Roles are owner, admin, helpdesk, teacher and auditor."),
            Text::BadDuration { text } => write!(f, "“{text}” is not a time span. Write it like 12h, 90d or 2w."),
            Text::BadHostname { hostname } => write!(f, "“{hostname}” is not a host name that devices can reach. Write it like mdm.example.org."),
            Text::UrlsFrozen { setting, held, wanted, devices } => write!(
                f,
                "{setting} is {held} on {devices} enrolled devices and cannot become {wanted}: they would never come back. Keep {held}, or let \
                 the old name lead here as well: put it into hostname_aliases, keep the port, and start the server with that first."
            ),
            Text::TlsUnusable { source, why } => {
                write!(f, "The TLS certificate from {source} cannot be used: {why}.")
            }
            Text::RightsNeverGrow { more } => write!(
                f,
                "The profile that the device holds does not have these rights: {more}. A later profile can take rights away, never add \
                 them. To add them, remove the device from management and enrol it again."
            ),
            Text::IdentityKindMissing { kind } => write!(f, "Identities of the kind “{kind}” are not offered. Use scep or pkcs12."),
            Text::ClockBehind { now, seen } => write!(
                f,
                "This machine's clock says {now}, but it has been {seen} here already. Until it is set right, devices are served but nothing is issued."
            ),
            Text::Busy => f.write_str("The server has more to write than its disk takes. Try again in a moment."),
            Text::DiskFull => f.write_str("The disk is full or nearly full. Make room, then try again; nothing was lost."),
            Text::Internal { request } => write!(f, "Something went wrong inside Cordon. The log says more under request {request}."),
            Text::NoRecoveryCode => f.write_str("There is no recovery code for this school. Make one with `cordon recovery-code new`."),
            Text::RecoveryCodeWrong => f.write_str(
                "This recovery code does not open this school. It has 8 groups of 4 letters and digits, and never i, l, o, u, 0 or 1; \
                 a newer code makes an older one worthless.",
            ),
            Text::RecoveryCodeNeeded => f.write_str(
                "This machine has no key that opens the file. Give the recovery code that was shown at set-up: --recovery-code-file FILE, or - to type it.",
            ),
            Text::OnlyMacs { device } => write!(f, "{device} is not a Mac, and only Macs have FileVault."),
            Text::RotationNeedsCode => f.write_str(
                "A recovery code is in force, and a copy must go on opening with it. Give the code, or have a new one made: --recovery-code-file FILE or --new-recovery-code.",
            ),
            Text::RotationGoingOn => f.write_str(
                "The secrets are still being sealed anew after the last change of the key. `cordon key show` says how far it has come; try again when it is done.",
            ),
            Text::MachineKeyFixed { path, why } => write!(
                f,
                "The machine key {path} cannot be used or replaced by the server: {why}. If the system hands the key to the server, stop the server, put the                  file aside and run `cordon restore` on the database with the recovery code; it makes a new one."
            ),
            Text::NotRestorable { path, why } => write!(f, "{path} cannot be restored: {why}."),
            Text::SchoolThere { path } => write!(f, "{path} is a school already. Say --replace to put it aside, under another name in the same directory."),
            Text::NoSuchAdmin { name } => write!(f, "Nobody called “{name}” may log in. `cordon admin list` shows who may."),
            Text::AdminExists { name } => write!(f, "There is somebody called “{name}” already. Choose another name, or change that one."),
            Text::LastOwner { name } => write!(f, "“{name}” is the only owner left. Make somebody else an owner first."),
            Text::WeakPassword { why } => write!(f, "This password will not do: {why}. Four or five words that do not belong together are good, and easy to keep."),
            Text::LoginFailed => f.write_str("Name or password is not right."),
            Text::TotpNeeded => f.write_str("The code from the authenticator app is needed too."),
            Text::TotpWrong => f.write_str("This code is not right, or was used already. Wait for the next one; if none is right, check the phone's clock."),
            Text::TotpThere { name } => write!(f, "“{name}” has an authenticator app already. Remove it first."),
            Text::TotpMissing { name } => write!(f, "“{name}” has no authenticator app that waits for a code. Begin with `cordon admin totp {name}`."),
            Text::TooManyTries { seconds } => write!(
                f,
                "There were too many wrong tries. Wait {seconds} seconds, then try again; nothing is locked for good, and on the server itself \
                 `cordon admin password NAME` sets a new password."
            ),
            Text::PasswordNeeded => f.write_str("Give your own password again for this. A token cannot do it."),
            Text::PersonNeeded => f.write_str("Only somebody who is logged in by name can do this, and only for themselves."),
            Text::NoSuchWebhook { id } => write!(f, "No webhook {id} is known. `cordon webhook list` shows them."),
            Text::BadWebhookUrl { why } => {
                write!(f, "This URL cannot be a webhook: {why}. Write it like https://hooks.hill.example/cordon.")
            }
            Text::UnknownEventKind { kind } => {
                write!(f, "“{kind}” is no kind of event. Kinds are like command.acknowledged; `cordon webhook add --help` lists them.")
            }
            Text::TooManyWebhooks { limit } => write!(f, "There are {limit} webhooks already, and more are not possible. Remove one that nobody needs."),
            Text::WebhookDisabled { id } => write!(f, "The webhook {id} is switched off. Switch it on first (PATCH with \"enabled\": true)."),
            Text::UnknownSecretKind { kind, known } => write!(f, "“{kind}” is not a kind of secret. Kinds are {known}."),
            Text::NoSuchSecret { device, kind } => {
                write!(f, "No {kind} of {device} is kept here. `cordon secret list {device}` shows what is.")
            }
            Text::ReasonNeeded { key, least } => {
                write!(f, "{key}: say why, in at least {least} characters. It is kept in the audit, where others can read it.")
            }
            Text::NotForScripts => f.write_str(
                "Secrets are shown to people, not to API tokens: log in by name, or ask on the server itself with `cordon secret reveal DEVICE KIND --reason TEXT`.",
            ),
            Text::SecondPersonNeeded { id } => write!(
                f,
                "A second person must agree first: ask another administrator to run `cordon secret approve {id}`, then ask again within an hour."
            ),
            Text::NoSuchSecretRequest { id } => {
                write!(f, "No request {id} is waiting to be agreed to. `cordon secret requests` shows those that are; they end after an hour.")
            }
            Text::OwnSecretRequest { id } => write!(f, "Request {id} is your own. Another administrator must agree to it."),
            Text::NoUnlockToken { device } => write!(
                f,
                "No unlock token of {device} is kept here, so its passcode cannot be cleared. A device sends one when it enrols with the right \
                 to lock and to remove passcodes; otherwise it has to be erased."
            ),
            Text::ForeignUnlockToken { device } => {
                write!(f, "This UnlockToken is none that {device} ever sent. Leave UnlockToken out; the one that is kept is used.")
            }
            Text::PossessionNeeded { least } => write!(
                f,
                "Clearing a passcode opens the device to whoever holds it and switches Data Protection off. Say in “possession” (--possession TEXT), \
                 in at least {least} characters, how you made sure that its owner holds it. It is kept in the audit."
            ),
            Text::NeverClearLost { device, why } => write!(
                f,
                "The passcode of {device} is not cleared: it {why}. Once it is really back, run `cordon device found {device} --reason TEXT` and try again."
            ),
            Text::StillLost { device, why } => write!(
                f,
                "Lost Mode of {device} is not ended behind the mark: it {why}. Once it is really back, run `cordon device found {device} --reason TEXT`, which does both."
            ),
            Text::DiskNearlyFull { megabytes } => {
                write!(f, "Only {megabytes} MB are free where the database lies. Make room: below 64 MB new work is refused.")
            }
            Text::PushesFail { since } => write!(
                f,
                "Nothing has reached Apple's push service since {since}, so devices do not hear of their commands. Check the network and the \
                 firewall: api.push.apple.com, port 443 or 2197."
            ),
            Text::WrongMethod { method, allow } => write!(f, "{method} means nothing here; this takes {allow}."),
            Text::FaultOver => f.write_str("This is over."),
            Text::NoSuchSession { id } => write!(f, "There is no open session {id} of this person. `cordon admin sessions NAME` shows them."),
            Text::NoSuchDelivery { id } => {
                write!(f, "This webhook was never told {id}, or that was too long ago. `cordon webhook log` shows what it was told.")
            }
            Text::NotLost { device } => {
                write!(f, "{device} is not marked lost and not in Lost Mode. `cordon device lost {device}` marks it.")
            }
            Text::DidNotLeave { device } => write!(f, "{device} has not left, so it need not be taken back."),
            Text::DeviceBlocked { device } => {
                write!(f, "{device} is blocked. Lift that first with `cordon device unblock {device}`.")
            }
            Text::NothingToDecide { device } => {
                write!(f, "Nothing of this kind waits for {device}. `cordon device attention` shows what does.")
            }
            Text::NotItsIdentity { device } => write!(
                f,
                "The certificate that {device} showed belongs to another device, or was revoked by hand. Enrol {device} anew with a profile of its own."
            ),
            Text::NoRightToRenew { device } => write!(
                f,
                "{device} did not grant the right to install profiles when it enrolled, so its identity cannot be renewed from here. Enrol it anew before the identity ends."
            ),
            Text::NoSuchCertificate { which } => {
                write!(f, "No certificate, or more than one, is called {which}. `cordon cert list` shows serial numbers and fingerprints.")
            }
            Text::ReplacementUnderWay => f.write_str(
                "A new root is on its way to the devices already. `cordon ca status` shows who has it; `cordon ca replace --cancel` gives it up.",
            ),
            Text::NoReplacement => f.write_str("No new root is on its way. Begin with `cordon ca replace`."),
            Text::WouldStrand { count, devices } => write!(
                f,
                "{count} enrolled device(s) do not trust the new root yet and could never connect again: {devices}. Wait until they have it                  (`cordon ca status`), or release those that will never come back with `cordon device release DEVICE`."
            ),
            Text::TlsNotOurs => f.write_str(
                "The TLS certificate is not one of Cordon's own authority, so there is nothing to renew here: it comes from the files or the service named in the configuration.",
            ),
            Text::NoLocation { device } => {
                write!(f, "{device} has not told where it is. Ask it with `cordon device locate {device} --reason TEXT`; it answers only in Lost Mode.")
            }
            Text::NoSuchInvitation { id } => write!(f, "No invitation {id} can still be used. `cordon invitations list` shows them."),
            Text::InvitationWrong => f.write_str(
                "This code is not one of the school's. Compare it with the paper, letter by letter; it has three groups of four and never i, l, o, u, 0 or 1.",
            ),
            Text::InvitationExpired { at } => {
                write!(f, "This invitation ended at {at}. Ask whoever gave it to you for a new one.")
            }
            Text::InvitationUsed => f.write_str(
                "A device has been enrolled with this invitation already, and each is good for one device. Ask whoever gave it to you for another one.",
            ),
            Text::InvitationRevoked => f.write_str("This invitation was withdrawn. Ask whoever gave it to you for a new one."),
            Text::ArrivalOver => f.write_str("The hour for this enrolment is over. Begin again with the invitation or the login."),
            Text::ArrivalBound => {
                f.write_str("A device has begun to enrol with this login. Finish it there, or begin again with the invitation or the login.")
            }
            Text::DeviceUnreadable { why } => write!(f, "This is not what a device sends to enrol: {why}."),
            Text::SignerUnknown => f.write_str("Whoever signed this is neither an Apple device nor enrolled here."),
            Text::ChallengeWrong => f.write_str("This request belongs to no login at the enrolment page. Begin again at the enrolment page."),
            Text::ChallengeUsed => f.write_str("Another device has used this profile before. Get one for this device at the enrolment page."),
            Text::OtherDevice => f.write_str("This request speaks of another device than the one that it belongs to."),
            Text::PageTooOld => f.write_str("This page had been open for too long, or your browser keeps no cookies. Try once more."),
            Text::NothingToEnterWith => f.write_str("Type the code of your invitation, or your school name and password."),
            Text::AutomatedClosed => f.write_str("This school does not take this device by Automated Device Enrolment. Ask whoever runs its device management."),
            Text::BadProfile { why } => write!(f, "That is not a profile that can be handed out: {why}."),
            Text::NoSuchProfile { profile } => write!(f, "No profile is known as “{profile}”. `cordon profile list` shows those that are."),
            Text::NotAssigned { profile, to } => write!(f, "“{profile}” is not assigned to {to}. `cordon profile show` lists to whom it is."),
            Text::SignatureTakenOff { signer } => {
                write!(f, "It came signed by {signer}. That signature was taken off; devices see the school's own.")
            }
            Text::NoVariable { name } => write!(
                f,
                "{{{{{name}}}}} is no variable: one begins with device. or user., like {{{{user.mail}}}}. As long as it stands there, no device gets this profile."
            ),
            Text::NoSuchPayload { kind } => {
                write!(f, "Apple's schema knows no payload “{kind}”. `cordon profile payloads` lists those that there are.")
            }
            Text::NoSuchVersion { profile, version } => {
                write!(f, "“{profile}” has no version {version}. `cordon profile versions` lists those that there are.")
            }
            Text::EncryptedProfile => f.write_str(
                "This profile is encrypted, so what is in it cannot be checked here, and only the device that it was made for can read it.",
            ),
            Text::UserNotSeen { user } => write!(
                f,
                "Nobody called “{user}” has logged in yet; the profile waits for them. On a Mac only the user who installed the enrolment profile and \
                 network users whom this school knows are ever managed: other local users get device profiles only."
            ),
            Text::SetupPlanThere => f.write_str(
                "There is a set-up plan for the same group or device already. `cordon setup-plan list` shows it; remove it to make another.",
            ),
            Text::NoSuchSetupPlan { id } => write!(f, "No set-up plan {id} is known. `cordon setup-plan list` shows those that are."),
            Text::NobodyManagedThere => f.write_str(
                "No managed user has logged in on this device yet; the profile waits for them. Local users of a Mac who did not install the enrolment \
                 profile are never managed: they get device profiles only.",
            ),
            Text::ClassHasDevices { name, devices } => write!(
                f,
                "“{name}” is a class: its people get this where they log in. Its {devices} device(s) do not; say `--to devices` for those."
            ),
            Text::WrongChannel { request_type, channel, system, hint } => {
                write!(f, "{system} does not take {request_type} on {channel}. {hint}")
            }
            Text::NoSuchPerson { name } => write!(f, "The school has nobody called “{name}”. `cordon user list` shows everybody."),
            Text::PersonExists { name } => write!(f, "The school has somebody called “{name}” already. Choose another short name, or change that person."),
            Text::NameAndGuidDiffer { name } => write!(
                f,
                "The short name “{name}” is one person's and the GUID another's. Correct whichever is wrong; `cordon user list --json` shows both."
            ),
            Text::Appliance(text) => text.english(f),
            Text::Pairs(text) => text.english(f),
            Text::Accounts(text) => text.english(f),
            Text::Planning(text) => text.english(f),
            Text::NoDirectory => f.write_str("No directory is connected. Say where it is with `cordon directory set`."),
            Text::DirectoryUnreached { why } => write!(f, "The directory gave no answer: {why}. Look at its address, the account that asks, and its certificate."),
            Text::NoSuchGroup { name } => write!(f, "There is no group “{name}”. `cordon group list` shows those there are."),
            Text::GroupExists { name } => write!(f, "There is a group “{name}” already. Choose another name, or change that one."),
            Text::NotInThisGroup { name, kind } => write!(
                f,
                "“{name}” is a group of the kind “{kind}” and cannot have that. Devices go into groups of devices and classes, people into \
                 groups of people and classes, teachers into classes; a smart group fills itself."
            ),
            Text::UserNotManaged { user, device } => write!(
                f,
                "“{user}” is no managed user of {device}. On a Mac these are the local user who installed the enrolment profile, and network \
                 users once they have logged in; every other local user has device profiles only. `cordon device show {device}` lists them."
            ),
            Text::GuidTaken { guid } => write!(f, "The record {guid} belongs to somebody else already. `cordon user list --json` shows whose it is."),
        }
    }
}
