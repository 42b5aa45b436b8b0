//! A simulated GitHub with fictional people, to try the server and to test it: without accounts, network or authentication.
//!
//! It serves the requests of `github`, at the paths of a GitHub Enterprise Server (`/login/oauth`, `/api/v3`), and answers as GitHub
//! does, errors with status 200 included. Its callers are not authenticated, so it answers only under loopback host names, sends codes
//! to loopback callbacks only, and identifies itself as simulated on every page and log line.

mod page;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::log::{self, Field};
use crate::base::{BoundedMap, Clock, Mutex, Random, Secret, Timestamp, base64url, limits, sha256};
use crate::http::{Admission, Form, Handler, Head, Method, PublicUrl, Request, Response, append_query};
use crate::seal::{self, Keyring, Sealed};

/// The one organisation. `octocat` is a member, `mona` is invited, `hubot` is neither.
pub const ORG: &str = "octo-org";
/// Its one team, with the same people.
pub const TEAM: &str = "engineering";

/// A person who can log in.
#[derive(Debug)]
struct Person {
    id: u64,
    login: &'static str,
    name: &'static str,
    /// The state of their membership in [`ORG`] and [`TEAM`].
    membership: Option<&'static str>,
}

static PEOPLE: [Person; 3] = [
    Person { id: 583_231, login: "octocat", name: "The Octocat", membership: Some("active") },
    Person { id: 9_000_001, login: "mona", name: "Mona Lisa", membership: Some("pending") },
    Person { id: 9_000_002, login: "hubot", name: "Hubot", membership: None },
];

/// The simulated GitHub, with one app.
pub struct Simulated {
    client_id: String,
    client_secret: Secret<String>,
    /// Keys of the tokens, derived from the client secret.
    keys: Keyring,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Guards the codes that were issued.
    codes: Mutex<BoundedMap<String, Code>>,
    /// Guards the hashes of deleted tokens. Lost at a restart: no real identity depends on them.
    deleted: Mutex<BoundedMap<[u8; 32], ()>>,
}

/// The login that a code is for.
struct Code {
    person: &'static Person,
    scope: String,
    redirect_uri: String,
    code_challenge: Option<String>,
}

/// The content of a token, sealed into it, so that tokens survive a restart.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "u")]
    id: u64,
    #[serde(rename = "s")]
    scopes: String,
}

impl Sealed for Token {
    const PREFIX: &'static str = "gho_";
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

impl Handler for Simulated {
    fn admit(self: Arc<Self>, head: Head) -> Admission {
        Admission::up_to(limits::FORM_BYTES, head, move |request| {
            let (name, response) = self.answer(request);
            let method = Field::Method(request.head.method.as_str());
            log::info("simulated.github", &[method, Field::Route(name), Field::Status(response.status())]);
            // B2, B3
            response
                .header("Cache-Control", "no-store")
                .header("X-Content-Type-Options", "nosniff")
                .header("Referrer-Policy", "no-referrer")
                .header("Cross-Origin-Resource-Policy", "same-origin")
        })
    }
}

impl Simulated {
    /// A GitHub with one app, which has this client id and secret.
    pub fn new(
        client_id: &str,
        client_secret: &Secret<String>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Simulated {
        let key = Secret::new(sha256(client_secret.expose().as_bytes()));
        Simulated {
            client_id: client_id.to_owned(),
            keys: Keyring::new(&[key]).expect("there is a key"),
            client_secret: client_secret.clone(),
            clock,
            random,
            codes: Mutex::new(BoundedMap::new(limits::SIMULATED_RECORDS)),
            deleted: Mutex::new(BoundedMap::new(limits::SIMULATED_RECORDS)),
        }
    }

    /// Serves a request. Returns the name of the route, for the log, and the answer.
    fn answer(&self, request: &Request) -> (&'static str, Response) {
        let head = &request.head;
        let Some(url) = own_url(head) else {
            return ("unknown", page::problem(421, "This simulated GitHub answers to loopback names only."));
        };
        let segments: Vec<&str> = head.path.split('/').skip(1).collect();
        let is = |method| head.method == method;
        let (gets, posts, deletes) = (is(Method::Get), is(Method::Post), is(Method::Delete));
        // `None` for a method that the route does not have.
        let (name, answer) = match segments.as_slice() {
            ["login", "oauth", "authorize"] if posts => ("authorize", Some(self.decide(request, &url))),
            ["login", "oauth", "authorize"] => ("authorize", gets.then(|| self.ask(head))),
            ["login", "oauth", "access_token"] => ("access_token", posts.then(|| self.redeem(&request.body))),
            ["api", "v3", "user"] => ("user", gets.then(|| self.user(head))),
            ["api", "v3", "user", "memberships", "orgs", org] => {
                ("org_membership", gets.then(|| self.org_membership(head, org)))
            }
            ["api", "v3", "orgs", org, "teams", slug, "memberships", login] => {
                ("team_membership", gets.then(|| self.team_membership(head, &[org, slug, login])))
            }
            ["api", "v3", "applications", client_id, "token"] => {
                ("application", deletes.then(|| self.delete_token(request, client_id)))
            }
            _ => ("unknown", Some(message(404, "Not Found"))),
        };
        (name, answer.unwrap_or_else(|| message(405, "Method Not Allowed")))
    }

    // ---- the login pages ----

    /// The page on which the person chooses a user.
    fn ask(&self, head: &Head) -> Response {
        let Ok(form) = Form::parse(head.query.as_deref().unwrap_or_default().as_bytes()) else {
            return page::problem(400, "The request cannot be read.");
        };
        match self.check_authorization(&form) {
            Ok(_) => page::choose(&form, &PEOPLE),
            Err(problem) => page::problem(400, problem),
        }
    }

    /// The `redirect_uri` of a valid authorization request, or the text of the error page.
    fn check_authorization<'f>(&self, form: &'f Form) -> Result<&'f str, &'static str> {
        if form.value("client_id") != Some(&self.client_id) {
            return Err("No app here has this client_id.");
        }
        if form.value("code_challenge").is_some() && form.value("code_challenge_method") != Some("S256") {
            return Err("The code_challenge_method must be S256.");
        }
        form.value("redirect_uri").filter(|uri| is_loopback(uri)).ok_or(
            "The redirect_uri must be http on a loopback host: a simulated GitHub sends codes nowhere else.",
        )
    }

