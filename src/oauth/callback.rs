//! The callback of logins at GitHub: identifies the person, asks the policy, and creates a grant and its code, or signs the person
//! in to their account page.

use std::net::IpAddr;
use std::sync::Arc;

use super::account;
use super::account_page::SignIn;
use super::authorization::{AuthorizationRequest, AuthorizeError};
use super::browser::{BrowserBinding, read_query};
use super::issued::AuthorizationCode;
use super::live_grants::LiveGrants;
use super::login::{GitHubLogin, Purpose, is_marked_account};
use super::login_quota::LoginQuota;
use super::policy::{Rules, memberships};
use super::problem::Problem;
use super::provider::{IdentityProvider, Obstacle, ProviderError, ProviderToken, Redemption};
use super::resource::{ProtectedResource, Resources, see_other};
use super::sealer::Sealer;
use super::spent_logins::SpentLogins;
use super::upstream::{KeptToken, Upstreams};
use crate::audit;
use crate::base::{GrantId, Identity, Memberships, Secret, Subject, UserId, is_plain, limits, log, trace};
use crate::http::{Form, Head, Response};
use crate::store::{self, Grant, GrantClient, Stage};

/// `/auth/callback`
pub struct CallbackEndpoint {
    pub(super) resources: Arc<Resources>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) spent: Arc<SpentLogins>,
    pub(super) provider: Arc<dyn IdentityProvider>,
    pub(super) grants: Arc<LiveGrants>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) quota: LoginQuota,
}

/// A client's request and the server that it is for; `None` for the account page.
type Goal<'a> = Option<(&'a AuthorizationRequest, &'a ProtectedResource)>;

/// Why a login that GitHub has answered fails.
enum LoginError {
    /// The person cancelled at GitHub.
    Cancelled,
    /// The policy does not admit this person, or the rules of the server do not: see the hint; with the obstacle if GitHub has
    /// named one.
    NotAllowed(Identity, Option<Obstacle>, &'static str),
    Other(Problem),
}

impl From<ProviderError> for LoginError {
    fn from(error: ProviderError) -> LoginError {
        LoginError::Other(Problem::GitHub(error))
    }
}

impl From<store::Error> for LoginError {
    fn from(error: store::Error) -> LoginError {
        log::error("login.not_stored", &[log::Field::Error(&error.to_string())]);
        LoginError::Other(Problem::LoginNotStored)
    }
}

impl CallbackEndpoint {
    /// The end of a login of either purpose.
    pub fn get(&self, head: &Head) -> Response {
        let query = match self.read(head) {
            Ok(query) => query,
            Err(problem) => return self.resources.pages.problem(problem),
        };
        let state = query.value("state").unwrap_or_default();
        let login = GitHubLogin::open(&self.sealer, state, self.sealer.clock.now());
        let is_account = match &login {
            Some(login) => matches!(login.purpose, Purpose::Account),
            // Anybody can write the mark, but this login fails in any case: it chooses the page only.
            None => is_marked_account(state),
        };
        let outcome = login.ok_or(Problem::LoginExpired).and_then(|login| self.finish(head, &query, &login));
        outcome.unwrap_or_else(|problem| {
            let pages = &self.resources.pages;
            if is_account { pages.sign_in(SignIn::Again(problem)) } else { pages.problem(problem) }
        })
    }

    fn read(&self, head: &Head) -> Result<Form, Problem> {
        self.sealer.check_clock()?;
        let query = read_query(head, &[])?;
        // G2: GitHub names itself since 2026; older GitHub Enterprise Servers do not.
        if query.value("iss").is_some_and(|issuer| issuer != self.provider.issuer()) {
            return Err(Problem::WrongIssuer);
        }
        Ok(query)
    }

