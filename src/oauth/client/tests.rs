//! What is sealed into a `client_id`, and which scopes a client may ask for.

use super::*;

/// As it was sealed by every version so far.
const SEALED: &str = r#"{"r":["https://a.example/cb"],"n":"A","a":"none","s":["gone","mcp"],"t":1767225600}"#;

/// D4: a registration lives as long as the key, so every version reads what an earlier one has sealed, and writes the same.
#[test]
fn a_registration_is_sealed_in_the_same_form_by_every_version() {
    let client: Client = serde_json::from_str(SEALED).unwrap();
    assert_eq!((&client.origin, client.issued), (&ClientOrigin::Registered, Some(Timestamp(1_767_225_600))));
    assert_eq!(serde_json::to_string(&client).unwrap(), SEALED);
}

/// O12: a scope that is not there any more is not granted, whoever was registered for it.
#[test]
fn a_client_may_ask_for_scopes_that_exist() {
    let client: Client = serde_json::from_str(SEALED).unwrap();
    let check = |supported: &str, expected: &str| {
        let supported = Scopes::parse(supported).unwrap();
        assert_eq!(client.scopes(&supported).to_string(), expected);
    };
    check("mcp new", "mcp");
    check("gone mcp", "gone mcp");
    check("new other", "new other");
}
