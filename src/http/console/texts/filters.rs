//! Words of smart groups, as sentences that a person reads, and of fields of one's own.

super::group! {
    /// Filters and fields.
    Filters,
    smart_new: "Make a smart group";
    smart_lead: "Say what its devices have in common. Who fits is looked up again whenever the group is used, so nobody has to keep it.";
    fits_all: "All of these";
    fits_any: "Any of these";
    join: "Which must be true";
    field: "What is looked at";
    operator: "How";
    value: "Value";
    rule: "Rule";
    nothing: "Not used";
    platform: "System";
    model: "Model number";
    model_name: "Model";
    product_name: "Product";
    name: "Name";
    serial: "Serial number";
    os_version: "Version of the system";
    build_version: "Build of the system";
    supervised: "Supervised (yes or no)";
    lost: "Lost or missing (yes or no)";
    equal: "is";
    not_equal: "is not";
    less: "is below";
    at_most: "is at most";
    more: "is above";
    at_least: "is at least";
    contains: "contains";
    and: "and";
    or: "or";
    who_fits: "Who fits now";
    count: "Count";
    devices_fit: "devices fit.";
    nobody_fits: "No device fits now.";
    as_written: "As it is written";
    group_name: "Name of the group";
    change: "Change the filter";
    too_deep: "This filter was written by hand, with parentheses. Rows cannot show it; new rows replace it.";
    own_fields: "Own fields";
    own_fields_hint: "Anything that profiles should fill in, like a room or an asset number. In a profile it is written as the name in double braces.";
    field_name: "Name of the field";
    field_name_hint: "Lower-case letters, digits and underscores.";
    field_none: "No field is set.";
    field_set: "Set it";
}
