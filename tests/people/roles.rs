//! The role matrix: every operation of the API, by every role, by nobody. What is allowed may still be refused for other reasons
//! (no such device); what is not allowed is 403 and nothing else.

use super::{House, PASSWORD};
use cordon::base::ids::CommandUuid;
use cordon::http::message::Door;
use cordon::plist::Dictionary;
use cordon::protocol::{catalogue, command};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

const ROLES: [&str; 5] = ["owner", "admin", "helpdesk", "teacher", "auditor"];

const OWNER: &[&str] = &["owner"];
const LOOK: &[&str] = &["owner", "admin", "helpdesk", "auditor"];
/// Devices of their own classes: a teacher too, who here has none.
const DEVICE: &[&str] = &["owner", "admin", "helpdesk", "teacher", "auditor"];
const ASK: &[&str] = &["owner", "admin", "helpdesk", "teacher"];
/// Helping somebody with what is there already.
const DESK: &[&str] = &["owner", "admin", "helpdesk"];
const ENROLL: &[&str] = &["owner", "admin"];
/// A teacher for own classes, of which there are none here.
const INVITE: &[&str] = &["owner", "admin", "teacher"];
const AUDIT: &[&str] = &["owner", "admin", "auditor"];
const ALL: &[&str] = &ROLES;
const NOBODY: &[&str] = &[];

