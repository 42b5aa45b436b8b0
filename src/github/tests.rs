//! GitHub over a socket: a loopback server that answers with fixtures, or as an attacker would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::base::clock;

/// A fixture of `fixtures/github`.
pub(super) fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/github/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let framing = format!("Content-Length: {}\r\nConnection: close", body.len());
    let mut bytes = format!("HTTP/1.1 {head}\r\n{framing}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ok(name: &str) -> Vec<u8> {
    answer("200 OK", &fixture(name))
}

/// A GitHub that answers each connection's one request with these bytes, then waits for the client to close it.
struct Fake {
    github: GitHub,
    requests: mpsc::Receiver<String>,
}

impl Fake {
    fn new(answers: Vec<Vec<u8>>) -> Fake {
        Fake::with(answers, |_| ())
    }

    fn with(answers: Vec<Vec<u8>>, change: impl FnOnce(&mut GitHubSettings)) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        // Ends after the last answer.
        std::thread::spawn(move || {
            for bytes in answers {
                let (mut socket, _) = listener.accept().unwrap();
                sender.send(read_request(&socket)).unwrap();
                let _ = socket.write_all(&bytes);
                let _ = socket.shutdown(std::net::Shutdown::Write).and_then(|()| socket.read(&mut [0; 64]));
            }
        });
        let mut settings = settings(&url);
        change(&mut settings);
        Fake { github: GitHub::new(settings), requests }
    }

    fn request(&self) -> String {
        self.requests.recv().unwrap()
    }
}

pub(super) fn settings(url: &str) -> GitHubSettings {
    GitHubSettings {
        client_id: "Iv1.client".to_owned(),
        client_secret: Secret::new("the secret".to_owned()),
        other_secret: None,
        url: BaseUrl::parse(url).unwrap(),
        api_url: BaseUrl::parse(&format!("{url}/api/v3")).unwrap(),
        trust: crate::trust::Trust::load(None).unwrap(),
    }
}

fn read_request(socket: &TcpStream) -> String {
    let mut reader = BufReader::new(socket);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap() > 0 {}
    text = text.to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

fn token() -> Secret<String> {
    Secret::new("gho_Token".to_owned())
}

fn redeem(github: &GitHub) -> Result<Secret<String>, ProviderError> {
    github
        .redeem(&Redemption {
            code: "the&code",
            code_verifier: &Secret::new("verifier".to_owned()),
            redirect_uri: "https://mcp.example.com/callback",
        })
        .map(|token| token.access)
}

fn octocat() -> Identity {
    Identity { user: crate::base::UserId(583_231), login: "octocat".to_owned() }
}

/// G1: every login has PKCE, a state and a fixed callback, and requests no scope without need.
#[test]
fn the_browser_is_sent_to_the_login_page() {
    let github = GitHub::new(settings("http://127.0.0.1:9"));
    assert_eq!(github.api_url().join("/user/repos"), "http://127.0.0.1:9/api/v3/user/repos");
    let url = |scope| {
        github.authorize_url(&LoginRequest {
            state: "s t",
            code_challenge: "challenge",
            redirect_uri: "https://mcp.example.com/callback",
            scope,
        })
    };
    let plain = "http://127.0.0.1:9/login/oauth/authorize?client_id=Iv1.client\
                 &redirect_uri=https%3A%2F%2Fmcp.example.com%2Fcallback&state=s%20t\
                 &code_challenge=challenge&code_challenge_method=S256";
    assert_eq!(url(""), plain);
    assert_eq!(url("read:org"), format!("{plain}&scope=read%3Aorg"));
    assert_eq!(github.issuer(), "http://127.0.0.1:9/login/oauth");
}

#[test]
fn a_code_is_redeemed_with_secret_and_verifier() {
    let fake = Fake::new(vec![ok("token")]);
    assert_eq!(redeem(&fake.github).unwrap().expose(), "gho_16C7e42F292c6912E7710c838347Ae178B4a");
    let request = fake.request();
    assert!(request.starts_with("post /login/oauth/access_token http/1.1\r\n"), "{request}");
    for part in [
        "accept: application/json\r\n",
        "accept-encoding: identity\r\n",
        "user-agent: mcp-oauth-server/",
        "content-type: application/x-www-form-urlencoded\r\n",
        "client_id=Iv1.client&client_secret=the",
        "&code=the%26code&",
        "&code_verifier=verifier",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

/// G3: an error is recognised with any status, a token only with 200.
#[test]
fn errors_of_the_token_endpoint_are_told_apart() {
    let check = |bytes, expected| {
        assert_eq!(redeem(&Fake::new(vec![bytes]).github).unwrap_err(), expected);
    };
    check(ok("error_bad_verification_code"), ProviderError::Refused);
    check(ok("error_unverified_user_email"), ProviderError::Blocked(Obstacle::UnverifiedEmail));
    check(ok("error_incorrect_client_credentials"), ProviderError::Misconfigured);
    check(ok("error_redirect_uri_mismatch"), ProviderError::Misconfigured);
    check(answer("404 Not Found", &fixture("error_unknown_client")), ProviderError::Misconfigured);
    check(answer("201 Created", &fixture("token")), ProviderError::Nonsense);
    check(answer("200 OK", b"<html>"), ProviderError::Nonsense);
    check(answer("502 Bad Gateway", b"{}"), ProviderError::Nonsense);
    check(b"SSH-2.0-OpenSSH\r\n".to_vec(), ProviderError::Unreachable);
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}".to_vec(), ProviderError::Unreachable);
}

/// G7: a redirect is not followed, so the client secret is sent to no other host.
#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!("Location: http://{}/login/oauth/access_token", elsewhere.local_addr().unwrap());
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let head = format!("{status}\r\n{location}");
        let fake = Fake::new(vec![answer(&head, b""), answer(&head, b""), answer(&head, b"")]);
        assert_eq!(redeem(&fake.github).unwrap_err(), ProviderError::Misconfigured);
        assert_eq!(fake.github.identify(&token()), Err(ProviderError::Nonsense));
        assert_eq!(
            fake.github.is_member(&token(), &octocat(), &Group::Org("o".into())),
            Err(ProviderError::Blocked(Obstacle::NotPermitted))
        );
    }
    assert!(elsewhere.accept().is_err());
}

