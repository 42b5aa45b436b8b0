//! Service tokens end to end: the real binary, its command, and clients that send a plain Authorization field and have no OAuth.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{aead, hkdf};
use serde_json::{Value, json};

use crate::access::{listed, reload};
use crate::audit_file::{Folder, text};
use crate::servers::{ServersFile, operator, peer_entry_for_all, start};
use crate::support::fingerprint;
use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, Request};
use crate::support::server::Server;
use crate::support::walk::{in_session, mcp, modern, reply};

/// Creates a token: the configuration of a client.
fn add(server: &Server, arguments: &[&str]) -> Value {
    let (status, said) = operator(server, &[&["tokens", "add"], arguments].concat());
    assert_eq!(status, 0, "{said}");
    let configuration: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let servers = configuration["mcpServers"].as_object().unwrap();
    let first = servers.values().next().unwrap();
    assert_eq!(first["headers"]["Authorization"], format!("Bearer {}", said.lines().next().unwrap()));
    configuration["mcpServers"].clone()
}

/// The token of the first server of a configuration.
fn token(configuration: &Value) -> String {
    let first = configuration.as_object().unwrap().values().next().unwrap();
    first["headers"]["Authorization"].as_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

/// A cron job with curl: one POST of the modern era, with nothing beyond the configuration.
fn cron_job(server: &Server, entry: &Value) -> Answer {
    let path = entry["url"].as_str().unwrap().strip_prefix(&server.url("")).unwrap().to_owned();
    let authorization = entry["headers"]["Authorization"].as_str().unwrap();
    let call = modern("tools/call", json!({ "name": "greet", "arguments": { "name": "cron" } })).at(&path);
    call.with("Authorization", authorization).send(server.authority()).unwrap()
}

/// An n8n-like client: a session of the older era.
fn workflow(server: &Server, token: &str) -> Value {
    let session = server.session(token);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "greet", "arguments": { "name": "n8n" } } });
    reply(&in_session(&call, &session).bearer(token).send(server.authority()).unwrap().expect(200))
}

fn rotate(server: &Server) {
    assert_eq!(operator(server, &["key", "rotate"]).0, 0);
}

