//! TLS: the certificate and its key, read again when they change.

use std::{io, path::Path, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    ServerConfig as Rustls,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::server::{
    config::TlsFiles,
    files::{Seen, read},
};

/// What agrees with clients on TLS.
#[derive(Clone)]
pub(super) struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    /// What was read last, and what the files looked like then. Held for as long as it takes to copy.
    current: RwLock<(Arc<Rustls>, [Seen; 2])>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

impl Tls {
    pub(super) async fn load(files: &TlsFiles) -> io::Result<Self> {
        let current = RwLock::new(load(files).await?);
        Ok(Self(Arc::new(Inner {
            files: files.clone(),
            current,
        })))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.current.read().0))
    }

    /// Reads the files again where they have changed, or where it is `forced`. Connections that are open
    /// keep what they have agreed on.
    pub(super) async fn reload(&self, forced: bool) {
        let seen = self.0.current.read().1.clone();
        let files = &self.0.files;
        let looked = [
            Seen::of(&files.certificate).await,
            Seen::of(&files.key).await,
        ];
        if looked == seen && !forced {
            return;
        }
        match load(files).await {
            Ok(loaded) => {
                *self.0.current.write() = loaded;
                info!("the certificate was read again");
            }
            // Seldom both files are replaced at once: the next look may find them to match.
            Err(error) => {
                self.0.current.write().1 = looked;
                error!(%error, "the certificate cannot be used, and the former one stays");
            }
        }
    }
}

async fn load(files: &TlsFiles) -> io::Result<(Arc<Rustls>, [Seen; 2])> {
    let (certificate, certificate_seen) = read(&files.certificate).await?;
    let (key, key_seen) = read(&files.key).await?;
    let config = configure(&certificate, &key)
        .map_err(|reason| unusable(&files.certificate, &files.key, &reason))?;
    Ok((Arc::new(config), [certificate_seen, key_seen]))
}

fn configure(certificate: &[u8], key: &[u8]) -> Result<Rustls, String> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("there is no certificate in its file".to_owned());
    }
    // The error of a key could hold some of it.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "there is no private key in its file".to_owned())?;
    let mut config = Rustls::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn unusable(certificate: &Path, key: &Path, reason: &str) -> io::Error {
    let text = format!(
        "{} and {} cannot be used for TLS: {reason}",
        certificate.display(),
        key.display()
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
