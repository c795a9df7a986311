//! Lists of people as schools export them.
#![no_main]

use cordon::base::csv::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(records) => {
            assert!(records.iter().all(|record| !record.fields.is_empty()));
            let kept: usize = records.iter().flat_map(|record| &record.fields).map(String::len).sum();
            assert!(kept <= text.len());
        }
        Err(error) => assert!(error.line >= 1),
    }
});
