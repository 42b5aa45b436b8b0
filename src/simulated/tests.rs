//! The simulated GitHub in process, and the real client against it over a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::base::{CountedRandom, Group, ManualClock};
use crate::github::{BaseUrl, GitHub, GitHubSettings};
use crate::http::desk::answer;
use crate::http::{Body, Headers};
use crate::oauth::provider::{IdentityProvider, LoginRequest, Obstacle, ProviderError, Redemption};

const CALLBACK: &str = "http://127.0.0.1:3001/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const CALLBACK_PARAMETER: &str = "redirect_uri=http%3A%2F%2F127.0.0.1%3A3001%2Fcallback";

fn simulated() -> (Arc<Simulated>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let secret = Secret::new("secret".to_owned());
    let random = Arc::new(CountedRandom::default());
    (Arc::new(Simulated::new("client", &secret, Arc::<ManualClock>::clone(&clock), random)), clock)
}

/// A request as a door would make it; `fields` are `Name: value` lines.
fn request(line: &str, fields: &[&str], body: &str) -> Request {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.into())),
        None => (target, None),
    };
    let mut headers = Headers::default();
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        headers.push(name, value);
    }
    let method = Method::from_token(method);
    let head = Head { method, path: path.into(), query, headers, peer: None };
    Request { head, body: body.into() }
}

fn text(response: &Response) -> String {
    match response.body() {
        Body::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Body::Stream(_) => unreachable!(),
    }
}

/// The callback that the browser is sent to after the person has pressed a button.
fn decide(github: &Arc<Simulated>, login: &str, decision: &str) -> Form {
    let challenge = base64url(&sha256(VERIFIER.as_bytes()));
    let body = format!(
        "client_id=client&{CALLBACK_PARAMETER}&state=s%26t&scope=read%3Aorg&code_challenge={challenge}\
         &code_challenge_method=S256&login={login}&decision={decision}"
    );
    let response = answer(github, request("POST /login/oauth/authorize", &["Host: 127.0.0.1:3002"], &body));
    assert_eq!(response.status(), 303, "{}", text(&response));
    let location = response.header_value("location").unwrap();
    Form::parse(location.strip_prefix(&format!("{CALLBACK}?")).unwrap().as_bytes()).unwrap()
}

fn redeem(github: &Arc<Simulated>, parameters: &str) -> String {
    let response =
        answer(github, request("POST /login/oauth/access_token", &["Host: localhost:3002"], parameters));
    assert_eq!(response.status(), 200);
    text(&response)
}

#[test]
fn every_page_says_that_it_is_simulated() {
    let (github, _) = simulated();
    let check = |target: &str, status| {
        let response = answer(&github, request(&format!("GET {target}"), &["Host: localhost:3002"], ""));
        assert_eq!(response.status(), status, "{target}");
        assert!(text(&response).contains("<strong>SIMULATED</strong>"), "{target}");
    };
    check(&format!("/login/oauth/authorize?client_id=client&{CALLBACK_PARAMETER}"), 200);
    check("/login/oauth/authorize?client_id=client&redirect_uri=https%3A%2F%2Fa.example%2F", 400);
    check("/login/oauth/authorize?client_id=client&redirect_uri=http%3A%2F%2Fa.example%2F", 400);
    check("/login/oauth/authorize?client_id=client&redirect_uri=http%3A%2F%2F127.0.0.1%40a.example%2F", 400);
    check(&format!("/login/oauth/authorize?client_id=other&{CALLBACK_PARAMETER}"), 400);
    check("/login/oauth/authorize?client_id=%zz", 400);
}

