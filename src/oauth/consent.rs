//! Consent: the person says yes on our own page before GitHub is involved (GitHub skips its page for people who have
//! authorised the app before, so this is the only consent there is).
//!
//! Between the page and the answer nothing is stored: the request travels sealed inside the form, bound to a cookie that
//! only this browser has.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::authorize::{AuthorizationRequest, AuthorizeError, see_other};
use super::browser::BrowserBinding;
use super::callback::GitHubLogin;
use super::page::GitHubToken;
use super::problem::Problem;
use super::provider::LoginRequest;
use super::short_lived::ShortLived;
use super::{AuthorizationServer, Upstream};
use crate::base::clock::Timestamp;
use crate::base::encoding::{base64url, sha256};
use crate::base::secret::Secret;
use crate::base::{limits, trace};
use crate::http::{self, Response};

/// A checked request that waits for the person's answer, sealed into the consent form. Fresh for every page and bound to
/// the browser that got it, it is the form's CSRF token as well (C3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingAuthorization {
    #[serde(rename = "q")]
    request: AuthorizationRequest,
    #[serde(rename = "b")]
    browser: BrowserBinding,
}

impl ShortLived for PendingAuthorization {
    const PREFIX: &'static str = "mcp_pa_";
}

impl AuthorizationServer {
    /// Shows the consent page for a checked request.
    pub(super) fn ask_for_consent(&self, request: AuthorizationRequest, head: &http::Head) -> Response {
        let cookie = self.new_login_cookie();
        let server = self.settings.public_url.authority();
        let expires = self.clock.now().plus(limits::LOGIN_LIFETIME);
        let pending = PendingAuthorization { request: request.clone(), browser: cookie.binding.clone() };
        let sealed = self.seal_until(expires, pending);
        let page = self.pages().consent(&request, &sealed, server, self.github_token());
        self.start_login(page, &cookie, head)
    }

    fn github_token(&self) -> GitHubToken {
        match self.upstream {
            Upstream::Keep => GitHubToken::KeptForTools,
            Upstream::Discard if self.rules().policy.has_groups() => GitHubToken::KeptForPolicy,
            Upstream::Discard => GitHubToken::Discarded,
        }
    }

    /// `POST /consent`: the person's answer.
    pub fn consent(&self, request: &http::Request) -> Response {
        if let Some(wait) = self.wait_for_clock() {
            return wait;
        }
        if !self.is_own_form(&request.head) {
            return self.pages().problem(Problem::ForeignForm);
        }
        let Ok(form) = http::Form::parse(&request.body) else {
            return self.pages().problem(Problem::Unreadable);
        };
        if form.repeated(&[]).is_some() {
            return self.pages().problem(Problem::Unreadable);
        }
        // Taken once, before it is known whether the login is over: nothing made here outlives what is remembered of its end.
        let now = self.clock.now();
        let sealed = form.value("pending").unwrap_or_default();
        let Some(pending) = self.open_in_time::<PendingAuthorization>(sealed, now) else {
            return self.pages().problem(Problem::LoginExpired);
        };
        trace::names_client(&pending.request.client);
        if !self.is_same_browser(&request.head, &pending.browser) {
            return self.pages().problem(Problem::OtherBrowser);
        }
        let peer = request.head.peer;
        match form.value("decision") {
            Some("approve" | "deny") if self.spent_logins.has_ended(&pending.browser) => {
                self.pages().problem(Problem::AlreadyAnswered)
            }
            Some("approve") => self.send_to_github(pending, peer, now),
            Some("deny") => self.denied(&pending, peer),
            Some(_) | None => self.pages().problem(Problem::Unreadable),
        }
    }

    /// A denial spends what an approval spends: both are logged and remembered. Over the limit it is told to the client, no more.
    fn denied(&self, pending: &PendingAuthorization, peer: Option<IpAddr>) -> Response {
        let now = self.clock.monotonic();
        if self.rates.logins.spend(peer, now).is_ok() {
            if !self.spent_logins.end(&pending.browser, peer, now) {
                return self.pages().problem(Problem::AlreadyAnswered);
            }
            self.log_of_stranger("consent.denied", &pending.request.client);
        }
        self.deny(&pending.request, &pending.browser)
    }