/// G3: a body of the limit is read, one byte more is not.
#[test]
fn a_body_is_read_up_to_its_limit() {
    let of_length = |length: usize| {
        let mut body = fixture("user_minimal");
        body.resize(length, b' ');
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.extend_from_slice(&body);
        Fake::new(vec![bytes]).github.identify(&token())
    };
    assert_eq!(of_length(limits::GITHUB_BYTES).unwrap().login, "mona_example");
    assert_eq!(of_length(limits::GITHUB_BYTES + 1), Err(ProviderError::Nonsense));
}

/// G7: a call ends at its timeout, regardless of progress.
#[test]
fn a_slow_answer_is_given_up() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let github = GitHub::with_timeout(settings(&url), Duration::from_secs(1));
        let started = clock::instant();
        // Ends with the process if a slow machine has the client give up before it connects.
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            read_request(&socket);
            let _ = socket.write_all(bytes); // fails if the client has given up
            let _ = socket.read(&mut [0]); // until the client closes the connection
        });
        assert_eq!(github.identify(&token()), Err(ProviderError::Unreachable));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// G7: bodies are not decompressed, so a small body cannot become a large one.
#[test]
fn a_compressed_body_is_not_inflated() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let fake = Fake::new(vec![answer("200 OK\r\nContent-Encoding: gzip", &gzip)]);
    assert_eq!(fake.github.identify(&token()), Err(ProviderError::Nonsense));
    let fake = Fake::new(vec![answer("200 OK\r\nContent-Encoding: gzip", &fixture("user"))]);
    assert_eq!(fake.github.identify(&token()), Ok(octocat()));
}

