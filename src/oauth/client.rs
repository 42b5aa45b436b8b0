//! Registered clients (each is sealed into its own `client_id`, so nothing is stored), and how any client proves who it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::redirect::RedirectUri;
use crate::base::clock::Timestamp;
use crate::base::encoding::base64url;
use crate::base::identity::{ClientFingerprint, Scopes};
use crate::base::secret::Secret;
use crate::base::trace;
use crate::http;
use crate::seal::{self, Keyring, Sealed};

const SECRET_PREFIX: &str = "mcp_cs_";

/// How a client proves who it is at the token and revocation endpoints (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    /// Not at all: a public client, which PKCE protects.
    None,
    /// HTTP Basic.
    ClientSecretBasic,
    /// `client_secret` in the form.
    ClientSecretPost,
}

/// A registered client, as it travels in its `client_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    /// Where its codes may be sent; one at least.
    #[serde(rename = "r")]
    pub redirect_uris: Vec<RedirectUri>,
    /// What it calls itself, if it does.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it authenticates.
    #[serde(rename = "a")]
    pub auth: AuthMethod,
    /// What it may ask for.
    #[serde(rename = "s")]
    pub scopes: Scopes,
    /// When it registered.
    #[serde(rename = "t")]
    pub issued: Timestamp,
}

impl Sealed for Client {
    // O16: never looks like the URL of a client metadata document, nor like a user's subject.
    const PREFIX: &'static str = "mcp_ci_";

    /// D4: clients only register again when told `invalid_client`, so a registration lives as long as the key.
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

/// A client that has proven who it is, as far as its kind can.
#[derive(Clone, Debug)]
pub(super) struct KnownClient {
    /// Names it in codes, tokens, grants and the log.
    pub fingerprint: ClientFingerprint,
}

/// Opens the `client_id` of a registered client.
pub(super) fn open(keys: &Keyring, client_id: &str, now: Timestamp) -> Option<Client> {
    seal::open(keys, client_id, now).ok()
}

/// The secret of a registered client, under each of our keys, the newest first: computed from the `client_id`, never stored.
pub(super) fn secrets(keys: &Keyring, client_id: &str) -> impl Iterator<Item = Secret<String>> {
    let derived = keys.derive(&[b"client_secret", client_id.as_bytes()]);
    derived.into_iter().map(|bytes| Secret::new(format!("{SECRET_PREFIX}{}", base64url(bytes.expose()))))
}

/// Why a client was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientError {
    /// It contradicts itself: two methods at once, two headers, an unreadable header.
    Malformed,
    /// It is unknown, or its secret is wrong, missing or one too many: these are not told apart (RFC 6749 section 5.2).
    Invalid {
        /// Whether it tried HTTP Basic, which is then named in the answer.
        basic: bool,
    },
}

/// What a request says about its client.
struct Presented {
    id: String,
    secret: Option<Secret<String>>,
    /// Whether it used HTTP Basic.
    basic: bool,
}

impl AuthorizationServer {
    /// Who sends this form (T8).
    pub(super) fn authenticate(
        &self,
        head: &http::Head,
        form: &http::Form,
    ) -> Result<KnownClient, ClientError> {
        let presented = Presented::read(head, form)?;
        let fingerprint = ClientFingerprint::of(&presented.id);
        trace::names_client(&fingerprint);
        let invalid = ClientError::Invalid { basic: presented.basic };
        // The secret is computed and compared whatever the id is, so that an unknown client costs what a wrong secret does.
        let given = presented.secret.as_ref().map_or("", |secret| secret.expose().as_str());
        let derived = secrets(&self.keys, &presented.id)
            .fold(false, |found, secret| found | secret.matches(given.as_bytes()));
        let right = match self.clients.configured(&presented.id) {
            Some(configured) => configured.has_secret(given.as_bytes()),
            None => derived,
        };
        let registered = self.auth_method(&presented.id).ok_or(invalid)?;
        // The secret proves the client, by whichever of the two methods it comes; a public client has none to send.
        let proven = match registered {
            AuthMethod::None => presented.secret.is_none(),
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => right,
        };
        // D6: a denied client is as good as unknown.
        if !proven || self.rules().denied.names(&presented.id) {
            return Err(invalid);
        }
        Ok(KnownClient { fingerprint })
    }
}

