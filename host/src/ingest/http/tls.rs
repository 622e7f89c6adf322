//! TLS of the listener: certificate and key from files in PEM, by rustls.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::ingest::HttpTls;
use crate::fault::{Code, Fault};

/// What makes TLS of a connection.
///
/// # Errors
/// `tls_unusable`, which names the file and shows nothing of the key.
pub(super) fn acceptor(tls: &HttpTls) -> Result<TlsAcceptor, Fault> {
    let read =
        CertificateDer::pem_file_iter(&tls.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificate = tls.certificate.display();
    let chain = read.map_err(|error| {
        unusable(format!("`{certificate}` cannot be read as PEM")).because(error.to_string())
    })?;
    if chain.is_empty() {
        return Err(unusable(format!("`{certificate}` holds no certificate")));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| {
        let fault = unusable(format!("`{}` holds no private key in PEM", tls.key.display()));
        fault.because(error.to_string())
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unusable("TLS cannot be set up".to_owned()).because(error))?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|error| {
        let fault = unusable(format!("`{certificate}` and `{}` do not belong together", tls.key.display()));
        fault.because(error)
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Early data can be replayed by whoever sits on the line.
    config.max_early_data_size = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn unusable(problem: String) -> Fault {
    Fault::new(Code::TlsUnusable, format!("the listener of ingests has no TLS: {problem}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn takes_a_certificate_with_its_key_and_refuses_everything_else() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
        };
        let [own, other] =
            [(), ()].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        write("cert.pem", &own.cert.pem());
        write("key.pem", &own.signing_key.serialize_pem());
        write("other.pem", &other.signing_key.serialize_pem());
        write("empty.pem", "");
        let fault = |certificate: &str, key: &str| {
            let tls = HttpTls { certificate: dir.path().join(certificate), key: dir.path().join(key) };
            acceptor(&tls).err()
        };

        assert!(fault("cert.pem", "key.pem").is_none());
        for (certificate, key, part) in [
            ("cert.pem", "other.pem", "do not belong together"),
            ("empty.pem", "key.pem", "holds no certificate"),
            ("nowhere.pem", "key.pem", "cannot be read as PEM"),
            ("cert.pem", "empty.pem", "holds no private key"),
            ("cert.pem", "cert.pem", "holds no private key"),
        ] {
            let fault = fault(certificate, key).unwrap();
            assert_eq!(fault.code(), Code::TlsUnusable);
            assert!(fault.message().contains(part), "{}", fault.report());
        }
    }
}
