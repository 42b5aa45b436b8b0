//! Discovery of the authorization server, and the login from the view of a client and a browser.

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, Request};
use crate::support::server::Server;
use crate::support::walk::{REDIRECT_URI, Tokens, VERIFIER, in_session, modern, reply};

fn metadata(server: &Server, path: &str) -> Value {
    let answer = Request::get(path).send(server.authority()).unwrap().expect(200);
    assert_eq!(answer.field("content-type"), Some("application/json"), "{path}");
    assert!(!answer.text().contains("null"), "clients with schemas refuse nulls: {}", answer.text());
    answer.json()
}

/// M3: the challenge names the metadata, and an error only if a token was sent.
#[test]
fn a_request_without_a_token_is_told_where_to_get_one() {
    let server = Server::start(&FakeGitHub::start());
    let resource_metadata = server.url("/.well-known/oauth-protected-resource/mcp");
    for request in [Request::get("/mcp"), Request::delete("/mcp"), Request::post_json("/mcp", &json!({}))] {
        let bare = request.send(server.authority()).unwrap().expect(401);
        let challenge = bare.field("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains(&format!("resource_metadata=\"{resource_metadata}\"")), "{challenge}");
        assert!(!challenge.contains("error="), "{challenge}");

        let forged = request.bearer("mcp_at_forged").send(server.authority()).unwrap().expect(401);
        assert!(forged.field("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    }
}

/// T20: both documents, at each place where clients look, are equal and correct.
#[test]
fn metadata_leads_from_the_resource_to_the_endpoints() {
    let server = Server::start(&FakeGitHub::start());
    let resource = metadata(&server, "/.well-known/oauth-protected-resource/mcp");
    assert_eq!(resource, metadata(&server, "/.well-known/oauth-protected-resource"));
    assert_eq!(resource["resource"], server.url("/mcp"));
    assert_eq!(resource["authorization_servers"], json!([server.url("")]));
    assert_eq!(resource["bearer_methods_supported"], json!(["header"]));

    let issuer = metadata(&server, "/.well-known/oauth-authorization-server");
    assert_eq!(issuer, metadata(&server, "/.well-known/openid-configuration"));
    assert_eq!(issuer["issuer"], server.url(""));
    assert_eq!(issuer["response_types_supported"], json!(["code"]));
    assert_eq!(issuer["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(issuer["authorization_response_iss_parameter_supported"], true);
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("registration_endpoint", "/register"),
        ("revocation_endpoint", "/revoke"),
    ] {
        assert_eq!(issuer[name], server.url(path));
    }
}

#[test]
fn a_login_ends_in_tokens_that_work() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let (_, tokens) = server.login();
    server.initialize(&tokens.access).expect(200);
    assert_eq!(github.asked("/login/oauth/access_token"), 1);
}

/// Both doors serve the same application.
#[test]
fn the_door_for_a_proxy_serves_logins_and_tools_too() {
    let server = Server::behind_proxy(&FakeGitHub::start());
    let (client, tokens) = server.login();
    let session = server.session(&tokens.access);
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "multi-greet", "arguments": {"name": "Ada"}},
    });
    let reading = in_session(&call, &session).bearer(&tokens.access).open(server.authority()).unwrap();
    let last = reading.messages().last().unwrap();
    assert_eq!(last["result"]["content"][0]["text"], "Good morning, Ada!");
    server.revoke(&client, &tokens.refresh).expect(200);
    server.initialize(&tokens.access).expect(401);
}

/// The server of `make run`: simulated people, no account, no other configuration.
#[test]
fn the_demo_lets_a_made_up_person_in() {
    let server = Server::demo();
    let tokens = server.login_at_demo();
    let greet = modern("tools/call", json!({"name": "greet", "arguments": {"name": "Ada"}}));
    let greeting = reply(&greet.bearer(&tokens.access).send(server.authority()).unwrap().expect(200));
    assert_eq!(greeting["result"]["content"][0]["text"], "Hello, Ada!");
}

