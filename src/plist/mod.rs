//! Property lists from strangers. First the events are walked with every bound checked (depth, count, size, no DTD subset, XML
//! only), and only then is anything built; below this room a [`Dict`] gives typed fields whose errors carry the key path.
//!
//! Why the walk: `plist::Value` on hostile input overflows the stack or runs for seconds. Called by `protocol`, `service`, `simulator`.

mod guard;

pub use ::plist::{Date, Dictionary, Integer, Uid, Value};

use std::fmt;

/// What is wrong with a property list. Never holds a value of it: names the place and the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlistError {
    /// Key path such as `Command.RequestType`; empty for the document as a whole.
    pub path: String,
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Empty,
    TooLarge,
    TooDeep,
    TooMany,
    /// Apple devices send XML; a binary list is refused before its references are followed.
    NotXml,
    /// A document type with an internal subset: entity tricks.
    Doctype,
    Syntax,
    NotDict,
    Missing,
    WrongType(&'static str),
    BadId(&'static str),
}

impl fmt::Display for PlistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Empty => "the property list is empty",
            Fault::TooLarge => "the property list is too large",
            Fault::TooDeep => "the property list is nested too deeply",
            Fault::TooMany => "the property list has too many values",
            Fault::NotXml => "not an XML property list",
            Fault::Doctype => "a document type with declarations of its own is not accepted",
            Fault::Syntax => "not a well-formed property list",
            Fault::NotDict => "not a dictionary",
            Fault::Missing => "missing",
            Fault::WrongType(wanted) => return write!(f, "{}: not a {wanted}", self.path),
            Fault::BadId(why) => return write!(f, "{}: {why}", self.path),
        };
        if self.path.is_empty() { f.write_str(what) } else { write!(f, "{}: {what}", self.path) }
    }
}

impl std::error::Error for PlistError {}

pub(crate) fn fault(path: impl Into<String>, fault: Fault) -> PlistError {
    PlistError { path: path.into(), fault }
}

/// Parses an XML property list whose top is a dictionary, within the bounds of `base::limits`.
///
/// # Errors
/// [`PlistError`] for anything outside the bounds; nothing is built before the bounds are checked.
pub fn parse_dict(bytes: &[u8]) -> Result<Dict, PlistError> {
    match parse(bytes)? {
        Value::Dictionary(dict) => Ok(Dict { dict, path: String::new() }),
        _ => Err(fault("", Fault::NotDict)),
    }
}

/// Parses an XML property list with any value on top, within the same bounds.
pub fn parse(bytes: &[u8]) -> Result<Value, PlistError> {
    guard::check(bytes)?;
    Value::from_reader_xml(bytes).map_err(|_| fault("", Fault::Syntax))
}

/// Serialises as XML, the only form that Cordon sends.
pub fn to_xml(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    // Writing to a Vec cannot fail, and every Value we build is representable.
    value.to_writer_xml(&mut out).unwrap_or_default();
    out
}

/// Typed access to a dictionary; every error names the key path.
#[derive(Debug, Clone, PartialEq)]
pub struct Dict {
    dict: Dictionary,
    path: String,
}

impl Dict {
    /// Wraps a dictionary that was built in the house.
    pub fn new(dict: Dictionary) -> Self {
        Self { dict, path: String::new() }
    }

    pub fn as_dictionary(&self) -> &Dictionary {
        &self.dict
    }

    pub fn into_dictionary(self) -> Dictionary {
        self.dict
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.dict.get(key)
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn wrong(&self, key: &str, wanted: &'static str) -> PlistError {
        fault(self.at(key), Fault::WrongType(wanted))
    }

    fn required<T>(&self, key: &str, found: Result<Option<T>, PlistError>) -> Result<T, PlistError> {
        found?.ok_or_else(|| fault(self.at(key), Fault::Missing))
    }

    pub fn find_string(&self, key: &str) -> Result<Option<&str>, PlistError> {
        self.dict.get(key).map(|v| v.as_string().ok_or_else(|| self.wrong(key, "string"))).transpose()
    }

    pub fn string(&self, key: &str) -> Result<&str, PlistError> {
        self.required(key, self.find_string(key))
    }

    pub fn find_data(&self, key: &str) -> Result<Option<&[u8]>, PlistError> {
        self.dict.get(key).map(|v| v.as_data().ok_or_else(|| self.wrong(key, "data"))).transpose()
    }

    pub fn data(&self, key: &str) -> Result<&[u8], PlistError> {
        self.required(key, self.find_data(key))
    }

    /// A boolean; absent is `false`, as Apple's defaults have it.
    pub fn flag(&self, key: &str) -> Result<bool, PlistError> {
        Ok(self.find_bool(key)?.unwrap_or(false))
    }

    pub fn find_bool(&self, key: &str) -> Result<Option<bool>, PlistError> {
        self.dict.get(key).map(|v| v.as_boolean().ok_or_else(|| self.wrong(key, "boolean"))).transpose()
    }

    pub fn find_integer(&self, key: &str) -> Result<Option<i64>, PlistError> {
        self.dict.get(key).map(|v| v.as_signed_integer().ok_or_else(|| self.wrong(key, "integer"))).transpose()
    }

    pub fn find_array(&self, key: &str) -> Result<Option<&[Value]>, PlistError> {
        self.dict.get(key).map(|v| v.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(key, "array"))).transpose()
    }

