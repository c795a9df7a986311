//! PKCS#12 (RFC 7292): one key with its certificate under a password, for identities that travel inside a profile.
//!
//! Written in what every iOS and macOS takes: PBE with SHA-1 and three-key 3DES for key and certificate, an HMAC-SHA-1 over all,
//! 2,048 rounds, salts of 8 bytes. That protects little by today's measure, and need not: the password lies in the same profile.
//! Newer schemes (PBES2, SHA-256) appear as "wrong password" on systems that are still in schools. Read here for the simulator.

use super::asn1::{self, INTEGER, Malformed, OCTET_STRING, Oid, Reader, SEQUENCE, SET, context};
use super::digest::{constant_time_eq, hmac_sha1, sha1};
use super::keys::PrivateKey;
use super::oids;
use super::x509::Certificate;
use crate::base::random::{self, Random};
use crate::base::secret::Secret;
use aws_lc_rs::cipher::{
    self as aws, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

const ROUNDS: u32 = 2048;
/// Files of others may ask for more; this bounds what one costs.
const MAX_ROUNDS: u32 = 1_000_000;
const SALT: usize = 8;
const ENCRYPTED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.6");
const PBE_SHA1_3DES: Oid = Oid::new_unwrap("1.2.840.113549.1.12.1.3");
const KEY_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERT_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.22.1");
const FRIENDLY_NAME: Oid = Oid::new_unwrap("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: Oid = Oid::new_unwrap("1.2.840.113549.1.9.21");

/// Why a container is not made or not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs12Error {
    #[error("the password is empty")]
    EmptyPassword,
    #[error("not a PKCS#12 container that can be read")]
    Malformed,
    #[error("the password is wrong, or the container was changed")]
    WrongPassword,
    #[error("the cryptographic operation failed")]
    Failed,
}

impl From<Malformed> for Pkcs12Error {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A container with one key and its certificate; `name` is shown by key stores.
///
/// # Errors
/// [`Pkcs12Error::EmptyPassword`]; `Failed` only without memory.
pub fn write(
    key: &PrivateKey,
    certificate: &Certificate,
    password: &Secret<String>,
    name: &str,
    random: &dyn Random,
) -> Result<Secret<Vec<u8>>, Pkcs12Error> {
    if password.expose().is_empty() {
        return Err(Pkcs12Error::EmptyPassword);
    }
    let password = bmp(password.expose());
    let attributes = attributes(name, certificate);
    let (algorithm, sealed) = encrypt(&password, key.to_pkcs8_der().expose(), random)?;
    let key_info = asn1::sequence(&[&algorithm, &asn1::octets(&sealed)]);
    let keys = asn1::sequence(&[&bag(&KEY_BAG, &key_info, &attributes)]);

    let held = asn1::element(context(0), &[&asn1::octets(certificate.der())]);
    let held = asn1::sequence(&[&asn1::oid(&X509_CERTIFICATE), &held]);
    let certificates = asn1::sequence(&[&bag(&CERT_BAG, &held, &attributes)]);
    let (algorithm, sealed) = encrypt(&password, &certificates, random)?;
    let sealed = asn1::sequence(&[&asn1::oid(&oids::DATA), &algorithm, &asn1::element(0x80, &[&sealed])]);
    let sealed = asn1::sequence(&[&asn1::integer(&[0]), &sealed]);

    let safe = asn1::sequence(&[&content(&ENCRYPTED_DATA, &sealed), &content(&oids::DATA, &asn1::octets(&keys))]);
    let salt: [u8; SALT] = random::bytes(random);
    let mac = hmac_sha1(derive(Purpose::Mac, &password, &salt, ROUNDS, 20).expose(), &safe);
    let digest = asn1::sequence(&[&asn1::sequence(&[&asn1::oid(&oids::SHA1), &asn1::null()]), &asn1::octets(&mac)]);
    let mac = asn1::sequence(&[&digest, &asn1::octets(&salt), &asn1::integer(&ROUNDS.to_be_bytes())]);
    let whole = asn1::sequence(&[&asn1::integer(&[3]), &content(&oids::DATA, &asn1::octets(&safe)), &mac]);
    Ok(Secret::new(whole))
}

/// The key and certificate of a container as [`write`] makes them: one of each, by the same algorithms.
///
/// # Errors
/// [`Pkcs12Error`].
pub fn read(der: &[u8], password: &Secret<String>) -> Result<(PrivateKey, Certificate), Pkcs12Error> {
    let password = bmp(password.expose());
    let mut whole = Reader::only(der, SEQUENCE)?.inside();
    whole.expect(INTEGER)?;
    let safe = data(&mut whole)?;
    let mut mac = whole.sequence()?;
    let mut digest = mac.sequence()?;
    if !digest.sequence()?.expect(asn1::OID)?.is_oid(&oids::SHA1) {
        return Err(Pkcs12Error::Malformed);
    }
    let wanted = digest.expect(OCTET_STRING)?.value;
    let salt = mac.expect(OCTET_STRING)?.value;
    let key = derive(Purpose::Mac, &password, salt, rounds(mac.expect(INTEGER)?.value)?, 20);
    if !constant_time_eq(&hmac_sha1(key.expose(), safe), wanted) {
        return Err(Pkcs12Error::WrongPassword);
    }
    let (mut key, mut certificate) = (None, None);
    for info in Reader::only(safe, SEQUENCE)?.inside().each() {
        let mut info = Reader::only(info?.raw, SEQUENCE)?.inside();
        let kind = info.expect(asn1::OID)?;
        let inner = info.expect(context(0))?;
        let bags = if kind.is_oid(&ENCRYPTED_DATA) {
            let mut encrypted = Reader::only(inner.value, SEQUENCE)?.inside();
            encrypted.expect(INTEGER)?;
            let mut encrypted = encrypted.sequence()?;
            encrypted.expect(asn1::OID)?;
            let algorithm = encrypted.expect(SEQUENCE)?;
            decrypt(&password, algorithm.raw, encrypted.expect(0x80)?.value)?
        } else {
            Secret::new(Reader::only(inner.value, OCTET_STRING)?.value.to_vec())
        };
        for bag in Reader::only(bags.expose(), SEQUENCE)?.inside().each() {
            let mut bag = Reader::only(bag?.raw, SEQUENCE)?.inside();
            let kind = bag.expect(asn1::OID)?;
            let mut value = bag.expect(context(0))?.inside().sequence()?;
            if kind.is_oid(&KEY_BAG) {
                let algorithm = value.expect(SEQUENCE)?;
                let plain = decrypt(&password, algorithm.raw, value.expect(OCTET_STRING)?.value)?;
                key = Some(PrivateKey::from_pkcs8_der(plain.expose()).map_err(|_| Pkcs12Error::Malformed)?);
            } else if kind.is_oid(&CERT_BAG) {
                value.expect(asn1::OID)?;
                let held = value.expect(context(0))?;
                certificate = Some(Certificate::parse(Reader::only(held.value, OCTET_STRING)?.value)?);
            }
        }
    }
    match (key, certificate) {
        (Some(key), Some(certificate)) if certificate.key_matches(&key) => Ok((key, certificate)),
        _ => Err(Pkcs12Error::Malformed),
    }
}

fn content(kind: &Oid, inner: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::element(context(0), &[inner])])
}

