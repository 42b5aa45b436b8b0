//! Requests of clients at the token and revocation endpoints: their form, who sends it, and a limit on failures.

use std::sync::Arc;

use super::answer;
use super::client_registry::ClientRegistry;
use super::token_error::TokenError;
use crate::base::clock::Clock;
use crate::base::identity::ClientFingerprint;
use crate::base::rate::RateLimit;
use crate::http::{Form, Request, Response};

/// What both endpoints begin with.
pub(super) struct ClientRequests {
    pub(super) clients: Arc<ClientRegistry>,
    pub(super) clock: Arc<dyn Clock>,
    /// Failures of one sender.
    pub(super) failures: RateLimit,
}

impl ClientRequests {
    /// Answers a request. Only failures are limited, and only after they have failed: nobody can guess a code or a token, so a
    /// client that succeeds is never turned away for what others at the same address, or everywhere, did.
    pub(super) fn answer(
        &self,
        request: &Request,
        attempt: impl FnOnce(&ClientFingerprint, &Form) -> Result<Response, TokenError>,
    ) -> Response {
        let outcome = read_form(request).and_then(|form| {
            let client = self.clients.authenticate(&request.head, &form).map_err(TokenError::Client)?;
            attempt(&client, &form)
        });
        outcome.unwrap_or_else(|error| {
            // That the table or GitHub does not answer is nobody's failure but ours.
            if matches!(error, TokenError::Unavailable | TokenError::UsedUp | TokenError::Clock) {
                return error.answer();
            }
            match self.failures.spend(request.head.peer, self.clock.monotonic()) {
                Ok(()) => error.answer(),
                Err(too_many) => answer::too_many(too_many),
            }
        })
    }
}

/// T7: the parameters of a token or revocation request.
fn read_form(request: &Request) -> Result<Form, TokenError> {
    if request.head.media_type() != Ok(Some("application/x-www-form-urlencoded".to_owned())) {
        return Err(TokenError::NotAForm);
    }
    if request.head.query.as_deref().is_some_and(|query| !query.is_empty()) {
        return Err(TokenError::CredentialsInQuery);
    }
    let form = Form::parse(&request.body).map_err(|_| TokenError::NotAForm)?;
    if form.repeated(&["resource"]).is_some() { Err(TokenError::Repeated) } else { Ok(form) }
}