/// Method, path, roles that may, and a body that is well formed. `{id}` and the like stand for things that do not exist; `{name}`
/// is somebody else.
fn matrix() -> Vec<(&'static str, &'static str, &'static [&'static str], Value)> {
    let fresh = json!({ "current_password": PASSWORD });
    vec![
        ("get", "/devices", DEVICE, Value::Null),
        ("get", "/devices/{id}", DEVICE, Value::Null),
        ("get", "/devices/{id}/users", DEVICE, Value::Null),
        ("post", "/devices/{id}/push", ASK, Value::Null),
        ("get", "/devices/{id}/commands", DEVICE, Value::Null),
        ("post", "/devices/{id}/commands", ASK, json!({ "RequestType": "DeviceInformation", "Queries": ["UDID"] })),
        ("post", "/devices/{id}/remove", ENROLL, Value::Null),
        ("post", "/devices/{id}/release", ENROLL, Value::Null),
        ("post", "/devices/{id}/block", ENROLL, Value::Null),
        ("post", "/devices/{id}/unblock", ENROLL, Value::Null),
        ("post", "/devices/{id}/take-back", ENROLL, Value::Null),
        ("post", "/devices/{id}/release-quarantine", ENROLL, Value::Null),
        ("post", "/devices/{id}/rebind", ENROLL, Value::Null),
        ("post", "/devices/{id}/renew", ENROLL, Value::Null),
        ("get", "/attention", LOOK, Value::Null),
        ("get", "/device-policy", LOOK, Value::Null),
        ("patch", "/device-policy", OWNER, json!({ "take_back": false })),
        ("post", "/renewals", ENROLL, Value::Null),
        ("get", "/certificates", LOOK, Value::Null),
        ("post", "/certificates/{which}/revoke", ENROLL, Value::Null),
        ("get", "/authorities", LOOK, Value::Null),
        ("post", "/authorities/replace", OWNER, json!({ "what": "signer" })),
        ("post", "/authorities/finish", OWNER, Value::Null),
        ("post", "/authorities/cancel", OWNER, Value::Null),
        ("post", "/tls/renew", OWNER, Value::Null),
        ("get", "/commands", DEVICE, Value::Null),
        ("get", "/commands/{uuid}", DEVICE, Value::Null),
        ("delete", "/commands/{uuid}", ASK, Value::Null),
        ("get", "/commands/{uuid}/explain", DEVICE, Value::Null),
        ("post", "/enrollments/profile", ENROLL, json!({})),
        ("get", "/enrollment-policy", LOOK, Value::Null),
        ("patch", "/enrollment-policy", OWNER, json!({ "identity": "scep" })),
        ("get", "/tls", LOOK, Value::Null),
        ("get", "/push-certificates", LOOK, Value::Null),
        ("post", "/push-certificates", OWNER, json!({ "certificate_pem": "x" })),
        ("post", "/push-certificates/request", OWNER, json!({})),
        ("post", "/push-certificates/request/signed", OWNER, json!({ "attachment": "none" })),
        ("get", "/tokens", OWNER, Value::Null),
        ("post", "/tokens", OWNER, json!({ "name": "t", "role": "auditor" })),
        ("delete", "/tokens/{id}", OWNER, Value::Null),
        ("get", "/audit", AUDIT, Value::Null),
        ("get", "/audit/export", AUDIT, Value::Null),
        ("get", "/audit/verify", AUDIT, Value::Null),
        ("post", "/setup", OWNER, json!({ "organization": "Hill School" })),
        ("get", "/setup", OWNER, Value::Null),
        ("get", "/admins", OWNER, Value::Null),
        ("post", "/admins", OWNER, json!({ "name": "new", "role": "auditor", "password": PASSWORD })),
        ("patch", "/admins/{name}", OWNER, json!({ "role": "auditor" })),
        ("post", "/admins/{name}/unlock", OWNER, json!({})),
        ("get", "/admins/{name}/sessions", OWNER, Value::Null),
        ("delete", "/admins/{name}/sessions", OWNER, Value::Null),
        ("delete", "/admins/{name}/sessions/{id}", OWNER, Value::Null),
        ("post", "/admins/{name}/totp", NOBODY, fresh.clone()),
        ("post", "/admins/{name}/totp/confirm", NOBODY, json!({ "code": "123456" })),
        ("delete", "/admins/{name}/totp", OWNER, fresh.clone()),
        ("post", "/filevault/profile", ENROLL, Value::Null),
        ("post", "/devices/{id}/filevault", ENROLL, Value::Null),
        ("post", "/devices/{id}/theft-sheet", ENROLL, json!({ "reason": "stolen from room 12" })),
        ("post", "/devices/{id}/activation-lock-code", ENROLL, Value::Null),
        ("post", "/setup/link", OWNER, Value::Null),
        ("get", "/reports/security", LOOK, Value::Null),
        ("get", "/reports/activity", LOOK, Value::Null),
        ("get", "/activity-policy", LOOK, Value::Null),
        ("patch", "/activity-policy", OWNER, json!({ "days": 7 })),
        ("post", "/support-bundle", OWNER, Value::Null),
        ("post", "/doctor", OWNER, Value::Null),
        ("get", "/expiry", LOOK, Value::Null),
        ("post", "/expiry/feed", OWNER, Value::Null),
        ("delete", "/expiry/feed", OWNER, Value::Null),
        ("get", "/backup", OWNER, Value::Null),
        ("post", "/backup", OWNER, Value::Null),
        ("get", "/backup/{name}", OWNER, Value::Null),
        ("get", "/retention", OWNER, Value::Null),
        ("patch", "/retention", OWNER, json!({ "results_days": 60 })),
        ("get", "/key", OWNER, Value::Null),
        ("post", "/key/rotate", OWNER, fresh.clone()),
        ("post", "/key/machine-key", OWNER, fresh.clone()),
        ("post", "/recovery-code", OWNER, fresh),
        ("post", "/recovery-code/check", OWNER, json!({ "recovery_code": "x" })),
        ("put", "/tls", OWNER, json!({ "mode": "given", "certificate": "none" })),
        ("get", "/mail", OWNER, Value::Null),
        (
            "put",
            "/mail",
            OWNER,
            json!({ "host": "localhost", "security": "plain", "port": 9, "from": "c@hill.example", "to": ["it@hill.example"], "enabled": false }),
        ),
        ("delete", "/mail", OWNER, Value::Null),
        ("post", "/mail/test", OWNER, Value::Null),
        ("get", "/mail/log", OWNER, Value::Null),
        ("get", "/webhooks", OWNER, Value::Null),
        (
            "post",
            "/webhooks",
            OWNER,
            json!({ "name": "w", "url": "https://127.0.0.1:9/", "events": ["device.enrolled"] }),
        ),
        ("get", "/webhooks/{id}", OWNER, Value::Null),
        ("patch", "/webhooks/{id}", OWNER, json!({ "name": "w" })),
        ("delete", "/webhooks/{id}", OWNER, Value::Null),
        ("post", "/webhooks/{id}/secret", OWNER, json!({})),
        ("post", "/webhooks/{id}/deliveries/{delivery}/redeliver", OWNER, Value::Null),
        ("post", "/webhooks/{id}/test", OWNER, Value::Null),
        ("get", "/webhooks/{id}/deliveries", OWNER, Value::Null),
        ("get", "/invitations", INVITE, Value::Null),
        ("post", "/invitations", INVITE, json!({ "for": "Ada's iPad" })),
        ("post", "/invitations/sheet", INVITE, json!({ "class": "7b", "count": 2 })),
        ("delete", "/invitations/{id}", INVITE, Value::Null),
        ("get", "/enrollment-door", INVITE, Value::Null),
        ("patch", "/enrollment-door", OWNER, json!({ "way": "automatic" })),
        ("get", "/devices/{id}/explain", DEVICE, Value::Null),
        ("get", "/devices/{id}/profiles", DEVICE, Value::Null),
        ("get", "/login-policy", LOOK, Value::Null),
        ("post", "/login-policy", ENROLL, json!({ "login_seconds": 20 })),
        ("get", "/setup-plans", LOOK, Value::Null),
        ("post", "/setup-plans", ENROLL, json!({ "name": "Lab" })),
        ("get", "/setup-plans/{id}", LOOK, Value::Null),
        ("delete", "/setup-plans/{id}", ENROLL, Value::Null),
        ("get", "/profiles", LOOK, Value::Null),
        ("post", "/profiles", ENROLL, Value::Null),
        ("get", "/profiles/{id}", LOOK, Value::Null),
        ("patch", "/profiles/{id}", ENROLL, json!({ "comes_back": false })),
        ("get", "/bulk", DEVICE, Value::Null),
        ("post", "/bulk", ASK, json!({ "RequestType": "ProfileList", "group": "none" })),
        ("get", "/bulk/{id}", DEVICE, Value::Null),
        ("get", "/bulk/{id}/items", DEVICE, Value::Null),
        ("delete", "/bulk/{id}", ASK, Value::Null),
        ("get", "/calendar", LOOK, Value::Null),
        ("patch", "/calendar", ENROLL, json!({ "time_zone": "Europe/Berlin" })),
        ("get", "/schedules", LOOK, Value::Null),
        ("post", "/schedules", ENROLL, json!({ "name": "s", "windows": ["daily 08:00-09:00"] })),
        ("get", "/schedules/{name}", LOOK, Value::Null),
        ("patch", "/schedules/{name}", ENROLL, json!({ "on_holidays": true })),
        ("delete", "/schedules/{name}", ENROLL, Value::Null),
        ("get", "/inventory", DEVICE, Value::Null),
        ("get", "/inventory/devices", DEVICE, Value::Null),
        ("get", "/devices/{id}/inventory", DEVICE, Value::Null),
        ("get", "/devices/{id}/changes", DEVICE, Value::Null),
        ("get", "/inventory-policy", LOOK, Value::Null),
        ("patch", "/inventory-policy", ENROLL, json!({ "every_hours": 12 })),
        ("post", "/commands/check", DEVICE, json!({ "RequestType": "ProfileList", "devices": ["x"] })),
        (
            "post",
            "/profiles/build",
            ENROLL,
            json!({ "identifier": "r.web", "name": "w", "payloads": [{ "type": "com.apple.dock", "keys": {} }] }),
        ),
        ("get", "/profiles/{id}/versions", LOOK, Value::Null),
        ("get", "/profiles/{id}/diff", LOOK, Value::Null),
        ("get", "/profiles/{id}/doubts", LOOK, Value::Null),
        ("get", "/payload-types", ALL, Value::Null),
        ("get", "/payload-types/{type}", ALL, Value::Null),
        ("get", "/devices/{id}/fields", LOOK, Value::Null),
        ("patch", "/devices/{id}/fields", ENROLL, json!({ "room": "12" })),
        ("get", "/users/{name}/fields", LOOK, Value::Null),
        ("patch", "/users/{name}/fields", ENROLL, json!({ "locker": "12" })),
        ("post", "/profiles/{id}/retry", ENROLL, Value::Null),
        ("get", "/profiles/{id}/refusals", LOOK, Value::Null),
        ("get", "/devices/{id}/profiles/{profile}/why", DEVICE, Value::Null),
        ("delete", "/profiles/{id}", ENROLL, Value::Null),
        ("post", "/profiles/{id}/split", ENROLL, Value::Null),
        ("get", "/provisioning", LOOK, Value::Null),
        ("post", "/provisioning", ENROLL, Value::Null),
        ("get", "/provisioning/{id}", LOOK, Value::Null),
        ("delete", "/provisioning/{id}", ENROLL, Value::Null),
        ("post", "/provisioning/{id}/assign", ENROLL, json!({ "device": "none" })),
        ("post", "/provisioning/{id}/unassign", ENROLL, json!({ "device": "none" })),
        ("post", "/provisioning/{id}/retry", ENROLL, Value::Null),
        ("get", "/provisioning/{id}/devices", LOOK, Value::Null),
        ("get", "/devices/{id}/provisioning", DEVICE, Value::Null),
        ("post", "/devices/{id}/provisioning/remove-again", ENROLL, json!({ "uuid": "none" })),
        ("get", "/accounts", LOOK, Value::Null),
        (
            "post",
            "/accounts",
            ENROLL,
            json!({ "kind": "caldav", "name": "c", "user": "ada", "settings": { "CalDAVHostName": "c" } }),
        ),
        ("get", "/accounts/{id}", LOOK, Value::Null),
        ("patch", "/accounts/{id}", ENROLL, json!({ "name": "d" })),
        ("delete", "/accounts/{id}", ENROLL, Value::Null),
        ("post", "/accounts/{id}/password", DESK, json!({ "password": "p" })),
        ("post", "/accounts/{id}/repair", DESK, json!({})),
        ("post", "/profiles/{id}/assign", ENROLL, json!({ "user": "ada" })),
        ("post", "/profiles/{id}/unassign", ENROLL, json!({ "user": "ada" })),
        ("get", "/users", LOOK, Value::Null),
        ("post", "/users", ENROLL, json!({ "short_name": "anna" })),
        ("get", "/users/{name}", LOOK, Value::Null),
        ("patch", "/users/{name}", ENROLL, json!({ "mail": "a@hill.example" })),
        ("delete", "/users/{name}", ENROLL, Value::Null),
        ("post", "/users/import", ENROLL, json!({ "csv": "short_name\nanna\n", "dry_run": true })),
        ("get", "/network-users", LOOK, Value::Null),
        ("patch", "/network-users", ENROLL, json!({ "mode": "digest" })),
        ("get", "/directory", LOOK, Value::Null),
        ("put", "/directory", OWNER, json!({ "url": "ldaps://127.0.0.1:9", "base_dn": "dc=x" })),
        ("delete", "/directory", OWNER, Value::Null),
        ("post", "/directory/test", ENROLL, Value::Null),
        ("post", "/directory/sync", ENROLL, Value::Null),
        ("get", "/groups", DEVICE, Value::Null),
        ("post", "/groups", ENROLL, json!({ "name": "Cart 1", "kind": "devices" })),
        ("get", "/groups/{name}", DEVICE, Value::Null),
        ("patch", "/groups/{name}", ENROLL, json!({ "name": "7b" })),
        ("delete", "/groups/{name}", ENROLL, Value::Null),
        ("post", "/groups/{name}/members", ENROLL, json!({ "people": ["somebody"] })),
        ("post", "/groups/{name}/members/remove", ENROLL, json!({ "people": ["somebody"] })),
        // Last: it ends the session that asks.
        ("post", "/logout", ALL, Value::Null),
    ]
}