/// The octets inside the ContentInfo of type data that comes next.
fn data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let mut info = reader.sequence()?;
    if !info.expect(asn1::OID)?.is_oid(&oids::DATA) {
        return Err(Malformed);
    }
    Ok(Reader::only(info.expect(context(0))?.value, OCTET_STRING)?.value)
}

fn bag(kind: &Oid, value: &[u8], attributes: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::element(context(0), &[value]), attributes])
}

/// What ties key and certificate together for macOS, and the name that Keychain shows.
fn attributes(name: &str, certificate: &Certificate) -> Vec<u8> {
    let one =
        |kind: &Oid, value: Vec<u8>| asn1::sequence(&[&asn1::oid(kind), &asn1::element(SET, &[value.as_slice()])]);
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let name = one(&FRIENDLY_NAME, asn1::element(0x1e, &[&name]));
    let key_id = one(&LOCAL_KEY_ID, asn1::octets(&sha1(certificate.der())));
    asn1::set_of(SET, vec![name, key_id])
}

/// A password as a BMPString with its two zero bytes (RFC 7292 B.1).
fn bmp(password: &str) -> Secret<Vec<u8>> {
    Secret::new(password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect())
}

/// The number of rounds, bounded.
fn rounds(value: &[u8]) -> Result<u32, Malformed> {
    let number = value.iter().take(8).fold(0u64, |n, b| n << 8 | u64::from(*b));
    match u32::try_from(number) {
        Ok(rounds @ 1..=MAX_ROUNDS) => Ok(rounds),
        _ => Err(Malformed),
    }
}