/// B1, B2, C8: no script, no frame, nothing stored, no `form-action`.
#[test]
fn pages_have_the_headers_of_a_login_page_and_escape_what_they_show() {
    let (github, _) = simulated();
    let line = format!(
        "GET /login/oauth/authorize?client_id=client&{CALLBACK_PARAMETER}&state=%22%3E%3Cscript%3E&scope=%3Cb%3E"
    );
    let response = answer(&github, request(&line, &["Host: localhost:3002"], ""));
    let policy = response.header_value("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("form-action"), "{policy}");
    let check = |name, value| assert_eq!(response.header_value(name), Some(value), "{name}");
    check("content-type", "text/html; charset=utf-8");
    check("x-frame-options", "DENY");
    check("x-content-type-options", "nosniff");
    check("cache-control", "no-store");
    check("referrer-policy", "no-referrer");
    assert_eq!(response.header_value("cross-origin-opener-policy"), None);
    let html = text(&response);
    assert!(
        !html.contains("<script") && html.contains("&quot;&gt;&lt;script&gt;") && html.contains("&lt;b&gt;")
    );
}

#[test]
fn authorize_sends_back_a_code_and_cancel_an_error() {
    let (github, _) = simulated();
    let answer = decide(&github, "octocat", "authorize");
    assert!(answer.value("code").is_some() && answer.value("error").is_none());
    assert_eq!(answer.value("state"), Some("s&t"));
    assert_eq!(answer.value("iss"), Some("http://127.0.0.1:3002/login/oauth"));
    let answer = decide(&github, "octocat", "cancel");
    assert_eq!((answer.value("error"), answer.value("code")), (Some("access_denied"), None));
    assert_eq!(answer.value("state"), Some("s&t"));
}

#[test]
fn a_form_from_another_site_or_host_is_refused() {
    let (github, _) = simulated();
    let body = format!("client_id=client&{CALLBACK_PARAMETER}&login=octocat&decision=authorize");
    let check = |fields: &[&str], status| {
        let response = answer(&github, request("POST /login/oauth/authorize", fields, &body));
        assert_eq!(response.status(), status, "{fields:?}");
    };
    check(&["Host: localhost:3002", "Sec-Fetch-Site: same-origin"], 303);
    check(&["Host: localhost:3002", "Sec-Fetch-Site: cross-site"], 403);
    check(&["Host: rebound.example"], 421);
    check(&[], 421);
}

#[test]
fn a_code_is_good_once_for_its_verifier_its_callback_and_ten_minutes() {
    let (github, clock) = simulated();
    let check = |parameters: &dyn Fn(&str) -> String, expected: [&str; 2]| {
        let code = decide(&github, "octocat", "authorize").value("code").unwrap().to_owned();
        let answers = [redeem(&github, &parameters(&code)), redeem(&github, &good(&code))];
        assert!(answers[0].contains(expected[0]) && answers[1].contains(expected[1]), "{answers:?}");
    };
    fn good(code: &str) -> String {
        format!(
            "client_id=client&client_secret=secret&code={code}&{CALLBACK_PARAMETER}&code_verifier={VERIFIER}"
        )
    }
    let (token, bad) = (r#""scope":"read:org","token_type":"bearer""#, "bad_verification_code");
    check(&good, [token, bad]);
    check(&|code| good(code).replace("callback", "elsewhere"), ["redirect_uri_mismatch", bad]);
    check(&|code| good(code).replace("verifier=a-", "verifier=b-"), [bad, bad]);
    check(&|code| good(code).replace("&code_verifier=", "&x="), [bad, bad]);
    // A request without the code, or without the app's credentials, does not use it up.
    check(&|_| good("unknown"), [bad, token]);
    check(&|code| good(code).replace("=secret", "=other"), ["incorrect_client_credentials", token]);
    let late = |code: &str| {
        clock.advance(Duration::from_secs(600));
        good(code)
    };
    check(&late, [bad, bad]);
}

/// S5: repeated logins do not take more and more memory.
#[test]
fn codes_are_bounded_and_the_oldest_makes_room() {
    let (github, clock) = simulated();
    let first = decide(&github, "octocat", "authorize");
    clock.advance(Duration::from_secs(1));
    for _ in 0..limits::SIMULATED_RECORDS {
        decide(&github, "octocat", "authorize");
    }
    assert_eq!(github.codes.lock().len(), limits::SIMULATED_RECORDS);
    assert!(github.take_code(first.value("code").unwrap()).is_none());
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let (github, _) = simulated();
    let check = |line, status| {
        assert_eq!(answer(&github, request(line, &["Host: localhost"], "")).status(), status, "{line}");
    };
    check("GET /", 404);
    check("GET /login/oauth/authorize/", 404);
    check("GET /api/v3/user/", 404);
    check("POST /api/v3/user", 405);
    check("GET /api/v3/user", 401);
    check("GET /api/v3/user/memberships/orgs/octo-org", 401);
    check("DELETE /api/v3/applications/client/token", 404);
}

/// Tokens survive a restart; deleted ones are invalid.
#[test]
fn a_token_outlives_a_restart() {
    let (github, _) = simulated();
    let code = decide(&github, "octocat", "authorize").value("code").unwrap().to_owned();
    let tokens = redeem(
        &github,
        &format!(
            "client_id=client&client_secret=secret&code={code}&{CALLBACK_PARAMETER}&code_verifier={VERIFIER}"
        ),
    );
    let token = tokens.split("\"access_token\":\"").nth(1).unwrap().split('"').next().unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let user = |github: &Arc<Simulated>| {
        let response = answer(github, request("GET /api/v3/user", &["Host: localhost", &bearer], ""));
        (response.status(), text(&response).contains("\"login\":\"octocat\""))
    };
    let (again, _) = simulated();
    assert_eq!(user(&again), (200, true));
    let basic = format!("Authorization: Basic {}", STANDARD.encode("client:secret"));
    let body = format!("{{\"access_token\":\"{token}\"}}");
    for status in [204, 404] {
        let line = "DELETE /api/v3/applications/client/token";
        assert_eq!(answer(&again, request(line, &["Host: localhost", &basic], &body)).status(), status);
    }
    assert_eq!(user(&again), (401, false));
}

/// A door for one test: each connection carries one request. Ends with the process.
fn serve(github: Arc<Simulated>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(|socket| serve_one(&github, &socket.unwrap())));
    url
}

fn serve_one(github: &Arc<Simulated>, socket: &TcpStream) {
    let mut reader = BufReader::new(socket);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let fields: Vec<&str> = lines.iter().skip(1).map(String::as_str).collect();
    let line = lines[0].strip_suffix(" HTTP/1.1").unwrap();
    let mut request = request(line, &fields, "");
    let length = request.head.headers.one("content-length").unwrap().map_or(0, |n| n.parse().unwrap());
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).unwrap();
    let response = answer(github, request);
    let body = text(&response);
    let mut out = Vec::new();
    assert!(response.write_head(&mut out));
    out.extend_from_slice(
        format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).as_bytes(),
    );
    (&*socket).write_all(&out).unwrap();
}

