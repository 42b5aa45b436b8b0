use super::*;

/// T5: 43 to 128 unreserved characters; whatever else is refused though its hash is the challenge.
#[test]
fn a_code_verifier_needs_the_right_form_and_hash() {
    let client = ClientFingerprint::of("client");
    let check = |verifier: &str, presented: &str, expected| {
        let challenge = CodeChallenge::parse(&base64url(&sha256(verifier.as_bytes()))).unwrap();
        let code = AuthorizationCode {
            grant: GrantId([1; 16]),
            client: client.clone(),
            redirect_uri: "https://a.example/cb".to_owned(),
            code_challenge: challenge,
            secret: Secret::new([0; 32]),
            expires: Timestamp(0),
        };
        assert_eq!(code.check(&client, presented, None).is_ok(), expected, "{presented}");
    };
    let same = |verifier: &str, expected| check(verifier, verifier, expected);
    same(&"a".repeat(42), false);
    same(&"a".repeat(43), true);
    same(&"Z9-._~".repeat(21), true);
    same(&"a".repeat(128), true);
    same(&"a".repeat(129), false);
    for bad in ["+", "/", "=", " ", "%", "\u{e4}"] {
        same(&format!("{}{bad}", "a".repeat(43)), false);
    }
    check(&"a".repeat(43), &"b".repeat(43), false);
    check(&"a".repeat(43), "", false);
}
