//! What is said about plans: schedules, wishes for many devices, what the inventory tells. Ids and English words side by side.

use std::fmt;

/// Part of [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planning {
    NoSuchSchedule { name: String },
    ScheduleExists { name: String },
    ScheduleInUse { name: String, times: i64 },
    ZoneNotSet,
    ClosedNow { name: String, next: String },
    NotForMany { request_type: String },
    NotATime { field: &'static str, said: String },
    EndIsPast { end: String },
    EndBeforeStart { start: String, end: String },
}

impl Planning {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoSuchSchedule { .. } => "no-such-schedule",
            Self::ScheduleExists { .. } => "schedule-exists",
            Self::ScheduleInUse { .. } => "schedule-in-use",
            Self::ZoneNotSet => "time-zone-not-set",
            Self::ClosedNow { .. } => "closed-now",
            Self::NotForMany { .. } => "not-for-many",
            Self::NotATime { .. } => "not-a-time",
            Self::EndIsPast { .. } => "end-is-past",
            Self::EndBeforeStart { .. } => "end-before-start",
        }
    }

    /// Which of the two fields of a command's times has to be changed; they are called so in the API and in the console.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::NotATime { field, .. } => Some(field),
            Self::EndIsPast { .. } | Self::EndBeforeStart { .. } => Some("expires_at"),
            _ => None,
        }
    }

    pub(super) fn english(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchSchedule { name } => {
                write!(f, "There is no schedule “{name}”. `cordon schedule list` shows those there are.")
            }
            Self::ScheduleExists { name } => {
                write!(f, "There is a schedule “{name}” already. Choose another name, or change that one.")
            }
            Self::ScheduleInUse { name, times } => write!(
                f,
                "“{name}” is followed by {times} assignment(s). Assign those profiles anew without it, or take the assignments back; `cordon schedule show` lists them."
            ),
            Self::ZoneNotSet => f.write_str(
                "The school's time zone is not set, so times are read as UTC. Set it: cordon schedule calendar --time-zone Europe/Berlin",
            ),
            Self::NotForMany { request_type } => write!(
                f,
                "{request_type} is not sent to many devices at once: it opens, erases, removes or finds. Send it to each device by itself."
            ),
            Self::NotATime { said, .. } => write!(f, "“{said}” is no time. Write it like 2026-11-23 08:00."),
            Self::EndIsPast { end } => write!(
                f,
                "The time at which the command is given up ({end}) is past, so no device would ever get it. Name a later one, or none."
            ),
            Self::EndBeforeStart { start, end } => write!(
                f,
                "The command would be given up ({end}) before it may be sent ({start}), so no device would ever get it. Name a later end, or an earlier beginning."
            ),
            Self::ClosedNow { name, next } => write!(f, "“{name}” is closed now; it opens {next}. Devices get it then."),
        }
    }
}
