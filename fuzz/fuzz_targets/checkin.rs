//! Bodies at the device URLs, as check-ins: an accepted message always names a device, and its ids are bounded.
#![no_main]

use cordon::base::ids::MAX_FOREIGN_ID;
use cordon::protocol::inbound::{Inbound, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Inbound::Checkin(checkin)) = parse(bytes) {
        let id = checkin.from.enrollment_id();
        assert!(!id.as_str().is_empty() && id.as_str().len() <= MAX_FOREIGN_ID);
    }
});