/// A26, A27: add, call in both eras, over a restart and a rotation of the key; after revoke the next request is 401.
#[test]
fn a_service_token_works_until_it_is_revoked() {
    let github = FakeGitHub::start();
    let mut server = Server::start(&github);
    let configuration = add(&server, &["backup-job"]);
    let entry = &configuration["backup-job"];
    let token = token(&configuration);
    let check = |server: &Server| {
        let greeted = reply(&cron_job(server, entry).expect(200));
        assert_eq!(greeted["result"]["content"][0]["text"], "Hello, cron!", "{greeted}");
        assert_eq!(workflow(server, &token)["result"]["content"][0]["text"], "Hello, n8n!");
    };
    check(&server);
    rotate(&server);
    check(&server);
    assert!(server.stop().success());
    let (_, listed) = operator(&server, &["tokens", "list"]);
    assert!(listed.lines().nth(1).unwrap().starts_with("backup-job  "), "{listed}");
    let (refused, why) = operator(&server, &["tokens", "add", "other"]);
    assert!(refused == 2 && why.contains("no server runs with this state directory"), "{why}");
    server.start_again();
    check(&server);
    let session = server.session(&token);
    let stream = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let stream = stream.bearer(&token).open(server.authority()).unwrap();
    assert_eq!(stream.head().status, 200);
    let (done, said) = operator(&server, &["tokens", "revoke", "backup-job"]);
    assert!(done == 0 && said.starts_with("revoked "), "{said}");
    assert_eq!(stream.messages().count(), 0, "the stream ended with its last chunk");
    let answer = cron_job(&server, entry).expect(401);
    assert!(answer.field("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    server.initialize(&token).expect(401);
    server.wait_for_log("reason=token_revoked");
    assert_eq!(operator(&server, &["tokens", "revoke", "backup-job"]).0, 1, "there is none any more");
    assert_eq!(operator(&server, &["tokens", "list"]).1, "There are no service tokens.\n");
}

/// A26, A28, A29: each refusal has its reason in the log, with the token's name if the token is valid.
#[test]
fn each_refusal_has_its_reason_in_the_log() {
    let github = FakeGitHub::start();
    let (one, two) = (peer_entry_for_all("1"), peer_entry_for_all("2"));
    let file = ServersFile::new(&json!({ "one": one, "two": two }));
    let server = start(&github, &file);
    let (refused, why) = operator(&server, &["tokens", "add", "ci"]);
    assert!(refused == 2 && why.contains("--server: say for which servers the token is: one, two"), "{why}");
    let ci = add(&server, &["ci", "--server", "one", "--address", "127.0.0.0/8"]);
    let elsewhere =
        token(&add(&server, &["elsewhere", "--server", "one,two", "--address", "198.51.100.0/24"]));
    let status = |name: &str, token: &str| {
        let request = modern("tools/list", json!({})).at(&format!("/{name}/mcp")).bearer(token);
        request.send(server.authority()).unwrap().status
    };
    let check = |name: &str, token: &str, expected: u16, words: &[&str]| {
        assert_eq!(status(name, token), expected);
        let line = server.wait_for_log(words[0]);
        let line = line.lines().rfind(|line| line.contains(words[0])).unwrap();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    };
    assert_eq!(status("one", &token(&ci)), 200);
    check("two", &token(&ci), 401, &["reason=another_server", "user=token:ci", "server=two"]);
    check("one", &elsewhere, 403, &["reason=address_not_allowed", "user=token:elsewhere", "peer=127.0.0.1"]);
    let mut changed = peer_entry_for_all("1");
    changed["env"]["WHO"] = json!("${user.login}");
    file.write(&json!({ "one": changed, "two": two }));
    server.signal("-HUP");
    server.wait_for_log("servers.reloaded");
    check("one", &token(&ci), 403, &["reason=needs_user", "user=token:ci"]);
    let (refused, why) = operator(&server, &["tokens", "add", "new", "--server", "one"]);
    assert!(refused == 2 && why.contains("one needs to know which person calls"), "{why}");
}

/// This token with other contents, sealed with the server's key as in `seal.rs`.
fn resealed(server: &Server, token: &str, change: impl FnOnce(&mut Value)) -> String {
    const PREFIX: &str = "mcp_st_";
    let keys = fs::read_to_string(server.state_dir().join("key")).unwrap();
    let key = URL_SAFE_NO_PAD.decode(keys.lines().last().unwrap()).unwrap();
    let mut sealed = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).unwrap()).unwrap();
    let (salt, text) = sealed.split_at_mut(16);
    let part = |bytes: &[u8]| [&u64::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let info = [part(salt), part(PREFIX.as_bytes())].concat();
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mcp-oauth-server/v1").extract(&key);
    let info = [&info[..]];
    let key = aead::LessSafeKey::new(secret.expand(&info, &aead::CHACHA20_POLY1305).unwrap().into());
    let nonce = || aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN]);
    let mut value =
        serde_json::from_slice(key.open_in_place(nonce(), aead::Aad::empty(), text).unwrap()).unwrap();
    change(&mut value);
    let mut text = value.to_string().into_bytes();
    key.seal_in_place_append_tag(nonce(), aead::Aad::empty(), &mut text).unwrap();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&*salt, &text].concat()))
}

