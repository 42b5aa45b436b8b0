//! The application from a head to an answer: the order of its checks, its header fields, and OAuth together with MCP.

use std::sync::Arc;

use super::*;
use crate::base::{Capacity, CountedRandom, OsRandom};
use crate::http::desk::{answer, body_limit};
use crate::http::fake::request;
use crate::mcp::{self, ToolServer};
use crate::oauth::fake::{self, Browser, Fixture};
use crate::seal::fake::keyring;

mod log_lines;
mod origins;
mod servers;

const ORIGIN: &str = "https://inspector.example";

/// An app over the fixture's table and keys, at `https://mcp.example.com`.
fn app(fixture: &Fixture) -> Arc<App> {
    app_at("https://mcp.example.com", fixture)
}

fn app_at(url: &str, fixture: &Fixture) -> Arc<App> {
    Arc::new(App::new(parts(url, fixture)))
}

fn with_http_sse(fixture: &Fixture) -> Arc<App> {
    Arc::new(App::new(AppParts { serves_http_sse: true, ..parts("https://mcp.example.com", fixture) }))
}

fn parts(url: &str, fixture: &Fixture) -> AppParts<'static> {
    let url = PublicUrl::parse(url).unwrap();
    let mcp = mcp(fixture, ToolServer::builder("test", "1").build().unwrap());
    AppParts {
        oauth: Arc::new(fake::server_at(fixture, url.clone())),
        servers: vec![McpServer { resource: Arc::new(fake::resource(&url, None)), mcp }],
        public_url: url,
        allowed_origins: ["null", "app://obsidian.md", ORIGIN].map(str::to_owned).to_vec(),
        serves_http_sse: false,
        proxies: TrustedProxies::default(),
        random: &OsRandom,
        metrics: Arc::default(),
    }
}

fn mcp(fixture: &Fixture, backend: ToolServer) -> Mcp {
    Mcp::new(mcp_settings(fixture, backend))
}

fn mcp_settings(fixture: &Fixture, backend: ToolServer) -> mcp::Settings {
    mcp::Settings {
        backend: Arc::new(backend),
        keys: Arc::new(keyring(1)),
        clock: Arc::clone(&fixture.clock) as Arc<dyn crate::base::clock::Clock>,
        random: Arc::new(CountedRandom::default()),
        capacity: Capacity::default(),
        resource: "https://mcp.example.com/mcp".into(),
        access: Arc::default(),
        insufficient_scope: Arc::new(|_| Response::new(403)),
    }
}

fn to(method: &str, target: &str) -> Request {
    request(method, target).with("Host", "mcp.example.com")
}

fn initialize(token: &str) -> Request {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",
                   "capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    post(token, body)
}

fn post(token: &str, body: &str) -> Request {
    to("POST", "/mcp")
        .with("Authorization", &format!("Bearer {token}"))
        .with("Content-Type", "application/json")
        .with("Accept", "application/json, text/event-stream")
        .body(body)
}

/// A `subscriptions/listen` of 2026-07-28; `wanted` is the value of its `toolsListChanged`.
fn listen(token: &str, wanted: &str) -> Request {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},
        "notifications":{"toolsListChanged":WANTED}}}"#;
    let request = post(token, &body.replace("WANTED", wanted)).with("MCP-Protocol-Version", "2026-07-28");
    request.with("Mcp-Method", "subscriptions/listen")
}

/// M1: Host, then Origin, then path and method, then the token: each failure hides the later ones.
#[test]
fn host_origin_path_method_and_token_are_checked_in_this_order() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let check = |request: Request, status: u16| {
        assert_eq!(answer(&app, request).status(), status);
    };
    check(request("POST", "/mcp").with("Host", "evil.example").with("Origin", "https://evil.example"), 421);
    check(request("POST", "/mcp"), 421);
    check(to("PUT", "/mcp").with("Origin", "https://evil.example"), 405);
    check(to("POST", "/mcp").with("Origin", "https://evil.example"), 403);
    check(to("POST", "/mcp").with("Origin", "app://other"), 403);
    check(to("HEAD", "/mcp").with("Origin", "https://evil.example"), 403);
    check(to("POST", "/mcp").with("Origin", ORIGIN).with("Origin", ORIGIN), 400);
    check(to("POST", "/token").with("Origin", "https://evil.example"), 403);
    check(to("GET", "/nothing"), 404);
    check(to("GET", "/mcp"), 401);
    check(to("DELETE", "/mcp"), 401);
    check(to("POST", "/mcp").with("Content-Type", "text/plain"), 401);
}

