//! What the metadata says.

use serde_json::json;

use crate::http::fake::request;
use crate::oauth::fake::{self, body};

/// T20: the issuer is the configured origin, to the letter; only S256; `none` last among the methods, because some clients take the first.
#[test]
fn metadata_is_true() {
    let fixture = fake::fixture();
    let server = body(&fixture.server.metadata.server());
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
        body(&fixture.server.metadata.resource(&request("GET", "/").head, super::Endpoint::Mcp)),
        json!({
            "resource": "https://mcp.example.com/mcp",
            "authorization_servers": ["https://mcp.example.com"],
            "scopes_supported": ["mcp"],
            "bearer_methods_supported": ["header"],
        })
    );
}
