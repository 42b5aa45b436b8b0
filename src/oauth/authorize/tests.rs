//! Which authorization requests are believed, and where the others are told so.

use super::*;
use crate::http::append_query;
use crate::http::fake::request;
use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{self, Browser, CHALLENGE, Fixture, text};

const WEB: &str = "https://a.example/cb";
const LOCAL: &str = "http://127.0.0.1/cb";

fn authorize(fixture: &Fixture, query: &str) -> Response {
    fixture.server.authorize.get(&fixture.resource, &request("GET", &format!("/authorize?{query}")).head)
}

/// The query of a good request; the parameters of `changes` replace its own, empty ones remove them.
fn query(client_id: &str, changes: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("client_id", client_id),
        ("response_type", "code"),
        ("redirect_uri", "http://127.0.0.1:5000/cb"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "xyz"),
    ];
    for &(name, value) in changes {
        parameters.retain(|(other, _)| *other != name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    append_query("", &parameters)[1..].to_owned()
}

#[test]
fn a_good_request_gets_the_consent_page_and_a_cookie() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[LOCAL]);
    let response = authorize(&fixture, &query(&id, &[]));
    assert_eq!(response.status(), 200);
    assert!(response.header_value("set-cookie").unwrap().contains("HttpOnly; SameSite=Lax"));
    assert!(text(&response).contains("http://127.0.0.1:5000"));
}

/// O6: an unknown client or redirect URI never causes a redirect; neither is echoed.
#[test]
fn an_unverified_redirect_uri_is_never_redirected_to() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[LOCAL, WEB]);
    let check = |changes: &[(&str, &str)]| {
        let response = authorize(&fixture, &query(&id, changes));
        assert_eq!((response.status(), response.header_value("location")), (400, None), "{changes:?}");
        assert!(!text(&response).contains("evil"));
        text(&response)
    };
    // Clients keep a registration that has gone; the person is told how to make them forget it.
    assert!(check(&[("client_id", "evil")]).contains("Remove this server"));
    check(&[("client_id", "")]);
    check(&[("redirect_uri", "https://evil.example/cb")]);
    check(&[("redirect_uri", "https://a.example/cb/evil")]);
    check(&[("redirect_uri", "")]);
}

/// O4: an absent redirect URI means the only one registered, if that has no port to choose.
#[test]
fn an_absent_redirect_uri_must_be_unambiguous() {
    let fixture = fake::fixture();
    let check = |uris: &[&str], status| {
        let id = fixture.client_id(AuthMethod::None, uris);
        assert_eq!(authorize(&fixture, &query(&id, &[("redirect_uri", "")])).status(), status, "{uris:?}");
    };
    check(&[WEB], 200);
    check(&[WEB, "https://a.example/other"], 400);
    check(&[LOCAL], 400);
}

/// O4, O5: a registration outlives a change of `MCP_REDIRECT_SCHEMES`, and then its URI is refused, named or not.
#[test]
fn an_absent_redirect_uri_is_checked_against_the_current_schemes() {
    let fixture = fake::fixture();
    for (uri, status) in [("cursor://a.example/cb", 200), ("myapp://cb", 400)] {
        let id = fixture.client_id(AuthMethod::None, &[uri]);
        for named in [uri, ""] {
            let response = authorize(&fixture, &query(&id, &[("redirect_uri", named)]));
            assert_eq!(response.status(), status, "{uri} {named}");
        }
    }
}

/// O1, O2, O8, O12, O13, O14: every other error goes back to a local client with its code, `state` and `iss`.
#[test]
fn errors_are_redirected_to_local_clients() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[LOCAL]);
    let check = |name: &str, value: &str, code: &str| {
        let response = authorize(&fixture, &query(&id, &[(name, value)]));
        assert_eq!(response.status(), 303, "{name}={value}");
        let location = response.header_value("location").unwrap();
        assert!(location.starts_with(&format!("http://127.0.0.1:5000/cb?error={code}&")), "{location}");
        assert!(location.ends_with("&state=xyz&iss=https%3A%2F%2Fmcp.example.com"), "{location}");
    };
    check("response_type", "token", "unsupported_response_type");
    check("response_type", "", "unsupported_response_type");
    check("code_challenge", "", "invalid_request");
    check("code_challenge", "short", "invalid_request");
    check("code_challenge", &"=".repeat(43), "invalid_request");
    check("code_challenge", &"A".repeat(42), "invalid_request");
    check("code_challenge", &"A".repeat(44), "invalid_request");
    check("code_challenge_method", "", "invalid_request");
    check("code_challenge_method", "plain", "invalid_request");
    check("code_challenge_method", "s256", "invalid_request");
    check("scope", "a\"b", "invalid_scope");
    check("resource", "https://other.example/mcp", "invalid_target");
    check("resource", "https://mcp.example.com/mcp#f", "invalid_target");
    check("request", "x", "request_not_supported");
    check("request_uri", "x", "request_uri_not_supported");
    check("response_mode", "fragment", "invalid_request");
    check("prompt", "none", "interaction_required");
}

/// O7: an open web client gets no automatic redirect with an error.
#[test]
fn errors_of_web_clients_are_shown_first() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[WEB]);
    let response = authorize(&fixture, &query(&id, &[("redirect_uri", WEB), ("response_type", "token")]));
    assert_eq!((response.status(), response.header_value("location")), (400, None));
    let page = text(&response);
    assert!(page.contains("href=\"https://a.example/cb?error=unsupported_response_type&amp;"), "{page}");
    assert!(page.contains("<strong>https://a.example</strong>") && !page.contains("http-equiv"), "{page}");
}

