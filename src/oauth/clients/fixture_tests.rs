//! Requests of clients of the field (`fixtures/clients`): each registration registers, each document is accepted, each
//! redirect URI is admitted.

use serde_json::{Map, Value, json};

use super::tests::{authorize, configured, serving};
use super::*;
use crate::http::Response;
use crate::http::fake::request;
use crate::oauth::fake::{self, FakeDocuments, Fixture, body};

const REGISTRATIONS: &str = include_str!("../../../fixtures/clients/registrations.json");
const DOCUMENTS: &str = include_str!("../../../fixtures/clients/documents.json");
const REDIRECT_URIS: &str = include_str!("../../../fixtures/clients/redirect-uris.txt");

fn register(fixture: &Fixture, metadata: &Value) -> Response {
    let request = request("POST", "/register").with("Content-Type", "application/json");
    fixture.server.register.post(&fixture.resource, &request.body(metadata.to_string()))
}

/// The redirect URIs of the file: anybody's, and those of configured clients.
fn redirect_uris() -> (Vec<&'static str>, Vec<&'static str>) {
    let (open, configured) = REDIRECT_URIS.split_once("# Of clients in MCP_CLIENTS only.\n").unwrap();
    let uris = |part: &'static str| part.lines().filter(|line| !line.starts_with('#')).collect();
    (uris(open), uris(configured))
}

/// Fails with every client that does not get the consent page at one of its redirect URIs.
fn all_are_admitted(fixture: &Fixture, client_id: &str, uris: &Value, faults: &mut Vec<String>) {
    for uri in uris.as_array().unwrap() {
        let uri = uri.as_str().unwrap();
        let page = authorize(fixture, client_id, &[("redirect_uri", uri)]);
        if page.status() != 200 {
            faults.push(format!("{uri}: {}", fake::text(&page)));
        }
    }
}

/// D2: and the answer says what was kept, which is everything.
#[test]
fn every_collected_registration_is_accepted() {
    let (fixture, mut faults) = (fake::fixture(), Vec::new());
    let registrations: Map<String, Value> = serde_json::from_str(REGISTRATIONS).unwrap();
    assert!(registrations.len() > 20);
    for (client, metadata) in registrations {
        let answer = register(&fixture, &metadata);
        let (status, answer) = (answer.status(), body(&answer));
        let kept = ["redirect_uris", "client_name"].map(|name| answer[name] == metadata[name]);
        if status != 201 || kept != [true, true] {
            faults.push(format!("{client}: {status} {answer}"));
            continue;
        }
        let id = answer["client_id"].as_str().unwrap();
        all_are_admitted(&fixture, id, &metadata["redirect_uris"], &mut faults);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// I4.
#[test]
fn every_collected_document_is_accepted() {
    let (documents, mut faults) = (Arc::new(FakeDocuments::default()), Vec::new());
    let published: Map<String, Value> = serde_json::from_str(DOCUMENTS).unwrap();
    assert!(published.len() >= 10);
    for (url, document) in &published {
        let mut document = document.clone();
        document["client_id"] = json!(url);
        documents.publish(url, &document);
    }
    let fixture = fake::fixture_with(serving(&documents));
    for (url, document) in &published {
        all_are_admitted(&fixture, url, &document["redirect_uris"], &mut faults);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// O5: what anybody may register, and what only the operator may write down.
#[test]
fn every_collected_redirect_uri_is_admitted() {
    let (fixture, mut faults) = (fake::fixture(), Vec::new());
    let (open, in_the_network) = redirect_uris();
    assert!(open.len() > 60 && in_the_network.len() >= 3);
    for &uri in &open {
        let answer = register(&fixture, &json!({ "redirect_uris": [uri] }));
        let (status, answer) = (answer.status(), body(&answer));
        match answer["client_id"].as_str() {
            Some(id) => all_are_admitted(&fixture, id, &json!([uri]), &mut faults),
            None => faults.push(format!("{uri}: {status} {answer}")),
        }
    }
    for &uri in &in_the_network {
        assert_eq!(register(&fixture, &json!({ "redirect_uris": [uri] })).status(), 400, "{uri}");
        all_are_admitted(&fake::fixture_with(configured(uri)), "app", &json!([uri]), &mut faults);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// O5: a scheme that the operator adds is anybody's as long as the option has it.
#[test]
fn a_scheme_of_the_operators_is_admitted_while_the_option_names_it() {
    const URI: &str = "myapp://callback";
    let clients =
        || Clients { redirect_schemes: RedirectSchemes::parse("myapp").unwrap(), ..Clients::default() };
    let fixture = fake::fixture_with(clients());
    let answer = body(&register(&fixture, &json!({ "redirect_uris": [URI] })));
    let id = answer["client_id"].as_str().unwrap();
    let status = |fixture: &Fixture| authorize(fixture, id, &[("redirect_uri", URI)]).status();
    assert_eq!(status(&fixture), 200);
    let fixture = fixture.restarted_with(Clients::default());
    assert_eq!(status(&fixture), 400);
    let refused = register(&fixture, &json!({ "redirect_uris": [URI] }));
    assert_eq!(refused.status(), 400);
    assert!(fake::text(&refused).contains("MCP_REDIRECT_SCHEMES"), "{}", fake::text(&refused));
    assert_eq!(status(&fixture.restarted_with(clients())), 200);
}
