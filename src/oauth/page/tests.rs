//! What the pages say, and what they must never let in.

use super::*;
use crate::http::append_query;
use crate::http::fake::request;
use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{self, Fixture, text};

/// B1, C8: every page carries every header, and none a `form-action`.
#[test]
fn pages_cannot_be_framed_scripted_or_cached() {
    let fixture = fake::fixture();
    let (consent, _) = consent_page(&fixture, "https://a.example/cb");
    let target = fake::redirect_uri("https://a.example/cb");
    for (response, referrer) in [
        (problem(Problem::UnknownClient), "no-referrer"),
        (not_allowed("octocat"), "no-referrer"),
        (interstitial(&target, "https://a.example/cb?error=x", AuthorizeError::Denied), "no-referrer"),
        (home("https://mcp.example.com/mcp"), "no-referrer"),
        (fixture.server.account(&request("GET", "/account")), "same-origin"),
        (consent, "same-origin"),
    ] {
        let csp = response.header_value("content-security-policy").unwrap();
        let (style, rest) =
            csp.strip_prefix("default-src 'none'; style-src 'sha256-").unwrap().split_once('\'').unwrap();
        assert_eq!(style.len(), 44);
        assert_eq!(rest, "; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
            ("content-type", "text/html; charset=utf-8"),
            ("referrer-policy", referrer),
        ] {
            assert_eq!(response.header_value(name), Some(value), "{}", text(&response));
        }
        assert!(response.header_value("permissions-policy").unwrap().contains("camera=()"));
        let page = text(&response);
        assert!(!page.contains("<script") && !page.contains("http-equiv"), "{page}");
    }
}

fn consent_page(fixture: &Fixture, redirect_uri: &str) -> (Response, String) {
    page_of(fixture, &fixture.client_id(AuthMethod::None, &[redirect_uri]), redirect_uri)
}

fn page_of(fixture: &Fixture, client_id: &str, redirect_uri: &str) -> (Response, String) {
    let challenge = fake::CHALLENGE;
    let parameters = [
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("response_type", "code"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ];
    let target = append_query("/authorize", &parameters);
    let response = fixture.server.authorize(&request("GET", &target).head);
    let page = text(&response);
    (response, page)
}

/// C1, C7: who asks, that the name proves nothing, where the answer goes, what for, and a warning for programs.
#[test]
fn the_consent_page_says_who_gets_what() {
    let fixture = fake::fixture();
    let check = |redirect_uri: &str, place: &str, warns: bool| {
        let (_, page) = consent_page(&fixture, redirect_uri);
        let shown = ["Test &lt;client&gt;", "unverified", place, "https://mcp.example.com/mcp", "GitHub"];
        for words in shown.into_iter().chain(["Use the tools, prompts and resources"]) {
            assert!(page.contains(words), "{words} {redirect_uri}");
        }
        assert_eq!(page.contains("class=warn"), warns, "{redirect_uri}");
        assert!(!page.contains("<client>") && !page.contains("<img") && !page.contains("<a "));
    };
    check("https://a.example:8443/cb", "https://a.example:8443<", false);
    check("http://127.0.0.1:5000/cb", "http://127.0.0.1:5000<", true);
    check("com.example.app:/cb", "com.example.app:<", true);
}

/// C1: a host that serves files of others vouches for nobody else's web site.
#[test]
fn a_document_vouches_for_its_own_host_alone() {
    let url = "https://files.example/u/1/client.json";
    let check = |redirect_uri: &str, verified: bool| {
        let documents = std::sync::Arc::new(fake::FakeDocuments::default());
        let uris = [redirect_uri];
        documents.publish(
            url,
            &serde_json::json!({ "client_id": url, "client_name": "A", "redirect_uris": uris }),
        );
        let clients = crate::oauth::Clients { documents: Some(documents), ..Default::default() };
        let (_, page) = page_of(&fake::fixture_with(clients), url, redirect_uri);
        assert_eq!(
            page.contains("Verified: it belongs to <b>files.example</b>."),
            verified,
            "{redirect_uri}"
        );
        assert_eq!(page.contains("whoever can put a file there can say so"), !verified, "{redirect_uri}");
        assert_eq!(page.contains("class=warn"), !verified, "{redirect_uri}");
    };
    check("https://files.example/cb", true);
    check("https://FILES.example:8443?x=1", true);
    check("https://evil.example/cb", false);
    check("https://evil.example/files.example", false);
    check("https://files.example.evil.example/cb", false);
    check("https://evil-files.example/cb", false);
}

/// C6, C9: no frame, no script; the yes cannot be hit by a second click meant for something else; and the form's own
/// origin is sent.
#[test]
fn the_yes_is_meant() {
    let (response, page) = consent_page(&fake::fixture(), "https://a.example/cb");
    let csp = response.header_value("content-security-policy").unwrap();
    assert!(csp.contains("frame-ancestors 'none'"), "{csp}");
    assert_eq!(response.header_value("x-frame-options"), Some("DENY"));
    assert_eq!(response.header_value("referrer-policy"), Some("same-origin"));
    assert!(!page.contains("autofocus") && !page.contains("<script"));
    assert!(STYLE.contains("button.go{") && STYLE.contains("animation:wake .5s step-end"));
    assert!(STYLE.contains("@keyframes wake{from{pointer-events:none"));
}

/// G3: a person who asks for help has something to quote.
#[test]
fn a_problem_has_a_reference_and_leaves_its_reason() {
    let trace = trace::Trace { request: trace::RequestId([7; 6]), peer: None };
    trace::within(trace, || {
        for response in [problem(Problem::LoginExpired), not_allowed("octocat")] {
            assert!(text(&response).contains("<p>Reference: 070707070707</p>"));
        }
        assert_eq!(trace::reason(), Some("login_expired"));
    });
}

#[test]
fn a_login_is_escaped() {
    assert!(text(&not_allowed("<b>")).contains("<strong>&lt;b&gt;</strong>"));
}
