//! One regression test for each fault of the predecessor of this program.

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::github::{FakeGitHub, TOKEN_MARK};
use crate::support::http::{Request, decode, encode, parameter};
use crate::support::server::Server;
use crate::support::walk::{Client, REDIRECT_URI, Tokens, in_session, reply};

/// The seed redirected to the first registered URI instead of the requested one. (O3)
#[test]
fn the_code_goes_to_the_redirect_uri_that_was_asked_for() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&["http://127.0.0.1:9/first", "http://127.0.0.1:9/second"]);
    assert_eq!(client.redirect_uri, "http://127.0.0.1:9/second");
    server.code(&client, &mut Browser::default());
}

/// The seed accepted any redirect URI in an authorization request. (O3, O6)
#[test]
fn a_redirect_uri_that_nobody_registered_is_a_page_not_a_redirect() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    for other in ["http://127.0.0.1:9/callback/", "http://localhost:9/callback", "https://evil.example/"] {
        let client = Client { redirect_uri: other.to_owned(), ..client.clone() };
        let page = Browser::default().visit(&server.authorize_url(&client)).expect(400);
        assert_eq!(page.field("location"), None);
        assert!(page.field("content-type").unwrap().starts_with("text/html"));
    }
}

/// The seed made a PKCE challenge and never sent it to GitHub. (G1) The fake GitHub refuses a code whose verifier does
/// not match the challenge, so a successful login has sent both.
#[test]
fn github_gets_a_pkce_challenge_of_each_login() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let challenge = || {
        let at_github = server.approve(&client, &mut Browser::default());
        assert_eq!(parameter(&at_github, "code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(parameter(&at_github, "redirect_uri"), Some(server.url("/auth/callback")));
        parameter(&at_github, "code_challenge").unwrap()
    };
    let first = challenge();
    assert_eq!(first.len(), 43);
    assert_ne!(first, challenge());
}

/// The seed accepted an authorization request without a challenge. (O2)
#[test]
fn a_request_without_an_s256_challenge_gets_no_page() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let good = server.authorize_url(&client);
    let (path, query) = good.split_once('?').unwrap();
    let check = |name: &str, instead: Option<&str>| {
        let mut pairs = decode(query);
        pairs.retain(|(parameter, _)| parameter != name);
        pairs.extend(instead.map(|value| (name.to_owned(), value.to_owned())));
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = Browser::default().visit(&format!("{path}?{}", encode(&pairs))).expect(303);
        let location = answer.field("location").unwrap();
        assert!(location.starts_with(REDIRECT_URI), "{location}");
        assert_eq!(parameter(location, "error").as_deref(), Some("invalid_request"));
        assert_eq!(parameter(location, "code"), None);
    };
    check("code_challenge", None);
    check("code_challenge", Some("too-short"));
    check("code_challenge_method", None);
    check("code_challenge_method", Some("plain"));
}

/// The seed gave tokens to any client with a code. (T3)
#[test]
fn a_code_belongs_to_the_client_that_asked_for_it() {
    let server = Server::start(&FakeGitHub::start());
    let (client, other) = (server.register(&[REDIRECT_URI]), server.register(&[REDIRECT_URI]));
    let code = server.code(&client, &mut Browser::default());
    assert_eq!(server.redeem(&other, &code).expect(400).json()["error"], "invalid_grant");
    server.redeem(&client, &code).expect(200);
}

/// The seed handed out refresh tokens that nothing accepted. (T9)
#[test]
fn a_refresh_token_gives_new_tokens_that_work() {
    let server = Server::start(&FakeGitHub::start());
    let (client, first) = server.login();
    let second = Tokens::of(&server.refresh(&client, &first.refresh).expect(200).json());
    assert_ne!(second.refresh, first.refresh);
    server.initialize(&second.access).expect(200);
    let third = Tokens::of(&server.refresh(&client, &second.refresh).expect(200).json());
    // T10: the oldest of three generations can only come from a thief.
    server.refresh(&client, &first.refresh).expect(400);
    server.initialize(&third.access).expect(401);
}

/// The seed threw on revoke. (T14)
#[test]
fn revoking_ends_a_token_and_its_grant() {
    let server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    server.revoke(&client, &tokens.refresh).expect(200);
    server.initialize(&tokens.access).expect(401);
    server.refresh(&client, &tokens.refresh).expect(400);
    server.revoke(&client, "unknown").expect(200);
    server.revoke(&client, &tokens.refresh).expect(200);
}

/// The seed had no consent page: a link was enough to give any client the user's access. (C1)
#[test]
fn nobody_gets_to_github_without_consent() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let client = server.register(&[REDIRECT_URI]);
    let page = Browser::default().visit(&server.authorize_url(&client)).expect(200);
    for part in ["Black box", "127.0.0.1:9", &server.url("/mcp")] {
        assert!(page.text().contains(part), "no {part} in {}", page.text());
    }
    assert_eq!(page.field("location"), None);
    assert_eq!(github.asked("/login/oauth/authorize"), 0);
}