    /// C10: a no is told to the client, and the login is over.
    pub(super) fn deny(&self, request: &AuthorizationRequest, browser: &BrowserBinding) -> Response {
        self.end_login(self.refuse(&request.into(), AuthorizeError::Denied), browser)
    }

    /// C4: the state for GitHub is made after the person's yes, never before.
    fn send_to_github(
        &self,
        pending: PendingAuthorization,
        peer: Option<IpAddr>,
        now: Timestamp,
    ) -> Response {
        if let Err(too_many) = self.rates.logins.spend(peer, self.clock.monotonic()) {
            let page = self.end_with(Problem::TooMany, &pending.request);
            return page.header("Retry-After", too_many.retry_after.to_string());
        }
        self.log_of_stranger("consent.given", &pending.request.client);
        let login = GitHubLogin::after_consent(pending, &*self.random);
        let verifier = login.verifier();
        let state = self.seal_until(now.plus(limits::LOGIN_LIFETIME), login);
        self.see_github(&state, &verifier, self.rules().policy.provider_scope())
    }

    /// Sends the browser to GitHub, with PKCE (G1).
    pub(super) fn see_github(&self, state: &str, verifier: &Secret<String>, scope: &str) -> Response {
        see_other(self.provider.authorize_url(&LoginRequest {
            state,
            code_challenge: &base64url(&sha256(verifier.expose().as_bytes())),
            redirect_uri: &self.settings.callback,
            scope,
        }))
    }
}

impl PendingAuthorization {
    /// What is left for the login once the person has agreed.
    pub(super) fn approved(self) -> (AuthorizationRequest, BrowserBinding) {
        (self.request, self.browser)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::fake::{self, Browser};

    #[test]
    fn approving_sends_the_browser_to_github_with_pkce() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let response = browser.approve();
        assert_eq!(response.status(), 303);
        let location = response.header_value("location").unwrap();
        assert!(location.starts_with("https://github.test/authorize?state=mcp_gl_"), "{location}");
        assert!(location.contains("&code_challenge="), "{location}");
        assert_eq!(fixture.grants.list().unwrap().len(), 0);
    }