    /// Ends the login. A login that was open stays so after a problem.
    fn finish(&self, head: &Head, query: &Form, login: &GitHubLogin) -> Result<Response, Problem> {
        let resource;
        let goal: Goal<'_> = match &login.purpose {
            Purpose::Authorize(request) => {
                trace::names_client(&request.client);
                // The operator may have taken the server away meanwhile.
                resource = self.resources.find(&request.resource).ok_or(Problem::LoginExpired)?;
                trace::is_for(resource.name());
                Some((&**request, &resource))
            }
            Purpose::Account => None,
        };
        // C4: the state and the cookie of the same login, or GitHub is not asked anything.
        self.sealer.check_browser(head, &login.browser)?;
        let (code, peer) = (code_of(query), head.peer);
        // An ended login must not wait for a place: it could be sent any number of times at no cost, and hold up others. Which of
        // several concurrent callbacks ends a login is decided below.
        if self.spent.has_ended(login.browser.hash()) {
            return Err(Problem::AlreadyAnswered);
        }
        // A login is spent only once it has its place: a person who finds none reloads the page. The place is kept until this
        // function returns. An error from GitHub needs none, because GitHub is not asked about it.
        let now = self.sealer.clock.monotonic();
        let _place = match &code {
            Ok(_) => Some(self.quota.place(peer, now)?),
            Err(_) => None,
        };
        // C4: a login ends once. Without this, one consent would allow any number of calls to GitHub, and as many grants. C10: a login
        // that was denied in another tab meanwhile is refused here.
        self.spent.end(login.browser.hash(), peer, now)?;
        let outcome = code.and_then(|code| self.ask_github(login, goal, (code, peer)));
        let response = outcome.unwrap_or_else(|error| self.refuse(goal, error, peer));
        Ok(self.sealer.clear_cookie(response, &login.browser.cookie))
    }

    fn ask_github(
        &self,
        login: &GitHubLogin,
        goal: Goal<'_>,
        (code, peer): (&str, Option<IpAddr>),
    ) -> Result<Response, LoginError> {
        self.quota.count(self.sealer.clock.monotonic());
        let redirect_uri = &self.sealer.callback_url();
        let token =
            self.provider.redeem(&Redemption { code, code_verifier: &login.verifier(), redirect_uri })?;
        match goal {
            Some((request, resource)) => self.log_in(resource, (request, &login.browser), token, peer),
            None => self.sign_in(&token.access, peer),
        }
    }

    /// From GitHub's token to our code. The grant is durable before its code leaves this function.
    fn log_in(
        &self,
        resource: &ProtectedResource,
        (request, browser): (&AuthorizationRequest, &BrowserBinding),
        token: ProviderToken,
        peer: Option<IpAddr>,
    ) -> Result<Response, LoginError> {
        // One set of rules decides who is admitted and whether the token is kept.
        let rules = self.grants.rules();
        let keeps_token = resource.keeps_token(&rules);
        let kept = || KeptToken { token: token.clone(), is_for_tools: resource.tools_call_github };
        let kept = keeps_token.then(kept);
        let admitted = match check_handed_token(resource, request, &token, &rules) {
            Ok(()) => self.admit((resource, request, browser), &token.access, kept, &rules),
            Err(problem) => Err(LoginError::Other(problem)),
        };
        // G6: a token that is not kept is revoked, unless GitHub is unreachable, when that would fail as well.
        let unreachable = Problem::GitHub(ProviderError::Unreachable);
        let has_failed = matches!(&admitted, Err(LoginError::Other(problem)) if *problem == unreachable);
        if !has_failed && (admitted.is_err() || !keeps_token) {
            self.provider.discard(&token.access);
        }
        let (user, code) = admitted?;
        self.quota.charge(Some(user), peer, self.sealer.clock.monotonic());
        let to = &request.return_to;
        let parameters = [("code", Some(code.as_str())), ("state", to.state.as_deref())];
        Ok(see_other(resource.answer_location(&to.redirect_uri, &parameters)))
    }

