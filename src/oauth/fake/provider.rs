//! An identity provider that a test tells what to say. As GitHub, it exchanges a token once, which ends the token.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::{CancelToken, Group, Identity, Secret, UserId};
use crate::http::append_query;
use crate::oauth::provider::{IdentityProvider, LoginRequest, ProviderError, ProviderToken, Redemption};

/// A provider that a test tells what to say. Its one good code is `good`.
pub(crate) struct FakeProvider {
    state: Mutex<FakeState>,
}

struct FakeState {
    identity: Identity,
    redirect_uri: String,
    groups: HashSet<String>,
    error: Option<ProviderError>,
    members_error: Option<ProviderError>,
    verifiers: Vec<String>,
    lifetime: Option<Duration>,
    scopes: Vec<String>,
    exchanges: usize,
    /// Uses of tokens that an exchange has ended.
    refused: usize,
    discarded: usize,
    identified: usize,
    /// How long each answer takes.
    delay: Duration,
    /// Runs while a token is exchanged, or a membership asked for.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

impl Default for FakeProvider {
    fn default() -> FakeProvider {
        let identity = Identity { user: UserId(583_231), login: "octocat".to_owned() };
        let state = FakeState {
            identity,
            redirect_uri: String::new(),
            groups: HashSet::new(),
            error: None,
            members_error: None,
            verifiers: Vec::new(),
            lifetime: None,
            scopes: Vec::new(),
            exchanges: 0,
            refused: 0,
            discarded: 0,
            identified: 0,
            delay: Duration::ZERO,
            meanwhile: None,
        };
        FakeProvider { state: Mutex::new(state) }
    }
}

impl FakeProvider {
    pub(crate) fn identity(&self, id: u64, login: &str) {
        self.state.lock().unwrap().identity = Identity { user: UserId(id), login: login.to_owned() };
    }

    pub(crate) fn member_of(&self, groups: &[&str]) {
        self.state.lock().unwrap().groups = groups.iter().map(|&group| group.to_owned()).collect();
    }

    pub(crate) fn fail_with(&self, error: ProviderError) {
        self.state.lock().unwrap().error = Some(error);
    }

    /// Fails when asked about memberships alone.
    pub(crate) fn fail_members_with(&self, error: ProviderError) {
        self.state.lock().unwrap().members_error = Some(error);
    }

    /// Has every answer take this long from now on.
    pub(crate) fn takes(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// Lets that time pass.
    fn pass(&self) {
        let delay = self.state.lock().unwrap().delay;
        let _never = CancelToken::new().wait(delay);
    }

    /// Has every token from now on expire after this time.
    pub(crate) fn expiring(&self, lifetime: Duration) {
        self.state.lock().unwrap().lifetime = Some(lifetime);
    }

    /// Has every token from now on have these scopes, whatever is asked for.
    pub(crate) fn giving(&self, scopes: &[&str]) {
        self.state.lock().unwrap().scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    }

    /// Lets it answer again.
    pub(crate) fn recover(&self) {
        self.state.lock().unwrap().error = None;
    }

    /// How often a token was exchanged.
    pub(crate) fn exchanges(&self) -> usize {
        self.state.lock().unwrap().exchanges
    }

    /// How often a token was used that an exchange had ended.
    pub(crate) fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    /// Does this while the next token is exchanged, or membership asked for.
    pub(crate) fn while_asked(&self, work: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().meanwhile = Some(Box::new(work));
    }

    /// How often it was asked whose a token is.
    pub(crate) fn identified(&self) -> usize {
        self.state.lock().unwrap().identified
    }

    /// How many tokens were given back.
    pub(crate) fn discarded(&self) -> usize {
        self.state.lock().unwrap().discarded
    }

    pub(crate) fn redemptions(&self) -> usize {
        self.state.lock().unwrap().verifiers.len()
    }

    pub(crate) fn last_verifier(&self) -> String {
        self.state.lock().unwrap().verifiers.last().unwrap().clone()
    }
}

impl FakeState {
    fn token(&self, access: String) -> ProviderToken {
        let refresh = self.lifetime.map(|_| Secret::new(format!("ghr_{}", self.exchanges)));
        let scopes = self.scopes.clone();
        ProviderToken { access: Secret::new(access), expires_in: self.lifetime, refresh, scopes }
    }
}

impl IdentityProvider for FakeProvider {
    fn authorize_url(&self, request: &LoginRequest<'_>) -> String {
        request.redirect_uri.clone_into(&mut self.state.lock().unwrap().redirect_uri);
        append_query(
            "https://github.test/authorize",
            &[("state", request.state), ("code_challenge", request.code_challenge), ("scope", request.scope)],
        )
    }

    fn issuer(&self) -> &str {
        "https://github.test/login/oauth"
    }

    fn redeem(&self, redemption: &Redemption<'_>) -> Result<ProviderToken, ProviderError> {
        self.pass();
        let mut state = self.state.lock().unwrap();
        state.verifiers.push(redemption.code_verifier.expose().clone());
        // RFC 6749 section 4.1.3: the one that the code was asked for with.
        assert!(
            redemption.redirect_uri.contains(".example.com/")
                && redemption.redirect_uri.ends_with("/auth/callback")
        );
        assert_eq!(redemption.redirect_uri, state.redirect_uri);
        match (state.error, redemption.code) {
            (Some(error), _) => Err(error),
            (None, "good") => Ok(state.token("gho_fake".to_owned())),
            (None, _) => Err(ProviderError::Refused),
        }
    }

    fn refresh(&self, refresh: &Secret<String>) -> Result<ProviderToken, ProviderError> {
        let mut state = self.state.lock().unwrap();
        if *refresh.expose() != format!("ghr_{}", state.exchanges) {
            state.refused += 1;
            return Err(ProviderError::Refused);
        }
        let answer = match state.error {
            Some(error) => Err(error),
            None => {
                state.exchanges += 1;
                Ok(state.token(format!("ghu_{}", state.exchanges)))
            }
        };
        let meanwhile = state.meanwhile.take();
        drop(state);
        if let Some(work) = meanwhile {
            work(); // the answer is on its way
        }
        answer
    }

    fn discard(&self, _: &Secret<String>) {
        self.state.lock().unwrap().discarded += 1;
    }

    fn identify(&self, token: &Secret<String>) -> Result<Identity, ProviderError> {
        self.pass();
        let mut state = self.state.lock().unwrap();
        let stored =
            if state.exchanges == 0 { "gho_fake".to_owned() } else { format!("ghu_{}", state.exchanges) };
        if *token.expose() != stored {
            state.refused += 1;
            return Err(ProviderError::Refused);
        }
        state.identified += 1;
        state.error.map_or_else(|| Ok(state.identity.clone()), Err)
    }

    fn is_member(&self, _: &Secret<String>, _: &Identity, group: &Group) -> Result<bool, ProviderError> {
        self.pass();
        let mut state = self.state.lock().unwrap();
        if let Some(work) = state.meanwhile.take() {
            work();
        }
        let name = match group {
            Group::Org(org) => org.clone(),
            Group::Team { org, slug } => format!("{org}/{slug}"),
        };
        state.error.or(state.members_error).map_or_else(|| Ok(state.groups.contains(&name)), Err)
    }
}
