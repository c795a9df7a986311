//! Results of commands: whatever a device says, a report that is accepted can be filed.
#![no_main]

use cordon::base::limits::MAX_ERROR_CHAIN;
use cordon::protocol::report::{Status, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = parse(bytes) else { return };
    assert!(report.error_chain.len() <= MAX_ERROR_CHAIN);
    assert!(report.command_uuid.is_some() || report.status == Status::Idle, "a result of no command");
});