/// "ID" of RFC 7292 B.3.
#[derive(Clone, Copy)]
enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// The key derivation of RFC 7292 B.2 with SHA-1 (u = 20, v = 64).
fn derive(purpose: Purpose, password: &Secret<Vec<u8>>, salt: &[u8], rounds: u32, length: usize) -> Secret<Vec<u8>> {
    const V: usize = 64;
    let stretched = |bytes: &[u8]| -> Vec<u8> {
        let whole = bytes.len().div_ceil(V) * V;
        bytes.iter().copied().cycle().take(whole).collect()
    };
    let mut blocks = stretched(salt);
    blocks.extend(stretched(password.expose()));
    let mut out = Vec::with_capacity(length + 20);
    while out.len() < length {
        let mut digest = sha1(&[&[purpose as u8; V][..], &blocks].concat());
        for _ in 1..rounds {
            digest = sha1(&digest);
        }
        out.extend_from_slice(&digest);
        // Every block of V bytes grows by the digest, repeated to V bytes, plus one.
        for block in blocks.chunks_mut(V) {
            let mut carry = 1;
            for (at, byte) in block.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(digest[at % digest.len()]) + carry;
                *byte = (sum & 0xff) as u8;
                carry = sum >> 8;
            }
        }
    }
    out.truncate(length);
    Secret::new(out)
}

#[expect(deprecated, reason = "the only cipher that every iOS and macOS takes in a PKCS#12 container")]
fn cipher_key(key: &Secret<Vec<u8>>) -> Result<UnboundCipherKey, Pkcs12Error> {
    UnboundCipherKey::new(&aws::DES_EDE3_FOR_LEGACY_USE_ONLY, key.expose()).map_err(|_| Pkcs12Error::Failed)
}

fn encrypt(password: &Secret<Vec<u8>>, plain: &[u8], random: &dyn Random) -> Result<(Vec<u8>, Vec<u8>), Pkcs12Error> {
    let salt: [u8; SALT] = random::bytes(random);
    let key = derive(Purpose::Key, password, &salt, ROUNDS, 24);
    let iv = derive(Purpose::Iv, password, &salt, ROUNDS, 8);
    let key = cipher_key(&key)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| Pkcs12Error::Failed)?;
    let iv = FixedLength::try_from(iv.expose().as_slice()).map_err(|_| Pkcs12Error::Failed)?;
    let mut buffer = plain.to_vec();
    key.less_safe_encrypt(&mut buffer, EncryptionContext::Iv64(iv)).map_err(|_| Pkcs12Error::Failed)?;
    let parameters = asn1::sequence(&[&asn1::octets(&salt), &asn1::integer(&ROUNDS.to_be_bytes())]);
    Ok((asn1::sequence(&[&asn1::oid(&PBE_SHA1_3DES), &parameters]), buffer))
}