/// The browser's part: opens the page, presses the button, returns the code.
fn log_in(url: &str, login: &str) -> String {
    let parameters = url.split_once('?').unwrap().1;
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let body = format!("{parameters}&login={login}&decision=authorize");
    let mut socket = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /login/oauth/authorize HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let location = answer.split("Location: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let form = Form::parse(location.split_once('?').unwrap().1.as_bytes()).unwrap();
    form.value("code").unwrap().to_owned()
}

/// The real client and the simulation agree on every call.
#[test]
fn the_client_logs_people_in_here_as_at_github() {
    let url = serve(simulated().0);
    let github = GitHub::new(GitHubSettings {
        client_id: "client".to_owned(),
        client_secret: Secret::new("secret".to_owned()),
        other_secret: None,
        url: BaseUrl::parse(&url).unwrap(),
        api_url: BaseUrl::parse(&format!("{url}/api/v3")).unwrap(),
        trust: crate::trust::Trust::load(None).unwrap(),
    });
    let verifier = Secret::new(VERIFIER.to_owned());
    let invited = Err(ProviderError::Blocked(Obstacle::InvitationPending));
    let check = |login: &str, id, member: Result<bool, ProviderError>| {
        let page = github.authorize_url(&LoginRequest {
            state: "state",
            code_challenge: &base64url(&sha256(VERIFIER.as_bytes())),
            redirect_uri: CALLBACK,
            scope: "read:org",
        });
        let code = log_in(&page, login);
        let redemption = Redemption { code: &code, code_verifier: &verifier, redirect_uri: CALLBACK };
        let token = github.redeem(&redemption).unwrap().access;
        assert_eq!(github.redeem(&redemption).unwrap_err(), ProviderError::Refused);
        let identity = github.identify(&token).unwrap();
        assert_eq!((identity.user.0, identity.login.as_str()), (id, login));
        assert_eq!(github.profile(&token).unwrap().scopes, ["read:org"]);
        let org = Group::Org(ORG.to_owned());
        let team = Group::Team { org: ORG.to_owned(), slug: TEAM.to_owned() };
        let other = Group::Org("other-org".to_owned());
        assert_eq!(github.is_member(&token, &identity, &org), member, "{login}");
        assert_eq!(github.is_member(&token, &identity, &team), member, "{login}");
        assert_eq!(github.is_member(&token, &identity, &other), Ok(false), "{login}");
        github.discard(&token).unwrap();
        assert_eq!(github.identify(&token), Err(ProviderError::Refused));
    };
    check("octocat", 583_231, Ok(true));
    check("mona", 9_000_001, invited);
    check("hubot", 9_000_002, Ok(false));
}