/// O8: a repeated parameter is refused before anything is believed; `resource` may be repeated.
#[test]
fn repeated_parameters_are_refused() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[LOCAL]);
    let good = query(&id, &[]);
    for extra in
        ["&state=abc", "&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb", "&client_id=", "&x=%zz", "&x=%ff"]
    {
        assert_eq!(authorize(&fixture, &format!("{good}{extra}")).status(), 400, "{extra}");
    }
    let resource = "&resource=https%3A%2F%2Fmcp.example.com%2Fmcp";
    assert_eq!(authorize(&fixture, &format!("{good}{resource}{resource}")).status(), 200);
    assert_eq!(authorize(&fixture, &format!("{good}&unknown=1&prompt=consent")).status(), 200);
}

/// O13: what counts as this server's resource.
#[test]
fn the_resource_is_accepted_in_few_spellings() {
    let fixture = fake::fixture();
    let check = |resource: &str, ours| assert_eq!(fixture.resource.is_named(resource), ours, "{resource}");
    for ours in [
        "https://mcp.example.com/mcp",
        "https://mcp.example.com/mcp/",
        "HTTPS://MCP.example.com:443/mcp",
        "https://mcp.example.com",
        "https://mcp.example.com/",
    ] {
        check(ours, true);
    }
    for other in [
        "http://mcp.example.com/mcp",
        "https://mcp.example.com/MCP",
        "https://mcp.example.com/mcp?x=1",
        "https://mcp.example.com/mcp#",
        "https://mcp.example.com/mcp//",
        "https://mcp.example.com.evil.example/mcp",
        "https://mcp.example.com:444/mcp",
        "https://user@mcp.example.com/mcp",
        "mcp.example.com/mcp",
        "https://localhost/mcp",
        "",
    ] {
        check(other, false);
    }
    let local = fake::resource(&crate::http::PublicUrl::parse("http://127.0.0.1:3001").unwrap(), None);
    for name in ["127.0.0.1", "localhost", "[::1]"] {
        assert!(local.is_named(&format!("http://{name}:3001/mcp")), "{name}");
        assert!(!local.is_named(&format!("http://{name}:3002/mcp")), "{name}");
    }
}

/// O12: unknown scopes are dropped, and what every caller needs is always granted.
#[test]
fn granted_scopes_are_those_requested_allowed_or_required() {
    let (required, allowed) = (Scopes::parse("mcp").unwrap(), Scopes::parse("mcp admin").unwrap());
    let check = |asked, granted: Option<&str>| {
        assert_eq!(
            granted_scopes(&required, &allowed, asked).ok().map(|s| s.to_string()).as_deref(),
            granted,
            "{asked:?}"
        );
    };
    check(None, Some("mcp"));
    check(Some(""), Some("mcp"));
    check(Some("mcp openid offline_access"), Some("mcp"));
    check(Some("offline_access"), Some("mcp"));
    check(Some("admin"), Some("admin mcp"));
    check(Some("openid profile"), Some("mcp"));
    check(Some("claudeai"), Some("mcp"));
    check(Some("claudeai admin"), Some("admin mcp"));
    check(Some("MCP"), Some("mcp"));
    check(Some("a\"b"), None);
    let long = |length: usize| format!("mcp {}", "a".repeat(length - 4));
    let (longest, too_long) = (long(limits::SCOPE_BYTES), long(limits::SCOPE_BYTES + 1));
    check(Some(&longest), Some("mcp"));
    check(Some(&too_long), None);
}

/// O9: a state of 4096 bytes is kept, one byte more is refused, and then not sent back either.
#[test]
fn a_state_is_kept_up_to_its_limit() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[LOCAL]);
    let state = |length: usize| authorize(&fixture, &query(&id, &[("state", &"s".repeat(length))]));
    assert_eq!(state(limits::STATE_BYTES).status(), 200);
    let refused = state(limits::STATE_BYTES + 1);
    let location = refused.header_value("location").unwrap();
    assert!(location.contains("?error=invalid_request&") && !location.contains("state=s"), "{location}");
}

/// A login that begins can be finished: the longest state and redirect URI fit into the URLs of GitHub, and of its answer.
#[test]
fn a_login_that_would_not_fit_into_a_url_is_refused_at_the_start() {
    let fixture = fake::fixture();
    let check = |(state, uri): (&str, usize), is_taken: bool| {
        let redirect_uri = format!("https://a.example/{}", "a".repeat(uri - 18));
        let id = fixture.client_id(AuthMethod::None, &[&redirect_uri]);
        let query = query(&id, &[("state", state), ("redirect_uri", "")]);
        assert_eq!(authorize(&fixture, &query).status(), if is_taken { 200 } else { 400 });
        if is_taken {
            let mut browser = Browser::opened(&fixture, id, (&redirect_uri, state));
            let github = browser.approve().header_value("location").unwrap().to_owned();
            let answer = format!("/auth/callback?code={}&state={}", "c".repeat(256), browser.github_state);
            assert!(
                github.len().max(answer.len()) < limits::TARGET_BYTES,
                "{} {}",
                github.len(),
                answer.len()
            );
        }
    };
    let longest = "s".repeat(limits::STATE_BYTES);
    check((&longest, 300), true);
    check((&longest, 1000), false);
    check((&"s".repeat(2300), limits::URI_BYTES), true);
    check((&"s".repeat(3000), limits::URI_BYTES), false);
    check((&"\u{1}".repeat(700), 100), true);
    check((&"\u{1}".repeat(900), 100), false);
}
