use super::*;
use crate::base::limits;
use crate::http::Request;
use crate::http::fake::request;
use crate::oauth::fake::{self, Browser};

/// M5: who calls, and GitHub's token for GitHub; of our own token nothing is passed on.
#[test]
fn an_access_token_yields_its_principal() {
    let fixture = fake::fixture();
    let tokens = Browser::new(&fixture).tokens();
    let principal = fixture.bearer(&tokens.access).unwrap();
    assert_eq!((principal.subject.to_string(), &*principal.login), ("github:583231".to_owned(), "octocat"));
    assert_eq!(principal.scopes.to_string(), "mcp");
    assert_eq!(principal.upstream.token().unwrap().expose(), "gho_fake");
}

/// T1, M4: only a live access token of this server is a bearer token.
#[test]
fn only_a_live_access_token_is_accepted() {
    let fixture = fake::fixture();
    let browser = &mut Browser::new(&fixture);
    let code = browser.code();
    let tokens = browser.tokens();
    for other in [&code, &tokens.refresh, &browser.client_id, &format!("{}x", tokens.access), &"ü".to_owned()]
    {
        assert_eq!(fixture.bearer(other).unwrap_err(), BearerError::Invalid);
    }
    fixture.clock.advance(limits::ACCESS_TOKEN_LIFETIME);
    assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), BearerError::Invalid);
}

/// T19: one Authorization header, with a bearer token in it.
#[test]
fn a_token_is_read_from_one_authorization_header_only() {
    let fixture = fake::fixture();
    let tokens = Browser::new(&fixture).tokens();
    let check = |request: Request, error| {
        assert_eq!(fixture.server.bearer.principal(&fixture.resource, &request.head).unwrap_err(), error)
    };
    check(request("POST", &format!("/mcp?access_token={}", tokens.access)), BearerError::Missing);
    let value = format!("Bearer {}", tokens.access);
    check(
        request("POST", "/mcp").with("Authorization", &value).with("Authorization", &value),
        BearerError::Malformed,
    );
    let lower = request("POST", "/mcp").with("Authorization", &format!("bearer {}", tokens.access));
    assert!(fixture.server.bearer.principal(&fixture.resource, &lower.head).is_ok());
}

/// M3: a client that sends an Authorization field without a token is told to log in, as one that sends none.
#[test]
fn an_authorization_field_without_a_token_is_none() {
    let fixture = fake::fixture();
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  \t",
        "bearer ",
        "Bearer\tx",
        "Basic eDp5",
        "Digest a=b",
        "null",
        "mcp_at_x",
    ] {
        let head = request("POST", "/mcp").with("Authorization", value).head;
        assert_eq!(
            fixture.server.bearer.principal(&fixture.resource, &head).unwrap_err(),
            BearerError::Missing,
            "{value:?}"
        );
    }
}

/// M3: the challenge tells a client where to log in, and no more.
#[test]
fn a_challenge_names_the_metadata() {
    let fixture = fake::fixture();
    let check = |error, status, expected: &str| {
        let response = fixture.resource.challenge(&request("POST", "/mcp").head, Endpoint::Mcp, error);
        assert_eq!(response.status(), status);
        assert_eq!(response.header_value("www-authenticate"), Some(expected));
    };
    let start = "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"mcp\"";
    check(BearerError::Missing, 401, start);
    check(BearerError::Malformed, 400, &format!("{start}, error=\"invalid_request\""));
    check(BearerError::Invalid, 401, &format!("{start}, error=\"invalid_token\""));
    check(BearerError::InsufficientScope, 403, &format!("{start}, error=\"insufficient_scope\""));
}

/// A client that follows the challenge of a tool asks for all that it needs.
#[test]
fn a_tools_challenge_names_every_scope() {
    let response = fake::fixture().resource.insufficient_scope(&Scopes::parse("repo").unwrap());
    assert_eq!(response.status(), 403);
    let challenge = response.header_value("www-authenticate").unwrap();
    assert!(challenge.ends_with(", scope=\"mcp repo\", error=\"insufficient_scope\""), "{challenge}");
}

/// A token from before a server needed another scope: its client is told to ask for that.
#[test]
fn a_token_without_the_required_scope_is_refused() {
    let mut fixture = fake::fixture();
    let tokens = Browser::new(&fixture).tokens();
    fixture.restart(|parts| {
        let mut resource = ProtectedResource::clone(&parts.resources[0]);
        resource.required_scope = Scopes::parse("mcp more").unwrap();
        parts.resources = vec![Arc::new(resource)];
    });
    assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), BearerError::InsufficientScope);
}
