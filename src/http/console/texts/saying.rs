//! Words that follow from a value: states, kinds, commands, and what is said after something was done.

use super::Words;

impl Words {
    pub fn role(&self, role: &str) -> &'static str {
        match role {
            "owner" => self.role_owner,
            "admin" => self.role_admin,
            "helpdesk" => self.role_helpdesk,
            "teacher" => self.role_teacher,
            _ => self.role_auditor,
        }
    }

    /// What is said on the page after something was done, by its id in the address.
    pub fn said(&self, id: &str) -> Option<&'static str> {
        Some(match id {
            "decided" => self.said_decided,
            "done" => self.said_done,
            "queued" => self.said_queued,
            "pushed" => self.said_pushed,
            "marked" => self.said_marked,
            "cancelled" => self.said_cancelled,
            _ => return None,
        })
    }

    /// 2026-11-22 as "22 Nov".
    pub fn day_of(&self, date: &str) -> String {
        let (month, day) = (date.get(5..7).unwrap_or_default(), date.get(8..10).unwrap_or_default());
        let months: Vec<&str> = self.months.split(' ').collect();
        let name = month.parse::<usize>().ok().and_then(|m| months.get(m.wrapping_sub(1)).copied()).unwrap_or_default();
        format!("{} {name}", day.trim_start_matches('0'))
    }

    pub fn attention(&self, kind: &str) -> &'static str {
        match kind {
            "came-back" => self.attention_came_back,
            "clone" => self.attention_clone,
            "other-identity" => self.attention_other_identity,
            _ => self.attention_renewal,
        }
    }

    /// The state of a command.
    pub fn command(&self, state: &str) -> &'static str {
        match state {
            "Queued" => self.command_queued,
            "Sent" => self.command_sent,
            "NotNow" => self.command_not_now,
            "Acknowledged" => self.command_done,
            "Error" => self.command_failed,
            "CommandFormatError" => self.command_not_understood,
            "Cancelled" => self.command_cancelled,
            "Expired" => self.command_expired,
            "pending" => self.command_queued,
            "refused" => self.command_refused,
            "gone" => self.command_gone,
            _ => self.command_cleared,
        }
    }

    /// A command by its purpose; Apple's own name where there is no better one.
    pub fn request(&self, request_type: &str) -> String {
        let words = match request_type {
            "DeviceInformation" => self.tale.request_information,
            "DeviceLock" => self.deeds.lock,
            "RestartDevice" => self.deeds.restart,
            "ShutDownDevice" => self.deeds.shut_down,
            "ClearPasscode" => self.deeds.clear_passcode,
            "EraseDevice" => self.deeds.erase,
            "EnableLostMode" => self.tale.request_lost_on,
            "DisableLostMode" => self.tale.request_lost_off,
            "DeviceLocation" => self.deeds.locate,
            "InstallProfile" => self.tale.request_profile,
            "RemoveProfile" => self.tale.request_remove_profile,
            "InstalledApplicationList" => self.tale.request_apps,
            "SecurityInfo" => self.tale.request_security,
            "ProfileList" => self.tale.request_profiles,
            "ActivationLockBypassCode" => self.tale.request_bypass,
            "CertificateList" => self.tale.request_certificates,
            other => return other.to_owned(),
        };
        words.to_owned()
    }

    /// Whom an assignment means.
    pub fn target(&self, kind: &str) -> &'static str {
        match kind {
            "device" => self.device,
            "everyone-on" => self.everyone_on,
            "group-people" => self.target_people,
            "group-devices" => self.target_devices,
            "group-everyone-on" => self.target_everyone,
            _ => self.user,
        }
    }

    /// What somebody asked a second word for.
    pub fn secret_or_command(&self, kind: &str) -> String {
        if kind == "ClearPasscode" { self.deeds.clear_passcode.to_owned() } else { self.secret(kind).to_owned() }
    }

    pub fn secret(&self, kind: &str) -> &'static str {
        match kind {
            "unlock-token" => self.tale.secret_unlock,
            "bootstrap-token" => self.tale.secret_bootstrap,
            "filevault-key" => self.tale.secret_filevault,
            "activation-lock-code" => self.tale.secret_activation,
            "activation-lock-server-code" => self.tale.secret_server_activation,
            "recovery-lock" => self.tale.secret_recovery_lock,
            "firmware-password" => self.tale.secret_firmware,
            _ => self.tale.secret_pin,
        }
    }
}