    /// C10: a no goes back to the client.
    #[test]
    fn denying_tells_the_client() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let response = browser.post_consent("deny", &[]);
        let location = response.header_value("location").unwrap();
        assert!(location.starts_with("http://127.0.0.1:5000/cb?error=access_denied&"), "{location}");
        assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
    }

    /// C10, O7: an open web client is told by the person's own hand.
    #[test]
    fn denying_a_web_client_shows_the_way_back() {
        let fixture = fake::fixture();
        let id = fixture.client_id(crate::oauth::client::AuthMethod::None, &["https://a.example/cb"]);
        let mut browser = Browser::at(&fixture, id, "https://a.example/cb");
        let response = browser.post_consent("deny", &[]);
        assert_eq!(response.header_value("location"), None);
        let page = fake::text(&response);
        assert!(page.contains("href=\"https://a.example/cb?error=access_denied&amp;"), "{page}");
        assert!(page.contains("You did not let the program in."), "{page}");
        assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
    }

    /// One sender cannot use up the logins that GitHub allows the app.
    #[test]
    fn a_sender_is_sent_to_github_so_often_and_no_more() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        browser.peer = std::net::IpAddr::from([192, 0, 2, 1]);
        for _ in 0..limits::LOGINS.0 {
            assert_eq!(browser.approve().status(), 303);
        }
        let response = browser.approve();
        assert_eq!((response.status(), response.header_value("location")), (429, None));
        assert!(fake::text(&response).contains("cb?error=temporarily_unavailable&amp;"));
    }

    /// C10: a denial spends what an approval spends. Over the limit it is still told to the client, and leaves nothing behind.
    #[test]
    fn a_denial_spends_what_an_approval_spends() {
        let fixture = fake::fixture();
        let mut last = String::new();
        for _ in 0..limits::LOGINS.0 + 3 {
            let mut browser = from_outside(&fixture);
            assert_eq!(browser.post_consent("maybe", &[]).status(), 400);
            let response = browser.post_consent("deny", &[]);
            assert_eq!(response.status(), 303);
            assert!(response.header_value("location").unwrap().contains("error=access_denied"));
            assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
            last = browser.form;
        }
        let pending = fixture.server.open_in_time::<PendingAuthorization>(&last, fixture.server.clock.now());
        assert!(!fixture.server.spent_logins.has_ended(&pending.unwrap().browser));
        assert_eq!(from_outside(&fixture).approve().status(), 429);
    }

    /// C4: after a login has ended, no number of denials by its sender makes the server forget that.
    #[test]
    fn denials_do_not_open_a_login_again() {
        let fixture = fake::fixture();
        let mut browser = from_outside(&fixture);
        browser.approve();
        assert_eq!(browser.callback("code=good").status(), 303);
        fixture.clock.advance(std::time::Duration::from_secs(1));
        for _ in 0..limits::SPENT_LOGINS.0 {
            assert_eq!(from_outside(&fixture).post_consent("deny", &[]).status(), 303);
        }
        assert_eq!((browser.callback("code=good").status(), fixture.provider.redemptions()), (400, 1));
    }

    /// L2: many senders, each within its limits, do not choose how long the log is.
    #[test]
    fn the_log_is_told_of_few_of_many_answers() {
        let fixture = fake::fixture();
        let told = |event| fixture.server.strangers.pass(event, fixture.server.clock.monotonic());
        for number in 0..=250 {
            let mut browser = Browser::new(&fixture);
            browser.peer = std::net::IpAddr::from([198, 18, 0, number]);
            assert_eq!(browser.approve().status(), 303);
            assert_eq!(browser.post_consent("deny", &[]).status(), 303);
        }
        assert_eq!([told("consent.given"), told("consent.denied")], [None; 2]);
        fixture.clock.advance(std::time::Duration::from_secs(1));
        let omitted = Some(crate::base::throttle::Omitted(152));
        assert_eq!([told("consent.given"), told("consent.denied")], [omitted; 2]);
    }

    fn from_outside(fixture: &fake::Fixture) -> Browser<'_> {
        let mut browser = Browser::new(fixture);
        browser.peer = std::net::IpAddr::from([192, 0, 2, 1]);
        browser
    }

    /// C4, C10: a no in one tab and GitHub's answer in another, at the same time: one of them counts, and the client hears one.
    #[test]
    fn of_a_no_and_a_login_that_race_one_counts() {
        let fixture = fake::fixture();
        for number in 0..100 {
            let mut login = Browser::new(&fixture);
            login.peer = std::net::IpAddr::from([192, 0, 2, number]);
            login.approve();
            let mut other_tab = login.clone();
            let start = std::sync::Barrier::new(2);
            let (answer, no) = std::thread::scope(|scope| {
                let answer = scope.spawn(|| {
                    start.wait();
                    login.callback("code=good")
                });
                start.wait();
                let no = other_tab.post_consent("deny", &[]);
                (answer.join().unwrap(), no)
            });
            let statuses = [answer.status(), no.status()];
            assert!(statuses == [303, 400] || statuses == [400, 303], "{statuses:?}");
            let grants = fixture.grants.list().unwrap();
            assert_eq!(grants.len(), usize::from(answer.status() == 303));
            grants.iter().for_each(|grant| drop(fixture.grants.delete(grant.id)));
        }
    }

    /// Two servers with one key file: what one has begun is worth nothing at the other, but a registration is.
    #[test]
    fn a_login_goes_on_only_at_the_server_that_began_it() {
        let (here, there) = (fake::fixture(), fake::elsewhere());
        let mut browser = Browser::new(&here);
        browser.fixture = &there;
        assert_eq!(browser.approve().status(), 400);
        browser.fixture = &here;
        assert_eq!(browser.approve().status(), 303);
        browser.fixture = &there;
        assert_eq!((browser.callback("code=good").status(), there.provider.redemptions()), (400, 0));
        browser.fixture = &here;
        assert_eq!(browser.callback("code=good").status(), 303);
        browser.fixture = &there;
        assert_eq!(browser.log_in().status(), 303);
    }

    /// C10: a no is final.
    #[test]
    fn nobody_can_agree_after_a_no() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let kept = browser.cookies.clone();
        browser.post_consent("deny", &[]);
        browser.cookies = kept;
        assert_eq!(browser.approve().status(), 400);
    }

    /// C3: a form that another site sent is refused.
    #[test]
    fn a_foreign_form_is_refused() {
        let fixture = fake::fixture();
        let check = |name: &str, value: &str, status| {
            let response = Browser::new(&fixture).post_consent("approve", &[(name, value)]);
            assert_eq!(response.status(), status, "{name}: {value}");
        };
        check("Origin", "https://mcp.example.com", 303);
        check("Origin", "https://evil.example", 403);
        check("Origin", "null", 403);
        check("Sec-Fetch-Site", "same-origin", 303);
        check("Sec-Fetch-Site", "cross-site", 403);
        check("Sec-Fetch-Site", "same-site", 403);
        check("Sec-Fetch-Site", "none", 403);
    }

    /// C3: another browser, with the form but not the cookie, gets nowhere: the confused deputy's victim never approved.
    #[test]
    fn a_form_from_another_browser_is_refused() {
        let fixture = fake::fixture();
        let attacker = Browser::new(&fixture);
        let mut victim = Browser::new(&fixture);
        victim.form = attacker.form.clone();
        assert_eq!(victim.post_consent("approve", &[]).status(), 400);
        victim.cookies.clear();
        assert_eq!(victim.post_consent("approve", &[]).status(), 400);
    }

    #[test]
    fn a_form_is_good_for_ten_minutes() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        fixture.clock.advance(limits::LOGIN_LIFETIME);
        assert_eq!(browser.approve().status(), 400);
    }

    /// C5: eight logins at once, the ninth clears the oldest.
    #[test]
    fn the_oldest_login_makes_room() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        for _ in 1..limits::LOGINS_PER_BROWSER {
            assert_eq!(
                browser.open_consent_page().headers().filter(|(name, _)| *name == "Set-Cookie").count(),
                1
            );
        }
        let oldest = browser.cookies[0].split_once('=').unwrap().0.to_owned();
        let response = browser.open_consent_page();
        let cleared =
            response.headers().filter(|(name, value)| *name == "Set-Cookie" && value.contains("Max-Age=0"));
        assert_eq!(cleared.map(|(_, value)| value.split_once('=').unwrap().0).collect::<Vec<_>>(), [oldest]);
    }

    /// O17, C2: whoever has just logged in is asked again, whatever cookies they kept.
    #[test]
    fn every_login_asks_again() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        assert_eq!(browser.log_in().status(), 303);
        let response = browser.open_consent_page();
        assert_eq!((response.status(), response.header_value("location")), (200, None));
    }

    /// C3: form type, damaged and repeated parameters, an answer that is none.
    #[test]
    fn only_a_whole_form_is_an_answer() {
        use crate::http::fake::request;
        let fixture = fake::fixture();
        let browser = Browser::new(&fixture);
        let check = |kind: &str, body: String, status| {
            let cookies = browser.cookies.join("; ");
            let request = request("POST", "/consent").with("Content-Type", kind).with("Cookie", &cookies);
            assert_eq!(fixture.server.consent(&request.body(body.clone())).status(), status, "{kind} {body}");
        };
        let (form, sealed) = ("application/x-www-form-urlencoded", &browser.form);
        check("text/plain", format!("pending={sealed}&decision=approve"), 403);
        check("application/json", format!("pending={sealed}&decision=approve"), 403);
        check(form, format!("pending={sealed}&decision=approve&decision=deny"), 400);
        check(form, format!("pending={sealed}&decision=%zz"), 400);
        check(form, format!("pending={sealed}"), 400);
        check(form, "decision=approve".to_owned(), 400);
        check(form, format!("pending={sealed}&decision=approve"), 303);
    }

    /// C5: the cookie's attributes.
    #[test]
    fn the_cookie_is_bound_to_this_host() {
        let fixture = fake::fixture();
        let response = Browser::new(&fixture).open_consent_page();
        let cookie = response.header_value("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-mcp_login_"), "{cookie}");
        assert!(cookie.ends_with("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    }
}
