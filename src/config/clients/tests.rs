//! The syntax of the file of the operator's clients.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A folder of its own, deleted at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("mcp-oauth-clients-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ids(file: PathBuf) -> Result<Vec<String>, String> {
    let settings = ClientSettings { file: Some(file), ..ClientSettings::default() };
    let clients = settings.configured().map_err(|error| error.to_string())?;
    Ok(clients.into_keys().collect())
}

/// The outcome of reading a file with this text, beside a file `secret`.
fn check(text: &str, expected: Result<&[&str], &str>) {
    let folder = Folder::new();
    let file = folder.0.join("clients.json");
    fs::write(&file, text).unwrap();
    fs::write(folder.0.join("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    match (ids(file), expected) {
        (Ok(ids), Ok(expected)) => assert_eq!(ids, expected),
        (Err(error), Err(part)) => {
            assert!(error.contains(part) && error.contains("clients-"), "{error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
        }
        (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn a_file_names_public_and_confidential_clients() {
    let uris = r#""redirect_uris": ["https://a.example/cb"]"#;
    check("[]", Ok(&[]));
    check(&format!(r#"[{{"client_id": "app", {uris}}}]"#), Ok(&["app"]));
    let agent = format!(
        r#"{{"client_id": "agent", "client_name": "Agent", {uris}, "client_secret_file": "secret",
            "token_endpoint_auth_method": "client_secret_post"}}"#
    );
    check(&format!(r#"[{agent}, {{"client_id": "app", {uris}}}]"#), Ok(&["agent", "app"]));
}

#[test]
fn an_invalid_clients_file_is_refused() {
    let uris = r#""redirect_uris": ["https://a.example/cb"]"#;
    let app = format!(r#"{{"client_id": "app", {uris}}}"#);
    check("", Err("EOF"));
    check("{}", Err("invalid type: map"));
    check(&format!("[{app}, {app}]"), Err("client \"app\" is there twice"));
    check(&format!(r#"[{{"client_id": "a", "client_id": "b", {uris}}}]"#), Err("one name"));
    check(&format!(r#"[{{"client_id": "app", {uris}, "client_secret": "x"}}]"#), Err("unknown field"));
    check(r#"[{"client_id": "app"}]"#, Err("missing field"));
    check(r#"[["app", null, ["https://a.example/cb"], null, null]]"#, Err("invalid type: sequence"));
    check(r#"[{"client_id": "app", "redirect_uris": ["http://a.example/"]}]"#, Err("client \"app\": http"));
    check(&format!(r#"[{{"client_id": "mcp_x", {uris}}}]"#), Err("does not start with mcp_"));
    let missing = format!(r#"[{{"client_id": "app", {uris}, "client_secret_file": "missing"}}]"#);
    check(&missing, Err("client_secret_file in MCP_CLIENTS ("));
    assert!(ids("/nonexistent/clients.json".into()).unwrap_err().contains("/nonexistent/clients.json"));
}
