//! The certificate that an account on a device proves itself with: to a Wi-Fi, a VPN or a mail server, and under signed mail.

use super::super::asn1::{self, Oid};
use super::super::oids;
use super::{Authority, CLIENT_AUTH, Critical, Draft, IssueError, Issuer, extension, leaf_extensions, subject};
use crate::base::random::Random;
use crate::base::time::{DAY, Timestamp};
use crate::pki::asn1::context;

const EMAIL_PROTECTION: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.4");

/// Whom the certificate names.
#[derive(Debug, Clone, Copy)]
pub struct AccountSubject<'a> {
    pub common_name: &'a str,
    pub organization: &'a str,
    /// Becomes the alternative name, and makes it good for signing mail.
    pub mail: Option<&'a str>,
}

/// Good for `days`, or until the authority ends. It never is a device's own identity: the register knows it as an account's.
///
/// # Errors
/// [`IssueError`].
pub fn issue_account_identity(
    authority: &Authority,
    spki_der: &[u8],
    whom: &AccountSubject<'_>,
    now: Timestamp,
    days: i64,
    crl_url: &str,
    random: &dyn Random,
) -> Result<super::Certificate, IssueError> {
    let mut extensions = leaf_extensions(spki_der, None)?;
    let mut purposes = vec![asn1::oid(&CLIENT_AUTH)];
    // An address outside ASCII has no place in an rfc822Name.
    let mail = whom.mail.filter(|mail| mail.is_ascii() && mail.contains('@'));
    if let Some(mail) = mail {
        purposes.push(asn1::oid(&EMAIL_PROTECTION));
        let names = asn1::sequence(&[&asn1::element(0x81, &[mail.as_bytes()])]);
        extensions.push(extension(&oids::SUBJECT_ALT_NAME, Critical::No, &names));
    }
    let purposes = asn1::sequence(&purposes.iter().map(Vec::as_slice).collect::<Vec<_>>());
    extensions.push(extension(&oids::EXTENDED_KEY_USAGE, Critical::No, &purposes));
    let name = asn1::element(context(0), &[&asn1::element(context(0), &[&asn1::element(0x86, &[crl_url.as_bytes()])])]);
    let points = asn1::sequence(&[&asn1::sequence(&[&name])]);
    extensions.push(extension(&oids::CRL_DISTRIBUTION_POINTS, Critical::No, &points));
    let subject = subject(whom.common_name, whom.organization);
    Draft { subject: &subject, spki: spki_der, not_after: now.plus(days.saturating_mul(DAY)), extensions }.sign_alive(
        &Issuer::of(authority),
        now,
        random,
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CA, NOW};
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::keys::PrivateKey;

    #[test]
    fn it_names_the_holder_and_signs_mail_only_with_an_address() {
        let key = PrivateKey::generate_ec_p256().unwrap();
        let issue = |mail| {
            let whom = AccountSubject { common_name: "Ada", organization: "Hill School", mail };
            let url = "http://hill.example/crl/1";
            issue_account_identity(&CA, &key.spki_der(), &whom, NOW, 30, url, &SystemRandom).unwrap()
        };
        for (mail, signs) in [(Some("ada@hill.example"), true), (None, false), (Some("ada@h\u{fc}gel.example"), false)]
        {
            let made = issue(mail);
            assert!(made.issued_by(&CA.certificate) && made.has_extended_key_usage("1.3.6.1.5.5.7.3.2"), "{mail:?}");
            assert_eq!(made.has_extended_key_usage("1.3.6.1.5.5.7.3.4"), signs, "{mail:?}");
            assert_eq!(made.extension("2.5.29.17").is_some(), signs, "{mail:?}");
            assert_eq!(made.not_after(), NOW.plus(30 * DAY));
        }
    }
}
