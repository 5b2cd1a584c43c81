//! Listening, and leaving without dropping a request.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::engine::Lifecycle;

/// What requests in progress are given after a TERM. A platform kills after 30 s.
pub const GRACE: Duration = Duration::from_secs(25);

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
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle) -> io::Result<()> {
    // Events are small and must not wait for more to send. A socket that refuses is slower, nothing
    // else.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stop = lifecycle.clone();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(async move { stop.stopping().await });
    tokio::select! {
        served = serving => served,
        () = overdue(&lifecycle) => {
            tracing::warn!("requests still open {} s after the stop were cut off", GRACE.as_secs());
            Ok(())
        }
    }
}

async fn overdue(lifecycle: &Lifecycle) {
    lifecycle.stopping().await;
    tokio::time::sleep(GRACE).await;
}
