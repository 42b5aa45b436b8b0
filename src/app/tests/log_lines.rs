//! The traces of requests in the log: an id of their own, a sender, and one line each.

use super::*;
use crate::mcp::Tool;

/// An app behind a proxy at 127.0.0.1, and its metrics.
fn counted(fixture: &Fixture) -> (Arc<App>, Arc<Metrics>) {
    let metrics: Arc<Metrics> = Arc::default();
    let parts = AppParts { metrics: Arc::clone(&metrics), ..parts("https://mcp.example.com", fixture) };
    (Arc::new(App::new(parts)), metrics)
}

/// Checks that the page contains each of these lines.
fn check(metrics: &Metrics, lines: &[&str]) {
    let page = metrics.page().0;
    for line in lines {
        assert!(page.lines().any(|each| each == *line), "{line} is not in\n{page}");
    }
}

/// H10: the application counts and logs the client, not its proxy.
#[test]
fn the_application_is_told_the_clients_address_and_each_request_has_an_id_of_its_own() {
    let fixture = fake::fixture();
    let (out, seen) = std::sync::mpsc::channel();
    let out = std::sync::Mutex::new(out);
    let tool = Tool::new("trace", "t", serde_json::json!({ "type": "object" }));
    let tool = tool.handler(move |_, _: serde_json::Value| {
        out.lock().unwrap().send(trace::current().unwrap()).unwrap();
        Ok::<String, mcp::CallError>(String::new())
    });
    let backend = ToolServer::builder("test", "1").tool(tool).build().unwrap();
    let app = Arc::new(App::new(AppParts {
        servers: vec![McpServer { resource: Arc::clone(&fixture.resource), mcp: mcp(&fixture, backend) }],
        proxies: TrustedProxies::parse("127.0.0.1").unwrap(),
        ..parts("https://mcp.example.com", &fixture)
    }));
    let token = Browser::new(&fixture).tokens().access;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"trace","arguments":{},
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let ask = |hop: &str| {
        let request = post(&token, call)
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", "tools/call")
            .with("Mcp-Name", "trace")
            .with("X-Forwarded-For", hop);
        let answer = answer(&app, request);
        assert_eq!(answer.status(), 200, "{}", fake::text(&answer));
        seen.recv().unwrap()
    };
    let (first, second) = (ask("198.51.100.1"), ask("198.51.100.2"));
    assert_eq!(first.peer, Some([198, 51, 100, 1].into()));
    assert_eq!(second.peer, Some([198, 51, 100, 2].into()));
    assert_ne!(first.request, second.request);
    assert_eq!(trace::current(), None);
}

#[test]
fn every_answer_is_counted_once_with_its_reason() {
    let fixture = fake::fixture();
    let (app, metrics) = counted(&fixture);
    answer(&app, to("POST", "/mcp"));
    answer(&app, request("GET", "/").with("Host", "evil.example"));
    answer(&app, to("GET", "/healthz"));
    // A body that does not arrive is counted by the door.
    drop(Arc::clone(&app).admit(to("POST", "/token").head));
    check(
        &metrics,
        &[
            r#"mcp_requests_total{route="mcp",class="4xx"} 1"#,
            r#"mcp_requests_total{route="home",class="4xx"} 1"#,
            r#"mcp_requests_total{route="health",class="2xx"} 1"#,
            r#"mcp_refusals_total{reason="host"} 1"#,
            r#"mcp_refusals_total{reason="no_token"} 1"#,
        ],
    );
    assert!(!metrics.page().0.contains(r#"route="token""#));
}

/// The head of a stream is the whole answer of the call that opens it.
#[test]
fn an_opened_stream_is_a_call_that_went_well() {
    let fixture = fake::fixture();
    let (app, metrics) = counted(&fixture);
    let token = Browser::new(&fixture).tokens().access;
    drop(answer(&app, listen(&token, "true")));
    drop(answer(&app, listen(&token, "7")));
    let calls =
        |outcome| format!(r#"mcp_calls_total{{method="subscriptions/listen",outcome="{outcome}"}} 1"#);
    check(&metrics, &[&calls("ok"), &calls("protocol_error")]);
}

/// Writes the line of a request to `/mcp` that is answered while this thread serves `current`.
fn answered(status: u16, reason: Option<&'static str>, current: Trace) -> Arc<Metrics> {
    let metrics: Arc<Metrics> = Arc::default();
    let log = Arc::new(RequestLog::new(Arc::clone(&metrics)));
    let line = LogLine::new(&log, OWN, Some(Route::Mcp), &request("POST", "/mcp").head);
    trace::within(current, || {
        reason.into_iter().for_each(trace::refused);
        line.answered(status);
    });
    drop(line);
    metrics
}

const OWN: Trace = Trace { request: trace::RequestId([1; 6]), peer: None, server: None };

#[test]
fn an_invalid_message_is_counted_as_bad_message() {
    let metrics = answered(400, None, OWN);
    check(
        &metrics,
        &[
            r#"mcp_requests_total{route="mcp",class="4xx"} 1"#,
            r#"mcp_refusals_total{reason="bad_message"} 1"#,
        ],
    );
}

#[test]
fn an_answer_does_not_take_the_reason_of_another_request() {
    let other = Trace { request: trace::RequestId([9; 6]), ..OWN };
    let metrics = answered(200, Some("of_the_other"), other);
    check(&metrics, &[r#"mcp_requests_total{route="mcp",class="2xx"} 1"#]);
    assert!(!metrics.page().0.contains("of_the_other"));
}
