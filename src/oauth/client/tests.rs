//! The contents of a `client_id`, and the scopes that a client may ask for.

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

/// O7: a sealed client is a registered one, whatever it was before it was sealed and whatever its text says: the trust in the
/// operator's clients does not travel.
#[test]
fn an_unsealed_client_never_counts_as_configured() {
    let (keys, random) = (crate::seal::fake::keyring(1), crate::base::CountedRandom::default());
    let registered: Client = serde_json::from_str(SEALED).unwrap();
    for origin in [ClientOrigin::Configured, ClientOrigin::Document("a.example".to_owned())] {
        let secret = Some(Secret::new("secret".to_owned()));
        let sealed = crate::seal::seal(&keys, &Client { origin, secret, ..registered.clone() }, &random);
        let opened: Client = crate::seal::open(&keys, &sealed, Timestamp(0)).unwrap();
        assert_eq!((opened.origin, opened.secret.is_some()), (ClientOrigin::Registered, false));
    }
    let claims = SEALED.replace("\"t\":", "\"origin\":\"configured\",\"o\":\"configured\",\"t\":");
    assert_eq!(serde_json::from_str::<Client>(&claims).unwrap().origin, ClientOrigin::Registered);
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
