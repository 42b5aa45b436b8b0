//! The way back from GitHub: who is it, may they come in, and if so a grant and its code.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::account::AccountLogin;
use super::authorize::{AuthorizationRequest, AuthorizeError, see_other};
use super::browser::BrowserBinding;
use super::consent::PendingAuthorization;
use super::github_answer::GitHubAnswer;
use super::issued::AuthorizationCode;
use super::obstacle;
use super::problem::Problem;
use super::provider::{Identity, Obstacle, ProviderError, ProviderToken, Redemption};
use super::rules::Rules;
use super::short_lived::ShortLived;
use crate::base::encoding::base64url;
use crate::base::identity::{GrantId, UserId};
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::{limits, log, trace};
use crate::http::{self, Form, Response};
use crate::seal;
use crate::store::{self, Grant, GrantClient, Stage};

/// An approved request that waits for GitHub's answer, sealed into the `state` that GitHub returns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GitHubLogin {
    #[serde(rename = "q")]
    request: AuthorizationRequest,
    #[serde(rename = "b")]
    browser: BrowserBinding,
    /// The PKCE verifier towards GitHub (G1) is the base64url of these bytes.
    #[serde(rename = "v", with = "seal::secret_bytes")]
    verifier: Secret<[u8; 32]>,
}

impl ShortLived for GitHubLogin {
    const PREFIX: &'static str = "mcp_gl_";
}

impl GitHubLogin {
    /// The only way to get one: the person has agreed.
    pub(super) fn after_consent(pending: PendingAuthorization, random: &dyn Random) -> GitHubLogin {
        let (request, browser) = pending.approved();
        GitHubLogin { request, browser, verifier: Secret::new(random.bytes()) }
    }

    pub(super) fn request(&self) -> &AuthorizationRequest {
        &self.request
    }

    pub(super) fn verifier(&self) -> Secret<String> {
        Secret::new(base64url(self.verifier.expose()))
    }
}

/// What became of a login that GitHub was asked about.
enum LoginError {
    Provider(ProviderError),
    NotAllowed(Identity, Option<Obstacle>),
    Store(store::Error),
}

impl AuthorizationServer {
    /// `GET /auth/callback`
    pub fn callback(&self, head: &http::Head) -> Response {
        if let Some(wait) = self.wait_for_clock() {
            return wait;
        }
        let Ok(query) = Form::parse(head.query.as_deref().unwrap_or_default().as_bytes()) else {
            return self.pages().problem(Problem::Unreadable);
        };
        if query.repeated(&[]).is_some() {
            return self.pages().problem(Problem::Unreadable);
        }
        // G2: GitHub names itself since 2026; older GitHub Enterprise Servers do not.
        if query.value("iss").is_some_and(|issuer| issuer != self.provider.issuer()) {
            return self.pages().problem(Problem::WrongIssuer);
        }
        // Two kinds of login end here; the sealed state is of one type or the other.
        let state = query.value("state").unwrap_or_default();
        if state.starts_with(AccountLogin::PREFIX) {
            return self.finish_sign_in(head, &query);
        }
        // C4: the state and the cookie of the same login, or GitHub is not asked anything.
        let Some(login) = self.open_in_time::<GitHubLogin>(state, self.clock.now()) else {
            return self.pages().problem(Problem::LoginExpired);
        };
        trace::names_client(&login.request.client);
        if !self.is_same_browser(head, &login.browser) {
            return self.pages().problem(Problem::OtherBrowser);
        }
        // A login is spent only once it has its place: who finds none reloads the page.
        let (answer, from) = (GitHubAnswer::read(&query), (head.peer, self.clock.monotonic()));
        let _place = match self.logins.place(&answer, from) {
            Ok(place) => place,
            Err(not_now) => return not_now.page(self.pages()),
        };
        // C4: one answer a login. Without this, one consent would buy any number of calls to GitHub, and as many grants.
        // Nor is one that was answered no after all, in another tab (C10).
        if !self.spent_logins.end(&login.browser, from.0, from.1) {
            return self.pages().problem(Problem::AlreadyAnswered);
        }
        let response = match answer {
            GitHubAnswer::Cancelled => return self.deny(&login.request, &login.browser),
            GitHubAnswer::Code(code) => self.finish(&login, code, from),
            GitHubAnswer::Failed(error) => {
                self.logins.failed(error, from);
                self.end_with(error.into(), &login.request)
            }
        };
        self.end_login(response, &login.browser)
    }

