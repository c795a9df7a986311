//! Query strings, decoded without the form rule that makes a blank of `+`: SCEP sends bare base64, and no value of ours needs blanks.

/// The first value of `name`, percent-decoded. `None` when it is absent, badly escaped or not UTF-8.
pub fn find(query: Option<&str>, name: &str) -> Option<String> {
    String::from_utf8(find_bytes(query, name)?).ok()
}

/// The first value of `name`, percent-decoded.
pub fn find_bytes(query: Option<&str>, name: &str) -> Option<Vec<u8>> {
    let pair = |part: &str| part.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    let (_, value) = query?.split('&').filter_map(pair).find(|(key, _)| key == name)?;
    percent_decode(&value)
}

/// `%XX` to bytes; `None` for a broken escape.
pub fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let mut byte = [0_u8];
            hex::decode_to_slice(after.get(..2)?, &mut byte).ok()?;
            out.push(byte[0]);
            rest = &after[2..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_stays_plus_and_broken_escapes_are_refused() {
        let query = Some("operation=PKIOperation&message=a+b/c%3D%3d");
        assert_eq!(find(query, "message").as_deref(), Some("a+b/c=="));
        assert_eq!(find(query, "operation").as_deref(), Some("PKIOperation"));
        assert_eq!(find(query, "none"), None);
        assert_eq!(percent_decode("%4"), None);
        assert_eq!(percent_decode("%zz"), None);
    }
}
