//! Which servers are trusted: TLS by rustls, with the certificates of the system or of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::fault::{Code, Fault};

/// How to speak TLS with the servers of an endpoint.
///
/// # Errors
/// `certificates_unusable`.
pub(super) fn config(endpoint: &str, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Fault> {
    let roots = match ca_file {
        Some(path) => of_file(endpoint, path)?,
        None => of_system(endpoint)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unusable(endpoint, "TLS cannot be set up").because(error))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Early data can be replayed by whoever sits on the line: a request would be made twice.
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

fn of_file(endpoint: &str, path: &Path) -> Result<RootCertStore, Fault> {
    let fault = |problem: &str| unusable(endpoint, &format!("`{}` {problem}", path.display()));
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| fault("cannot be read as PEM").because(error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| fault("holds a certificate that is none").because(error))?;
    }
    if roots.is_empty() { Err(fault("holds no certificate")) } else { Ok(roots) }
}

fn of_system(endpoint: &str) -> Result<RootCertStore, Fault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old machines have some that are malformed; the others are good.
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let fault = unusable(endpoint, "the system has none");
    Err(match found.errors.into_iter().next() {
        Some(error) => fault.because(error),
        None => fault,
    })
}

fn unusable(endpoint: &str, problem: &str) -> Fault {
    let message = format!("endpoint `{endpoint}` has no certificates to trust its server by: {problem}");
    Fault::new(Code::CertificatesUnusable, message)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn refuses_files_without_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        for (text, part) in [
            ("", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate that is none"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "cannot be read as PEM"),
        ] {
            fs::write(&path, text).unwrap();
            let fault = config("details", Some(&path)).unwrap_err();
            assert_eq!(fault.code(), Code::CertificatesUnusable);
            assert!(fault.message().contains(part), "{}", fault.report());
        }
        let fault = config("details", Some(&dir.path().join("nowhere"))).unwrap_err();
        assert!(fault.message().contains("cannot be read as PEM"), "{}", fault.report());
    }
}