    pub fn array(&self, key: &str) -> Result<&[Value], PlistError> {
        self.required(key, self.find_array(key))
    }

    pub fn find_dict(&self, key: &str) -> Result<Option<Dict>, PlistError> {
        self.dict
            .get(key)
            .map(|v| match v {
                Value::Dictionary(dict) => Ok(Dict { dict: dict.clone(), path: self.at(key) }),
                _ => Err(self.wrong(key, "dictionary")),
            })
            .transpose()
    }

    pub fn dict(&self, key: &str) -> Result<Dict, PlistError> {
        self.required(key, self.find_dict(key))
    }

    /// A string field parsed as an id of `base::ids`; an empty string counts as absent, as devices send both.
    pub fn find_id<T: std::str::FromStr<Err = crate::base::ids::BadId>>(
        &self,
        key: &str,
    ) -> Result<Option<T>, PlistError> {
        match self.find_string(key)? {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|bad: crate::base::ids::BadId| fault(self.at(key), Fault::BadId(bad.why))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(inner: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
             \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">{inner}</plist>"
        )
        .into_bytes()
    }

    fn fault_of(bytes: &[u8]) -> Fault {
        parse_dict(bytes).unwrap_err().fault
    }

    #[test]
    fn reads_typed_fields_and_names_the_path() {
        let dict = parse_dict(&doc("<dict><key>A</key><dict><key>N</key><integer>3</integer></dict></dict>")).unwrap();
        let inner = dict.dict("A").unwrap();
        assert_eq!(inner.find_integer("N").unwrap(), Some(3));
        assert_eq!(inner.string("N").unwrap_err().to_string(), "A.N: not a string");
        assert_eq!(inner.string("X").unwrap_err().to_string(), "A.X: missing");
    }

    #[test]
    fn refuses_what_would_hurt() {
        assert_eq!(fault_of(b""), Fault::Empty);
        assert_eq!(fault_of(b"bplist00aaaa"), Fault::NotXml);
        assert_eq!(fault_of(&doc(&"<array>".repeat(100_000))), Fault::TooDeep);
        assert_eq!(fault_of(&doc("<array></array>")), Fault::NotDict);
        assert_eq!(fault_of(&doc("<dict><key>A</key>")), Fault::Syntax);
        assert_eq!(
            fault_of(b"<?xml version=\"1.0\"?><!DOCTYPE plist [<!ENTITY a \"b\">]><plist><dict/></plist>"),
            Fault::Doctype
        );
        assert_eq!(fault_of(b"<html></html>"), Fault::Syntax);
        assert_eq!(fault_of(&doc("<dict><key>A</key><string>&evil;</string></dict>")), Fault::Syntax);
    }

    #[test]
    fn dates_are_in_utc_or_refused() {
        let date = |tag: &str| parse_dict(&doc(&format!("<dict><key>D</key>{tag}</dict>"))).map_err(|e| e.fault);
        assert!(date("<date>2026-09-01T07:30:00Z</date>").is_ok());
        assert!(date("<date>0000-01-01T00:00:00Z</date>").is_ok());
        for bad in [
            "<date>9999-12-31T23:59:59-23:59</date>",
            "<date>9999-12-31T23:59:59-23:59<!-- Z</date> --></date>",
            "<date x=\"Z\">9999-12-31T23:59:59-23:59</date>",
            "<a:date>9999-12-31T23:59:59-23:59</a:date>",
            "<date\n>9999-12-31T23:59:59&#45;23:59</date>",
            "<date>tomorrow</date>",
            "<date/>",
        ] {
            assert_eq!(date(bad), Err(Fault::Syntax), "{bad}");
        }
        let space = "n".repeat(1_000);
        assert_eq!(date(&format!("<{space}:date>9999-12-31T23:59:59-23:59</{space}:date>")), Err(Fault::Syntax));
    }

    #[test]
    fn round_trip() {
        let mut d = Dictionary::new();
        d.insert("K".into(), Value::Data(vec![1, 2, 3]));
        let bytes = to_xml(&Value::Dictionary(d));
        assert_eq!(parse_dict(&bytes).unwrap().data("K").unwrap(), [1, 2, 3]);
    }
}