/// Operations whose rules are more than a role, or of a part with tests of its own.
const ELSEWHERE: [&str; 7] = [
    "/login",
    "/secret",
    "/devices/{id}/secrets",
    "/devices/{id}/lost",
    "/devices/{id}/found",
    "/devices/{id}/locate",
    "/devices/{id}/whereabouts",
];

fn concrete(path: &str) -> String {
    format!(
        "/api/v1{}",
        path.replace("{name}", "somebody")
            .replace("{id}", "none")
            .replace("{uuid}", "none")
            .replace("{kind}", "lock-pin")
    )
}

#[test]
fn every_operation_by_every_role() {
    for role in ROLES {
        let house = House::new();
        house.person("somebody", "teacher");
        house.person("asker", role);
        // The last owner could not be asked to become anything else.
        let token = house.login("asker");
        for (method, path, allowed, body) in matrix() {
            let reply = house.ask(Some(&token), method, &concrete(path), &body);
            let told = format!("{role}: {method} {path}: {} {}", reply.status, reply.body);
            if allowed.contains(&role) {
                assert!(![401, 403, 500].contains(&reply.status), "{told}");
            } else {
                assert_eq!(reply.status, 403, "{told}");
            }
        }
        assert_eq!(house.ask(Some(&token), "GET", "/api/v1/devices", &Value::Null).status, 401, "{role} is logged out");
    }
}

