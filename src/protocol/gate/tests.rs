//! The gate by table and by chance.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn policy(on_lapse: OnLapse) -> Policy {
    Policy { condition: Condition::Passcode, on_lapse, watch: None }
}

fn at(minutes: i64) -> Timestamp {
    NOW.plus(minutes * MINUTE)
}

/// Something that happens to a gate at a minute.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The restriction stands in this edition, or not at all.
    Stands(Option<u8>),
    /// An answer to a question put at that minute.
    Says(Answer, i64),
    Time,
}

#[test]
fn the_table() {
    use Answer::{Complies, Fails, Refused, Silent};
    use OnLapse::{AfterGrace, Keep, Withdraw};
    use Step::{Says, Stands, Time};
    // Policy; what happens at which minute; phase, since which minute, and whether the capability stands at the end.
    type Row = (&'static str, OnLapse, &'static [(i64, Step)], Phase, i64, bool);
    let table: [Row; 20] = [
        ("nothing yet", Withdraw, &[(0, Stands(None))], Phase::Waiting, 0, false),
        ("grace", Withdraw, &[(1, Stands(Some(1)))], Phase::Grace, 1, false),
        ("grace to its last minute", Withdraw, &[(0, Stands(Some(1))), (59, Time)], Phase::Grace, 0, false),
        ("grace is over", Withdraw, &[(0, Stands(Some(1))), (75, Time)], Phase::Unmet, 60, false),
        ("complies at once", Withdraw, &[(0, Stands(Some(1))), (0, Says(Complies, 0))], Phase::Open, 0, true),
        ("complies late", Withdraw, &[(0, Stands(Some(1))), (90, Says(Complies, 90))], Phase::Open, 90, true),
        ("fails in grace", Withdraw, &[(0, Stands(Some(1))), (5, Says(Fails, 5))], Phase::Grace, 0, false),
        ("an answer from before", Withdraw, &[(5, Stands(Some(1))), (6, Says(Complies, 4))], Phase::Grace, 5, false),
        ("no restriction", Withdraw, &[(0, Stands(None)), (1, Says(Complies, 1))], Phase::Waiting, 0, false),
        ("silence", Withdraw, &[(0, Stands(Some(1))), (5, Says(Silent, 5))], Phase::Grace, 0, false),
        ("an error", Withdraw, &[(0, Stands(Some(1))), (5, Says(Refused, 5))], Phase::Grace, 0, false),
        (
            "an error does not shut what is open",
            Withdraw,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Says(Refused, 9)), (10, Says(Silent, 10))],
            Phase::Open,
            1,
            true,
        ),
        (
            "the device is silent for a year",
            Withdraw,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (525_600, Time)],
            Phase::Open,
            1,
            true,
        ),
        (
            "lapsed",
            Withdraw,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Says(Fails, 9))],
            Phase::Lapsed,
            9,
            false,
        ),
        (
            "lapsed and kept",
            Keep,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Says(Fails, 9)), (999, Time)],
            Phase::Lapsed,
            9,
            true,
        ),
        (
            "lapsed, within the grace",
            AfterGrace,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Says(Fails, 9)), (68, Time)],
            Phase::Lapsed,
            9,
            true,
        ),
        (
            "lapsed, and the grace is over",
            AfterGrace,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Says(Fails, 9)), (69, Time)],
            Phase::Lapsed,
            9,
            false,
        ),
        (
            "and back",
            Withdraw,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Says(Fails, 9)), (12, Says(Complies, 12))],
            Phase::Open,
            12,
            true,
        ),
        (
            "the restriction vanished, whatever the policy",
            Keep,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Stands(None)), (10, Says(Complies, 10))],
            Phase::Waiting,
            9,
            false,
        ),
        (
            "a stricter edition while open",
            Withdraw,
            &[(0, Stands(Some(1))), (1, Says(Complies, 1)), (9, Stands(Some(2)))],
            Phase::Open,
            1,
            true,
        ),
    ];
    for (name, on_lapse, story, phase, since, stands) in table {
        let policy = policy(on_lapse);
        let (mut gate, mut restriction, mut minute) = (Gate::<u8>::new(NOW), None, 0);
        for (then, step) in story {
            minute = *then;
            match step {
                Step::Stands(edition) => restriction = *edition,
                Step::Says(answer, asked) => gate = gate.hear(*answer, at(*asked), at(minute)).unwrap_or(gate),
                Step::Time => {}
            }
            gate = gate.look(&policy, restriction, at(minute));
        }
        assert_eq!((gate.phase, gate.since), (phase, at(since)), "{name}");
        assert_eq!(gate.releases(&policy, at(minute)), stands, "{name}");
    }
}

