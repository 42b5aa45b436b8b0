//! Several servers in one process: sessions, streams and tasks of one are unknown at another, and limits apply to all together.

use super::*;
use crate::base::{Subject, TokenName, limits};

/// User 1 at the second server, where they have another grant.
fn elsewhere() -> Principal {
    let resource = "https://mcp.example.com/notes/mcp".into();
    Principal { grant: GrantId([9; 16]), resource, ..principal(1) }
}

/// Two servers with the conformance suite's tools.
fn two() -> (Endpoint, Endpoint) {
    let first = conformance();
    let settings = Settings { resource: elsewhere().resource, ..first.mcp.0.settings.clone() };
    let mcp = first.mcp.beside(settings);
    let (clock, random) = (Arc::clone(&first.clock), Arc::clone(&first.random));
    let second = Endpoint { mcp, clock, random, backend: Arc::clone(&first.backend) };
    (first, second)
}

fn initialize() -> Request {
    let client = json!({ "name": "t", "version": "1" });
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    post(&request(0, "initialize", params))
}

fn in_session(request: Request, session: &str) -> Request {
    request.with("Mcp-Session-Id", session)
}

/// M6: the session of one server is unknown at the other, for every caller.
#[test]
fn a_session_is_for_its_own_server() {
    let (first, second) = two();
    let session = first.session();
    let ping = || in_session(post(&request(1, "ping", json!({}))), &session);
    assert_eq!(first.send(ping()).status, 200);
    assert_eq!(second.start_as(elsewhere(), ping()).answer().status, 404);
    let other = second.start_as(elsewhere(), initialize()).answer().session.unwrap();
    assert_eq!(first.send(in_session(post(&request(1, "ping", json!({}))), &other)).status, 404);
}

/// M6, M15: so is that of a service token, whose grant is for both servers; and a question of one is not answered at the other.
#[test]
fn a_service_token_has_sessions_and_states_of_its_own_at_each_server() {
    let (first, second) = two();
    let cron = Subject::Token(TokenName::parse("cron").unwrap());
    let here = || Principal { subject: cron, ..principal(1) };
    let there = || Principal { resource: elsewhere().resource, ..here() };
    let session = first.start_as(here(), initialize()).answer().session.unwrap();
    let ping = || in_session(post(&request(1, "ping", json!({}))), &session);
    assert_eq!(second.start_as(there(), ping()).answer().status, 404);
    assert_eq!(first.start_as(here(), ping()).answer().status, 200);
    let tool = "test_input_required_result_tampered_state";
    let asked = first.start_as(here(), modern::call(1, tool, json!({}))).answer();
    let yes = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    let back = || modern::retry(tool, yes.clone(), Some(&asked.json()["result"]["requestState"]));
    assert_eq!(second.start_as(there(), back()).answer().error_code(), -32602);
    assert_eq!(first.start_as(here(), back()).answer().text(), "state-ok");
}

/// A4: a service token that loses its access to one server keeps its sessions and streams at another.
#[test]
fn a_grant_can_end_at_one_server_alone() {
    let (first, second) = two();
    let there = Principal { grant: principal(1).grant, ..elsewhere() };
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let _here = first.send(modern::plain("subscriptions/listen", listen.clone()));
    let _there = second.start_as(there.clone(), modern::plain("subscriptions/listen", listen)).answer();
    first.session();
    second.start_as(there.clone(), initialize()).answer();
    first.mcp.end_grant(there.grant, Some(&principal(1).resource));
    let left = first.mcp.counts();
    assert_eq!((left.sessions, left.listeners), (1, 1));
    assert_eq!((first.mcp.grants().len(), second.mcp.grants().len()), (0, 1));
    first.mcp.end_grant(there.grant, None);
    assert_eq!(second.mcp.grants().len(), 0);
}

/// A4: the rules of one server are applied to its own grants, so they end nothing at another.
#[test]
fn a_server_knows_the_grants_of_its_own_sessions_and_streams() {
    let (first, second) = two();
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let _events = first.send(modern::plain("subscriptions/listen", listen));
    second.start_as(elsewhere(), initialize()).answer();
    let grants = |endpoint: &Endpoint| endpoint.mcp.grants().into_iter().collect::<Vec<_>>();
    assert_eq!(grants(&first), [principal(1).grant]);
    assert_eq!(grants(&second), [elsewhere().grant]);
}

/// M17: a person's limits on sessions, calls, streams and bytes do not grow with the number of servers.
#[test]
fn limits_hold_for_all_servers_together() {
    let (first, second) = two();
    for _ in 0..limits::SESSIONS_PER_USER {
        first.session();
        assert_eq!(second.start_as(elsewhere(), initialize()).answer().status, 200);
    }
    assert_eq!(
        (first.mcp.counts().sessions, second.mcp.counts()),
        (limits::SESSIONS_PER_USER, first.mcp.counts())
    );
    let (one, other) = (&first.mcp.0, &second.mcp.0);
    assert!(Arc::ptr_eq(&one.calls, &other.calls) && Arc::ptr_eq(&one.openings, &other.openings));
    assert!(Arc::ptr_eq(&one.streams, &other.streams) && Arc::ptr_eq(&one.tasks, &other.tasks));
    assert!(Arc::ptr_eq(&one.budgets.unread, &other.budgets.unread));
    assert!(Arc::ptr_eq(&one.budgets.replay, &other.budgets.replay));
    assert!(Arc::ptr_eq(&one.budgets.kept, &other.budgets.kept));
}

/// Clients of one server get no notifications of changes at another.
#[test]
fn changes_are_told_to_the_clients_of_their_server() {
    let (first, second) = two();
    let session = second.start_as(elsewhere(), initialize()).answer().session.unwrap();
    let events = second.start_as(elsewhere(), in_session(get(), &session)).answer().events();
    first.mcp.0.publisher().tools_changed();
    second.mcp.0.publisher().prompts_changed();
    let told =
        std::iter::from_fn(|| events.next()).map(|event| event.data).find(|data| !data.is_empty()).unwrap();
    assert!(told.contains("prompts/list_changed"), "{told}");
}
