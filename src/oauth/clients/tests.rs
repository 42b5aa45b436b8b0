//! Clients of every kind from the first request to the last, and clients that are denied.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::*;
use crate::base::{ClientFingerprint, Secret, limits};
use crate::http::fake::request;
use crate::http::{Response, append_query};
use crate::oauth::DenyList;
use crate::oauth::client::{self, AuthMethod};
use crate::oauth::configured::ConfiguredMembers;
use crate::oauth::fake::{self, Browser, CHALLENGE, FakeDocuments, Fixture, ReadOnly, body, text};
use crate::store::conformance;

const URL: &str = "https://claude.example/client.json";
const WEB: &str = "https://claude.example/cb";
const LOCAL: &str = "http://127.0.0.1/cb";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn document(redirect_uri: &str) -> Value {
    json!({ "client_id": URL, "client_name": "Claude", "redirect_uris": [redirect_uri] })
}

/// A server that finds one document at [`URL`].
fn with_document(redirect_uri: &str) -> (Fixture, Arc<FakeDocuments>) {
    let documents = Arc::new(FakeDocuments::default());
    documents.publish(URL, &document(redirect_uri));
    (fake::fixture_with(serving(&documents)), documents)
}

pub(super) fn serving(documents: &Arc<FakeDocuments>) -> Clients {
    let documents = Arc::clone(documents) as Arc<dyn ClientDocuments>;
    Clients { documents: Some(documents), ..Clients::default() }
}

/// Starts the server again with these clients and this deny list.
fn deny(fixture: &mut Fixture, list: &str, clients: Clients) {
    fixture.restart(|parts| {
        parts.clients = clients;
        parts.rules.denied = DenyList::parse(list).unwrap();
    });
}

pub(super) fn configured(redirect_uri: &str) -> Clients {
    let client = |id: &str, secret: Option<&str>| {
        let members = ConfiguredMembers {
            client_id: id.to_owned(),
            client_name: Some("Agent".to_owned()),
            redirect_uris: vec![redirect_uri.to_owned()],
            token_endpoint_auth_method: secret.map(|_| "client_secret_post".to_owned()),
            client_secret_file: None,
        };
        let secret = secret.map(|secret| Secret::new(secret.to_owned()));
        (id.to_owned(), Client::configured(members, secret).unwrap())
    };
    let configured = [client("agent", Some(SECRET)), client("app", None)].into();
    Clients { configured, ..Clients::default() }
}

/// Asks for authorization with everything right but for `changes`.
pub(super) fn authorize(fixture: &Fixture, client_id: &str, changes: &[(&str, &str)]) -> Response {
    let mut parameters = vec![
        ("client_id", client_id),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("redirect_uri", WEB),
    ];
    for &(name, value) in changes {
        parameters.retain(|(other, _)| *other != name);
        parameters.push((name, value));
    }
    fixture
        .server
        .authorize
        .get(&fixture.resource, &request("GET", &append_query("/authorize", &parameters)).head)
}

/// A client whose id is the URL of its document logs in and refreshes, and only the login looks for the document.
#[test]
fn a_client_document_is_needed_only_at_authorization() {
    let (fixture, documents) = with_document(LOCAL);
    let mut browser = Browser::of(&fixture, URL.to_owned(), "xyz");
    let tokens = browser.tokens();
    let asked = documents.finds();
    assert!(asked > 0 && fixture.bearer(&tokens.access).is_ok());
    let tokens = fake::tokens(&browser.refresh(&tokens.refresh));
    assert_eq!(fixture.grants.list().unwrap()[0].client.host.as_deref(), Some("claude.example"));
    assert_eq!(fixture.post("/revoke", &format!("client_id={URL}&token={}", tokens.refresh)).status(), 200);
    assert!(fixture.bearer(&tokens.access).is_err());
    assert_eq!(documents.finds(), asked);
}

/// T3: what one URL was granted is of no use to another.
#[test]
fn a_code_of_one_document_is_not_redeemed_by_another() {
    let (fixture, _) = with_document(LOCAL);
    let mut browser = Browser::of(&fixture, URL.to_owned(), "xyz");
    let code = browser.code();
    let other = "https://claude.example/other.json";
    assert_eq!(browser.redeem(&code, &[("client_id", other)]).status(), 400);
    assert_eq!(browser.redeem(&code, &[("client_secret", "x")]).status(), 401);
    assert_eq!(browser.redeem(&code, &[]).status(), 200);
}

