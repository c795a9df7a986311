//! What the OpenAPI document calls a shape: a struct that the API really reads or writes, described by utoipa. A new operation's request
//! and answer are added here.

use super::super::accounts::{AccountPassword, AccountRepair, DeviceAccount, DeviceAccountChange, NewDeviceAccount};
use super::super::authorities::{Authorities, Authority, Identity, RenewalBegun, RenewalsBegun, Replacement};
use super::super::backups::Backup;
use super::super::bulk::{Bulk, BulkLine, BulkWish};
use super::super::channels::{ChannelProfiles, ChannelStory, LoginPolicy, LoginPolicyWish};
use super::super::commands::{ForecastWish, Forecasts};
use super::super::custody::MadeCode;
use super::super::custody::{
    Approval, LostWish, Marked, Reason, RevealWish, Revealed, Secret, SecretRequest, SecretRule, SecretRuleChange,
    Whereabouts,
};
use super::super::directory::{DirectorySettings, DirectorySync, DirectoryTried, NewDirectory};
use super::super::doctor::Examination;
use super::super::enrollment::{EnrollmentPolicy, PolicyChange, ProfileWish, Tls, TlsChoice};
use super::super::expiry::{Expiry, ExpiryFeed};
use super::super::fields::Fields;
use super::super::groups::{Group, GroupChange, GroupMembers, NewGroup};
use super::super::inventory::{ExportedDevice, InventoryPolicy, InventoryPolicyChange, StockChange, StockItem};
use super::super::invitations::{DoorChange, EnrollmentDoor, Invitation, InvitationWish};
use super::super::keys::{KeyRotation, KeyState, MachineKeyReplacement};
use super::super::leaving::{Attention, DevicePolicy, DevicePolicyChange};
use super::super::mail::{MailLine, MailServer, MailTried, NewMailServer};
use super::super::pairs::{NewPair, Pair, PairChange, PairEvent, PairState};
use super::super::payloads::PayloadType;
use super::super::people::{
    Admin, AdminChange, LoggedIn, Login, NewAdmin, OpenSession, OwnPassword, RecoveryCode, RecoveryCodeTry,
    SessionsEnded, TotpBegun, TotpCode, UnlockWish,
};
use super::super::profiles::{
    AssignmentWish, NewProfile, Profile, ProfileChange, ProfileDiff, ProfileDoubt, ProfileVersion, ProfileWhy, Refusal,
};
use super::super::provisioning::{
    DeviceProvisioning, Provisioning, ProvisioningOnDevice, ProvisioningWish, ReturnedProvisioning,
};
use super::super::reply::Problem;
use super::super::reports::{Activity, ActivityPolicy, ActivityPolicyChange, SecurityLine};
use super::super::retention::{Retention, RetentionChange};
use super::super::schedules::{Calendar, CalendarWish, Schedule, ScheduleWish};
use super::super::school::{
    AuditVerdict, Health, NewToken, PushImport, PushMailed, PushRequest, PushRequestMade, SetUp,
};
use super::super::school::{SetUpLink, SetUpState};
use super::super::setup_plans::{NewSetupPlan, SetupPlan};
use super::super::sheets::{SheetWish, TheftSheetWish};
use super::super::users::{
    NetworkUsers, NetworkUsersChange, NewPerson, PeopleImport, PeopleImported, Person, PersonChange,
};
use super::super::views::{AuditItem, Command, Device, Explanation, Page, PushCertificate, Token, User};
use super::super::webhooks::{NewWebhook, SecretRotation, Webhook, WebhookChange, WebhookDelivery};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ComponentsBuilder, RefOr};

