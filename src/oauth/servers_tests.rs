//! Several servers at one host: what one issues is worth nothing at another, and a person sees them together.

use std::collections::BTreeSet;

use super::bearer::BearerError;
use super::client::AuthMethod;
use super::fake::{self, Browser, CHALLENGE, Fixture, Visitor, body, text};
use super::*;
use crate::base::{AllowRule, Group, Principal};
use crate::http::fake::request;
use crate::http::{Response, append_query, percent_encode};
use crate::store::Stage;

const LOCAL: &str = "http://127.0.0.1/cb";

/// A client of the operator's, which every server knows.
fn configured(redirect_uri: &str) -> Clients {
    let members = ConfiguredMembers {
        client_id: "app".to_owned(),
        client_name: Some("Agent".to_owned()),
        redirect_uris: vec![redirect_uri.to_owned()],
        token_endpoint_auth_method: None,
        client_secret_file: None,
    };
    let configured = [("app".to_owned(), Client::configured(members, None).unwrap())].into();
    Clients { configured, ..Clients::default() }
}

/// The servers `files`, which the fixture uses, and `notes`, with a client of the operator's that both know.
fn two_servers() -> Fixture {
    let mut fixture = fake::two_servers();
    fixture.restart(|parts| {
        fake::move_to(parts, "https://mcp.example.com", &[Some("files"), Some("notes")]);
        parts.clients = configured(LOCAL);
    });
    fixture
}

fn notes(fixture: &Fixture) -> Arc<ProtectedResource> {
    fixture.server.callback.resources.find("https://mcp.example.com/notes/mcp").unwrap()
}

/// A browser with that client, whose consent page of `files` is open.
fn browser(fixture: &Fixture) -> Browser<'_> {
    Browser::of(fixture, "app".to_owned(), "xyz")
}

fn bearer(fixture: &Fixture, resource: &ProtectedResource, token: &str) -> Result<Principal, BearerError> {
    let request = request("POST", "/mcp").with("Authorization", &format!("Bearer {token}"));
    fixture.server.bearer.principal(resource, &request.head)
}

/// The error of a token request, by its name on the wire.
fn error(response: &Response) -> String {
    assert!(response.status() >= 400, "{}", text(response));
    body(response)["error"].as_str().unwrap().to_owned()
}

