//! Parsing of values.

use super::*;

/// M19: what a browser can send as an origin can be allowed, and stands as it is sent.
#[test]
fn any_serialized_origin_can_be_allowed() {
    for (text, origin) in [
        ("null", "null"),
        ("https://inspector.example", "https://inspector.example"),
        ("https://Inspector.example:443/", "https://inspector.example"),
        ("http://192.168.1.10:6274", "http://192.168.1.10:6274"),
        ("http://[::1]:80", "http://[::1]"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("vscode-webview://0A1b", "vscode-webview://0A1b"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://localhost:443", "app://localhost:443"),
        ("file://", "file://"),
    ] {
        assert_eq!(origins(text), Ok(vec![origin.to_owned()]), "{text}");
    }
    let two = vec!["null".to_owned(), "app://-".to_owned()];
    assert_eq!(origins("null, app://-"), Ok(two));
    let odd =
        ["", "*", "https://", "https://*.example", "inspector.example", "HTTPS://a", "://a", "Null", "null,"];
    let hostless = [
        "http://:8080",
        "app://",
        "app://:1",
        "file://:1",
        "http://[::1",
        "http://::1",
        "http://[::1]x",
        "http://[]",
        "a://b:c:1",
    ];
    for bad in odd.into_iter().chain(hostless).chain([
        "https://a/path",
        "https://u@a",
        "https://a:b",
        "https://a?b",
        "app://a b",
    ]) {
        assert!(origins(bad).is_err(), "{bad}");
    }
}
