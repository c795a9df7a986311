//! Smart groups by rows, fields of one's own, set-up plans, the directory's page, keys and authorities, and sheets for paper: each done with
//! nothing but forms.

use super::pages::plant;
use super::{House, PASSWORD};
use cordon::service::directories;

#[test]
fn a_smart_group_is_made_of_rows_and_counts_while_it_is_made() {
    let house = House::new();
    plant(&house, 6, |i| format!("iPad {i}"));
    let ada = house.logged_in("owner");
    let rows = "any=no&field0=platform&how0=%3D&value0=macOS&field1=os_version&how1=%3E%3D&value1=17.2";
    let page = ada.get(&format!("/console/groups/filter?{rows}"));
    page.has("System is macOS and Version of the system is at least 17.2")
        .has("1 devices fit")
        .has("hx-get=\"/console/groups/filter/now\"");
    // The live part is that part alone.
    let piece = ada.get(&format!("/console/groups/filter/now?{rows}"));
    assert!(piece.text.contains("1 devices fit") && !piece.text.contains("<html"), "{}", piece.text);
    assert!(ada.get("/console/groups/filter/now?field0=nonsense&how0=%3D&value0=x").status == 200);
    let filter = "platform = \"macOS\"";
    let fields = [("name", "Macs"), ("kind", "smart"), ("filter", filter)];
    assert_eq!(ada.post(&page, "/console/groups/new", &fields).status, 303);
    // The name is taken: the rows are there again, and it is still a smart group that comes of them.
    let again = ada.post(&page, "/console/groups/new", &fields);
    assert_eq!(again.status, 409);
    again.has("This was not done").has("System is macOS.").has("name=\"kind\" value=\"smart\"");
    ada.get("/console/groups/Macs").has("System is macOS.").has("iPad 1").has("Change the filter");
    ada.get("/console/groups/filter?group=Macs").has("value=\"macOS\"").has("2 devices fit");
    let changed = ada.post(&page, "/console/groups/Macs/filter", &[("filter", "platform = iPadOS")]);
    assert_eq!(changed.status, 303, "{}", changed.text);
    ada.get("/console/groups/Macs").has("System is iPadOS.");
    // Written by hand, with parentheses: shown as a sentence, and the rows begin anew.
    let deep = "platform = iPadOS and (name contains 1 or name contains 2)";
    ada.post(&page, "/console/groups/Macs/filter", &[("filter", deep)]);
    ada.get("/console/groups/filter?group=Macs").has("was written by hand");
    let hostile = "%3Cscript%3E";
    let shown = ada.get(&format!("/console/groups/filter?field0=name&how0=contains&value0={hostile}"));
    assert!(!shown.text.contains("<script>") && shown.text.contains("&lt;script&gt;"));
}

#[test]
fn fields_of_ones_own_are_set_and_taken_away() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room 12"));
    let ada = house.logged_in("owner");
    let device = format!("/console/devices/{}", ids[0]);
    let page = ada.get(&device);
    let set = ada.post(&page, &format!("{device}/fields"), &[("field", "room"), ("value", "12 <b>")]);
    assert_eq!(set.status, 303, "{}", set.text);
    ada.get(&device).has("{{device.room}}").has("12 &lt;b&gt;");
    assert_eq!(ada.post(&page, &format!("{device}/fields"), &[("field", "serial"), ("value", "x")]).status, 422);
    assert_eq!(ada.post(&page, &format!("{device}/fields?out=room"), &[]).status, 303);
    assert!(!ada.get(&device).text.contains("{{device.room}}"));
    ada.post(&page, "/console/people/new", &[("short_name", "bea")]);
    let set = ada.post(&page, "/console/people/bea/fields", &[("field", "house"), ("value", "North")]);
    assert_eq!(set.status, 303, "{}", set.text);
    ada.get("/console/people/bea").has("{{user.house}}").has("North");
}

#[test]
fn a_set_up_plan_is_made_and_removed() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/plans/new");
    page.has("Skip primary setup account creation").has("Longest wait");
    let path = "/console/plans/new";
    let wrong = ada.post(&page, path, &[("name", "New Macs"), ("apps", "Pages"), ("limit", "300")]);
    assert_eq!(wrong.status, 422);
    wrong.has("number of Apple&#39;s store").has("New Macs");
    let fields =
        [("name", "New Macs"), ("apps", "361309726"), ("limit", "600"), ("SkipPrimarySetupAccountCreation", "true")];
    let made = ada.post(&page, path, &fields);
    assert_eq!(made.status, 303, "{}", made.text);
    let plan = made.header("location").split('?').next().unwrap().to_owned();
    ada.get(&plan).has("600").has("AccountConfiguration, InstallApplication");
    ada.get("/console/plans").has("New Macs").has("Every device without a plan");
    assert_eq!(ada.post(&page, &format!("{plan}/remove"), &[("sure", "yes")]).status, 303);
    ada.get("/console/plans").has("No plan yet");
}

