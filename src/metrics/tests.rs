//! The page of metrics, and access to it.

use super::*;
use crate::http::{Body, Request, fake};

fn counted() -> Arc<Metrics> {
    let metrics = Metrics::default();
    metrics.answered(Some(Route::Mcp), 200, Duration::from_micros(700));
    metrics.answered(Some(Route::Mcp), 202, Duration::from_millis(30));
    metrics.answered(Some(Route::Mcp), 503, Duration::from_secs(100));
    metrics.answered(None, 404, Duration::ZERO);
    metrics.answered(None, 999, Duration::ZERO);
    metrics.refused("host");
    metrics.refused("host");
    metrics.called(None, "tools/call", "ok");
    metrics.called(None, "tools/call", "tool_error");
    metrics.called(Some("files".into()), "tools/call", "ok");
    metrics.called(None, "tools/call", "ok");
    Arc::new(metrics)
}

fn endpoint() -> Endpoint {
    let snapshot = Snapshot {
        version: "1.2.3",
        gauges: vec![("mcp_connections", "Open connections.", 3)],
        github_calls: vec![("ok", 5)],
        door_refusals: vec![("too_slow", 1)],
        tolerated: vec![("repeated_version", 2)],
        audit_lines: vec![("written", 7), ("failed", 0)],
        servers: vec![("files".to_owned(), [2, 1, 3])],
    };
    Endpoint::new(counted(), Box::new(move || snapshot.clone()))
}

fn ask(request: Request) -> (u16, String) {
    let response = endpoint().answer(&request.head);
    let text = match response.body() {
        Body::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Body::Stream(_) => panic!("a stream"),
    };
    (response.status(), text)
}

#[test]
fn the_page_has_what_was_counted() {
    let (status, page) = ask(fake::request("GET", "/metrics").with("Host", "127.0.0.1:9090"));
    assert_eq!(status, 200);
    for line in [
        r#"mcp_requests_total{route="mcp",class="2xx"} 2"#,
        r#"mcp_requests_total{route="mcp",class="5xx"} 1"#,
        r#"mcp_requests_total{route="none",class="4xx"} 1"#,
        r#"mcp_request_seconds_bucket{route="mcp",le="0.001"} 1"#,
        r#"mcp_request_seconds_bucket{route="mcp",le="0.1"} 2"#,
        r#"mcp_request_seconds_bucket{route="mcp",le="+Inf"} 3"#,
        r#"mcp_request_seconds_sum{route="mcp"} 100.0307"#,
        r#"mcp_request_seconds_count{route="mcp"} 3"#,
        r#"mcp_refusals_total{reason="host"} 2"#,
        r#"mcp_door_refusals_total{reason="too_slow"} 1"#,
        r#"mcp_github_calls_total{outcome="ok"} 5"#,
        r#"mcp_tolerated_total{kind="repeated_version"} 2"#,
        r#"mcp_calls_total{method="tools/call",outcome="ok"} 2"#,
        r#"mcp_calls_total{server="files",method="tools/call",outcome="ok"} 1"#,
        r#"mcp_audit_lines_total{outcome="written"} 7"#,
        r#"mcp_calls_total{method="tools/call",outcome="tool_error"} 1"#,
        r#"mcp_programs{server="files"} 2"#,
        r#"mcp_program_restarts_total{server="files"} 1"#,
        r#"mcp_program_failures_total{server="files"} 3"#,
        r#"mcp_build_info{version="1.2.3"} 1"#,
        "# TYPE mcp_connections gauge",
        "mcp_connections 3",
    ] {
        assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("token"), "a route that nobody asked for has no line:\n{page}");
}

/// M2: a web page whose host name resolves to this port (DNS rebinding) reads nothing.
#[test]
fn metrics_are_served_under_loopback_names_only() {
    assert_eq!(ask(fake::request("GET", "/metrics").with("Host", "rebound.example")).0, 421);
    assert_eq!(ask(fake::request("GET", "/metrics").with("Host", "[::1]:9090")).0, 200);
    assert_eq!(ask(fake::request("POST", "/metrics").with("Host", "localhost")).0, 405);
    let mut through_the_socket = fake::request("GET", "/metrics").with("Host", "anything");
    through_the_socket.head.peer = None;
    assert_eq!(ask(through_the_socket).0, 200);
}

#[test]
fn this_process_has_memory() {
    assert!(resident_bytes().unwrap() > 100_000);
}
