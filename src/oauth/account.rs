//! The account page: a person signs in through the same GitHub login, sees which programs may act in their name, and ends
//! that (C11).
//!
//! ```text
//! GET  /account, no cookie      a button
//! POST /account, sign_in        AccountLogin    sealed into GitHub's state, bound to a cookie of this browser
//! GET  /auth/callback           AccountSession  sealed into a cookie that is good for this page alone
//! GET  /account                 AccountForm     sealed into the list's form: its CSRF token
//! POST /account, revoke         the grant is deleted, and everything issued under it is dead
//! ```
//!
//! Nothing is stored. The policy is not asked: whoever is not let in any more can still end what they once allowed. No
//! other endpoint looks at the cookie, so it never spares anybody consent or GitHub (O17).

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::account_page::{HANDLES_END, Notice, SignIn};
use super::authorize::see_other;
use super::browser::{self, BrowserBinding};
use super::github_answer::GitHubAnswer;
use super::login_quota::NotNow;
use super::problem::Problem;
use super::provider::{Identity, ProviderError, Redemption};
use super::short_lived::ShortLived;
use crate::base::encoding::base64url;
use crate::base::identity::{GrantId, UserId};
use crate::base::secret::Secret;
use crate::base::{limits, log};
use crate::http::{self, Form, Method, Response};
use crate::seal;
use crate::store::{self, Grant};

/// The length of a [`handle`]: the base64url of 32 bytes.
const HANDLE_CHARS: usize = 43;
/// The cookie's name, before [`AuthorizationServer::cookie_name`].
const COOKIE: &str = "mcp_account";

/// A sign-in that waits for GitHub's answer, sealed into the `state` that GitHub returns. The prefix tells it from the
/// login of a client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountLogin {
    #[serde(rename = "b")]
    browser: BrowserBinding,
    /// The PKCE verifier towards GitHub (G1) is the base64url of these bytes.
    #[serde(rename = "v", with = "seal::secret_bytes")]
    verifier: Secret<[u8; 32]>,
}

impl ShortLived for AccountLogin {
    const PREFIX: &'static str = "mcp_al_";
}

impl AccountLogin {
    fn verifier(&self) -> Secret<String> {
        Secret::new(base64url(self.verifier.expose()))
    }
}

/// Who signed in, sealed into the account cookie.
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

/// The CSRF token of one rendering of the list: only who has seen the page of this very session has one.
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

/// What the page's form asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action<'a> {
    /// By their [`handle`]s.
    Revoke(&'a str),
    RevokeAll,
    SignOut,
}

