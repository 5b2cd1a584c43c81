//! Who may look at the dashboard and the metrics.
//!
//! With a `DASHBOARD_PASSWORD`: whoever logs in (HTTP basic). Without one: a direct request from
//! this machine, as for the sample endpoints.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

use super::error::Error;
use super::local::{direct, same_site};
use super::{Web, body};

/// Name and password; without a name any will do.
#[derive(Clone)]
pub struct Login {
    /// `DASHBOARD_USER`.
    pub user: Option<String>,
    /// `DASHBOARD_PASSWORD`.
    pub password: String,
}

/// Lets a request through or answers 401 or 403.
pub(super) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let Err(refusal) = admit(web.login.as_deref(), &request) else {
        return next.run(request).await;
    };
    let accepted = request.headers().get(header::ACCEPT);
    let browser = accepted.is_some_and(|kinds| kinds.as_bytes().starts_with(b"text/html"));
    body::discard(request).await;
    if browser { refusal.page() } else { refusal.into_response() }
}

fn admit(login: Option<&Login>, request: &Request) -> Result<(), Error> {
    match login {
        Some(login) if !login.fits(request.headers()) => return Err(Error::login()),
        Some(_) => {}
        None => direct(request).map_err(|reason| {
            let rule =
                "without a DASHBOARD_PASSWORD only direct requests from this machine are answered";
            Error::forbidden(format!("{rule}: {reason}"))
        })?,
    }
    // a browser sends the password by itself, whichever page makes it ask
    match request.method().is_safe() || same_site(request.headers()) {
        true => Ok(()),
        false => Err(Error::forbidden("the request comes from a page of another site")),
    }
}

impl Login {
    fn fits(&self, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else { return false };
        let known = match &self.user {
            Some(known) => known.as_bytes().ct_eq(&user),
            None => 1.into(),
        };
        (known & self.password.as_bytes().ct_eq(&password)).into()
    }
}

/// What basic authentication says, in bytes as the browser chose them.
fn credentials(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, coded) = value.to_str().ok()?.split_once(' ')?;
    let mut user = BASE64_STANDARD.decode(coded.trim()).ok()?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.pop();
    scheme.eq_ignore_ascii_case("basic").then_some((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(login: &Login, scheme: &str, text: &str) -> bool {
        let value = format!("{scheme} {}", BASE64_STANDARD.encode(text));
        login.fits(&[(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect())
    }

    #[test]
    fn both_are_compared_whole() {
        let both = Login { user: Some("ann".into()), password: "pä:ss".into() };
        assert!(fits(&both, "Basic", "ann:pä:ss") && fits(&both, "basic", "ann:pä:ss"));
        for wrong in
            ["ann:pä:s", "ann:pä:sss", "an:pä:ss", ":pä:ss", "ann:", "ann", "", "pä:ss:ann"]
        {
            assert!(!fits(&both, "Basic", wrong), "{wrong}");
        }
        assert!(!fits(&both, "Bearer", "ann:pä:ss") && !both.fits(&HeaderMap::new()));
        let any = Login { user: None, password: "p".into() };
        assert!(fits(&any, "Basic", "whoever:p") && fits(&any, "Basic", ":p"));
        assert!(!fits(&any, "Basic", "whoever:") && !fits(&any, "Basic", "p"));
    }

    #[test]
    fn what_is_no_login_is_none() {
        let login = Login { user: None, password: "p".into() };
        for value in ["Basic", "Basic ", "Basic !", "Basic Og", "Og==", "Basic  "] {
            let headers = [(header::AUTHORIZATION, value.parse().unwrap())];
            assert!(!login.fits(&headers.into_iter().collect()), "{value}");
        }
        let twice = "Basic OnA=".parse::<axum::http::HeaderValue>().unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, twice.clone());
        assert!(login.fits(&headers));
        headers.append(header::AUTHORIZATION, twice);
        assert!(!login.fits(&headers));
    }
}
