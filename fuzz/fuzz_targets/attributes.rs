//! What devices sign to enrol: the attributes of over-the-air delivery and MachineInfo, inside their signature and bare.
#![no_main]

use cordon::base::ids::MAX_FOREIGN_ID;
use cordon::pki::cms::verify_attached;
use cordon::protocol::attributes::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let content = match verify_attached(bytes) {
        Ok(signed) => signed.content,
        Err(_) => bytes.to_vec(),
    };
    let Ok(said) = read(&content) else { return };
    assert!(said.name().is_none_or(|name| !name.is_empty() && name.len() <= MAX_FOREIGN_ID));
    assert!(said.kept.iter().all(|(_, value)| !value.is_empty() && value.len() <= MAX_FOREIGN_ID));
});