#[test]
fn a_directory_is_set_and_says_why_it_does_not_answer() {
    let house = House::new();
    house.cx.set_directory(std::sync::Arc::new(cordon::directory::Ldap));
    let ada = house.logged_in("owner");
    let page = ada.get("/console/directory");
    page.has("No directory is set.");
    let clear = [("url", "ldap://ldap.school.example"), ("base_dn", ""), ("short_name", "uid")];
    assert_eq!(ada.post(&page, "/console/directory", &clear).status, 422);
    let fields = [
        ("url", "ldaps://127.0.0.1:9"),
        ("base_dn", "dc=school,dc=example"),
        ("short_name", "sAMAccountName"),
        ("bind_dn", "cn=reader"),
        ("password", "tin"),
    ];
    let set = ada.post(&page, "/console/directory", &fields);
    assert_eq!(set.status, 303, "{}", set.text);
    let shown = ada.get("/console/directory");
    shown.has("ldaps://127.0.0.1:9").has("(sAMAccountName=*)").has("value=\"sAMAccountName\"");
    assert!(!shown.text.contains("tin\""), "its password is never shown");
    let tried = ada.post(&page, "/console/directory/test", &[]);
    assert_eq!(tried.status, 503, "{}", tried.text);
    // What the form does not ask for stays: people are known again by the id of their record.
    let attributes = directories::Attributes {
        short_name: "sAMAccountName".into(),
        long_name: Some("displayName".into()),
        mail: None,
        guids: vec!["employeeID".into()],
    };
    let (url, base_dn) = (fields[0].1.to_owned(), fields[1].1.to_owned());
    let wish = directories::Wish { url, base_dn, attributes: attributes.clone(), ..directories::Wish::default() };
    directories::set(&house.cx, &House::local(), &wish).unwrap();
    let changed = [fields[0], ("base_dn", "ou=people,dc=school,dc=example"), ("short_name", "uid")];
    assert_eq!(ada.post(&page, "/console/directory", &changed).status, 303);
    let row = directories::show(&house.cx, &House::local()).unwrap();
    let held: directories::Attributes = serde_json::from_str(&row.attributes).unwrap();
    assert_eq!(held, directories::Attributes { short_name: "uid".into(), ..attributes });
    assert_eq!(ada.post(&page, "/console/directory/forget", &[("sure", "yes")]).status, 303);
    ada.get("/console/directory").has("No directory is set.");
}

#[test]
fn keys_and_authorities_are_replaced_with_the_password_again() {
    let house = House::new();
    let ada = house.logged_in("owner");
    let page = ada.get("/console/keys");
    page.has("Signs profiles").has("Every enrolled device holds").has("Replace the root");
    let rotate = "/console/keys/rotate";
    assert_eq!(ada.post(&page, rotate, &[("what", "new"), ("password", "wrong")]).status, 403);
    let made = ada.post(&page, rotate, &[("what", "new"), ("password", PASSWORD)]);
    assert_eq!(made.status, 200, "{}", made.text);
    made.has("Shown this once");
    ada.get("/console/keys").has("Keep the present one");
    for (verb, words) in [("signer", "Signs profiles"), ("root", "To come"), ("root-cancel", "Replace the root")] {
        let done = ada.post(&page, &format!("/console/keys/{verb}"), &[]);
        assert_eq!(done.status, 303, "{verb}: {}", done.text);
        ada.get("/console/keys").has(words);
    }
    assert_eq!(ada.post(&page, "/console/keys/root-finish", &[]).status, 409, "nothing is under way");
}

#[test]
fn sheets_for_paper_ask_for_a_reason_first() {
    let house = House::new();
    let ids = plant(&house, 1, |_| String::from("Room <12>"));
    let ada = house.logged_in("owner");
    let device = format!("/console/devices/{}", ids[0]);
    let page = ada.get(&format!("{device}/theft"));
    page.has("Reason");
    assert_eq!(ada.post(&page, &format!("{device}/theft"), &[("reason", "short")]).status, 422);
    let sheet = ada.post(&page, &format!("{device}/theft"), &[("reason", "stolen from the bus on Monday")]);
    assert_eq!(sheet.status, 200, "{}", sheet.text);
    sheet.has("C02X000000").has("Last known place");
    assert!(!sheet.text.contains("<12>") && sheet.header("cache-control") == "no-store");
    let sealed = format!("{device}/sheet");
    let reason = ("reason", "for the envelope in the safe");
    assert_eq!(ada.post(&page, &sealed, &[reason, ("password", "wrong")]).status, 403);
    let printed = ada.post(&page, &sealed, &[reason, ("password", PASSWORD)]);
    assert_eq!(printed.status, 404, "nothing of it is in custody: {}", printed.text);
    ada.get("/console/audit").has("device.theft-sheet").has("secret.sheet");
}
