//! TLS as a client: the machine's certificate authorities; one certificate that is known; or,
//! when told so, none at all.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

/// How the certificate of a `rediss://` server is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TlsVerify {
    /// Against the machine's authorities (`SSL_CERT_FILE` adds one's own).
    Full,
    /// The server's own certificate has this SHA-256 fingerprint, whoever signed it and whatever
    /// names it bears. A renewed one is refused until the pin is changed.
    Pin([u8; 32]),
    /// Not at all: encrypted, but anybody could be the server. Heroku's Key-Value Store has a
    /// self-signed chain, so its users need this until they pin the certificate.
    None,
}

impl TlsVerify {
    pub(crate) fn config(self) -> anyhow::Result<ClientConfig> {
        match self {
            TlsVerify::Full => client_config(),
            TlsVerify::Pin(pin) => by_leaf(Some(pin)),
            TlsVerify::None => by_leaf(None),
        }
    }
}

impl FromStr for TlsVerify {
    type Err = &'static str;

    /// `full`, `none`, or `sha256:` and the fingerprint, with or without the colons that
    /// `openssl x509 -fingerprint` prints.
    fn from_str(text: &str) -> Result<TlsVerify, &'static str> {
        let pin = match text {
            "full" => return Ok(TlsVerify::Full),
            "none" => return Ok(TlsVerify::None),
            text => text.strip_prefix("sha256:").and_then(fingerprint_in),
        };
        pin.map(TlsVerify::Pin).ok_or("full, none, or sha256: and 64 hex digits")
    }
}

impl fmt::Display for TlsVerify {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TlsVerify::Full => f.write_str("full"),
            TlsVerify::None => f.write_str("none"),
            TlsVerify::Pin(pin) => {
                f.write_str("sha256:")?;
                pin.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

fn fingerprint_in(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| *c != ':').map(|c| Some(c.to_digit(16)? as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| 16 * pair[0] + pair[1]).collect();
    bytes.try_into().ok()
}

/// What a server's certificate is known by: the SHA-256 of its DER form.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// Says what to do about a certificate that was refused.
pub(crate) fn explain(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::Other(OtherError(why))) => io::Error::other(why.to_string()),
        Some(Error::InvalidCertificate(why)) => io::Error::other(format!(
            "the server's certificate is not trusted ({why}). If its chain is self-signed, as on \
             Heroku, set REDIS_TLS_VERIFY=none once: the log then shows the pin (sha256:…) to set \
             instead"
        )),
        _ => error,
    }
}

/// A configuration that trusts the machine's certificate authorities: for Redis and for the
/// application's own HTTP client. Fails if the machine has none.
pub fn client_config() -> anyhow::Result<ClientConfig> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        bail!("no certificate authorities on this machine (install the package ca-certificates)");
    }
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

fn by_leaf(pin: Option<[u8; 32]>) -> anyhow::Result<ClientConfig> {
    let verifier = Arc::new(ByLeaf { provider: Arc::new(ring::default_provider()), pin });
    Ok(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn builder() -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    // the provider is named here, not installed for the process: nobody can forget to
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version in common with its provider")
}

/// Takes the pinned certificate, or any; the handshake itself is checked as ever, so that whoever
/// answered has the certificate's key.
#[derive(Debug)]
struct ByLeaf {
    provider: Arc<CryptoProvider>,
    pin: Option<[u8; 32]>,
}

impl ServerCertVerifier for ByLeaf {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = fingerprint(leaf);
        match self.pin {
            Some(pin) if pin != shown => Err(Error::Other(OtherError(Arc::new(OtherLeaf(shown))))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The server showed another certificate than the pinned one.
#[derive(Debug)]
struct OtherLeaf([u8; 32]);

impl std::error::Error for OtherLeaf {}

impl fmt::Display for OtherLeaf {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shown = TlsVerify::Pin(self.0);
        write!(
            f,
            "the server's certificate is not the one that REDIS_TLS_VERIFY pins. Was it renewed, \
             or is somebody else answering? Find out first; only if it was renewed, set \
             REDIS_TLS_VERIFY={shown}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_as_openssl_prints_them_and_as_we_do() {
        let bare = "00ff".repeat(16);
        let colons = ["00", "FF"].repeat(16).join(":");
        let mut pin = [0; 32];
        (1..32).step_by(2).for_each(|at| pin[at] = 255);
        for text in [&bare, &colons, &bare.to_uppercase()] {
            assert_eq!(format!("sha256:{text}").parse(), Ok(TlsVerify::Pin(pin)));
        }
        for text in ["full".to_owned(), "none".to_owned(), format!("sha256:{bare}")] {
            assert_eq!(text.parse::<TlsVerify>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        let short = format!("sha256:{}", "0".repeat(63));
        let odd = format!("sha256:{}", "é".repeat(32));
        let sha1 = format!("sha1:{}", "0".repeat(40));
        for text in ["", "sha256:", "Full", &"0".repeat(64), &short, &odd, &sha1] {
            assert!(text.parse::<TlsVerify>().is_err(), "{text}");
        }
    }
}
