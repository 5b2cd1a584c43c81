//! What a browser sends: the fields of a form, a name perhaps several times; what an address names.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use url::form_urlencoded;

use super::trouble::Trouble;

/// The fields in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a form's body, or of what stands behind the `?`.
    pub(super) fn parse(coded: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(coded).into_owned().collect())
    }

    /// The first of this name; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &S) -> Result<Fields, Trouble> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(Trouble::Bad("a form is to be sent here".to_owned()));
        }
        match Bytes::from_request(request, state).await {
            Ok(body) => Ok(Fields::parse(&body)),
            Err(_) => Err(Trouble::Large),
        }
    }
}

/// What an address ends with: a job, a queue.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Trouble> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Named(name)).map_err(|_| Trouble::no_page())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_come_several_times() {
        let fields = Fields::parse(b"action=retry&job=1%7Ca&job=2%7Cb+c&&=x&odd");
        assert_eq!(fields.get("action"), "retry");
        assert_eq!(fields.all("job").collect::<Vec<_>>(), ["1|a", "2|b c"]);
        assert_eq!((fields.get("odd"), fields.get("none")), ("", ""));
    }
}