#[test]
fn every_operation_with_a_token_of_every_role() {
    let grave = ["/admins/{name}/totp", "/recovery-code", "/key/rotate", "/key/machine-key"];
    for role in ROLES {
        let house = House::new();
        house.person("somebody", "teacher");
        let made = cordon::service::tokens::create(&house.cx, &House::local(), "t", role, None).unwrap();
        for (method, path, allowed, body) in matrix() {
            let reply = house.ask(Some(made.1.expose()), method, &concrete(path), &body);
            let told = format!("{role}: {method} {path}: {} {}", reply.status, reply.body);
            if path == "/logout" {
                assert_eq!(reply.id(), "person-needed", "{told}");
            } else if allowed.contains(&role) && !grave.contains(&path) {
                assert!(![401, 403, 500].contains(&reply.status), "{told}");
            } else {
                // What needs a person who gives a password again is closed to every token, an owner's too.
                assert_eq!(reply.status, 403, "{told}");
            }
        }
    }
}

/// Commands that a teacher, and those that the helpdesk too, may give to a device. Whatever is not here takes an admin.
const TEACHERS: [&str; 19] = [
    "ActiveNSExtensions",
    "AvailableOSUpdates",
    "CertificateList",
    "ContentCachingInformation",
    "DeviceInformation",
    "EnableLostMode",
    "InstalledApplicationList",
    "ManagedApplicationAttributes",
    "ManagedApplicationList",
    "ManagedMediaList",
    "NSExtensionMappings",
    "OSUpdateStatus",
    "PlayLostModeSound",
    "ProfileList",
    "ProvisioningProfileList",
    "RequestMirroring",
    "Restrictions",
    "SecurityInfo",
    "StopMirroring",
];
const HELPDESK: [&str; 14] = [
    "ActivationLockBypassCode",
    "DeclarativeManagement",
    "InstallApplication",
    "InviteToProgram",
    "LogOutUser",
    "ManagedApplicationConfiguration",
    "ManagedApplicationFeedback",
    "RefreshCellularPlans",
    "RestartDevice",
    "ScheduleOSUpdate",
    "ScheduleOSUpdateScan",
    "ShutDownDevice",
    "UserList",
    "ValidateApplications",
];

