//! What is said about pairs of a restriction and a capability. Ids and English words side by side.

use std::fmt;

/// Part of [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairs {
    NoSuchPair { pair: String },
    OnlyWithItsPair { profile: String, pair: String },
    AssignedByItself { profile: String },
    OtherWayRound { profile: String, pair: String },
    SameProfile,
    EncryptedPart { profile: String },
    Locked { profile: String },
    NoPolicyInside { profile: String },
    NotAsked { platforms: &'static str },
    Copied { identifier: String },
    HalfNotSplit { profile: String, pair: String, id: String },
    MadeOfBoth { profile: String, pair: String, id: String },
    StillInPair { profile: String, pair: String, id: String },
    HalfGone { profile: String, id: String },
}

impl Pairs {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoSuchPair { .. } => "no-such-pair",
            Self::OnlyWithItsPair { .. } => "only-with-its-pair",
            Self::AssignedByItself { .. } => "assigned-by-itself",
            Self::OtherWayRound { .. } => "other-way-round",
            Self::SameProfile => "same-profile",
            Self::EncryptedPart { .. } => "encrypted-part",
            Self::Locked { .. } => "locked",
            Self::NoPolicyInside { .. } => "no-policy-inside",
            Self::NotAsked { .. } => "not-asked",
            Self::Copied { .. } => "copied",
            Self::HalfNotSplit { .. } => "half-not-split",
            Self::MadeOfBoth { .. } => "made-of-both",
            Self::StillInPair { .. } => "still-in-pair",
            Self::HalfGone { .. } => "half-gone",
        }
    }

    pub(super) fn english(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPair { pair } => {
                write!(f, "There is no pair {pair}. `cordon pair list` shows those there are.")
            }
            Self::OnlyWithItsPair { profile, pair } => write!(
                f,
                "“{profile}” is the capability of the pair “{pair}” and comes only with its restriction. Assign the pair: `cordon pair assign`."
            ),
            Self::AssignedByItself { profile } => write!(
                f,
                "“{profile}” is assigned by itself, so nobody would need the restriction for it. Take these assignments back first; `cordon profile show` lists them."
            ),
            Self::OtherWayRound { profile, pair } => write!(
                f,
                "“{profile}” is the other half of the pair “{pair}”. What is given for one restriction cannot be the restriction for something else; use another profile."
            ),
            Self::SameProfile => f.write_str(
                "Restriction and capability are the same profile. Choose two, or name the payloads of each.",
            ),
            Self::EncryptedPart { profile } => write!(
                f,
                "“{profile}” is encrypted for one device, so nothing can be put together with it. Use a profile in clear; Cordon keeps it sealed."
            ),
            Self::Locked { profile } => write!(
                f,
                "“{profile}” is locked from now on (PayloadRemovalDisallowed): a restriction that its user could take off would hold nothing."
            ),
            Self::NoPolicyInside { profile } => write!(
                f,
                "“{profile}” holds no passcode policy, so a device may comply at once. A fact that fits can be named instead: `--until installed`, or \
                 `--until SecurityInfo.FDE_Enabled=true`."
            ),
            Self::NotAsked { platforms } => write!(
                f,
                "{platforms} do not tell whether a passcode complies: there the capability would wait for ever. For them make a pair with `--until installed`, or with a fact \
                 that they tell."
            ),
            Self::Copied { identifier } => write!(
                f,
                "These payloads are a profile of their own now, {identifier}. What changes in the profile that they come from does not change it."
            ),
            Self::HalfNotSplit { profile, pair, id } => write!(
                f,
                "“{profile}” belongs to the pair “{pair}”. An account split off from it would come and go without the pair, so it stays whole. Remove the pair first, \
                 `cordon pair remove {id}`; then split the profile, and make a pair of the parts that belong together: `cordon pair add`."
            ),
            Self::MadeOfBoth { profile, pair, id } => write!(
                f,
                "“{profile}” is made of both halves of the pair “{pair}” and follows them. Change one of the halves, or remove the pair: `cordon pair remove {id}`."
            ),
            Self::StillInPair { profile, pair, id } => write!(
                f,
                "“{profile}” is handed out as a part of the pair “{pair}” and would stay on devices without it. Remove the pair first: `cordon pair remove {id}`."
            ),
            Self::HalfGone { profile, id } => write!(
                f,
                "“{profile}” was removed from the library, so this pair has only one half. Add the profile again (`cordon profile add`), or remove the pair: `cordon pair remove {id}`."
            ),
        }
    }
}
