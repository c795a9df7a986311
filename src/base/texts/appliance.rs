//! What is said about the server as a machine to look after: copies, dates, its own health. Ids and English words side by side.

use std::fmt;

/// Part of [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appliance {
    NoRoomForBackup { needed_mb: u64, free_mb: u64 },
    NoSuchBackup { name: String },
    BackupTooLarge { name: String, limit_mb: u64 },
}

impl Appliance {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoRoomForBackup { .. } => "no-room-for-backup",
            Self::NoSuchBackup { .. } => "no-such-backup",
            Self::BackupTooLarge { .. } => "backup-too-large",
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
        }
    }
}
