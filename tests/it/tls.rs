//! `rediss://` against a server with a self-signed chain, as on Heroku, through the real worker.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::program::{Program, free_port};
use crate::support::Server;

/// The certificate for localhost of an authority that nobody knows, and its key.
pub struct Chain {
    leaf: CertificateDer<'static>,
    key: KeyPair,
}

impl Chain {
    /// A new one, as files in this directory.
    pub fn new(dir: &Path) -> Chain {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
        Chain { leaf: certificate.der().clone(), key }
    }

    /// The fingerprint as `openssl x509 -fingerprint -sha256` prints it: upper case, colons.
    fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, &self.leaf);
        let pairs: Vec<String> = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        pairs.join(":")
    }
}

/// A server that speaks TLS on this port, with the files of this directory.
pub async fn tls_server(dir: &Path, port: u16) -> Server {
    let file = |name: &str| dir.join(name).display().to_string();
    let (cert, key, ca, port) =
        (file("cert.pem"), file("key.pem"), file("ca.pem"), port.to_string());
    let mut args = vec!["--save", "", "--tls-port", &port, "--tls-auth-clients", "no"];
    args.extend(["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca]);
    Server::with(&args).await
}

fn worker(port: u16, vars: &[(&str, &str)]) -> Program {
    Program::start("worker", &format!("rediss://localhost:{port}/0"), vars)
}

/// The `sha256:…` that a line tells to set.
fn pin_in(line: &str) -> String {
    let told = line.split("REDIS_TLS_VERIFY=").find(|part| part.starts_with("sha256:"));
    let told = told.unwrap_or_else(|| panic!("no pin: {line}"));
    told[..told.len().min("sha256:".len() + 64)].to_owned()
}

#[tokio::test]
async fn a_self_signed_chain_is_refused_and_the_way_to_the_pin_told() {
    let dir = tempfile::tempdir().unwrap();
    Chain::new(dir.path());
    let port = free_port();
    let _server = tls_server(dir.path(), port).await;

    let full = worker(port, &[]);
    let refusal = full.says("we do not trust the server").await;
    assert!(refusal.contains("REDIS_TLS_VERIFY=none"), "{refusal}");

    let ca = dir.path().join("ca.pem").display().to_string();
    let known = worker(port, &[("SSL_CERT_FILE", &ca)]);
    assert!(known.says("TLS").await.contains("TLS, verified"));
    known.says("ready").await;
}

#[tokio::test]
async fn none_shows_the_pin_which_then_lets_in_that_certificate_only() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path());
    let port = free_port();
    let mut server = tls_server(dir.path(), port).await;

    for program in ["worker", "web"] {
        let url = format!("rediss://localhost:{port}");
        let none = Program::start(program, &url, &[("REDIS_TLS_VERIFY", "none")]);
        assert!(none.says("TLS").await.contains("NOT VERIFIED"));
        let pin = pin_in(&none.says("anybody could be the server").await);
        assert_eq!(pin.to_uppercase()[7..], chain.fingerprint().replace(':', ""));
    }
    let by_hand = format!("sha256:{}", chain.fingerprint());
    let pinned = worker(port, &[("REDIS_TLS_VERIFY", &by_hand)]);
    assert!(pinned.says("TLS").await.contains("TLS, pinned"));
    pinned.says("ready").await;

    // renewed at a maintenance: Redis is first gone, then there with another certificate
    server.kill();
    pinned.says("Redis is not reachable").await;
    Chain::new(dir.path());
    server.launch();
    server.answers().await;
    let refusal = pinned.says("we do not trust the server").await;
    assert!(refusal.contains("Find out first"), "{refusal}");
    let changed = worker(port, &[("REDIS_TLS_VERIFY", &pin_in(&refusal))]);
    changed.says("ready").await;
}

/// Shows one certificate and holds the key of another.
#[derive(Debug)]
struct Forger(Arc<CertifiedKey>);

impl ResolvesServerCert for Forger {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[tokio::test]
async fn a_copy_of_the_pinned_certificate_is_not_enough_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (honest, other) = (Chain::new(dir.path()), Chain::new(dir.path()));
    let key = PrivateKeyDer::try_from(other.key.serialize_der()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let forger = Forger(Arc::new(CertifiedKey::new(vec![honest.leaf.clone()], key)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_cert_resolver(Arc::new(forger))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let forging = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });
    let pin = format!("sha256:{}", honest.fingerprint());
    let worker = worker(port, &[("REDIS_TLS_VERIFY", &pin)]);
    worker.says("BadSignature").await;
    assert!(!forging.await.unwrap(), "the forger got a connection");
}
