//! Which user of a Mac is managed, decided purely: the answer to `UserAuthenticate`, and whether a channel may speak. Called by
//! `service::network_users`, which knows the people and keeps what is decided.
//!
//! Three kinds of user have a channel: the local user who installed the profile; network and mobile users whom `UserAuthenticate`
//! let in; and, by rights never, other local users. A request that fails here is never answered 401.

use super::sender::{Channel, Sender, UserKey};

/// How a school deals with network users at their login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The ones that the school knows, without asking for a secret.
    Known,
    /// The ones that answer a challenge with their password.
    Digest,
    /// None at all.
    Refuse,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Known, Mode::Digest, Mode::Refuse];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Known => "known",
            Mode::Digest => "digest",
            Mode::Refuse => "refuse",
        }
    }

    pub fn find(text: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// Of several groups with a say the strictest counts; without any, the school's.
    pub fn strictest(school: Mode, groups: impl IntoIterator<Item = Mode>) -> Mode {
        groups.into_iter().max().unwrap_or(school)
    }
}

/// The person behind a record, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub disabled: bool,
    pub has_secret: bool,
}

/// The answer to the first of the two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// 410: silent for this login, asked again at the next.
    Decline(&'static str),
    /// An empty challenge: managed, and no token will exist.
    Manage,
    Challenge,
}

/// Decides the first request, which names a directory's record and nobody. `by_name`: somebody could be meant whose record is not
/// known yet, and whom only the digest will name.
pub fn first(mode: Mode, person: Option<Candidate>, by_name: bool) -> First {
    match (mode, person) {
        (Mode::Refuse, _) => First::Decline("network users are not managed here"),
        (_, Some(Candidate { disabled: true, .. })) => First::Decline("this person is disabled"),
        (Mode::Known, Some(_)) => First::Manage,
        (Mode::Known, None) => First::Decline("no person has this directory record"),
        (Mode::Digest, Some(Candidate { has_secret: true, .. })) => First::Challenge,
        (Mode::Digest, Some(_)) => {
            First::Decline("this person has no digest secret yet: set a password, or sign in once")
        }
        (Mode::Digest, None) if by_name => First::Challenge,
        (Mode::Digest, None) => First::Decline("no person has this directory record"),
    }
}

/// What is known when the second request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The text could be read as credentials of this realm.
    pub readable: bool,
    /// The nonce is the one given to this channel, unused and young.
    pub fresh: bool,
    /// Who is meant: by the record, else by the name in the digest.
    pub person: Option<Candidate>,
    /// The response was computed with that person's password.
    pub right: bool,
}

/// The answer to the second request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    Decline(&'static str),
    /// 200 with an empty AuthToken.
    Wrong(&'static str),
    /// 200 with an AuthToken.
    Admit,
    /// 200 with nothing: managed without a token already.
    Nothing,
}

/// Decides the second request.
pub fn second(mode: Mode, proof: &Proof) -> Second {
    match (mode, proof.person) {
        (Mode::Refuse, _) => Second::Decline("network users are not managed here"),
        (_, Some(Candidate { disabled: true, .. })) => Second::Decline("this person is disabled"),
        (Mode::Known, Some(_)) => Second::Nothing,
        _ if !proof.readable => Second::Wrong("the digest cannot be read"),
        _ if !proof.fresh => Second::Wrong("the challenge was not ours, too old, or used already"),
        (_, None) => Second::Decline("the school knows nobody of this name"),
        (Mode::Digest, Some(Candidate { has_secret: false, .. })) => {
            Second::Decline("this person has no digest secret yet: set a password, or sign in once")
        }
        (Mode::Digest, Some(_)) if proof.right => Second::Admit,
        (Mode::Digest, Some(_)) => Second::Wrong("the password is not right"),
    }
}

/// By what right a user's channel is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Never heard of.
    Unknown,
    /// The local user who installed the profile.
    Installer,
    /// Another local user: Apple says that they never come.
    Further,
    /// A network user who was not let in, or not yet.
    Outside,
    /// A network user who was let in. `token`: one was given, and must come with every request.
    Managed { token: bool },
}

/// What a message on a user's channel may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Serve,
    /// The first local user to come: the installer.
    Install,
    /// A further local user, to be remembered as such; served or only recorded, as the school says.
    Meet,
    /// Taken note of and answered with nothing.
    Record,
    /// 400, never 401: the text is for the log and the timeline.
    Refuse(&'static str),
}

