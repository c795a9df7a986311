//! The OpenAPI document: every operation stands here, `describing` tells one, `shapes` are the structs that the API really reads and
//! writes. A test holds the paths against the router.

mod describing;
mod shapes;

use serde_json::{Value, json};

/// One operation: method, path, what it does, shape of the request and of the answer with its status.
pub(super) struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    summary: &'static str,
    request: Option<&'static str>,
    status: &'static str,
    answer: Option<&'static str>,
    /// Media types of an answer that is no JSON.
    media: &'static [&'static str],
    paged: bool,
}

const fn op(method: &'static str, path: &'static str, summary: &'static str, status: &'static str) -> Operation {
    Operation { method, path, summary, request: None, status, answer: None, media: &[], paged: false }
}

/// A look, answered with 200.
const fn get(path: &'static str, summary: &'static str) -> Operation {
    op("get", path, summary, "200")
}

/// Something done, answered with 200.
const fn post(path: &'static str, summary: &'static str) -> Operation {
    op("post", path, summary, "200")
}

/// Something made, answered with 201.
const fn create(path: &'static str, summary: &'static str) -> Operation {
    op("post", path, summary, "201")
}

const fn put(path: &'static str, summary: &'static str) -> Operation {
    op("put", path, summary, "200")
}

const fn patch(path: &'static str, summary: &'static str) -> Operation {
    op("patch", path, summary, "200")
}

/// Something taken away, answered with 204.
const fn delete(path: &'static str, summary: &'static str) -> Operation {
    op("delete", path, summary, "204")
}

impl Operation {
    /// With another status than is usual.
    const fn answers(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }
    const fn takes(mut self, shape: &'static str) -> Self {
        self.request = Some(shape);
        self
    }
    const fn gives(mut self, shape: &'static str) -> Self {
        self.answer = Some(shape);
        self
    }
    const fn gives_bytes(mut self, media: &'static [&'static str]) -> Self {
        self.media = media;
        self
    }
    const fn paged(mut self) -> Self {
        self.paged = true;
        self
    }
}

