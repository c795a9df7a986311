//! Every word of the console's pages, in one place: a translation is another value of [`Words`], and an office is one already. Words of
//! errors are in `base::texts`. Sentences are whole, so that another language may build them its own way.

mod saying;
mod upkeep;

mod deeds;
mod filters;
mod logins;
mod plans;
mod provided;
mod push;
mod schema;
mod server;
mod told;

/// Declares a group of words and their English.
macro_rules! group {
    ($(#[$about:meta])* $group:ident, $($name:ident: $english:literal;)*) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub struct $group { $(pub $name: &'static str,)* }
        impl $group {
            pub const ENGLISH: $group = $group { $($name: $english,)* };
        }
    };
}
use group;

/// Declares the words that many pages use, and their English.
macro_rules! words {
    ($($name:ident: $english:literal;)*) => {
        /// The words of one language.
        #[derive(Clone, Copy)]
        pub struct Words {
            $(pub $name: &'static str,)*
            /// What can be done to devices, and what would become of it.
            pub deeds: deeds::Deeds,
            /// Who may log in, and how.
            pub door_words: logins::Logins,
            /// Smart groups, and fields of one's own.
            pub filters: filters::Filters,
            /// Accounts and provisioning profiles.
            pub provided: provided::Provided,
            /// The push certificate.
            pub push_words: push::Push,
            /// Plans, directory, keys.
            pub serving: server::Serving,
            /// Forms by Apple's schema.
            pub schema: schema::Schema,
            /// Schedules and the inventory.
            pub plans: plans::Plans,
            /// What happened.
            pub tale: told::Told,
        }
        /// English, for a school.
        pub static ENGLISH: Words = Words {
            $($name: $english,)*
            deeds: deeds::Deeds::ENGLISH,
            door_words: logins::Logins::ENGLISH,
            filters: filters::Filters::ENGLISH,
            provided: provided::Provided::ENGLISH,
            push_words: push::Push::ENGLISH,
            serving: server::Serving::ENGLISH,
            schema: schema::Schema::ENGLISH,
            plans: plans::Plans::ENGLISH,
            tale: told::Told::ENGLISH,
        };
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
    and_more: "more are not named here.";
    to_first: "First page";
    search: "Show";
    what: "What";
    ends: "Ends";
    ended: "Ended on";
    said_decided: "Done. The device is served by it from now on.";

    home_title: "Is everything all right?";
    home_begin: "Where to begin";
    home_no_device: "No device is enrolled yet. An invitation lets the first one in: its person opens your enrolment page and types a short code.";
    home_first_device: "Invite the first device";
    home_good: "Everything is all right.";
    home_look: "Something wants your attention.";
    home_no_push: "No push certificate yet: devices can enrol once it is imported.";
    home_bad: "Something is wrong.";
    home_faults: "What is wrong";
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
    why: "Why";
    why_profile: "Why it has this profile, or not";
    why_nothing: "No assignment leads to it.";
    why_beside: "Other profiles that speak about the same:";
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


    mail: "Mail address";
    nav_requests: "Second word";
    nav_enrolment: "Enrolment";
    nav_profiles: "Profiles";
    nav_groups: "Groups";
    nav_people: "People";
    nav_audit: "Audit";
    nav_webhooks: "Webhooks";
    nav_settings: "Settings";
    nav_push: "Push certificate";
    nav_admins: "Who may log in";
    add: "Add";
    save: "Save";
    make: "Make it";
    change_it: "Change it";
    remove_it: "Remove it";
    at: "When";
    who: "Who";
    kind: "Kind";
    since: "Since";
    made_by: "Made by";
    address: "Address";
    line: "Line";
    group: "Group";
    class: "Class";
    team: "Team";
    download: "Download";
    import: "Import";
    valid_for: "Valid for";
    valid_for_hint: "Like 12h, 90d or 2w.";
    shown_once: "Shown this once";
    shown_once_hint: "It is kept nowhere where it could be read again. Leave this page when you have it.";
    worth_knowing: "Worth knowing";
    verdict: "Verdict";
    own_password: "Your password";
    own_password_hint: "Again, for this session could be anybody's at a screen left open.";

    secrets_lead: "Every generation, also after the device left. Showing one is in the audit before it is seen.";
    secret_kind: "Secret";
    generation: "Generation";
    secret_cleared: "Cleared by a command";
    secret_withdrawn: "Taken back by the device";
    secret_confirmed: "In force";
    secret_pending: "On its way";
    secret_unconfirmed: "Not confirmed";
    reveal: "Show it";
    reveal_does: "Shows the secret to you, this once. Your name and your reason are written into the audit and into the story of the device first. Where the two-person rule holds, somebody else must agree within an hour; then ask again.";
    requests_lead: "Under the two-person rule somebody else must agree before a secret is shown or a passcode is cleared. An agreement is good for an hour, and for once.";
    no_requests: "Nobody waits for a second word.";
    request_used: "Used";
    request_waits: "Waits for a second person";
    agreed_by: "Agreed by";
    agree: "Agree";
    agree_lead: "Your name is written into the audit. Ask the person what it is for first.";

    did: "What was done";
    about_what: "About";
    outcome: "Outcome";
    refused: "Refused";
    audit_none: "Nothing fits this.";
    audit_files: "As files";
    audit_files_hint: "A file holds at most 20,000 rows, and says in its name which. All of it at once: cordon audit export, on the server.";
    audit_rows_range: "Rows";
    verify: "Verify";
    as_table: "As a table (CSV)";
    as_lines: "As lines (JSON)";
    audit_whole: "Whole: every row follows from the one before.";
    audit_broken: "Not whole: somebody changed it, or the disk did.";
    audit_broken_at: "It is broken at row";
    audit_cut: "Rows were taken away before row";
    audit_rows: "Rows looked at:";
    audit_head: "Hash of the last row:";

    webhooks_lead: "Other programs are told over HTTPS what happens here, signed, in order, and again until they have taken it.";
    no_webhooks: "Nobody is told anything yet.";
    new_webhook: "Add a webhook";
    enabled: "Switched on";
    switch_on: "Switch on";
    switch_off: "Switch off";
    webhook_address_hint: "Begins with https://.";
    events: "Events";
    events_hint: "One on each line; none for everything. There are";
    webhook_secret_hint: "The receiver checks signatures with it. It is kept nowhere where it could be read again.";
    new_secret: "New secret";
    webhook_log: "What it was told";
    webhook_log_empty: "It was told nothing yet.";
    told: "Event";
    attempts: "Attempts";
    delivered: "Taken";
    given_up: "Given up";
    tried_again: "Is tried again";
    tell_again: "Tell it again";
    test: "Send a test";

    place: "This place";
    organization: "Name";
    kind_of_place: "What it is";
    kind_hint: "In an office there are no classes and no teachers.";
    a_school: "A school";
    an_office: "An office";
    retention: "How long things are kept";
    retention_hint: "In days. The audit and what is in custody are kept for ever.";
    keep_results: "Answers of devices";
    keep_timeline: "What happened to devices";
    keep_webhooks: "What webhooks were told";
    logins: "Logins on Macs and Shared iPads";
    login_seconds: "A login waits for its profiles, at most so many seconds";
    login_seconds_hint: "Longer is safer, shorter is more pleasant.";
    shared_ipad: "Who may use a Shared iPad";
    everyone: "Everybody with a Managed Apple Account";
    only_known: "Only people who are known here";
    serve_further: "Serve further local users of a Mac too";
    coming_and_going: "Devices that come and go";
    take_back: "Take every device back that left and shows its old identity";
    take_back_hint: "Otherwise somebody is asked.";
    strangers: "Tell devices that nobody here knows to leave management";
    strangers_hint: "Careful: after the restore of an old copy every device that enrolled since would be lost.";
    expired_days: "Days for which an expired identity may still be renewed";
    renew_at: "Percent of its life that an identity has left when it is renewed";
    renew_spread: "Days over which renewals are spread";
    rights: "What new enrolments let this place do";
    rights_hint: "Devices that are enrolled keep what they were asked for.";
    two_person: "Two-person rule";
    two_person_hint: "Somebody else must agree first.";
    rule_reveal: "Before a secret is shown";
    rule_clear: "Before a passcode is cleared";
    leave: "Leave it as it is";
    recovery: "Recovery code";
    recovery_made: "The code in force was made";
    no_recovery_code: "There is none: a lost machine would take every secret with it.";
    recovery_hint: "With a copy of the database it opens this place on a new machine. A new one ends the old one.";
    new_recovery_code: "Make a new recovery code";
    recovery_shown: "Write it down on paper and put it into the safe. It is shown this once.";


    door: "The door";
    door_square: "Square code of the enrolment page";
    door_hint: "Open this page on the device, or point its camera at the square. To get in one needs an invitation or a password.";
    invite: "Invite";
    carry_profile: "A profile to carry";
    invitations: "Invitations";
    invited: "For";
    uses: "Used";
    no_invitations: "Nobody is invited.";
    invitation_open: "Open";
    invitation_used: "Used up";
    invitation_expired: "Over";
    invitation_revoked: "Revoked";
    invite_lead: "An invitation is a short code that lets a device in. Print a sheet for a group, or read single codes out.";
    invite_names: "Who is invited";
    invite_names_hint: "One on each line; each gets a code of its own. Empty for every pupil of a class.";
    invite_class_hint: "Printed on the sheet, and the invitations can be found by it.";
    invite_uses: "Devices for each";
    invite_as: "Give me";
    invite_as_page: "The codes on a page";
    invite_as_sheet: "A sheet to print and cut";
    invite_many: "These are the first 20; for so many a sheet to print is better.";
    its_code: "Code";
    square: "Square";
    profile_name: "What the profile is called";
    profile_name_hint: "For yourself, such as the device it is for.";
    no_user_channel: "Without a channel for the users of a Mac";
    no_user_channel_hint: "It can never be added later.";
    carry_profile_lead: "A profile enrols one device, within an hour. Send it by AirDrop or carry it over; then open it on the device.";

    no_people: "Nobody fits this.";
    network_login: "Can log in over the network";
    from_directory: "from the directory";
    kept_here: "kept here";
    import_people: "Import people";
    new_person: "Add a person";
    short_name: "Short name";
    short_name_hint: "As on the Mac; it cannot be changed later.";
    full_name: "Full name";
    person_password_hint: "For logins over the network and at the enrolment page. Empty keeps what is there.";
    erase_person: "Erase this person";
    erase_person_sure: "Yes, erase what is known of this person";
    erase_person_does: "What is known of the person goes; the audit keeps a pseudonym. Devices stay as they are.";
    csv_file: "File with people (CSV)";
    csv_hint: "The columns are described in the handbook: Import your people.";
    only_try: "Only try, and say what would happen";
    import_done: "Imported";
    import_tried: "Only tried: nothing was changed";
    import_added: "Added";
    import_changed: "Changed";
    import_unchanged: "Unchanged";
    import_classes: "New classes";
    import_wrong: "Lines that were left out";
    import_none_wrong: "Every line could be read.";
    no_groups: "There are no groups yet.";
    new_group: "Add a group";
    group_of_devices: "Devices";
    group_of_people: "People";
    group_smart: "Smart: by a filter";
    filter: "Filter";
    nobody: "Nobody and nothing yet.";
    taught_by: "Taught by";
    taught_by_hint: "Who logs in under these names sees the devices of this class.";
    person: "Person";
    person_teaching: "Person who teaches";
    login_teaching: "Login that teaches";
    members: "Names";
    members_hint: "One on each line: serial numbers of devices, short names of people.";
    add_members: "Add to it";
    take_out: "Take out";
    dissolve: "Dissolve this group";
    dissolve_sure: "Yes, dissolve it";
    dissolve_does: "Devices and people stay; profiles that are assigned to the group go from them.";

    library_empty: "The library is empty.";
    settings_for: "Settings for";
    assigned: "Assigned to";
    installed: "Installed on";
    new_profile: "Add a profile";
    profile_file: "Profile";
    profile_file_hint: "A .mobileconfig, as Apple Configurator or another editor saves it. One with the same identifier becomes the next version.";
    profile_own_name: "Only to call it otherwise than it calls itself.";
    identifier: "Identifier";
    version: "Version";
    changed_by: "Changed by";
    assigned_to: "Assigned to";
    assigned_nobody: "Nobody has it yet.";
    everyone_on: "Everybody who logs in on a device";
    target_people: "People of a group";
    target_devices: "Devices of a group";
    target_everyone: "Everybody who logs in on devices of a group";
    invite_whom: "Invite";
    invite_by_names: "These names";
    invite_by_people: "People who are known here, by short name";
    invite_by_pupils: "Every pupil of the class";
    whom: "To whom";
    whom_hint: "Name of the group or user, or serial number of the device.";
    assign: "Assign";
    withdraw: "Withdraw";
    remove_profile_sure: "Yes, remove it from the library and from every device";
    remove_profile_does: "Every device that has it loses it, with everything that depends on it.";

    bulk: "To a whole group";
    bulk_lead: "One command for every device of a group. What opens, erases or removes is done to one device at a time.";
    bulk_no_groups: "There is no group with devices yet.";
    bulk_button: "Ask every device of it";
    bulk_before: "Asked before";
    bulk_none: "Nothing was asked of a whole group yet.";
    bulk_progress: "How far it is";
    bulk_finished: "devices are through";
    command_refused: "Could not be asked";
    command_gone: "Long done";
}

/// English, for an office: nobody teaches.
pub static OFFICE: Words = Words { class: "Team", role_teacher: "Team lead", import_classes: "New teams", ..ENGLISH };
