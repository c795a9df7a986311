//! Words of what belongs to the server itself and to whole devices before anybody uses them: set-up plans, the directory, keys, authorities.

super::group! {
    /// Plans, directory, keys.
    Serving,
    nav_plans: "Set-up plans";
    plans_lead: "What a new device gets while Setup Assistant waits: then it goes on, whatever became of it, at the latest when the time is over.";
    plan: "Plan";
    no_plans: "No plan yet. Without one a waiting device gets what is assigned to it, and goes on after five minutes.";
    plan_new: "Make a plan";
    plan_for: "For whom";
    plan_everybody: "Every device without a plan of its own";
    plan_group: "The devices of a group";
    plan_device: "One device";
    plan_whom_hint: "Name of the group, or serial number of the device. Empty for every device.";
    plan_profiles: "Profiles";
    plan_profiles_hint: "Identifiers, one on each line. They stay assigned afterwards.";
    plan_apps: "Apps";
    plan_apps_hint: "One on each line: the number in Apple's store, or the address of a manifest.";
    plan_limit: "Longest wait, in seconds";
    plan_limit_hint: "10 to 3600.";
    plan_account: "Accounts of a Mac";
    plan_account_hint: "AccountConfiguration: the person's account and a hidden administrator.";
    plan_steps: "Steps";
    plan_remove: "Remove the plan";
    plan_remove_sure: "Yes, remove it";
    not_a_store_number: "is neither a number of Apple's store nor an https address";

    nav_directory: "Directory";
    directory_lead: "People are taken over from your LDAP directory once a day; nothing is ever written there. Passwords are checked there and kept nowhere.";
    directory_none: "No directory is set.";
    directory_url: "Address";
    directory_url_hint: "ldaps://ldap.school.example, or ldap:// with StartTLS.";
    directory_base: "Where people are";
    directory_base_hint: "Like ou=people,dc=school,dc=example.";
    directory_filter: "Which records";
    directory_filter_hint: "An LDAP filter. Empty: every record with the attribute below.";
    directory_bind: "Log in as";
    directory_bind_hint: "A name that may read; empty for a directory that lets everybody read.";
    directory_password: "With the password";
    directory_ca: "Its authority (PEM)";
    directory_ca_hint: "Only when its certificate is not from a public authority.";
    directory_short: "Attribute of the short name";
    directory_short_hint: "uid; in Active Directory sAMAccountName.";
    directory_set: "Set the directory";
    directory_test: "Try it";
    directory_sync: "Take people over now";
    directory_forget: "Forget the directory";
    directory_forget_sure: "Yes, forget where it is; its people stay";
    directory_found: "People that it has";
    directory_last: "Last look";
    directory_added: "Added";
    directory_changed: "Changed";
    directory_vanished: "Switched off, because it has them no more";
    directory_troubles: "Could not be taken over";

    nav_keys: "Keys";
    keys_lead: "Everything secret is sealed with a data key, and that key with this machine's own. The school's own authorities sign what devices trust.";
    keys_data: "Data key";
    keys_in_force: "In force";
    keys_older: "Older ones that still open something";
    keys_left: "Secrets that wait for the newest key";
    keys_code: "Recovery code made";
    keys_rotate: "Replace the data key";
    keys_rotate_does: "A new key seals from now on; what older ones sealed follows in steps while the server runs. Copies of the database from before need the recovery code of their time.";
    keys_code_what: "The recovery code";
    keys_code_new: "Make a new one";
    keys_code_keep: "Keep the present one, which I type below";
    keys_code_none: "There is none";
    keys_code_typed: "Present recovery code";
    keys_machine: "Replace this machine's key";
    keys_machine_does: "The file with the machine's key is written anew. An older copy of that file opens nothing any more.";
    authorities: "Authorities";
    authority_root: "Root";
    authority_issuing: "Issues identities";
    authority_tls: "Speaks for the server (TLS)";
    authority_signer: "Signs profiles";
    authority_escrow: "Receives FileVault keys";
    authority_identity: "Identity";
    authority_push: "Push";
    authority_next: "To come";
    authority_devices: "Devices that do not hold the new root";
    authority_none_missing: "Every enrolled device holds what is in force and what is to come.";
    root_replace: "Replace the root";
    root_replace_does: "The new root goes out to every device first, and is not used before each has proven to hold it. It can be given up until then.";
    root_finish: "Put the new root in force";
    root_cancel: "Give the new root up";
    issuing_replace: "Replace what issues identities";
    signer_replace: "Replace what signs profiles";
    tls_replace: "Renew the TLS certificate";
    below_the_root: "What stands below the root";
    below_the_root_does: "Replaced at once; no device has to do anything.";

    sheet_sealed: "Print a sheet for the sealed envelope";
    sheet_sealed_does: "Every secret in force on one page, to be put into an envelope, sealed and locked away. It is in the audit before it is shown.";
    sheet_theft: "Print a sheet for the police";
    sheet_theft_does: "Serial number, IMEI, when it was last heard of, and its last known place. That you looked is in the audit.";
    sheet_print: "Show the sheet";
}