/// G4: the identity is requested with the very token of the login.
#[test]
fn a_user_is_asked_for_with_their_token() {
    let head = "200 OK\r\nX-OAuth-Scopes: read:org, gist";
    let fake = Fake::new(vec![answer(head, &fixture("user"))]);
    let profile = fake.github.profile(&token()).unwrap();
    assert_eq!(profile.scopes, ["read:org", "gist"]);
    assert_eq!(Identity::from(profile), octocat());
    let request = fake.request();
    assert!(request.starts_with("get /api/v3/user http/1.1\r\n"), "{request}");
    for part in [
        "authorization: bearer gho_token\r\n",
        "x-github-api-version: 2022-11-28\r\n",
        "accept: application/vnd.github+json\r\n",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

/// G7: proxies in the environment are not used.
#[test]
fn a_proxy_in_the_environment_is_ignored() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["github::tests::a_user_is_asked_for_with_their_token", "--exact"])
        .envs(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9")))
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
}

#[test]
fn a_user_who_cannot_be_identified_is_refused() {
    let check = |bytes, expected| {
        assert_eq!(Fake::new(vec![bytes]).github.identify(&token()), Err(expected));
    };
    check(answer("401 Unauthorized", &fixture("bad_credentials")), ProviderError::Refused);
    check(answer("403 Forbidden", b"{}"), ProviderError::Refused);
    let suspended = answer("403 Forbidden", &fixture("account_suspended"));
    check(suspended, ProviderError::Blocked(Obstacle::Suspended));
    check(answer("404 Not Found", &fixture("not_found")), ProviderError::Misconfigured);
    check(answer("200 OK", b"{}"), ProviderError::Nonsense);
    check(answer("204 No Content", b""), ProviderError::Nonsense);
}

/// G5: only `active` is a member; pending, hidden, unknown and renamed are not, no answer is an error.
#[test]
fn only_an_active_answer_is_a_membership() {
    let team = Group::Team { org: "octo-org".into(), slug: "core".into() };
    let check = |group: &Group, bytes, expected| {
        let fake = Fake::new(vec![bytes]);
        assert_eq!(fake.github.is_member(&token(), &octocat(), group), expected);
        fake.request()
    };
    let org = &Group::Org("octo-org".into());
    let request = check(org, ok("membership_active"), Ok(true));
    assert!(request.starts_with("get /api/v3/user/memberships/orgs/octo-org http"), "{request}");
    let request = check(&team, ok("team_membership_active"), Ok(true));
    assert!(
        request.starts_with("get /api/v3/orgs/octo-org/teams/core/memberships/octocat http"),
        "{request}"
    );
    let blocked = |obstacle| Err(ProviderError::Blocked(obstacle));
    check(org, ok("membership_pending"), blocked(Obstacle::InvitationPending));
    check(&team, answer("404 Not Found", &fixture("not_found")), Ok(false));
    let forbidden = |name| answer("403 Forbidden", &fixture(name));
    check(org, forbidden("saml_enforced"), blocked(Obstacle::SingleSignOn));
    check(&team, forbidden("app_not_approved"), blocked(Obstacle::AppNotApproved));
    check(org, forbidden("ip_not_allowed"), blocked(Obstacle::AddressNotAllowed));
    check(org, answer("403 Forbidden", b"{}"), blocked(Obstacle::NotPermitted));
    check(org, answer("301 Moved", b""), blocked(Obstacle::NotPermitted));
    check(org, answer("204 No Content", b""), blocked(Obstacle::NotPermitted));
    check(org, answer("200 OK", b"{}"), Err(ProviderError::Nonsense));
    check(org, answer("401 Unauthorized", b"{}"), Err(ProviderError::Refused));
    check(org, answer("500 Oops", b"{}"), Err(ProviderError::Nonsense));
}

#[test]
fn a_group_name_with_path_characters_is_never_requested() {
    let github = GitHub::new(settings("http://127.0.0.1:9")); // nothing listens: a call would be an error
    for name in ["", ".", "..", "a/b", "a?b", "a#b", "a b", "é", "%2e"] {
        assert_eq!(github.is_member(&token(), &octocat(), &Group::Org(name.into())), Ok(false), "{name}");
        let team = Group::Team { org: "o".into(), slug: name.into() };
        assert_eq!(github.is_member(&token(), &octocat(), &team), Ok(false), "{name}");
    }
}

/// G6: a token that is no longer needed is deleted; the person's authorization (G8) is not.
#[test]
fn discarding_a_token_keeps_the_authorization() {
    let fake = Fake::new(vec![answer("204 No Content", b"")]);
    fake.github.discard(&token()).unwrap();
    let request = fake.request();
    assert!(request.starts_with("delete /api/v3/applications/iv1.client/token http/1.1\r\n"), "{request}");
    let basic = "authorization: basic SXYxLmNsaWVudDp0aGUgc2VjcmV0\r\n".to_ascii_lowercase();
    assert!(request.contains(&basic), "{request}");
    assert!(request.ends_with(r#"{"access_token":"gho_Token"}"#), "{request}");
    let check = |status, expected| {
        assert_eq!(Fake::new(vec![answer(status, b"{}")]).github.discard(&token()), expected, "{status}");
    };
    check("404 Not Found", Ok(()));
    check("401 Unauthorized", Err(ProviderError::Misconfigured));
    check("302 Found", Err(ProviderError::Nonsense));
}

/// G9: during a rotation of the secret, calls use the other one if GitHub does not accept the first; from then on, the one that
/// was accepted.
#[test]
fn a_second_secret_takes_the_place_of_the_first() {
    let refused = || ok("error_incorrect_client_credentials");
    let no = || answer("401 Unauthorized", &fixture("bad_credentials"));
    let fake = Fake::with(
        vec![
            refused(),
            ok("token"),
            ok("token"),
            answer("204 No Content", b""),
            no(),
            answer("204 No Content", b""),
        ],
        |settings| settings.other_secret = Some(Secret::new("new".to_owned())),
    );
    assert!(redeem(&fake.github).is_ok() && redeem(&fake.github).is_ok());
    fake.github.discard(&token()).unwrap();
    fake.github.discard(&token()).unwrap();
    let asked: Vec<String> = (0..6).map(|_| fake.request()).collect();
    let secrets = ["client_secret=the", "client_secret=new&", "client_secret=new&"];
    let basic =
        |secret: &str| format!("basic {}", STANDARD.encode(format!("Iv1.client:{secret}"))).to_lowercase();
    let expected = secrets.map(str::to_owned).into_iter().chain(["new", "new", "the secret"].map(basic));
    for (request, part) in asked.iter().zip(expected) {
        assert!(request.contains(&part), "{part} in {request}");
    }
    // With one secret, or two that are wrong, the error is for the operator.
    let fake = Fake::with(vec![refused(), refused()], |settings| settings.other_secret = Some(token()));
    assert_eq!(redeem(&fake.github).unwrap_err(), ProviderError::Misconfigured);
    assert_eq!(fake.requests.iter().count(), 2);
    // No other error causes a second request.
    let fake =
        Fake::with(vec![ok("error_bad_verification_code")], |settings| settings.other_secret = Some(token()));
    assert_eq!(redeem(&fake.github).unwrap_err(), ProviderError::Refused);
}

/// G7: after a rate limit, calls of this caller are refused without a request; those of others are made.
#[test]
fn a_rate_limit_pauses_one_caller() {
    let limited = "403 Forbidden\r\nX-RateLimit-Remaining: 0";
    let fake = Fake::new(vec![answer(limited, &fixture("rate_limit")), ok("user")]);
    for _ in 0..3 {
        assert_eq!(fake.github.identify(&token()), Err(ProviderError::UsedUp));
    }
    assert_eq!(fake.github.identify(&Secret::new("gho_other".to_owned())), Ok(octocat()));
    assert_eq!(fake.requests.iter().count(), 2);

    let fake = Fake::new(vec![answer("429 Slow Down\r\nRetry-After: 60", b""), ok("user")]);
    for _ in 0..3 {
        assert_eq!(redeem(&fake.github).unwrap_err(), ProviderError::Unreachable);
    }
    assert_eq!(fake.github.identify(&token()), Ok(octocat()));
}

/// G7, T13: a secondary rate limit may be reported in the body only, and is no answer about the person.
#[test]
fn a_rate_limit_told_in_the_body_is_recognised() {
    let check = |body: &[u8], expected| {
        let org = Group::Org("octo-org".into());
        let fake = Fake::new(vec![answer("403 Forbidden", body)]);
        assert_eq!(fake.github.is_member(&token(), &octocat(), &org), expected);
        if expected == Err(ProviderError::UsedUp) {
            assert_eq!(fake.github.identify(&token()), Err(ProviderError::UsedUp));
            assert_eq!(fake.requests.iter().count(), 1);
        }
    };
    let no_word = Err(ProviderError::Blocked(Obstacle::NotPermitted));
    check(&fixture("rate_limit"), Err(ProviderError::UsedUp));
    check(br#"{"message":"You have exceeded a secondary Rate Limit."}"#, Err(ProviderError::UsedUp));
    check(br#"{"message":"Resource not accessible","documentation_url":"rate limit"}"#, no_word);
    check(br#"["rate limit"]"#, no_word);
}

/// Each request has a connection of its own: an idle one may break without notice.
#[test]
fn an_idle_connection_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let github = GitHub::with_timeout(settings(&url), Duration::from_secs(5));
    // Ends when both are answered. The first connection stays open, but nothing more is read from it.
    let server = std::thread::spawn(move || {
        [(); 2].map(|()| {
            let (mut socket, _) = listener.accept().unwrap();
            read_request(&socket);
            let body = fixture("user");
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
            socket.write_all(&body).unwrap();
            socket
        })
    });
    for _ in 0..2 {
        assert_eq!(github.identify(&token()), Ok(octocat()));
    }
    server.join().unwrap();
}
