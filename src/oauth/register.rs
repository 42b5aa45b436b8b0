//! Dynamic client registration (RFC 7591). Stores nothing: the client id that is handed out is the registration itself,
//! sealed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::answer;
use super::client::{self, AuthMethod, Client};
use super::redirect::{RedirectError, RedirectUri};
use crate::base::clock::Timestamp;
use crate::base::identity::{ClientFingerprint, Scopes};
use crate::base::{limits, log};
use crate::http::{self, Response};
use crate::seal;

/// What a client may say of itself. Members that are not here are ignored and not kept (RFC 7591 section 2); nothing that
/// it names is ever fetched.
#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    scope: Option<String>,
}

/// The answer (RFC 7591 section 3.2.1): only what was kept. Absent members are left out: some clients refuse nulls.
#[derive(Serialize)]
struct Registration<'a> {
    client_id: &'a str,
    client_id_issued_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// Zero: it never expires. There exactly when there is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    redirect_uris: &'a [RedirectUri],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: AuthMethod,
    scope: String,
}

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RegistrationError {
    NotJson,
    NoRedirectUri,
    TooManyRedirectUris,
    RedirectUrisTooLong,
    Redirect(RedirectError),
    BadName,
    NoCodeGrant,
    NoCodeResponse,
    UnknownAuthMethod,
    BadScope,
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RegistrationError::NotJson => {
                "the body must be a JSON object of client metadata, sent as application/json"
            }
            RegistrationError::NoRedirectUri => "redirect_uris must have at least one URI",
            RegistrationError::TooManyRedirectUris => "redirect_uris may have at most 10 URIs",
            RegistrationError::RedirectUrisTooLong => "redirect_uris may have at most 3072 bytes together",
            RegistrationError::Redirect(error) => return error.fmt(f),
            RegistrationError::BadName => "client_name may have at most 100 characters, all of them visible",
            RegistrationError::NoCodeGrant => "grant_types must include authorization_code",
            RegistrationError::NoCodeResponse => "response_types must include code",
            RegistrationError::UnknownAuthMethod => {
                "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post"
            }
            RegistrationError::BadScope => "scope must be a space-separated list of scope tokens",
        })
    }
}

impl RegistrationError {
    /// RFC 7591 section 3.2.2.
    fn code(self) -> &'static str {
        match self {
            RegistrationError::NoRedirectUri
            | RegistrationError::TooManyRedirectUris
            | RegistrationError::RedirectUrisTooLong
            | RegistrationError::Redirect(_) => "invalid_redirect_uri",
            RegistrationError::NotJson
            | RegistrationError::BadName
            | RegistrationError::NoCodeGrant
            | RegistrationError::NoCodeResponse
            | RegistrationError::UnknownAuthMethod
            | RegistrationError::BadScope => "invalid_client_metadata",
        }
    }
}

impl AuthorizationServer {
    /// `POST /register`
    pub fn register(&self, request: &http::Request) -> Response {
        // D4: nothing is stored, but sealing and logging cost something.
        if let Err(too_many) = self.rates.registrations.spend(request.head.peer, self.clock.monotonic()) {
            return answer::too_many(too_many);
        }
        match self.try_register(request) {
            Ok(client) => self.registered(&client),
            Err(error) => answer::error(400, error.code(), &error.to_string()),
        }
    }

    fn try_register(&self, request: &http::Request) -> Result<Client, RegistrationError> {
        if request.head.media_type() != Ok(Some("application/json".to_owned())) {
            return Err(RegistrationError::NotJson);
        }
        let metadata: Metadata =
            serde_json::from_slice(&request.body).map_err(|_| RegistrationError::NotJson)?;
        metadata.into_client(&self.settings.scopes, self.clock.now())
    }

    fn registered(&self, client: &Client) -> Response {
        let client_id = seal::seal(&self.keys, client, &*self.random);
        let secret = match client.auth {
            AuthMethod::None => None,
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
                client::secrets(&self.keys, &client_id).next()
            }
        };
        log::info("client.registered", &[log::Field::Client(ClientFingerprint::of(&client_id).as_str())]);
        let registration = Registration {
            client_id: &client_id,
            client_id_issued_at: client.issued,
            client_secret: secret.as_ref().map(|secret| secret.expose().as_str()),
            client_secret_expires_at: secret.as_ref().map(|_| 0),
            client_name: client.name.as_deref(),
            redirect_uris: &client.redirect_uris,
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: client.auth,
            scope: client.scopes.to_string(),
        };
        answer::json(201, &registration)
    }
}

