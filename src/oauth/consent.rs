//! Consent: the person agrees on our own page before GitHub is involved. GitHub skips its own page for people who have authorised
//! the app before, so this is the only consent.
//!
//! Between the page and the answer nothing is stored: the request travels sealed inside the form, bound to a cookie that
//! only this browser has.

use std::net::IpAddr;
use std::sync::Arc;

use super::authorization::AuthorizeError;
use super::live_grants::LiveGrants;
use super::log_stranger;
use super::login::PendingAuthorization;
use super::problem::Problem;
use super::provider::IdentityProvider;
use super::resource::ProtectedResource;
use super::sealer::Sealer;
use super::spent_logins::SpentLogins;
use crate::base::{RateLimit, Throttle, Timestamp, trace};
use crate::http::{Request, Response};

/// `/consent`
pub struct ConsentEndpoint {
    pub(super) sealer: Arc<Sealer>,
    pub(super) spent: Arc<SpentLogins>,
    pub(super) grants: Arc<LiveGrants>,
    /// Makes the URL of its login page; it is not asked anything here.
    pub(super) provider: Arc<dyn IdentityProvider>,
    /// Answers of one sender: each is logged, and ends a login, here or at the callback, which is remembered.
    pub(super) answers: RateLimit,
    pub(super) log_limit: Throttle,
}

impl ConsentEndpoint {
    /// The person's answer.
    pub fn post(&self, resource: &ProtectedResource, request: &Request) -> Response {
        self.try_post(resource, request).unwrap_or_else(|problem| resource.pages.problem(problem))
    }

    fn try_post(&self, resource: &ProtectedResource, request: &Request) -> Result<Response, Problem> {
        self.sealer.check_clock()?;
        let form = self.sealer.own_form(request)?;
        // Read once, before it is checked whether the login has ended: a state made here expires before the end is forgotten.
        let now = self.sealer.clock.now();
        let sealed = form.value("pending").unwrap_or_default();
        let pending: PendingAuthorization =
            self.sealer.open_here(sealed, now).ok_or(Problem::LoginExpired)?;
        if *pending.request.resource != *resource.uri {
            return Err(Problem::ForeignForm); // the page of another server here
        }
        trace::names_client(&pending.request.client);
        self.sealer.check_browser(&request.head, &pending.browser)?;
        let approved = match form.value("decision") {
            Some("approve") => true,
            Some("deny") => false,
            Some(_) | None => return Err(Problem::Unreadable),
        };
        if self.spent.has_ended(pending.browser.hash()) {
            return Err(Problem::AlreadyAnswered);
        }
        let peer = request.head.peer;
        if approved {
            Ok(self.approve(resource, pending, (peer, now)))
        } else {
            self.deny(resource, &pending, peer)
        }
    }

    /// C10: tells the client of the refusal and ends the login. Spends the sender's allowance as an approval does: both are
    /// logged. Over the limit it tells the client and clears the cookie, but does not record the end.
    fn deny(
        &self,
        resource: &ProtectedResource,
        pending: &PendingAuthorization,
        peer: Option<IpAddr>,
    ) -> Result<Response, Problem> {
        let PendingAuthorization { request, browser } = pending;
        let now = self.sealer.clock.monotonic();
        if self.answers.spend(peer, now).is_ok() {
            self.spent.end(browser.hash(), peer, now)?;
            log_stranger(&self.log_limit, now, "consent.denied", &request.client);
        }
        let response = resource.refuse(&request.return_to, AuthorizeError::Denied);
        Ok(self.sealer.clear_cookie(response, &browser.cookie))
    }

    /// C4: the state for GitHub is made after the person's yes, never before.
    fn approve(
        &self,
        resource: &ProtectedResource,
        pending: PendingAuthorization,
        (peer, begun): (Option<IpAddr>, Timestamp),
    ) -> Response {
        let PendingAuthorization { request, .. } = &pending;
        let now = self.sealer.clock.monotonic();
        if let Err(too_many) = self.answers.spend(peer, now) {
            return resource.problem_page(&request.return_to, Problem::TooMany(too_many));
        }
        log_stranger(&self.log_limit, now, "consent.given", &request.client);
        let login = pending.approve(&*self.sealer.random);
        login.see_github(&self.sealer, &*self.provider, &resource.provider_scope(&self.grants.rules()), begun)
    }
}

#[cfg(test)]
mod tests;
