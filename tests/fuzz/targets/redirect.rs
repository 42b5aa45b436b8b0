//! One line is registered, the next is requested: only an equal URI, except for a loopback port, gets a consent page.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::oauth::AuthorizationServer;
use oracle::{authorize_query, judge_redirect, register, request, server};

static SERVER: LazyLock<AuthorizationServer> = LazyLock::new(|| server().0);

/// A loopback URI without its port, read one character at a time; none for any other text.
fn portless(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("http://")?;
    let host_end = if rest.starts_with('[') {
        rest.find(']')? + 1
    } else {
        rest.find([':', '/', '?']).unwrap_or(rest.len())
    };
    let (host, rest) = rest.split_at(host_end);
    let digits = match rest.strip_prefix(':') {
        Some(port) => port.find(['/', '?']).unwrap_or(port.len()),
        None => return Some(format!("{host}|{rest}")),
    };
    let (port, rest) = rest[1..].split_at(digits);
    let number: u32 =
        if port.bytes().all(|b| b.is_ascii_digit()) { port.parse().ok()? } else { return None };
    (1..=65535).contains(&number).then(|| format!("{host}|{rest}"))
}

fuzz_target!(|data: &str| {
    let Some((registered, asked)) = data.split_once('\n') else { return };
    let metadata = serde_json::json!({"redirect_uris": [registered], "token_endpoint_auth_method": "none"});
    let Some(client) = register(&SERVER, metadata.to_string().as_bytes()) else { return };
    judge_redirect(registered);
    let id = client["client_id"].as_str().unwrap();
    let admitted = |uri: &str| {
        let response = SERVER.authorize(&request("GET", Some(&authorize_query(id, uri)), &[], b"").head);
        assert!(response.header_value("location").is_none());
        response.status() == 200
    };
    assert!(admitted(registered), "a registered URI is not admitted");
    let expected = asked == registered
        || (asked.len() <= 2048 && portless(registered).is_some() && portless(registered) == portless(asked));
    if !asked.is_empty() {
        assert_eq!(admitted(asked), expected, "{registered} {asked}");
    }
});
