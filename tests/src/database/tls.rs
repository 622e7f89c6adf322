//! Certificates for the servers: an authority of their own, and a certificate that it signed for 127.0.0.1.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::write;

/// The certificate of the authority.
pub(super) fn authority(dir: &Path) -> PathBuf {
    dir.join("authority.crt")
}

pub(super) fn certificate(dir: &Path) -> PathBuf {
    dir.join("server.crt")
}

pub(super) fn key(dir: &Path) -> PathBuf {
    dir.join("server.key")
}

pub(super) fn prepare(dir: &Path) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    write(&authority(dir), &params.self_signed(&authority_key)?.pem())?;
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    let signed = server.signed_by(&server_key, &Issuer::new(params, authority_key))?;
    write(&certificate(dir), &signed.pem())?;
    write(&key(dir), &server_key.serialize_pem())?;
    // PostgreSQL does not start with a key that others can read.
    fs::set_permissions(key(dir), Permissions::from_mode(0o600))?;
    Ok(())
}
