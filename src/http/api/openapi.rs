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

impl Operation {
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
    op(
        "get",
        "/devices",
        "Devices in order of arrival; `search` matches the beginning of serial, name, model or id",
        "200",
    )
    .gives("Page_Device")
    .paged(),
    op(
        "get",
        "/devices/{id}",
        "One device with its users and its story; `id` is Cordon's id, the UDID / EnrollmentID or the serial number",
        "200",
    )
    .gives("Device"),
    op("get", "/devices/{id}/users", "The managed users of a device", "200").gives("Page_User"),
    op("post", "/devices/{id}/push", "Call the device now; `user` for a user's channel", "202"),
    op("get", "/devices/{id}/commands", "Commands of one device, newest first", "200").gives("Page_Command").paged(),
    op(
        "post",
        "/devices/{id}/commands",
        "Queue a command: RequestType and Apple's own keys, data as base64; optional user, not_before, expires_at",
        "201",
    )
    .takes("CommandWish")
    .gives("Command"),
    op("post", "/devices/{id}/remove", "End management by command: the MDM profile and all that came with it go", "201")
        .gives("Command"),
    op("post", "/devices/{id}/release", "End management here at once, without waiting for the device", "200")
        .gives("Device"),
    op("post", "/devices/{id}/block", "The device must leave and stay away: the next answer un-enrols it", "200")
        .gives("Device"),
    op("post", "/devices/{id}/unblock", "The device may enrol again", "200").gives("Device"),
    op("post", "/devices/{id}/take-back", "A device that left may come back as it is", "200").gives("Device"),
    op("post", "/devices/{id}/release-quarantine", "The original of a copied identity goes on with it", "200")
        .gives("Device"),
    op("post", "/devices/{id}/rebind", "The identity that the device showed is its own from now on", "200")
        .gives("Device"),
    op("post", "/devices/{id}/renew", "Renew identity and MDM profile of a device now", "201").gives("RenewalBegun"),
    op("get", "/attention", "What waits for a person's decision, oldest first", "200").gives("Page_Attention"),
    op("get", "/device-policy", "What was decided about devices that come and go", "200").gives("DevicePolicy"),
    op("patch", "/device-policy", "Change what is given, leave the rest", "200")
        .takes("DevicePolicyChange")
        .gives("DevicePolicy"),
    op("post", "/renewals", "Renew every device that is due, at once", "202").gives("RenewalsBegun"),
    op("get", "/certificates", "Identities of devices, those that end last first", "200").gives("Page_Identity"),
    op("post", "/certificates/{which}/revoke", "Revoke an identity by serial number or fingerprint, for good", "200")
        .gives("Identity"),
    op("get", "/authorities", "The school's own certificates, and which devices lack the root to come", "200")
        .gives("Authorities"),
    op("post", "/authorities/replace", "Begin to replace the root, or replace what stands below it", "200")
        .takes("Replacement")
        .gives("Authorities"),
    op("post", "/authorities/finish", "Put the new root in force; refused while a device lacks it", "200")
        .gives("Authorities"),
    op("post", "/authorities/cancel", "Give the new root up", "200").gives("Authorities"),
    op("post", "/tls/renew", "A new TLS certificate from Cordon's own authority, in force at once", "200")
        .gives("Authority"),
    op("get", "/commands", "All commands, newest first; `state` and `device` narrow the list", "200")
        .gives("Page_Command")
        .paged(),
    op("get", "/commands/{uuid}", "State, result and history of a command", "200").gives("Command"),
    op("delete", "/commands/{uuid}", "Cancel a command that has not been sent", "200").gives("Command"),
    op("get", "/commands/{uuid}/explain", "Why it is where it is, in plain words", "200").gives("Explanation"),
    op(
        "post",
        "/enrollments/profile",
        "One enrolment profile with its own one-time challenge (application/x-apple-aspen-config)",
        "201",
    )
    .takes("ProfileWish")
    .gives_bytes(&["application/x-apple-aspen-config"]),
    op("get", "/enrollment-policy", "How devices get their identity, and which rights are asked for", "200")
        .gives("EnrollmentPolicy"),
    op("patch", "/enrollment-policy", "Change it for profiles from now on; enrolled devices stay as they are", "200")
        .takes("PolicyChange")
        .gives("EnrollmentPolicy"),
    op(
        "get",
        "/invitations",
        "Invitations to enrol, newest first, without their codes; `class` narrows the list",
        "200",
    )
    .gives("Page_Invitation")
    .paged(),
    op("post", "/invitations", "Make invitations; their codes are shown only now", "201")
        .takes("InvitationWish")
        .gives("Page_Invitation"),
    op("post", "/invitations/sheet", "Make invitations and give them as a document to print (text/html)", "201")
        .takes("InvitationWish"),
    op("delete", "/invitations/{id}", "End an invitation; devices that came in by it stay", "204"),
    op(
        "get",
        "/enrollment-door",
        "Which way the enrolment page takes and why; which automated devices are let in",
        "200",
    )
    .gives("EnrollmentDoor"),
    op("patch", "/enrollment-door", "Change either", "200").takes("DoorChange").gives("EnrollmentDoor"),
    op("get", "/tls", "The certificate that the listeners serve, and what is wrong with a newer one", "200")
        .gives("Tls"),
    op("put", "/tls", "Choose where the listeners' certificate comes from; in force at once", "200").takes("TlsChoice").gives("Tls"),
    op("get", "/push-certificates", "Push certificates, the current one first", "200").gives("Page_PushCertificate"),
    op("post", "/push-certificates", "Import a push certificate", "201").takes("PushImport").gives("PushCertificate"),
    op("post", "/push-certificates/request", "Make a key and a certificate request", "201")
        .takes("PushRequest")
        .gives("PushRequestMade"),
    op("post", "/push-certificates/request/signed", "Open what mdmcert.download mailed: the file to upload at Apple", "200")
        .takes("PushMailed")
        .gives("PushRequestMade"),
    op("get", "/tokens", "API tokens, without their texts", "200").gives("Page_Token"),
    op("post", "/tokens", "Make an API token; its text is shown only now", "201").takes("NewToken").gives("Token"),
    op("delete", "/tokens/{id}", "Revoke a token", "204"),
    op("get", "/audit", "The audit, oldest first", "200").gives("Page_AuditItem").paged(),
    op(
        "get",
        "/audit/export",
        "The audit as a file, up to 20,000 records at once; the header x-cordon-next-cursor is there when there are more",
        "200",
    )
    .gives_bytes(&["application/jsonl", "text/csv"]),
    op("get", "/audit/verify", "Walk the whole chain", "200").gives("AuditVerdict"),
    op("post", "/setup", "Organisation and host name, and at first the first owner and the recovery code", "200")
        .takes("SetUp")
        .gives("SetUpState"),
    op("get", "/setup", "What was set up", "200").gives("SetUpState"),
    op("post", "/login", "Log in by name; the token is used like an API token", "200").takes("Login").gives("LoggedIn"),
    op("post", "/logout", "End this session", "204"),
    op("get", "/admins", "Who may log in", "200").gives("Page_Admin"),
    op("post", "/admins", "Let somebody log in", "201").takes("NewAdmin").gives("Admin"),
    op(
        "patch",
        "/admins/{name}",
        "Change role or password, disable or enable; anybody may change their own password",
        "200",
    )
    .takes("AdminChange")
    .gives("Admin"),
    op("post", "/admins/{name}/unlock", "Forget somebody's wrong passwords, so that they need not wait", "204")
        .takes("UnlockWish"),
    op("get", "/admins/{name}/sessions", "Where somebody is logged in: oneself, or as owner anybody", "200")
        .gives("Page_OpenSession"),
    op("delete", "/admins/{name}/sessions", "End all sessions but the one that asks", "200").gives("SessionsEnded"),
    op("delete", "/admins/{name}/sessions/{id}", "End one session", "200").gives("SessionsEnded"),
    op("post", "/admins/{name}/totp", "Begin one's own authenticator app", "201")
        .takes("OwnPassword")
        .gives("TotpBegun"),
    op("post", "/admins/{name}/totp/confirm", "The first code: from now on one is asked for", "204").takes("TotpCode"),
    op("delete", "/admins/{name}/totp", "End an authenticator app: one's own, or as owner anybody's", "204")
        .takes("OwnPassword"),
    op("post", "/recovery-code", "Make a new recovery code; the one before it is worthless from then on", "201")
        .takes("OwnPassword")
        .gives("RecoveryCode"),
    op("post", "/recovery-code/check", "Whether a recovery code is the one in force", "204").takes("RecoveryCodeTry"),
    op(
        "post",
        "/filevault/profile",
        "The profile by which Macs escrow their FileVault recovery keys (application/x-apple-aspen-config)",
        "201",
    ),
    op("post", "/devices/{id}/filevault", "Install that profile on a Mac", "201").gives("Command"),
    op("post", "/devices/{id}/secrets/sheet", "The secrets of a device on paper (text/html); rules as for one secret", "200")
        .takes("SheetWish"),
    op("post", "/devices/{id}/theft-sheet", "What the police need of a stolen device (text/html); no secrets", "200")
        .takes("TheftSheetWish"),
    op("post", "/devices/{id}/activation-lock-code", "Make a code for Activation Lock; Apple is given its hash", "201")
        .gives("MadeCode"),
    op("post", "/setup/link", "A new one-time link for setting up in the browser; the one before stops working", "201")
        .gives("SetUpLink"),
    op("get", "/reports/security", "Passcode, encryption, supervision and removability per device; `format=csv` for a spreadsheet", "200")
        .gives("Page_SecurityLine"),
    op("get", "/reports/activity", "When each device was last heard of; `state` is active, quiet or inactive", "200")
        .gives("Page_Activity"),
    op("get", "/activity-policy", "When a silent device is inactive, and what is done then", "200").gives("ActivityPolicy"),
    op("patch", "/activity-policy", "Change that", "200").takes("ActivityPolicyChange").gives("ActivityPolicy"),
    op("post", "/support-bundle", "Numbers and findings for somebody who helps; names and addresses are taken out", "200")
        .gives_bytes(&["application/json"]),
    op("post", "/doctor", "Look at everything, and enrol a simulated device end to end; takes seconds", "200")
        .gives("Examination"),
    op("get", "/expiry", "Everything that ends, soonest first, and who renews it", "200").gives("Page_Expiry"),
    op("post", "/expiry/feed", "A new secret address of the calendar in iCalendar; the one before stops working", "201")
        .gives("ExpiryFeed"),
    op("delete", "/expiry/feed", "Take the calendar's address away", "204"),
    op("get", "/backup", "Backups in the folder beside the database, newest first", "200").gives("Page_Backup"),
    op("post", "/backup", "Make a backup now", "201").gives("Backup"),
    op("get", "/backup/{name}", "One backup: a complete SQLite file", "200")
        .gives_bytes(&["application/vnd.sqlite3"]),
    op("get", "/retention", "How long answers, stories and the log of webhooks are kept", "200").gives("Retention"),
    op("patch", "/retention", "Change how long they are kept", "200").takes("RetentionChange").gives("Retention"),
    op("get", "/key", "How the secrets are sealed, and how far a rotation has come", "200").gives("KeyState"),
    op("post", "/key/rotate", "A new data key; everything is sealed anew in the background. Not for API tokens", "202")
        .takes("KeyRotation")
        .gives("KeyState"),
    op("post", "/key/machine-key", "A new machine key in the place of this machine's. Not for API tokens", "204")
        .takes("MachineKeyReplacement"),
    op("get", "/mail", "Which server takes our letters, whom they go to, and how sending goes; without the password", "200")
        .gives("MailServer"),
    op("put", "/mail", "Say which server takes letters, and whom they go to", "200").takes("NewMailServer").gives("MailServer"),
    op("delete", "/mail", "Tell nobody by e-mail any more", "204"),
    op("post", "/mail/test", "Send a trial letter and wait for the server's word", "200").gives("MailTried"),
    op("get", "/mail/log", "What people were told by e-mail, newest first", "200").gives("Page_MailLine").paged(),
    op("get", "/webhooks", "Webhooks, without their secrets", "200").gives("Page_Webhook"),
    op("post", "/webhooks", "Make a webhook; its secret is shown only now", "201").takes("NewWebhook").gives("Webhook"),
    op("get", "/webhooks/{id}", "One webhook", "200").gives("Webhook"),
    op("patch", "/webhooks/{id}", "Change name, URL, events, or switch it off and on", "200")
        .takes("WebhookChange")
        .gives("Webhook"),
    op("delete", "/webhooks/{id}", "Remove a webhook with its log", "204"),
    op("post", "/webhooks/{id}/secret", "Make a new secret, shown only now; the old one signs too for a while", "200")
        .takes("SecretRotation")
        .gives("Webhook"),
    op(
        "post",
        "/webhooks/{id}/deliveries/{delivery}/redeliver",
        "Tell it something again, under the same id, after what already waits",
        "202",
    )
    .gives("WebhookDelivery"),
    op("post", "/webhooks/{id}/test", "Send an event of the kind webhook.test to it, after what already waits", "202")
        .gives("WebhookDelivery"),
    op("get", "/webhooks/{id}/deliveries", "What it was told and what came back, newest first", "200")
        .gives("Page_WebhookDelivery")
        .paged(),
    op(
        "get",
        "/devices/{id}/secrets",
        "What is kept in custody of a device: every generation of every kind, without values",
        "200",
    )
    .gives("Page_Secret"),
    op(
        "post",
        "/devices/{id}/secrets/{kind}/reveal",
        "Show one secret to a person with a reason; recorded first. Not for API tokens",
        "200",
    )
    .takes("RevealWish")
    .gives("Revealed"),
    op("get", "/secret-requests", "Two-person rule: requests of the last hour", "200").gives("Page_SecretRequest"),
    op(
        "post",
        "/secret-requests/{id}/approve",
        "Two-person rule: agree to somebody else's request. Not for API tokens",
        "200",
    )
    .takes("Approval")
    .gives("SecretRequest"),
    op("post", "/secret-rule", "Two-person rule: on or off. Owners only, not for API tokens", "200")
        .takes("SecretRuleChange")
        .gives("SecretRule"),
    op(
        "post",
        "/devices/{id}/lost",
        "Mark a device lost and ask for Lost Mode; waiting ClearPasscode commands are cancelled",
        "200",
    )
    .takes("LostWish")
    .gives("Marked"),
    op("post", "/devices/{id}/found", "Clear the mark and end Lost Mode; recorded with the reason", "200")
        .takes("Reason")
        .gives("Marked"),
    op("post", "/devices/{id}/locate", "Ask a device in Lost Mode where it is; recorded with the reason", "201")
        .takes("Reason")
        .gives("Command"),
    op(
        "post",
        "/devices/{id}/whereabouts",
        "Where the device last said it was; every look is recorded with its reason",
        "200",
    )
    .takes("Reason")
    .gives("Whereabouts"),
    op("get", "/devices/{id}/explain", "What waits for the device and for each of its users, and why", "200")
        .gives("Page_ChannelStory"),
    op("get", "/devices/{id}/profiles", "Profiles of the device and of each of its users: assigned, installed, reported", "200")
        .gives("Page_ChannelProfiles"),
    op("get", "/login-policy", "How long a login may be held up, and who is managed on a Shared iPad", "200")
        .gives("LoginPolicy"),
    op("post", "/login-policy", "Change that", "200").takes("LoginPolicyWish").gives("LoginPolicy"),
    op("get", "/setup-plans", "Set-up plans: what is given while Setup Assistant waits", "200").gives("Page_SetupPlan"),
    op("post", "/setup-plans", "Make a set-up plan", "201").takes("NewSetupPlan").gives("SetupPlan"),
    op("get", "/setup-plans/{id}", "One set-up plan", "200").gives("SetupPlan"),
    op("delete", "/setup-plans/{id}", "Remove a set-up plan", "204"),
    op("get", "/profiles", "Configuration profiles, without their content", "200").gives("Page_Profile").paged(),
    op(
        "post",
        "/profiles",
        "Add a .mobileconfig (the body itself; `name` in the query), or the next version of the one with its PayloadIdentifier",
        "201",
    )
    .gives("Profile"),
    op("get", "/profiles/{id}", "One profile; `id` is Cordon's id or the PayloadIdentifier", "200").gives("Profile"),
    op("patch", "/profiles/{id}", "Change its name, and whether it comes back when its user took it off", "200")
        .takes("ProfileChange")
        .gives("Profile"),
    op("post", "/commands/check", "What would become of a command on each of some devices; nothing is sent", "200")
        .takes("ForecastWish")
        .gives("Forecasts"),
    op("get", "/inventory-policy", "How often devices are asked what they are and what stands on them", "200")
        .gives("InventoryPolicy"),
    op("patch", "/inventory-policy", "Change that", "200").takes("InventoryPolicyChange").gives("InventoryPolicy"),
    op(
        "get",
        "/inventory",
        "Which devices have something: `kind` (app, certificate, profile, fact) and `search`, part of a name or identifier; 20,000 lines a page; `format=csv`",
        "200",
    )
    .gives("Page_StockItem"),
    op("get", "/inventory/devices", "Every device with what is known of it; `format=csv` for a spreadsheet", "200")
        .gives("Page_ExportedDevice"),
    op("get", "/devices/{id}/inventory", "What stands on a device, of one `kind`, as it told it last", "200")
        .gives("Page_StockItem"),
    op("get", "/devices/{id}/changes", "What changed on a device, newest first", "200")
        .gives("Page_StockChange")
        .paged(),
    op("post", "/profiles/build", "Make a profile of typed payloads, or the next version of one", "201")
        .takes("NewProfile")
        .gives("Profile"),
    op("get", "/profiles/{id}/versions", "All versions of a profile, newest first", "200").gives("Page_ProfileVersion"),
    op("get", "/profiles/{id}/diff", "What differs between the versions `from` and `to`; by default the last two", "200")
        .gives("ProfileDiff"),
    op("get", "/profiles/{id}/doubts", "What looks wrong about the current version, by Apple's payload catalogue", "200")
        .gives("Page_ProfileDoubt"),
    op("get", "/payload-types", "What a profile can hold", "200").gives("Page_PayloadType"),
    op("get", "/payload-types/{type}", "One payload type with its keys", "200").gives("Page_PayloadType"),
    op("get", "/devices/{id}/fields", "Fields of a device, for variables in profiles", "200").gives("Fields"),
    op("patch", "/devices/{id}/fields", "Set or take away fields of a device", "200").takes("Fields").gives("Fields"),
    op("get", "/users/{name}/fields", "Fields of a person, for variables in profiles", "200").gives("Fields"),
    op("patch", "/users/{name}/fields", "Set or take away fields of a person", "200").takes("Fields").gives("Fields"),
    op("post", "/profiles/{id}/retry", "Try it again at once wherever it was refused or taken off", "200").gives("Profile"),
    op("get", "/profiles/{id}/refusals", "Where devices refuse its current version, and what they say", "200")
        .gives("Page_Refusal"),
    op("get", "/devices/{id}/profiles/{profile}/why", "Why the device or its users have a profile, or have not", "200")
        .gives("ProfileWhy"),
    op("delete", "/profiles/{id}", "Remove a profile, from every channel that has it too", "204"),
    op("post", "/profiles/{id}/split", "Split a profile with several accounts: one profile for each, assigned alike", "200")
        .gives("Page_Profile"),
    op("get", "/provisioning", "Provisioning profiles, one line for each app", "200").gives("Page_Provisioning").paged(),
    op("post", "/provisioning", "Add a .mobileprovision (the body itself), or the one that takes the place of its app's", "201")
        .gives("Provisioning"),
    op("get", "/provisioning/{id}", "One line; `id` is Cordon's id, the app's, or the UUID of an upload", "200")
        .gives("Provisioning"),
    op("delete", "/provisioning/{id}", "Remove it from every device; this is no revocation, as `removal` says", "204"),
    op("post", "/provisioning/{id}/assign", "Assign it to a device or to the devices of a group", "200")
        .takes("ProvisioningWish")
        .gives("Provisioning"),
    op("post", "/provisioning/{id}/unassign", "Take an assignment back", "200")
        .takes("ProvisioningWish")
        .gives("Provisioning"),
    op("post", "/provisioning/{id}/retry", "Try it again at once wherever it was refused", "200").gives("Provisioning"),
    op("get", "/provisioning/{id}/devices", "Which devices have it, and where a removed one has come back", "200")
        .gives("Page_ProvisioningOnDevice"),
    op("get", "/devices/{id}/provisioning", "Provisioning profiles of a device: what management did, and what it lists", "200")
        .gives("DeviceProvisioning"),
    op("post", "/devices/{id}/provisioning/remove-again", "Take one off again that was removed and has come back", "200")
        .takes("ReturnedProvisioning")
        .gives("Page_ProvisioningOnDevice"),
    op("get", "/accounts", "Accounts on devices, each in a profile of its own; `user` asks for one person's", "200")
        .gives("Page_DeviceAccount")
        .paged(),
    op("post", "/accounts", "Add an account for a person or a device", "201")
        .takes("NewDeviceAccount")
        .gives("DeviceAccount"),
    op("get", "/accounts/{id}", "One account", "200").gives("DeviceAccount"),
    op("patch", "/accounts/{id}", "Change an account: its profile is replaced, and no other", "200")
        .takes("DeviceAccountChange")
        .gives("DeviceAccount"),
    op("delete", "/accounts/{id}", "Remove an account from every device that has it", "204"),
    op("post", "/accounts/{id}/password", "A new password for an account: its profile is replaced, and no other", "200")
        .takes("AccountPassword")
        .gives("DeviceAccount"),
    op("post", "/accounts/{id}/repair", "Install the profile of an account once more, and no other", "200")
        .takes("AccountRepair")
        .gives("DeviceAccount"),
    op("post", "/profiles/{id}/assign", "Assign it to a device, everyone on a device, a user or a group", "200")
        .takes("AssignmentWish")
        .gives("Profile"),
    op("post", "/profiles/{id}/unassign", "Take an assignment back", "200").takes("AssignmentWish").gives("Profile"),
    op("get", "/pairs", "Pairs of a restriction and the capability that it is accepted for", "200").gives("Page_Pair"),
    op("post", "/pairs", "Make a pair", "201").takes("NewPair").gives("Pair"),
    op("get", "/pairs/{id}", "One pair", "200").gives("Pair"),
    op("patch", "/pairs/{id}", "Change its name, its condition, or what a lapse does", "200").takes("PairChange").gives("Pair"),
    op("delete", "/pairs/{id}", "Remove a pair: the capability goes, then the restriction", "204"),
    op("post", "/pairs/{id}/assign", "Assign it as one would a profile", "200").takes("AssignmentWish").gives("Pair"),
    op("post", "/pairs/{id}/unassign", "Take an assignment back", "200").takes("AssignmentWish").gives("Pair"),
    op("get", "/pairs/{id}/devices", "How far each device is", "200").gives("Page_PairState"),
    op("get", "/pairs/{id}/timeline", "What happened with it, newest first", "200").gives("Page_PairEvent"),
    op("get", "/users", "The school's people; `search` matches the beginning of a name or mail address", "200")
        .gives("Page_Person")
        .paged(),
    op("post", "/users", "Add somebody", "201").takes("NewPerson").gives("Person"),
    op("get", "/users/{name}", "One person, by short name or id", "200").gives("Person"),
    op("patch", "/users/{name}", "Change a person, set a password, disable or enable", "200")
        .takes("PersonChange")
        .gives("Person"),
    op("delete", "/users/{name}", "Erase a person for good; the audit keeps the id", "204"),
    op("post", "/users/import", "Add or change many people from CSV; nothing is written while a line is wrong", "200")
        .takes("PeopleImport")
        .gives("PeopleImported"),
    op("get", "/network-users", "How network users of Macs are dealt with", "200").gives("NetworkUsers"),
    op("patch", "/network-users", "Change how network users of Macs are dealt with", "200")
        .takes("NetworkUsersChange")
        .gives("NetworkUsers"),
    op("get", "/directory", "The LDAP directory that people come from, without its password", "200")
        .gives("DirectorySettings"),
    op("put", "/directory", "Say where the directory is", "200").takes("NewDirectory").gives("DirectorySettings"),
    op("delete", "/directory", "Forget where the directory is; its people stay", "204"),
    op("post", "/directory/test", "Ask the directory and change nothing", "200").gives("DirectoryTried"),
    op("post", "/directory/sync", "Take the directory's people over", "200").gives("DirectorySync"),
    op("get", "/bulk", "What was asked of many devices, newest first; a teacher's own for a teacher", "200")
        .gives("Page_Bulk")
        .paged(),
    op("post", "/bulk", "One command for many devices: RequestType and Apple's keys as for one, and for which devices", "201")
        .takes("BulkWish")
        .gives("Bulk"),
    op("get", "/bulk/{id}", "How far one of them is", "200").gives("Bulk"),
    op("get", "/bulk/{id}/items", "What became of it for each device", "200").gives("Page_BulkLine").paged(),
    op("delete", "/bulk/{id}", "Take back what no device has been given yet", "200").gives("Bulk"),
    op("get", "/calendar", "The school's time zone and its holidays", "200").gives("Calendar"),
    op("patch", "/calendar", "Set them; every schedule follows at once", "200").takes("CalendarWish").gives("Calendar"),
    op("get", "/schedules", "When assigned profiles are to be there: schedules by name", "200").gives("Page_Schedule"),
    op("post", "/schedules", "Make a schedule", "201").takes("ScheduleWish").gives("Schedule"),
    op("get", "/schedules/{name}", "One schedule, by name or id: whether it is open, when next, and what follows it", "200")
        .gives("Schedule"),
    op("patch", "/schedules/{name}", "Change a schedule; whoever follows it is brought to it at once", "200")
        .takes("ScheduleWish")
        .gives("Schedule"),
    op("delete", "/schedules/{name}", "Remove a schedule that no assignment follows", "204"),
    op("get", "/groups", "Groups and classes by name; a teacher's own classes for a teacher", "200")
        .gives("Page_Group"),
    op("post", "/groups", "Make a group", "201").takes("NewGroup").gives("Group"),
    op("get", "/groups/{name}", "One group with what belongs to it, by name or id", "200").gives("Group"),
    op("patch", "/groups/{name}", "Rename a group, change its filter or its login mode", "200")
        .takes("GroupChange")
        .gives("Group"),
    op("delete", "/groups/{name}", "Remove a group; its devices and people stay", "204"),
    op("post", "/groups/{name}/members", "Put devices and people into a group", "200")
        .takes("GroupMembers")
        .gives("Group"),
    op("post", "/groups/{name}/members/remove", "Take devices and people out of a group", "200")
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
