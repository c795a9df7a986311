//! Every word of the console's pages, in one place: a translation is another value of [`Words`], and an office is one already. Words of
//! errors are in `base::texts`. Sentences are whole, so that another language may build them its own way.

/// Declares the words and their English.
macro_rules! words {
    ($($name:ident: $english:literal;)*) => {
        /// The words of one language.
        #[derive(Clone, Copy)]
        pub struct Words { $(pub $name: &'static str,)* }
        /// English, for a school.
        pub static ENGLISH: Words = Words { $($name: $english,)* };
    };
}

words! {
    skip: "Skip to the content";
    nav_label: "Main";
    crumbs_label: "Where you are";
    nav_home: "Overview";
    nav_devices: "Devices";
    log_in: "Log in";
    log_out: "Log out";
    login_lead: "Device management. Log in with the name and the password that you were given.";
    name: "Name";
    password: "Password";
    code: "Code of your authenticator app";
    code_hint: "Only if you have set one up.";
    to_start: "To the overview";
    title_not_found: "There is nothing here";
    title_not_allowed: "This is not for your role";
    title_not_done: "This was not done";
    title_fault: "Something went wrong";
    role_owner: "Owner";
    role_admin: "Admin";
    role_helpdesk: "Help desk";
    role_teacher: "Teacher";
    role_auditor: "Auditor";
    months: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    all: "All";
    never: "never";
    next: "Next page";
    to_first: "First page";
    search: "Show";
    what: "What";
    ends: "Ends";
    ended: "Ended on";
    name_of_it: "Name";
    said_decided: "Done. The device is served by it from now on.";

    home_title: "Is everything all right?";
    home_good: "Everything is all right.";
    home_look: "Something wants your attention.";
    home_no_push: "No push certificate yet: devices can enrol once it is imported.";
    home_bad: "Something is wrong.";
    home_faults: "What is wrong";
    home_pushes_fail: "Apple's push service cannot be reached. Devices come by themselves meanwhile. It has failed since";
    home_enrolled: "devices enrolled";
    home_known: "known in all";
    home_seen_day: "seen in the last 24 hours";
    home_seen_week: "in the last 7 days";
    home_waiting: "commands wait";
    home_oldest: "the oldest since";
    home_nothing_waits: "Nothing waits.";
    home_failed: "commands failed today";
    home_done: "done today";
    home_unreachable: "devices cannot be called";
    home_unreachable_hint: "They are served when they come by themselves.";
    home_lost: "devices are lost or missing";
    home_lost_hint: "Marked by a person.";
    home_seen: "Devices seen";
    home_seen_about: "Devices seen on each of the last 14 days";
    home_versions: "Systems";
    home_versions_about: "Enrolled devices by version of their system";
    home_no_versions: "No device has told its system yet.";
    home_age: "How long commands have waited";
    home_age_about: "Waiting commands by age";
    age_hour: "Under an hour";
    age_day: "Under a day";
    age_week: "Under a week";
    age_month: "Under a month";
    age_older: "Longer";
    home_ending: "Ends soon";
    home_nothing_ends: "Nothing ends within 60 days.";
    certificate_push: "Push certificate";
    certificate_tls: "Certificate of this server";
    certificate_issuing: "Authority for device identities";
    certificate_root: "Root of this place";
    decide: "Decide";
    more_to_decide: "more wait for a decision; they come up when these are decided.";
    do_take_back: "Take it back";
    do_block: "Tell it to leave";
    do_release_quarantine: "This is the original: let it go on";
    do_rebind: "This is the same device: accept its certificate";
    do_renew: "Try the renewal again";
    attention_came_back: "It had left and shows its old identity again, as after the restore of a backup. Until you decide it is refused, and nothing happens to it.";
    attention_clone: "Another device showed this one's identity: its disk or key was copied. The identity is set aside. If this is the original, let it go on; enrol the other one anew with a profile of its own.";
    attention_other_identity: "It shows a certificate of ours that is not its present one, as after a renewal that only the device knows of. Accept it if this is really the same device.";
    attention_renewal: "Its identity could not be renewed. Try again; if it keeps failing, enrol it anew before the identity ends.";

    device: "Device";
    model: "Model";
    system: "System";
    standing: "Status";
    last_seen: "Last seen";
    waiting: "Waiting";
    search_devices: "Name, serial number, model or user";
    devices_none: "No device has enrolled yet.";
    devices_none_such: "No device fits this. Try fewer words, or another status.";
    filter_waiting: "With waiting commands";
    filter_quiet: "Not seen for 7 days";
    filter_lost: "Lost or missing";
    state_enrolled: "Enrolled";
    state_started: "Not finished";
    state_gone: "Left";
    state_blocked: "Blocked";
    state_unreachable: "Cannot be called";
    state_lost: "Lost";
    state_missing: "Missing";
    state_lost_mode: "Lost Mode on";
    command_queued: "Waits to be fetched";
    command_sent: "Sent, not answered";
    command_not_now: "Not now";
    command_done: "Done";
    command_failed: "Failed";
    command_not_understood: "Not understood";
    command_cancelled: "Cancelled";
    command_expired: "Expired";
    command_cleared: "Cleared";

    nav_commands: "Commands";
    said_done: "Done.";
    said_queued: "Queued. The device is being called.";
    said_pushed: "The device is being called.";
    said_marked: "Done. What it means for the device stands below.";
    said_cancelled: "Cancelled: it will not be sent.";

    do_push: "Call it";
    do_ask: "Ask what it is";
    more_actions: "More that can be done";
    waiting_title: "What waits, and why";
    nothing_waits: "No command waits here.";
    more_wait: "more wait behind these.";
    never_enrolled: "This device is not enrolled.";
    about_title: "About";
    serial: "Serial number";
    build: "Build";
    supervised: "Supervised";
    known_since: "Known since";
    enrollment_id: "Enrolment";
    last_called: "Last called";
    identity_ends: "Identity ends";
    renews: "renews by itself on";
    lost_since: "Missed since";
    yes: "yes";
    no: "no";
    not_known: "not known";
    users_title: "Users";
    user: "User";
    not_on_console: "Not at the screen";
    profiles_title: "Profiles";
    profile: "Profile";
    no_profiles: "No profile is assigned, and the device reported none.";
    no_commands: "No commands yet.";
    all_commands: "All its commands";
    secrets_title: "Kept in custody";
    no_secrets: "Nothing of this device is in custody.";
    see_secrets: "See what is kept";
    story_title: "What happened";
    whole_story: "The whole story";
    newest_first: "Newest first";
    no_story: "Nothing has happened yet.";
    its_command: "command";

    cannot_be_undone: "Think twice: this cannot be taken back.";
    what_it_does: "What this does";
    how_it_stands: "How the device stands now";
    ahead: "command(s) wait already and may go first.";
    reason: "Reason";
    reason_hint: "At least 10 characters. It is kept in the audit for ever.";
    pin: "PIN of six digits";
    pin_hint: "Whoever unlocks the Mac types it. It is kept in custody.";
    message: "Message on the screen";
    phone: "Phone number on the screen";
    footnote: "Footnote on the screen";
    type_name: "Name of the device";
    type_name_hint: "To be sure that it is this one, type its name:";
    not_its_name: "is not the name of this device";
    lock: "Lock";
    lock_does: "Locks the screen at once. Whoever knows the passcode opens it again. A Mac restarts and stays locked until the PIN is typed.";
    lock_button: "Lock it";
    restart: "Restart";
    restart_does: "Restarts the device at once; unsaved work is lost. An iPhone or iPad must be supervised, and with a passcode it is off the Wi-Fi until somebody unlocks it.";
    restart_button: "Restart it";
    shut_down: "Shut down";
    shut_down_does: "Switches the device off. It cannot be reached until somebody switches it on again.";
    shut_down_button: "Shut it down";
    clear_passcode: "Clear the passcode";
    clear_passcode_does: "Opens the device for whoever holds it, and switches its data protection off until a new passcode is set. Only for a device that is in the hands of its owner: be sure of that first, and say how.";
    clear_passcode_button: "Clear the passcode";
    possession: "How do you know that the owner holds it?";
    possession_hint: "For example “She is standing in front of me with it”. At least 10 characters; kept in the audit for ever.";
    lost: "Mark as lost";
    lost_does: "Marks the device as lost and puts it into Lost Mode: it is locked and shows your words to whoever finds it. A waiting clearing of its passcode is stopped. A Mac is only marked.";
    lost_button: "Mark as lost";
    lost_message_hint: "Give a message or a phone number: the finder sees it.";
    missing: "Only mark it as missing";
    missing_hint: "Nothing is sent to the device.";
    found: "It was found";
    found_does: "Takes the mark away and ends Lost Mode, so that the device can be used again.";
    found_button: "It was found";
    locate: "Ask where it is";
    locate_does: "Asks the device for its place. It answers only in Lost Mode. Whoever uses it is told afterwards that its place was asked for.";
    locate_button: "Ask where it is";
    whereabouts: "Where it was";
    whereabouts_does: "Shows where the device said it was. That you looked, and why, is kept in its story and in the audit.";
    whereabouts_button: "Show where it was";
    where_it_was: "As the device said it";
    erase: "Erase";
    erase_does: "Deletes everything on the device and takes it back to how it left the factory. What was not saved elsewhere is gone.";
    erase_button: "Erase everything on it";
    remove: "Remove management";
    remove_does: "Takes the device out of management. Everything that came with it goes too: its profiles, managed apps and their data, managed accounts. To come back it must be enrolled anew.";
    remove_button: "Remove management";
    block: "Block";
    block_does: "Tells the device to leave the next time it comes, and refuses it until it is unblocked. Everything that came with management goes too.";
    block_button: "Block it";
    unblock: "Unblock";
    unblock_does: "Lets the device enrol again. It does not come back by itself.";
    unblock_button: "Unblock it";

    command: "Command";
    asked_by: "Asked by";
    asked: "Asked";
    cancel: "Cancel it";
    not_one_of_ours: "is not one that this page gives";
    sent_times: "Times sent";
    not_now_times: "Times put off";
    number: "Number";
    answer: "What the device answered";
    error_chain: "What the device complained of";
    why_title: "Where it is, and why";

    story_queued: "Asked for";
    story_sent: "Fetched by the device";
    story_not_now: "The device said “not now”";
    story_done: "Done by the device";
    story_failed: "The device could not do it";
    story_not_understood: "The device did not understand it";
    story_cancelled: "Cancelled";
    story_expired: "Its time was over";
    story_late: "An answer came late";
    story_already_sent: "Could not be stopped any more";
    story_authenticate: "Began to enrol";
    story_token_update: "Said how it can be called";
    story_check_out: "Left management";
    story_set_bootstrap: "Handed over its bootstrap token";
    story_get_bootstrap: "Asked for its bootstrap token";
    story_user_authenticate: "A user logged in";
    story_user_channel: "A user's channel appeared";
    story_secret_kept: "A secret was put into custody";
    story_secret_revealed: "A secret was shown";
    story_location_shown: "Its place was shown";
    story_lost: "Marked as lost";
    story_missing: "Marked as missing";
    story_found: "Found again";
    story_came_back: "Came back with its old identity";
    story_clone: "Another device showed its identity";
    story_other_identity: "Showed another certificate";
    story_taken_back: "Taken back";
    story_block: "Blocked";
    story_unblock: "Unblocked";
    story_release: "Released on the server";
    story_remove: "Is to leave management";
    story_removed: "Removed from management";
    story_renewed: "Its identity was renewed";
    story_renewal_failed: "The renewal of its identity failed";
    secret_unlock: "Unlock token";
    secret_bootstrap: "Bootstrap token";
    secret_filevault: "FileVault key";
    secret_activation: "Activation Lock bypass code";
    secret_server_activation: "Activation Lock bypass code of this server";
    secret_recovery_lock: "Recovery lock";
    secret_firmware: "Firmware password";
    secret_pin: "PIN of a lock";
    request_information: "Ask what it is";
    request_profile: "Install a profile";
    request_remove_profile: "Remove a profile";
    request_apps: "Ask for its apps";
    request_security: "Ask for its security";
    request_profiles: "Ask for its profiles";
    request_certificates: "Ask for its certificates";
    request_lost_on: "Switch Lost Mode on";
    request_lost_off: "Switch Lost Mode off";
}

/// English, for an office: nobody teaches.
pub static OFFICE: Words = Words { role_teacher: "Team lead", ..ENGLISH };

impl Words {
    pub fn role(&self, role: &str) -> &'static str {
        match role {
            "owner" => self.role_owner,
            "admin" => self.role_admin,
            "helpdesk" => self.role_helpdesk,
            "teacher" => self.role_teacher,
            _ => self.role_auditor,
        }
    }

    /// What is said on the page after something was done, by its id in the address.
    pub fn said(&self, id: &str) -> Option<&'static str> {
        Some(match id {
            "decided" => self.said_decided,
            "done" => self.said_done,
            "queued" => self.said_queued,
            "pushed" => self.said_pushed,
            "marked" => self.said_marked,
            "cancelled" => self.said_cancelled,
            _ => return None,
        })
    }

    /// 2026-11-22 as "22 Nov".
    pub fn day_of(&self, date: &str) -> String {
        let (month, day) = (date.get(5..7).unwrap_or_default(), date.get(8..10).unwrap_or_default());
        let months: Vec<&str> = self.months.split(' ').collect();
        let name = month.parse::<usize>().ok().and_then(|m| months.get(m.wrapping_sub(1)).copied()).unwrap_or_default();
        format!("{} {name}", day.trim_start_matches('0'))
    }

    pub fn certificate(&self, what: &str) -> &'static str {
        match what {
            "push" => self.certificate_push,
            "tls" => self.certificate_tls,
            "issuing" => self.certificate_issuing,
            _ => self.certificate_root,
        }
    }

    pub fn attention(&self, kind: &str) -> &'static str {
        match kind {
            "came-back" => self.attention_came_back,
            "clone" => self.attention_clone,
            "other-identity" => self.attention_other_identity,
            _ => self.attention_renewal,
        }
    }

    /// The state of a command.
    pub fn command(&self, state: &str) -> &'static str {
        match state {
            "Queued" => self.command_queued,
            "Sent" => self.command_sent,
            "NotNow" => self.command_not_now,
            "Acknowledged" => self.command_done,
            "Error" => self.command_failed,
            "CommandFormatError" => self.command_not_understood,
            "Cancelled" => self.command_cancelled,
            "Expired" => self.command_expired,
            _ => self.command_cleared,
        }
    }

    /// A command by its purpose; Apple's own name where there is no better one.
    pub fn request(&self, request_type: &str) -> String {
        let words = match request_type {
            "DeviceInformation" => self.request_information,
            "DeviceLock" => self.lock,
            "RestartDevice" => self.restart,
            "ShutDownDevice" => self.shut_down,
            "ClearPasscode" => self.clear_passcode,
            "EraseDevice" => self.erase,
            "EnableLostMode" => self.request_lost_on,
            "DisableLostMode" => self.request_lost_off,
            "DeviceLocation" => self.locate,
            "InstallProfile" => self.request_profile,
            "RemoveProfile" => self.request_remove_profile,
            "InstalledApplicationList" => self.request_apps,
            "SecurityInfo" => self.request_security,
            "ProfileList" => self.request_profiles,
            "CertificateList" => self.request_certificates,
            other => return other.to_owned(),
        };
        words.to_owned()
    }

    pub fn secret(&self, kind: &str) -> &'static str {
        match kind {
            "unlock-token" => self.secret_unlock,
            "bootstrap-token" => self.secret_bootstrap,
            "filevault-key" => self.secret_filevault,
            "activation-lock-code" => self.secret_activation,
            "activation-lock-server-code" => self.secret_server_activation,
            "recovery-lock" => self.secret_recovery_lock,
            "firmware-password" => self.secret_firmware,
            _ => self.secret_pin,
        }
    }
}