#[test]
fn questions_become_fewer_and_fewer() {
    let policy = policy(OnLapse::Withdraw);
    let mut gate = Gate::<u8>::new(NOW).look(&policy, Some(1), NOW);
    assert_eq!(gate.due_at(&policy, NOW), Some(NOW), "asked on the visit that brought the restriction");
    let mut asked = Vec::new();
    let mut now = NOW;
    while now < at(3 * 24 * 60) {
        now = gate.ask_at(&policy).unwrap().max(now);
        gate.asked_at = Some(now);
        asked.push(now.since(NOW) / MINUTE);
        gate = gate.hear(Answer::Fails, now, now).unwrap().look(&policy, Some(1), now);
    }
    assert_eq!(asked[..8], [0, 5, 15, 30, 45, 61, 76, 91]);
    assert!(asked.len() < 45, "{} questions in three days", asked.len());
    // Open: somebody else asks the same, or it asks by itself now and then.
    let open = gate.hear(Answer::Complies, now, now).unwrap();
    assert_eq!(open.due_at(&policy, now), None);
    let watched = Policy { watch: Some(DAY), ..policy.clone() };
    assert_eq!(open.due_at(&watched, now), Some(now.plus(DAY)));
    // Refused questions wait longer and longer.
    let waits: Vec<i64> = (0..5)
        .map(|n| {
            let refused = Gate { refusals: n + 1, asked_at: Some(NOW), ..gate };
            refused.ask_at(&policy).unwrap().since(NOW)
        })
        .collect();
    assert_eq!(waits, [15 * MINUTE, 2 * HOUR, DAY, DAY, DAY]);
}

#[test]
fn conditions_are_read_and_judged() {
    for text in ["passcode", "installed", "SecurityInfo.FDE_Enabled=true", "DeviceInformation.OSVersion=18.1"] {
        assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
    }
    for text in
        ["", "Passcode", "EraseDevice.PIN=1", "SecurityInfo.=true", "SecurityInfo.a=", "SecurityInfo.a b=c", "x=y"]
    {
        assert!(text.parse::<Condition>().is_err(), "{text}");
    }
    let facts = |place: &str, key: &str, value: Value| {
        let mut inner = Dictionary::new();
        inner.insert(key.to_owned(), value);
        let mut keys = Dictionary::new();
        keys.insert(place.to_owned(), Value::Dictionary(inner));
        keys
    };
    let table: [(&str, Dictionary, Answer); 9] = [
        ("passcode", facts("SecurityInfo", "PasscodeCompliantWithProfiles", true.into()), Answer::Complies),
        ("passcode", facts("SecurityInfo", "PasscodeCompliantWithProfiles", false.into()), Answer::Fails),
        ("passcode", facts("SecurityInfo", "PasscodeCompliant", true.into()), Answer::Complies),
        ("passcode", facts("SecurityInfo", "FDE_Enabled", true.into()), Answer::Silent),
        ("passcode", Dictionary::new(), Answer::Silent),
        ("SecurityInfo.FDE_Enabled=true", facts("SecurityInfo", "FDE_Enabled", true.into()), Answer::Complies),
        ("DeviceInformation.OSVersion=18.1", facts("QueryResponses", "OSVersion", "18.1".into()), Answer::Complies),
        ("DeviceInformation.OSVersion=18.1", facts("QueryResponses", "OSVersion", "17.0".into()), Answer::Fails),
        (
            "SecurityInfo.FDE_Enabled=true",
            facts("SecurityInfo", "FDE_Enabled", Value::Array(Vec::new())),
            Answer::Silent,
        ),
    ];
    for (condition, keys, answer) in table {
        assert_eq!(condition.parse::<Condition>().unwrap().judge(&keys), answer, "{condition} {keys:?}");
    }
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let answers = vec![Answer::Complies, Answer::Complies, Answer::Fails, Answer::Silent, Answer::Refused];
    let what = prop_oneof![
        proptest::option::of(1..3_u8).prop_map(Step::Stands),
        (proptest::sample::select(answers), 0..30_i64).prop_map(|(answer, ago)| Step::Says(answer, ago)),
        Just(Step::Time),
    ];
    (0..90_i64, what)
}