#[test]
fn every_command_by_every_role_and_by_both_doors() {
    let house = House::new();
    let uuid: CommandUuid = "C-1".parse().unwrap();
    for role in ROLES {
        house.person(role, role);
        let token = house.login(role);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        headers.insert("content-type", HeaderValue::from_static("application/x-plist"));
        // What Apple adds next year goes as a property list only.
        let names = catalogue::list().iter().map(|spec| spec.request_type).chain(["NextYearsCommand", "erasedevice"]);
        for name in names {
            let may = match role {
                "owner" | "admin" => true,
                "helpdesk" => TEACHERS.contains(&name) || HELPDESK.contains(&name),
                "teacher" => TEACHERS.contains(&name),
                _ => false,
            };
            let path = "/api/v1/devices/none/commands";
            let plist = command::encode(&uuid, name, &Dictionary::new());
            let mut replies =
                vec![house.send_bytes(Door::People, "192.0.2.7:1", headers.clone(), ("POST", path), plist)];
            if catalogue::find(name).is_some() {
                replies.push(house.ask(Some(&token), "POST", path, &json!({ "RequestType": name })));
            }
            for reply in replies {
                let wanted = if may { (404, "no-such-device") } else { (403, "role-missing") };
                assert_eq!((reply.status, reply.id()), wanted, "{role} {name}");
            }
        }
    }
}

#[test]
fn nobody_comes_in_without_a_token_and_every_operation_is_in_the_matrix() {
    let house = House::new();
    let document = house.send(
        cordon::http::message::Door::Control,
        "127.0.0.1:1",
        Default::default(),
        "GET",
        "/api/v1/openapi.json",
        &Value::Null,
    );
    let mut unknown = Vec::new();
    for (path, operations) in document.body["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            if path != "/login" {
                for token in [None, Some("cordon_wrong"), Some("cordon_session_wrong"), Some("")] {
                    let reply = house.ask(token, method, &concrete(path), &json!({}));
                    assert_eq!((reply.status, reply.id()), (401, "login-needed"), "{method} {path}");
                }
            }
            let known = matrix().iter().any(|(m, p, ..)| m == method && p == path);
            if !known && !ELSEWHERE.iter().any(|start| path.starts_with(start)) {
                unknown.push(format!("{method} {path}"));
            }
        }
    }
    assert!(unknown.is_empty(), "say in matrix() who may use: {unknown:?}");
}
