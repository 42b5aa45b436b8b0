//! The steps of a client and a browser through a login, so that a test can stop after any of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::Digest;

use super::browser::Browser;
use super::http::{Answer, Request, encode, parameter};
use super::server::Server;

/// The redirect URI of the tests' clients. Nothing listens there.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";
pub(crate) const VERIFIER: &str = "canary-code-verifier-0123456789-0123456789-0123456789";
pub(crate) const STATE: &str = "canary client state &?=/%41";

/// The S256 challenge of [`VERIFIER`].
pub(crate) fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER))
}

/// A registered client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) redirect_uri: String,
    /// The path of the server that it is registered at: empty, or that of one of several.
    pub(crate) server: String,
}

/// The answer of the token endpoint.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(answer: &Value) -> Tokens {
        let text =
            |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
        assert_eq!(answer["token_type"], "Bearer");
        assert!(answer["expires_in"].is_u64());
        Tokens { access: text("access_token"), refresh: text("refresh_token") }
    }
}

impl Server {
    /// Registers a public client with these redirect URIs; it will use the last.
    pub(crate) fn register(&self, redirect_uris: &[&str]) -> Client {
        self.register_at("", redirect_uris)
    }

    fn register_at(&self, server: &str, redirect_uris: &[&str]) -> Client {
        let metadata = json!({
            "client_name": "Black box", "redirect_uris": redirect_uris, "token_endpoint_auth_method": "none",
        });
        let request = Request::post_json(&format!("{server}/register"), &metadata);
        let answer = request.send(self.authority()).unwrap().expect(201).json();
        let id = answer["client_id"].as_str().unwrap().to_owned();
        Client { id, redirect_uri: redirect_uris.last().unwrap().to_string(), server: server.to_owned() }
    }

    /// The URL that a client opens in the browser.
    pub(crate) fn authorize_url(&self, client: &Client) -> String {
        let query = encode(&[
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", &client.redirect_uri),
            ("code_challenge", &challenge()),
            ("code_challenge_method", "S256"),
            ("state", STATE),
            ("resource", &self.url(&format!("{}/mcp", client.server))),
        ]);
        self.url(&format!("{}/authorize?{query}", client.server))
    }

    /// From the client's link to the person's consent: the URL at GitHub.
    pub(crate) fn approve(&self, client: &Client, browser: &mut Browser) -> String {
        let url = self.authorize_url(client);
        let page = browser.visit(&url).expect(200);
        let answer = browser.press(&url, &page, ("decision", "approve")).expect(303);
        answer.field("location").unwrap().to_owned()
    }

    /// Through GitHub: the URL of our callback.
    pub(crate) fn through_github(&self, client: &Client, browser: &mut Browser) -> String {
        let at_github = self.approve(client, browser);
        let answer = Browser::default().visit(&at_github).expect(302);
        answer.field("location").unwrap().to_owned()
    }

    /// The whole walk: the code.
    pub(crate) fn code(&self, client: &Client, browser: &mut Browser) -> String {
        let callback = self.through_github(client, browser);
        let answer = browser.visit(&callback).expect(303);
        let location = answer.field("location").unwrap();
        assert!(location.starts_with(&format!("{}?", client.redirect_uri)), "{location}");
        assert_eq!(parameter(location, "state").as_deref(), Some(STATE));
        assert_eq!(parameter(location, "iss"), Some(self.url(&client.server)));
        parameter(location, "code").unwrap()
    }

    pub(crate) fn redeem(&self, client: &Client, code: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client.id),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", &client.redirect_uri),
        ];
        self.token(client, &form)
    }

    pub(crate) fn refresh(&self, client: &Client, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("client_id", &client.id), ("refresh_token", token)];
        self.token(client, &form)
    }

    pub(crate) fn revoke(&self, client: &Client, token: &str) -> Answer {
        let form = [("client_id", client.id.as_str()), ("token", token)];
        Request::post_form("/revoke", &form).send(self.authority()).unwrap()
    }

    fn token(&self, client: &Client, form: &[(&str, &str)]) -> Answer {
        Request::post_form(&format!("{}/token", client.server), form).send(self.authority()).unwrap()
    }

    /// A whole login with a browser of its own.
    pub(crate) fn login(&self) -> (Client, Tokens) {
        self.login_at("")
    }

    /// Logs in at the server of this path.
    pub(crate) fn login_at(&self, server: &str) -> (Client, Tokens) {
        let client = self.register_at(server, &[REDIRECT_URI]);
        let code = self.code(&client, &mut Browser::default());
        let tokens = Tokens::of(&self.redeem(&client, &code).expect(200).json());
        (client, tokens)
    }

    /// A whole login at a demo, as one of its simulated people.
    pub(crate) fn login_at_demo(&self) -> Tokens {
        let client = self.register(&[REDIRECT_URI]);
        let (mut browser, mut at_github_browser) = (Browser::default(), Browser::default());
        let at_github = self.approve(&client, &mut browser);
        let page = at_github_browser.visit(&at_github).expect(200);
        assert!(page.text().contains("SIMULATED"), "{}", page.text());
        let answer = at_github_browser.press(&at_github, &page, ("decision", "authorize")).expect(303);
        let answer = browser.visit(answer.field("location").unwrap()).expect(303);
        let code = parameter(answer.field("location").unwrap(), "code").unwrap();
        Tokens::of(&self.redeem(&client, &code).expect(200).json())
    }

    /// A legacy `initialize` with this token.
    pub(crate) fn initialize(&self, token: &str) -> Answer {
        let body = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "blackbox", "version": "1"},
            },
        });
        mcp(&body).bearer(token).send(self.authority()).unwrap()
    }

    /// A new legacy session, ready for use: its id.
    pub(crate) fn session(&self, token: &str) -> String {
        let session = self.initialize(token).expect(200).field("mcp-session-id").unwrap().to_owned();
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        in_session(&ready, &session).bearer(token).send(self.authority()).unwrap().expect(202);
        session
    }
}

/// A POST of one message to the MCP endpoint.
pub(crate) fn mcp(message: &Value) -> Request {
    Request::post_json("/mcp", message).with("Accept", "application/json, text/event-stream")
}

/// A POST of one message of a legacy session.
pub(crate) fn in_session(message: &Value, session: &str) -> Request {
    mcp(message).with("Mcp-Session-Id", session).with("MCP-Protocol-Version", "2025-11-25")
}

/// A POST of one request of the modern era.
pub(crate) fn modern(method: &str, params: Value) -> Request {
    modern_with(method, params, &json!({}))
}

/// A request of a client with these capabilities.
pub(crate) fn modern_with(method: &str, mut params: Value, capabilities: &Value) -> Request {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "blackbox", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let name = params["name"].as_str().map(str::to_owned);
    let request = mcp(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
        .with("MCP-Protocol-Version", "2026-07-28")
        .with("Mcp-Method", method);
    match name {
        Some(name) => request.with("Mcp-Name", &name),
        None => request,
    }
}

/// The reply in an answer, which is either JSON or the last message of a stream.
pub(crate) fn reply(answer: &Answer) -> Value {
    match answer.field("content-type") {
        Some("text/event-stream") => {
            let last = answer.text().lines().filter_map(|line| line.strip_prefix("data:")).next_back();
            serde_json::from_str(last.expect("a stream with a message")).expect("messages are JSON")
        }
        _ => answer.json(),
    }
}
