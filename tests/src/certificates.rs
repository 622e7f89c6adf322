//! Certificates for servers of the tests: an authority of their own, and what it vouches for.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// All as PEM.
#[derive(Debug)]
pub struct Certificates {
    /// The certificate of the authority.
    pub authority: String,
    /// The certificate of a server at 127.0.0.1, which is `localhost`.
    pub server: String,
    /// The server's key.
    pub key: String,
}

impl Certificates {
    /// Makes an authority, and a server that it vouches for.
    ///
    /// # Errors
    /// When the library fails.
    pub fn make() -> Result<Self> {
        // With one name for both, OpenSSL would take the server's certificate for one that nobody vouches for.
        let mut params = named("an authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let server = named("a server", &["127.0.0.1", "localhost"])?;
        let server = server.signed_by(&key, &Issuer::new(params, authority_key))?.pem();
        Ok(Self { authority, server, key: key.serialize_pem() })
    }
}

fn named(name: &str, places: &[&str]) -> Result<CertificateParams> {
    let places: Vec<_> = places.iter().map(|place| (*place).to_owned()).collect();
    let mut params = CertificateParams::new(places)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