    /// Redirects the browser to the app, with a code or an error.
    fn decide(&self, request: &Request, url: &PublicUrl) -> Response {
        // CSRF: the form must come from our own page.
        if !matches!(request.head.headers.one("sec-fetch-site"), Ok(None | Some("same-origin"))) {
            return page::problem(403, "The form was sent from another site.");
        }
        let Ok(form) = Form::parse(&request.body) else {
            return page::problem(400, "The form cannot be read.");
        };
        let redirect_uri = match self.check_authorization(&form) {
            Ok(redirect_uri) => redirect_uri,
            Err(problem) => return page::problem(400, problem),
        };
        let issuer = url.join("/login/oauth");
        let state = form.value("state").map(|state| ("state", state));
        if form.value("decision") != Some("authorize") {
            let description = "The user has denied your application access.";
            let mut parameters = vec![("error", "access_denied"), ("error_description", description)];
            parameters.extend(state);
            return Response::new(303).header("Location", append_query(redirect_uri, &parameters));
        }
        let Some(person) = PEOPLE.iter().find(|person| form.value("login") == Some(person.login)) else {
            return page::problem(400, "Nobody here has this login.");
        };
        let code = base64url(&self.random.bytes::<15>());
        let record = Code {
            person,
            scope: form.value("scope").unwrap_or_default().to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            code_challenge: form.value("code_challenge").map(str::to_owned),
        };
        self.codes.lock().insert(code.clone(), record, (), self.until(limits::LOGIN_LIFETIME));
        let mut parameters = vec![("code", code.as_str())];
        parameters.extend(state);
        parameters.push(("iss", &issuer));
        Response::new(303).header("Location", append_query(redirect_uri, &parameters))
    }

    /// The token endpoint: errors have status 200.
    fn redeem(&self, body: &[u8]) -> Response {
        let form = Form::parse(body).unwrap_or_default();
        let value = |name| form.value(name).unwrap_or_default();
        let refused = |error: &str, description: &str| {
            Response::json(200, &json!({ "error": error, "error_description": description }))
        };
        if value("client_id") != self.client_id {
            return Response::json(404, &json!({ "error": "Not Found" }));
        }
        if !self.client_secret.matches(value("client_secret").as_bytes()) {
            let description = "The client_id and/or client_secret passed are incorrect.";
            return refused("incorrect_client_credentials", description);
        }
        let bad_code = || refused("bad_verification_code", "The code passed is incorrect or expired.");
        let Some(record) = self.take_code(value("code")) else { return bad_code() };
        if form.value("redirect_uri").is_some_and(|uri| uri != record.redirect_uri) {
            let description = "The redirect_uri MUST match the registered callback URL for this application.";
            return refused("redirect_uri_mismatch", description);
        }
        let challenge = base64url(&sha256(value("code_verifier").as_bytes()));
        if record.code_challenge.is_some_and(|expected| expected != challenge) {
            return bad_code();
        }
        let scopes: Vec<&str> = record.scope.split([' ', ',']).filter(|scope| !scope.is_empty()).collect();
        let token = Token { id: record.person.id, scopes: scopes.join(", ") };
        let token = seal::seal(&self.keys, &token, &*self.random);
        let answer = json!({ "access_token": token, "scope": scopes.join(","), "token_type": "bearer" });
        Response::json(200, &answer)
    }

