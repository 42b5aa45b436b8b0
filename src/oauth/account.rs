//! The account page: a person signs in through the same GitHub login, sees the programs that may act in their name, and ends
//! their access (C11).
//!
//! ```text
//! GET  /account, no cookie      a button
//! POST /account, sign_in        GitHubLogin     sealed into GitHub's state, bound to a cookie of this browser
//! GET  /auth/callback           AccountSession  sealed into a cookie that is good for this page alone
//! GET  /account                 AccountForm     sealed into the list's form: its CSRF token
//! POST /account, revoke         the grant is deleted, and everything issued under it is dead
//! ```
//!
//! Nothing is stored. The policy is not asked: a person who is not admitted any more can still end the access that they gave. No
//! other endpoint looks at the cookie, so it never spares anybody consent or GitHub (O17).

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account_page::{ALL_ENDED, ENDED, HANDLES_END, Listing, SignIn, handle};
use super::browser;
use super::live_grants::LiveGrants;
use super::login::GitHubLogin;
use super::problem::Problem;
use super::provider::IdentityProvider;
use super::resource::{Resources, see_other};
use super::sealer::{Sealer, ShortLived};
use crate::audit;
use crate::base::{Identity, Memberships, RateLimit, Secret, Subject, UserId, Who, limits, log};
use crate::http::{Head, Request, Response};
use crate::store::Grant;

/// The length of a [`handle`]: the base64url of 32 bytes.
const HANDLE_CHARS: usize = 43;
/// The cookie's name, before [`Sealer::cookie_name`].
const COOKIE: &str = "mcp_account";

/// `/account`
pub struct AccountEndpoint {
    pub(super) resources: Arc<Resources>,
    pub(super) sealer: Arc<Sealer>,
    /// Makes the URL of its login page; it is not asked anything here.
    pub(super) provider: Arc<dyn IdentityProvider>,
    pub(super) grants: Arc<LiveGrants>,
    /// Sign-ins that a sender may start.
    pub(super) sign_ins: RateLimit,
}

/// The person who signed in, sealed into the account cookie.
#[derive(Debug, Serialize, Deserialize)]
struct AccountSession {
    #[serde(rename = "u")]
    user: UserId,
    #[serde(rename = "l")]
    login: String,
}

impl ShortLived for AccountSession {
    const PREFIX: &'static str = "mcp_as_";
}

/// The CSRF token of one rendering of the list: only the page of this very session has one.
#[derive(Debug, Serialize, Deserialize)]
struct AccountForm {
    /// The hash of the session's cookie.
    #[serde(rename = "s")]
    session: String,
}

impl ShortLived for AccountForm {
    const PREFIX: &'static str = "mcp_af_";
}

/// A session whose cookie a request carries.
struct SignedIn {
    session: AccountSession,
    cookie_hash: String,
}

/// Starts the session of a person whom GitHub has just named.
///
/// The cookie is Lax: a browser does not send a Strict one along when GitHub's redirects end here, so the person would look
/// signed out. Lax keeps it from every request of another site but a link to the page, which shows that site nothing and
/// changes nothing.
pub(super) fn sign_in(sealer: &Sealer, identity: Identity) -> Response {
    let Identity { user, login } = identity;
    audit::info("account.signed_in", &[log::Field::User(Subject::User(user)), log::Field::Login(&login)]);
    let expires = sealer.clock.now().plus(limits::ACCOUNT_LIFETIME);
    let sealed = sealer.seal_here(AccountSession { user, login }, expires);
    let cookie = sealer.cookie_name(COOKIE);
    sealer.set_cookie(see_other(sealer.account_url()), (&cookie, &sealed), limits::ACCOUNT_LIFETIME)
}

impl AccountEndpoint {
    /// The person's grants, or the button to sign in.
    pub fn get(&self, head: &Head) -> Response {
        match self.signed_in(head) {
            Some(signed_in) => self.list_grants(&signed_in, None),
            None => self.resources.pages.sign_in(SignIn::First),
        }
    }

    /// Runs the action of a button of the page.
    pub fn post(&self, request: &Request) -> Response {
        self.try_post(request).unwrap_or_else(|why| self.resources.pages.sign_in(why))
    }