impl Metadata {
    fn into_client(self, supported: &Scopes, now: Timestamp) -> Result<Client, RegistrationError> {
        // RFC 7591 section 2: the server may substitute; clients also list grants that we do not have.
        let lists = |list: &Option<Vec<String>>, needed: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|x| x == needed))
        };
        if !lists(&self.grant_types, "authorization_code") {
            return Err(RegistrationError::NoCodeGrant);
        }
        if !lists(&self.response_types, "code") {
            return Err(RegistrationError::NoCodeResponse);
        }
        let auth = match self.token_endpoint_auth_method.as_deref() {
            Some("none") => AuthMethod::None,
            // RFC 7591 section 2: the default if omitted.
            None | Some("client_secret_basic") => AuthMethod::ClientSecretBasic,
            Some("client_secret_post") => AuthMethod::ClientSecretPost,
            Some(_) => return Err(RegistrationError::UnknownAuthMethod),
        };
        let name = self.client_name.filter(|name| !name.trim().is_empty());
        if name.as_deref().is_some_and(|name| !is_presentable(name)) {
            return Err(RegistrationError::BadName);
        }
        let asked =
            Scopes::parse(self.scope.as_deref().unwrap_or_default()).ok_or(RegistrationError::BadScope)?;
        let known = asked.intersection(supported);
        let scopes = if known.is_empty() { supported.clone() } else { known };
        Ok(Client { redirect_uris: redirect_uris(&self.redirect_uris)?, name, auth, scopes, issued: now })
    }
}

/// D2: one to ten, together short enough to travel in the client id.
fn redirect_uris(texts: &[String]) -> Result<Vec<RedirectUri>, RegistrationError> {
    if texts.is_empty() {
        return Err(RegistrationError::NoRedirectUri);
    }
    if texts.len() > limits::REDIRECT_URIS {
        return Err(RegistrationError::TooManyRedirectUris);
    }
    if texts.iter().map(String::len).fold(0, usize::saturating_add) > limits::REDIRECT_URIS_BYTES {
        return Err(RegistrationError::RedirectUrisTooLong);
    }
    texts.iter().map(|text| RedirectUri::parse(text).map_err(RegistrationError::Redirect)).collect()
}