/// `components` of the document: each shape under the name that [`super::OPERATIONS`] uses.
pub(super) fn components() -> Value {
    fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>, name: &str) {
        all.push((name.to_owned(), T::schema()));
        T::schemas(all);
    }
    let mut all = Vec::new();
    add::<Page<Device>>(&mut all, "Page_Device");
    add::<Backup>(&mut all, "Backup");
    add::<SetUpLink>(&mut all, "SetUpLink");
    add::<Activity>(&mut all, "Activity");
    add::<Page<Activity>>(&mut all, "Page_Activity");
    add::<ActivityPolicy>(&mut all, "ActivityPolicy");
    add::<ActivityPolicyChange>(&mut all, "ActivityPolicyChange");
    add::<SecurityLine>(&mut all, "SecurityLine");
    add::<Page<SecurityLine>>(&mut all, "Page_SecurityLine");
    add::<Examination>(&mut all, "Examination");
    add::<Expiry>(&mut all, "Expiry");
    add::<Page<Expiry>>(&mut all, "Page_Expiry");
    add::<ExpiryFeed>(&mut all, "ExpiryFeed");
    add::<Page<Backup>>(&mut all, "Page_Backup");
    add::<Page<Attention>>(&mut all, "Page_Attention");
    add::<Page<Identity>>(&mut all, "Page_Identity");
    add::<Attention>(&mut all, "Attention");
    add::<Authorities>(&mut all, "Authorities");
    add::<Authority>(&mut all, "Authority");
    add::<DevicePolicy>(&mut all, "DevicePolicy");
    add::<DevicePolicyChange>(&mut all, "DevicePolicyChange");
    add::<Identity>(&mut all, "Identity");
    add::<RenewalBegun>(&mut all, "RenewalBegun");
    add::<RenewalsBegun>(&mut all, "RenewalsBegun");
    add::<Replacement>(&mut all, "Replacement");
    add::<Page<User>>(&mut all, "Page_User");
    add::<Page<Command>>(&mut all, "Page_Command");
    add::<Page<PushCertificate>>(&mut all, "Page_PushCertificate");
    add::<Page<Token>>(&mut all, "Page_Token");
    add::<Page<AuditItem>>(&mut all, "Page_AuditItem");
    add::<Device>(&mut all, "Device");
    add::<User>(&mut all, "User");
    add::<Command>(&mut all, "Command");
    add::<Explanation>(&mut all, "Explanation");
    add::<PushCertificate>(&mut all, "PushCertificate");
    add::<Token>(&mut all, "Token");
    add::<AuditItem>(&mut all, "AuditItem");
    add::<AuditVerdict>(&mut all, "AuditVerdict");
    add::<Health>(&mut all, "Health");
    add::<Problem>(&mut all, "Problem");
    add::<SetUp>(&mut all, "SetUp");
    add::<ProfileWish>(&mut all, "ProfileWish");
    add::<EnrollmentPolicy>(&mut all, "EnrollmentPolicy");
    add::<PolicyChange>(&mut all, "PolicyChange");
    add::<Tls>(&mut all, "Tls");
    add::<PushImport>(&mut all, "PushImport");
    add::<PushRequest>(&mut all, "PushRequest");
    add::<PushMailed>(&mut all, "PushMailed");
    add::<PushRequestMade>(&mut all, "PushRequestMade");
    add::<NewToken>(&mut all, "NewToken");

    add::<SetUpState>(&mut all, "SetUpState");
    add::<Page<Admin>>(&mut all, "Page_Admin");
    add::<Admin>(&mut all, "Admin");
    add::<Login>(&mut all, "Login");
    add::<LoggedIn>(&mut all, "LoggedIn");
    add::<NewAdmin>(&mut all, "NewAdmin");
    add::<AdminChange>(&mut all, "AdminChange");
    add::<OwnPassword>(&mut all, "OwnPassword");
    add::<TotpBegun>(&mut all, "TotpBegun");
    add::<UnlockWish>(&mut all, "UnlockWish");
    add::<Page<OpenSession>>(&mut all, "Page_OpenSession");
    add::<OpenSession>(&mut all, "OpenSession");
    add::<SessionsEnded>(&mut all, "SessionsEnded");
    add::<SecretRotation>(&mut all, "SecretRotation");
    add::<TotpCode>(&mut all, "TotpCode");
    add::<RecoveryCode>(&mut all, "RecoveryCode");
    add::<RecoveryCodeTry>(&mut all, "RecoveryCodeTry");

    add::<SheetWish>(&mut all, "SheetWish");
    add::<TheftSheetWish>(&mut all, "TheftSheetWish");
    add::<MadeCode>(&mut all, "MadeCode");
    add::<Retention>(&mut all, "Retention");
    add::<RetentionChange>(&mut all, "RetentionChange");
    add::<KeyState>(&mut all, "KeyState");
    add::<KeyRotation>(&mut all, "KeyRotation");
    add::<MachineKeyReplacement>(&mut all, "MachineKeyReplacement");

    add::<Page<Webhook>>(&mut all, "Page_Webhook");
    add::<Page<WebhookDelivery>>(&mut all, "Page_WebhookDelivery");
    add::<Webhook>(&mut all, "Webhook");
    add::<WebhookDelivery>(&mut all, "WebhookDelivery");
    add::<NewWebhook>(&mut all, "NewWebhook");
    add::<WebhookChange>(&mut all, "WebhookChange");

    add::<Page<Invitation>>(&mut all, "Page_Invitation");
    add::<Invitation>(&mut all, "Invitation");
    add::<InvitationWish>(&mut all, "InvitationWish");
    add::<EnrollmentDoor>(&mut all, "EnrollmentDoor");
    add::<DoorChange>(&mut all, "DoorChange");

    add::<Page<Secret>>(&mut all, "Page_Secret");
    add::<Page<SecretRequest>>(&mut all, "Page_SecretRequest");
    add::<Secret>(&mut all, "Secret");
    add::<SecretRequest>(&mut all, "SecretRequest");
    add::<SecretRule>(&mut all, "SecretRule");
    add::<SecretRuleChange>(&mut all, "SecretRuleChange");
    add::<Approval>(&mut all, "Approval");
    add::<RevealWish>(&mut all, "RevealWish");
    add::<Revealed>(&mut all, "Revealed");
    add::<LostWish>(&mut all, "LostWish");
    add::<Marked>(&mut all, "Marked");
    add::<Reason>(&mut all, "Reason");
    add::<Whereabouts>(&mut all, "Whereabouts");
    add::<Page<ChannelStory>>(&mut all, "Page_ChannelStory");
    add::<Page<ChannelProfiles>>(&mut all, "Page_ChannelProfiles");
    add::<ChannelStory>(&mut all, "ChannelStory");
    add::<ChannelProfiles>(&mut all, "ChannelProfiles");
    add::<Page<SetupPlan>>(&mut all, "Page_SetupPlan");
    add::<SetupPlan>(&mut all, "SetupPlan");
    add::<NewSetupPlan>(&mut all, "NewSetupPlan");
    add::<LoginPolicy>(&mut all, "LoginPolicy");
    add::<LoginPolicyWish>(&mut all, "LoginPolicyWish");
    add::<Page<Profile>>(&mut all, "Page_Profile");
    add::<Profile>(&mut all, "Profile");
    add::<ForecastWish>(&mut all, "ForecastWish");
    add::<Forecasts>(&mut all, "Forecasts");
    add::<InventoryPolicy>(&mut all, "InventoryPolicy");
    add::<InventoryPolicyChange>(&mut all, "InventoryPolicyChange");
    add::<Page<StockItem>>(&mut all, "Page_StockItem");
    add::<StockItem>(&mut all, "StockItem");
    add::<Page<StockChange>>(&mut all, "Page_StockChange");
    add::<StockChange>(&mut all, "StockChange");
    add::<Page<ExportedDevice>>(&mut all, "Page_ExportedDevice");
    add::<ExportedDevice>(&mut all, "ExportedDevice");
    add::<NewProfile>(&mut all, "NewProfile");
    add::<Page<ProfileVersion>>(&mut all, "Page_ProfileVersion");
    add::<ProfileVersion>(&mut all, "ProfileVersion");
    add::<ProfileDiff>(&mut all, "ProfileDiff");
    add::<Page<ProfileDoubt>>(&mut all, "Page_ProfileDoubt");
    add::<ProfileDoubt>(&mut all, "ProfileDoubt");
    add::<Page<PayloadType>>(&mut all, "Page_PayloadType");
    add::<PayloadType>(&mut all, "PayloadType");
    add::<Fields>(&mut all, "Fields");
    add::<ProfileChange>(&mut all, "ProfileChange");
    add::<ProfileWhy>(&mut all, "ProfileWhy");
    add::<Page<Refusal>>(&mut all, "Page_Refusal");
    add::<Refusal>(&mut all, "Refusal");
    add::<AssignmentWish>(&mut all, "AssignmentWish");
    add::<Page<Provisioning>>(&mut all, "Page_Provisioning");
    add::<Provisioning>(&mut all, "Provisioning");
    add::<Page<ProvisioningOnDevice>>(&mut all, "Page_ProvisioningOnDevice");
    add::<DeviceProvisioning>(&mut all, "DeviceProvisioning");
    add::<ProvisioningWish>(&mut all, "ProvisioningWish");
    add::<ReturnedProvisioning>(&mut all, "ReturnedProvisioning");
    add::<Page<DeviceAccount>>(&mut all, "Page_DeviceAccount");
    add::<DeviceAccount>(&mut all, "DeviceAccount");
    add::<NewDeviceAccount>(&mut all, "NewDeviceAccount");
    add::<DeviceAccountChange>(&mut all, "DeviceAccountChange");
    add::<AccountPassword>(&mut all, "AccountPassword");
    add::<AccountRepair>(&mut all, "AccountRepair");

    add::<Page<Pair>>(&mut all, "Page_Pair");
    add::<Pair>(&mut all, "Pair");
    add::<NewPair>(&mut all, "NewPair");
    add::<PairChange>(&mut all, "PairChange");
    add::<Page<PairState>>(&mut all, "Page_PairState");
    add::<PairState>(&mut all, "PairState");
    add::<Page<PairEvent>>(&mut all, "Page_PairEvent");
    add::<PairEvent>(&mut all, "PairEvent");

    add::<Page<Person>>(&mut all, "Page_Person");
    add::<Person>(&mut all, "Person");
    add::<NewPerson>(&mut all, "NewPerson");
    add::<PersonChange>(&mut all, "PersonChange");
    add::<PeopleImport>(&mut all, "PeopleImport");
    add::<PeopleImported>(&mut all, "PeopleImported");
    add::<NetworkUsers>(&mut all, "NetworkUsers");
    add::<NetworkUsersChange>(&mut all, "NetworkUsersChange");
    add::<DirectorySettings>(&mut all, "DirectorySettings");
    add::<NewDirectory>(&mut all, "NewDirectory");
    add::<DirectoryTried>(&mut all, "DirectoryTried");
    add::<DirectorySync>(&mut all, "DirectorySync");
    add::<Page<Bulk>>(&mut all, "Page_Bulk");
    add::<Bulk>(&mut all, "Bulk");
    add::<BulkWish>(&mut all, "BulkWish");
    add::<Page<BulkLine>>(&mut all, "Page_BulkLine");
    add::<BulkLine>(&mut all, "BulkLine");
    add::<Calendar>(&mut all, "Calendar");
    add::<CalendarWish>(&mut all, "CalendarWish");
    add::<Page<Schedule>>(&mut all, "Page_Schedule");
    add::<Schedule>(&mut all, "Schedule");
    add::<ScheduleWish>(&mut all, "ScheduleWish");
    add::<TlsChoice>(&mut all, "TlsChoice");
    add::<NewMailServer>(&mut all, "NewMailServer");
    add::<MailServer>(&mut all, "MailServer");
    add::<MailTried>(&mut all, "MailTried");
    add::<Page<MailLine>>(&mut all, "Page_MailLine");
    add::<MailLine>(&mut all, "MailLine");
    add::<Page<Group>>(&mut all, "Page_Group");
    add::<Group>(&mut all, "Group");
    add::<NewGroup>(&mut all, "NewGroup");
    add::<GroupChange>(&mut all, "GroupChange");
    add::<GroupMembers>(&mut all, "GroupMembers");
    let built = ComponentsBuilder::new().schemas_from_iter(all).build();
    let mut value = serde_json::to_value(built).unwrap_or_default();
    // Apple's keys differ by RequestType; what is common is written here.
    value["schemas"]["CommandWish"] = json!({
        "type": "object",
        "required": ["RequestType"],
        "properties": {
            "RequestType": { "type": "string" },
            "user": { "type": "string" },
            "not_before": { "type": "string", "format": "date-time" },
            "expires_at": { "type": "string", "format": "date-time" },
            "possession": { "type": "string", "minLength": crate::service::unlocking::LEAST_WORDS, "description": "ClearPasscode: how it was verified that the owner holds the device" },
            "reason": { "type": "string", "minLength": crate::service::unlocking::LEAST_WORDS, "description": "DeviceLocation: why" },
        },
        "additionalProperties": true,
    });
    value["schemas"]["BulkWish"]["required"] = json!(["RequestType"]);
    value["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
    value
}