/// The seed did not bind `state` to the browser: an attacker could finish their login in the victim's, or the other way
/// round. (C3, C4)
#[test]
fn a_login_stays_in_its_browser() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let client = server.register(&[REDIRECT_URI]);
    let url = server.authorize_url(&client);
    let page = Browser::default().visit(&url).expect(200);
    let elsewhere = Browser::default().press(&url, &page, ("decision", "approve"));
    assert!(elsewhere.status >= 400 && elsewhere.field("location").is_none(), "{elsewhere:?}");

    let mut browser = Browser::default();
    let callback = server.through_github(&client, &mut browser);
    let elsewhere = Browser::default().visit(&callback);
    assert!(elsewhere.status >= 400 && elsewhere.field("location").is_none(), "{elsewhere:?}");
    assert_eq!(github.asked("/login/oauth/access_token"), 0);
    browser.visit(&callback).expect(303);
}

/// The seed ignored GitHub's user and admitted every account. (G4, G5)
#[test]
fn another_github_user_is_refused() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    github.log_in_as("mona", 2);
    let client = server.register(&[REDIRECT_URI]);
    let mut browser = Browser::default();
    let callback = server.through_github(&client, &mut browser);
    let before = server.stored();
    let page = browser.visit(&callback).expect(403);
    assert_eq!(page.field("location"), None);
    assert!(page.text().contains("mona"), "the page says which account was refused");
    assert_eq!(server.stored(), before);
    assert_eq!(github.asked("/api/v3/user"), 1);
    // Admitted people are unaffected by that.
    github.log_in_as("octocat", 583_231);
    server.login();
    assert_ne!(server.stored(), before);
}

/// The seed's sessions were bound to no user. (M6)
#[test]
fn a_session_belongs_to_the_grant_that_opened_it() {
    let server = Server::start(&FakeGitHub::start());
    let ((_, mine), (_, theirs)) = (server.login(), server.login());
    let session = server.session(&mine.access);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let request = in_session(&list, &session);
    let stolen = request.clone().bearer(&theirs.access).send(server.authority()).unwrap();
    let unknown = in_session(&list, "unknown").bearer(&theirs.access).send(server.authority()).unwrap();
    assert_eq!((stolen.status, stolen.text()), (404, unknown.text()));
    request.bearer(&mine.access).send(server.authority()).unwrap().expect(200);
}

/// The seed shared one server object between sessions: the second took the first one's answers. (M7)
#[test]
fn sessions_share_nothing() {
    let server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let sessions = [server.session(&tokens.access), server.session(&tokens.access)];
    assert_ne!(sessions[0], sessions[1]);
    let greet = |session: &str, name: &str| {
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "greet", "arguments": {"name": name}},
        });
        in_session(&call, session).bearer(&tokens.access).open(server.authority()).unwrap()
    };
    // Both are outstanding before either is read, with the same request id.
    let (first, second) = (greet(&sessions[0], "Ada"), greet(&sessions[1], "Grace"));
    let text = |answer| reply(&answer)["result"]["content"][0]["text"].clone();
    assert_eq!(text(second.finish().unwrap()), "Hello, Grace!");
    assert_eq!(text(first.finish().unwrap()), "Hello, Ada!");
    let gone = Request::delete("/mcp").with("Mcp-Session-Id", &sessions[0]).bearer(&tokens.access);
    let status = gone.send(server.authority()).unwrap().status;
    assert!(matches!(status, 200 | 204), "{status}");
    text(greet(&sessions[1], "Grace").finish().unwrap());
    assert_eq!(greet(&sessions[0], "Ada").head().status, 404);
}

/// The seed logged bodies, codes and redirects. (L1) The log of a whole run with every kind of secret contains none of them.
#[test]
fn no_secret_reaches_the_log() {
    let github = FakeGitHub::start();
    let mut server = Server::start(&github);
    let client = server.register(&[REDIRECT_URI]);
    let mut browser = Browser::default();
    let at_github = server.approve(&client, &mut browser);
    let mut secrets = browser.cookie_values();
    let callback = server.through_github(&client, &mut browser);
    secrets.extend([parameter(&at_github, "state").unwrap(), parameter(&callback, "code").unwrap()]);
    secrets.extend(browser.cookie_values());
    let location = browser.visit(&callback).expect(303).field("location").unwrap().to_owned();
    let code = parameter(&location, "code").unwrap();
    let tokens = Tokens::of(&server.redeem(&client, &code).expect(200).json());
    let turned = Tokens::of(&server.refresh(&client, &tokens.refresh).expect(200).json());
    let session = server.session(&turned.access);
    server.redeem(&client, &code).expect(400);
    server.initialize("mcp_at_canary-forged-token").expect(401);
    Request::get("/no-such-path?canary-query=1").send(server.authority()).unwrap().expect(404);
    server.revoke(&client, &turned.refresh).expect(200);
    assert!(server.stop().success());

    secrets.extend([client.id, code, tokens.access, tokens.refresh, turned.access, turned.refresh, session]);
    secrets.extend(["canary", TOKEN_MARK, "Bearer "].map(str::to_owned));
    let key = std::fs::read_to_string(server.state_dir().join("key")).unwrap();
    secrets.extend(key.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned));
    let log = server.log();
    assert!(log.contains("583231"), "the log says who logged in:\n{log}");
    for secret in secrets {
        // The log cuts long values: a part of a secret counts as well.
        let pieces: Vec<&str> = match secret.len() {
            0..48 => vec![&secret],
            length => (0..length - 24).step_by(24).map(|at| &secret[at..at + 24]).collect(),
        };
        let found = pieces.into_iter().find(|piece| log.contains(piece));
        assert_eq!(found, None, "a piece of {secret} is in the log:\n{log}");
    }
}