/// A27, A22: an expired token is refused, with the reason and the token's fingerprint in the log. Nobody can revoke it any
/// more, so it counts as a stranger's: it leaves no line in the audit log, which its holder could fill the disk with.
#[test]
fn an_expired_service_token_is_refused_with_its_reason_in_the_log() {
    let folder = Folder::new();
    let server = folder.start(&FakeGitHub::start(), &[]);
    let configuration = add(&server, &["ci"]);
    let token = token(&configuration);
    server.initialize(&resealed(&server, &token, |_| ())).expect(200);
    let expired = resealed(&server, &token, |contents| {
        let end = contents["a"]["e"].as_u64().unwrap();
        contents["a"]["e"] = json!(end - 91 * 86_400);
    });
    let answer = server.initialize(&expired).expect(401);
    assert!(answer.field("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let log = server.wait_for_log("token_expired");
    let line = log.lines().find(|line| line.contains("token_expired")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["client"], fingerprint("token:ci"));
    assert_eq!((&line["status"], &line["user"]), (&json!(401), &Value::Null));
    cron_job(&server, &configuration["ci"]).expect(200);
    assert_eq!(folder.wait_for("request", 1).len(), 1, "that of the call");
    assert_eq!(text(&folder.wait_for("request", 1)[0], "outcome"), "ok");
}

/// A4, A6, A8: a server with rules accepts a service token that a rule names, with the tools of that rule, in both eras; changed rules
/// apply to the streams of a token of several servers as well.
#[test]
fn access_rules_hold_for_service_tokens() {
    let github = FakeGitHub::start();
    let servers = |rules: Value| {
        let mut one = peer_entry_for_all("1");
        one["access"] = rules;
        json!({ "one": one, "two": peer_entry_for_all("2") })
    };
    let file = ServersFile::new(&servers(json!([{ "allow": ["any"] }])));
    let server = start(&github, &file);
    let (refused, why) = operator(&server, &["tokens", "add", "ci", "--server", "one,two"]);
    assert!(refused == 2 && why.contains("no access rule of one names token:ci: add"), "{why}");
    assert!(why.contains(r#"{ "allow": ["token:ci"], "tools": ["TOOL"] }"#), "{why}");
    file.write(&servers(json!([{ "allow": ["token:ci"], "tools": ["p*"] }, { "allow": ["any"] }])));
    reload(&server, "servers.reloaded");
    let token = token(&add(&server, &["ci", "--server", "one,two"]));
    let send =
        |request: Request, path: &str| request.at(path).bearer(&token).send(server.authority()).unwrap();
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "n8n", "version": "1" } } });
    let open = |path: &str| {
        let session = send(mcp(&initialize), path).expect(200).field("mcp-session-id").unwrap().to_owned();
        let stream = Request::get(path).with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
        (session, stream.bearer(&token).open(server.authority()).unwrap())
    };
    let ((one, stream_of_one), (two, _stream_of_two)) = (open("/one/mcp"), open("/two/mcp"));
    let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {} });
    for request in [in_session(&list, &one), modern("tools/list", json!({}))] {
        assert_eq!(listed(&send(request, "/one/mcp")), ["pid"]);
    }
    let call = json!({ "name": "echo", "arguments": {} });
    let legacy = json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": call });
    for request in [in_session(&legacy, &one), modern("tools/call", call)] {
        let answer = reply(&send(request, "/one/mcp"));
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    assert!(listed(&send(modern("tools/list", json!({})), "/two/mcp")).len() > 1, "it has no rules");

    file.write(&servers(json!([{ "allow": ["any"] }])));
    reload(&server, "servers.reloaded");
    for request in [in_session(&list, &one), modern("tools/list", json!({}))] {
        let answer = send(request, "/one/mcp").expect(403);
        assert_eq!(answer.field("www-authenticate"), None);
    }
    let log = server.wait_for_log("reason=no_access_rule");
    assert!(
        log.lines().any(|line| line.contains("no_access_rule") && line.contains("user=token:ci")),
        "{log}"
    );
    assert_eq!(stream_of_one.messages().count(), 0, "the stream ended");
    assert_eq!(send(in_session(&list, &two), "/two/mcp").status, 200);
}

/// A27: reported at the start, and by `check` with and without a running server.
#[test]
fn a_token_that_ends_soon_is_warned_of() {
    let github = FakeGitHub::start();
    let mut server = Server::start(&github);
    add(&server, &["short", "--days", "10"]);
    add(&server, &["long"]);
    let check = |server: &Server| {
        let file = server.state_dir().join("secret");
        fs::write(&file, "hush-hush\n").unwrap();
        let options = ["--github-client-id", "x", "--allow", "any", "--listen", "127.0.0.1:0"];
        let secret = ["--github-client-secret-file", file.to_str().unwrap()];
        let (_, said) = operator(server, &[&["check"], &options[..], &secret[..]].concat());
        assert!(said.contains("warning: the service token:short ends at "), "{said}");
        assert!(
            said.contains("fix: make another with `tokens add`") && !said.contains("token:long"),
            "{said}"
        );
    };
    check(&server);
    assert!(server.stop().success());
    check(&server);
    server.start_again();
    let log = server.wait_for_log("the service token:short ends at ");
    assert!(log.contains("start.warning") && !log.contains("token:long ends"), "{log}");
}

/// A31: the words of every file in the state directory, tried as tokens.
#[test]
fn nothing_on_the_disk_is_a_token_with_the_key_file_or_without() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let service = token(&add(&server, &["ci"]));
    let (_, person) = server.login();
    rotate(&server);
    server.initialize(&service).expect(200);
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
    let mut words = BTreeSet::new();
    for entry in fs::read_dir(server.state_dir()).unwrap().map(|entry| entry.unwrap().path()) {
        if !entry.is_file() {
            continue;
        }
        let bytes = fs::read(&entry).unwrap();
        for secret in [&service, &person.access, &person.refresh] {
            let body = secret.split_at(7).1.as_bytes();
            for part in body.chunks(16).filter(|part| part.len() == 16) {
                assert!(!bytes.windows(16).any(|window| window == part), "{}", entry.display());
            }
        }
        let found = bytes.split(|b| !is_word(b)).filter(|word| (16..=8000).contains(&word.len()));
        words.extend(found.map(|word| String::from_utf8(word.to_vec()).unwrap()));
    }
    let keys = fs::read_to_string(server.state_dir().join("key")).unwrap();
    let key = keys.lines().last().unwrap();
    assert!(words.contains(key) && words.len() > 4, "{words:?}");
    for word in &words {
        for prefix in ["", "mcp_st_", "mcp_at_"] {
            server.initialize(&format!("{prefix}{word}")).expect(401);
        }
    }
}