/// C1: the page says which host stands behind a client, and does not say so of a program that anybody could be.
#[test]
fn the_consent_page_says_how_the_client_name_is_verified() {
    let check = |fixture: &Fixture, client_id: &str, redirect_uri: &str, words: &str| {
        let page = text(&authorize(fixture, client_id, &[("redirect_uri", redirect_uri)]));
        assert!(page.contains(words), "{page}");
    };
    check(&with_document(WEB).0, URL, WEB, "Verified: it belongs to <b>claude.example</b>.");
    check(&with_document(LOCAL).0, URL, "http://127.0.0.1:5000/cb", "any program on this device can say so");
    check(&fake::fixture_with(configured(WEB)), "app", WEB, "The person who runs this server registered it.");
    let fixture = fake::fixture();
    let registered = fixture.client_id(AuthMethod::None, &[WEB]);
    check(&fixture, &registered, WEB, "This name is unverified");
}

/// I1, I4, I5: whatever is wrong with a URL or its document, the answer is the same to the letter, and says nothing of it.
#[test]
fn every_failure_with_a_document_looks_the_same() {
    let (fixture, documents) = with_document(WEB);
    documents
        .publish("https://claude.example/wrong.json", &json!({ "client_id": "https://internal.example/" }));
    let answer = |client_id: &str| {
        let response = authorize(&fixture, client_id, &[]);
        (response.status(), response.header_value("location").map(str::to_owned), text(&response))
    };
    let (status, location, page) = answer("https://claude.example/missing.json");
    assert_eq!((status, location), (400, None));
    assert!(page.contains("could not find out which program") && !page.contains("claude.example"), "{page}");
    for client_id in [
        "https://claude.example/wrong.json",
        "https://127.0.0.1/client.json",
        "https://localhost/client.json",
        "https://claude.example/",
        "https://user@claude.example/client.json",
    ] {
        assert_eq!(answer(client_id), (400, None, page.clone()), "{client_id}");
    }
    assert_eq!(documents.finds(), 2);
    assert_eq!(authorize(&fixture, URL, &[]).status(), 200);
}

/// O6, O3: a document's redirect URIs are compared as any others; the port of a loopback one is the client's to choose.
#[test]
fn redirect_uris_are_compared_with_those_of_the_document() {
    let check = |registered: &str, requested: &str, status: u16| {
        let response = authorize(&with_document(registered).0, URL, &[("redirect_uri", requested)]);
        assert_eq!((response.status(), response.header_value("location")), (status, None), "{requested}");
    };
    check(WEB, WEB, 200);
    check(WEB, "https://claude.example/cb2", 400);
    check(WEB, "https://evil.example/cb", 400);
    check(LOCAL, "http://127.0.0.1:33418/cb", 200);
    check(LOCAL, "http://localhost:33418/cb", 400);
}

/// O16: unless such clients are served, a URL is an unknown id, to the login and to the token endpoint.
#[test]
fn without_documents_a_url_is_unknown() {
    let fixture = fake::fixture();
    let page = text(&authorize(&fixture, URL, &[]));
    assert!(page.contains("does not know the program"), "{page}");
    let form = format!("grant_type=refresh_token&refresh_token=x&client_id={URL}");
    assert_eq!(fixture.post("/token", &form).status(), 401);
    assert!(
        body(&fixture.server.metadata.server(&fixture.resource))["client_id_metadata_document_supported"]
            .is_null()
    );
    let (fixture, _) = with_document(WEB);
    assert_eq!(fixture.post("/token", &form).status(), 400);
    assert_eq!(
        body(&fixture.server.metadata.server(&fixture.resource))["client_id_metadata_document_supported"],
        true
    );
}

/// O7: an error goes straight back to a local or a configured client; to an open web client only by the person's own hand.
#[test]
fn errors_are_redirected_to_trusted_clients_only() {
    let check = |fixture: &Fixture, client_id: &str, redirect_uri: &str, status: u16| {
        let changes = [("redirect_uri", redirect_uri), ("response_type", "token")];
        let response = authorize(fixture, client_id, &changes);
        let location = response.header_value("location");
        assert_eq!((response.status(), location.is_some()), (status, status == 303), "{client_id}");
        assert!(location.is_none_or(|to| to.starts_with(redirect_uri)));
    };
    check(&fake::fixture_with(configured(WEB)), "app", WEB, 303);
    check(&with_document(WEB).0, URL, WEB, 400);
    check(&with_document(LOCAL).0, URL, "http://127.0.0.1:5000/cb", 303);
    let fixture = fake::fixture();
    let registered = fixture.client_id(AuthMethod::None, &[WEB]);
    check(&fixture, &registered, WEB, 400);
}

/// O17: a configured client logs in like any other, through consent and GitHub, and proves itself with its own secret.
#[test]
fn a_configured_client_uses_its_own_secret() {
    let fixture = fake::fixture_with(configured(LOCAL));
    let mut browser = Browser::of(&fixture, "agent".to_owned(), "xyz");
    let code = browser.code();
    let derived = client::secrets(&fixture.keys, "agent").next().unwrap().expose().clone();
    for wrong in ["", "0123456789abcdef0123456789abcdeF", &derived] {
        assert_eq!(browser.redeem(&code, &[("client_secret", wrong)]).status(), 401, "{wrong}");
    }
    assert_eq!(browser.redeem(&code, &[("client_secret", SECRET)]).status(), 200);
    let mut public = Browser::of(&fixture, "app".to_owned(), "xyz");
    let code = public.code();
    assert_eq!(public.redeem(&code, &[("client_secret", SECRET)]).status(), 401);
    assert_eq!(public.redeem(&code, &[]).status(), 200);
}

