//! A Basic header authenticates a client if, and only if, a slow parser finds its id and secret in it.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::oauth::AuthorizationServer;
use oracle::{register, request, server, slow_form_decode};

struct Fixture {
    server: AuthorizationServer,
    id: String,
    secret: String,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let server = server().0;
    let client = register(&server, br#"{"redirect_uris":["https://a.example/cb"]}"#).unwrap();
    let member = |name: &str| client[name].as_str().unwrap().to_owned();
    Fixture { id: member("client_id"), secret: member("client_secret"), server }
});

/// Whether the header names the client and its secret.
fn is_right(value: &str) -> bool {
    let Some((scheme, credentials)) = value.split_once(' ') else { return false };
    let Ok(bytes) = STANDARD.decode(credentials.trim()) else { return false };
    let Some(colon) = bytes.iter().position(|&b| b == b':') else { return false };
    scheme.eq_ignore_ascii_case("basic")
        && std::str::from_utf8(&bytes).is_ok()
        && slow_form_decode(&bytes[..colon]).as_ref() == Some(&FIXTURE.id)
        && slow_form_decode(&bytes[colon + 1..]).as_ref() == Some(&FIXTURE.secret)
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let right = format!("{}:{}", FIXTURE.id, FIXTURE.secret);
    // Either the fuzzer's value, or the correct value with some bytes replaced by the fuzzer's, before or after base64.
    let spliced = |mut bytes: Vec<u8>| {
        let Some((&at, patch)) = rest.split_first() else { return bytes };
        let at = usize::from(at) * bytes.len() / 256;
        let end = (at + patch.len() / 2).min(bytes.len());
        bytes.splice(at..end, patch.iter().copied());
        bytes
    };
    let value = match kind % 4 {
        0 => rest.to_vec(),
        1 => format!("Basic {}", STANDARD.encode(rest)).into_bytes(),
        2 => spliced(format!("Basic {}", STANDARD.encode(&right)).into_bytes()),
        _ => format!("Basic {}", STANDARD.encode(spliced(right.into_bytes()))).into_bytes(),
    };
    let Ok(value) = String::from_utf8(value) else { return };
    let fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", &value)];
    let response = FIXTURE.server.token(&request("POST", None, &fields, b"grant_type=none"));
    // After authentication the request fails because of its grant type.
    let authenticated =
        std::str::from_utf8(oracle::bytes(&response)).unwrap().contains("unsupported_grant_type");
    assert_eq!(authenticated, is_right(&value), "{value:?}");
    if !authenticated {
        assert_eq!(response.status(), 401, "{value:?}");
        assert!(response.header_value("www-authenticate").is_some());
    }
});
