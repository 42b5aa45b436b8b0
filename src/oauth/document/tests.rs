//! Which documents describe a client.

use serde_json::{Value, json};

use super::*;

const URL: &str = "https://a.example/client.json";

fn check(document: &Value, accepted: bool) {
    let url = ClientUrl::parse(URL).unwrap();
    let found = Client::described(&url, document.to_string().as_bytes(), &RedirectSchemes::default());
    assert_eq!(found.is_ok(), accepted, "{document}: {found:?}");
}

/// A good document; the members of `changes` replace its own, null removes them.
fn document(changes: &Value) -> Value {
    let mut document = json!({
        "client_id": URL, "client_name": "Example", "redirect_uris": ["https://a.example/cb"],
    });
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    document
}

/// I4: the id in the document is the URL, to the letter.
#[test]
fn a_document_names_its_own_url() {
    check(&document(&json!({})), true);
    for other in [
        "https://a.example/client.json/",
        "https://a.example:443/client.json",
        "https://A.example/client.json",
        "https://b.example/client.json",
        "",
    ] {
        check(&document(&json!({ "client_id": other })), false);
    }
    check(&document(&json!({ "client_id": null })), false);
    check(&document(&json!({ "client_id": [URL] })), false);
}

/// I4: `none` must be among what the client can do, and no secret in sight.
#[test]
fn a_document_admits_a_public_client() {
    let check = |changes: Value, accepted| check(&document(&changes), accepted);
    check(json!({ "token_endpoint_auth_method": "none" }), true);
    check(json!({ "token_endpoint_auth_method": "private_key_jwt" }), false);
    check(json!({ "token_endpoint_auth_method": "client_secret_post" }), false);
    check(json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }), false);
    check(json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"] }), true);
    check(json!({ "client_secret": "x" }), false);
    check(json!({ "client_secret_expires_at": 0 }), false);
}

/// The document that ChatGPT published in September 2026, but for its address.
#[test]
fn a_document_like_that_of_chatgpt_is_accepted() {
    let changes = json!({
        "client_uri": "https://a.example/",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "logo_uri": "https://cdn.example/logo.png",
        "token_endpoint_auth_signing_alg": "RS256",
        "jwks_uri": "https://a.example/oauth/jwks.json",
    });
    check(&document(&changes), true);
}

/// I4, O5: redirect URIs and name keep the rules of registration; of the usable ones all are kept.
#[test]
fn a_document_keeps_the_rules_of_registration() {
    let check = |changes: Value, accepted| check(&document(&changes), accepted);
    check(json!({ "redirect_uris": ["http://127.0.0.1/cb", "http://localhost/cb"] }), true);
    check(json!({ "redirect_uris": [] }), false);
    check(json!({ "redirect_uris": ["http://a.example/cb"] }), false);
    check(json!({ "redirect_uris": ["https://a.example/cb", "javascript:alert(1)"] }), true);
    check(json!({ "grant_types": ["client_credentials"] }), false);
    check(json!({ "response_types": ["token"] }), false);
    let url = ClientUrl::parse(URL).unwrap();
    let uris: Vec<String> = (0..30).map(|number| format!("https://a.example/{number}")).collect();
    let many = document(&json!({ "redirect_uris": uris, "client_name": "a\u{202e}b" })).to_string();
    let found = Client::described(&url, many.as_bytes(), &RedirectSchemes::default()).unwrap();
    assert_eq!(found.redirect_uris.len(), 30);
    assert_eq!(found.name.as_deref(), Some("ab"));
}

/// I4: MCP requires three members. A name of which nothing is left is none.
#[test]
fn a_document_has_the_required_members() {
    for missing in ["client_id", "client_name", "redirect_uris"] {
        check(&document(&json!({ missing: null })), false);
    }
    check(&document(&json!({ "client_name": "\u{200b}\n" })), false);
    check(&document(&json!({ "client_name": 7 })), false);
}

/// I4: what two parsers could read differently is no document.
#[test]
fn a_document_is_one_plain_json_object() {
    let url = ClientUrl::parse(URL).unwrap();
    let good = document(&json!({})).to_string();
    let twice = good.replacen('{', r#"{"client_id":"https://b.example/c","#, 1);
    let levels = crate::base::limits::JSON_DEPTH;
    let deep = good.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(levels), "]".repeat(levels)), 1);
    let with_mark = format!("\u{feff}{good}");
    for bad in [&twice, &deep, &with_mark, &format!("{good}{good}"), &format!("[{good}]"), "<html>", ""] {
        assert!(Client::described(&url, bad.as_bytes(), &RedirectSchemes::default()).is_err(), "{bad}");
    }
    assert!(Client::described(&url, b"\xff", &RedirectSchemes::default()).is_err());
}
