//! The metadata documents.

use serde_json::json;

use crate::http::fake::request;
use crate::oauth::fake::{self, body};

/// T20: the issuer is the configured origin, to the letter; only S256; `none` last among the methods, because some clients take the first.
#[test]
fn metadata_describes_the_supported_features() {
    let fixture = fake::fixture();
    let server = body(&fixture.server.metadata.server(&fixture.resource));
    let methods = json!(["client_secret_basic", "client_secret_post", "none"]);
    assert_eq!(
        server,
        json!({
            "issuer": "https://mcp.example.com",
            "authorization_endpoint": "https://mcp.example.com/authorize",
            "token_endpoint": "https://mcp.example.com/token",
            "registration_endpoint": "https://mcp.example.com/register",
            "revocation_endpoint": "https://mcp.example.com/revoke",
            "scopes_supported": ["mcp"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    );
    assert_eq!(
        body(&fixture.server.metadata.resource(
            &fixture.resource,
            &request("GET", "/").head,
            super::Endpoint::Mcp
        )),
        json!({
            "resource": "https://mcp.example.com/mcp",
            "authorization_servers": ["https://mcp.example.com"],
            "scopes_supported": ["mcp"],
            "bearer_methods_supported": ["header"],
        })
    );
}

/// T20: each of several servers is an issuer of its own, and the one authorization server of its resource.
#[test]
fn each_server_is_its_own_issuer() {
    let fixture = fake::two_servers();
    for resource in fixture.server.callback.resources.all() {
        let issuer = format!("https://mcp.example.com/{}", resource.name.as_ref().unwrap());
        let server = body(&fixture.server.metadata.server(&resource));
        assert_eq!(server["issuer"], json!(issuer));
        for (member, path) in [
            ("authorization_endpoint", "authorize"),
            ("token_endpoint", "token"),
            ("registration_endpoint", "register"),
            ("revocation_endpoint", "revoke"),
        ] {
            assert_eq!(server[member], json!(format!("{issuer}/{path}")));
        }
        let metadata = &fixture.server.metadata;
        let protected = body(&metadata.resource(&resource, &request("GET", "/").head, super::Endpoint::Mcp));
        assert_eq!(protected["resource"], json!(format!("{issuer}/mcp")));
        assert_eq!(protected["authorization_servers"], json!([issuer]));
    }
}