/// A2: liveness and readiness probes get one word each; a stopping server is live, and not ready.
#[test]
fn health_and_readiness_reveal_nothing() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let check = |path: &str, status: u16, text: &str| {
        let response = answer(&app, to("GET", path).with("Authorization", "Bearer x").with("Cookie", "a=b"));
        assert_eq!((response.status(), fake::text(&response).as_str()), (status, text), "{path}");
    };
    check("/healthz", 200, "ok\n");
    check("/readyz", 200, "ready\n");
    app.close();
    check("/healthz", 200, "ok\n");
    check("/readyz", 503, "not ready\n");
}

/// M3: some clients use HEAD to find out whether a login is needed; for a caller with a token, the method is the error.
#[test]
fn head_without_a_token_is_challenged() {
    let fixture = fake::fixture();
    let app = with_http_sse(&fixture);
    for path in ["/mcp", "/mcp/", "/sse"] {
        let refused = answer(&app, to("HEAD", path));
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.header_value("www-authenticate").unwrap().contains("resource_metadata="), "{path}");
        let with_token = answer(&app, to("HEAD", path).with("Authorization", "Bearer x"));
        assert_eq!(with_token.status(), 405, "{path}");
        assert!(!with_token.header_value("allow").unwrap().contains("HEAD"), "{path}");
    }
}

/// A request to a wrong path, or to the host alone, is answered with the right path.
#[test]
fn a_wrong_path_or_method_says_where_the_endpoint_is() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    for (method, path, status) in [
        ("POST", "/", 405),
        ("DELETE", "/", 405),
        ("POST", "/mcp/mcp", 404),
        ("POST", "/v1/mcp", 404),
        ("GET", "/sse", 404),
    ] {
        let response = answer(&app, to(method, path));
        assert_eq!(response.status(), status, "{method} {path}");
        assert!(fake::text(&response).contains("https://mcp.example.com/mcp\n"), "{method} {path}");
    }
    assert_eq!(answer(&app, to("POST", "/mcp/")).status(), 401);
}

/// M4: OAuth and MCP together: a token of the one opens the other, until its grant is revoked.
#[test]
fn a_token_opens_the_mcp_endpoint_until_it_is_revoked() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let browser = &mut Browser::new(&fixture);
    let tokens = browser.tokens();
    let response = answer(&app, initialize(&tokens.access));
    assert_eq!(response.status(), 200);
    assert!(response.header_value("mcp-session-id").is_some());
    assert_eq!(response.header_value("cache-control"), Some("no-store"));
    let form = format!("token={}&client_id={}", tokens.refresh, browser.client_id);
    let revoke = to("POST", "/revoke").with("Content-Type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(answer(&app, revoke).status(), 200);
    let refused = answer(&app, initialize(&tokens.access));
    assert_eq!(refused.status(), 401);
    assert!(refused.header_value("www-authenticate").unwrap().contains("error=\"invalid_token\""));
}

/// H2, H3: a stranger's large body is refused on its head alone, and no byte of it is read; a
/// caller's is read.
#[test]
fn large_bodies_need_a_valid_token() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let limit = |request: Request| body_limit(&app, request.head);
    let unchecked = limits::UNCHECKED_BODY_BYTES;
    assert_eq!(limit(to("POST", "/mcp").with("Content-Length", "1")), Err(401));
    let guess = || to("POST", "/mcp").with("Authorization", "Bearer guess");
    assert_eq!(limit(guess().with("Content-Length", &unchecked.to_string())), Ok(unchecked));
    assert_eq!(limit(guess().with("Content-Length", &(unchecked + 1).to_string())), Err(401));
    assert_eq!(limit(guess().with("Transfer-Encoding", "chunked")), Err(401));
    let tokens = Browser::new(&fixture).tokens();
    let large = initialize(&tokens.access).with("Content-Length", "1000000");
    assert_eq!(limit(large), Ok(limits::MCP_BYTES));
    assert_eq!(limit(to("POST", "/register")), Ok(limits::FORM_BYTES));
    assert_eq!(limit(to("GET", "/authorize")), Ok(0));
}

/// H3: slow bodies of one user leave room for everybody else's.
#[test]
fn a_user_sends_few_large_bodies_at_once() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let tokens = Browser::new(&fixture).tokens();
    let admit = |length: &str| {
        let request = initialize(&tokens.access).with("Content-Length", length);
        match Arc::clone(&app).admit(request.head) {
            Admission::Welcome(ticket) => Ok(ticket),
            Admission::Answered(response) => Err(response.status()),
        }
    };
    let held: Vec<_> = (0..limits::LARGE_BODIES_PER_USER).map(|_| admit("1000000").ok().unwrap()).collect();
    assert_eq!(admit("1000000").err(), Some(429));
    assert!(admit("1000").is_ok());
    drop(held);
    assert!(admit("1000000").is_ok());
}