/// C7: a name that shows what it is: no control, format, private-use or unassigned-for-ever characters, which could
/// reorder or hide the text around it on the consent page.
fn is_presentable(name: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(u32::from(c),
                0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x115f..=0x1160 | 0x180b..=0x180f
                | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff | 0xfdd0..=0xfdef
                | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x110bd | 0x110cd | 0x13430..=0x1345f
                | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..)
            || u32::from(c) & 0xfffe == 0xfffe
    };
    name.chars().count() <= limits::CLIENT_NAME_CHARS && !name.chars().any(hidden)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::fake::request;
    use crate::oauth::fake::{self, body};

    fn register(metadata: &Value) -> (u16, Value) {
        let fixture = fake::fixture();
        let request =
            request("POST", "/register").with("Content-Type", "application/json").body(metadata.to_string());
        let response = fixture.server.register(&request);
        assert_eq!(response.header_value("cache-control"), Some("no-store"));
        (response.status(), body(&response))
    }

    #[test]
    fn a_public_client_gets_an_id_and_no_secret() {
        let (status, answer) = register(&json!({
            "redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "none", "client_name": "Test",
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "software_id": "ignored", "jwks_uri": "http://169.254.169.254/",
        }));
        assert_eq!(status, 201);
        let object = answer.as_object().unwrap();
        let mut members: Vec<_> = object.keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(
            members,
            [
                "client_id",
                "client_id_issued_at",
                "client_name",
                "grant_types",
                "redirect_uris",
                "response_types",
                "scope",
                "token_endpoint_auth_method",
            ]
        );
        assert_eq!(answer["token_endpoint_auth_method"], "none");
        assert_eq!(answer["redirect_uris"], json!(["http://localhost/cb"]));
        assert_eq!(answer["grant_types"], json!(["authorization_code", "refresh_token"]));
    }

    #[test]
    fn a_client_that_names_no_method_gets_a_secret_for_basic() {
        let (status, answer) = register(&json!({"redirect_uris": ["https://a.example/cb"]}));
        assert_eq!(status, 201);
        assert_eq!(answer["token_endpoint_auth_method"], "client_secret_basic");
        assert!(answer["client_secret"].as_str().unwrap().starts_with("mcp_cs_"));
        assert_eq!(answer["client_secret_expires_at"], 0);
    }

    /// D2: what is not understood is refused with the code of RFC 7591.
    #[test]
    fn bad_metadata_is_refused_with_the_right_code() {
        let check = |metadata: Value, code: &str| {
            let (status, answer) = register(&metadata);
            assert_eq!((status, answer["error"].as_str()), (400, Some(code)), "{metadata}");
        };
        let uris = json!(["https://a.example/cb"]);
        check(json!([]), "invalid_client_metadata");
        check(json!({}), "invalid_redirect_uri");
        check(json!({"redirect_uris": []}), "invalid_redirect_uri");
        check(json!({"redirect_uris": ["http://a.example/"]}), "invalid_redirect_uri");
        check(json!({"redirect_uris": vec!["https://a.example/cb"; 11]}), "invalid_redirect_uri");
        let long = format!("https://a.example/{}", "a".repeat(1600));
        check(json!({"redirect_uris": [long, long]}), "invalid_redirect_uri");
        check(json!({"redirect_uris": uris, "grant_types": ["implicit"]}), "invalid_client_metadata");
        check(json!({"redirect_uris": uris, "response_types": ["token"]}), "invalid_client_metadata");
        check(
            json!({"redirect_uris": uris, "token_endpoint_auth_method": "private_key_jwt"}),
            "invalid_client_metadata",
        );
        check(json!({"redirect_uris": uris, "scope": "a\"b"}), "invalid_client_metadata");
        check(json!({"redirect_uris": uris, "client_name": "a".repeat(101)}), "invalid_client_metadata");
    }

    /// C7: names that could disguise the consent page are refused.
    #[test]
    fn a_name_must_show_what_it_is() {
        for fine in ["Claude", "Курсор", "日本語 クライアント", "a'<b>&amp;", "Ünïcödé ✓"]
        {
            assert!(is_presentable(fine), "{fine:?}");
        }
        for hidden in [
            "a\u{202e}b",
            "a\u{200b}b",
            "a\nb",
            "\u{feff}a",
            "a\u{e000}",
            "a\u{2066}b",
            "\u{e0041}",
            "a\u{fffe}",
        ] {
            assert!(!is_presentable(hidden), "{hidden:?}");
        }
    }

    /// The rule above all others: a registration leaves nothing behind.
    #[test]
    fn registering_stores_nothing() {
        let fixture = fake::fixture();
        let metadata = json!({"redirect_uris": ["https://a.example/cb"]}).to_string();
        for _ in 0..limits::REGISTRATIONS.1 {
            let request =
                request("POST", "/register").with("Content-Type", "application/json").body(metadata.clone());
            assert_eq!(fixture.server.register(&request).status(), 201);
        }
        assert_eq!(fixture.grants.list().unwrap().len(), 0);
    }

    /// D4: limit, and limit plus one, for one sender.
    #[test]
    fn a_sender_registers_so_often_and_no_more() {
        let fixture = fake::fixture();
        let metadata = json!({"redirect_uris": ["https://a.example/cb"]}).to_string();
        let register = || {
            let mut request =
                request("POST", "/register").with("Content-Type", "application/json").body(metadata.clone());
            request.head.peer = Some(std::net::IpAddr::from([192, 0, 2, 1]));
            fixture.server.register(&request)
        };
        for _ in 0..limits::REGISTRATIONS.0 {
            assert_eq!(register().status(), 201);
        }
        let response = register();
        assert_eq!((response.status(), response.header_value("retry-after")), (429, Some("181")));
    }

    #[test]
    fn a_form_is_not_a_registration() {
        let fixture = fake::fixture();
        let request = request("POST", "/register")
            .with("Content-Type", "application/x-www-form-urlencoded")
            .body("a=b");
        assert_eq!(fixture.server.register(&request).status(), 400);
    }
}