    fn finish(&self, login: &GitHubLogin, code: &str, from: (Option<IpAddr>, Duration)) -> Response {
        self.logins.count(from.1);
        match self.log_in(login, code) {
            Ok((user, code)) => {
                self.logins.charge(Some(user), from);
                let request = &login.request;
                let parameters = [("code", Some(code.as_str())), ("state", request.state.as_deref())];
                see_other(self.answer_location(&request.redirect_uri, &parameters))
            }
            Err(LoginError::NotAllowed(identity, obstacle)) => {
                self.logins.charge(None, from);
                let hint = obstacle.map_or("MCP_ALLOW says who is let in", obstacle::hint);
                let fields = [
                    log::Field::User(&identity.user.to_string()),
                    log::Field::Login(&identity.login),
                    log::Field::Client(login.request().client.as_str()),
                    log::Field::Reason(obstacle.map_or("no_rule", Obstacle::word)),
                    log::Field::Hint(hint),
                ];
                log::warn("login.not_allowed", &fields);
                let way_back = self.way_back(&login.request, AuthorizeError::NotAllowed);
                self.pages().not_allowed(&identity.login, obstacle, &way_back)
            }
            Err(LoginError::Provider(error)) => {
                self.logins.failed(error, from);
                self.end_with(error.into(), &login.request)
            }
            Err(LoginError::Store(error)) => {
                log::error("login.not_stored", &[log::Field::Error(&error.to_string())]);
                self.end_with(Problem::Storage, &login.request)
            }
        }
    }

    /// From GitHub's code to ours. The grant is durable before its code leaves this function.
    fn log_in(&self, login: &GitHubLogin, code: &str) -> Result<(UserId, String), LoginError> {
        let redemption =
            Redemption { code, code_verifier: &login.verifier(), redirect_uri: &self.settings.callback };
        let token = self.provider.redeem(&redemption).map_err(LoginError::Provider)?;
        let access = token.access.clone();
        // The same rules decide who comes in and whether the token is kept.
        let rules = self.rules();
        let admitted = self.admit(login, token, &rules);
        // G6: a token that nobody will ask for is given back. Whoever does not answer takes nothing back either.
        let unreachable = matches!(admitted, Err(LoginError::Provider(ProviderError::Unreachable)));
        if !unreachable && (admitted.is_err() || !self.needs_upstream(&rules)) {
            self.provider.discard(&access);
        }
        admitted
    }

    /// Whose token it is, whether they may come in, and if so their grant and its code.
    fn admit(
        &self,
        login: &GitHubLogin,
        token: ProviderToken,
        rules: &Rules,
    ) -> Result<(UserId, String), LoginError> {
        // G4: who this is, is what GitHub says of this very token.
        let identity = self.provider.identify(&token.access).map_err(LoginError::Provider)?;
        match rules.policy.admits(&identity, &token.access, &*self.provider) {
            Ok(true) => {}
            Ok(false) => return Err(LoginError::NotAllowed(identity, None)),
            Err(ProviderError::Blocked(obstacle)) => {
                return Err(LoginError::NotAllowed(identity, Some(obstacle)));
            }
            Err(error) => return Err(LoginError::Provider(error)),
        }
        let secret = Secret::new(self.random.bytes());
        let kept = self.needs_upstream(rules).then_some(token);
        let grant = self.new_grant(login, &identity, &secret, kept);
        self.make_room(identity.user).map_err(LoginError::Store)?;
        self.grants.insert(&grant).map_err(LoginError::Store)?;
        let fields = [
            log::Field::User(&identity.user.to_string()),
            log::Field::Login(&identity.login),
            log::Field::Client(login.request.client.as_str()),
            log::Field::Grant(&grant.id.to_string()),
        ];
        log::info("login.admitted", &fields);
        let code = AuthorizationCode::new(&grant, &login.request, secret);
        Ok((identity.user, seal::seal(&self.keys, &code, &*self.random)))
    }