/// Without an announced length a message is small, if no place is free.
#[test]
fn any_number_of_chunked_messages_is_read_at_once() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let tokens = Browser::new(&fixture).tokens();
    let admit = || {
        let request = initialize(&tokens.access).with("Transfer-Encoding", "chunked");
        let Admission::Welcome(ticket) = Arc::clone(&app).admit(request.head) else { panic!("not read") };
        ticket
    };
    let held: Vec<_> = (0..limits::LARGE_BODIES_PER_USER).map(|_| admit()).collect();
    assert!(held.iter().all(|ticket| ticket.limit == limits::MCP_BYTES));
    assert_eq!(admit().limit, limits::UNCHECKED_BODY_BYTES);
    drop(held);
    assert_eq!(admit().limit, limits::MCP_BYTES);
}

/// B2: the header fields of every answer.
#[test]
fn every_answer_carries_the_common_fields() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    for target in ["/", "/mcp", "/authorize", "/.well-known/oauth-authorization-server", "/nothing"] {
        let response = answer(&app, to("GET", target));
        assert_eq!(response.header_value("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(response.header_value("strict-transport-security"), Some("max-age=31536000"), "{target}");
        assert_eq!(response.headers().filter(|(name, _)| *name == "Referrer-Policy").count(), 1, "{target}");
        assert!(response.header_value("server").is_none(), "{target}");
        let is_for_others = target == "/mcp" || target.starts_with("/.well-known");
        let expected = if is_for_others { None } else { Some("same-origin") };
        assert_eq!(response.header_value("cross-origin-resource-policy"), expected, "{target}");
    }
    let consent = fake::Browser::new(&fixture).open_consent_page();
    assert_eq!(consent.header_value("referrer-policy"), Some("same-origin"));
}

/// A browser that opens the endpoint gets the home page; programs get the challenge alone.
#[test]
fn the_endpoint_in_a_browser_shows_the_home_page() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let home = fake::text(&answer(&app, to("GET", "/")));
    let challenge = answer(&app, to("GET", "/mcp"));
    let check = |method, fields: &[(&str, &str)], shows: bool| {
        let request =
            fields.iter().fold(to(method, "/mcp"), |request, (name, value)| request.with(name, value));
        let response = answer(&app, request);
        assert_eq!(fake::text(&response) == home, shows, "{method} {fields:?}");
        response
    };
    let chrome = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    let page = check("GET", &[chrome], true);
    assert_eq!((page.status(), page.header_value("content-type")), (401, Some("text/html; charset=utf-8")));
    assert_eq!(page.header_value("www-authenticate"), challenge.header_value("www-authenticate"));
    assert_eq!(page.headers().filter(|(name, _)| *name == "Cache-Control").count(), 1);
    for accept in
        ["text/event-stream", "application/json, text/event-stream", "*/*", "application/json, text/html"]
    {
        let response = check("GET", &[("Accept", accept)], false);
        assert_eq!((response.status(), fake::text(&response)), (401, String::new()), "{accept}");
    }
    check("GET", &[], false);
    check("POST", &[chrome], false);
    assert_eq!(check("GET", &[chrome, ("Authorization", "Bearer x")], false).status(), 401);
}

/// A web client opens the login in a popup and waits for its callback page: no page in between may sever the two.
#[test]
fn login_pages_do_not_sever_the_opener_of_a_popup() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let client = Browser::new(&fixture).client_id;
    let query = format!(
        "redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&response_type=code&code_challenge={}",
        fake::CHALLENGE
    );
    let asking = format!("/authorize?client_id={client}&{query}&code_challenge_method=S256");
    for (method, target, status, policy) in [
        ("GET", asking.as_str(), 200, None),
        ("GET", "/authorize?client_id=unknown", 400, None),
        ("GET", &format!("{asking}&prompt=none"), 303, None),
        ("POST", "/consent", 403, None),
        ("GET", "/auth/callback?state=mcp_gl_unknown", 400, None),
        ("GET", "/auth/callback?state=account.mcp_gl_unknown", 400, None),
        ("GET", "/", 200, Some("same-origin")),
        ("GET", "/account", 200, Some("same-origin")),
        ("POST", "/account", 403, Some("same-origin")),
    ] {
        let response = answer(&app, to(method, target));
        assert_eq!(response.status(), status, "{method} {target}");
        assert_eq!(response.header_value("cross-origin-opener-policy"), policy, "{method} {target}");
    }
}