    /// Identifies the owner of the token and, if the policy admits them, creates their grant and its code.
    fn admit(
        &self,
        (resource, request, browser): (&ProtectedResource, &AuthorizationRequest, &BrowserBinding),
        token: &Secret<String>,
        kept: Option<KeptToken>,
        rules: &Rules,
    ) -> Result<(UserId, String), LoginError> {
        const POLICY: &str = "MCP_ALLOW says who is let in";
        const ACCESS: &str = "the rules of this server, its access or MCP_ACCESS, say who may use it";
        // G4: this token alone identifies the person.
        let identity = self.provider.identify(token)?;
        let is_let_in = rules.admits(&identity, token, &*self.provider);
        let (memberships, hint) = match is_let_in {
            Ok(true) => (memberships(&resource.access.rules(), &identity, token, &*self.provider), ACCESS),
            Ok(false) => (Ok(None), POLICY),
            Err(error) => (Err(error), POLICY),
        };
        let memberships = match memberships {
            Ok(Some(memberships)) => memberships,
            Ok(None) => return Err(LoginError::NotAllowed(identity, None, hint)),
            Err(ProviderError::Blocked(obstacle)) => {
                return Err(LoginError::NotAllowed(identity, Some(obstacle), hint));
            }
            Err(error) => return Err(error.into()),
        };
        let secret = Secret::new(self.sealer.random.bytes());
        let grant = Grant { memberships, ..self.new_grant(request, &identity, &secret, kept) };
        // C4: of servers that share the table, one ends the login. Written for a person whom GitHub has named and the policy admits.
        if !self.grants.table.spend_login(browser.hash())? {
            return Err(LoginError::Other(Problem::AlreadyAnswered));
        }
        let theirs = self.grants.table.of_user(identity.user)?;
        self.grants.table.insert(&grant)?;
        self.end_surplus(theirs, &grant);
        let fields = [
            log::Field::User(Subject::User(identity.user)),
            log::Field::Login(&identity.login),
            log::Field::Client(request.client.as_str()),
            log::Field::Grant(grant.id),
        ];
        audit::info("login.admitted", &fields);
        let code = AuthorizationCode {
            grant: grant.id,
            client: request.client.clone(),
            redirect_uri: request.return_to.redirect_uri.as_str().to_owned(),
            code_challenge: request.code_challenge.clone(),
            secret,
            expires: grant.expires,
        };
        Ok((identity.user, self.sealer.seal(&code)))
    }

    fn new_grant(
        &self,
        request: &AuthorizationRequest,
        identity: &Identity,
        secret: &Secret<[u8; 32]>,
        kept: Option<KeptToken>,
    ) -> Grant {
        let now = self.sealer.clock.now();
        let id = GrantId(self.sealer.random.bytes());
        let to = &request.return_to;
        Grant {
            id,
            revision: 0,
            subject: Subject::User(identity.user),
            login: identity.login.clone(),
            client: GrantClient {
                fingerprint: request.client.clone(),
                name: to.client_name.clone().unwrap_or_default(),
                host: to.origin.host().map(str::to_owned),
                redirect: to.redirect_uri.place(),
            },
            scopes: request.scopes.clone(),
            resource: request.resource.clone(),
            created: now,
            last_used: now,
            admitted: now,
            memberships: Memberships::default(),
            expires: now.plus(limits::CODE_LIFETIME),
            stage: Stage::CodeIssued,
            upstream: kept.map(|token| self.upstreams.seal(id, secret, token)),
        }
    }

    /// S5: the grants of a person are bounded; the least recently used one makes room, once the new one is stored. Those that keep a
    /// GitHub token have a lower bound, because GitHub ends the oldest of more than ten tokens of one person.
    fn end_surplus(&self, mut others: Vec<Arc<Grant>>, newcomer: &Grant) {
        others.sort_by_key(|grant| grant.last_used);
        let end = |grants: &[&Arc<Grant>], most: usize, reason| {
            let surplus = grants.len().saturating_add(1).saturating_sub(most);
            for grant in grants.iter().take(surplus) {
                // S3: has ended all the same, and the next sweep writes it. The login is good.
                let _ = self.grants.end(grant.id, reason).inspect_err(store::Error::log);
            }
        };
        end(&others.iter().collect::<Vec<_>>(), limits::GRANTS_PER_USER, "too_many");
        let keeps = |grant: &&Arc<Grant>| newcomer.upstream.is_some() && grant.upstream.is_some();
        let keeping: Vec<_> = others.iter().filter(keeps).collect();
        end(&keeping, limits::GITHUB_TOKENS_PER_USER, "too_many_github_tokens");
    }

