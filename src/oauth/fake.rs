//! A server without network, clock or disk, and a browser that walks through it, for the tests of this layer and above.

mod contended;
mod documents;
mod provider;
mod read_only;
mod visitor;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

pub(crate) use self::contended::Contended;
pub(crate) use self::documents::FakeDocuments;
pub(crate) use self::provider::FakeProvider;
pub(crate) use self::read_only::ReadOnly;
pub(crate) use self::visitor::Visitor;
use super::client::{AuthMethod, Client, ClientOrigin};
use super::provider::IdentityProvider;
use super::redirect::{RedirectUri, Registrant};
use super::*;
use crate::base::{AllowRule, CountedRandom, GrantId, ManualClock, Principal, Scopes};
use crate::http::fake::request;
use crate::http::{Body, Form, PublicUrl, Response, append_query};
use crate::oauth::bearer::BearerError;
use crate::seal;
use crate::store::MemoryGrants;

/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A server at `https://mcp.example.com` that lets `octocat` in, and everything it stands on.
pub(crate) struct Fixture {
    pub(crate) server: AuthorizationServer,
    /// The server that browsers log in to, and clients use.
    pub(crate) resource: Arc<ProtectedResource>,
    pub(crate) provider: Arc<FakeProvider>,
    pub(crate) grants: Arc<dyn Grants>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) keys: Arc<Keyring>,
    random: Arc<CountedRandom>,
    ended: Arc<Mutex<Vec<GrantId>>>,
}

pub(crate) fn fixture() -> Fixture {
    fixture_with(Clients::default())
}

/// A server at `https://other.example.com` with the same key.
pub(crate) fn elsewhere() -> Fixture {
    let mut fixture = fixture();
    fixture.restart(|parts| move_to(parts, "https://other.example.com", &[None]));
    fixture
}

/// The servers `files` and `notes` at `https://mcp.example.com`, the first of which is used.
pub(crate) fn two_servers() -> Fixture {
    let mut fixture = fixture();
    fixture.restart(|parts| move_to(parts, "https://mcp.example.com", &[Some("files"), Some("notes")]));
    fixture
}

/// Has servers of these names at this URL.
pub(crate) fn move_to(parts: &mut Parts, url: &str, names: &[Option<&str>]) {
    parts.public_url = PublicUrl::parse(url).unwrap();
    let resource = |name: &Option<&str>| Arc::new(resource(&parts.public_url, *name));
    parts.resources = names.iter().map(resource).collect();
}

/// A server with these clients.
pub(crate) fn fixture_with(clients: Clients) -> Fixture {
    built(clients, Arc::new(MemoryGrants::default()))
}

/// A server over this table.
pub(crate) fn fixture_over(grants: Arc<dyn Grants>) -> Fixture {
    built(Clients::default(), grants)
}

fn built(clients: Clients, grants: Arc<dyn Grants>) -> Fixture {
    let provider = Arc::new(FakeProvider::default());
    let (clock, random) = (Arc::new(ManualClock::new()), Arc::new(CountedRandom::default()));
    let (keys, ended) = (Arc::new(seal::fake::keyring(1)), Arc::new(Mutex::new(Vec::new())));
    let parts = parts((&provider, &grants, &clock), (&keys, &random, &ended));
    let resource = Arc::clone(&parts.resources[0]);
    let server = AuthorizationServer::new(Parts { clients, ..parts });
    Fixture { server, resource, provider, grants, clock, keys, random, ended }
}

type World<'a> = (&'a Arc<FakeProvider>, &'a Arc<dyn Grants>, &'a Arc<ManualClock>);
type Kept<'a> = (&'a Arc<Keyring>, &'a Arc<CountedRandom>, &'a Arc<Mutex<Vec<GrantId>>>);