/// O15: the server's URLs in its answers come from its configuration, not from a request.
#[test]
fn no_header_changes_what_the_server_calls_itself() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let browser = Browser::new(&fixture);
    let authorize =
        format!("/authorize?client_id={}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb", browser.client_id);
    for target in [
        "/",
        "/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
        &authorize,
    ] {
        let request = to("GET", target)
            .with("X-Forwarded-Host", "evil.example")
            .with("X-Forwarded-Proto", "http")
            .with("X-Forwarded-Prefix", "/evil")
            .with("Forwarded", "host=evil.example;proto=http");
        let (plain, forwarded) = (answer(&app, to("GET", target)), answer(&app, request));
        let shown = |response: &Response| {
            let fields: Vec<_> = response.headers().map(|(name, value)| format!("{name}: {value}")).collect();
            (response.status(), fields, fake::text(response))
        };
        assert_eq!(shown(&plain), shown(&forwarded), "{target}");
    }
    let evil = request("GET", "/.well-known/oauth-authorization-server").with("Host", "evil.example");
    assert_eq!(answer(&app, evil).status(), 421);
}

/// M1: admitting a large message writes nothing, nor does the use of its token: not even at the end of its lifetime, for a token
/// whose grant was already written when it was issued.
#[test]
fn using_a_token_writes_nothing() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens();
    fake::tokens(&browser.refresh(&first.refresh));
    fixture.clock.advance(limits::REFRESH_RETRY / 2);
    let again = fake::tokens(&browser.refresh(&first.refresh));
    fixture.clock.advance(limits::ACCESS_TOKEN_LIFETIME - limits::REFRESH_RETRY / 4);
    let before = fixture.grants.list().unwrap();
    let large = initialize(&again.access).with("Content-Length", "1000000");
    assert!(body_limit(&app, large.head).is_ok());
    assert_eq!(answer(&app, initialize(&again.access)).status(), 200);
    assert_eq!(fixture.grants.list().unwrap(), before);
}

/// T17: the end of a grant, by any cause, ends its sessions.
#[test]
fn an_expired_grant_takes_its_sessions_along() {
    let fixture = fake::fixture();
    let app = app(&fixture);
    let tokens = Browser::new(&fixture).tokens();
    let session = answer(&app, initialize(&tokens.access)).header_value("mcp-session-id").unwrap().to_owned();
    fixture.clock.advance(limits::GRANT_LIFETIME);
    app.sweep();
    let ping = to("POST", "/mcp").with("Authorization", &format!("Bearer {}", tokens.access));
    assert_eq!(answer(&app, ping.with("Mcp-Session-Id", &session)).status(), 401);
    assert_eq!(app.servers()[0].mcp.counts().sessions, 0);
}

/// T13, T17: a former member of the organisation keeps no stream beyond the lifetime of the token that opened it.
#[test]
fn a_stream_does_not_outlive_its_token() {
    let fixture = fake::fixture();
    let group = crate::base::Group::Org("acme".to_owned());
    let oauth = Arc::new(fake::server_with(&fixture, vec![crate::base::AllowRule::Group(group)]));
    let app = Arc::new(App::new(AppParts { oauth, ..parts("https://mcp.example.com", &fixture) }));
    fixture.provider.member_of(&["acme"]);
    let token = Browser::new(&fixture).tokens().access;
    let stream = answer(&app, listen(&token, "true"));
    assert_eq!(stream.status(), 200);
    fixture.provider.member_of(&[]);
    app.sweep();
    assert_eq!(app.servers()[0].mcp.counts().listeners, 1);
    fixture.clock.advance(limits::ACCESS_TOKEN_LIFETIME);
    app.sweep();
    assert_eq!(app.servers()[0].mcp.counts().listeners, 0);
}

/// M3: HTTP+SSE of 2024-11-05 is off by default, and requires the same token, for the same server.
#[test]
fn the_http_sse_transport_is_off_by_default() {
    let fixture = fake::fixture();
    let (off, on) = (app(&fixture), with_http_sse(&fixture));
    let metadata = "/.well-known/oauth-protected-resource/sse";
    for (method, path) in [("GET", "/sse"), ("POST", "/message"), ("GET", metadata)] {
        assert_eq!(answer(&off, to(method, path)).status(), 404, "{path}");
    }
    for (method, path) in [("GET", "/sse"), ("POST", "/message")] {
        let refused = answer(&on, to(method, path));
        assert_eq!(refused.status(), 401);
        let challenge = refused.header_value("www-authenticate").unwrap();
        assert!(challenge.contains(&format!("\"https://mcp.example.com{metadata}\"")), "{challenge}");
    }
    let document: serde_json::Value = fake::body(&answer(&on, to("GET", metadata)));
    assert_eq!(document["resource"], "https://mcp.example.com/sse");
    let token = Browser::new(&fixture).tokens().access;
    let open = to("GET", "/sse").with("Accept", "text/event-stream");
    let opened = answer(&on, open.with("Authorization", &format!("Bearer {token}")));
    assert_eq!((opened.status(), opened.header_value("cache-control")), (200, Some("no-store")));
}
