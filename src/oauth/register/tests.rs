//! Answers to registrations, and what is kept of them.

use serde_json::{Value, json};

use crate::base::{Clock, limits};
use crate::http::fake::request;
use crate::oauth::fake::{self, body};

fn register(metadata: &Value) -> (u16, Value) {
    let fixture = fake::fixture();
    let request =
        request("POST", "/register").with("Content-Type", "application/json").body(metadata.to_string());
    let response = fixture.server.register.post(&fixture.resource, &request);
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
fn usable_members_are_kept_and_returned() {
    let check = |metadata: Value, uris: Value, name: Option<&str>| {
        let (status, answer) = register(&metadata);
        assert_eq!((status, &answer["redirect_uris"]), (201, &uris), "{metadata}");
        assert_eq!(answer.get("client_name").and_then(Value::as_str), name, "{metadata}");
    };
    let uri = "https://a.example/cb";
    let named = |name: &str| json!({ "redirect_uris": [uri], "client_name": name });
    check(json!({ "redirect_uris": ["nobodys://cb", uri, "http://a.example/", null] }), json!([uri]), None);
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
        assert_eq!(fixture.server.register.post(&fixture.resource, &request).status(), 201);
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
        assert_eq!(fixture.server.register.post(&fixture.resource, &request).status(), 201);
    }
    let now = fixture.clock.monotonic();
    let told = |now| fixture.server.register.log_limit.pass("client.registered", now);
    assert_eq!(told(now), None);
    let later = now + std::time::Duration::from_secs(1);
    assert_eq!(told(later), Some(152));
}

/// D4: limit, and limit plus one, for one sender.
#[test]
fn registrations_per_sender_are_limited() {
    let mut fixture = fake::fixture();
    let metadata = json!({"redirect_uris": ["https://a.example/cb"]}).to_string();
    let check = |fixture: &fake::Fixture, most: usize, retry_after: &str| {
        let register = || {
            let mut request =
                request("POST", "/register").with("Content-Type", "application/json").body(metadata.clone());
            request.head.peer = Some(std::net::IpAddr::from([192, 0, 2, 1]));
            fixture.server.register.post(&fixture.resource, &request)
        };
        assert!((0..most).all(|_| register().status() == 201));
        let response = register();
        assert_eq!((response.status(), response.header_value("retry-after")), (429, Some(retry_after)));
    };
    check(&fixture, 600, "7");
    fixture.restart(|parts| parts.registrations_per_hour = 20);
    check(&fixture, 20, "181");
}

/// D1: one JSON object without repeated names, at most 64 levels deep.
#[test]
fn a_registration_is_one_plain_json_object() {
    let fixture = fake::fixture();
    let check = |content_type: &str, body: &str, status| {
        let request = request("POST", "/register").with("Content-Type", content_type).body(body);
        assert_eq!(fixture.server.register.post(&fixture.resource, &request).status(), status, "{body}");
    };
    let body = |more: &str| format!(r#"{{"redirect_uris":["https://a.example/cb"]{more}}}"#);
    let nested = |levels: usize| body(&format!(r#","x":{}{}"#, "[".repeat(levels), "]".repeat(levels)));
    check("application/json", &body(""), 201);
    check("application/json; charset=utf-8", &body(r#","unknown":{"a":null}"#), 201);
    check("application/json", &nested(limits::JSON_DEPTH - 1), 201);
    check("application/json", &nested(limits::JSON_DEPTH), 400);
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
fn other_urls_of_a_registration_are_dropped() {
    let (status, answer) = register(&json!({
        "redirect_uris": ["https://a.example/cb"], "client_uri": "https://a.example", "logo_uri": "http://a.example/",
        "tos_uri": "javascript:alert(1)", "policy_uri": "https://a.example", "jwks_uri": "https://a.example/keys",
    }));
    assert_eq!(status, 201);
    let names: Vec<_> = answer.as_object().unwrap().keys().filter(|name| name.ends_with("_uri")).collect();
    assert!(names.is_empty(), "{names:?}");
}

/// O16: the id of a registered client is neither the URL of a document nor the subject of a user.
#[test]
fn a_registered_client_id_has_the_sealed_prefix() {
    let (_, answer) = register(&json!({"redirect_uris": ["https://a.example/cb"]}));
    assert!(answer["client_id"].as_str().unwrap().starts_with("mcp_ci_"));
}
