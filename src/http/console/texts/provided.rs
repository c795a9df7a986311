//! Words of accounts on devices, and of provisioning profiles.

super::group! {
    /// What people and their devices are provided with.
    Provided,
    nav_accounts: "Accounts";
    accounts_lead: "Mail, calendars, Wi-Fi and the like: each account stands in a profile of its own, so that one can be changed, repaired or removed without the others.";
    account: "Account";
    accounts_none: "There are no accounts yet. What everybody has in common is a profile; an account is one person's or one device's.";
    kind: "Kind";
    kind_mail: "Mail";
    kind_exchange: "Exchange on iPhone and iPad";
    kind_exchange_mac: "Exchange on a Mac";
    kind_caldav: "Calendars (CalDAV)";
    kind_carddav: "Contacts (CardDAV)";
    kind_ldap: "Directory of people (LDAP)";
    kind_wifi: "Wi-Fi";
    kind_vpn: "VPN";
    holder: "Whose it is";
    holder_name: "Person or device";
    holder_hint: "The person's short name or mail address, or the device's serial number.";
    of_person: "A person, wherever they log in";
    of_device: "A device itself";
    holder_gone: "Nobody any more";
    proof: "Proves itself by";
    by_ask: "The device asks its user";
    by_password: "A password";
    by_certificate: "A certificate of this place's, replaced a month before it ends";
    password_hint: "Only where it proves itself by password. Sealed until the devices have it, and then forgotten.";
    kept: "Sealed here until every device has it";
    not_kept: "On the devices, and not here any more";
    ends: "Ends";
    new_account: "Add an account";
    choose_kind: "What kind of account?";
    settings: "Settings";
    profile: "Its profile";
    new_password: "New password";
    new_password_does: "Exactly this account's profile is replaced on the devices of the account. No other password is needed or known.";
    put_password: "Send the new password";
    repair: "Repair it";
    repair_does: "Its profile is installed once more, and no other. The password is not kept here, so the device asks its user; an account with a certificate gets a new one.";
    remove_account_does: "Its profile leaves every device of the account, with what the account brought there. Its certificate is worth nothing from then on.";
    remove_account_sure: "Yes, take it off the devices";
    self_service: "People give their own accounts a new password themselves at";
    split: "Split it";
    split_does: "This profile sets up several accounts. Split, each gets a profile of its own, assigned to the same, and can be changed or removed by itself. On the devices the accounts go for a moment and come back one by one.";

    nav_provisioning: "App profiles";
    provisioning_lead: "Provisioning profiles let devices run apps of your own that come from no store. Each upload for an app takes the place of the one before.";
    provisioning: "Provisioning profile";
    provisioning_none: "There are none. Add the .mobileprovision of an app of yours.";
    app: "App";
    returned: "Came back";
    add_provisioning: "Add a provisioning profile";
    provisioning_file: "File";
    provisioning_file_hint: "A .mobileprovision, as Apple's developer site gave it. One for an app that is there takes the place of the one before: each device gets the new one before it loses the old one.";
    uploads: "Uploads";
    uuid: "UUID";
    signed_by: "Signed by";
    named_devices: "For";
    all_devices: "All devices of the team";
    in_force: "In force";
    on_devices: "On devices";
    nowhere: "No device has it yet.";
    state: "State";
    provisioning_whom_hint: "The serial number of a device, or the name of a group of devices, a smart group or a class.";
    remove_sure: "I know that this is no revocation; take it off the devices";
    take_off_again: "Take it off again";
    try_again: "Try again where it was refused";
}
