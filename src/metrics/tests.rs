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
    let add_others = |page: &mut Page| {
        page.counters("mcp_audit_lines_total", "Lines.", "outcome", &[("written", 7), ("failed", 0)]);
        page.sample("mcp_programs", &[("kind", "a"), ("server", "files")], 2);
        page.gauge("mcp_connections", "Open connections.", 3);
    };
    Endpoint::new(counted(), Box::new(add_others))
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
        r#"mcp_calls_total{method="tools/call",outcome="ok"} 2"#,
        r#"mcp_calls_total{server="files",method="tools/call",outcome="ok"} 1"#,
        r#"mcp_audit_lines_total{outcome="written"} 7"#,
        r#"mcp_calls_total{method="tools/call",outcome="tool_error"} 1"#,
        r#"mcp_programs{kind="a",server="files"} 2"#,
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
