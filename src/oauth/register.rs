//! Dynamic client registration (RFC 7591). Stores nothing: the client id that is handed out is the registration itself,
//! sealed.

use std::sync::Arc;

use serde::Serialize;

use super::answer;
use super::client::{self, AuthMethod, Client};
use super::client_metadata::{ClientMetadata, MetadataError, json_rules};
use super::client_registry::ClientRegistry;
use super::clients::Registration;
use super::log_stranger;
use super::redirect::{RedirectUri, Registrant};
use crate::base::clock::{Clock, Timestamp};
use crate::base::identity::ClientFingerprint;
use crate::base::random::Random;
use crate::base::rate::RateLimit;
use crate::base::throttle::Throttle;
use crate::base::{json, limits};
use crate::http::{self, Response};
use crate::seal;

/// The answer (RFC 7591 section 3.2.1): only what was kept. Absent members are left out: some clients refuse nulls.
#[derive(Serialize)]
struct RegistrationAnswer<'a> {
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

/// `/register`
pub(crate) struct RegistrationEndpoint {
    pub(super) clients: Arc<ClientRegistry>,
    pub(super) random: Arc<dyn Random>,
    pub(super) clock: Arc<dyn Clock>,
    /// Registrations of one sender.
    pub(super) limit: RateLimit,
    pub(super) log_limit: Throttle,
}

impl RegistrationEndpoint {
    /// Registers a client.
    pub(crate) fn post(&self, request: &http::Request) -> Response {
        // D5: the metadata does not name this endpoint then, but clients guess it.
        if self.clients.clients.registration == Registration::Closed {
            return answer::error(
                403,
                "access_denied",
                "clients are registered by the person who runs this server",
            );
        }
        // D4: nothing is stored, but a registration costs a seal and a line in the log. What is refused costs neither, and
        // must not use up what others need.
        let client = match self.try_register(request) {
            Ok(client) => client,
            Err(error) => return answer::error(400, error_code(error), &error.to_string()),
        };
        match self.limit.spend(request.head.peer, self.clock.monotonic()) {
            Ok(()) => self.registered(&client),
            Err(too_many) => answer::too_many(too_many),
        }
    }

    fn try_register(&self, request: &http::Request) -> Result<Client, MetadataError> {
        if request.head.media_type() != Ok(Some("application/json".to_owned())) {
            return Err(MetadataError::NotJson);
        }
        let text = std::str::from_utf8(&request.body).map_err(|_| MetadataError::NotJson)?;
        // D1: what two parsers could read differently is not read at all.
        json::check_object(text, json_rules(|_| false)).map_err(|_| MetadataError::NotJson)?;
        let metadata: ClientMetadata = serde_json::from_str(text).map_err(|_| MetadataError::NotJson)?;
        let auth = auth_method(metadata.token_endpoint_auth_method.as_deref())?;
        let mut description =
            metadata.describe(Registrant::Anybody(&self.clients.clients.redirect_schemes))?;
        keep_short(&mut description.redirect_uris);
        Ok(Client {
            auth,
            // RFC 7591 section 2: we may register other scopes than were asked for. A client asks for those of its first
            // challenge and learns later that a tool needs more, so it may ask for any; the person is shown which.
            scopes: self.clients.scopes.clone(),
            redirect_uris: description.redirect_uris,
            name: description.name,
            issued: self.clock.now(),
        })
    }