    /// From GitHub's token to the account page.
    fn sign_in(&self, token: &Secret<String>, peer: Option<IpAddr>) -> Result<Response, LoginError> {
        // G4: this token alone identifies the person.
        let identity = self.provider.identify(token);
        // G6: it is not needed any more.
        self.provider.discard(token);
        let identity = identity?;
        // Everybody with an account at GitHub can get here, so a person without grants is charged like one who is not admitted.
        let has_grants = self.grants.table.of_user(identity.user).is_ok_and(|grants| !grants.is_empty());
        self.quota.charge(has_grants.then_some(identity.user), peer, self.sealer.clock.monotonic());
        Ok(account::sign_in(&self.sealer, identity))
    }

    /// Answers a failed login, and charges its sender if the failure could be brought about on purpose.
    fn refuse(&self, goal: Goal<'_>, error: LoginError, peer: Option<IpAddr>) -> Response {
        let now = self.sealer.clock.monotonic();
        if let LoginError::Other(Problem::GitHub(error)) = error {
            self.quota.failed(error, peer, now);
        }
        match (goal, error) {
            (Some((request, resource)), LoginError::Cancelled) => {
                resource.refuse(&request.return_to, AuthorizeError::Denied)
            }
            (Some((request, resource)), LoginError::NotAllowed(identity, obstacle, hint)) => {
                self.quota.charge(None, peer, now);
                not_allowed(resource, request, &identity, (obstacle, hint))
            }
            (Some((request, resource)), LoginError::Other(problem)) => {
                if problem == Problem::WiderToken {
                    self.quota.charge(None, peer, now);
                }
                resource.problem_page(&request.return_to, problem)
            }
            (None, LoginError::Other(problem)) => self.resources.pages.sign_in(SignIn::Again(problem)),
            // Everybody may see their account page: no policy was asked.
            (None, LoginError::Cancelled | LoginError::NotAllowed(..)) => {
                see_other(self.sealer.account_url())
            }
        }
    }
}

/// M5: checks that a token that is handed over can do what the consent page has said, and no more. The operator may have changed the
/// server since that was shown; and for a login that asks for no scope, GitHub grants every scope that the person has ever allowed the app.
fn check_handed_token(
    resource: &ProtectedResource,
    request: &AuthorizationRequest,
    token: &ProviderToken,
    rules: &Rules,
) -> Result<(), Problem> {
    if resource.scopes_to_hand_over(rules) != request.handed {
        return Err(Problem::LoginExpired);
    }
    let Some(shown) = &request.handed else { return Ok(()) };
    let is_shown = |scope: &String| shown.split(' ').any(|shown| shown == scope);
    if token.scopes.iter().all(is_shown) { Ok(()) } else { Err(Problem::WiderToken) }
}

fn not_allowed(
    resource: &ProtectedResource,
    request: &AuthorizationRequest,
    identity: &Identity,
    (obstacle, hint): (Option<Obstacle>, &'static str),
) -> Response {
    let fields = [
        log::Field::User(Subject::User(identity.user)),
        log::Field::Login(&identity.login),
        log::Field::Client(request.client.as_str()),
        log::Field::Reason(obstacle.map_or("no_rule", Obstacle::word)),
        log::Field::Hint(obstacle.map_or(hint, Obstacle::hint)),
    ];
    audit::warn("login.not_allowed", &fields);
    let way_back = resource.way_back(&request.return_to, AuthorizeError::NotAllowed);
    resource.pages.not_allowed(&identity.login, obstacle, &way_back)
}

/// The code in the callback's query (RFC 6749 section 4.1.2), or what GitHub says instead (section 4.1.2.1). A query with both
/// has no code.
fn code_of(query: &Form) -> Result<&str, LoginError> {
    match (query.value("error"), query.value("code")) {
        // GitHub is not asked about a code that it cannot have given.
        (None, Some(code)) if is_plain(code, "._-", 1..=limits::GITHUB_CODE_BYTES) => Ok(code),
        (Some("access_denied"), _) => Err(LoginError::Cancelled),
        (Some(reason @ ("application_suspended" | "redirect_uri_mismatch")), _) => {
            let hint = "compare the app's page at GitHub: its state, and its callback URL";
            let fields = [log::Field::Route("callback"), log::Field::Reason(reason), log::Field::Hint(hint)];
            log::warn("github.refused", &fields);
            Err(ProviderError::Misconfigured.into())
        }
        (Some(_), _) | (None, _) => Err(ProviderError::Refused.into()),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod way_back_tests;