fn parts((provider, grants, clock): World<'_>, (keys, random, ended): Kept<'_>) -> Parts {
    let log = Arc::clone(ended);
    let public_url = PublicUrl::parse("https://mcp.example.com").unwrap();
    Parts {
        resources: vec![Arc::new(resource(&public_url, None))],
        public_url,
        keys: Arc::clone(keys),
        grants: Arc::clone(grants),
        newest: Timestamp(0),
        provider: Arc::clone(provider) as Arc<dyn IdentityProvider>,
        rules: Rules { allow: vec![AllowRule::User("octocat".to_owned())], denied: DenyList::default() },
        clients: Clients::default(),
        registrations_per_hour: limits::REGISTRATIONS,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::clone(random) as Arc<dyn Random>,
        grant_ended: Box::new(move |id| log.lock().unwrap().push(id)),
    }
}

/// The resource below `url`, whose scopes have no words of their own and whose tools call GitHub.
pub(crate) fn resource(url: &PublicUrl, name: Option<&str>) -> ProtectedResource {
    let title = name.map_or("MCP server".to_owned(), |name| format!("The <{name}>"));
    let pages = Pages::new(name.unwrap_or("mcp"), &title, Vec::new());
    let resource = ProtectedResource::new(url, name, &Scopes::default(), pages);
    ProtectedResource { tools_call_github: true, ..resource }
}

impl Fixture {
    /// The parts of the server, for another one over the same table, provider, clock and key.
    pub(crate) fn parts(&self) -> Parts {
        parts((&self.provider, &self.grants, &self.clock), (&self.keys, &self.random, &self.ended))
    }

    /// Starts the server again with other parts.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts();
        change(&mut parts);
        self.resource = Arc::clone(&parts.resources[0]);
        self.server = AuthorizationServer::new(parts);
    }

    /// Starts the server again over a table made of this one.
    pub(crate) fn restart_over(&mut self, table: impl FnOnce(&Arc<dyn Grants>) -> Arc<dyn Grants>) {
        let over = table(&self.grants);
        self.restart(|parts| parts.grants = over);
    }

    /// Starts the server again in front of another server that is handed GitHub's tokens of these scopes.
    pub(crate) fn restart_handing_over(&mut self, scopes: &[(&str, &str)]) {
        let scopes = scopes.iter().map(|(scope, words)| ((*scope).to_owned(), (*words).to_owned())).collect();
        let before = ProtectedResource::clone(&self.resource);
        let resource = ProtectedResource { handed_scopes: Some(scopes), ..before };
        self.restart(|parts| parts.resources = vec![Arc::new(resource)]);
    }

    /// Starts the server again with tools that call GitHub as the caller, or without.
    pub(crate) fn restart_keeping_github_tokens(&mut self, keeps: bool) {
        let before = ProtectedResource::clone(&self.resource);
        let resource = ProtectedResource { tools_call_github: keeps, ..before };
        self.restart(|parts| parts.resources = vec![Arc::new(resource)]);
    }

    /// This fixture after a restart with other clients.
    pub(crate) fn restarted_with(mut self, clients: Clients) -> Fixture {
        self.restart(|parts| parts.clients = clients);
        self
    }
}

/// Another server over the same table, provider, clock and key, as after a restart.
pub(crate) fn server_at(fixture: &Fixture, url: PublicUrl) -> AuthorizationServer {
    let mut parts = fixture.parts();
    move_to(&mut parts, &url.to_string(), &[None]);
    AuthorizationServer::new(parts)
}

/// A server with other rules over the parts of `fixture`.
pub(crate) fn server_with(fixture: &Fixture, rules: Vec<AllowRule>) -> AuthorizationServer {
    let rules = Rules { allow: rules, denied: DenyList::default() };
    AuthorizationServer::new(Parts { rules, ..fixture.parts() })
}

/// A redirect URI, of any private-use scheme: a registration outlives the rule that admitted it.
pub(super) fn redirect_uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text, Registrant::Operator).unwrap()
}

impl Fixture {
    /// The `client_id` of a client with these redirect URIs.
    pub(super) fn client_id(&self, auth: AuthMethod, redirect_uris: &[&str]) -> String {
        let client = Client {
            redirect_uris: redirect_uris.iter().map(|uri| redirect_uri(uri)).collect(),
            name: Some("Test <client>".to_owned()),
            auth,
            scopes: self.resource.scopes.clone(),
            server: self.resource.name.clone(),
            issued: Some(self.clock.now()),
            origin: ClientOrigin::Registered,
            secret: None,
        };
        seal::seal(&self.keys, &client, &*self.random)
    }

