//! Who may use the endpoints.
//!
//! With an `API_TOKEN`: whoever sends it. Without one: a direct request from this machine, so that
//! a first run needs no setup, yet a deploy that forgot the token is not open to the world.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::error::Error;
use super::local::{direct, same_site};
use super::{Web, body};

/// Lets a request through or answers 401 or 403.
pub(super) async fn guard(
    State(web): State<Web>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    if let Err(refusal) = admit(&web, &request) {
        body::discard(request).await;
        return Err(refusal);
    }
    Ok(next.run(request).await)
}

fn admit(web: &Web, request: &Request) -> Result<(), Error> {
    let headers = request.headers();
    match &web.api_token {
        Some(token) if !bearer(headers, token) => return Err(Error::unauthorized()),
        Some(_) => {}
        None => direct(request).map_err(|reason| {
            let rule = "without an API_TOKEN only direct requests from this machine are answered";
            Error::forbidden(format!("{rule}: {reason}"))
        })?,
    }
    match request.method() == Method::POST && !same_site(headers) {
        true => Err(Error::forbidden("the request comes from a page of another site")),
        false => Ok(()),
    }
}

fn bearer(headers: &HeaderMap, token: &str) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    match value.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => {
            given.trim().as_bytes().ct_eq(token.as_bytes()).into()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str) -> bool {
        let value = value.parse().unwrap();
        bearer(&[(header::AUTHORIZATION, value)].into_iter().collect(), "s3cret")
    }

    #[test]
    fn the_token_is_compared_whole() {
        for good in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret"] {
            assert!(sent(good), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3crets",
            "Basic s3cret",
            "s3cret",
            "Bearer S3CRET",
        ] {
            assert!(!sent(bad), "{bad}");
        }
        assert!(!bearer(&HeaderMap::new(), "s3cret"));
    }
}
