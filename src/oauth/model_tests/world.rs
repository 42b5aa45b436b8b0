//! The real server, driven through its endpoints, with everything that it handed out kept as text.

use std::sync::Arc;

use serde_json::{Value, json};

use super::model::{Answer, Call, RedeemFault, Rule, Sender, words};
use super::people::{MeetingTable, PEOPLE, People};
use crate::base::{
    AllowRule, Clock, CountedRandom, GrantId, Group, ManualClock, Random, Scopes, Timestamp, UserId,
    base64url, limits, sha256,
};
use crate::http::fake::request;
use crate::http::{Form, PublicUrl, Response, append_query};
use crate::oauth::fake::{body, text};
use crate::oauth::provider::IdentityProvider;
use crate::oauth::{AuthorizationServer, Pages, Parts, ProtectedResource, Rules};
use crate::seal;
use crate::store::{Grant, Grants};

/// A redirect URI as registered, and as requested.
pub(super) const REDIRECTS: [(&str, &str); 3] = [
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb"),
    ("https://a.example/cb", "https://a.example/cb"),
    ("com.example.app:/cb", "com.example.app:/cb"),
];

const FORM: &str = "application/x-www-form-urlencoded";

/// A registered client.
pub(super) struct Client {
    pub(super) id: String,
    secret: Option<String>,
    pub(super) redirect: usize,
}

/// A consent page in some browser.
pub(super) struct Login {
    pub(super) client: usize,
    /// Makes its verifier.
    number: usize,
    cookie: String,
    form: String,
    /// The state that GitHub was given, once the person has agreed, and until when.
    pub(super) github_state: Option<(String, u64)>,
    /// Until when the page is good.
    pub(super) end: u64,
    pub(super) scopes: super::model::Words,
}

/// A code and what it was asked for with.
struct Code {
    text: String,
    client: usize,
    number: usize,
}

/// A pair of tokens and whose they are.
struct Pair {
    access: String,
    refresh: String,
    client: usize,
}

pub(super) struct World {
    pub(super) server: AuthorizationServer,
    pub(super) table: Arc<MeetingTable>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) provider: Arc<People>,
    rule: Rule,
    random: Arc<CountedRandom>,
    pub(super) clients: Vec<Client>,
    pub(super) logins: Vec<Login>,
    codes: Vec<Code>,
    pairs: Vec<Pair>,
    /// The grants by the numbers that the model gives them.
    pub(super) grants: Vec<GrantId>,
}

fn verifier(number: usize) -> String {
    format!("{number:0>43}")
}

impl World {
    pub(super) fn new(rule: Rule) -> World {
        let (table, clock) = (Arc::new(MeetingTable::default()), Arc::new(ManualClock::new()));
        let (provider, random) = (Arc::new(People::default()), Arc::new(CountedRandom::default()));
        let server = server((&table, &clock, &provider, &random), rule, &PEOPLE);
        provider.members(&PEOPLE);
        let (clients, logins, codes, pairs, grants) = Default::default();
        World { server, table, clock, provider, rule, random, clients, logins, codes, pairs, grants }
    }

    /// The server again, over the same table, for these people.
    pub(super) fn restart(&mut self, people: &[u64]) {
        self.server = server((&self.table, &self.clock, &self.provider, &self.random), self.rule, people);
    }

    pub(super) fn stored(&self) -> Vec<Grant> {
        self.table.list().unwrap().iter().map(|grant| (**grant).clone()).collect()
    }

    pub(super) fn register(&mut self, method: &str, redirect: usize, scopes: &'static str) {
        let mut metadata =
            json!({"redirect_uris": [REDIRECTS[redirect].0], "token_endpoint_auth_method": method});
        if !scopes.is_empty() {
            metadata["scope"] = scopes.into();
        }
        let request =
            request("POST", "/register").with("Content-Type", "application/json").body(metadata.to_string());
        let response = self.server.register.post(&resource(), &request);
        let answer = body(&response);
        assert_eq!(response.status(), 201, "{answer}");
        let member = |name: &str| answer[name].as_str().map(str::to_owned);
        let (id, secret) = (member("client_id").unwrap(), member("client_secret"));
        self.clients.push(Client { id, secret, redirect });
    }

