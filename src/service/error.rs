//! Errors of the work: whose fault, what may be said, and what only the log gets.

use crate::base::texts::Text;
use crate::store::StoreError;

/// Whose fault it is; each edge has its own table from this to its language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Invalid,
    Denied,
    Conflict,
    Busy,
    Internal,
}

/// `public` may be shown to anybody; `source` is logged once, at the edge.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    pub public: Text,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The audit has it already, as a refusal.
    pub noted: bool,
}

impl Error {
    pub fn new(kind: Kind, public: Text) -> Self {
        Self { kind, public, source: None, noted: false }
    }

    pub fn not_found(public: Text) -> Self {
        Self::new(Kind::NotFound, public)
    }

    pub fn invalid(public: Text) -> Self {
        Self::new(Kind::Invalid, public)
    }

    pub fn denied(public: Text) -> Self {
        Self::new(Kind::Denied, public)
    }

    pub fn conflict(public: Text) -> Self {
        Self::new(Kind::Conflict, public)
    }

    /// A fault of ours or of the machine; the words shown name only the request.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: Kind::Internal,
            public: Text::Internal { request: String::from("shown beside it") },
            source: Some(source.into()),
            noted: false,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.public.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Busy => Error::new(Kind::Busy, Text::Busy),
            StoreError::Full => Error::new(Kind::Busy, Text::DiskFull),
            other => Error::internal(other),
        }
    }
}
