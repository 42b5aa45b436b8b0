//! What a report says of a configuration.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::{Invocation, Program};
use crate::demo;

const PLAIN: &[(&str, &str)] = &[
    ("GITHUB_CLIENT_ID", "Ov23li"),
    ("GITHUB_CLIENT_SECRET", "hush-hush"),
    ("MCP_ALLOW", "id:7"),
    ("MCP_LISTEN", "127.0.0.1:0"),
];

/// The report of `PLAIN` with these changes has these words, and says that it would start, or not.
fn check_words(changes: &[(&str, &str)], good: bool, words: &[&str]) -> String {
    let unmade = format!("mcp-oauth-server-check-{}", std::process::id());
    let state_dir = std::env::temp_dir().join(unmade).display().to_string();
    let env = [PLAIN, &[("MCP_STATE_DIR", state_dir.as_str())], changes].concat();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let program = Program::new("test", "1").unwrap();
    let parsed = Config::from(program, ["check".to_owned()].into_iter(), &env);
    let Ok(Invocation::Check(config)) = parsed else { panic!("{parsed:?}") };
    let report = check(&config, demo::tools);
    let text = report.to_string();
    assert_eq!(report.is_good(), good, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    assert!(!text.contains("hush-hush"), "{text}");
    assert!(!Path::new(&state_dir).exists(), "a check makes nothing");
    text
}

#[test]
fn a_report_says_who_where_and_what() {
    let text = check_words(
        &[("MCP_ALLOW", "id:7,org:github,team:github/docs"), ("MCP_ALLOW_ORIGIN", "https://a.example")],
        true,
        &[
            "a port that the system picks",
            "in the clear",
            "the account with the number 7",
            "members of the organisation github",
            "the team github/docs",
            "https://a.example",
            "will be made",
            "app Ov23li",
        ],
    );
    assert!(!text.contains("would not start"), "{text}");
}

/// What of the options is about listening and limits, and from which file they come.
#[test]
fn a_report_says_where_it_listens_and_how_much_at_once() {
    let file = std::env::temp_dir().join(format!("mcp-oauth-server-check-file-{}", std::process::id()));
    std::fs::write(&file, "MCP_MAX_SESSIONS=77\n").unwrap();
    let path = file.display().to_string();
    let places = [
        ("MCP_CONFIG", path.as_str()),
        ("MCP_LISTEN", "127.0.0.1:0,unix:/tmp/a.sock,systemd"),
        ("MCP_PUBLIC_URL", "https://mcp.example.com"),
    ];
    let text = check_words(
        &places,
        true,
        &[
            &path,
            "127.0.0.1:0, in the clear",
            "unix:/tmp/a.sock, for this user and its group",
            "what systemd listens on for it, in the clear",
            "77 sessions (32 of one user)",
            "512 connections (64 from one address)",
            "unsafe: limits by address take everybody behind the proxy for one",
        ],
    );
    assert!(!text.contains("others reach"), "{text}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = ("GITHUB_CLIENT_SECRET_FILE", path.as_str());
    let fix = format!("can read the client secret's file\n   fix: chmod 600 {path}");
    check_words(&[open], true, &[&fix]);
    std::fs::remove_file(&file).unwrap();
    check_words(&[("MCP_LISTEN", "127.0.0.1:0,0.0.0.0:0"), places[2]], true, &["unsafe: tokens travel"]);
}

/// A2: what is unsafe is said, and what to do about it.
#[test]
fn unsafe_settings_come_with_their_fix() {
    let url = ("MCP_PUBLIC_URL", "https://mcp.example.com");
    check_words(&[("MCP_ALLOW", "any")], true, &["unsafe: everybody who has a GitHub account"]);
    check_words(&[("MCP_ALLOW", "user:octocat")], true, &["fix: write id:NUMBER"]);
    check_words(&[("MCP_ALLOW_ORIGIN", "app://a,null")], true, &["unsafe: every local file"]);
    check_words(&[("MCP_LISTEN", "0.0.0.0:0"), url], true, &["unsafe: tokens travel in the clear"]);
    check_words(&[("MCP_TRUSTED_PROXY", "0.0.0.0/0")], true, &["unsafe: everybody is a trusted proxy"]);
    let proxy = [("MCP_LISTEN", ""), ("MCP_BEHIND_PROXY", "127.0.0.1:0"), url];
    check_words(&proxy, true, &["unsafe: limits by address"]);
    check_words(&[url], true, &["unsafe: limits by address"]);
    let text = check_words(&[url, ("MCP_TRUSTED_PROXY", "127.0.0.1")], true, &[]);
    assert!(!text.contains("limits by address"), "{text}");
    assert!(!check_words(&[], true, &[]).contains("limits by address"), "nothing is in front of a demo");
    check_words(&[], true, &["unsafe: the client secret is in the environment"]);
}

#[test]
fn what_keeps_it_from_starting_is_a_fault() {
    let secret = ("GITHUB_CLIENT_SECRET_FILE", "/nonexistent/secret");
    check_words(&[secret], false, &["it would not start: the client secret cannot be read"]);
    let tls = [
        ("MCP_TLS_CERT", "/nonexistent/cert.pem"),
        ("MCP_TLS_KEY", "/nonexistent/key.pem"),
        ("MCP_PUBLIC_URL", "https://mcp.example.com"),
    ];
    check_words(&tls, false, &["it would not start: /nonexistent/cert.pem"]);
    let socket = ("MCP_LISTEN", "unix:/nonexistent/m.sock");
    let missing = "it would not start: the directory /nonexistent does not exist; make it, or choose another with --listen";
    check_words(&[socket, tls[2]], false, &[missing]);
    let proxy = [("MCP_LISTEN", ""), ("MCP_BEHIND_PROXY", "unix:/nonexistent/m.sock"), tls[2]];
    check_words(&proxy, false, &["the directory /nonexistent does not exist; make it", "--behind-proxy"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check_words(
        &[("MCP_LISTEN", &address)],
        false,
        &["is in use by another program; stop that, or choose another with --listen or MCP_LISTEN"],
    );
}
