//! Reports on grants in a Valkey server.

use super::*;
use crate::store::conformance::grant;
use crate::store::fake::ValkeyServer;

/// A check connects to the store, needs no state directory for that, and writes nothing there.
#[test]
fn a_check_looks_at_the_store() {
    let (test, mut server) = (TestDirectory::new(), ValkeyServer::start());
    let directory = StateDirectory::open(test.path()).unwrap();
    let keys = Arc::new(key_file::load_or_create(&directory, &OsRandom).unwrap());
    let (key, url) = (test.path().join("key"), server.url());
    let changes = [("MCP_STORE", url.as_str()), ("MCP_OAUTH_KEY_FILE", key.to_str().unwrap())];
    check_words(&changes, true, &["grants are kept at", url.as_str(), "none yet"]);
    assert_eq!(server.ask(&["dbsize"]), "0");
    let table = server.place().open(&directory, &keys).unwrap();
    table.insert(&grant(1)).unwrap();
    check_words(&changes, true, &["grants                     1"]);
    let password = [&changes[..], &[("MCP_STORE_PASSWORD_FILE", "/nonexistent")]].concat();
    let report = check_words(&password, false, &["not start: MCP_STORE_PASSWORD_FILE (/nonexistent): "]);
    assert!(!report.contains("See that it runs there"), "the store is not at fault: {report}");
    server.stop();
    check_words(&changes, false, &["it would not start: MCP_STORE (unix://"]);
}

/// If each of several servers made a key, or one did in a directory that is gone at its next start, the grants could not be used.
#[test]
fn a_start_with_a_store_makes_no_key() {
    let (test, server) = (TestDirectory::new(), ValkeyServer::start());
    let (url, key) = (server.url(), test.path().join("key"));
    let words = ["it would not start: MCP_OAUTH_KEY_FILE: name a file that exists"];
    check_words(&[("MCP_STORE", url.as_str())], false, &words);
    let state = [("MCP_STORE", url.as_str()), ("MCP_STATE_DIR", test.path().to_str().unwrap())];
    let named = [PLAIN, &state, &[("MCP_OAUTH_KEY_FILE", key.to_str().unwrap())]].concat();
    for config in [configured(&[PLAIN, &state].concat()), configured(&named)] {
        let errors = Server::start(&config, tools()).map(drop).unwrap_err();
        assert!(errors[0].to_string().starts_with("MCP_OAUTH_KEY_FILE: "), "{}", errors[0]);
        assert!(!key.exists() && server.ask(&["dbsize"]) == "0");
    }
}

/// A command without MCP_STORE works on it, and says that it has revoked grants which the servers go on accepting.
#[test]
fn a_grants_file_beside_a_store_is_a_warning() {
    let (test, server) = (TestDirectory::new(), ValkeyServer::start());
    key_file::load_or_create(&StateDirectory::open(test.path()).unwrap(), &OsRandom).unwrap();
    let (state, url) = (test.path().to_str().unwrap(), server.url());
    let changes = [("MCP_STATE_DIR", state), ("MCP_STORE", url.as_str())];
    let report = || check(&configured(&[PLAIN, &changes].concat()), tools()).to_string();
    let words = "has a grants.redb, too: a command without MCP_STORE works on that file alone";
    assert!(!report().contains(words));
    std::fs::write(test.path().join("grants.redb"), "").unwrap();
    assert!(report().contains(words) && report().contains("fix: move it away"));
}

/// Traffic to a store on another machine is encrypted, or a check warns that it is not.
#[test]
fn a_store_without_tls_on_another_machine_is_unsafe() {
    let (test, words) = (TestDirectory::new(), "travel in the clear to another machine");
    let directory = StateDirectory::open(test.path()).unwrap();
    key_file::load_or_create(&directory, &OsRandom).unwrap();
    let key = test.path().join("key");
    let report = |url| {
        check_words(&[("MCP_STORE", url), ("MCP_OAUTH_KEY_FILE", key.to_str().unwrap())], false, &[url])
    };
    // Nobody has this name, and nothing listens on this port.
    for plain in ["valkey://store.invalid:1/0", "redis://mcp@store.invalid", "VALKEY://mcp@store.invalid:1"] {
        assert!(report(plain).contains(words), "{plain}");
    }
    for safe in [
        "valkeys://store.invalid:1/0",
        "rediss://mcp@store.invalid",
        "valkey://mcp@localhost:1/0",
        "redis://[::1]:1",
        "redis://127.0.0.1:1",
        "unix:///nonexistent?db=1",
    ] {
        assert!(!report(safe).contains(words), "{safe}");
    }
}