/// Decides a message other than UserAuthenticate. `installer`: another channel of this device is the installer's. `fits`: the
/// AuthToken that came is the one given. `serve_further`: the school wants further local users served.
pub fn admit(from: &Sender, standing: Standing, installer: bool, fits: bool, serve_further: bool) -> Admission {
    // Users of a Shared iPad log in with Apple; no UserAuthenticate stands before them.
    if !matches!(&from.channel, Channel::User(UserKey::UserId(_) | UserKey::EnrollmentUserId(_))) {
        return Admission::Serve;
    }
    match standing {
        Standing::Managed { token: true } if !fits => {
            Admission::Refuse("the AuthToken is missing or not the one given")
        }
        Standing::Managed { .. } | Standing::Installer => Admission::Serve,
        Standing::Outside => Admission::Refuse("a network user who was not let in"),
        // Only UserAuthenticate gives tokens: who has one and is not known was let in before an enrolment that is over.
        Standing::Unknown if from.auth_token.is_some() => Admission::Refuse("an AuthToken that nobody gave"),
        Standing::Unknown if !installer => Admission::Install,
        Standing::Unknown => Admission::Meet,
        Standing::Further if serve_further => Admission::Serve,
        Standing::Further => Admission::Record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plist::parse_dict;
    use crate::protocol::samples::{doc, strings};

    const IN_FORCE: Option<Candidate> = Some(Candidate { disabled: false, has_secret: true });
    const NO_SECRET: Option<Candidate> = Some(Candidate { disabled: false, has_secret: false });
    const DISABLED: Option<Candidate> = Some(Candidate { disabled: true, has_secret: true });

    #[test]
    fn the_first_request() {
        let declined = |answer| matches!(answer, First::Decline(_));
        for by_name in [false, true] {
            for person in [None, IN_FORCE, NO_SECRET, DISABLED] {
                assert!(declined(first(Mode::Refuse, person, by_name)));
            }
            for mode in [Mode::Known, Mode::Digest] {
                assert!(declined(first(mode, DISABLED, by_name)));
            }
            assert_eq!(first(Mode::Known, IN_FORCE, by_name), First::Manage);
            assert_eq!(first(Mode::Known, NO_SECRET, by_name), First::Manage);
            assert!(declined(first(Mode::Known, None, by_name)));
            assert_eq!(first(Mode::Digest, IN_FORCE, by_name), First::Challenge);
            assert!(declined(first(Mode::Digest, NO_SECRET, by_name)));
        }
        assert_eq!(first(Mode::Digest, None, true), First::Challenge);
        assert!(declined(first(Mode::Digest, None, false)));
    }

    #[test]
    fn the_second_request_needs_everything() {
        let good = Proof { readable: true, fresh: true, person: IN_FORCE, right: true };
        assert_eq!(second(Mode::Digest, &good), Second::Admit);
        for bad in [Proof { readable: false, ..good }, Proof { fresh: false, ..good }, Proof { right: false, ..good }] {
            assert!(matches!(second(Mode::Digest, &bad), Second::Wrong(_)), "{bad:?}");
        }
        for person in [None, NO_SECRET, DISABLED] {
            assert!(matches!(second(Mode::Digest, &Proof { person, ..good }), Second::Decline(_)), "{person:?}");
        }
        // Without a fresh nonce nobody learns whom the school knows.
        assert!(matches!(second(Mode::Digest, &Proof { person: None, fresh: false, ..good }), Second::Wrong(_)));
        assert!(matches!(second(Mode::Refuse, &good), Second::Decline(_)));
        assert_eq!(second(Mode::Known, &Proof { readable: false, right: false, ..good }), Second::Nothing);
    }

    fn sender(user: &[(&str, &str)]) -> Sender {
        let mut keys = vec![("UDID", "AA-1")];
        keys.extend_from_slice(user);
        Sender::parse(&parse_dict(&doc(&strings(&keys))).unwrap()).unwrap()
    }

    #[test]
    fn who_may_speak() {
        let user = sender(&[("UserID", "G-1")]);
        let bearer = sender(&[("UserID", "G-1"), ("AuthToken", "t")]);
        use Admission::*;
        let table = [
            (Standing::Unknown, false, Install),
            (Standing::Unknown, true, Meet),
            (Standing::Installer, true, Serve),
            (Standing::Further, true, Record),
            (Standing::Managed { token: false }, true, Serve),
        ];
        for (standing, installer, wanted) in table {
            assert_eq!(admit(&user, standing, installer, false, false), wanted, "{standing:?}");
        }
        assert_eq!(admit(&user, Standing::Further, true, false, true), Serve);
        assert_eq!(admit(&bearer, Standing::Managed { token: true }, true, true, false), Serve);
        for (from, standing) in [
            (&user, Standing::Managed { token: true }),
            (&bearer, Standing::Managed { token: true }),
            (&bearer, Standing::Unknown),
            (&user, Standing::Outside),
        ] {
            for installer in [false, true] {
                assert!(matches!(admit(from, standing, installer, false, true), Refuse(_)), "{standing:?}");
            }
        }
        let shared = sender(&[("UserID", super::super::sender::ALL_F), ("UserShortName", "ada@hill.example")]);
        assert_eq!(admit(&shared, Standing::Unknown, true, false, false), Serve);
        assert_eq!(admit(&sender(&[]), Standing::Unknown, false, false, false), Serve);
    }

    #[test]
    fn the_strictest_group_counts() {
        assert_eq!(Mode::strictest(Mode::Refuse, []), Mode::Refuse);
        assert_eq!(Mode::strictest(Mode::Refuse, [Mode::Known]), Mode::Known);
        assert_eq!(Mode::strictest(Mode::Known, [Mode::Known, Mode::Refuse, Mode::Digest]), Mode::Refuse);
        for mode in Mode::ALL {
            assert_eq!(Mode::find(mode.as_str()), Some(mode));
        }
    }
}