/// Every operation of the API.
pub(super) const OPERATIONS: &[Operation] = &[
    get("/devices", "Devices in order of arrival; `search` matches the beginning of serial, name, model or id")
    .gives("Page_Device")
    .paged(),
    get("/devices/{id}", "One device with its users and its story; `id` is Cordon's id, the UDID / EnrollmentID or the serial number")
    .gives("Device"),
    get("/devices/{id}/users", "The managed users of a device").gives("Page_User"),
    post("/devices/{id}/push", "Call the device now; `user` for a user's channel").answers("202"),
    get("/devices/{id}/commands", "Commands of one device, newest first").gives("Page_Command").paged(),
    create("/devices/{id}/commands", "Queue a command: RequestType and Apple's own keys, data as base64; optional user, not_before, expires_at")
    .takes("CommandWish")
    .gives("Command"),
    create("/devices/{id}/remove", "End management by command: the MDM profile and all that came with it go")
        .gives("Command"),
    post("/devices/{id}/release", "End management here at once, without waiting for the device")
        .gives("Device"),
    post("/devices/{id}/block", "The device must leave and stay away: the next answer un-enrols it")
        .gives("Device"),
    post("/devices/{id}/unblock", "The device may enrol again").gives("Device"),
    post("/devices/{id}/take-back", "A device that left may come back as it is").gives("Device"),
    post("/devices/{id}/release-quarantine", "The original of a copied identity goes on with it")
        .gives("Device"),
    post("/devices/{id}/rebind", "The identity that the device showed is its own from now on")
        .gives("Device"),
    create("/devices/{id}/renew", "Renew identity and MDM profile of a device now").gives("RenewalBegun"),
    get("/attention", "What waits for a person's decision, oldest first").gives("Page_Attention"),
    get("/device-policy", "What was decided about devices that come and go").gives("DevicePolicy"),
    patch("/device-policy", "Change what is given, leave the rest")
        .takes("DevicePolicyChange")
        .gives("DevicePolicy"),
    post("/renewals", "Renew every device that is due, at once").answers("202").gives("RenewalsBegun"),
    get("/certificates", "Identities of devices, those that end last first").gives("Page_Identity"),
    post("/certificates/{which}/revoke", "Revoke an identity by serial number or fingerprint, for good")
        .gives("Identity"),
    get("/authorities", "The school's own certificates, and which devices lack the root to come")
        .gives("Authorities"),
    post("/authorities/replace", "Begin to replace the root, or replace what stands below it")
        .takes("Replacement")
        .gives("Authorities"),
    post("/authorities/finish", "Put the new root in force; refused while a device lacks it")
        .gives("Authorities"),
    post("/authorities/cancel", "Give the new root up").gives("Authorities"),
    post("/tls/renew", "A new TLS certificate from Cordon's own authority, in force at once")
        .gives("Authority"),
    get("/commands", "All commands, newest first; `state` and `device` narrow the list")
        .gives("Page_Command")
        .paged(),
    get("/commands/{uuid}", "State, result and history of a command").gives("Command"),
    delete("/commands/{uuid}", "Cancel a command that has not been sent").answers("200").gives("Command"),
    get("/commands/{uuid}/explain", "Why it is where it is, in plain words").gives("Explanation"),
    create("/enrollments/profile", "One enrolment profile with its own one-time challenge (application/x-apple-aspen-config)")
    .takes("ProfileWish")
    .gives_bytes(&["application/x-apple-aspen-config"]),
    get("/enrollment-policy", "How devices get their identity, and which rights are asked for")
        .gives("EnrollmentPolicy"),
    patch("/enrollment-policy", "Change it for profiles from now on; enrolled devices stay as they are")
        .takes("PolicyChange")
        .gives("EnrollmentPolicy"),
    get("/invitations", "Invitations to enrol, newest first, without their codes; `class` narrows the list")
    .gives("Page_Invitation")
    .paged(),
    create("/invitations", "Make invitations; their codes are shown only now")
        .takes("InvitationWish")
        .gives("Page_Invitation"),
    create("/invitations/sheet", "Make invitations and give them as a document to print (text/html)")
        .takes("InvitationWish"),
    delete("/invitations/{id}", "End an invitation; devices that came in by it stay"),
    get("/enrollment-door", "Which way the enrolment page takes and why; which automated devices are let in")
    .gives("EnrollmentDoor"),
    patch("/enrollment-door", "Change either").takes("DoorChange").gives("EnrollmentDoor"),
    get("/tls", "The certificate that the listeners serve, and what is wrong with a newer one")
        .gives("Tls"),
    put("/tls", "Choose where the listeners' certificate comes from; in force at once").takes("TlsChoice").gives("Tls"),
    get("/push-certificates", "Push certificates, the current one first").gives("Page_PushCertificate"),
    create("/push-certificates", "Import a push certificate").takes("PushImport").gives("PushCertificate"),
    create("/push-certificates/request", "Make a key and a certificate request")
        .takes("PushRequest")
        .gives("PushRequestMade"),
    post("/push-certificates/request/signed", "Open what mdmcert.download mailed: the file to upload at Apple")
        .takes("PushMailed")
        .gives("PushRequestMade"),
    get("/tokens", "API tokens, without their texts").gives("Page_Token"),
    create("/tokens", "Make an API token; its text is shown only now").takes("NewToken").gives("Token"),
    delete("/tokens/{id}", "Revoke a token"),
    get("/audit", "The audit, oldest first").gives("Page_AuditItem").paged(),
    get("/audit/export", "The audit as a file, up to 20,000 records at once; the header x-cordon-next-cursor is there when there are more")
    .gives_bytes(&["application/jsonl", "text/csv"]),
    get("/audit/verify", "Walk the whole chain").gives("AuditVerdict"),
    post("/setup", "Organisation and host name, and at first the first owner and the recovery code")
        .takes("SetUp")
        .gives("SetUpState"),
    get("/setup", "What was set up").gives("SetUpState"),
    post("/login", "Log in by name; the token is used like an API token").takes("Login").gives("LoggedIn"),
    post("/logout", "End this session").answers("204"),
    get("/admins", "Who may log in").gives("Page_Admin"),
    create("/admins", "Let somebody log in").takes("NewAdmin").gives("Admin"),
    patch("/admins/{name}", "Change role or password, disable or enable; anybody may change their own password")
    .takes("AdminChange")
    .gives("Admin"),
    post("/admins/{name}/unlock", "Forget somebody's wrong passwords, so that they need not wait").answers("204")
        .takes("UnlockWish"),
    get("/admins/{name}/sessions", "Where somebody is logged in: oneself, or as owner anybody")
        .gives("Page_OpenSession"),
    delete("/admins/{name}/sessions", "End all sessions but the one that asks").answers("200").gives("SessionsEnded"),
    delete("/admins/{name}/sessions/{id}", "End one session").answers("200").gives("SessionsEnded"),
    create("/admins/{name}/totp", "Begin one's own authenticator app")
        .takes("OwnPassword")
        .gives("TotpBegun"),
    post("/admins/{name}/totp/confirm", "The first code: from now on one is asked for").answers("204").takes("TotpCode"),
    delete("/admins/{name}/totp", "End an authenticator app: one's own, or as owner anybody's")
        .takes("OwnPassword"),
    create("/recovery-code", "Make a new recovery code; the one before it is worthless from then on")
        .takes("OwnPassword")
        .gives("RecoveryCode"),
    post("/recovery-code/check", "Whether a recovery code is the one in force").answers("204").takes("RecoveryCodeTry"),
    create("/filevault/profile", "The profile by which Macs escrow their FileVault recovery keys (application/x-apple-aspen-config)"),
    create("/devices/{id}/filevault", "Install that profile on a Mac").gives("Command"),
    post("/devices/{id}/secrets/sheet", "The secrets of a device on paper (text/html); rules as for one secret")
        .takes("SheetWish"),
    post("/devices/{id}/theft-sheet", "What the police need of a stolen device (text/html); no secrets")
        .takes("TheftSheetWish"),
    create("/devices/{id}/activation-lock-code", "Make a code for Activation Lock; Apple is given its hash")
        .gives("MadeCode"),
    create("/setup/link", "A new one-time link for setting up in the browser; the one before stops working")
        .gives("SetUpLink"),
    get("/reports/security", "Passcode, encryption, supervision and removability per device; `format=csv` for a spreadsheet")
        .gives("Page_SecurityLine"),
    get("/reports/activity", "When each device was last heard of; `state` is active, quiet or inactive")
        .gives("Page_Activity"),
    get("/activity-policy", "When a silent device is inactive, and what is done then").gives("ActivityPolicy"),
    patch("/activity-policy", "Change that").takes("ActivityPolicyChange").gives("ActivityPolicy"),
    post("/support-bundle", "Numbers and findings for somebody who helps; names and addresses are taken out")
        .gives_bytes(&["application/json"]),
    post("/doctor", "Look at everything, and enrol a simulated device end to end; takes seconds")
        .gives("Examination"),
    get("/expiry", "Everything that ends, soonest first, and who renews it").gives("Page_Expiry"),
    create("/expiry/feed", "A new secret address of the calendar in iCalendar; the one before stops working")
        .gives("ExpiryFeed"),
    delete("/expiry/feed", "Take the calendar's address away"),
    get("/backup", "Backups in the folder beside the database, newest first").gives("Page_Backup"),
    create("/backup", "Make a backup now").gives("Backup"),
    get("/backup/{name}", "One backup: a complete SQLite file")
        .gives_bytes(&["application/vnd.sqlite3"]),
    get("/retention", "How long answers, stories and the log of webhooks are kept").gives("Retention"),
    patch("/retention", "Change how long they are kept").takes("RetentionChange").gives("Retention"),
    get("/key", "How the secrets are sealed, and how far a rotation has come").gives("KeyState"),
    post("/key/rotate", "A new data key; everything is sealed anew in the background. Not for API tokens").answers("202")
        .takes("KeyRotation")
        .gives("KeyState"),
    post("/key/machine-key", "A new machine key in the place of this machine's. Not for API tokens").answers("204")
        .takes("MachineKeyReplacement"),
    get("/mail", "Which server takes our letters, whom they go to, and how sending goes; without the password")
        .gives("MailServer"),
    put("/mail", "Say which server takes letters, and whom they go to").takes("NewMailServer").gives("MailServer"),
    delete("/mail", "Tell nobody by e-mail any more"),
    post("/mail/test", "Send a trial letter and wait for the server's word").gives("MailTried"),
    get("/mail/log", "What people were told by e-mail, newest first").gives("Page_MailLine").paged(),
    get("/webhooks", "Webhooks, without their secrets").gives("Page_Webhook"),
    create("/webhooks", "Make a webhook; its secret is shown only now").takes("NewWebhook").gives("Webhook"),
    get("/webhooks/{id}", "One webhook").gives("Webhook"),
    patch("/webhooks/{id}", "Change name, URL, events, or switch it off and on")
        .takes("WebhookChange")
        .gives("Webhook"),
    delete("/webhooks/{id}", "Remove a webhook with its log"),
    post("/webhooks/{id}/secret", "Make a new secret, shown only now; the old one signs too for a while")
        .takes("SecretRotation")
        .gives("Webhook"),
    post("/webhooks/{id}/deliveries/{delivery}/redeliver", "Tell it something again, under the same id, after what already waits").answers("202")
    .gives("WebhookDelivery"),
    post("/webhooks/{id}/test", "Send an event of the kind webhook.test to it, after what already waits").answers("202")
        .gives("WebhookDelivery"),
    get("/webhooks/{id}/deliveries", "What it was told and what came back, newest first")
        .gives("Page_WebhookDelivery")
        .paged(),
    get("/devices/{id}/secrets", "What is kept in custody of a device: every generation of every kind, without values")
    .gives("Page_Secret"),
    post("/devices/{id}/secrets/{kind}/reveal", "Show one secret to a person with a reason; recorded first. Not for API tokens")
    .takes("RevealWish")
    .gives("Revealed"),
    get("/secret-requests", "Two-person rule: requests of the last hour").gives("Page_SecretRequest"),
    post("/secret-requests/{id}/approve", "Two-person rule: agree to somebody else's request. Not for API tokens")
    .takes("Approval")
    .gives("SecretRequest"),
    post("/secret-rule", "Two-person rule: on or off. Owners only, not for API tokens")
        .takes("SecretRuleChange")
        .gives("SecretRule"),
    post("/devices/{id}/lost", "Mark a device lost and ask for Lost Mode; waiting ClearPasscode commands are cancelled")
    .takes("LostWish")
    .gives("Marked"),
    post("/devices/{id}/found", "Clear the mark and end Lost Mode; recorded with the reason")
        .takes("Reason")
        .gives("Marked"),
    create("/devices/{id}/locate", "Ask a device in Lost Mode where it is; recorded with the reason")
        .takes("Reason")
        .gives("Command"),
    post("/devices/{id}/whereabouts", "Where the device last said it was; every look is recorded with its reason")
    .takes("Reason")
    .gives("Whereabouts"),
    get("/devices/{id}/explain", "What waits for the device and for each of its users, and why")
        .gives("Page_ChannelStory"),
    get("/devices/{id}/profiles", "Profiles of the device and of each of its users: assigned, installed, reported")
        .gives("Page_ChannelProfiles"),
    get("/login-policy", "How long a login may be held up, and who is managed on a Shared iPad")
        .gives("LoginPolicy"),
    post("/login-policy", "Change that").takes("LoginPolicyWish").gives("LoginPolicy"),
    get("/setup-plans", "Set-up plans: what is given while Setup Assistant waits").gives("Page_SetupPlan"),
    create("/setup-plans", "Make a set-up plan").takes("NewSetupPlan").gives("SetupPlan"),
    get("/setup-plans/{id}", "One set-up plan").gives("SetupPlan"),
    delete("/setup-plans/{id}", "Remove a set-up plan"),
    get("/profiles", "Configuration profiles, without their content").gives("Page_Profile").paged(),
    create("/profiles", "Add a .mobileconfig (the body itself; `name` in the query), or the next version of the one with its PayloadIdentifier")
    .gives("Profile"),
    get("/profiles/{id}", "One profile; `id` is Cordon's id or the PayloadIdentifier").gives("Profile"),
    patch("/profiles/{id}", "Change its name, and whether it comes back when its user took it off")
        .takes("ProfileChange")
        .gives("Profile"),
    post("/commands/check", "What would become of a command on each of some devices; nothing is sent")
        .takes("ForecastWish")
        .gives("Forecasts"),
    get("/inventory-policy", "How often devices are asked what they are and what stands on them")
        .gives("InventoryPolicy"),
    patch("/inventory-policy", "Change that").takes("InventoryPolicyChange").gives("InventoryPolicy"),
    get("/inventory", "Which devices have something: `kind` (app, certificate, profile, fact) and `search`, part of a name or identifier; 20,000 lines a page; `format=csv`")
    .gives("Page_StockItem"),
    get("/inventory/devices", "Every device with what is known of it; `format=csv` for a spreadsheet")
        .gives("Page_ExportedDevice"),
    get("/devices/{id}/inventory", "What stands on a device, of one `kind`, as it told it last")
        .gives("Page_StockItem"),
    get("/devices/{id}/changes", "What changed on a device, newest first")
        .gives("Page_StockChange")
        .paged(),
    create("/profiles/build", "Make a profile of typed payloads, or the next version of one")
        .takes("NewProfile")
        .gives("Profile"),
    get("/profiles/{id}/versions", "All versions of a profile, newest first").gives("Page_ProfileVersion"),
    get("/profiles/{id}/diff", "What differs between the versions `from` and `to`; by default the last two")
        .gives("ProfileDiff"),
    get("/profiles/{id}/doubts", "What looks wrong about the current version, by Apple's payload catalogue")
        .gives("Page_ProfileDoubt"),
    get("/payload-types", "What a profile can hold").gives("Page_PayloadType"),
    get("/payload-types/{type}", "One payload type with its keys").gives("Page_PayloadType"),
    get("/devices/{id}/fields", "Fields of a device, for variables in profiles").gives("Fields"),
    patch("/devices/{id}/fields", "Set or take away fields of a device").takes("Fields").gives("Fields"),
    get("/users/{name}/fields", "Fields of a person, for variables in profiles").gives("Fields"),
    patch("/users/{name}/fields", "Set or take away fields of a person").takes("Fields").gives("Fields"),
    post("/profiles/{id}/retry", "Try it again at once wherever it was refused or taken off").gives("Profile"),
    get("/profiles/{id}/refusals", "Where devices refuse its current version, and what they say")
        .gives("Page_Refusal"),
    get("/devices/{id}/profiles/{profile}/why", "Why the device or its users have a profile, or have not")
        .gives("ProfileWhy"),
    delete("/profiles/{id}", "Remove a profile, from every channel that has it too"),
    post("/profiles/{id}/split", "Split a profile with several accounts: one profile for each, assigned alike")
        .gives("Page_Profile"),
    get("/provisioning", "Provisioning profiles, one line for each app").gives("Page_Provisioning").paged(),
    create("/provisioning", "Add a .mobileprovision (the body itself), or the one that takes the place of its app's")
        .gives("Provisioning"),
    get("/provisioning/{id}", "One line; `id` is Cordon's id, the app's, or the UUID of an upload")
        .gives("Provisioning"),
    delete("/provisioning/{id}", "Remove it from every device; this is no revocation, as `removal` says"),
    post("/provisioning/{id}/assign", "Assign it to a device or to the devices of a group")
        .takes("ProvisioningWish")
        .gives("Provisioning"),
    post("/provisioning/{id}/unassign", "Take an assignment back")
        .takes("ProvisioningWish")
        .gives("Provisioning"),
    post("/provisioning/{id}/retry", "Try it again at once wherever it was refused").gives("Provisioning"),
    get("/provisioning/{id}/devices", "Which devices have it, and where a removed one has come back")
        .gives("Page_ProvisioningOnDevice"),
    get("/devices/{id}/provisioning", "Provisioning profiles of a device: what management did, and what it lists")
        .gives("DeviceProvisioning"),
    post("/devices/{id}/provisioning/remove-again", "Take one off again that was removed and has come back")
        .takes("ReturnedProvisioning")
        .gives("Page_ProvisioningOnDevice"),
    get("/accounts", "Accounts on devices, each in a profile of its own; `user` asks for one person's")
        .gives("Page_DeviceAccount")
        .paged(),
    create("/accounts", "Add an account for a person or a device")
        .takes("NewDeviceAccount")
        .gives("DeviceAccount"),
    get("/accounts/{id}", "One account").gives("DeviceAccount"),
    patch("/accounts/{id}", "Change an account: its profile is replaced, and no other")
        .takes("DeviceAccountChange")
        .gives("DeviceAccount"),
    delete("/accounts/{id}", "Remove an account from every device that has it"),
    post("/accounts/{id}/password", "A new password for an account: its profile is replaced, and no other")
        .takes("AccountPassword")
        .gives("DeviceAccount"),
    post("/accounts/{id}/repair", "Install the profile of an account once more, and no other")
        .takes("AccountRepair")
        .gives("DeviceAccount"),
    post("/profiles/{id}/assign", "Assign it to a device, everyone on a device, a user or a group")
        .takes("AssignmentWish")
        .gives("Profile"),
    post("/profiles/{id}/unassign", "Take an assignment back").takes("AssignmentWish").gives("Profile"),
    get("/pairs", "Pairs of a restriction and the capability that it is accepted for").gives("Page_Pair"),
    create("/pairs", "Make a pair").takes("NewPair").gives("Pair"),
    get("/pairs/{id}", "One pair").gives("Pair"),
    patch("/pairs/{id}", "Change its name, its condition, or what a lapse does").takes("PairChange").gives("Pair"),
    delete("/pairs/{id}", "Remove a pair: the capability goes, then the restriction"),
    post("/pairs/{id}/assign", "Assign it as one would a profile").takes("AssignmentWish").gives("Pair"),
    post("/pairs/{id}/unassign", "Take an assignment back").takes("AssignmentWish").gives("Pair"),
    get("/pairs/{id}/devices", "How far each device is").gives("Page_PairState"),
    get("/pairs/{id}/timeline", "What happened with it, newest first").gives("Page_PairEvent"),
    get("/users", "The school's people; `search` matches the beginning of a name or mail address")
        .gives("Page_Person")
        .paged(),
    create("/users", "Add somebody").takes("NewPerson").gives("Person"),
    get("/users/{name}", "One person, by short name or id").gives("Person"),
    patch("/users/{name}", "Change a person, set a password, disable or enable")
        .takes("PersonChange")
        .gives("Person"),
    delete("/users/{name}", "Erase a person for good; the audit keeps the id"),
    post("/users/import", "Add or change many people from CSV; nothing is written while a line is wrong")
        .takes("PeopleImport")
        .gives("PeopleImported"),
    get("/network-users", "How network users of Macs are dealt with").gives("NetworkUsers"),
    patch("/network-users", "Change how network users of Macs are dealt with")
        .takes("NetworkUsersChange")
        .gives("NetworkUsers"),
    get("/directory", "The LDAP directory that people come from, without its password")
        .gives("DirectorySettings"),
    put("/directory", "Say where the directory is").takes("NewDirectory").gives("DirectorySettings"),
    delete("/directory", "Forget where the directory is; its people stay"),
    post("/directory/test", "Ask the directory and change nothing").gives("DirectoryTried"),
    post("/directory/sync", "Take the directory's people over").gives("DirectorySync"),
    get("/bulk", "What was asked of many devices, newest first; a teacher's own for a teacher")
        .gives("Page_Bulk")
        .paged(),
    create("/bulk", "One command for many devices: RequestType and Apple's keys as for one, and for which devices")
        .takes("BulkWish")
        .gives("Bulk"),
    get("/bulk/{id}", "How far one of them is").gives("Bulk"),
    get("/bulk/{id}/items", "What became of it for each device").gives("Page_BulkLine").paged(),
    delete("/bulk/{id}", "Take back what no device has been given yet").answers("200").gives("Bulk"),
    get("/calendar", "The school's time zone and its holidays").gives("Calendar"),
    patch("/calendar", "Set them; every schedule follows at once").takes("CalendarWish").gives("Calendar"),
    get("/schedules", "When assigned profiles are to be there: schedules by name").gives("Page_Schedule"),
    create("/schedules", "Make a schedule").takes("ScheduleWish").gives("Schedule"),
    get("/schedules/{name}", "One schedule, by name or id: whether it is open, when next, and what follows it")
        .gives("Schedule"),
    patch("/schedules/{name}", "Change a schedule; whoever follows it is brought to it at once")
        .takes("ScheduleWish")
        .gives("Schedule"),
    delete("/schedules/{name}", "Remove a schedule that no assignment follows"),
    get("/groups", "Groups and classes by name; a teacher's own classes for a teacher")
        .gives("Page_Group"),
    create("/groups", "Make a group").takes("NewGroup").gives("Group"),
    get("/groups/{name}", "One group with what belongs to it, by name or id").gives("Group"),
    patch("/groups/{name}", "Rename a group, change its filter or its login mode")
        .takes("GroupChange")
        .gives("Group"),
    delete("/groups/{name}", "Remove a group; its devices and people stay"),
    post("/groups/{name}/members", "Put devices and people into a group")
        .takes("GroupMembers")
        .gives("Group"),
    post("/groups/{name}/members/remove", "Take devices and people out of a group")
        .takes("GroupMembers")
        .gives("Group"),
];

/// The methods of a path of the API (without `/api/v1`); none when there is no such path.
pub(super) fn methods(path: &str) -> Vec<&'static str> {
    let fits = |template: &str| {
        let (mut parts, mut wanted) = (path.split('/'), template.split('/'));
        loop {
            match (parts.next(), wanted.next()) {
                (None, None) => return true,
                (Some(part), Some(word)) if part == word || word.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    // `/users/import` is a path of its own, and no user called "import".
    let fitting = || OPERATIONS.iter().filter(|operation| fits(operation.path));
    let nearest = fitting().map(|operation| operation.path).min_by_key(|path| path.matches('{').count());
    fitting().filter(|operation| Some(operation.path) == nearest).map(|operation| operation.method).collect()
}

/// The document served at `/api/v1/openapi.json`.
pub fn document() -> Value {
    let components = shapes::components();
    let mut paths = serde_json::Map::new();
    for operation in OPERATIONS {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = describing::describe(operation, &components);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Cordon", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "servers": [{ "url": "/api/v1" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": components,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_resolves_and_no_operation_is_described_twice() {
        let document = document();
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
        let mut seen: Vec<_> = OPERATIONS.iter().map(|o| (o.method, o.path)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), OPERATIONS.len());
    }
}