fn decrypt(password: &Secret<Vec<u8>>, algorithm: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>, Pkcs12Error> {
    let mut algorithm = Reader::only(algorithm, SEQUENCE)?.inside();
    if !algorithm.expect(asn1::OID)?.is_oid(&PBE_SHA1_3DES) {
        return Err(Pkcs12Error::Malformed);
    }
    let mut parameters = algorithm.sequence()?;
    let salt = parameters.expect(OCTET_STRING)?.value;
    let rounds = rounds(parameters.expect(INTEGER)?.value)?;
    let key = derive(Purpose::Key, password, salt, rounds, 24);
    let iv = derive(Purpose::Iv, password, salt, rounds, 8);
    let key = cipher_key(&key)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| Pkcs12Error::Failed)?;
    let iv = FixedLength::try_from(iv.expose().as_slice()).map_err(|_| Pkcs12Error::Failed)?;
    let mut buffer = sealed.to_vec();
    let plain = key.decrypt(&mut buffer, DecryptionContext::Iv64(iv)).map_err(|_| Pkcs12Error::WrongPassword)?;
    Ok(Secret::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::SystemRandom;
    use crate::pki::keys::tests::RSA;
    use crate::pki::templates::issue_device_identity;
    use crate::pki::templates::tests::{CA, NOW};
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn identity() -> (PrivateKey, Certificate) {
        let key = RSA.clone();
        let certificate =
            issue_device_identity(&CA, &key.spki_der(), "iPad 7", "Hill School", NOW, 365, &SystemRandom).unwrap();
        (key, certificate)
    }

    fn password(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_derivation_by_known_answers() {
        // Published with the Bouncy Castle and OpenSSL tests for PKCS#12 v1 with SHA-1.
        let salt = |text: &str| hex::decode(text).unwrap();
        let key = derive(Purpose::Key, &bmp("smeg"), &salt("0A58CF64530D823F"), 1, 24);
        assert_eq!(hex::encode_upper(key.expose()), "8AAAE6297B6CB04642AB5B077851284EB7128F1A2A7FBCA3");
        let iv = derive(Purpose::Iv, &bmp("smeg"), &salt("0A58CF64530D823F"), 1, 8);
        assert_eq!(hex::encode_upper(iv.expose()), "79993DFE048D3B76");
        let key = derive(Purpose::Key, &bmp("queeg"), &salt("05DEC959ACFF72F7"), 1000, 24);
        assert_eq!(hex::encode_upper(key.expose()), "ED2034E36328830FF09DF1E1A07DD357185DAC0D4F9EB3D4");
    }

    #[test]
    fn round_trip_and_wrong_passwords() {
        let (key, certificate) = identity();
        let made = write(&key, &certificate, &password("pass wörd"), "iPad 7", &SystemRandom).unwrap();
        let (back, cert) = read(made.expose(), &password("pass wörd")).unwrap();
        assert_eq!((back.spki_der(), cert), (key.spki_der(), certificate.clone()));
        assert_eq!(read(made.expose(), &password("other")).err(), Some(Pkcs12Error::WrongPassword));
        assert_eq!(
            write(&key, &certificate, &password(""), "x", &SystemRandom).err(),
            Some(Pkcs12Error::EmptyPassword)
        );
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let (key, certificate) = identity();
        let made = write(&key, &certificate, &password("p"), "iPad 7", &SystemRandom).unwrap();
        for cut in (0..made.expose().len()).step_by(37) {
            assert!(read(&made.expose()[..cut], &password("p")).is_err());
        }
    }

    /// OpenSSL as the second opinion: key, certificate, algorithms and rounds as every Apple system takes them.
    #[test]
    fn openssl_opens_it() {
        let (key, certificate) = identity();
        let made = write(&key, &certificate, &password("one-time"), "iPad 7", &SystemRandom).unwrap();
        let run = |more: &[&str]| {
            let args = ["pkcs12", "-legacy", "-passin", "pass:one-time", "-nodes"];
            let child = Command::new("openssl")
                .args(args)
                .args(more)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut child) = child else { return None };
            child.stdin.take().unwrap().write_all(made.expose()).unwrap();
            let out = child.wait_with_output().unwrap();
            let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            assert!(out.status.success(), "{said}");
            Some(said)
        };
        let Some(told) = run(&["-info"]) else {
            eprintln!("SKIPPED: openssl is not installed, so nobody else has opened the container");
            return;
        };
        assert!(told.contains("MAC: sha1, Iteration 2048"), "{told}");
        assert_eq!(told.matches("pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2048").count(), 2, "{told}");
        assert!(told.contains("friendlyName: iPad 7"), "{told}");
        let pem = run(&[]).unwrap();
        assert_eq!(Certificate::parse_pem(&pem).unwrap(), certificate);
        assert_eq!(PrivateKey::from_pem(&pem).unwrap().spki_der(), key.spki_der());
    }
}
