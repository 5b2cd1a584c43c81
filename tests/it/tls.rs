//! `rediss://` against a server with a self-signed chain, as on Heroku, through the real worker.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::Server;

/// A certificate authority nobody knows and a certificate for localhost, as files.
fn chain(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}

/// A server that speaks TLS on a port, with a password.
async fn tls_server(dir: &Path) -> (Server, u16) {
    chain(dir);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| dir.join(name).display().to_string();
    let (cert, key, ca, port_text) =
        (file("cert.pem"), file("key.pem"), file("ca.pem"), port.to_string());
    let mut args = vec!["--save", "", "--tls-port", &port_text, "--tls-auth-clients", "no"];
    args.extend(["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca]);
    args.extend(["--user", "app", "on", ">s3cret", "~*", "&*", "+@all"]);
    (Server::with(&args).await, port)
}

/// The real worker, its log read line by line, ended with the test.
struct Worker {
    process: Child,
    log: BufReader<ChildStderr>,
}

impl Worker {
    fn start(port: u16, user: &str, vars: &[(&str, &str)]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.env_clear().envs(vars.iter().copied()).env("DYNO", "worker.1");
        command.env("REDIS_URL", format!("rediss://{user}@localhost:{port}/0"));
        command.current_dir(std::env::temp_dir()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        Worker { process, log }
    }

    /// The first line of its log that says this; the secret must not be in any.
    fn says(&mut self, text: &str) -> String {
        for line in self.log.by_ref().lines().map_while(Result::ok) {
            assert!(!line.contains("s3cret"), "{line}");
            if line.contains(text) {
                return line;
            }
        }
        panic!("the worker never said {text:?}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_self_signed_chain_is_refused_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, port) = tls_server(dir.path()).await;
    let user = "app:s3cret";

    let mut full = Worker::start(port, user, &[]);
    let refusal = full.says("Redis is not reachable");
    assert!(refusal.contains("REDIS_TLS_VERIFY=none"), "{refusal}");

    let mut none = Worker::start(port, user, &[("REDIS_TLS_VERIFY", "none")]);
    assert!(none.says("TLS").contains("NOT VERIFIED"));
    none.says("anybody could be the server");
    none.says("ready");

    let ca = dir.path().join("ca.pem").display().to_string();
    let mut known = Worker::start(port, user, &[("SSL_CERT_FILE", &ca)]);
    assert!(known.says("TLS").contains("TLS, verified"));
    known.says("ready");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, port) = tls_server(dir.path()).await;
    let mut worker = Worker::start(port, "app:s3cret-wrong", &[("REDIS_TLS_VERIFY", "none")]);
    assert!(worker.says("Redis is not reachable").contains("WRONGPASS"));
}
