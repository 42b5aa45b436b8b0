//! Accepted and refused clients of the operator.

use super::*;

fn members() -> ConfiguredMembers {
    ConfiguredMembers {
        client_id: "agent".to_owned(),
        client_name: Some("Agent".to_owned()),
        redirect_uris: vec!["https://agent.example/cb".to_owned()],
        token_endpoint_auth_method: None,
        client_secret_file: None,
    }
}

fn secret(length: usize) -> Option<Secret<String>> {
    Some(Secret::new("s".repeat(length)))
}

fn check(members: ConfiguredMembers, expected: Result<AuthMethod, &str>) {
    check_secret((members, None), expected);
}

fn check_secret(
    (members, secret): (ConfiguredMembers, Option<Secret<String>>),
    expected: Result<AuthMethod, &str>,
) {
    match (Client::configured(members, secret), expected) {
        (Ok(client), Ok(auth)) => assert_eq!(client.auth, auth),
        (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
        (found, expected) => panic!("{found:?} {expected:?}"),
    }
}

#[test]
fn the_authentication_method_follows_from_the_secret() {
    let with = |method: Option<&str>, client_secret| {
        let token_endpoint_auth_method = method.map(str::to_owned);
        (ConfiguredMembers { token_endpoint_auth_method, ..members() }, client_secret)
    };
    check_secret(with(None, None), Ok(AuthMethod::None));
    check_secret(with(None, secret(32)), Ok(AuthMethod::ClientSecretBasic));
    check_secret(with(Some("client_secret_post"), secret(32)), Ok(AuthMethod::ClientSecretPost));
    check_secret(with(Some("none"), secret(32)), Err("none without a secret"));
    check_secret(with(Some("client_secret_basic"), None), Err("none without a secret"));
    check_secret(with(Some("private_key_jwt"), secret(32)), Err("none without a secret"));
    check_secret(with(None, secret(31)), Err("shorter than 32"));
}

/// T8: a secret that would never match with clients that do not form-encode it is refused while it can still be changed.
#[test]
fn a_secret_by_basic_is_sent_alike_by_all_clients() {
    let with = |method: &str, letter: &str| {
        let token_endpoint_auth_method = Some(method.to_owned());
        let secret = Secret::new(format!("{}{letter}", "s".repeat(31)));
        (ConfiguredMembers { token_endpoint_auth_method, ..members() }, Some(secret))
    };
    for letter in ["+", "%"] {
        check_secret(with("client_secret_basic", letter), Err("openssl rand -hex 32"));
        check_secret(with("client_secret_post", letter), Ok(AuthMethod::ClientSecretPost));
    }
    for letter in ["/", "=", ":", "-"] {
        check_secret(with("client_secret_basic", letter), Ok(AuthMethod::ClientSecretBasic));
    }
}

/// O16: no configured id can be taken for another kind of id, or for a user.
#[test]
fn a_configured_id_cannot_be_read_as_another_kind_of_id() {
    let with = |id: &str| ConfiguredMembers { client_id: id.to_owned(), ..members() };
    let too_long = "a".repeat(101);
    for id in ["", "mcp_ci_x", "https://a.example/c", "github:1", "a b", "a:b", "ä", &too_long] {
        check(with(id), Err("a client_id has"));
    }
    check(with("com.example.agent-1_x~"), Ok(AuthMethod::None));
}

/// O5: the operator's clients may also be in the local network, and each of their URIs must be usable.
#[test]
fn redirect_uris_are_checked() {
    let good = "http://192.168.1.20:5678/cb";
    let with =
        |uri: &str| ConfiguredMembers { redirect_uris: vec![good.to_owned(), uri.to_owned()], ..members() };
    check(with("http://nas.local/cb"), Ok(AuthMethod::None));
    check(with("http://agent.example/cb"), Err("use https"));
    check(with("data:text/html,x"), Err("https, loopback http"));
    check(ConfiguredMembers { redirect_uris: Vec::new(), ..members() }, Err("at least one"));
}
