//! JSON Web Signatures as ACME needs them (RFC 7515 flattened, ES256, RFC 7638 thumbprints), and the certificate that answers
//! TLS-ALPN-01 (RFC 8737). Called by `outbound::acme` and `service::serving`.

use super::asn1::{self, INTEGER, Malformed, Reader, SEQUENCE};
use super::digest::{DigestKind, hmac_sha256, sha256};
use super::keys::{KeyError, PrivateKey, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a P-256 coordinate.
const SIDE: usize = 32;

/// base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public half of a P-256 key as a JWK, members in the order that RFC 7638 hashes them in.
///
/// # Errors
/// [`KeyError::NotAKey`] for other kinds of key.
pub fn jwk(key: &PrivateKey) -> Result<String, KeyError> {
    let spki = key.spki_der();
    let Ok(PublicKey::P256(point)) = PublicKey::parse(&spki) else { return Err(KeyError::NotAKey) };
    let (x, y) = (point.get(1..=SIDE), point.get(1 + SIDE..));
    let (Some(x), Some(y)) = (x, y.filter(|y| y.len() == SIDE)) else { return Err(KeyError::NotAKey) };
    Ok(format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y)))
}

/// The RFC 7638 thumbprint: second half of every key authorization.
///
/// # Errors
/// As [`jwk`].
pub fn thumbprint(key: &PrivateKey) -> Result<String, KeyError> {
    Ok(encode(sha256(jwk(key)?.as_bytes())))
}

/// A flattened JWS over JSON texts.
///
/// # Errors
/// As [`jwk`].
pub fn sign(key: &PrivateKey, protected: &str, payload: &str) -> Result<String, KeyError> {
    let (protected, payload) = (encode(protected), encode(payload));
    let signature = key.sign(DigestKind::Sha256, format!("{protected}.{payload}").as_bytes())?;
    let signature = fixed(&signature).map_err(|_| KeyError::NotAKey)?;
    Ok(format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{}"}}"#, encode(signature)))
}

/// The same under a shared key (HS256), which needs no key of our own.
pub fn authenticate(key: &[u8], protected: &str, payload: &str) -> String {
    let (protected, payload) = (encode(protected), encode(payload));
    let tag = hmac_sha256(key, format!("{protected}.{payload}").as_bytes());
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{}"}}"#, encode(tag))
}

/// An ECDSA signature as two numbers of equal length instead of ASN.1.
fn fixed(der: &[u8]) -> Result<[u8; 2 * SIDE], Malformed> {
    let mut inside = Reader::only(der, SEQUENCE)?.inside();
    let mut out = [0; 2 * SIDE];
    for half in out.chunks_mut(SIDE) {
        let digits = inside.expect(INTEGER)?.value;
        let digits = &digits[digits.iter().take_while(|b| **b == 0).count()..];
        let start = SIDE.checked_sub(digits.len()).ok_or(Malformed)?;
        half[start..].copy_from_slice(digits);
    }
    inside.end()?;
    Ok(out)
}

/// The value of the acmeIdentifier extension: SHA-256 of the key authorization in an OCTET STRING.
pub(super) fn acme_identifier(key_authorization: &str) -> Vec<u8> {
    asn1::octets(&sha256(key_authorization.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn signatures_verify_in_the_fixed_form() {
        let key = PrivateKey::generate_ec_p256().unwrap();
        let spki = key.spki_der();
        let Ok(PublicKey::P256(point)) = PublicKey::parse(&spki) else { panic!() };
        for n in 0..40 {
            let made: serde_json::Value =
                serde_json::from_str(&sign(&key, "{}", &format!("{{\"n\":{n}}}")).unwrap()).unwrap();
            let text = |name: &str| made[name].as_str().unwrap().to_owned();
            let signed = format!("{}.{}", text("protected"), text("payload"));
            let signature = URL_SAFE_NO_PAD.decode(text("signature")).unwrap();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).unwrap();
        }
        assert!(jwk(&PrivateKey::generate_ec_p384().unwrap()).is_err());
        let parsed: serde_json::Value = serde_json::from_str(&jwk(&key).unwrap()).unwrap();
        assert_eq!((&parsed["kty"], &parsed["crv"]), (&"EC".into(), &"P-256".into()));
        assert_eq!(thumbprint(&key).unwrap().len(), 43);
    }

    /// RFC 7515, appendix A.1.
    #[test]
    fn a_shared_key_as_in_the_rfc() {
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let protected = "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}";
        let payload = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
        let made = authenticate(&key, protected, payload);
        assert!(made.ends_with("\"signature\":\"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\"}"), "{made}");
    }
}