proptest! {
    #[test]
    fn whatever_happens_a_capability_never_stands_without_its_restriction(
        story in proptest::collection::vec(step(), 0..60),
        on_lapse in proptest::sample::select(OnLapse::ALL.to_vec()),
    ) {
        let policy = policy(on_lapse);
        let (mut gate, mut restriction, mut now) = (Gate::<u8>::new(NOW), None, NOW);
        // When the restriction came to stand without a break, and when a device last complied under it.
        let (mut stands_since, mut complied): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        for (minutes, step) in story {
            now = now.plus(minutes * MINUTE);
            match step {
                Step::Stands(edition) => {
                    restriction = edition;
                    if edition.is_none() {
                        (stands_since, complied) = (None, None);
                    } else if stands_since.is_none() {
                        stands_since = Some(now);
                    }
                }
                Step::Says(answer, ago) => {
                    let asked = now.plus(-ago * MINUTE);
                    if let Some(heard) = gate.hear(answer, asked, now) {
                        prop_assert!(stands_since.is_some_and(|since| asked >= since), "an old answer was believed");
                        gate = heard;
                        if answer == Answer::Complies {
                            complied = Some(now);
                        }
                    }
                }
                Step::Time => {}
            }
            gate = gate.look(&policy, restriction, now);
            prop_assert_eq!(gate.look(&policy, restriction, now), gate, "looking twice changes nothing");
            if gate.releases(&policy, now) {
                prop_assert!(restriction.is_some(), "a capability without its restriction");
                prop_assert!(complied.is_some(), "a capability that nobody earned");
            }
            if let Some(ends) = gate.grace_ends() {
                prop_assert!(ends > now && ends.since(now) <= GRACE);
            }
            // What is shut and stands is asked about; so it opens as soon as the device complies.
            if restriction.is_some() && gate.phase != Phase::Open {
                prop_assert!(gate.due_at(&policy, now).is_some());
                let opened = gate.hear(Answer::Complies, now, now).map(|g| g.releases(&policy, now));
                prop_assert_eq!(opened, Some(true));
            }
            if gate.phase == Phase::Waiting {
                prop_assert_eq!(gate.due_at(&policy, now), None);
            }
        }
    }

    #[test]
    fn a_device_that_sleeps_is_asked_once(days in 1..30_i64) {
        let policy = policy(OnLapse::Withdraw);
        let mut gate = Gate::<u8>::new(NOW).look(&policy, Some(1), NOW);
        gate.asked_at = Some(NOW);
        // Whoever runs the clock looks at every due time; what is out is counted as asked and not asked twice.
        let (mut now, mut looks) = (NOW, 0);
        while now < NOW.plus(days * DAY) {
            now = gate.due_at(&policy, now).unwrap().max(now.plus(1));
            gate = gate.look(&policy, Some(1), now);
            if gate.ask_at(&policy).is_some_and(|at| at <= now) {
                gate.asked_at = Some(now);
            }
            looks += 1;
        }
        prop_assert!(looks <= 60 + days, "{} looks in {} days", looks, days);
    }
}
