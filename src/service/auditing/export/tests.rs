//! Any chain of records goes out and is found whole; any change to the file shows.

use super::*;
use proptest::prelude::*;

/// Text with everything that CSV and spreadsheets stumble over.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-z=+@,'\"\r\n\té-]{0,8}").unwrap()
}

fn chain() -> impl Strategy<Value = Vec<AuditRow>> {
    let one = (
        (text(), text(), text(), 0..2_000_000_000_000_i64),
        (proptest::option::of(text()), proptest::option::of(text()), proptest::option::of(text())),
        any::<bool>(),
        proptest::option::of((text(), any::<i64>())),
    );
    proptest::collection::vec(one, 2..8).prop_map(|parts| {
        let (mut previous, mut rows) = (START, Vec::new());
        for (i, ((actor, origin, verb, at), (subject, device, reason), done, detail)) in parts.into_iter().enumerate() {
            let detail = detail.map(|(word, number)| json!({ "z": word, "a": number }).to_string());
            let entry = AuditEntry { at: Timestamp(at), actor, origin, verb, subject, device, reason, done, detail };
            let seq = i as i64 + 1;
            let hash = link(&previous, seq, &entry);
            rows.push(AuditRow { seq, entry, previous, hash });
            previous = hash;
        }
        rows
    })
}

fn file(format: Format, rows: &[AuditRow]) -> String {
    heading(format) + &rows.iter().map(|row| line(format, &to_json(row))).collect::<String>()
}

proptest! {
    #[test]
    fn what_goes_out_is_found_whole(rows in chain()) {
        for format in [Format::JsonLines, Format::Csv] {
            let found = verify(&file(format, &rows)).unwrap();
            let wanted = FileVerdict {
                rows: rows.len(),
                first: Some(1),
                last: Some(rows.len() as i64),
                head: hex::encode(rows.last().unwrap().hash),
                gaps: 0,
                broken_line: None,
            };
            prop_assert_eq!(found, wanted, "{}", file(format, &rows));
        }
    }

    #[test]
    fn what_is_changed_taken_out_or_put_elsewhere_shows(rows in chain(), at in any::<prop::sample::Index>(), how in 0..5) {
        let mut changed = rows.clone();
        let at = at.index(rows.len());
        match how {
            0 => changed[at].entry.actor.push('x'),
            1 => changed[at].entry.done = !changed[at].entry.done,
            2 => changed[at].entry.reason = if changed[at].entry.reason.is_none() { Some(String::new()) } else { None },
            3 => changed.swap(0, rows.len() - 1),
            _ => {
                // The whole row anew, with a hash that is right for it.
                changed[at].entry.verb.push('x');
                changed[at].hash = link(&changed[at].previous, changed[at].seq, &changed[at].entry);
            }
        }
        for format in [Format::JsonLines, Format::Csv] {
            let found = verify(&file(format, &changed)).unwrap();
            // The last record written anew is a chain of its own: only its hash tells, held against the server's.
            let honest = how == 4 && at == rows.len() - 1;
            prop_assert!(found.broken_line.is_some() != honest, "{found:?}");
            prop_assert!(!honest || found.head != hex::encode(rows.last().unwrap().hash));
        }
        let mut shorter = rows.clone();
        shorter.remove(at);
        let found = verify(&file(Format::JsonLines, &shorter)).unwrap();
        let shows = found.gaps == 1 || found.first != Some(1) || found.last != Some(rows.len() as i64);
        prop_assert!(shows && found.broken_line.is_none(), "{found:?}");
    }
}

#[test]
fn other_files_are_told_from_exports() {
    for bad in ["", "hello", "seq,at\r\n1,2\r\n"] {
        assert!(verify(bad).is_err(), "{bad}");
    }
    assert_eq!(verify("{}\n").unwrap().broken_line, Some(1));
    assert_eq!(verify(&heading(Format::Csv)).unwrap().rows, 0);
}