/// C4: GitHub's code is redeemed once; the same callback again gives no second code.
#[test]
fn a_callback_works_once() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let mut browser = Browser::default();
    let callback = server.through_github(&client, &mut browser);
    browser.visit(&callback).expect(303);
    let again = browser.visit(&callback);
    assert!(again.status >= 400 && again.field("location").is_none(), "{again:?}");
}

/// C10: a refusal on our page returns to the client at once, without GitHub.
#[test]
fn a_denial_goes_back_to_the_client_without_github() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let client = server.register(&[REDIRECT_URI]);
    let mut browser = Browser::default();
    let url = server.authorize_url(&client);
    let page = browser.visit(&url).expect(200);
    let answer = browser.press(&url, &page, ("decision", "deny")).expect(303);
    let location = answer.field("location").unwrap();
    assert!(location.starts_with(REDIRECT_URI) && location.contains("error=access_denied"), "{location}");
    assert_eq!(github.asked("/login/oauth/authorize"), 0);
}

/// The page refers the operator to the log, so the log has GitHub's reason: in its redirect, or for a token that it has just issued.
#[test]
fn a_login_that_github_refuses_leaves_the_reason_in_the_log() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let client = server.register(&[REDIRECT_URI]);
    let refused = |status, change: &dyn Fn(String) -> String, words: &str| {
        let mut browser = Browser::default();
        let callback = change(server.through_github(&client, &mut browser));
        browser.visit(&callback).expect(status);
        server.wait_for_log(words);
    };
    let suspended = |callback: String| callback.replace("code=", "error=application_suspended&unused=");
    refused(502, &suspended, "github.refused route=callback reason=application_suspended hint=");
    github.know_no_token();
    refused(400, &|callback| callback, "github.refused route=user status=401 hint=");
}

/// G3: an error at GitHub is a page of ours for the person, never a code for the client.
#[test]
fn a_code_that_github_refuses_lets_nobody_in() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    github.refuse_codes();
    let client = server.register(&[REDIRECT_URI]);
    let mut browser = Browser::default();
    let callback = server.through_github(&client, &mut browser);
    let page = browser.visit(&callback);
    assert!(page.status >= 400 && page.field("location").is_none(), "{page:?}");
    assert!(!page.text().contains("bad_verification_code"));
}

/// B1: none of our pages can be framed, cached or made to run a script.
#[test]
fn pages_carry_the_header_fields_of_a_login_page() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let page = Browser::default().visit(&server.authorize_url(&client)).expect(200);
    let policy = page.field("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("form-action") && !policy.contains("unsafe-inline"), "{policy}");
    assert_eq!(page.field("x-frame-options"), Some("DENY"));
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.field("cache-control"), Some("no-store"));
    assert_eq!(page.field("referrer-policy"), Some("same-origin"));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("access-control-allow-origin"), None);
    let cookie = page.field("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!page.text().contains("<script"));
}

/// T4: a code that is redeemed twice was stolen by one of the two; all its tokens are revoked.
#[test]
fn a_replayed_code_revokes_the_grant() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let code = server.code(&client, &mut Browser::default());
    let tokens = Tokens::of(&server.redeem(&client, &code).expect(200).json());
    assert_eq!(server.redeem(&client, &code).expect(400).json()["error"], "invalid_grant");
    server.initialize(&tokens.access).expect(401);
    server.refresh(&client, &tokens.refresh).expect(400);
}

/// T5: the code alone is useless; and its thief cannot take it from the client (T3, T4).
#[test]
fn a_code_without_its_verifier_is_worth_nothing() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let code = server.code(&client, &mut Browser::default());
    let wrong = VERIFIER.replace("canary", "others");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &client.id),
        ("code", &code),
        ("code_verifier", &wrong),
        ("redirect_uri", REDIRECT_URI),
    ];
    let stolen = Request::post_form("/token", &form).send(server.authority()).unwrap().expect(400);
    assert_eq!(stolen.json()["error"], "invalid_grant");
    assert_eq!(stolen.field("cache-control"), Some("no-store"));
    server.redeem(&client, &code).expect(200);
}