    fn registered(&self, client: &Client) -> Response {
        let client_id = seal::seal(&self.clients.keys, client, &*self.random);
        let secret = match client.auth {
            AuthMethod::None => None,
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
                client::secrets(&self.clients.keys, &client_id).next()
            }
        };
        let now = self.clock.monotonic();
        log_stranger(&self.log_limit, now, "client.registered", &ClientFingerprint::of(&client_id));
        let registration = RegistrationAnswer {
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

/// D2: as many as travel in a `client_id`, the first ones first.
fn keep_short(redirect_uris: &mut Vec<RedirectUri>) {
    let mut left = limits::REDIRECT_URIS_BYTES;
    redirect_uris.retain(|uri| match left.checked_sub(uri.as_str().len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    redirect_uris.truncate(limits::REDIRECT_URIS);
}

/// What a registration may ask for.
fn auth_method(name: Option<&str>) -> Result<AuthMethod, MetadataError> {
    match name {
        Some("none") => Ok(AuthMethod::None),
        // RFC 7591 section 2: the default if omitted.
        None | Some("" | "client_secret_basic") => Ok(AuthMethod::ClientSecretBasic),
        Some("client_secret_post") => Ok(AuthMethod::ClientSecretPost),
        Some(_) => Err(MetadataError::UnknownAuthMethod),
    }
}

/// RFC 7591 section 3.2.2.
fn error_code(error: MetadataError) -> &'static str {
    match error {
        MetadataError::NoRedirectUri | MetadataError::Redirect(_) => "invalid_redirect_uri",
        MetadataError::NotJson
        | MetadataError::NoCodeGrant
        | MetadataError::NoCodeResponse
        | MetadataError::UnknownAuthMethod
        | MetadataError::BadScope => "invalid_client_metadata",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::base::clock::Clock;
    use crate::base::limits;
    use crate::http::fake::request;
    use crate::oauth::fake::{self, body};

    fn register(metadata: &Value) -> (u16, Value) {
        let fixture = fake::fixture();
        let request =
            request("POST", "/register").with("Content-Type", "application/json").body(metadata.to_string());
        let response = fixture.server.register.post(&request);
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
        check(json!({"redirect_uris": [null]}), "invalid_redirect_uri");
        check(json!({"redirect_uris": null}), "invalid_redirect_uri");
        check(json!({"redirect_uris": uris, "grant_types": ["implicit"]}), "invalid_client_metadata");
        check(json!({"redirect_uris": uris, "response_types": ["token"]}), "invalid_client_metadata");
        check(
            json!({"redirect_uris": uris, "token_endpoint_auth_method": "private_key_jwt"}),
            "invalid_client_metadata",
        );
        check(json!({"redirect_uris": uris, "scope": "a\"b"}), "invalid_client_metadata");
    }

    /// D2: one odd member does not refuse the whole, and the answer says what was kept.
    #[test]
    fn what_is_usable_is_kept_and_said() {
        let check = |metadata: Value, uris: Value, name: Option<&str>| {
            let (status, answer) = register(&metadata);
            assert_eq!((status, &answer["redirect_uris"]), (201, &uris), "{metadata}");
            assert_eq!(answer.get("client_name").and_then(Value::as_str), name, "{metadata}");
        };
        let uri = "https://a.example/cb";
        let named = |name: &str| json!({ "redirect_uris": [uri], "client_name": name });
        check(
            json!({ "redirect_uris": ["nobodys://cb", uri, "http://a.example/", null] }),
            json!([uri]),
            None,
        );
        check(named("Claude\n"), json!([uri]), Some("Claude"));
        check(named("Soft\u{ad}Hyphen 👩\u{200d}💻"), json!([uri]), Some("SoftHyphen 👩💻"));
        check(named(&"a".repeat(101)), json!([uri]), Some(&"a".repeat(100)));
        check(named("\u{17b4}\u{17b5}"), json!([uri]), None);
        let many: Vec<String> = (0..12).map(|number| format!("{uri}/{number}")).collect();
        check(json!({ "redirect_uris": many }), json!(many[..10]), None);
        let long = |length: usize| format!("https://a.example/{}", "a".repeat(length - 18));
        let (half, more) = (long(limits::REDIRECT_URIS_BYTES / 2), long(limits::REDIRECT_URIS_BYTES / 2 + 1));
        check(json!({ "redirect_uris": [half, more, uri] }), json!([half, uri]), None);
        let empty = json!({ "redirect_uris": [uri], "grant_types": [], "response_types": [], "token_endpoint_auth_method": "" });
        check(empty, json!([uri]), None);
    }

    /// The rule above all others: a registration leaves nothing behind.
    #[test]
    fn registering_stores_nothing() {
        let fixture = fake::fixture();
        let metadata = json!({"redirect_uris": ["https://a.example/cb"]}).to_string();
        for number in 0..=u8::MAX {
            let mut request =
                request("POST", "/register").with("Content-Type", "application/json").body(metadata.clone());
            request.head.peer = Some(std::net::IpAddr::from([192, 0, 2, number]));
            assert_eq!(fixture.server.register.post(&request).status(), 201);
        }
        assert_eq!(fixture.grants.list().unwrap().len(), 0);
    }

    /// L2: many senders, each within its limit, do not choose how long the log is.
    #[test]
    fn the_log_is_told_of_few_of_many_registrations() {
        let fixture = fake::fixture();
        let metadata = json!({"redirect_uris": ["https://a.example/cb"]}).to_string();
        for number in 0..=250 {
            let mut request =
                request("POST", "/register").with("Content-Type", "application/json").body(metadata.clone());
            request.head.peer = Some(std::net::IpAddr::from([192, 0, 2, number]));
            assert_eq!(fixture.server.register.post(&request).status(), 201);
        }
        let now = fixture.clock.monotonic();
        let told = |now| fixture.server.register.log_limit.pass("client.registered", now);
        assert_eq!(told(now), None);
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!(told(later), Some(crate::base::throttle::Omitted(152)));
    }

    /// D4: limit, and limit plus one, for one sender.
    #[test]
    fn a_sender_registers_so_often_and_no_more() {
        let mut fixture = fake::fixture();
        let metadata = json!({"redirect_uris": ["https://a.example/cb"]}).to_string();
        let check = |fixture: &fake::Fixture, most: usize, retry_after: &str| {
            let register = || {
                let mut request = request("POST", "/register")
                    .with("Content-Type", "application/json")
                    .body(metadata.clone());
                request.head.peer = Some(std::net::IpAddr::from([192, 0, 2, 1]));
                fixture.server.register.post(&request)
            };
            assert!((0..most).all(|_| register().status() == 201));
            let response = register();
            assert_eq!((response.status(), response.header_value("retry-after")), (429, Some(retry_after)));
        };
        check(&fixture, 600, "7");
        fixture.restart(|parts| parts.registrations_per_hour = 20);
        check(&fixture, 20, "181");
    }

    /// D1: one JSON object without repeated names, at most eight levels deep.
    #[test]
    fn a_registration_is_one_plain_json_object() {
        let fixture = fake::fixture();
        let check = |content_type: &str, body: &str, status| {
            let request = request("POST", "/register").with("Content-Type", content_type).body(body);
            assert_eq!(fixture.server.register.post(&request).status(), status, "{body}");
        };
        let body = |more: &str| format!(r#"{{"redirect_uris":["https://a.example/cb"]{more}}}"#);
        let nested = |levels: usize| body(&format!(r#","x":{}{}"#, "[".repeat(levels), "]".repeat(levels)));
        check("application/json", &body(""), 201);
        check("application/json; charset=utf-8", &body(r#","unknown":{"a":null}"#), 201);
        check("application/json", &nested(limits::METADATA_DEPTH - 1), 201);
        check("application/json", &nested(limits::METADATA_DEPTH), 400);
        check("application/json", &body(r#","redirect_uris":["https://b.example/cb"]"#), 400);
        check("application/json", &body(r#","client_name":"a","client\u005fname":"b""#), 400);
        check("application/json", &body(r#","x":{"a":1,"a":2}"#), 400);
        check("application/json", &(body("") + "{}"), 400);
        check("application/json", "[]", 400);
        check("application/json", r#"[["https://a.example/cb"],null,null,null,"none",null]"#, 400);
        check("text/json", &body(""), 400);
        check("application/x-www-form-urlencoded", "a=b", 400);
    }

    /// D3: other URLs are neither kept nor echoed.
    #[test]
    fn a_registration_keeps_no_other_urls() {
        let (status, answer) = register(&json!({
            "redirect_uris": ["https://a.example/cb"], "client_uri": "https://a.example", "logo_uri": "http://a.example/",
            "tos_uri": "javascript:alert(1)", "policy_uri": "https://a.example", "jwks_uri": "https://a.example/keys",
        }));
        assert_eq!(status, 201);
        let names: Vec<_> =
            answer.as_object().unwrap().keys().filter(|name| name.ends_with("_uri")).collect();
        assert!(names.is_empty(), "{names:?}");
    }

    /// O16: the id of a registered client is neither the URL of a document nor the subject of a user.
    #[test]
    fn a_registered_client_has_an_id_of_our_form() {
        let (_, answer) = register(&json!({"redirect_uris": ["https://a.example/cb"]}));
        assert!(answer["client_id"].as_str().unwrap().starts_with("mcp_ci_"));
    }
}
