//! HTTP+SSE (2024-11-05): one stream for all answers, and a URL for messages.

use super::*;
use crate::base::limits;

/// An open stream of HTTP+SSE.
pub(super) struct HttpSse {
    pub(super) events: Events,
    /// The URL for messages.
    pub(super) place: String,
}

impl Endpoint {
    /// Sends a request of HTTP+SSE as user `user` and waits for the head of the answer; its handler may still run.
    pub(super) fn send_http_sse(&self, user: u64, request: Request) -> Waiting {
        let (responder, waiter) = Responder::pair();
        let mcp = self.mcp.clone();
        let worker = std::thread::spawn(move || {
            mcp.handle_http_sse(request, principal(user), (responder, "/message"))
        });
        Waiting { waiter, worker }
    }

    pub(super) fn open(&self) -> HttpSse {
        let events = self.send_http_sse(1, get()).head().events();
        let first = events.next().unwrap();
        assert_eq!(first.name.as_deref(), Some("endpoint"));
        assert!(first.data.starts_with("/message?sessionId="), "{}", first.data);
        HttpSse { events, place: first.data }
    }

    /// Posts a message, which must be accepted; its answer comes on the stream.
    fn post(&self, client: &HttpSse, message: &Value) {
        let answer = self.send_http_sse(1, to(&client.place, message)).head();
        assert!(answer.status == 202 && matches!(answer.body, Said::Nothing), "{answer:?}");
    }
}

pub(super) fn to(place: &str, message: &Value) -> Request {
    crate::http::fake::request("POST", place)
        .with("Content-Type", "application/json")
        .body(message.to_string())
}

fn hello(version: &str) -> Value {
    let client = json!({ "name": "old", "version": "1" });
    let params =
        json!({ "protocolVersion": version, "capabilities": { "sampling": {} }, "clientInfo": client });
    request(0, "initialize", params)
}

#[test]
fn every_answer_comes_on_the_http_sse_stream() {
    let endpoint = conformance();
    let client = endpoint.open();
    endpoint.post(&client, &hello("2024-11-05"));
    let welcome = client.events.json();
    assert_eq!((&welcome["id"], &welcome["result"]["protocolVersion"]), (&json!(0), &json!("2024-11-05")));
    endpoint.post(&client, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    endpoint.post(&client, &request(1, "ping", json!({})));
    assert_eq!(client.events.json(), json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    endpoint.post(&client, &request(2, "nonsense", json!({})));
    assert_eq!(client.events.json()["error"]["code"], -32601);
    for id in 3..5 {
        endpoint.post(&client, &call(id, "test_simple_text", json!({})));
        let answer = client.events.json();
        assert_eq!(
            (&answer["id"], answer["result"]["content"][0]["type"].as_str()),
            (&json!(id), Some("text"))
        );
    }
}

#[test]
fn an_unsupported_version_is_answered_with_2024_11_05() {
    let endpoint = conformance();
    for (asked, spoken) in [("2025-03-26", "2025-03-26"), ("2025-11-25", "2024-11-05")] {
        let client = endpoint.open();
        endpoint.post(&client, &hello(asked));
        assert_eq!(client.events.json()["result"]["protocolVersion"], spoken);
    }
}

#[test]
fn notifications_and_requests_of_a_tool_come_on_the_http_sse_stream() {
    let endpoint = conformance();
    let client = endpoint.open();
    endpoint.post(&client, &hello("2024-11-05"));
    client.events.json();
    endpoint.post(&client, &call(1, "test_tool_with_logging", json!({})));
    let said: Vec<_> = (0..4).map(|_| client.events.json()).collect();
    assert!(said[..3].iter().all(|each| each["method"] == "notifications/message"), "{said:?}");
    assert_eq!(said[3]["id"], 1);
    endpoint.post(&client, &call(2, "test_sampling", json!({ "prompt": "?" })));
    let asked = client.events.json();
    assert_eq!(asked["method"], "sampling/createMessage");
    let sampled = json!({ "role": "assistant", "content": { "type": "text", "text": "!" }, "model": "m" });
    endpoint.post(&client, &json!({ "jsonrpc": "2.0", "id": asked["id"], "result": sampled }));
    assert_eq!(client.events.json()["result"]["content"][0]["text"], "LLM response: !");
    endpoint.mcp.0.publisher().tools_changed();
    assert_eq!(client.events.json()["method"], "notifications/tools/list_changed");
}

/// M6: the session id in the URL is valid for the grant that opened the stream, as long as that is open, and for this transport only.
#[test]
fn an_http_sse_session_belongs_to_its_grant() {
    let endpoint = conformance();
    let client = endpoint.open();
    let ping = request(1, "ping", json!({}));
    let check = |user, place: &str, status: u16| {
        assert_eq!(endpoint.send_http_sse(user, to(place, &ping)).head().status, status, "{place}");
    };
    check(1, &client.place, 202);
    check(2, &client.place, 404);
    for unknown in ["/message", "/message?sessionId=x", "/message?sessionId=%"] {
        check(1, unknown, 404);
    }
    let (_, id) = client.place.split_once('=').unwrap();
    assert_eq!(endpoint.send(get().with("Mcp-Session-Id", id)).status, 404);
    let streamable = endpoint.session();
    check(1, &format!("/message?sessionId={streamable}"), 404);
    let place = client.place.clone();
    drop(client);
    check(1, &place, 404);
    assert_eq!(endpoint.mcp.counts().sessions, 2);
    endpoint.mcp.sweep();
    assert_eq!(endpoint.mcp.counts().sessions, 1);
}

#[test]
fn the_end_of_a_grant_ends_its_http_sse_streams() {
    let endpoint = conformance();
    let client = endpoint.open();
    endpoint.mcp.end_grant(principal(1).grant, None);
    assert!(client.events.has_ended());
}

/// T17: the stream of a client ends with the token that opened it, after the answers of running calls.
#[test]
fn an_http_sse_stream_ends_with_the_token_that_opened_it() {
    let endpoint = conformance();
    let (responder, waiter) = Responder::pair();
    endpoint.mcp.handle_http_sse(get(), short_lived(1), (responder, "/message"));
    let Body::Stream(stream) = waiter.wait(clock::instant() + SOON).unwrap().into_body() else {
        panic!("no stream")
    };
    let events = Events(stream);
    let client = HttpSse { place: events.next().unwrap().data, events };
    endpoint.post(&client, &hello("2024-11-05"));
    client.events.json();
    let asking =
        endpoint.send_http_sse(1, to(&client.place, &call(1, "test_sampling", json!({ "prompt": "?" }))));
    let question = client.events.json();
    endpoint.clock.advance(TOKEN);
    endpoint.mcp.sweep();
    let answer = json!({ "role": "assistant", "content": { "type": "text", "text": "!" }, "model": "m" });
    endpoint.post(&client, &json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer }));
    assert_eq!(client.events.json()["id"], 1);
    asking.worker.join().unwrap();
    endpoint.mcp.sweep();
    assert!(client.events.has_ended());
    assert_eq!(endpoint.mcp.counts().sessions, 0);
}

