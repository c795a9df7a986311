//! Filters of smart groups: what is read says the same when it is written down and read again.
#![no_main]

use cordon::protocol::filter::Filter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(filter) = Filter::parse(text) else { return };
    let written = filter.to_string();
    let again = Filter::parse(&written).expect("what was written is a filter");
    assert_eq!(again.to_string(), written);
    let fact = |field: &str| Some(format!("{field} 17.4"));
    assert_eq!(filter.fits(&fact), again.fits(&fact), "{text:?} and {written:?}");
    assert_eq!(filter.fits(&|_| None), again.fits(&|_| None));
});
