//! The authentication of clients at the token endpoint.

use super::*;
use crate::http::fake::request;
use crate::oauth::fake::{self, Fixture};

struct Registered {
    id: String,
    secret: String,
}

fn registered(fixture: &Fixture, auth: AuthMethod) -> Registered {
    let id = fixture.client_id(auth, &["https://a.example/cb"]);
    let secret = client::secrets(&fixture.keys, &id).next().unwrap().expose().clone();
    Registered { id, secret }
}

fn authenticate(fixture: &Fixture, header: Option<String>, body: &str) -> Result<(), TokenError> {
    let mut request = request("POST", "/token");
    if let Some(header) = header {
        request = request.with("Authorization", &header);
    }
    let form = http::Form::parse(body.as_bytes()).unwrap();
    fixture.server.authorize.clients.authenticate(&fixture.resource, &request.head, &form).map(|_| ())
}

fn basic_header(id: &str, secret: &str) -> Option<String> {
    Some(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
}

/// T8: a client with a secret proves itself by either method, whichever it registered.
#[test]
fn a_client_may_use_either_secret_method() {
    let fixture = fake::fixture();
    let public = registered(&fixture, AuthMethod::None);
    assert_eq!(authenticate(&fixture, None, &format!("client_id={}", public.id)), Ok(()));
    assert_eq!(authenticate(&fixture, basic_header(&public.id, ""), ""), Ok(()));
    for method in [AuthMethod::ClientSecretPost, AuthMethod::ClientSecretBasic] {
        let client = registered(&fixture, method);
        let body = format!("client_id={}&client_secret={}", client.id, client.secret);
        assert_eq!(authenticate(&fixture, None, &body), Ok(()), "{method:?}");
        let header = basic_header(&client.id, &client.secret);
        assert_eq!(authenticate(&fixture, header.clone(), ""), Ok(()), "{method:?}");
        assert_eq!(authenticate(&fixture, header, &format!("client_id={}", client.id)), Ok(()));
        let encoded = basic_header(&http::percent_encode(&client.id), &http::percent_encode(&client.secret));
        assert_eq!(authenticate(&fixture, encoded, ""), Ok(()), "{method:?}");
    }
}

/// T8: anything else is the same `invalid_client`.
#[test]
fn a_wrong_secret_or_id_is_refused_alike() {
    let fixture = fake::fixture();
    let refused = |header: Option<String>, body: &str| {
        let basic = header.is_some();
        assert_eq!(authenticate(&fixture, header, body), Err(TokenError::InvalidClient { basic }), "{body}");
    };
    let public = registered(&fixture, AuthMethod::None);
    refused(None, &format!("client_id={}&client_secret={}", public.id, public.secret));
    refused(basic_header(&public.id, &public.secret), "");
    let post = registered(&fixture, AuthMethod::ClientSecretPost);
    refused(None, &format!("client_id={}", post.id));
    refused(None, &format!("client_id={}&client_secret={}x", post.id, post.secret));
    refused(None, &format!("client_id={}&client_secret={}", post.id, public.secret));
    refused(basic_header(&post.id, ""), "");
    refused(basic_header(&post.id, &public.secret), "");
    refused(None, "client_id=unknown&client_secret=x");
    refused(None, "");
    refused(Some("Bearer x".to_owned()), "");
    refused(Some("Basic !".to_owned()), "");
}

/// T8: two methods at once are a malformed request.
#[test]
fn two_authentication_methods_at_once_are_malformed() {
    let fixture = fake::fixture();
    let client = registered(&fixture, AuthMethod::ClientSecretBasic);
    let header = || basic_header(&client.id, &client.secret);
    let body = format!("client_secret={}", client.secret);
    assert_eq!(authenticate(&fixture, header(), &body), Err(TokenError::MalformedClient));
    assert_eq!(authenticate(&fixture, header(), "client_id=other"), Err(TokenError::MalformedClient));
}
