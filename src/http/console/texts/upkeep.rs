//! The words of the pages that look after the server itself: doctor, what ends, backups, reports, e-mail, support bundle.

use super::Words;

macro_rules! words {
    ($($name:ident: $english:literal;)*) => {
        /// The words of one language.
        pub struct Upkeep { $(pub $name: &'static str,)* }
        static ENGLISH: Upkeep = Upkeep { $($name: $english,)* };
    };
}

impl Words {
    pub fn upkeep(&self) -> &'static Upkeep {
        &ENGLISH
    }
}

words! {
    nav: "Upkeep";
    lead: "What keeps the server itself well: is it all right, what ends when, copies of everything, and who is told.";

    doctor: "Doctor";
    doctor_lead: "Looks at everything that a device, a browser or Apple would meet, and lets a simulated device enrol through the real doors. It takes some seconds; half a minute where Apple cannot be reached.";
    doctor_what: "Is everything right? Names, ports, certificates, pushes, and a simulated device that enrols from beginning to end.";
    doctor_begin: "Examine the server now";
    doctor_again: "Examine it again";
    doctor_never: "The server has not been examined since it started.";
    doctor_waits: "It begins in a moment.";
    doctor_running: "Looking";
    doctor_found: "What was found";
    doctor_good: "Nothing is wrong.";
    doctor_warned: "It works; something should be known.";
    doctor_bad: "Something is wrong. The next step stands beside it.";
    doctor_failed: "The examination could not be finished.";
    doctor_at: "Examined";
    good: "Good";
    warning: "Worth knowing";
    bad: "Wrong";
    skipped: "Not looked at";
    next_step: "Next step";
    phase_database: "Database";
    phase_disk: "Disk";
    phase_backup: "Backups";
    phase_clock: "Clock";
    phase_permissions: "Files and who may read them";
    phase_names: "Host name";
    phase_ports: "Ports";
    phase_tls: "Certificate as devices see it";
    phase_certificates: "Certificates and their dates";
    phase_signing: "Signing of messages";
    phase_stand_ins: "Stand-ins";
    phase_proxy: "Proxies";
    phase_push: "Push";
    phase_enrolment: "A simulated device enrols";
    phase_inside: "The examination itself";

    expiry: "What ends when";
    expiry_lead: "Everything that ends one day, soonest first. Who is to be told hears of it 60, 30, 14, 7 and 1 days before.";
    expiry_what: "Certificates, identities, tokens: until when, and what a person must do.";
    expiry_none: "Nothing here has an end yet.";
    by_itself: "Renews by itself";
    when_begun: "Renewed when you begin it";
    by_person: "You renew it";
    feed: "In your calendar";
    feed_hint: "Calendar programs subscribe to a secret address. Whoever knows it can read this calendar and nothing else. A new address ends the one before.";
    feed_new: "Make a new address";
    feed_end: "End the address";
    feed_shown: "Subscribe to this address. It is not shown again.";
    told_how: "Who is told";
    told_mail: "By e-mail";
    told_hooks: "Other programs";
    not_held: "Tokens of Apple's enrolment programme and of Apps and Books will stand here too, once this server holds them.";

    backups: "Backups";
    backups_lead: "Every hour in which something changed, the server puts a complete copy of itself beside the database, and keeps 24 hourly, 14 daily and 12 monthly ones. Copy them to another machine: this page does not help when this machine burns.";
    backups_what: "Complete copies of everything, to download and to keep elsewhere.";
    backups_none: "There is no backup yet.";
    backup_now: "Make a backup now";
    backup_download: "Download";
    backup_size: "Size";
    backup_made: "Made";
    backup_place: "Folder";
    restore: "How to come back from one";
    restore_prove: "Prove a copy, on any machine, without touching anything";
    restore_new: "Bring the school back on a new machine, with the recovery code from your paper";
    restore_hint: "The restored server knows its host name, ports and certificates. Give the new machine the old name in the DNS; devices carry on and enrol no second time.";

    security: "Security report";
    security_lead: "How each enrolled device stands, as it said last. What no device said is unknown. Asking again is done from the page of a device.";
    security_what: "Passcode, encryption, supervision, and whether management can be removed.";
    security_csv: "All of it for a spreadsheet";
    passcode: "Passcode";
    encrypted: "Encrypted";
    supervised: "Supervised";
    removable: "Management can be removed";
    yes: "yes";
    no: "no";
    unknown: "unknown";
    compliant: "as the profiles ask";
    not_compliant: "not as the profiles ask";
    source: "from";
    no_devices: "No device is enrolled.";

    quiet: "Quiet devices";
    quiet_lead: "An enrolled device that says nothing for a day is quiet, and a push asks for it once a day. After the days below it is inactive. Anything that it, or a user on it, says makes it active again.";
    quiet_what: "Which devices were not heard of, what may be the reason, and what is done then.";
    quiet_none: "Every device was heard of within a day.";
    active: "Active";
    quiet_state: "Quiet";
    inactive: "Inactive";
    last_heard: "Last heard of";
    asked: "Last asked by a push";
    causes: "What may be the reason";
    policy: "When a device is inactive, and what is done";
    policy_days: "Days without a word, 1 to 30";
    policy_group: "Put it into this group of devices";
    policy_no_group: "no group";
    policy_alert: "Complain on the overview and to monitors";
    policy_hint: "Webhooks and e-mail that want device.inactive and device.active_again are told in any case.";

    support: "Support bundle";
    support_lead: "What somebody who helps needs to know about this server, without a name in it: no device, no person, no address, no secret. Look through it before you send it.";
    support_what: "A file for whoever helps you, with no names in it.";
    support_make: "Make the bundle and download it";
    support_holds: "What is in it";
    support_takes: "The server is examined for it, which takes some seconds.";
    support_settings: "Version, schema, and which settings are set; of the values only those that name nothing.";
    support_doctor: "What the doctor finds, and the reasons of /healthz, without names and addresses.";
    support_numbers: "How many devices, commands and pushes there are, by state and by system.";
    support_dates: "In how many days things end.";

    mail: "E-mail";
    mail_lead: "People are told by e-mail of what they must do something about. All that waits goes into one letter, at most one in 15 minutes, and is tried again until the server takes it.";
    mail_what: "Who gets a letter when something ends or goes wrong.";
    mail_none: "Nobody is told by e-mail yet.";
    mail_host: "Mail server";
    mail_host_hint: "Its name, without a port.";
    mail_port: "Port";
    mail_port_hint: "Left empty: 465 for TLS, 587 for STARTTLS, 25 on this machine.";
    mail_security: "Security";
    mail_tls: "TLS from the first byte";
    mail_starttls: "STARTTLS";
    mail_plain: "None: a server on this machine";
    mail_user: "Name of the account";
    mail_user_hint: "Left empty, nobody logs in.";
    mail_password: "Password of the account";
    mail_password_hint: "Kept sealed and never shown. Left empty, the one that is held stays, while server and account stay the same.";
    mail_ca: "Authorities of its certificate";
    mail_ca_hint: "PEM, only where the server's certificate is not a public one.";
    mail_from: "Letters come from";
    mail_to: "Letters go to";
    mail_to_hint: "One address in each line, up to 20.";
    mail_events_hint: "One on each line; none for what a person must do something about. There are";
    mail_test: "Send a trial letter";
    mail_taken: "The server took it. Whether it arrives, only the mailbox shows.";
    mail_refused: "Refused";
    mail_state: "How sending goes";
    mail_well: "Well";
    mail_troubled: "Not taken";
    mail_off: "Switched off";
    mail_on_tick: "Send letters";
    mail_last: "Last letter taken";
    mail_log: "What people were told";
    mail_log_empty: "Nothing yet.";
    mail_sent: "Sent";
    mail_remove: "Tell nobody any more";

    webhooks_what: "Other programs that are told over HTTPS of what happens.";
    retention: "How long things are kept";
    retention_what: "Answers, stories of devices, and the logs of what was told.";
    audit_what: "Who did what, and whether the record is whole.";
}