/// D5: without open registration nobody registers, the metadata does not offer it, and who registered before stays.
#[test]
fn registration_can_be_closed() {
    let fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[WEB]);
    let closed = Clients { registration: Registration::Closed, ..Clients::default() };
    let fixture = fixture.restarted_with(closed);
    let metadata = json!({ "redirect_uris": [WEB] }).to_string();
    let register = request("POST", "/register").with("Content-Type", "application/json").body(metadata);
    assert_eq!(fixture.server.register.post(&fixture.resource, &register).status(), 403);
    assert!(body(&fixture.server.metadata.server(&fixture.resource))["registration_endpoint"].is_null());
    assert_eq!(authorize(&fixture, &id, &[]).status(), 200);
}

/// D6: a denied client gets no consent page and no document is fetched for it.
#[test]
fn a_denied_client_is_refused_at_the_start() {
    let mut fixture = fake::fixture();
    let id = fixture.client_id(AuthMethod::None, &[WEB]);
    deny(&mut fixture, ClientFingerprint::of(&id).as_str(), serving(&Arc::default()));
    assert_eq!(authorize(&fixture, &id, &[]).status(), 403);
    for list in [URL, "claude.example"] {
        let (mut fixture, documents) = with_document(WEB);
        deny(&mut fixture, list, serving(&documents));
        assert_eq!(authorize(&fixture, URL, &[]).status(), 403, "{list}");
        assert_eq!(documents.finds(), 0);
    }
}

/// D6: a client that comes onto the list loses its grants, and every token of theirs is dead at once.
#[test]
fn denying_a_client_ends_its_grants() {
    for list in [URL, "claude.example", ClientFingerprint::of(URL).as_str()] {
        let (mut fixture, _) = with_document(LOCAL);
        let (denied, other) =
            (Browser::of(&fixture, URL.to_owned(), "a").tokens(), Browser::new(&fixture).tokens());
        deny(&mut fixture, list, serving(&Arc::default()));
        assert!(fixture.bearer(&denied.access).is_err(), "{list}: before the grants are ended");
        let form = format!("grant_type=refresh_token&client_id={URL}&refresh_token={}", denied.refresh);
        assert_eq!(fixture.post("/token", &form).status(), 401, "{list}");
        assert_eq!(fixture.grants.list().unwrap().len(), 2);
        fixture.server.grants.end_denied();
        assert_eq!((fixture.grants.list().unwrap().len(), fixture.ended().len()), (1, 1), "{list}");
        assert!(fixture.bearer(&denied.access).is_err());
        assert!(fixture.bearer(&other.access).is_ok());
    }
}

/// D6, S3: a disk that refuses keeps no session of a denied client open: not at once, nor at the next sweep. A client with many
/// grants costs few writes, because signals wait for them.
#[test]
fn denying_a_client_ends_its_sessions_whatever_the_disk_says() {
    let (mut fixture, _) = with_document(LOCAL);
    for number in 0..=limits::SWEEP_BATCH {
        let mut grant = conformance::grant(number.try_into().unwrap());
        grant.client.fingerprint = ClientFingerprint::of(URL);
        fixture.grants.insert(&grant).unwrap();
    }
    assert!(fixture.server.grants.is_live(&fixture.resource, conformance::grant(0).id));
    deny(&mut fixture, URL, serving(&Arc::default()));
    let grants = fixture.grants.list().unwrap();
    assert!(!grants.iter().any(|grant| fixture.server.grants.is_live(&fixture.resource, grant.id)));
    let disk = Arc::new(ReadOnly::new(&fixture.grants));
    let over = Arc::clone(&disk);
    fixture.restart(|parts| {
        parts.grants = over;
        parts.rules.denied = DenyList::parse(URL).unwrap();
    });
    fixture.server.grants.end_denied();
    assert_eq!(disk.deletions.load(Ordering::Relaxed), 2, "one write for each batch, though the first fails");
    assert_eq!(fixture.ended(), grants.iter().map(|grant| grant.id).collect::<Vec<_>>());
}

/// D6: a code that a denied client still holds buys nothing.
#[test]
fn a_denied_client_redeems_no_code() {
    let (mut fixture, _) = with_document(LOCAL);
    let code = Browser::of(&fixture, URL.to_owned(), "a").code();
    deny(&mut fixture, "claude.example", serving(&Arc::default()));
    let form = append_query(
        "",
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", URL),
            ("code_verifier", fake::VERIFIER),
        ],
    );
    assert_eq!(fixture.post("/token", &form[1..]).status(), 401);
}
