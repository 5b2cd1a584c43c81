//! One connection, from its first byte to its last.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// How long the head of the first request may take.
const HEAD: Duration = Duration::from_secs(10);

/// How long after an answer the head of the next request may take: longer than routers keep an idle
/// connection, or one would send a request into a connection that is just being closed.
const KEPT: Duration = Duration::from_secs(660);

/// Answers what comes on it; once `stopped` has lost its sender, only what has been asked by then.
pub(super) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    // Events are small and must not wait for more to send. A socket that refuses is slower, nothing
    // else.
    drop(socket.set_nodelay(true));
    let (asked, router) = (Notify::new(), TowerToHyperService::new(router));
    let service = service_fn(|request: Request<Incoming>| {
        asked.notify_one();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(KEPT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    // What is there already is read before a limit or a stop is looked at. One that has asked
    // nothing yet may be dropped, half a head or none; hyper would wait for the rest of it.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = asked.notified() => {}
        _ = stopped.changed() => return,
        () = sleep(HEAD) => return,
    }
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    // an error is the end of the connection, and its peer knows
    let _ = connection.await;
}
