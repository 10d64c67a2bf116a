//! rustls, set up as a [`TlsPlan`] says.

use std::io;
use std::sync::Arc;

use canald_core::config::SslMode;
use canald_core::time::Duration;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Pem, TlsFault, TlsPlan};

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where systems keep the authorities that they trust: Debian, Fedora, SUSE, Alpine, the BSDs.
const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// Who a peer is when nobody asks: a name that no certificate bears.
const NOBODY: &str = "unnamed.invalid";

/// Makes `stream` secure, or says why not.
///
/// # Errors
/// [`TlsFault`]
pub async fn secure<S>(stream: S, plan: &TlsPlan) -> Result<TlsStream<S>, TlsFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let server = plan.server_name.clone();
    let (connector, name) = connector(plan)?;
    let handshake = connector.connect(name, stream);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(TlsFault::Handshake {
            reason: advice(&error),
            server,
        }),
        Err(_) => Err(TlsFault::TimedOut {
            server,
            seconds: HANDSHAKE_TIMEOUT.as_secs(),
        }),
    }
}

fn connector(plan: &TlsPlan) -> Result<(TlsConnector, ServerName<'static>), TlsFault> {
    let setup = |e: Error| TlsFault::Setup(e.to_string());
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<&'static SupportedProtocolVersion> =
        [(plan.versions.tls12, &TLS12), (plan.versions.tls13, &TLS13)]
            .into_iter()
            .filter_map(|(wanted, version)| wanted.then_some(version))
            .collect();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(setup)?;
    let builder = match plan.mode {
        SslMode::VerifyIdentity => builder.with_root_certificates(authorities(plan)?),
        SslMode::VerifyCa => {
            let verifier = Lenient::new(&provider, Some(authorities(plan)?));
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        SslMode::Disabled | SslMode::Preferred | SslMode::Required => {
            let verifier = Lenient::new(&provider, None);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match &plan.identity {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let key = PrivateKeyDer::from_pem_slice(&pem.text).map_err(|e| bad_pem(pem, &e))?;
            builder
                .with_client_auth_cert(certificates(pem)?, key)
                .map_err(setup)?
        }
    };
    let name = match ServerName::try_from(plan.server_name.clone()) {
        Ok(name) => name,
        Err(_) if plan.mode == SslMode::VerifyIdentity => {
            let text = format!("{} cannot be the name in a certificate", plan.server_name);
            return Err(TlsFault::Setup(text));
        }
        Err(_) => {
            config.enable_sni = false;
            ServerName::try_from(NOBODY).expect("it is a name")
        }
    };
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn bad_pem(pem: &Pem, error: &rustls_pki_types::pem::Error) -> TlsFault {
    TlsFault::Setup(format!("{}: {error}", pem.path.display()))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let all = CertificateDer::pem_slice_iter(&pem.text);
    all.collect::<Result<_, _>>().map_err(|e| bad_pem(pem, &e))
}

fn authorities(plan: &TlsPlan) -> Result<RootCertStore, TlsFault> {
    let mut store = RootCertStore::empty();
    if let Some(pem) = &plan.authorities {
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|e| {
                TlsFault::Setup(format!("{}: not an authority: {e}", pem.path.display()))
            })?;
        }
        return Ok(store);
    }
    let found = SYSTEM_AUTHORITIES
        .iter()
        .find_map(|path| std::fs::read(path).ok());
    for certificate in CertificateDer::pem_slice_iter(&found.unwrap_or_default()).flatten() {
        // A machine's bundle may hold certificates that rustls does not understand; they trust nobody.
        let _ = store.add(certificate);
    }
    if store.is_empty() {
        let text = "this machine has no list of trusted authorities: name a PEM file in \
                    canal.instance.master.trustCertificateKeyStoreUrl";
        return Err(TlsFault::Setup(text.into()));
    }
    Ok(store)
}

/// What rustls says, and what an operator may do about it.
fn advice(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    let cure = match inner {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the authority is not trusted: name its PEM file in \
             canal.instance.master.trustCertificateKeyStoreUrl"
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "connect by a name in the certificate's subjectAltName, or use VERIFY_CA",
        Some(Error::PeerIncompatible(_)) => "the server may speak only TLS 1.1 or older",
        _ => return error.to_string(),
    };
    format!("{error}; {cure}")
}

/// Checks no name, and the chain only if there are authorities.
#[derive(Debug)]
struct Lenient {
    authorities: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Lenient {
    fn new(provider: &CryptoProvider, authorities: Option<RootCertStore>) -> Self {
        Self {
            authorities,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                authorities,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::tls::TlsVersions;

    fn pem(name: &str) -> Pem {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tls");
        Pem::load(&folder.join(name)).unwrap()
    }

    fn plan(mode: SslMode, server_name: &str, authority: Option<&str>) -> TlsPlan {
        TlsPlan {
            mode,
            server_name: server_name.into(),
            authorities: authority.map(pem),
            identity: None,
            versions: TlsVersions {
                tls12: true,
                tls13: true,
            },
        }
    }

    /// A server that is `db.test`, and asks for a certificate if `strict`.
    fn server(strict: bool, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
        let identity = pem("server.pem");
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = if strict {
            let roots = authorities(&plan(SslMode::VerifyCa, "", Some("ca.pem"))).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_slice(&identity.text).unwrap();
        let config = builder
            .with_single_cert(certificates(&identity).unwrap(), key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// What comes of connecting to the server and being greeted by it.
    async fn greeted(plan: &TlsPlan, acceptor: TlsAcceptor) -> Result<String, TlsFault> {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(theirs).await {
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let mut stream = secure(ours, plan).await?;
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .await
            .map_err(|e| TlsFault::Setup(e.to_string()))?;
        Ok(text)
    }

    #[tokio::test]
    async fn each_mode_checks_what_it_says() {
        use SslMode::{Preferred, Required, VerifyCa, VerifyIdentity};
        let unknown = "the authority is not trusted";
        let name = "connect by a name in the certificate's subjectAltName";
        for (mode, host, authority, want) in [
            (Preferred, "any", None, Ok(())),
            (Required, "other.test", None, Ok(())),
            (Required, "not a name", None, Ok(())),
            (VerifyCa, "other.test", Some("ca.pem"), Ok(())),
            (VerifyCa, "db.test", Some("other-ca.pem"), Err(unknown)),
            (VerifyIdentity, "db.test", Some("ca.pem"), Ok(())),
            (VerifyIdentity, "127.0.0.1", Some("ca.pem"), Ok(())),
            (VerifyIdentity, "other.test", Some("ca.pem"), Err(name)),
            (
                VerifyIdentity,
                "db.test",
                Some("other-ca.pem"),
                Err(unknown),
            ),
            (
                VerifyIdentity,
                "not a name",
                Some("ca.pem"),
                Err("cannot be the name"),
            ),
        ] {
            let plan = plan(mode, host, authority);
            for versions in [&[&TLS12][..], &[&TLS13]] {
                let got = greeted(&plan, server(false, versions)).await;
                match (got, want) {
                    (Ok(text), Ok(())) => assert_eq!(text, "hello"),
                    (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{fault}"),
                    (got, want) => panic!("{mode:?} {host}: {got:?}, not {want:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_asks_is_shown_our_certificate() {
        let mut plan = plan(SslMode::Required, "db.test", None);
        assert!(greeted(&plan, server(true, &[&TLS13])).await.is_err());
        plan.identity = Some(pem("client.pem"));
        assert_eq!(
            greeted(&plan, server(true, &[&TLS13])).await.unwrap(),
            "hello"
        );
    }

    #[tokio::test]
    async fn versions_that_nobody_shares_are_refused_with_advice() {
        let mut plan = plan(SslMode::Required, "db.test", None);
        plan.versions.tls13 = false;
        let fault = greeted(&plan, server(false, &[&TLS13])).await.unwrap_err();
        assert!(
            fault.to_string().starts_with("TLS with db.test failed: "),
            "{fault}"
        );
    }
}