    /// Posts a form to `/token` or `/revoke`.
    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        self.post_to(&self.resource, path, body)
    }

    /// Posts a form to `/token` or `/revoke` of one server.
    pub(crate) fn post_to(&self, resource: &ProtectedResource, path: &str, body: &str) -> Response {
        let request =
            request("POST", path).with("Content-Type", "application/x-www-form-urlencoded").body(body);
        if path == "/token" {
            self.server.token.post(resource, &request)
        } else {
            self.server.token.post_revocation(resource, &request)
        }
    }

    /// Uses a token.
    pub(crate) fn bearer(&self, token: &str) -> Result<Principal, BearerError> {
        let request = request("POST", "/mcp").with("Authorization", &format!("Bearer {token}"));
        self.server.bearer.principal(&self.resource, &request.head)
    }

    /// The grants that have ended.
    pub(crate) fn ended(&self) -> Vec<GrantId> {
        self.ended.lock().unwrap().clone()
    }
}

/// A pair of tokens.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// A browser with a public client on the same machine, whose consent page is open.
#[derive(Clone)]
pub(crate) struct Browser<'a> {
    /// Where it is sent.
    pub(crate) fixture: &'a Fixture,
    /// The server that it logs in to.
    pub(crate) resource: Arc<ProtectedResource>,
    pub(crate) client_id: String,
    redirect_uri: String,
    state: String,
    /// The scopes in the client's request.
    pub(crate) scope: String,
    /// Where it is.
    pub(crate) peer: IpAddr,
    /// `name=value`, oldest first.
    pub(crate) cookies: Vec<String>,
    /// The sealed value in the form.
    pub(crate) form: String,
    /// The state that GitHub was given.
    pub(crate) github_state: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(fixture: &'a Fixture) -> Browser<'a> {
        Browser::with_state(fixture, "xyz")
    }

    pub(crate) fn with_state(fixture: &'a Fixture, state: &str) -> Browser<'a> {
        let client_id = fixture.client_id(AuthMethod::None, &["http://127.0.0.1/cb"]);
        Browser::of(fixture, client_id, state)
    }

    /// A browser with the client that has this id.
    pub(crate) fn of(fixture: &'a Fixture, client_id: String, state: &str) -> Browser<'a> {
        Browser::opened(fixture, client_id, ("http://127.0.0.1:5000/cb", state))
    }

    /// A browser with the client that has this id and wants its answer there.
    pub(crate) fn at(fixture: &'a Fixture, client_id: String, redirect_uri: &str) -> Browser<'a> {
        Browser::opened(fixture, client_id, (redirect_uri, "xyz"))
    }

    pub(crate) fn opened(
        fixture: &'a Fixture,
        client_id: String,
        (redirect_uri, state): (&str, &str),
    ) -> Browser<'a> {
        let (cookies, form, github_state, scope) = <(Vec<String>, String, String, String)>::default();
        let (redirect_uri, state) = (redirect_uri.to_owned(), state.to_owned());
        let peer = IpAddr::from([127, 0, 0, 1]);
        let resource = Arc::clone(&fixture.resource);
        let mut browser = Browser {
            fixture,
            resource,
            client_id,
            redirect_uri,
            state,
            scope,
            peer,
            cookies,
            form,
            github_state,
        };
        browser.open_consent_page();
        browser
    }

    /// Sends it to another fixture's server from now on.
    pub(crate) fn turn_to(&mut self, fixture: &'a Fixture) {
        (self.fixture, self.resource) = (fixture, Arc::clone(&fixture.resource));
    }

    pub(crate) fn open_consent_page(&mut self) -> Response {
        let parameters = [
            ("client_id", self.client_id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", &self.redirect_uri),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", &self.state),
            ("scope", &self.scope),
        ];
        let request = request("GET", &append_query("/authorize", &parameters));
        let response = self
            .fixture
            .server
            .authorize
            .get(&self.resource, &request.with("Cookie", &self.cookies.join("; ")).head);
        let page = text(&response);
        let start = page.find("name=pending value=\"").unwrap() + "name=pending value=\"".len();
        self.form = page[start..].split('"').next().unwrap().to_owned();
        for (name, value) in response.headers().filter(|(name, _)| *name == "Set-Cookie") {
            assert_eq!(name, "Set-Cookie");
            let cookie = value.split(';').next().unwrap();
            let cookie_name = cookie.split_once('=').unwrap().0;
            self.cookies.retain(|other| other.split_once('=').unwrap().0 != cookie_name);
            if !value.contains("Max-Age=0") {
                self.cookies.push(cookie.to_owned());
            }
        }
        response
    }

    pub(crate) fn post_consent(&mut self, decision: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = request("POST", "/consent")
            .with("Content-Type", "application/x-www-form-urlencoded")
            .with("Cookie", &self.cookies.join("; "))
            .body(format!("pending={}&decision={decision}", self.form));
        request.head.peer = Some(self.peer);
        for (name, value) in headers {
            request = request.with(name, value);
        }
        self.fixture.server.consent.post(&self.resource, &request)
    }

    pub(crate) fn approve(&mut self) -> Response {
        let response = self.post_consent("approve", &[]);
        if let Some((_, query)) =
            response.header_value("location").and_then(|location| location.split_once('?'))
        {
            let query = Form::parse(query.as_bytes()).unwrap();
            self.github_state = query.value("state").unwrap_or_default().to_owned();
        }
        response
    }

    pub(crate) fn callback(&mut self, query: &str) -> Response {
        let mut request = request("GET", &format!("/auth/callback?state={}&{query}", self.github_state));
        request.head.peer = Some(self.peer);
        self.fixture.server.callback.get(&request.with("Cookie", &self.cookies.join("; ")).head)
    }

    pub(crate) fn log_in(&mut self) -> Response {
        self.open_consent_page();
        self.approve();
        self.callback("code=good")
    }

    /// A fresh code.
    pub(crate) fn code(&mut self) -> String {
        let location = self.log_in().header_value("location").unwrap().to_owned();
        let query = Form::parse(location.split_once('?').unwrap().1.as_bytes()).unwrap();
        query.value("code").unwrap().to_owned()
    }

    /// Redeems a code with everything right, but for what `changes` replaces.
    pub(crate) fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Response {
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", &self.client_id),
            ("redirect_uri", "http://127.0.0.1:5000/cb"),
            ("code_verifier", VERIFIER),
        ];
        for &(name, value) in changes {
            parameters.retain(|(other, _)| *other != name);
            parameters.push((name, value));
        }
        self.fixture.post("/token", &append_query("", &parameters)[1..])
    }

    pub(crate) fn refresh(&self, token: &str) -> Response {
        self.refresh_with(token, "")
    }

    pub(crate) fn refresh_with(&self, token: &str, extra: &str) -> Response {
        let client = &self.client_id;
        self.fixture.post(
            "/token",
            &format!("grant_type=refresh_token&refresh_token={token}&client_id={client}{extra}"),
        )
    }

    /// A first pair of tokens.
    pub(crate) fn tokens(&mut self) -> Tokens {
        let code = self.code();
        tokens(&self.redeem(&code, &[]))
    }
}

/// The pair of tokens in a 200 answer of `/token`.
pub(crate) fn tokens(response: &Response) -> Tokens {
    let answer = body(response);
    assert_eq!(response.status(), 200, "{answer}");
    let member = |name: &str| answer[name].as_str().unwrap().to_owned();
    Tokens { access: member("access_token"), refresh: member("refresh_token") }
}

/// The text of a response's body.
pub(crate) fn text(response: &Response) -> String {
    let Body::Bytes(bytes) = response.body() else { panic!("a stream") };
    String::from_utf8(bytes.clone()).unwrap()
}

/// The JSON of a response's body.
pub(crate) fn body(response: &Response) -> serde_json::Value {
    serde_json::from_str(&text(response)).unwrap()
}
