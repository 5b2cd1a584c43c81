//! Which requests come from this machine itself, and which from a page of our own.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Uri, Version, header};

/// Whether a person or a program on this machine asks, without anything between; or why not.
pub(super) fn direct(request: &Request) -> Result<(), &'static str> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    // nginx, where its configuration says nothing but where to pass requests on: it adds no header
    // and puts our own name in the place of the Host
    if request.version() == Version::HTTP_10 {
        return Err("HTTP/1.0 is what proxies speak");
    }
    local(peer, request.headers(), request.uri())
}

/// A loopback peer alone proves little: a reverse proxy on this machine is one (it adds forwarding
/// headers), and so is a browser that was lured to a name which resolves to 127.0.0.1 (the Host
/// header gives that away).
fn local(peer: Option<IpAddr>, headers: &HeaderMap, uri: &Uri) -> Result<(), &'static str> {
    if !peer.is_some_and(|ip| ip.to_canonical().is_loopback()) {
        return Err("the peer is another machine");
    }
    let forwarded = |name: &str| {
        name.starts_with("x-forwarded-") || ["forwarded", "via", "x-real-ip"].contains(&name)
    };
    if headers.keys().any(|name| forwarded(name.as_str())) {
        return Err("it was forwarded by a proxy");
    }
    let mut hosts =
        headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let named_here = hosts.next().is_some_and(is_this_machine) && hosts.next().is_none();
    let absolute = uri.authority().is_none_or(|authority| is_this_machine(authority.as_str()));
    match named_here && absolute {
        true => Ok(()),
        false => Err("the Host header does not name this machine"),
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| match host.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        None => false,
    })
}

/// Browsers say where a request comes from; programs that are no browsers say nothing, and are not
/// what a forged request needs.
pub(super) fn same_site(headers: &HeaderMap) -> bool {
    let text =
        |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    match (text(header::HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, None) => true,
        (None, Some(origin)) => {
            let from = origin.split_once("://").map(|(_, host)| host);
            from.zip(text(header::HOST)).is_some_and(|(from, host)| from.eq_ignore_ascii_case(host))
        }
    }
}

#[cfg(test)]
mod tests;