/// M11, M17: the same media type and the same limits as at `/mcp`.
#[test]
fn http_sse_has_the_media_type_and_limits_of_the_endpoint() {
    let endpoint = conformance();
    let client = endpoint.open();
    let status = |request: Request| endpoint.send_http_sse(1, request).head().status;
    let ping = request(1, "ping", json!({})).to_string();
    let to = |kind: &str, body: &str| {
        crate::http::fake::request("POST", &client.place).with("Content-Type", kind).body(body)
    };
    assert_eq!(status(to("application/json", &ping)), 202);
    assert_eq!(status(to("text/plain", &ping)), 415);
    assert_eq!(status(to("application/json", &format!("[{ping}]"))), 400);
    assert_eq!(status(crate::http::fake::request("GET", "/sse").with("Accept", "text/html")), 406);
    let open: Vec<_> = (1..limits::STREAMS_PER_USER).map(|_| endpoint.open()).collect();
    assert_eq!(status(get()), 429);
    drop(open);
    endpoint.open();
}

/// M12: gateways rely on the headers that repeat the body, and the client chooses the version of a request. So such headers, if
/// present, must match the body in a session as well, over either transport.
#[test]
fn optional_mirror_headers_must_match_the_body_if_present() {
    let endpoint = conformance();
    let session = endpoint.session();
    let client = endpoint.open();
    let check = |body: &Value, headers: &[(&str, &str)], fits: bool| {
        let with =
            |request: Request| headers.iter().fold(request, |all, (name, value)| all.with(name, value));
        for version in ["2026-07-28", "2025-11-25"] {
            let request = post(body).with("MCP-Protocol-Version", version).with("Mcp-Session-Id", &session);
            let answer = endpoint.send(with(request));
            assert_eq!(matches!(answer.status, 200 | 202), fits, "{version} {headers:?}");
            assert!(fits || (answer.status, answer.error_code()) == (400, -32020), "{answer:?}");
        }
        let answer = endpoint.send_http_sse(1, with(to(&client.place, body))).head();
        assert_eq!(answer.status, if fits { 202 } else { 400 }, "{headers:?}");
    };
    let body = call(1, "test_x_mcp_header", json!({ "region": "eu" }));
    check(&body, &[], true);
    check(&body, &[("Mcp-Method", "tools/call")], true);
    check(&body, &[("Mcp-Name", "test_x_mcp_header"), ("Mcp-Param-Region", "=?base64?ZXU=?=")], true);
    check(&body, &[("Mcp-Method", "ping")], false);
    check(&body, &[("Mcp-Method", "tools/call"), ("Mcp-Method", "tools/call")], false);
    check(&body, &[("Mcp-Name", "test_simple_text")], false);
    check(&body, &[("Mcp-Param-Region", "us")], false);
    check(&call(1, "test_x_mcp_header", json!({})), &[("Mcp-Param-Region", "eu")], false);
    let read = request(1, "resources/read", json!({ "uri": "test://static-text", "name": "a" }));
    check(&read, &[("Mcp-Name", "test://static-text")], true);
    check(&read, &[("Mcp-Name", "a")], false);
    check(&request(1, "ping", json!({})), &[("Mcp-Method", "ping"), ("Mcp-Name", "any")], true);
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9 } });
    check(&cancelled, &[("Mcp-Method", "notifications/cancelled")], true);
    check(&cancelled, &[("Mcp-Method", "notifications/progress")], false);
    let start = request(1, "initialize", json!({ "protocolVersion": "2025-06-18" }));
    assert_eq!(endpoint.send(post(&start).with("Mcp-Method", "ping")).error_code(), -32020);
}

#[test]
fn other_methods_are_not_of_http_sse() {
    let endpoint = conformance();
    let answer = endpoint.send_http_sse(1, crate::http::fake::request("DELETE", "/sse")).head();
    assert_eq!((answer.status, answer.allow.as_deref()), (405, Some("GET, POST")));
}
