//! A line is the URL of a client, the rest is its document: an accepted document obeys every rule, a plainly valid one
//! is accepted, and its client gets the consent page of its host.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::oauth::{
    AuthorizationServer, Client, ClientDocuments, ClientUrl, Clients, RedirectSchemes,
};
use oracle::{authorize_query, bytes, judge_redirect, request, server_with};
use serde_json::Value;

/// Returns the client of the latest input for any URL.
#[derive(Default)]
struct Last(Mutex<Option<Arc<Client>>>);

impl ClientDocuments for Last {
    fn find(&self, _: &ClientUrl, _: Option<IpAddr>) -> Option<Arc<Client>> {
        self.0.lock().unwrap().clone()
    }
}

static LAST: LazyLock<Arc<Last>> = LazyLock::new(Arc::default);
static SERVER: LazyLock<AuthorizationServer> = LazyLock::new(|| {
    let documents = Arc::clone(&LAST) as Arc<dyn ClientDocuments>;
    server_with(Clients { documents: Some(documents), ..Clients::default() }).0
});

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (Ok(text), body) = (std::str::from_utf8(&data[..end]), &data[end + 1..]) else { return };
    let Some(url) = ClientUrl::parse(text) else { return };
    assert_eq!(url.as_str(), text);
    judge_url(text, url.host());
    let document = Client::described(&url, body, &RedirectSchemes::default()).ok().map(Arc::new);
    let members = std::str::from_utf8(body).ok().and_then(|body| serde_json::from_str::<Value>(body).ok());
    if document.is_some() {
        // A skipped member may contain a lone surrogate, which a parser of everything refuses.
        let Some(members) = &members else { return assert!(body.windows(2).any(|pair| pair == b"\\u")) };
        judge_document(text, members);
    } else if let Some(members) = members {
        assert!(!is_plain(text, body, &members), "a plain document is refused");
    }
    let found = document.is_some();
    let uris: Vec<String> = match (found, serde_json::from_slice::<Value>(body)) {
        (true, Ok(members)) => {
            let uris = members["redirect_uris"].as_array().unwrap().iter();
            // An empty parameter counts as absent (RFC 6749 section 3.1): it asks for the only one that is usable.
            uris.filter_map(Value::as_str).filter(|uri| !uri.is_empty()).map(str::to_owned).collect()
        }
        _ => vec!["https://a.example/cb".to_owned()],
    };
    *LAST.0.lock().unwrap() = document;
    let mut admitted = 0;
    for uri in &uris {
        let query = authorize_query(text, uri);
        let page = SERVER.authorize(&request("GET", Some(&query), &[], b"").head);
        assert!(page.header_value("location").is_none());
        assert!(page.status() == 400 || (found && page.status() == 200));
        if page.status() == 200 {
            judge_redirect(uri);
            let html = std::str::from_utf8(bytes(&page)).unwrap();
            assert!(html.contains(url.host()), "the host that vouches is not shown");
            admitted += 1;
        }
    }
    assert!(!found || admitted > 0, "no redirect URI of an accepted document is admitted");
});

/// I1, independently.
fn judge_url(text: &str, host: &str) {
    assert!(text.len() <= 2048 && !text.contains(['#', '@', '\\', ' ', '"', '<', '>']) && text.is_ascii());
    let rest = text.strip_prefix("https://").unwrap();
    let rest = rest.strip_prefix(host).unwrap();
    let path = rest.strip_prefix(":443").unwrap_or(rest).split('?').next().unwrap();
    assert!(path.starts_with('/') && path.len() > 1, "{text}");
    for segment in path.split('/') {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        assert!(plain != "." && plain != "..", "{text}");
    }
    assert!(host.parse::<IpAddr>().is_err() && host.contains('.') && !host.ends_with('.'), "{text}");
    // A host that a browser takes for an IPv4 address ends in a number, in decimal, octal or hexadecimal.
    let last = host.rsplit('.').next().unwrap();
    let digits = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    let is_number = digits.map_or_else(
        || last.bytes().all(|b| b.is_ascii_digit()),
        |digits| digits.bytes().all(|b| b.is_ascii_hexdigit()),
    );
    assert!(!is_number, "{text}");
    assert!(![".local", ".internal", ".localhost", ".arpa"].iter().any(|end| host.ends_with(end)), "{text}");
}

/// I4, independently.
fn judge_document(url: &str, members: &Value) {
    let all = members.as_object().unwrap();
    assert_eq!(all["client_id"], url);
    assert!(!all.keys().any(|name| name.starts_with("client_secret")));
    let strings =
        |name: &str| all.get(name).filter(|list| !list.is_null()).map(|list| list.as_array().unwrap());
    let is_empty = |name: &str| strings(name).is_some_and(Vec::is_empty);
    let lists = |name: &str, word: &str| strings(name).map(|list| list.iter().any(|item| item == word));
    assert!(lists("grant_types", "authorization_code") != Some(false) || is_empty("grant_types"));
    assert!(lists("response_types", "code") != Some(false) || is_empty("response_types"));
    let listed = lists("token_endpoint_auth_methods_supported", "none");
    let method = all.get("token_endpoint_auth_method").and_then(Value::as_str);
    assert!(method == Some("none") || listed == Some(true) || (method.is_none() && listed.is_none()));
    // The cleaned name is checked in `register`, where it is visible; here, that it is not empty.
    assert!(!all["client_name"].as_str().unwrap().trim().is_empty());
}

/// A plainly valid document: three members, each once.
fn is_plain(url: &str, body: &[u8], members: &Value) -> bool {
    let Some(all) = members.as_object() else { return false };
    let letters = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
    let is_uri = |uri: &Value| {
        uri.as_str()
            .and_then(|uri| uri.strip_prefix("https://a.example/"))
            .is_some_and(|path| path.len() < 100 && letters(path))
    };
    // The number of quotes of three names and four strings: nothing is duplicated.
    body.iter().filter(|byte| **byte == b'"').count() == 12
        && all.len() == 3
        && all.get("client_id").is_some_and(|id| id == url)
        && all
            .get("client_name")
            .and_then(Value::as_str)
            .is_some_and(|name| name.len() <= 100 && letters(name))
        && all
            .get("redirect_uris")
            .and_then(Value::as_array)
            .is_some_and(|uris| uris.len() == 1 && uris.iter().all(is_uri))
}
