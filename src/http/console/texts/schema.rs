//! Words of forms that follow from Apple's schema, and of what is built with them: any command, a profile of typed payloads.

super::group! {
    /// Commands and payloads by the schema.
    Schema,
    not_set: "Not set";
    to: "to";
    at_least: "at least";
    at_most: "at most";
    a_date: "like 2026-09-01T07:30:00Z";
    one_a_line: "one on each line";
    as_json: "as JSON";
    any_command: "Any command";
    any_command_lead: "Every command that Apple's schema has, with what would become of it on this device.";
    any_command_here: "Those that would run";
    any_command_others: "Those that would not";
    apple_name: "Apple's name";
    send: "Send it";
    no_keys: "It takes no further keys.";
    for_user: "For the user";
    for_user_hint: "Short name of a user of the device, for a user's channel. Empty for the device itself.";
    times: "When";
    not_before: "Send not before";
    not_before_hint: "Empty: as soon as the device comes.";
    give_up: "Give up after";
    give_up_hint: "A device that has not fetched it by then does not get it any more. Empty: it waits for as long as it takes.";
    by_clock: "By the school's clock:";
    by_utc: "In UTC, as long as the school has no time zone (Schedules).";
    raw: "Your own property list";
    raw_link: "Send a property list of your own";
    raw_warning: "Nothing here is checked against Apple's schema. A wrong key may do nothing, or something else than you meant, and nobody can take it back. Use the form of the command wherever there is one.";
    raw_label: "Property list (XML)";
    raw_hint: "A dictionary with RequestType and its keys, or a whole command with CommandUUID.";
    raw_sure: "I know what this does";
    build: "Build one";
    build_lead: "What should it set? The fields follow from Apple's schema; nothing is sent before you assign the profile to somebody.";
    build_others: "Everything else that Apple's schema has";
    payload: "Settings";
    payload_show: "Show its fields";
    payload_id: "Identifier";
    payload_id_hint: "Its name on devices, like school.wifi. The same identifier again is the next version of that profile.";
    payload_name_hint: "What people call it.";
    payload_add: "Add it to the library";
    systems: "Systems";
    on_device: "for the device";
    on_user: "for users";
    from_version: "from";
    until_version: "gone since";
    supervised_only: "only supervised";
    variables_hint: "{{user.email}}, {{device.serial}} and your own fields may stand in any text: they are filled in for each device when it is sent.";
    doubts: "Looked over";
    no_doubts: "Nothing looks wrong.";
    wrong: "Wrong";
    doubtful: "Doubtful";
    versions: "Versions";
    differences: "What changed";
    differences_between: "from version";
    differences_none: "Nothing differs.";
    before: "Before";
    after: "After";
    key: "Key";
    current: "in force";
}