/// The answer to a request for authorization at a server, with everything right but for `more`.
fn authorize(
    fixture: &Fixture,
    resource: &ProtectedResource,
    client_id: &str,
    more: &[(&str, &str)],
) -> Response {
    let parameters = [
        ("client_id", client_id),
        ("redirect_uri", "http://127.0.0.1:5000/cb"),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let target = append_query("/authorize", &[&parameters, more].concat());
    fixture.server.authorize.get(resource, &request("GET", &target).head)
}

/// M4, T3, T9: access tokens, codes and refresh tokens are for the server whose endpoints issued them. The refusal costs the client
/// nothing where they are good.
#[test]
fn codes_and_tokens_are_refused_at_another_server() {
    let fixture = two_servers();
    let notes = notes(&fixture);
    let mut browser = browser(&fixture);
    let code = browser.code();
    let form = |grant: &str| format!("{grant}&client_id=app");
    let redeem = form(&format!("grant_type=authorization_code&code={code}&code_verifier={}", fake::VERIFIER));
    assert_eq!(error(&fixture.post_to(&notes, "/token", &redeem)), "invalid_grant");
    assert_eq!(fixture.grants.list().unwrap()[0].stage, Stage::CodeIssued);
    let tokens = fake::tokens(&fixture.post("/token", &redeem));
    assert_eq!(bearer(&fixture, &notes, &tokens.access).unwrap_err(), BearerError::Invalid);
    let caller = bearer(&fixture, &fixture.resource, &tokens.access).unwrap();
    assert_eq!(&*caller.resource, "https://mcp.example.com/files/mcp");
    let refresh = form(&format!("grant_type=refresh_token&refresh_token={}", tokens.refresh));
    assert_eq!(error(&fixture.post_to(&notes, "/token", &refresh)), "invalid_grant");
    let next = fake::tokens(&fixture.post("/token", &refresh));
    for token in [&next.access, &next.refresh] {
        let revoke = form(&format!("token={token}"));
        assert_eq!(fixture.post_to(&notes, "/revoke", &revoke).status(), 200);
        assert!(bearer(&fixture, &fixture.resource, &next.access).is_ok(), "nothing has ended");
    }
    assert_eq!(fixture.post("/revoke", &form(&format!("token={}", next.refresh))).status(), 200);
    assert!(bearer(&fixture, &fixture.resource, &next.access).is_err());
}

/// O16: a registration and its secret name the server that they are for; the client of another is unknown.
#[test]
fn a_registration_is_for_the_server_that_it_was_made_at() {
    let fixture = fake::two_servers();
    let notes = notes(&fixture);
    let registration =
        r#"{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"client_secret_post"}"#;
    let register = request("POST", "/register").with("Content-Type", "application/json").body(registration);
    let answer = body(&fixture.server.register.post(&fixture.resource, &register));
    let member = |name: &str| answer[name].as_str().unwrap();
    let credentials =
        format!("token=x&client_id={}&client_secret={}", member("client_id"), member("client_secret"));
    assert_eq!(authorize(&fixture, &fixture.resource, member("client_id"), &[]).status(), 200);
    assert_eq!(fixture.post("/revoke", &credentials).status(), 200);
    let page = authorize(&fixture, &notes, member("client_id"), &[]);
    assert!(page.status() == 400 && text(&page).contains("does not know the program"));
    assert_eq!(error(&fixture.post_to(&notes, "/revoke", &credentials)), "invalid_client");
    let root = fake::fixture();
    assert_eq!(authorize(&root, &root.resource, member("client_id"), &[]).status(), 400);
    let of_root = root.client_id(AuthMethod::None, &[LOCAL]);
    assert_eq!(authorize(&fixture, &fixture.resource, &of_root, &[]).status(), 400);
}

/// D4: a client that registered before servers had names goes on, at the only server. The id was not made by this code.
#[test]
fn a_registration_without_a_server_is_valid_at_an_only_server() {
    const OLD: &str = "mcp_ci_AAECAwQFBgcICQoLDA0ODzj2kF059HbWzrKKyZKmu01AVvM0HTOuQoOS1N9Gn0KYDU0N5wjNVd5YZkAtHLW4YUd5CspfLPtQpaxiAbfTvzY-bCUnShZyQ52l3ge-eLda88cLHVFZkzMi7L05_g";
    let root = fake::fixture();
    let page = authorize(&root, &root.resource, OLD, &[]);
    assert!(page.status() == 200 && text(&page).contains("<dd>Old<small>"), "{}", text(&page));
    let several = fake::two_servers();
    assert_eq!(authorize(&several, &several.resource, OLD, &[]).status(), 400);
}

/// O13: a client without a resource gets that of its issuer, and one that names another's is refused.
#[test]
fn each_issuer_has_its_own_resource() {
    let fixture = two_servers();
    let notes = notes(&fixture);
    for (named, status) in [
        ("https://mcp.example.com/notes", 200),
        ("https://MCP.example.com:443/notes/mcp/", 200),
        ("https://mcp.example.com/files/mcp", 303),
        ("https://mcp.example.com/notesmcp", 303),
        ("https://mcp.example.com/mcp", 303),
        ("https://mcp.example.com", 303),
    ] {
        let answer = authorize(&fixture, &notes, "app", &[("resource", named)]);
        assert_eq!(answer.status(), status, "{named}");
    }
    let mut browser = browser(&fixture);
    browser.resource = Arc::clone(&notes);
    let location = browser.log_in().header_value("location").unwrap().to_owned();
    assert!(location.ends_with("&iss=https%3A%2F%2Fmcp.example.com%2Fnotes"), "{location}");
    assert_eq!(fixture.grants.list().unwrap()[0].resource, "https://mcp.example.com/notes/mcp");
}

/// C1, C3: the consent page names its server, and its form is good there alone.
#[test]
fn a_consent_form_is_for_its_own_server() {
    let fixture = two_servers();
    let mut browser = browser(&fixture);
    let page = text(&browser.open_consent_page());
    for words in [
        "<h1>Let Agent use The &lt;files&gt;?</h1>",
        "https://mcp.example.com/files/mcp",
        "action=\"/files/consent\"",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let files = std::mem::replace(&mut browser.resource, notes(&fixture));
    assert_eq!(browser.post_consent("approve", &[]).status(), 403);
    browser.resource = files;
    assert_eq!(browser.approve().status(), 303);
}

/// C4: the state of a login brings the browser back to the server that it was begun at, if there still is that server.
#[test]
fn a_login_ends_at_the_server_that_it_was_begun_at() {
    let mut fixture = two_servers();
    let state = {
        let mut browser = browser(&fixture);
        browser.approve();
        (browser.github_state, browser.cookies)
    };
    fixture.restart(|parts| {
        fake::move_to(parts, "https://mcp.example.com", &[Some("notes")]);
        parts.clients = configured(LOCAL);
    });
    let mut browser = browser(&fixture);
    (browser.github_state, browser.cookies) = state;
    let page = browser.callback("code=good");
    assert!(page.status() == 400 && text(&page).contains("took too long"), "{}", text(&page));
    assert!(fixture.grants.list().unwrap().is_empty());
}

/// C5: two logins of one browser at two servers do not disturb one another.
#[test]
fn logins_at_two_servers_go_on_side_by_side() {
    let fixture = two_servers();
    let mut first = browser(&fixture);
    let mut second = first.clone();
    second.resource = notes(&fixture);
    second.open_consent_page();
    first.cookies = second.cookies.clone();
    first.approve();
    second.approve();
    assert_eq!((second.callback("code=good").status(), first.callback("code=good").status()), (303, 303));
    let mut resources: Vec<_> =
        fixture.grants.list().unwrap().iter().map(|grant| grant.resource.clone()).collect();
    resources.sort();
    assert_eq!(resources, ["https://mcp.example.com/files/mcp", "https://mcp.example.com/notes/mcp"]);
}

/// C11: one account page for all: each grant says its server, and the people who are let in see which servers there are.
#[test]
fn the_account_page_lists_all_servers() {
    let fixture = two_servers();
    browser(&fixture).tokens();
    let shown =
        "<dt><a href=\"/notes\">The &lt;notes&gt;</a></dt><dd><code>https://mcp.example.com/notes/mcp</code>";
    let page = text(&Visitor::signed_in(&fixture).open());
    assert!(page.contains("<span>The &lt;files&gt;</span><span>last used") && page.contains(shown), "{page}");
    assert!(
        page.contains("aria-label=\"End access of Agent, your computer, at The &lt;files&gt;\""),
        "{page}"
    );
    fixture.provider.identity(4, "stranger");
    let page = text(&Visitor::signed_in(&fixture).open());
    assert!(page.contains("<strong>stranger</strong>") && !page.contains("notes"), "{page}");
    for page in [
        fixture.server.resources.pages.home_of_all(),
        fixture.server.account.get(&request("GET", "/account").head),
    ] {
        assert!(!text(&page).contains("files") && !text(&page).contains("notes"), "{}", text(&page));
    }
}

/// Members of a group, whom GitHub is not asked about here, see the servers once they have been let in.
#[test]
fn group_members_see_the_servers_after_their_first_login() {
    let fixture = two_servers();
    let group = AllowRule::Group(Group::Org("acme".to_owned()));
    let allow = vec![group];
    fixture.server.grants.change_rules(Rules { allow, denied: DenyList::default() });
    fixture.provider.member_of(&["acme"]);
    assert!(!text(&Visitor::signed_in(&fixture).open()).contains("notes"));
    browser(&fixture).tokens();
    assert!(text(&Visitor::signed_in(&fixture).open()).contains("https://mcp.example.com/notes/mcp"));
}

/// C5, O15: below a path, cookies are still the host's, under names of their own; GitHub sends browsers back below the path.
#[test]
fn a_public_url_may_have_a_path() {
    for name in [None, Some("files")] {
        let mut fixture = fake::fixture();
        fixture.restart(|parts| fake::move_to(parts, "https://mcp.example.com/base", &[name]));
        let issuer = format!(
            "https://mcp.example.com/base{}",
            name.map(|name| format!("/{name}")).unwrap_or_default()
        );
        let mut browser = Browser::new(&fixture);
        let page = browser.open_consent_page();
        let cookie = page.header_value("set-cookie").unwrap();
        assert!(
            cookie.starts_with("__Host-mcp_login_!base") && cookie.contains("; Path=/; Secure;"),
            "{cookie}"
        );
        let path = issuer.trim_start_matches("https://mcp.example.com");
        assert!(text(&page).contains(&format!("action=\"{path}/consent\"")), "{}", text(&page));
        let location = browser.approve().header_value("location").unwrap().to_owned();
        assert!(location.starts_with("https://github.test/"), "{location}");
        assert_eq!(
            fixture.server.consent.sealer.callback_url(),
            "https://mcp.example.com/base/auth/callback"
        );
        let code = browser.callback("code=good");
        assert!(code.header_value("location").unwrap().contains(&percent_encode(&issuer)), "{issuer}");
        assert_eq!(fixture.grants.list().unwrap()[0].resource, format!("{issuer}/mcp"));
        let challenge =
            fixture.resource.challenge(&request("POST", "/").head, Endpoint::Mcp, BearerError::Missing);
        let document = format!("https://mcp.example.com/.well-known/oauth-protected-resource{path}/mcp");
        let challenge = challenge.header_value("www-authenticate").unwrap();
        assert!(challenge.contains(&format!("resource_metadata=\"{document}\"")), "{challenge}");
        let page = text(&fixture.server.account.get(&request("GET", "/base/account").head));
        assert!(page.contains("action=\"/base/account\""), "{page}");
    }
}

/// C5: two servers below paths of one host have cookies of their own.
#[test]
fn each_path_has_its_own_cookies() {
    let name_below = |path: &str| {
        let mut fixture = fake::fixture();
        fixture.restart(|parts| fake::move_to(parts, &format!("https://mcp.example.com{path}"), &[None]));
        fixture.server.consent.sealer.cookie_name("mcp_login_")
    };
    let names: BTreeSet<String> = ["", "/a", "/a/b", "/a.b", "/a./b", "/a../b"].map(name_below).into();
    assert_eq!(names.len(), 6, "{names:?}");
}