    /// Opens the consent page; the parameters of `changes` replace the right ones. Says whether there was one.
    pub(super) fn authorize(&mut self, client: usize, changes: &[(&str, &str)]) -> bool {
        let number = self.logins.len();
        let challenge = base64url(&sha256(verifier(number).as_bytes()));
        let mut parameters = vec![
            ("client_id", self.clients[client].id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECTS[self.clients[client].redirect].1),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for &(name, value) in changes {
            parameters.retain(|(other, _)| *other != name);
            parameters.push((name, value));
        }
        let response = self
            .server
            .authorize
            .get(&resource(), &request("GET", &append_query("/authorize", &parameters)).head);
        assert!(!response.header_value("location").is_some_and(|location| location.contains("code=")));
        let page = text(&response);
        let Some((_, rest)) = page.split_once("name=pending value=\"") else { return false };
        let form = rest.split('"').next().unwrap().to_owned();
        let cookie = response.header_value("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let (end, scopes) = (self.clock.now().0 + 600, words(""));
        self.logins.push(Login { client, number, cookie, form, github_state: None, end, scopes });
        true
    }

    /// Answers the consent page of `login`, from the browser of `browser`.
    pub(super) fn consent(&mut self, login: usize, browser: usize, decision: &str) -> Response {
        let body = format!("pending={}&decision={decision}", self.logins[login].form);
        let cookie = &self.logins[browser].cookie;
        let request =
            request("POST", "/consent").with("Content-Type", FORM).with("Cookie", cookie).body(body);
        let response = self.server.consent.post(&resource(), &request);
        if let Some(state) = parameter(&response, "state").filter(|state| state.starts_with("mcp_gl_")) {
            self.logins[login].github_state = Some((state, self.clock.now().0 + 600));
        }
        response
    }

    /// GitHub sends the browser of `browser` back for `login`. Says whether there was a code,
    /// which is kept with its grant.
    pub(super) fn callback(&mut self, login: usize, browser: usize, answer: &str) -> bool {
        let state = self.logins[login].github_state.as_ref().map_or("", |(state, _)| state);
        let before: Vec<GrantId> = self.stored().iter().map(|grant| grant.id).collect();
        let request = request("GET", &format!("/auth/callback?state={state}&{answer}"));
        let response = self.server.callback.get(&request.with("Cookie", &self.logins[browser].cookie).head);
        let code = parameter(&response, "code");
        if let Some(text) = &code {
            let (client, number) = (self.logins[login].client, self.logins[login].number);
            let location = response.header_value("location").unwrap();
            assert!(location.starts_with(REDIRECTS[self.clients[client].redirect].1), "{location}");
            self.codes.push(Code { text: text.clone(), client, number });
            let new = self.stored().into_iter().find(|grant| !before.contains(&grant.id));
            self.grants.push(new.unwrap().id);
        }
        code.is_some()
    }

    /// Makes a call. The tokens in the answer come apart from it: which number they get is not known before a race is
    /// understood.
    pub(super) fn call(&self, call: Call) -> (Answer, Option<Value>) {
        match call {
            Call::Redeem { code, sender, fault } => {
                let Code { text, client, number } = &self.codes[code];
                let verifier =
                    verifier(if fault == RedeemFault::WrongVerifier { number + 1 } else { *number });
                let redirect = REDIRECTS[self.clients[*client].redirect].1;
                let redirect =
                    if fault == RedeemFault::WrongRedirect { "com.example.app:/cb2" } else { redirect };
                let mut form = vec![("grant_type", "authorization_code"), ("code", text)];
                if fault != RedeemFault::NoVerifier {
                    form.push(("code_verifier", &verifier));
                }
                if fault != RedeemFault::RedirectLeftOut {
                    form.push(("redirect_uri", redirect));
                }
                if fault == RedeemFault::WrongResource {
                    form.push(("resource", "https://other.example/mcp"));
                }
                self.token(*client, sender, form)
            }
            Call::Refresh { token, sender, scope } => {
                let Pair { refresh, client, .. } = &self.pairs[token];
                let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
                form.extend(scope.map(|scope| ("scope", scope)));
                self.token(*client, sender, form)
            }
            Call::RefreshWithAccess { token } => {
                let Pair { access, client, .. } = &self.pairs[token];
                let form = vec![("grant_type", "refresh_token"), ("refresh_token", access.as_str())];
                self.token(*client, Sender::Owner, form)
            }
            Call::RedeemRefresh { token } => {
                let Pair { refresh, client, .. } = &self.pairs[token];
                let verifier = verifier(0);
                let form = vec![
                    ("grant_type", "authorization_code"),
                    ("code", refresh.as_str()),
                    ("code_verifier", &verifier),
                ];
                self.token(*client, Sender::Owner, form)
            }
            Call::RevokeAccess { token, sender } => {
                let Pair { access, client, .. } = &self.pairs[token];
                (self.revoke(*client, sender, access), None)
            }
            Call::RevokeRefresh { token, sender } => {
                let Pair { refresh, client, .. } = &self.pairs[token];
                (self.revoke(*client, sender, refresh), None)
            }
            Call::Use { token } => (self.bearer(&self.pairs[token].access), None),
            Call::UseRefresh { token } => (self.bearer(&self.pairs[token].refresh), None),
        }
    }

    /// The tokens of an answer get the next number.
    pub(super) fn keep(&mut self, tokens: &Value, client: usize) {
        let member = |name: &str| tokens[name].as_str().unwrap().to_owned();
        self.pairs.push(Pair { access: member("access_token"), refresh: member("refresh_token"), client });
    }

    fn token(&self, owner: usize, sender: Sender, form: Vec<(&str, &str)>) -> (Answer, Option<Value>) {
        let response = self.post("/token", owner, sender, form);
        let answer = body(&response);
        let member = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        if response.status() == 200 {
            let expires_in = answer["expires_in"].as_u64().unwrap();
            return (Answer::Tokens { scopes: words(&member("scope")), expires_in }, Some(answer));
        }
        (Answer::Error(response.status(), member("error")), None)
    }

    fn revoke(&self, owner: usize, sender: Sender, token: &str) -> Answer {
        let response = self.post("/revoke", owner, sender, vec![("token", token)]);
        if response.status() == 200 {
            return Answer::Done;
        }
        Answer::Error(response.status(), body(&response)["error"].as_str().unwrap_or_default().to_owned())
    }

    /// The client next to the owner is the stranger: there are always two.
    fn post(&self, path: &str, owner: usize, sender: Sender, form: Vec<(&str, &str)>) -> Response {
        let number = if sender == Sender::Stranger { (owner + 1) % self.clients.len() } else { owner };
        let client = &self.clients[number];
        let secret = if sender == Sender::Impostor { Some("mcp_cs_guess") } else { client.secret.as_deref() };
        let mut form: Vec<_> = form.into_iter().chain([("client_id", client.id.as_str())]).collect();
        form.extend(secret.map(|secret| ("client_secret", secret)));
        let body = append_query("", &form)[1..].to_owned();
        let request = request("POST", path).with("Content-Type", FORM).body(body);
        if path == "/token" {
            self.server.token.post(&resource(), &request)
        } else {
            self.server.token.post_revocation(&resource(), &request)
        }
    }

    /// Who calls with this token, and that it opens their own GitHub token and nobody else's.
    fn bearer(&self, token: &str) -> Answer {
        let request = request("POST", "/mcp").with("Authorization", &format!("Bearer {token}"));
        match self.server.bearer.principal(&resource(), &request.head) {
            Ok(caller) => {
                assert_eq!(
                    caller.upstream.token().unwrap().expose(),
                    &format!("gho_{}", caller.subject.user().unwrap().0)
                );
                let grant = self.grants.iter().position(|id| *id == caller.grant).unwrap();
                Answer::Caller { grant, scopes: words(&caller.scopes.to_string()) }
            }
            Err(error) => Answer::NoCaller(error),
        }
    }
}

type Shared<'a> = (&'a Arc<MeetingTable>, &'a Arc<ManualClock>, &'a Arc<People>, &'a Arc<CountedRandom>);

fn server((table, clock, provider, random): Shared<'_>, rule: Rule, people: &[u64]) -> AuthorizationServer {
    let rules = match rule {
        Rule::Names => people.iter().map(|&id| AllowRule::Id(UserId(id))).collect(),
        Rule::Members => vec![AllowRule::Group(Group::Org("acme".to_owned()))],
    };
    AuthorizationServer::new(Parts {
        public_url: public_url(),
        resources: vec![resource()],
        keys: Arc::new(seal::fake::keyring(1)),
        grants: Arc::clone(table) as Arc<dyn Grants>,
        provider: Arc::clone(provider) as Arc<dyn IdentityProvider>,
        newest: Timestamp(0),
        rules: Rules { allow: rules, ..Rules::default() },
        registrations_per_hour: limits::REGISTRATIONS,
        clients: crate::oauth::Clients::default(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::clone(random) as Arc<dyn Random>,
        grant_ended: Box::new(|_| ()),
    })
}

fn public_url() -> PublicUrl {
    PublicUrl::parse("https://mcp.example.com").unwrap()
}

fn resource() -> Arc<ProtectedResource> {
    let (tool_scopes, pages) =
        (Scopes::parse("read write").unwrap(), Pages::new("mcp", "MCP server", Vec::new()));
    let resource = ProtectedResource::new(&public_url(), None, &tool_scopes, pages);
    Arc::new(ProtectedResource { tools_call_github: true, ..resource })
}

/// A parameter in the query of a redirect.
fn parameter(response: &Response, name: &str) -> Option<String> {
    let (_, query) = response.header_value("location")?.split_once('?')?;
    Form::parse(query.as_bytes()).unwrap().value(name).map(str::to_owned)
}
