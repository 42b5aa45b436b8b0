//! The effects of SIGHUP, and their limits.

use std::fs;

use crate::audit_file::{Folder, text};
use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::{Server, temporary_directory};

/// T13, D6: a person who is no longer admitted is cut off at once, streams included; of the file only the rules are applied.
#[test]
fn sighup_rereads_the_rules_and_nothing_else() {
    let folder = temporary_directory();
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("mcp.conf");
    fs::write(&file, "# who is let in\nMCP_ALLOW=user:octocat\n").unwrap();
    let said = format!("config.reloaded path={}", file.display());
    let more = [("MCP_ALLOW", ""), ("MCP_CONFIG", file.to_str().unwrap())];
    let audit = Folder::new();
    let audit_file = audit.file("audit");
    let more = [&more[..], &[("MCP_AUDIT_LOG", audit_file.to_str().unwrap())]].concat();
    let server = Server::start_with(&FakeGitHub::start(), &more);
    let (client, tokens) = server.login();
    let session = server.session(&tokens.access);
    let status = || Request::get("/mcp").bearer(&tokens.access).send(server.authority()).unwrap().status;
    let reload = |text: &str, expected: &str| {
        fs::write(&file, text).unwrap();
        let seen = server.log().matches(expected).count();
        server.signal("-HUP");
        server.wait_for_more(expected, seen);
    };
    let stream = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let stream = stream.bearer(&tokens.access).open(server.authority()).unwrap();
    assert_eq!((stream.head().status, status()), (200, 400));

    reload("MCP_ALLOW=user:hubot\nMCP_MAX_SESSIONS=5\n", &format!("{said} options=MCP_MAX_SESSIONS hint="));
    assert!(server.log().contains("rules.changed"), "{}", server.log());
    assert_eq!(status(), 401);
    stream.finish().unwrap(); // the stream has ended
    server.wait_for_log("reason=not_admitted user=github:583231 login=octocat");
    assert_eq!(text(&audit.wait_for("request", 1)[0], "reason"), "not_admitted");

    // A broken file changes nothing.
    reload("MCP_ALLOW=user:octocat\nMCP_ALOW=any\n", "config.not_reloaded");
    let log = server.log();
    assert!(log.contains(r#":2: there is no option \"MCP_ALOW\"; --help lists the options"#), "{log}");
    assert!(log.contains("send SIGHUP again"), "{log}");
    assert_eq!(status(), 401);
    reload("MCP_ALLOW=\n", "MCP_ALLOW is not set");
    assert_eq!(status(), 401);

    // Nobody's grant was ended, so nobody has to log in again.
    reload("MCP_ALLOW=user:octocat\n", &format!("{said}\n"));
    assert_eq!(status(), 400);

    let denied = crate::support::fingerprint(&client.id);
    reload(&format!("MCP_ALLOW=user:octocat\nMCP_DENY_CLIENTS={}\n", denied.as_str()), &format!("{said}\n"));
    assert!(server.log().contains("reason=client_denied"), "{}", server.log());
    assert_eq!(status(), 401);
    reload("MCP_ALLOW=user:octocat\n", &format!("{said}\n"));
    assert_eq!(status(), 401, "an ended grant does not come back");
    fs::remove_dir_all(&folder).unwrap();
}

/// Settings that SIGHUP cannot reread are named: those that the environment overrides, and all if there is no file.
#[test]
fn sighup_says_what_it_could_not_reread() {
    let server = Server::start(&FakeGitHub::start());
    server.signal("-HUP");
    server.wait_for_log("config.not_reloaded hint=\"there is no configuration file (MCP_CONFIG)");

    let folder = temporary_directory();
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("mcp.conf");
    fs::write(&file, "MCP_ALLOW=user:hubot\n").unwrap();
    let server = Server::start_with(&FakeGitHub::start(), &[("MCP_CONFIG", file.to_str().unwrap())]);
    let line = format!("MCP_ALLOW in {}:1 is not used: the environment has it as well", file.display());
    server.wait_for_log(&line);
    server.signal("-HUP");
    let log = server.wait_for_log("config.reloaded path=");
    assert!(log.contains("config.shadowed options=MCP_ALLOW hint="), "{log}");
    fs::remove_dir_all(&folder).unwrap();
}
