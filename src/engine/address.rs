//! Where Redis is: the URL, taken apart, and the stream to it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{ProtocolVersion, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::tls::{self, TlsVerify};

/// Where and how to connect. Its `Debug` and `Display` never show the password.
#[derive(Clone)]
pub(crate) struct Address {
    place: Place,
    username: Option<String>,
    password: Option<String>,
    db: i64,
}

#[derive(Clone)]
enum Place {
    Tcp { host: String, port: u16, tls: Option<Tls> },
    Unix(PathBuf),
}

#[derive(Clone)]
struct Tls {
    name: ServerName<'static>,
    connector: TlsConnector,
    verify: TlsVerify,
    /// The fingerprint of the certificate that the server showed last.
    shown: Arc<Mutex<Option<[u8; 32]>>>,
}

/// Any byte stream to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Address {
    /// Reads `redis://`, `rediss://` or `unix://`. The error says what is wrong and repeats
    /// nothing of the URL, which holds the password.
    pub(crate) fn parse(url: &str, verify: TlsVerify) -> Result<Address, String> {
        let url = Url::parse(url)
            .map_err(|error| format!("redis://HOST:PORT/DB is wanted, this is no URL ({error})"))?;
        let place = match url.scheme() {
            "redis" => tcp(&url, None)?,
            "rediss" => tcp(&url, Some(verify))?,
            "unix" | "redis+unix" => match url.path() {
                "" | "/" => return Err("the path of the socket is missing".to_owned()),
                path => Place::Unix(percent_decoded(path)?.into()),
            },
            _ => return Err("the scheme must be redis, rediss or unix".to_owned()),
        };
        let secret =
            |text: &str| percent_decoded(text).map(|text| Some(text).filter(|t| !t.is_empty()));
        Ok(Address {
            db: database(&url, matches!(place, Place::Unix(_)))?,
            username: secret(url.username())?,
            password: secret(url.password().unwrap_or(""))?,
            place,
        })
    }

    /// A socket, without password.
    pub(crate) fn of_socket(path: PathBuf) -> Address {
        Address { place: Place::Unix(path), username: None, password: None, db: 0 }
    }

    /// Where the server's certificate is taken as it comes: what to set in order to take no
    /// other from now on, as far as it has shown one.
    pub(crate) fn unverified(&self) -> Option<TlsVerify> {
        let Place::Tcp { tls: Some(tls), .. } = &self.place else { return None };
        let shown = *tls.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.map(TlsVerify::Pin).filter(|_| tls.verify == TlsVerify::None)
    }

    /// How the stream is protected, for the line at boot.
    pub(crate) fn protection(&self) -> &'static str {
        match &self.place {
            Place::Unix(_) => "unix socket",
            Place::Tcp { tls: None, .. } => "no TLS",
            Place::Tcp { tls: Some(tls), .. } => match tls.verify {
                TlsVerify::Full => "TLS, verified",
                TlsVerify::Pin(_) => "TLS, pinned",
                TlsVerify::None => "TLS, NOT VERIFIED",
            },
        }
    }

    /// Opens a stream to the server.
    pub(crate) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Place::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Ok(Box::new(stream)),
                    Some(tls) => Ok(Box::new(tls.wrap(stream).await?)),
                }
            }
        }
    }

    /// Credentials and database for the handshake.
    pub(crate) fn handshake(&self, protocol: ProtocolVersion) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_db(self.db)
            .set_protocol(protocol)
            .set_lib_name("roustabout", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password);
        }
        info
    }
}

impl Tls {
    async fn wrap(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(tls::explain)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.first().map(tls::fingerprint);
        Ok(stream)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

fn tcp(url: &Url, verify: Option<TlsVerify>) -> Result<Place, String> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the host is missing")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let tls = match verify {
        None => None,
        Some(verify) => {
            let name = ServerName::try_from(host.clone());
            let name = name.map_err(|_| "the host is no valid name for TLS".to_owned())?;
            let config = verify.config().map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(Arc::new(config));
            Some(Tls { name, connector, verify, shown: Arc::default() })
        }
    };
    Ok(Place::Tcp { host, port: url.port().unwrap_or(6379), tls })
}

/// `/0` in the path, or `?db=0` where the path is a socket's.
fn database(url: &Url, unix: bool) -> Result<i64, String> {
    let in_query =
        || url.query_pairs().find(|(name, _)| name == "db").map(|(_, db)| db.into_owned());
    let text = match unix {
        true => in_query().unwrap_or_default(),
        false => url.path().trim_start_matches('/').to_owned(),
    };
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|db| *db >= 0);
    number.ok_or("the database (what follows the host) must be a number".to_owned())
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| "an escape (%XX) in it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(url, TlsVerify::None)
    }

    #[test]
    fn addresses() {
        let address = parse("redis://:p%40s+s@example.com:7000/3").unwrap();
        assert_eq!(address.to_string(), "example.com:7000");
        assert_eq!((address.password.as_deref(), address.db), (Some("p@s+s"), 3));
        assert_eq!(address.username, None);
        assert_eq!(parse("rediss://user:pw@[::1]/").unwrap().protection(), "TLS, NOT VERIFIED");
        assert_eq!(parse("redis://[::1]").unwrap().to_string(), "::1:6379");
        let socket = parse("unix:///tmp/r.sock?db=2").unwrap();
        assert_eq!((socket.to_string().as_str(), socket.db), ("/tmp/r.sock", 2));
    }

    #[test]
    fn errors_say_what_is_wrong_and_hide_the_rest() {
        let bad = [
            "nonsense",
            "http://:secret@h/",
            "redis://:secret@/",
            "redis://:secret@h/x",
            "",
            "unix://",
        ];
        for url in bad {
            let error = parse(url).err().unwrap();
            assert!(!error.is_empty() && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn no_url_does_harm() {
        let words =
            ["redis://", "rediss://", "unix://", "%", "%C3", "%A9", "@", ":", "/", "[", "]"];
        super::super::arbitrary::rounds(300, |rng| {
            let url = super::super::arbitrary::words(rng, &words);
            match parse(&url) {
                Ok(address) => assert!(address.db >= 0, "{url:?}"),
                Err(error) => assert!(!error.is_empty(), "{url:?}"),
            }
            let _ = percent_decoded(&url);
        });
    }
}
