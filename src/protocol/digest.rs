//! The digest that a network user's Mac answers a challenge with (HTTP Digest of RFC 2617, carried in property lists), computed and
//! read purely. Called by `service::network_users` and by the simulator. Who is asked, and what follows, is decided there.
//!
//! Apple does not say which HTTP method goes into the digest, nor whether a quality of protection is given, so every form that the
//! RFC knows is computed and any that fits counts: the password is in all of them.

use crate::base::secret::Secret;
use crate::pki::constant_time_eq;
use crate::pki::digest::md5;

/// Longest credentials that are read, bytes; real ones have some 200.
const MAX_TEXT: usize = 4096;
/// Parameters in one text; the RFC knows eleven.
const MAX_PARAMETERS: usize = 24;
/// Methods that may be in a digest, the likeliest first. Check-in is PUT; other clients of this protocol were seen to say POST.
const METHODS: [&str; 5] = ["PUT", "POST", "GET", "", "AUTHENTICATE"];

/// What a Mac answers: the text of its `DigestResponse`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub realm: String,
    pub nonce: String,
    /// `/` when it is not given.
    pub uri: String,
    /// 32 hex digits, lower case.
    pub response: String,
    /// `qop`, `nc` and `cnonce` come together or not at all.
    pub protection: Option<Protection>,
    /// `algorithm=MD5-sess`.
    pub session: bool,
}

/// The parts of a response with quality of protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    pub qop: String,
    pub nc: String,
    pub cnonce: String,
}

/// Why a text is not credentials. Answered like a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCredentials(&'static str);

/// The challenge, as `WWW-Authenticate` would say it. Neither text may hold a quotation mark or a backslash; ours never do.
pub fn challenge(nonce: &str, realm: &str) -> String {
    format!("Digest nonce=\"{nonce}\",realm=\"{realm}\"")
}

/// `MD5(user:realm:password)` in hex: all that is needed to check a digest, and all that is kept of the password for it.
pub fn ha1(user: &str, realm: &str, password: &str) -> Secret<String> {
    let whole = Secret::new(format!("{user}:{realm}:{password}"));
    Secret::new(hex::encode(md5(whole.expose().as_bytes())))
}

/// Reads the text of a `DigestResponse`, or of a `DigestChallenge`'s parameters in the simulator.
///
/// # Errors
/// [`BadCredentials`] for what is too long, not of the form, without a needed part, or says something twice.
pub fn parse(text: &str) -> Result<Credentials, BadCredentials> {
    let parameters = parameters(text)?;
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let need = |name: &str, why| find(name).filter(|value| !value.is_empty()).ok_or(BadCredentials(why));
    let response = need("response", "there is no response")?.to_ascii_lowercase();
    if response.len() != 32 || !response.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(BadCredentials("the response is not 32 hex digits"));
    }
    let protection = match find("qop").filter(|qop| !qop.is_empty()) {
        None => None,
        Some(qop) => Some(Protection {
            qop,
            nc: need("nc", "qop comes without nc")?,
            cnonce: need("cnonce", "qop comes without cnonce")?,
        }),
    };
    let session = match find("algorithm") {
        None => false,
        Some(name) if name.eq_ignore_ascii_case("MD5") => false,
        Some(name) if name.eq_ignore_ascii_case("MD5-sess") && protection.is_some() => true,
        Some(_) => return Err(BadCredentials("the algorithm is not MD5")),
    };
    Ok(Credentials {
        username: need("username", "there is no username")?,
        realm: need("realm", "there is no realm")?,
        nonce: need("nonce", "there is no nonce")?,
        uri: find("uri").filter(|uri| !uri.is_empty()).unwrap_or_else(|| String::from("/")),
        response,
        protection,
        session,
    })
}

/// `key=value` pairs behind an optional `Digest`, keys in lower case. Also how a challenge is read.
///
/// # Errors
/// [`BadCredentials`].
pub fn parameters(text: &str) -> Result<Vec<(String, String)>, BadCredentials> {
    if text.len() > MAX_TEXT {
        return Err(BadCredentials("it is too long"));
    }
    let mut rest = text.trim();
    if let Some(word) = rest.get(..6)
        && word.eq_ignore_ascii_case("digest")
        && rest[6..].starts_with(|c: char| c.is_ascii_whitespace())
    {
        rest = &rest[6..];
    }
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return Ok(found);
        }
        let (key, after) = rest.split_once('=').ok_or(BadCredentials("a parameter has no value"))?;
        let key = key.trim().to_ascii_lowercase();
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*".contains(&b)) {
            return Err(BadCredentials("a parameter's name is none"));
        }
        let (value, left) = value(after.trim_start())?;
        if found.iter().any(|(known, _)| *known == key) {
            return Err(BadCredentials("a parameter is given twice"));
        }
        if found.len() == MAX_PARAMETERS {
            return Err(BadCredentials("there are too many parameters"));
        }
        found.push((key, value));
        rest = left;
    }
}

/// A quoted string with backslash escapes, or a bare word up to the next comma; and what follows.
fn value(text: &str) -> Result<(String, &str), BadCredentials> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Ok((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((out, &inner[at + 1..])),
            c => out.push(c),
        }
    }
    Err(BadCredentials("a quoted text does not end"))
}

/// Whether the answer was computed with the password behind `ha1`. Every form is computed, whichever fits.
pub fn is_right(credentials: &Credentials, ha1: &Secret<String>) -> bool {
    METHODS.iter().fold(false, |right, method| {
        let wanted = response(credentials, ha1, method);
        constant_time_eq(wanted.as_bytes(), credentials.response.as_bytes()) || right
    })
}