    /// The current monotonic time, and the end of a lifetime that starts now.
    fn until(&self, lifetime: Duration) -> (Duration, Duration) {
        let now = self.clock.monotonic();
        (now, now.saturating_add(lifetime))
    }

    /// Takes a code, which is used up even if the rest of the request is wrong.
    fn take_code(&self, code: &str) -> Option<Code> {
        let (mut codes, code) = (self.codes.lock(), code.to_owned());
        let is_good = codes.get(&code, self.clock.monotonic()).is_some();
        codes.remove(&code).filter(|_| is_good)
    }

    // ---- the API ----

    fn user(&self, head: &Head) -> Response {
        let Some((person, scopes)) = self.bearer(head) else { return message(401, "Bad credentials") };
        let Person { id, login, name, .. } = *person;
        let user = json!({ "login": login, "id": id, "name": name, "email": null, "type": "User" });
        Response::json(200, &user).header("X-OAuth-Scopes", scopes)
    }

    fn org_membership(&self, head: &Head, org: &str) -> Response {
        let Some((person, scopes)) = self.bearer(head) else { return message(401, "Bad credentials") };
        membership(&scopes, if org == ORG { person.membership } else { None })
    }

    fn team_membership(&self, head: &Head, [org, slug, login]: &[&str; 3]) -> Response {
        let Some((_, scopes)) = self.bearer(head) else { return message(401, "Bad credentials") };
        let person = PEOPLE.iter().find(|person| person.login.eq_ignore_ascii_case(login));
        let state = person.and_then(|person| person.membership);
        membership(&scopes, if (*org, *slug) == (ORG, TEAM) { state } else { None })
    }

    fn delete_token(&self, request: &Request, client_id: &str) -> Response {
        let credentials = format!("{}:{}", self.client_id, self.client_secret.expose());
        let expected = Secret::new(format!("Basic {}", STANDARD.encode(credentials)));
        let sent = request.head.headers.one("authorization").ok().flatten();
        if client_id != self.client_id || !sent.is_some_and(|sent| expected.matches(sent.as_bytes())) {
            return message(404, "Not Found");
        }
        let sent: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(token) = sent.get("access_token").and_then(Value::as_str) else {
            return message(422, "Validation Failed");
        };
        if self.open(token).is_none() {
            return message(404, "Not Found");
        }
        let times = self.until(limits::GRANT_LIFETIME);
        self.deleted.lock().insert(sha256(token.as_bytes()), (), (), times);
        Response::new(204)
    }

    /// The owner of the token of a request to the API, and its scopes.
    fn bearer(&self, head: &Head) -> Option<(&'static Person, String)> {
        self.open(head.headers.one("authorization").ok()??.strip_prefix("Bearer ")?)
    }

    fn open(&self, token: &str) -> Option<(&'static Person, String)> {
        let Token { id, scopes } = seal::open(&self.keys, token, self.clock.now()).ok()?;
        let person = PEOPLE.iter().find(|person| person.id == id)?;
        let (hash, now) = (sha256(token.as_bytes()), self.clock.monotonic());
        self.deleted.lock().get(&hash, now).is_none().then_some((person, scopes))
    }
}

/// The URL of this server for the browser, if it is a loopback one. It is taken from the Host field, which is safe only here: a client
/// that forges the field can log in as anyone anyway.
fn own_url(head: &Head) -> Option<PublicUrl> {
    let host = head.headers.one("host").ok()??;
    PublicUrl::parse(&format!("http://{host}")).ok()
}

/// Whether a URI is http on a loopback host, and valid in a Location field.
fn is_loopback(uri: &str) -> bool {
    let host = uri.strip_prefix("http://").and_then(|rest| rest.split(['/', '?']).next());
    let is_plain = uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\');
    is_plain && host.is_some_and(|host| PublicUrl::parse(&format!("http://{host}")).is_ok())
}

/// A membership as GitHub shows it to a token with this scope.
fn membership(scopes: &str, state: Option<&str>) -> Response {
    if !scopes.split(", ").any(|scope| scope == "read:org") {
        return message(403, "You need at least read:org scope to see this membership.");
    }
    match state {
        Some(state) => Response::json(200, &json!({ "state": state, "role": "member" })),
        None => message(404, "Not Found"),
    }
}

fn message(status: u16, text: &str) -> Response {
    Response::json(status, &json!({ "message": text }))
}

#[cfg(test)]
mod tests;
