//! A route: one ingest of HTTP, with everything that is known before its first request.

use std::sync::Mutex;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::body::Bounds;
use super::rate::Rate;
use super::refusal::Refusal;
use super::schema::Schema;
use crate::config::env::Lookup;
use crate::config::ingest::{HttpIngest, Ingest};
use crate::config::secret::SecretSource;
use crate::fault::{Code, Fault};
use crate::id::IngestName;
use crate::io::Outlet;

/// One ingest of HTTP: its secret is read and its schema compiled.
pub struct Route {
    pub(super) ingest: Ingest,
    pub(super) http: HttpIngest,
    pub(super) rules: Rules,
    pub(super) outlet: Box<dyn Outlet + Send>,
}

/// What requests are held against.
pub(super) struct Rules {
    /// The ingest.
    pub(super) name: IngestName,
    /// The path of the collection.
    pub(super) path: String,
    /// The schema of values.
    pub(super) schema: Option<Schema>,
    /// What bodies may be.
    pub(super) bounds: Bounds,
    /// How many requests may come.
    pub(super) rate: Mutex<Rate>,
    token: Token,
}

impl Route {
    /// Prepares an ingest: reads its token and its schema. `outlet` belongs to this process alone: two hosts with the same
    /// transactional id would take the name from each other for ever. It needs the ingest's topic and its topic of requests
    /// ([`Ingest::requests_topic`]), which has one partition.
    ///
    /// # Errors
    /// `secret_missing`, `file_unreadable`, `schema_invalid`.
    pub fn new(
        ingest: &Ingest,
        http: &HttpIngest,
        outlet: Box<dyn Outlet + Send>,
        lookup: Lookup<'_>,
    ) -> Result<Self, Fault> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let schema = http.schema.as_ref().map(|path| Schema::read(ingest.name.as_str(), path)).transpose()?;
        let rules = Rules {
            name: ingest.name.clone(),
            path: http.path.clone(),
            schema,
            bounds: Bounds {
                value_bytes: size(http.value_bytes),
                batch_bytes: size(http.batch_bytes),
                batch_records: http.batch_records as usize,
            },
            rate: Mutex::new(Rate::new(http.per_second)),
            token: Token::read(&ingest.name, &http.token, lookup)?,
        };
        Ok(Self { ingest: ingest.clone(), http: http.clone(), rules, outlet })
    }
}

impl Rules {
    /// Whether the header `Authorization` has the token.
    ///
    /// # Errors
    /// `token_missing`, `token_wrong`.
    pub(super) fn check_token(&self, header: Option<&[u8]>) -> Result<(), Refusal> {
        let missing = || Refusal::new(Code::TokenMissing, "the request has no bearer token");
        let (scheme, token) = header.and_then(|header| header.split_at_checked(7)).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") || token.trim_ascii().is_empty() {
            return Err(missing());
        }
        if self.token.is(token.trim_ascii()) {
            return Ok(());
        }
        Err(Refusal::new(Code::TokenWrong, "the token is not the one of this ingest"))
    }
}

/// The SHA-256 of a token: the token itself is kept nowhere.
struct Token([u8; 32]);

impl Token {
    fn read(ingest: &IngestName, from: &SecretSource, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let owner = format!("ingest `{ingest}`");
        let secret = from.read(&owner, lookup)?;
        if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(from.missing(&owner, "holds what cannot be a bearer token, such as a space"));
        }
        Ok(Self(Sha256::digest(secret.expose()).into()))
    }

    /// In a time that tells nothing: all bytes of the digests are compared, and a digest tells nothing about the token.
    fn is(&self, token: &[u8]) -> bool {
        let other: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&other).into()
    }
}