    fn new_grant(
        &self,
        login: &GitHubLogin,
        identity: &Identity,
        secret: &Secret<[u8; 32]>,
        kept: Option<ProviderToken>,
    ) -> Grant {
        let (request, now) = (&login.request, self.clock.now());
        let id = GrantId(self.random.bytes());
        Grant {
            id,
            revision: 0,
            user: identity.user,
            login: identity.login.clone(),
            client: GrantClient {
                fingerprint: request.client.clone(),
                name: request.client_name.clone().unwrap_or_default(),
                host: request.origin.host().map(str::to_owned),
                redirect: request.redirect_uri.place(),
            },
            scopes: request.scopes.clone(),
            resource: request.resource.clone(),
            created: now,
            last_used: now,
            admitted: now,
            expires: now.plus(limits::CODE_LIFETIME),
            stage: Stage::CodeIssued,
            upstream: kept.map(|token| self.upstreams.seal(id, secret, token)),
        }
    }

    /// S5: a person has a bounded number of grants; the least recently used one makes room.
    fn make_room(&self, user: UserId) -> Result<(), store::Error> {
        let mut theirs = self.grants.of_user(user)?;
        theirs.sort_by_key(|grant| grant.last_used);
        let surplus = theirs.len().saturating_add(1).saturating_sub(limits::GRANTS_PER_USER);
        for grant in theirs.iter().take(surplus) {
            self.end_grant(grant.id, "too_many")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod way_back_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::fake::{self, Browser, text};

    /// O10, O11, B3: code, state and our `iss`, once, with a redirect that nobody keeps and that has no body.
    #[test]
    fn a_login_ends_at_the_client_with_code_state_and_issuer() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let response = browser.log_in();
        assert_eq!(response.status(), 303);
        let location = response.header_value("location").unwrap();
        assert!(location.starts_with("http://127.0.0.1:5000/cb?code=mcp_ac_"), "{location}");
        assert!(location.ends_with("&state=xyz&iss=https%3A%2F%2Fmcp.example.com"), "{location}");
        assert_eq!(location.matches("iss=").count(), 1);
        assert_eq!(response.header_value("cache-control"), Some("no-store"));
        assert_eq!(response.header_value("referrer-policy"), Some("no-referrer"));
        assert_eq!(text(&response), "");
        assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
        let grants = fixture.grants.list().unwrap();
        assert_eq!(
            (grants.len(), grants[0].user, &grants[0].stage),
            (1, UserId(583_231), &Stage::CodeIssued)
        );
    }

    /// O9: whatever the client's state is, it comes back byte for byte.
    #[test]
    fn state_is_returned_byte_for_byte() {
        let fixture = fake::fixture();
        let state = "vscode://x?a=1&b=%20 ü+/=";
        let mut browser = Browser::with_state(&fixture, state);
        let location = browser.log_in().header_value("location").unwrap().to_owned();
        let query = Form::parse(location.split_once('?').unwrap().1.as_bytes()).unwrap();
        assert_eq!(query.value("state"), Some(state));
        let mut browser = Browser::with_state(&fixture, "");
        assert!(!browser.log_in().header_value("location").unwrap().contains("state="));
    }

    /// C4: the browser's back button: GitHub's code is good once, so the same callback gives no second code.
    #[test]
    fn a_repeated_callback_gives_nothing() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        browser.log_in();
        fixture.provider.fail_with(ProviderError::Refused);
        let response = browser.callback("code=good");
        assert_eq!((response.status(), response.header_value("location")), (400, None));
        assert_eq!(fixture.grants.list().unwrap().len(), 1);
    }

    /// C4: without the cookie of this login GitHub is not even asked.
    #[test]
    fn a_callback_in_another_browser_is_refused() {
        let fixture = fake::fixture();
        let mut attacker = Browser::new(&fixture);
        attacker.approve();
        let mut victim = Browser::new(&fixture);
        victim.github_state = attacker.github_state.clone();
        assert_eq!(victim.callback("code=good").status(), 400);
        victim.cookies.clear();
        assert_eq!(victim.callback("code=good").status(), 400);
        assert_eq!((fixture.provider.redemptions(), fixture.grants.list().unwrap().len()), (0, 0));
    }

