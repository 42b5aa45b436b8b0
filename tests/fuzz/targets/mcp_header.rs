//! A field that mirrors the body is decoded as by a slow decoder.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::header;

fn slowly(field: &str) -> Option<String> {
    let field = field.trim_matches(|c| c == ' ' || c == '\t');
    if field.chars().any(|c| c != '\t' && !(' '..='~').contains(&c)) {
        return None;
    }
    let (start, end) = ("=?base64?", "?=");
    if field.len() < start.len() + end.len() || !field.starts_with(start) || !field.ends_with(end) {
        return Some(field.to_owned());
    }
    let encoded = &field[start.len()..field.len() - end.len()];
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

fuzz_target!(|data: &str| {
    assert_eq!(header(data), slowly(data));
    // A value that a client encodes is decoded to itself.
    let encoded = format!("=?base64?{}?=", STANDARD.encode(data));
    assert_eq!(header(&encoded).as_deref(), Some(data));
});
