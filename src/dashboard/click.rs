//! A click on a button: what its form says, on which page, and what it may act on. Taken out of a
//! request before its handler runs; who clicks is told at once where Redis takes no writes.

use axum::extract::{FromRequest, Request};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use super::desk::Desk;
use super::fields::Fields;
use super::told::Told;
use super::trouble::lacking;

/// What there is to act on, and with.
pub(super) struct Click {
    pub(super) desk: Desk,
    /// The page that the form is on.
    pub(super) uri: Uri,
    pub(super) form: Fields,
}

impl FromRequest<Desk> for Click {
    type Rejection = Response;

    async fn from_request(request: Request, desk: &Desk) -> Result<Click, Response> {
        let uri = request.uri().clone();
        if let Err(why) = desk.writable().await {
            return Err(Told::bad(lacking(&why)).at(&uri));
        }
        let form = Fields::from_request(request, desk).await;
        Ok(Click { desk: desk.clone(), uri, form: form.map_err(IntoResponse::into_response)? })
    }
}
