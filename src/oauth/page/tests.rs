//! Page texts, and content that must never reach a page.

use super::*;
use crate::base::Mutex;
use crate::http::append_query;
use crate::http::fake::request;
use crate::oauth::account_page::Listing;
use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{self, Fixture, text};
use crate::oauth::provider::ProviderError;

/// B1, C8: every page carries every header, and none a `form-action`.
#[test]
fn pages_cannot_be_framed_scripted_or_cached() {
    let fixture = fake::fixture();
    let (consent, _) = consent_page(&fixture, "https://a.example/cb");
    let pages = pages();
    for (response, referrer) in [
        (pages.problem(Problem::UnknownClient), "no-referrer"),
        (pages.not_allowed("octocat", None, ""), "no-referrer"),
        (pages.interstitial(AuthorizeError::Denied, ""), "no-referrer"),
        (pages.home(200, "https://mcp.example.com/mcp"), "no-referrer"),
        (fixture.server.account.get(&request("GET", "/account").head), "same-origin"),
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

fn pages() -> Pages {
    Pages::new("My <tools>", "My <tools>", vec![("repo".to_owned(), "Read your <repositories>".to_owned())])
}

/// Every page says which server it is of, in its text and in the tab, and has an icon of its own.
#[test]
fn every_page_names_its_server_and_has_an_icon() {
    let pages = pages();
    let account = crate::oauth::account_page::SignIn::First;
    let resources = &crate::oauth::Resources { current: Mutex::default(), pages: pages.clone() };
    let (grants, usable) = (&[], &[]);
    let listing = Listing { login: "octocat", grants, resources, usable, sealed: "sealed", notice: None };
    for response in [
        pages.problem(Problem::GitHub(ProviderError::Busy)),
        pages.not_allowed("octocat", None, ""),
        pages.interstitial(AuthorizeError::Denied, ""),
        pages.home(200, "https://mcp.example.com/mcp"),
        pages.sign_in(account),
        pages.list(&listing),
        pages.home_of_all(),
    ] {
        let page = text(&response);
        assert!(page.contains("<p class=server>My &lt;tools&gt;</p>"), "{page}");
        let (_, tab) = page.split_once("<title>").unwrap();
        assert!(tab.split_once("</title>").unwrap().0.ends_with(" · My &lt;tools&gt;"), "{page}");
        assert!(page.contains("<link rel=icon href=\"data:image/svg+xml,"), "{page}");
    }
}

/// One line for each client, with a name that every one of them takes, and links that open the two editors.
#[test]
fn the_home_page_connects_each_client() {
    let page = text(&pages().home(200, "https://mcp.example.com/mcp"));
    for words in [
        "<code>https://mcp.example.com/mcp</code>",
        "<code>claude mcp add --transport http my--tools https://mcp.example.com/mcp</code>",
        "<code>claude mcp login my--tools</code>",
        "<code>codex mcp add my--tools --url https://mcp.example.com/mcp</code><small>logs in; later <code>codex mcp login my--tools<",
        "<code>opencode mcp auth my--tools</code>",
        "<code>gemini mcp add --scope user --transport http my--tools https://mcp.example.com/mcp</code>",
        "inside it <code>/mcp auth my--tools</code>",
        "<code>copilot mcp add --transport http my--tools https://mcp.example.com/mcp</code>",
        "href=\"vscode:mcp/install?%7B%22name%22%3A%22my--tools%22%2C%22type%22%3A%22http%22%2C%22url%22%3A%22https%3A%2F%2Fmcp.example.com%2Fmcp%22%7D\"",
        "href=\"cursor://anysphere.cursor-deeplink/mcp/install?name=my--tools&amp;config=eyJ1cmwiOiJodHRwczovL21jcC5leGFtcGxlLmNvbS9tY3AifQ%3D%3D\"",
        "Add custom connector",
        "Developer mode",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let local = text(&pages().home(200, "http://127.0.0.1:3001/mcp"));
    assert!(local.contains("only servers with a public https address") && !local.contains("Developer mode"));
    assert_eq!(Pages::new("<>", "", Vec::new()).name, "mcp");
}

/// People read what a scope allows in the server's own words; one without words is shown as it is.
#[test]
fn scopes_are_shown_in_words() {
    let pages = pages();
    assert_eq!(pages.scope_in_words("repo"), "Read your &lt;repositories&gt;");
    assert_eq!(pages.scope_in_words("a<b"), "<code>a&lt;b</code>");
    assert!(pages.scope_in_words("mcp").starts_with("Use the tools"));
    let own = Pages::new("n", "t", vec![("mcp".to_owned(), "See your calendar".to_owned())]);
    assert_eq!(own.scope_in_words("mcp"), "See your calendar");
}

/// G6: the consent page says when GitHub's token is kept, and for what.
#[test]
fn the_consent_page_says_when_a_github_token_is_kept() {
    let check = |tools_call_github, allow: Vec<crate::base::AllowRule>, words: Option<&str>| {
        let mut fixture = fake::fixture();
        fixture.restart_keeping_github_tokens(tools_call_github);
        fixture
            .server
            .grants
            .change_rules(crate::oauth::Rules { allow, denied: crate::oauth::DenyList::default() });
        let (_, page) = consent_page(&fixture, "https://a.example/cb");
        assert_eq!(page.contains("keeps the GitHub token"), words.is_some(), "{page}");
        assert!(page.contains(words.unwrap_or_default()), "{page}");
    };
    let any = || vec![crate::base::AllowRule::Any];
    let group = crate::base::AllowRule::Group(crate::base::Group::Org("acme".to_owned()));
    check(false, any(), None);
    check(false, vec![group], Some("ask GitHub now and then whether you are still let in"));
    check(true, any(), Some("its tools call GitHub as you"));
}

/// M5: the consent page says who is handed GitHub's token and what that can do, and GitHub is asked for no more.
#[test]
fn the_consent_page_says_what_a_token_that_is_handed_over_can_do() {
    let check = |scopes: &[(&str, &str)], words: &str, asked: &str| {
        let mut fixture = fake::fixture();
        fixture.restart_handing_over(scopes);
        let (_, page) = consent_page(&fixture, "https://a.example/cb");
        assert!(page.contains("hands it to the server behind it"), "{page}");
        assert!(page.contains(words), "{words}: {page}");
        assert_eq!(fixture.resource.provider_scope(&fixture.server.grants.rules()), asked);
        let response = fake::Browser::new(&fixture).approve();
        let location = response.header_value("location").unwrap();
        let query = append_query("?a", &[("scope", asked)]);
        assert!(location.ends_with(query.trim_start_matches("?a")), "{location}");
    };
    check(&[], "who you are.", "");
    check(
        &[("repo", "Read <all>"), ("gist", "Gists")],
        "<li>Read &lt;all&gt;</li><li>Gists</li>",
        "gist repo",
    );
}

/// M5: what is asked of GitHub because of the rules is in the token that is handed over, too.
#[test]
fn the_consent_page_names_what_the_rules_add_to_a_token_that_is_handed_over() {
    let mut fixture = fake::fixture();
    let group = crate::base::AllowRule::Group(crate::base::Group::Org("acme".to_owned()));
    for (scopes, words) in [
        (&[][..], "That token can:</p><ul class=soft><li>See your organisations and teams</li></ul>"),
        (&[("read:org", "Orgs")][..], "That token can:</p><ul class=soft><li>Orgs</li></ul>"),
    ] {
        fixture.restart_handing_over(scopes);
        let allow = vec![group.clone()];
        fixture
            .server
            .grants
            .change_rules(crate::oauth::Rules { allow, denied: crate::oauth::DenyList::default() });
        let (_, page) = consent_page(&fixture, "https://a.example/cb");
        assert!(page.contains(words), "{page}");
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
    let response = fixture.server.authorize.get(&fixture.resource, &request("GET", &target).head);
    let page = text(&response);
    (response, page)
}

/// C1, C7: who asks, that the name proves nothing, where the answer goes, what for, and a warning for programs.
#[test]
fn the_consent_page_shows_client_destination_and_permissions() {
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
fn a_document_verifies_only_redirects_to_its_own_host() {
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
        assert_eq!(page.contains("anyone who can put a file there can say so"), !verified, "{redirect_uri}");
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
fn the_consent_page_resists_clickjacking() {
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
fn a_problem_page_shows_a_reference_and_logs_its_reason() {
    let trace = trace::Trace { request: trace::RequestId([7; 6]), peer: None, server: None };
    trace::within(trace, || {
        for response in [pages().problem(Problem::LoginExpired), pages().not_allowed("octocat", None, "")] {
            assert!(text(&response).contains("<p>Reference: 070707070707</p>"));
        }
        assert_eq!(trace::notes().reason, Some("login_expired"));
    });
}

/// G5: what stands in the way at GitHub is not put down to this server's rules or to time, and each page says what to do.
#[test]
fn each_obstacle_at_github_has_its_own_explanation() {
    let check = |obstacle, words: &str| {
        let told = pages().not_allowed("octocat", Some(obstacle), "");
        assert!(text(&told).contains("<strong>octocat</strong>"));
        for response in [told, pages().problem(Problem::GitHub(ProviderError::Blocked(obstacle)))] {
            let page = text(&response);
            assert!(response.status() == 403 && page.contains(words), "{page}");
            let blames = ["does not let that account in", "a few minutes"].iter().any(|it| page.contains(it));
            assert!(!blames, "{page}");
        }
    };
    check(Obstacle::Suspended, "suspended this account");
    check(Obstacle::UnverifiedEmail, "Settings, Emails");
    check(Obstacle::InvitationPending, "Accept the invitation");
    check(Obstacle::SingleSignOn, "single sign-on");
    check(Obstacle::AppNotApproved, "has to approve the app");
    check(Obstacle::AddressNotAllowed, "IP allow list");
    check(Obstacle::NotPermitted, "lacks a permission");
}

#[test]
fn a_github_login_is_escaped() {
    assert!(text(&pages().not_allowed("<b>", None, "")).contains("<strong>&lt;b&gt;</strong>"));
}