impl Action<'_> {
    fn read(form: &Form) -> Option<Action<'_>> {
        match (form.value("revoke"), form.value("sign_out")) {
            (Some("all"), None) => Some(Action::RevokeAll),
            (Some(handles), None) => Some(Action::Revoke(handles)),
            (None, Some(_)) => Some(Action::SignOut),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

impl AuthorizationServer {
    /// `GET /account` and `POST /account`
    pub fn account(&self, request: &http::Request) -> Response {
        if request.head.method == Method::Post {
            return self.change_account(request).unwrap_or_else(|why| self.pages().sign_in(why));
        }
        match self.signed_in(&request.head) {
            Some(signed_in) => self.list_grants(&signed_in, None),
            None => self.pages().sign_in(SignIn::First),
        }
    }

    /// `GET /auth/callback` with the `state` of a sign-in to the account page.
    pub(super) fn finish_sign_in(&self, head: &http::Head, query: &Form) -> Response {
        let state = query.value("state").unwrap_or_default();
        let Some(login) = self.open_in_time::<AccountLogin>(state, self.clock.now()) else {
            return self.pages().sign_in(SignIn::Again(Problem::LoginExpired));
        };
        // C4: the state and the cookie of the same login, or GitHub is not asked anything.
        if !self.is_same_browser(head, &login.browser) {
            return self.pages().sign_in(SignIn::Again(Problem::OtherBrowser));
        }
        let answer = GitHubAnswer::read(query);
        let from = (head.peer, self.clock.monotonic());
        let _place = match self.logins.place(&answer, from) {
            Ok(place) => place,
            Err(NotNow::TooMany(too_many)) => return self.pages().sign_in(SignIn::TooMany(too_many)),
            Err(NotNow::Busy) => return self.pages().sign_in(SignIn::Again(Problem::Busy)),
        };
        if !self.spent_logins.end(&login.browser, head.peer, from.1) {
            return self.pages().sign_in(SignIn::Again(Problem::AlreadyAnswered));
        }
        let identity = match answer {
            GitHubAnswer::Code(code) => {
                self.logins.count(from.1);
                self.identify(code, &login.verifier())
            }
            GitHubAnswer::Cancelled => return self.end_login(see_other(self.account_url()), &login.browser),
            GitHubAnswer::Failed(error) => Err(error),
        };
        let response = match identity {
            Ok(identity) => {
                // Anybody with an account at GitHub gets here. Who has nothing to see is charged like who is not let in.
                let has_grants = self.grants.of_user(identity.user).is_ok_and(|grants| !grants.is_empty());
                self.logins.charge(has_grants.then_some(identity.user), from);
                self.sign_in(identity)
            }
            Err(error) => {
                self.logins.failed(error, from);
                self.pages().sign_in(SignIn::Again(error.into()))
            }
        };
        self.end_login(response, &login.browser)
    }

    /// G4: who this is, is what GitHub says of the token that this very code gave.
    fn identify(&self, code: &str, code_verifier: &Secret<String>) -> Result<Identity, ProviderError> {
        let redemption = Redemption { code, code_verifier, redirect_uri: &self.settings.callback };
        let token = self.provider.redeem(&redemption)?.access;
        let identity = self.provider.identify(&token);
        // G6: it has said who this is, which is all it was for.
        self.provider.discard(&token);
        identity
    }

    /// The cookie is Lax: a browser does not send a Strict one along when GitHub's redirects end here, so the person would
    /// look signed out. Lax keeps it from every request of another site but a link to the page, which shows that site
    /// nothing and changes nothing.
    fn sign_in(&self, identity: Identity) -> Response {
        let Identity { user, login } = identity;
        log::info("account.signed_in", &[log::Field::User(&user.to_string()), log::Field::Login(&login)]);
        let expires = self.clock.now().plus(limits::ACCOUNT_LIFETIME);
        let sealed = self.seal_until(expires, AccountSession { user, login });
        let cookie = self.cookie_name(COOKIE);
        self.set_cookie(see_other(self.account_url()), (&cookie, &sealed), limits::ACCOUNT_LIFETIME)
    }

    /// Whose session it is. Of several cookies of that name the first that opens counts: only a page of this host, or on
    /// plain http a program of this computer, can have set another (H11).
    fn signed_in(&self, head: &http::Head) -> Option<SignedIn> {
        let (name, now) = (self.cookie_name(COOKIE), self.clock.now());
        browser::cookies(head).filter(|(other, _)| *other == name).find_map(|(_, value)| {
            let session = self.open_in_time::<AccountSession>(value, now)?;
            Some(SignedIn { session, cookie_hash: browser::hash(value) })
        })
    }

    /// The person's grants, the latest used first.
    fn list_grants(&self, signed_in: &SignedIn, notice: Option<Notice>) -> Response {
        let SignedIn { session, cookie_hash } = signed_in;
        let mut grants = match self.grants.of_user(session.user) {
            Ok(grants) => grants,
            Err(error) => {
                failed(&error);
                // What was asked for is done: only the list cannot be shown.
                return self.pages().problem(if notice.is_some() {
                    Problem::EndedInMemory
                } else {
                    Problem::Table
                });
            }
        };
        let now = self.clock.now();
        grants.retain(|grant| !grant.is_over(now) && !self.endings.include(grant));
        grants.sort_by_key(|grant| Reverse((grant.last_used, grant.created, grant.id)));
        // It is worth something together with the session's cookie alone, so it may expire after it.
        let sealed =
            self.seal_until(now.plus(limits::ACCOUNT_LIFETIME), AccountForm { session: cookie_hash.clone() });
        self.pages().list(&session.login, &grants, &sealed, notice)
    }

    /// What a button of the page asks for; `Err` with what the sign-in page has to say.
    fn change_account(&self, request: &http::Request) -> Result<Response, SignIn> {
        let head = &request.head;
        if !self.is_own_form(head) {
            return Err(SignIn::Again(Problem::ForeignForm));
        }
        let form = Form::parse(&request.body).map_err(|_| SignIn::Again(Problem::Unreadable))?;
        if form.repeated(&[]).is_some() {
            return Err(SignIn::Again(Problem::Unreadable));
        }
        if form.contains("sign_in") {
            return self.start_sign_in(head);
        }
        let signed_in = self.signed_in(head).ok_or(SignIn::Expired)?;
        let sealed = form.value("form").unwrap_or_default();
        let csrf = self.open_in_time::<AccountForm>(sealed, self.clock.now());
        if !csrf.is_some_and(|csrf| Secret::new(csrf.session).matches(signed_in.cookie_hash.as_bytes())) {
            return Err(SignIn::Again(Problem::ForeignForm));
        }
        let action = Action::read(&form).ok_or(SignIn::Again(Problem::Unreadable))?;
        let user = signed_in.session.user;
        let (wanted, notice) = match action {
            Action::Revoke(handles) => {
                // Bounded, and one hash a grant: the field is as long as its sender likes.
                let handles = handles.split(HANDLES_END).take(limits::GRANTS_PER_USER);
                let wanted = handles.filter(|one| one.len() == HANDLE_CHARS).map(str::to_owned);
                (Some(wanted.collect::<HashSet<_>>()), Notice::Ended)
            }
            Action::RevokeAll => (None, Notice::AllEnded),
            Action::SignOut => {
                let page = self.pages().sign_in(SignIn::SignedOut);
                return Ok(self.clear_cookie(page, &self.cookie_name(COOKIE)));
            }
        };
        Ok(match self.end_own(user, wanted) {
            Ok(()) => self.list_grants(&signed_in, Some(notice)),
            Err(problem) => self.pages().problem(problem),
        })
    }

    /// GitHub is asked for nothing but who this is.
    fn start_sign_in(&self, head: &http::Head) -> Result<Response, SignIn> {
        self.rates.sign_ins.spend(head.peer, self.clock.monotonic()).map_err(SignIn::TooMany)?;
        let cookie = self.new_login_cookie();
        let verifier = Secret::new(self.random.bytes());
        let expires = self.clock.now().plus(limits::LOGIN_LIFETIME);
        let login = AccountLogin { browser: cookie.binding.clone(), verifier };
        let verifier = login.verifier();
        let state = self.seal_until(expires, login);
        Ok(self.start_login(self.see_github(&state, &verifier, ""), &cookie, head))
    }

    /// Ends the person's grants with the handles `wanted`, or all of theirs. One that is not there has ended already.
    fn end_own(&self, user: UserId, wanted: Option<HashSet<String>>) -> Result<(), Problem> {
        let picks = move |grants: &[Arc<Grant>]| -> Vec<GrantId> {
            let is_wanted = |id| wanted.as_ref().is_none_or(|wanted| wanted.contains(&handle(id)));
            grants.iter().map(|grant| grant.id).filter(|id| is_wanted(*id)).collect()
        };
        let theirs = match self.grants.of_user(user) {
            Ok(theirs) => theirs,
            Err(error) => {
                failed(&error);
                let waits = self.end_later(Some(user), "owner", Box::new(picks));
                return Err(if waits { Problem::EndedInMemory } else { Problem::Table });
            }
        };
        let mut outcome = Ok(());
        for id in picks(&theirs) {
            // Each is tried, whatever became of the one before it.
            if let Err(error) = self.end_grant(id, "owner") {
                failed(&error);
                outcome = Err(Problem::EndedInMemory);
            }
        }
        outcome
    }

    fn account_url(&self) -> String {
        self.settings.public_url.join("/account")
    }
}

/// What the page calls a grant. Not its id: with that and a stolen key file, tokens could be forged, and a session for this
/// page as well, so the page must not be where a thief of the key learns ids.
pub(super) fn handle(id: GrantId) -> String {
    browser::hash(&id.to_string())
}

fn failed(error: &store::Error) {
    log::error("store.failed", &[log::Field::Error(&error.to_string())]);
}

#[cfg(test)]
mod tests;