/// The response that belongs to these parts and this method; `credentials.response` is not looked at.
pub fn response(credentials: &Credentials, ha1: &Secret<String>, method: &str) -> String {
    let hash = |text: String| hex::encode(md5(Secret::new(text).expose().as_bytes()));
    let Credentials { nonce, uri, protection, session, .. } = credentials;
    let ha2 = hash(format!("{method}:{uri}"));
    match protection {
        None => hash(format!("{}:{nonce}:{ha2}", ha1.expose())),
        Some(Protection { qop, nc, cnonce }) => {
            let a1 = if *session { hash(format!("{}:{nonce}:{cnonce}", ha1.expose())) } else { ha1.expose().clone() };
            hash(format!("{a1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 section 3.5.
    const RFC_2617: &str = "Digest username=\"Mufasa\",
        realm=\"testrealm@host.com\",
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",
        uri=\"/dir/index.html\",
        qop=auth,
        nc=00000001,
        cnonce=\"0a4f113b\",
        response=\"6629fae49393a05397450978507c4ef1\",
        opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";

    fn mac(method: &str, password: &str) -> Credentials {
        let mut said = Credentials {
            username: String::from("anna"),
            realm: String::from("school"),
            nonce: String::from("n0nce"),
            uri: String::from("/"),
            response: String::new(),
            protection: None,
            session: false,
        };
        said.response = response(&said, &ha1("anna", "school", password), method);
        said
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        let read = parse(RFC_2617).unwrap();
        assert_eq!((read.username.as_str(), read.uri.as_str()), ("Mufasa", "/dir/index.html"));
        let secret = ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(secret.expose(), "939e7578ed9e3c518a452acee763bce9");
        assert_eq!(response(&read, &secret, "GET"), read.response);
        assert!(is_right(&read, &secret));
        // RFC 2069 section 2.4, as corrected by its errata: no quality of protection.
        let old = "username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                   uri=\"/dir/index.html\", response=\"1949323746fe6a43ef61f9606e7febea\"";
        assert!(is_right(&parse(old).unwrap(), &ha1("Mufasa", "testrealm@host.com", "CircleOfLife")));
    }

    #[test]
    fn any_method_fits_and_no_other_password() {
        let secret = ha1("anna", "school", "tin roof");
        for method in METHODS {
            assert!(is_right(&mac(method, "tin roof"), &secret), "{method}");
            assert!(!is_right(&mac(method, "tin rooF"), &secret), "{method}");
        }
        assert!(!is_right(&mac("DELETE", "tin roof"), &secret));
        let mut session = mac("PUT", "tin roof");
        session.session = true;
        session.protection = Some(Protection { qop: "auth".into(), nc: "00000001".into(), cnonce: "c".into() });
        session.response = response(&session, &secret, "PUT");
        assert!(is_right(&session, &secret));
        session.nonce = String::from("another");
        assert!(!is_right(&session, &secret));
    }

    #[test]
    fn what_is_read_and_what_is_not() {
        let hex = "0123456789abcdef0123456789ABCDEF";
        let good = [
            format!("Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"/\",response=\"{hex}\""),
            format!("digest   USERNAME = a , realm=r,\n\tnonce=n,uri=/ ,response={hex},,unknown=1"),
            format!("username=\"a\", realm=\"r\", nonce=\"n\", response=\"{hex}\", algorithm=md5, qop=\"\""),
        ];
        for text in good {
            let read = parse(&text).unwrap();
            assert_eq!((read.username.as_str(), read.nonce.as_str(), read.uri.as_str()), ("a", "n", "/"), "{text}");
            assert_eq!(read.response, hex.to_ascii_lowercase());
        }
        let quoted = format!("username=\"a\\\"b\\\\c, d=e\",realm=\"ü\",nonce=n,response={hex}");
        assert_eq!(parse(&quoted).unwrap().username, "a\"b\\c, d=e");
        let bad = [
            String::new(),
            String::from("Digest"),
            String::from("Basic YTpi"),
            format!("realm=r,nonce=n,response={hex}"),
            format!("username=a,nonce=n,response={hex}"),
            format!("username=a,realm=r,response={hex}"),
            String::from("username=a,realm=r,nonce=n"),
            String::from("username=a,realm=r,nonce=n,response=0123"),
            format!("username=a,realm=r,nonce=n,response={}", "g".repeat(32)),
            format!("username=a,username=b,realm=r,nonce=n,response={hex}"),
            format!("username=a,realm=r,nonce=n,qop=auth,response={hex}"),
            format!("username=a,realm=r,nonce=n,algorithm=SHA-256,response={hex}"),
            format!("username=\"a,realm=r,nonce=n,response={hex}"),
            format!("username=a,realm=r,nonce=n,response={hex},{}", "x=1,".repeat(2000)),
            (0..40).map(|n| format!("p{n}=1,")).collect(),
        ];
        for text in bad {
            assert!(parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_challenge_reads_back() {
        let read = parameters(&challenge("n-1", "cordon-x")).unwrap();
        assert_eq!(read, [("nonce".into(), "n-1".into()), ("realm".into(), "cordon-x".into())]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn quoting_survives(name in "[^\"\\\\\\x00-\\x1f]{1,40}") {
            let text = format!("username=\"{name}\",realm=\"r\",nonce=\"n\",response={}", "0".repeat(32));
            proptest::prop_assert_eq!(parse(&text).unwrap().username, name);
        }
    }
}
