//! How a login that does not go on is answered: to the client by itself where that is safe, else by a page that leaves the way
//! back to the person (O7).

use super::authorization::ReturnTo;
use super::authorize_error::AuthorizeError;
use super::page;
use super::problem::Problem;
use super::resource::{ProtectedResource, see_other};
use crate::base::trace;
use crate::http::Response;

impl ProtectedResource {
    /// Refuses a client's request.
    pub(super) fn refuse(&self, to: &ReturnTo, error: AuthorizeError) -> Response {
        let (code, _) = error.wire();
        trace::refused(code);
        if to.is_trusted() {
            return see_other(self.error_location(to, error));
        }
        self.pages.interstitial(error, &self.way_back(to, error))
    }

    /// The page of a problem that ended a login, with a button that tells the client.
    pub(super) fn end_login(&self, to: &ReturnTo, problem: Problem) -> Response {
        self.pages.ended_login(problem, &self.way_back(to, problem.answer()))
    }

    /// The button that takes the person back to the client with an error.
    pub(super) fn way_back(&self, to: &ReturnTo, error: AuthorizeError) -> String {
        page::way_back(to, &self.error_location(to, error))
    }

    fn error_location(&self, to: &ReturnTo, error: AuthorizeError) -> String {
        let (code, description) = error.wire();
        let state = to.state.as_deref().filter(|_| error != AuthorizeError::StateTooLong);
        let parameters = [("error", Some(code)), ("error_description", Some(description)), ("state", state)];
        self.answer_location(&to.redirect_uri, &parameters)
    }
}
