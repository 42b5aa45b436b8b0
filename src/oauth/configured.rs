//! Clients that the operator named: known by their name, trusted with redirects (O7).

use super::client::AuthMethod;
use super::client_metadata::{ClientMetadata, Description};
use super::client_url::ClientUrl;
use super::redirect::{RedirectUri, Registrant};
use crate::base::limits;
use crate::base::secret::Secret;

/// What every id and subject of ours starts with; no configured client can be taken for one of those (O16).
const OUR_PREFIXES: [&str; 3] = ["mcp_", "github:", ClientUrl::PREFIX];

/// A client of the operator's.
#[derive(Clone, Debug)]
pub struct ConfiguredClient {
    pub(super) id: String,
    pub(super) description: Description,
    pub(super) auth: AuthMethod,
    secret: Option<Secret<String>>,
}

/// What the operator wrote down of one. The members are those of RFC 7591 section 2.
#[derive(Clone, Debug)]
pub struct ConfiguredMembers {
    /// `client_id`
    pub client_id: String,
    /// `client_name`
    pub client_name: Option<String>,
    /// `redirect_uris`
    pub redirect_uris: Vec<String>,
    /// `token_endpoint_auth_method`; if it is left out, HTTP Basic with a secret and `none` without.
    pub token_endpoint_auth_method: Option<String>,
    /// The client's secret, if it has one.
    pub client_secret: Option<Secret<String>>,
}

impl ConfiguredClient {
    /// Checks what the operator wrote down.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn new(members: ConfiguredMembers) -> Result<ConfiguredClient, String> {
        let ConfiguredMembers {
            client_id,
            client_name,
            redirect_uris,
            token_endpoint_auth_method,
            client_secret,
        } = members;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let is_id =
            (1..=limits::CONFIGURED_ID_BYTES).contains(&client_id.len()) && client_id.bytes().all(plain);
        if !is_id || OUR_PREFIXES.iter().any(|prefix| client_id.starts_with(prefix)) {
            return Err("a client_id has 1 to 100 letters, digits, hyphens, dots, underscores and tildes, and does not start with mcp_".to_owned());
        }
        let auth = match (token_endpoint_auth_method.as_deref(), &client_secret) {
            (None | Some("none"), None) => AuthMethod::None,
            (None | Some("client_secret_basic"), Some(_)) => AuthMethod::ClientSecretBasic,
            (Some("client_secret_post"), Some(_)) => AuthMethod::ClientSecretPost,
            (Some(_), _) => return Err("token_endpoint_auth_method is none without a secret, client_secret_basic or client_secret_post with one".to_owned()),
        };
        if client_secret.as_ref().is_some_and(|secret| !is_strong(secret)) {
            return Err("its secret is shorter than 32 characters; `openssl rand -hex 32` makes a good one"
                .to_owned());
        }
        let is_sent_alike = |secret: &Secret<String>| !secret.expose().contains(['+', '%']);
        // RFC 6749 section 2.3.1 has clients form-encode it, and many do not: only these two are read differently then.
        if auth == AuthMethod::ClientSecretBasic && !client_secret.as_ref().is_none_or(is_sent_alike) {
            return Err("its secret has a + or a %, which many clients send wrongly by HTTP Basic; \
                        `openssl rand -hex 32` makes a good one"
                .to_owned());
        }
        // The operator is told of a URI that cannot be used, instead of its being left out.
        for uri in &redirect_uris {
            RedirectUri::parse(uri, Registrant::Operator).map_err(|error| error.to_string())?;
        }
        let metadata = ClientMetadata::named(client_name, redirect_uris);
        let description = metadata.describe(Registrant::Operator).map_err(|error| error.to_string())?;
        Ok(ConfiguredClient { id: client_id, description, auth, secret: client_secret })
    }

    /// The client's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `given` is its secret.
    pub(super) fn has_secret(&self, given: &[u8]) -> bool {
        self.secret.as_ref().is_some_and(|secret| secret.matches(given))
    }
}

/// T1: nobody guesses it.
fn is_strong(secret: &Secret<String>) -> bool {
    secret.expose().len() >= limits::CONFIGURED_SECRET_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> ConfiguredMembers {
        ConfiguredMembers {
            client_id: "agent".to_owned(),
            client_name: Some("Agent".to_owned()),
            redirect_uris: vec!["https://agent.example/cb".to_owned()],
            token_endpoint_auth_method: None,
            client_secret: None,
        }
    }

    fn secret(length: usize) -> Option<Secret<String>> {
        Some(Secret::new("s".repeat(length)))
    }

    fn check(members: ConfiguredMembers, expected: Result<AuthMethod, &str>) {
        match (ConfiguredClient::new(members), expected) {
            (Ok(client), Ok(auth)) => assert_eq!(client.auth, auth),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (found, expected) => panic!("{found:?} {expected:?}"),
        }
    }

    #[test]
    fn the_method_follows_from_the_secret() {
        let with = |method: Option<&str>, client_secret| ConfiguredMembers {
            token_endpoint_auth_method: method.map(str::to_owned),
            client_secret,
            ..members()
        };
        check(with(None, None), Ok(AuthMethod::None));
        check(with(None, secret(32)), Ok(AuthMethod::ClientSecretBasic));
        check(with(Some("client_secret_post"), secret(32)), Ok(AuthMethod::ClientSecretPost));
        check(with(Some("none"), secret(32)), Err("none without a secret"));
        check(with(Some("client_secret_basic"), None), Err("none without a secret"));
        check(with(Some("private_key_jwt"), secret(32)), Err("none without a secret"));
        check(with(None, secret(31)), Err("shorter than 32"));
    }

    /// T8: a secret that would never match with clients that do not form-encode it is refused while it can still be changed.
    #[test]
    fn a_secret_by_basic_is_sent_alike_by_all_clients() {
        let with = |method: &str, letter: &str| ConfiguredMembers {
            token_endpoint_auth_method: Some(method.to_owned()),
            client_secret: Some(Secret::new(format!("{}{letter}", "s".repeat(31)))),
            ..members()
        };
        for letter in ["+", "%"] {
            check(with("client_secret_basic", letter), Err("openssl rand -hex 32"));
            check(with("client_secret_post", letter), Ok(AuthMethod::ClientSecretPost));
        }
        for letter in ["/", "=", ":", "-"] {
            check(with("client_secret_basic", letter), Ok(AuthMethod::ClientSecretBasic));
        }
    }

    /// O16: no configured id can be taken for another kind of id, or for a user.
    #[test]
    fn an_id_is_of_no_other_kind() {
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
        let with = |uri: &str| ConfiguredMembers {
            redirect_uris: vec![good.to_owned(), uri.to_owned()],
            ..members()
        };
        check(with("http://nas.local/cb"), Ok(AuthMethod::None));
        check(with("http://agent.example/cb"), Err("use https"));
        check(with("data:text/html,x"), Err("https, loopback http"));
        check(ConfiguredMembers { redirect_uris: Vec::new(), ..members() }, Err("at least one"));
    }
}
