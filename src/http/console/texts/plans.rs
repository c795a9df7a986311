//! Words of schedules and of the inventory.

super::group! {
    /// When something is to be there, and what stands on devices.
    Plans,
    nav_schedules: "Schedules";
    schedules_lead: "A profile can be there only at certain times: it is sent when a window opens and removed when it closes, by the clock on the wall.";
    no_schedules: "There are no schedules. A profile is there always unless its assignment follows one.";
    new_schedule: "Make a schedule";
    windows: "Windows";
    windows_hint: "One in a line: days, then from and until, such as Mon-Fri 08:00-12:30. One that ends before it begins goes on past midnight.";
    on_holidays: "Windows open on holidays too";
    open_now: "Open";
    closed_now: "Closed";
    opens: "Opens";
    followed_by: "Followed by";
    followed_by_none: "No assignment follows it.";
    calendar: "Time zone and holidays";
    time_zone: "Time zone";
    time_zone_hint: "Such as Europe/Berlin. Schedules go by its clock.";
    time_zone_none: "Not set: UTC";
    holidays: "Holidays";
    holidays_hint: "One in a line: 2026-12-21, or 2026-12-21..2027-01-06. On these dates no window opens.";
    holidays_none: "None";
    during: "When";
    always: "Always";
    remove_schedule_sure: "Remove this schedule";
    inventory: "What stands on it";
    apps: "Apps";
    app: "App";
    version: "Version";
    apps_none: "It has not told its apps yet, or has none.";
    certificates: "Certificates";
    certificates_none: "It has not told its certificates yet, or has none.";
    issued_by: "Issued by";
    changes: "What changed";
    changes_none: "Nothing changed since it was first asked.";
    before: "Before";
    after: "After";
    who_has: "Which devices have an app?";
    who_has_hint: "Part of its name or its identifier.";
    who_has_none: "No device has told of such an app.";
    take_out: "As a file";
    take_out_hint: "Every device that you may see, as it told last what stands on it.";
    as_csv: "Devices (CSV)";
    apps_as_csv: "Apps (CSV)";
    as_json: "Devices (JSON)";
}
