//! Provisioning profiles as people upload them: what is read is bounded and harmless, whatever came; and the property list inside by itself, since
//! no fuzzer finds a signature.
#![no_main]

use cordon::base::time::Timestamp;
use cordon::pki::templates::{Authority, new_root};
use cordon::pki::{SystemRandom, cms};
use cordon::protocol::provisioning::{MAX_FILE, read_provisioning};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
static SIGNER: LazyLock<Authority> = LazyLock::new(|| new_root("Somebody", NOW, &SystemRandom));

fuzz_target!(|bytes: &[u8]| {
    let signed = cms::sign_attached(bytes, &SIGNER.certificate, &SIGNER.key, &[], NOW);
    for file in [bytes, &signed] {
        let Ok(facts) = read_provisioning(file) else { continue };
        assert!(file.len() <= MAX_FILE && facts.uuid.len() <= 64 && facts.name.len() <= 256 && facts.app_id.len() <= 256);
        assert!(facts.uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        let texts = [Some(&facts.name), Some(&facts.app_id), Some(&facts.signed_by), facts.team.as_ref()];
        assert!(!texts.into_iter().flatten().any(|text| text.chars().any(char::is_control)));
    }
});