    /// C4: one consent is one call to GitHub and one grant, whatever comes back however often.
    #[test]
    fn a_callback_counts_once() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let form = (browser.form.clone(), browser.cookies.clone());
        browser.approve();
        assert_eq!(browser.callback("code=bad").status(), 400);
        for _ in 0..3 {
            assert_eq!(browser.callback("code=good").status(), 400);
        }
        assert_eq!((fixture.provider.redemptions(), fixture.grants.list().unwrap().len()), (1, 0));
        (browser.form, browser.cookies) = form;
        assert_eq!(browser.approve().status(), 400);
    }

    /// G1: each login has a verifier of its own, which GitHub gets with the code.
    #[test]
    fn github_gets_the_verifier_of_its_challenge() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let location = browser.approve().header_value("location").unwrap().to_owned();
        let challenge = Form::parse(location.split_once('?').unwrap().1.as_bytes()).unwrap();
        browser.callback("code=good");
        let verifier = fixture.provider.last_verifier();
        let expected = base64url(&crate::base::encoding::sha256(verifier.as_bytes()));
        assert_eq!(challenge.value("code_challenge"), Some(expected.as_str()));
    }

    /// G2: an issuer that is not GitHub's is a mix-up.
    #[test]
    fn a_foreign_issuer_is_refused() {
        let fixture = fake::fixture();
        let check = |extra: &str, status| {
            let mut browser = Browser::new(&fixture);
            browser.approve();
            assert_eq!(browser.callback(&format!("code=good{extra}")).status(), status, "{extra}");
        };
        check("&iss=https%3A%2F%2Fgithub.test%2Flogin%2Foauth", 303);
        check("&iss=https%3A%2F%2Fevil.test", 400);
        check("&iss=a&iss=b", 400);
    }

    /// G5, G3: who is not let in, and what GitHub cannot answer, leaves nothing behind.
    #[test]
    fn a_failed_login_stores_nothing_and_says_why() {
        let check = |prepare: &dyn Fn(&fake::Fixture), query: &str, status, words: &str| {
            let fixture = fake::fixture();
            prepare(&fixture);
            let mut browser = Browser::new(&fixture);
            browser.approve();
            let response = browser.callback(query);
            assert_eq!(response.status(), status, "{words}");
            assert!(text(&response).contains(words), "{}", text(&response));
            assert_eq!(fixture.grants.list().unwrap().len(), 0);
        };
        check(&|f| f.provider.identity(7, "stranger"), "code=good", 403, "stranger");
        check(
            &|f| f.provider.fail_with(ProviderError::Unreachable),
            "code=good",
            502,
            "GitHub does not answer",
        );
        check(
            &|f| f.provider.fail_with(ProviderError::Misconfigured),
            "code=good",
            502,
            "does not accept this server",
        );
        check(&|_| (), "code=bad", 400, "did not confirm");
        check(&|_| (), "error=server_error", 400, "did not confirm");
        check(&|_| (), "", 400, "did not confirm");
    }

    /// C10: GitHub's own cancel button.
    #[test]
    fn cancelling_at_github_tells_the_client() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        browser.approve();
        let response = browser.callback("error=access_denied");
        assert!(response.header_value("location").unwrap().contains("error=access_denied"));
    }

    /// G6: GitHub's token is given back when nobody needs it: no tool, no rule about groups.
    #[test]
    fn a_token_that_nobody_needs_is_given_back() {
        let mut fixture = fake::fixture();
        Browser::new(&fixture).log_in();
        assert_eq!(
            (fixture.provider.discarded(), fixture.grants.list().unwrap()[0].upstream.is_some()),
            (0, true)
        );
        fixture.server.upstream = crate::oauth::Upstream::Discard;
        fixture.clock.advance(limits::CODE_LIFETIME);
        fixture.server.sweep();
        Browser::new(&fixture).log_in();
        assert_eq!(
            (fixture.provider.discarded(), fixture.grants.list().unwrap()[0].upstream.is_some()),
            (1, false)
        );
        fixture.provider.identity(7, "stranger");
        Browser::new(&fixture).log_in();
        assert_eq!(fixture.provider.discarded(), 2);
    }

    /// S5: one person cannot fill the table.
    #[test]
    fn the_least_recently_used_grant_makes_room() {
        let fixture = fake::fixture();
        for number in (1..).take(limits::GRANTS_PER_USER + 3) {
            fixture.clock.advance(std::time::Duration::from_secs(1));
            let mut browser = Browser::new(&fixture);
            browser.peer = std::net::IpAddr::from([192, 0, 2, number]);
            browser.log_in();
        }
        assert_eq!(fixture.grants.list().unwrap().len(), limits::GRANTS_PER_USER);
    }
}
