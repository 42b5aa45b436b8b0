//! The operator's commands and the account page, end to end: the real binary as client of itself, running and stopped.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::{Server, free_address};
use crate::support::walk::{REDIRECT_URI, Tokens};

/// The outcome of a command.
struct Done {
    status: i32,
    out: String,
    error: String,
}

impl Done {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}{}", self.out, self.error))
    }
}

/// Runs a command on this server's state, with no other configuration.
fn run(server: &Server, arguments: &[&str]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
    let output =
        command.args(arguments).env_clear().env("MCP_STATE_DIR", server.state_dir()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { status: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

fn grants(server: &Server) -> Vec<Value> {
    let listed = run(server, &["grants", "list", "--json"]);
    assert_eq!(listed.status, 0, "{}", listed.error);
    listed.json()["grants"].as_array().unwrap().clone()
}

/// The keys in the key file.
fn keys(server: &Server) -> Vec<String> {
    let text = std::fs::read_to_string(server.state_dir().join("key")).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// A1, T17: a grant that the operator ends while the server runs has ended when the command has: token, session, open stream.
#[test]
fn a_running_server_ends_what_the_operator_names() {
    let server = Server::start(&FakeGitHub::start());
    let (_, ended) = server.login();
    let first = grants(&server).remove(0);
    let id = first["id"].as_str().unwrap();
    let session = server.session(&ended.access);
    let stream = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let stream = stream.bearer(&ended.access).open(server.authority()).unwrap();
    assert_eq!(stream.head().status, 200);
    let (other, kept) = server.login();
    let listed = grants(&server);
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|grant| grant["login"] == "octocat" && grant["client"]["name"] == "Black box"));
    let text = run(&server, &["grants", "list"]).out;
    assert!(text.starts_with("ID ") && text.lines().count() == 3, "{text}");

    let revoked = run(&server, &["grants", "revoke", id]);
    assert_eq!((revoked.status, revoked.out.starts_with(&format!("revoked {id}\n"))), (0, true));
    assert_eq!(stream.messages().count(), 0, "the stream ended with its last chunk");
    server.initialize(&ended.access).expect(401);
    server.initialize(&kept.access).expect(200);

    let again = run(&server, &["grants", "revoke", id]);
    assert_eq!(
        (again.status, again.out.as_str()),
        (1, "Nothing matches, and nothing was revoked: see `grants list`.\n")
    );
    assert_eq!(
        run(&server, &["grants", "revoke", "--user", "nobody", "--json"]).json(),
        json!({"revoked": []})
    );
    let all = run(&server, &["grants", "revoke", "--all", "--json"]).json();
    assert_eq!(all["revoked"].as_array().unwrap().len(), 1);
    server.refresh(&other, &kept.refresh).expect(400);
    assert_eq!(run(&server, &["grants", "revoke", "--all"]).status, 0, "nothing is left of nothing");
    assert_eq!(run(&server, &["grants", "list"]).out, "There are no grants.\n");
}

/// A1: the same commands on the state of a server that is stopped, and of one that was killed and left its socket behind.
#[test]
fn a_stopped_server_starts_without_what_the_operator_ended() {
    let mut server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    server.kill();
    assert!(server.state_dir().join("operator.sock").exists());
    assert_eq!(grants(&server).len(), 1);
    let revoked = run(&server, &["grants", "revoke", "--user", "Octocat"]);
    assert_eq!((revoked.status, revoked.error.as_str()), (0, ""));
    server.start_again();
    server.initialize(&tokens.access).expect(401);
    let (_, tokens) = server.login();
    assert!(server.stop().success());
    assert_eq!(grants(&server).len(), 1);
    server.start_again();
    server.initialize(&tokens.access).expect(200);
}

/// S4: the running server seals with the new key at once; earlier sealed values are valid, before and after a restart. Then
/// the old key is needed only for values that it sealed.
#[test]
fn a_new_key_is_used_at_once_and_old_tokens_keep_working() {
    let mut server = Server::start(&FakeGitHub::start());
    let (client, before) = server.login();
    let old = keys(&server);
    assert_eq!(run(&server, &["key", "rotate", "--json"]).json(), json!({"rotated": {"keys": 2}}));
    let both = keys(&server);
    assert_eq!((both.len(), &both[1..]), (2, &old[..]));
    server.initialize(&before.access).expect(200);
    let (_, fresh) = server.login();
    let turned = Tokens::of(&server.refresh(&client, &before.refresh).expect(200).json());
    assert!(server.stop().success());
    server.start_again();
    for tokens in [&before, &fresh, &turned] {
        server.initialize(&tokens.access).expect(200);
    }
    assert!(server.stop().success());
    assert_eq!(run(&server, &["key", "rotate"]).status, 0);
    let newest = keys(&server);
    std::fs::write(server.state_dir().join("key"), newest[..2].join("\n")).unwrap();
    server.start_again();
    server.initialize(&before.access).expect(401);
    server.initialize(&turned.access).expect(200);
}

/// Mistakes are reported with a correction, change nothing, and end with status 2.
#[test]
fn a_command_that_cannot_be_done_says_why() {
    let server = Server::start(&FakeGitHub::start());
    let check = |arguments: &[&str], words: &str| {
        let done = run(&server, arguments);
        assert_eq!((done.status, done.out.as_str()), (2, ""), "{arguments:?}");
        assert!(done.error.starts_with("mcp-oauth-server: ") && done.error.contains(words), "{}", done.error);
    };
    let elsewhere = std::env::temp_dir().join("mcp-oauth-server-nothing-is-here");
    check(&["grants", "list", "--state-dir", elsewhere.to_str().unwrap()], "name another with --state-dir");
    assert!(!elsewhere.exists());
    check(&["grants", "revoke"], "say what is to end");
    for _ in 1..8
    /* `limits::KEYS` */
    {
        assert_eq!(run(&server, &["key", "rotate"]).status, 0);
    }
    check(&["key", "rotate"], "no new key is in use");
    server.login();
}

/// A compromised server, or another one at its socket, chooses names that the error quotes.
#[test]
fn an_answer_does_not_command_the_terminal() {
    let server = Server::start(&FakeGitHub::start());
    let socket = server.state_dir().join("evil.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // Ends after the one command.
    let evil = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let body = r#"{"\u001b]0;pwn\u0007\u202e":1}"#;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    let done = run(&server, &["grants", "list", "--operator-socket", socket.to_str().unwrap()]);
    evil.join().unwrap();
    assert!(done.status == 2 && done.error.contains(r"`\u{1b}]0;pwn\u{7}\u{202e}`"), "{:?}", done.error);
}

/// C11: the page through the real binary: GitHub's login, the list, and the end of its entries.
#[test]
fn a_person_ends_a_grant_on_the_account_page() {
    let mut server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let mut browser = Browser::default();
    let code = server.code(&client, &mut browser);
    let tokens = Tokens::of(&server.redeem(&client, &code).expect(200).json());
    let url = server.url("/account");
    let page = browser.visit(&url).expect(200);
    let at_github = browser.press(&url, &page, ("sign_in", "github")).expect(303);
    let back = Browser::default().visit(at_github.field("location").unwrap()).expect(302);
    let home = browser.visit(back.field("location").unwrap()).expect(303);
    assert_eq!(home.field("location"), Some(url.as_str()));
    let page = browser.visit(&url).expect(200);
    assert!(page.text().contains("Black box") && page.text().contains("octocat"), "{}", page.text());
    let (_, after) = page.text().split_once("name=revoke value=\"").unwrap();
    let handle = after.split('"').next().unwrap();
    let page = browser.press(&url, &page, ("revoke", handle)).expect(200);
    assert!(page.text().contains("That access has ended."), "{}", page.text());
    server.initialize(&tokens.access).expect(401);
    assert!(grants(&server).is_empty());
    assert!(server.stop().success()); // the log is complete
    let log = server.log();
    assert!(log.contains("account.signed_in") && log.contains("grant.ended"), "{log}");
    for secret in browser.cookie_values() {
        assert!(!log.contains(&secret), "L1: a cookie is in the log");
    }
}

/// For containers without a shell: 0 or 1, over the socket and over HTTP by an address, and the output of `status` beside it.
#[test]
fn the_health_command_reports_whether_the_server_is_up() {
    let mut server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    server.session(&tokens.access);
    let url = format!("http://{}", server.authority());
    let gone = format!("http://{}", free_address());
    assert_eq!(run(&server, &["health"]).status, 0);
    assert_eq!(run(&server, &["health", "--url", &url]).status, 0);
    let nobody = run(&server, &["health", "--url", &gone]);
    assert!(nobody.status == 1 && nobody.error.contains(&gone), "{}", nobody.error);
    let status = run(&server, &["status", "--json"]);
    let said = status.json()["status"].clone();
    assert_eq!((status.status, &said["grants"], &said["server"]["sessions"]), (0, &json!(1), &json!(1)));
    assert_eq!(said["server"]["version"], env!("CARGO_PKG_VERSION"));
    let text = run(&server, &["status"]).out;
    assert!(text.starts_with("Up since       20") && text.contains("Grants         1\n"), "{text}");
    assert!(server.stop().success());
    for probe in [&["health"][..], &["health", "--url", &url]] {
        assert_eq!(run(&server, probe).status, 1, "{probe:?}");
    }
    let status = run(&server, &["status"]);
    assert_eq!((status.status, status.out.as_str()), (1, "No server runs.\nGrants         1\n"));
}

/// S2: a copy made with or without a running server is a table that a server starts with; nothing is overwritten.
#[test]
fn a_backup_of_a_running_server_is_a_table() {
    let mut server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    let copy = server.state_dir().join("copy.redb");
    let backup = |server: &Server| run(server, &["backup", copy.to_str().unwrap()]);
    let done = backup(&server);
    assert_eq!((done.status, done.error.as_str()), (0, ""), "{}", done.out);
    let again = backup(&server);
    assert!(
        again.status == 2 && again.error.contains("Name a file that is not there yet"),
        "{}",
        again.error
    );
    server.login(); // not in the copy
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    assert!(server.stop().success());
    std::fs::rename(&copy, server.state_dir().join("grants.redb")).unwrap();
    server.start_again();
    assert_eq!(grants(&server).len(), 1);
    server.refresh(&client, &tokens.refresh).expect(200);
    assert!(server.stop().success());
    assert_eq!(backup(&server).status, 0);
    std::fs::rename(&copy, server.state_dir().join("grants.redb")).unwrap();
    server.start_again();
    assert_eq!(grants(&server).len(), 1);
}

/// Exit statuses as in docs/operations.md: 2 for an impossible start, with every reason on a line of its own.
#[test]
fn a_start_that_fails_says_every_reason_and_exits_with_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server")).env_clear().output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 4), "{error}");
    assert!(
        error.lines().all(|line| line.starts_with("mcp-oauth-server: ") && line.contains(" is not set")),
        "{error}"
    );
    let operations = include_str!("../../docs/operations.md");
    let statuses: Vec<&str> = operations.matches("`, exit status 2 |").collect();
    assert!(statuses.len() == 4 && !operations.contains("`, exit status 1 |"));
}

/// Exit status 1 also if no server has ever run, and the mistakes of a servers file in addition to missing options.
#[test]
fn status_without_a_server_and_mistakes_of_a_file() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"))
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, error) = run(&["status", "--state-dir", "/nonexistent/state"]);
    assert!(status == Some(1) && error.contains("no server has run with"), "{error}");
    let (status, error) =
        run(&["check", "--state-dir", "/nonexistent/state", "--servers", "/nonexistent/servers.json"]);
    assert!(status == Some(2) && error.contains("MCP_ALLOW is not set"), "{error}");
    assert!(error.contains("MCP_SERVERS (/nonexistent/servers.json): "), "{error}");
}
