//! Listening, and leaving without dropping a request.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection;
use crate::engine::{Lifecycle, Phase};

/// What requests in progress are given after a TERM. A platform kills after 30 s.
pub const GRACE: Duration = Duration::from_secs(25);

/// How long after a TERM requests are still taken: those that were on their way, in a socket or in
/// the listener's backlog, when the router in front of us heard of the stop. Closed at once, their
/// connections would be failed requests.
const LINGER: Duration = Duration::from_millis(250);

/// After a connection that could not be taken.
const PAUSE: Duration = Duration::from_secs(1);

/// As `bind`; an error is one line that names the setting.
pub async fn listen(name: &str, port: u16) -> Result<TcpListener, String> {
    bind(port).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!("{name}: {port} is in use by another process"),
        _ => format!("{name}: cannot listen on {port}: {error}"),
    })
}

/// All addresses, IPv6 and with it IPv4; on a machine without IPv6, IPv4 alone.
async fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// Answers until the process is told to stop, then finishes what it has begun.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle) {
    let router = router.layer(from_fn_with_state(lifecycle.clone(), say_farewell));
    let stop = async {
        lifecycle.stopping().await;
        sleep(LINGER).await;
    };
    tokio::select! {
        () = answer(listener, router, stop) => {}
        () = overdue(&lifecycle) => {
            tracing::warn!("requests still open {} s after the stop were cut off", GRACE.as_secs());
        }
    }
}

/// Answers until then, and what was asked by then.
pub(crate) async fn answer(listener: TcpListener, router: Router, until: impl Future<Output = ()>) {
    let (going, stopped) = watch::channel(());
    let mut connections = JoinSet::new(); // cut off with us
    let mut until = pin!(until);
    loop {
        tokio::select! {
            () = until.as_mut() => break,
            Some(_) = connections.join_next() => {}
            (socket, peer) = accept(&listener) => {
                let stopped = stopped.clone();
                connections.spawn(connection::serve(socket, peer, router.clone(), stopped));
            }
        }
    }
    drop((listener, going));
    while connections.join_next().await.is_some() {}
}

/// The next connection. A peer that is gone already is no reason to wait; anything else, such as too
/// many open files, is, and the listener outlives it.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => match error.kind() {
                ConnectionAborted | ConnectionRefused | ConnectionReset => {}
                _ => {
                    tracing::warn!("no connection can be taken: {error}");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

/// The last answer on a connection says so: whoever keeps it is not to send another request.
async fn say_farewell(
    State(lifecycle): State<Lifecycle>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if lifecycle.phase() == Phase::Stopping {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn overdue(lifecycle: &Lifecycle) {
    lifecycle.stopping().await;
    sleep(GRACE).await;
}
