//! A handler that panics is a defect of ours, but not the end of the connection.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::error::Error;

/// Answers 500 in its place. Its words and where it was are in the log by then, from the panic hook.
pub(crate) async fn caught(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| Error::internal(format!("a {method} panicked")).into_response())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn it_is_a_500_and_the_connection_goes_on() {
        async fn broken() -> &'static str {
            panic!("on purpose")
        }
        let router = Router::new().route("/", get(broken)).layer(from_fn(caught));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(crate::routes::answer(listener, router, pending()));
        for _ in 0..2 {
            socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"}") {
                assert!(
                    socket.read_buf(&mut answer).await.unwrap() > 0,
                    "closed without an answer"
                );
            }
            assert!(answer.starts_with(b"HTTP/1.1 500 "));
        }
    }
}