    fn try_post(&self, request: &Request) -> Result<Response, SignIn> {
        let form = self.sealer.own_form(request).map_err(SignIn::Again)?;
        if form.contains("sign_in") {
            return self.start_sign_in(&request.head);
        }
        let signed_in = self.signed_in(&request.head).ok_or(SignIn::Expired)?;
        let sealed = form.value("form").unwrap_or_default();
        let csrf = self.sealer.open_here::<AccountForm>(sealed, self.sealer.clock.now());
        if !csrf.is_some_and(|csrf| Secret::new(csrf.session).matches(signed_in.cookie_hash.as_bytes())) {
            return Err(SignIn::Again(Problem::ForeignForm));
        }
        match (form.value("revoke"), form.value("sign_out")) {
            (Some("all"), None) => Ok(self.end(&signed_in, None, ALL_ENDED)),
            (Some(handles), None) => {
                // The sender chooses how long the field is, so the number of handles is bounded.
                let handles = handles.split(HANDLES_END).take(limits::GRANTS_PER_USER);
                let wanted = handles.filter(|one| one.len() == HANDLE_CHARS).map(str::to_owned);
                Ok(self.end(&signed_in, Some(wanted.collect()), ENDED))
            }
            (None, Some(_)) => {
                let page = self.resources.pages.sign_in(SignIn::SignedOut);
                Ok(self.sealer.clear_cookie(page, &self.sealer.cookie_name(COOKIE)))
            }
            (Some(_), Some(_)) | (None, None) => Err(SignIn::Again(Problem::Unreadable)),
        }
    }

    /// Asks GitHub for no scope: the login only has to identify the person.
    fn start_sign_in(&self, head: &Head) -> Result<Response, SignIn> {
        self.sign_ins
            .spend(head.peer, self.sealer.clock.monotonic())
            .map_err(|too_many| SignIn::Again(Problem::TooMany(too_many)))?;
        Ok(self.sealer.begin(head, |browser| {
            let login = GitHubLogin::to_account(browser, &*self.sealer.random);
            login.see_github(&self.sealer, &*self.provider, "", self.sealer.clock.now())
        }))
    }

    /// The session of a request. Of several cookies of that name the first that opens counts: only a page of this host, or on
    /// plain http a program of this computer, can have set another (H11).
    fn signed_in(&self, head: &Head) -> Option<SignedIn> {
        let (name, now) = (self.sealer.cookie_name(COOKIE), self.sealer.clock.now());
        browser::cookies(head).filter(|(other, _)| *other == name).find_map(|(_, value)| {
            let session = self.sealer.open_here::<AccountSession>(value, now)?;
            Some(SignedIn { session, cookie_hash: browser::hash(value) })
        })
    }

    /// The person's grants, the latest used first.
    fn list_grants(&self, signed_in: &SignedIn, notice: Option<&'static str>) -> Response {
        let SignedIn { session, cookie_hash } = signed_in;
        let mut grants = match self.grants.table.of_user(session.user) {
            Ok(grants) => grants,
            Err(error) => {
                error.log();
                // The action is done; only the list cannot be shown.
                let problem =
                    if notice.is_some() { Problem::EndedInMemory } else { Problem::TableUnreadable };
                return self.resources.pages.problem(problem);
            }
        };
        let now = self.sealer.clock.now();
        grants.retain(|grant| !grant.is_over(now) && !self.grants.is_ending(grant));
        grants.sort_by_key(|grant| Reverse((grant.last_used, grant.created, grant.id)));
        // It may expire after the session's cookie, without which it is of no use.
        let form = AccountForm { session: cookie_hash.clone() };
        let sealed = self.sealer.seal_here(form, now.plus(limits::ACCOUNT_LIFETIME));
        let AccountSession { user, login } = session;
        let rules = self.grants.rules();
        let mut memberships = Memberships::default();
        grants.iter().for_each(|grant| memberships.add(&grant.memberships));
        let who = Who { subject: Subject::User(*user), login, memberships: &memberships };
        // GitHub is not asked about groups: somebody whom one of them admits is recognised by having a grant.
        let is_let_in = rules.names(who) || rules.has_groups() && !grants.is_empty();
        let mut usable = self.resources.all();
        usable.retain(|resource| is_let_in && matches!(resource.access.rules().rule_for(who), Ok(Some(_))));
        self.resources.pages.list(&Listing {
            login,
            grants: &grants,
            resources: &self.resources,
            usable: &usable,
            sealed: &sealed,
            notice,
        })
    }

    /// Ends the person's grants with the handles `wanted`, or all of them. A handle without a grant is of one that has ended already.
    fn end(&self, signed_in: &SignedIn, wanted: Option<HashSet<String>>, notice: &'static str) -> Response {
        let picks = move |grants: &[Arc<Grant>]| -> Vec<Arc<Grant>> {
            let is_wanted = |id| wanted.as_ref().is_none_or(|wanted| wanted.contains(&handle(id)));
            grants.iter().filter(|grant| is_wanted(grant.id)).cloned().collect()
        };
        match self.grants.end_picked(Some(signed_in.session.user), "owner", Box::new(picks)) {
            Ok(()) => self.list_grants(signed_in, Some(notice)),
            Err(problem) => self.resources.pages.problem(problem),
        }
    }
}

#[cfg(test)]
mod tests;
