//! What is said about the server as a machine to look after: copies, dates, its own health. Ids and English words side by side.

use std::fmt;

/// Part of [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appliance {
    NoRoomForBackup { needed_mb: u64, free_mb: u64 },
    NoSuchBackup { name: String },
    BackupTooLarge { name: String, limit_mb: u64 },
    EveryTokenBad { since: String },
    SetUpDone,
    SetUpIncomplete,
    NameMissing,
    PasswordsDiffer,
    CodeNotTypedBack,
    TlsByConfiguration { mode: String },
    NoMailServer,
    MailNotTaken { why: String },
}

impl Appliance {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoRoomForBackup { .. } => "no-room-for-backup",
            Self::NoSuchBackup { .. } => "no-such-backup",
            Self::BackupTooLarge { .. } => "backup-too-large",
            Self::EveryTokenBad { .. } => "every-token-bad",
            Self::SetUpDone => "set-up-done",
            Self::SetUpIncomplete => "set-up-incomplete",
            Self::NameMissing => "name-missing",
            Self::PasswordsDiffer => "passwords-differ",
            Self::CodeNotTypedBack => "code-not-typed-back",
            Self::TlsByConfiguration { .. } => "tls-by-configuration",
            Self::NoMailServer => "no-mail-server",
            Self::MailNotTaken { .. } => "mail-not-taken",
        }
    }

    pub(super) fn english(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoomForBackup { needed_mb, free_mb } => write!(
                f,
                "There is no room for a backup: it needs {needed_mb} MB, {free_mb} MB are free. Move copies out of backup/ to another disk, or make room."
            ),
            Self::NoSuchBackup { name } => {
                write!(f, "There is no backup {name}. `cordon backup --list` shows those there are.")
            }
            Self::BackupTooLarge { name, limit_mb } => write!(
                f,
                "{name} is larger than the {limit_mb} MB that are handed out over the network. Copy it from backup/ in the data directory; any copy of it is complete."
            ),
            Self::EveryTokenBad { since } => write!(
                f,
                "Since {since} Apple calls the push token of every device bad. That is no fault of the devices: look at apple.apns_url, and whether the push certificate has the topic that they enrolled with (cordon push-cert show). No token was given up."
            ),
            Self::SetUpDone => f.write_str("The school is set up, and somebody can log in: there is nothing left for a link. `cordon admin list` shows who."),
            Self::SetUpIncomplete => {
                f.write_str("An owner who can log in and a recovery code on paper are needed first. The steps without a tick say what is missing.")
            }
            Self::NameMissing => f.write_str("Give the school a name, as its people know it."),
            Self::PasswordsDiffer => f.write_str("The two passwords are not the same. Type both once more."),
            Self::CodeNotTypedBack => {
                f.write_str("That is not what the code ends with. Compare your paper with the code, letter by letter, and type its last two groups.")
            }
            Self::TlsByConfiguration { mode } => write!(f, "The configuration says tls.mode = \"{mode}\", and that is what counts. Change it there, or take the line out and start the server again."),
            Self::NoMailServer => f.write_str("No mail server is set. Say which one takes letters with `cordon mail set`."),
            Self::MailNotTaken { why } => write!(f, "The mail server did not take the letter: {why}. Look at its name, port and security, the account, and the addresses."),
        }
    }
}