impl Presented {
    fn read(head: &http::Head, form: &http::Form) -> Result<Presented, ClientError> {
        let header = head.headers.one("authorization").map_err(|_| ClientError::Malformed)?;
        let (form_id, form_secret) = (form.value("client_id"), form.value("client_secret"));
        match header {
            Some(value) => {
                // RFC 6749 section 2.3: no more than one method in one request.
                if form_secret.is_some() {
                    return Err(ClientError::Malformed);
                }
                let (id, secret) = basic(value).ok_or(ClientError::Invalid { basic: true })?;
                // Python's SDK repeats the id in the form; only a different one is a contradiction.
                if form_id.is_some_and(|other| other != id) {
                    return Err(ClientError::Malformed);
                }
                Ok(Presented { id, secret, basic: true })
            }
            None => Ok(Presented {
                id: form_id.ok_or(ClientError::Invalid { basic: false })?.to_owned(),
                secret: form_secret.map(|secret| Secret::new(secret.to_owned())),
                basic: false,
            }),
        }
    }
}

/// Reads a Basic header whose id and secret are form-encoded (RFC 6749 section 2.3.1). An empty secret is none: some public
/// clients send their id so.
fn basic(value: &str) -> Option<(String, Option<Secret<String>>)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // Ids and secrets of ours are unchanged by form encoding; clients differ in whether they apply it.
    let decode = |part: &str| http::form_decode(part.as_bytes()).ok();
    let secret = Some(decode(secret)?).filter(|secret| !secret.is_empty());
    Some((decode(id)?, secret.map(Secret::new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fake::request;
    use crate::oauth::fake::{self, Fixture};

    struct Registered {
        id: String,
        secret: String,
    }

    fn registered(fixture: &Fixture, auth: AuthMethod) -> Registered {
        let id = fixture.client_id(auth, &["https://a.example/cb"]);
        let secret = secrets(&fixture.server.keys, &id).next().unwrap().expose().clone();
        Registered { id, secret }
    }

    fn authenticate(fixture: &Fixture, header: Option<String>, body: &str) -> Result<(), ClientError> {
        let mut request = request("POST", "/token");
        if let Some(header) = header {
            request = request.with("Authorization", &header);
        }
        let form = http::Form::parse(body.as_bytes()).unwrap();
        fixture.server.authenticate(&request.head, &form).map(|_| ())
    }

    fn basic_header(id: &str, secret: &str) -> Option<String> {
        Some(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
    }

    /// T8: a client with a secret proves itself by either method, whichever it registered.
    #[test]
    fn either_method_works_with_the_right_secret() {
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
            let encoded =
                basic_header(&http::percent_encode(&client.id), &http::percent_encode(&client.secret));
            assert_eq!(authenticate(&fixture, encoded, ""), Ok(()), "{method:?}");
        }
    }

    /// T8: anything else is the same `invalid_client`.
    #[test]
    fn a_wrong_secret_or_id_is_refused_alike() {
        let fixture = fake::fixture();
        let refused = |header: Option<String>, body: &str| {
            let basic = header.is_some();
            assert_eq!(authenticate(&fixture, header, body), Err(ClientError::Invalid { basic }), "{body}");
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
    fn contradictions_are_malformed() {
        let fixture = fake::fixture();
        let client = registered(&fixture, AuthMethod::ClientSecretBasic);
        let header = || basic_header(&client.id, &client.secret);
        let body = format!("client_secret={}", client.secret);
        assert_eq!(authenticate(&fixture, header(), &body), Err(ClientError::Malformed));
        assert_eq!(authenticate(&fixture, header(), "client_id=other"), Err(ClientError::Malformed));
    }
}
