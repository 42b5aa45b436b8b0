//! A fake GitHub with the real one's strictness: codes are used once, and the PKCE verifier must match the challenge.
//! Its answers are those of `fixtures/github/`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::Digest;

use super::http::{decode, parameter};

pub(crate) const CLIENT_ID: &str = "Ov23liTest";
pub(crate) const CLIENT_SECRET: &str = "canary-github-client-secret";
/// The common prefix of this GitHub's tokens.
pub(crate) const TOKEN_MARK: &str = "gho_canaryGitHubToken";

/// A GitHub on a loopback port. Its threads end with the test's process.
pub(crate) struct FakeGitHub {
    authority: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The user who is signed in at GitHub in every browser: login and id.
    user: (String, u64),
    /// Refuses at the token endpoint, in a 200 response like GitHub.
    refuses: bool,
    /// Refuses its own tokens.
    forgets: bool,
    /// The answer for everybody's membership.
    membership: Option<(u16, &'static str)>,
    /// The delay of each answer to the server.
    delay: Duration,
    /// Issued codes, with their redirect URI and challenge, and the user.
    codes: HashMap<String, (String, String, (String, u64))>,
    /// Valid tokens and their users.
    tokens: HashMap<String, (String, u64)>,
    /// The requested paths, in order.
    asked: Vec<String>,
}

impl FakeGitHub {
    pub(crate) fn start() -> FakeGitHub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { user: ("octocat".to_owned(), 583_231), ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        FakeGitHub { authority, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Signs this user in, in every browser.
    pub(crate) fn log_in_as(&self, login: &str, id: u64) {
        self.state.lock().unwrap().user = (login.to_owned(), id);
    }

    /// Refuses every code from now on.
    pub(crate) fn refuse_codes(&self) {
        self.state.lock().unwrap().refuses = true;
    }

    /// Refuses every token from now on, as the API of another GitHub does.
    pub(crate) fn know_no_token(&self) {
        self.state.lock().unwrap().forgets = true;
    }

    /// Sets status and fixture of the answer to requests for a membership.
    pub(crate) fn memberships(&self, status: u16, fixture: &'static str) {
        self.state.lock().unwrap().membership = Some((status, fixture));
    }

    /// Revokes the app's access: no token is valid any more.
    pub(crate) fn withdraw(&self) {
        self.state.lock().unwrap().tokens.clear();
    }

    /// Delays each answer to the server by this time from now on.
    pub(crate) fn answers_after(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// The number of requests for `path`.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }
}

/// Answers one request and closes the connection.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => head.push(line.trim_end().to_owned()),
        }
    }
    let field = |name: &str| {
        head.iter().skip(1).find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let mut body = String::new();
    let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    (&mut reader).take(length).read_to_string(&mut body).unwrap();
    let target = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let bearer = field("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if path != "/login/oauth/authorize" {
        let delay = state.lock().unwrap().delay;
        let (_open, silence) = channel::<()>();
        let _ = silence.recv_timeout(delay);
    }
    let (status, more, body) = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.to_owned());
        match path {
            _ if path.starts_with("/api/v3/") && field("user-agent").is_none() => {
                (403, String::new(), String::new())
            }
            "/login/oauth/authorize" => {
                (302, format!("Location: {}\r\n", state.authorize(target)), String::new())
            }
            "/login/oauth/access_token" => (200, String::new(), state.redeem(&body)),
            "/api/v3/user" => match bearer.and_then(|token| state.tokens.get(token)) {
                Some((login, id)) if !state.forgets => (200, String::new(), user(login, *id)),
                _ => (401, String::new(), fixture("bad_credentials").to_string()),
            },
            _ if path.starts_with("/api/v3/user/memberships/") => {
                let (status, name) = state.membership.unwrap_or((404, "not_found"));
                (status, String::new(), fixture(name).to_string())
            }
            _ if head[0].starts_with("DELETE /api/v3/applications/") => (204, String::new(), String::new()),
            _ => (404, String::new(), fixture("not_found").to_string()),
        }
    };
    let head =
        format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n{more}");
    let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let _ = reader.get_mut().write_all(answer.as_bytes()); // the peer may have disconnected
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/github/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn user(login: &str, id: u64) -> String {
    let mut user = fixture("user");
    user["login"] = json!(login);
    user["id"] = json!(id);
    user.to_string()
}

impl State {
    /// GitHub skips its own page for people who authorised the app before; this one always skips it.
    fn authorize(&mut self, target: &str) -> String {
        let of = |name| parameter(target, name).unwrap_or_default();
        assert_eq!((of("client_id").as_str(), of("code_challenge_method").as_str()), (CLIENT_ID, "S256"));
        let code = format!("canary-github-code-{}", self.asked.len());
        self.codes.insert(code.clone(), (of("redirect_uri"), of("code_challenge"), self.user.clone()));
        let state = super::http::encode(&[("code", &code), ("state", &of("state"))]);
        format!("{}?{state}", of("redirect_uri"))
    }

    fn redeem(&mut self, body: &str) -> String {
        let form: HashMap<String, String> = decode(body).into_iter().collect();
        let of = |name| form.get(name).map(String::as_str).unwrap_or_default();
        if (of("client_id"), of("client_secret")) != (CLIENT_ID, CLIENT_SECRET) {
            return fixture("error_incorrect_client_credentials").to_string();
        }
        let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(of("code_verifier")));
        match self.codes.remove(of("code")) {
            Some((redirect_uri, expected, user))
                if redirect_uri == of("redirect_uri") && expected == challenge && !self.refuses =>
            {
                let token = format!("{TOKEN_MARK}{}", self.asked.len());
                self.tokens.insert(token.clone(), user);
                let mut answer = fixture("token");
                answer["access_token"] = json!(token);
                answer["scope"] = json!("");
                answer.to_string()
            }
            Some(_) | None => fixture("error_bad_verification_code").to_string(),
        }
    }
}