/// T1: a token of one type is never taken for another.
#[test]
fn a_token_of_one_type_is_refused_as_another() {
    let server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    server.initialize(&tokens.refresh).expect(401);
    server.initialize(&client.id).expect(401);
    assert_eq!(server.refresh(&client, &tokens.access).expect(400).json()["error"], "invalid_grant");
}

/// C5: the log warns of plain HTTP and its consequence.
#[test]
fn plain_http_is_warned_of() {
    let server = Server::start(&FakeGitHub::start());
    server.wait_for_log("warn  public_url.plain_http");
}

/// G5: a person's obstacle at GitHub is on their page and in the log, and neither blames the rules.
#[test]
fn obstacles_at_github_are_shown_and_logged() {
    let github = FakeGitHub::start();
    let server = Server::start_with(&github, &[("MCP_ALLOW", "org:octo-org")]);
    let check = |status, fixture, words: &str, reason: &str| {
        github.memberships(status, fixture);
        let (client, mut browser) = (server.register(&[REDIRECT_URI]), Browser::default());
        let callback = server.through_github(&client, &mut browser);
        let page = browser.visit(&callback).expect(403);
        assert!(page.text().contains(words), "{}", page.text());
        let log = server.wait_for_log(&format!("reason={reason} "));
        assert!(log.contains("login.not_allowed"), "{log}");
    };
    check(200, "membership_pending", "You have not accepted your invitation yet", "invitation_pending");
    check(403, "saml_enforced", "Your organisation wants its single sign-on first", "single_sign_on");
    check(403, "app_not_approved", "Your organisation has not approved this app", "app_not_approved");
    check(403, "ip_not_allowed", "Your organisation does not answer this server", "address_not_allowed");
    check(404, "not_found", "This account is not let in", "no_rule");
}

/// A call of the tool that needs the person's token at GitHub.
fn call_whoami(server: &Server, tokens: &Tokens) -> Answer {
    let request = modern("tools/call", json!({"name": "whoami", "arguments": {}}));
    request.bearer(&tokens.access).send(server.authority()).unwrap()
}

/// T13: a token that the person has revoked at GitHub ends its grant when a tool needs it, so that the client logs in again.
#[test]
fn a_token_that_github_refuses_leads_to_a_new_login() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let (client, tokens) = server.login();
    let whoami = || call_whoami(&server, &tokens);
    assert_eq!(reply(&whoami())["result"]["structuredContent"]["login"], "octocat");
    github.withdraw();
    let told = reply(&whoami());
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert!(told.to_string().contains("log in again"), "{told}");
    let refused = whoami().expect(401);
    assert!(refused.field("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(server.refresh(&client, &tokens.refresh).expect(400).json()["error"], "invalid_grant");
    server.wait_for_log("reason=github_token_refused");
    server.login();
}

/// S3: that grant ends, and is logged, although its deletion cannot be written yet.
#[test]
fn a_token_that_github_refuses_is_logged_without_a_table() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let (client, tokens) = server.login();
    let whoami = || call_whoami(&server, &tokens);
    whoami().expect(200);
    let (table, away) = (server.state_dir().join("grants.redb"), server.state_dir().join("away"));
    if table.exists() {
        std::fs::rename(&table, &away).unwrap(); // with a remote store the rest is unaffected
    }
    github.withdraw();
    assert_eq!(reply(&whoami())["result"]["isError"], true);
    whoami().expect(401);
    if away.exists() {
        std::fs::rename(&away, &table).unwrap();
        server.wait_for_log("store.recovered");
    }
    server.refresh(&client, &tokens.refresh).expect(400);
    let log = server.wait_for_log("reason=github_token_refused");
    assert_eq!(log.matches("grant.ended").count(), 1, "{log}");
}
