//! The numbers of a running server, and how they read for Prometheus (its text format, version 0.0.4).
//!
//! Nothing that a request says becomes a label: routes, classes, methods and reasons are words of ours, so that strangers
//! cannot make the page longer.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::counters::Counters;
use crate::base::limits;
use crate::http::{
    Admission, Handler, Head, Method, Request, Responder, Response, is_loopback_host, split_port,
};
use crate::router::Route;

/// What is counted of requests.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By the route's slot.
    routes: [RouteNumbers; Route::SLOTS],
    refusals: Counters,
    /// By JSON-RPC method and outcome.
    calls: Counters<(&'static str, &'static str)>,
}

/// What is counted of one route.
#[derive(Debug, Default)]
struct RouteNumbers {
    /// Answers with 1xx, 2xx, 3xx, 4xx, 5xx.
    classes: [AtomicU64; 5],
    /// Answers that took at most that long, as [`limits::LATENCY_BUCKETS_MICROS`] says; each counted in one of them only.
    buckets: [AtomicU64; limits::LATENCY_BUCKETS_MICROS.len()],
    /// All answers together (microseconds).
    micros: AtomicU64,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is not counted here but looked up when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The program's version.
    pub version: &'static str,
    /// Gauges: name, what it is, value.
    pub gauges: Vec<(&'static str, &'static str, u64)>,
    /// Calls to GitHub by how they ended.
    pub github_calls: Vec<(&'static str, u64)>,
    /// What the door refused before there was a request.
    pub door_refusals: Vec<(&'static str, u64)>,
    /// Requests that break the protocol and were served.
    pub tolerated: Vec<(&'static str, u64)>,
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, route: Option<Route>, status: u16, taken: Duration) {
        let Some(numbers) = self.routes.get(Route::slot(route)) else { return };
        let class = usize::from(status / 100).saturating_sub(1);
        let bucket =
            limits::LATENCY_BUCKETS_MICROS.iter().position(|&most| taken <= Duration::from_micros(most));
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket.and_then(|bucket| numbers.buckets.get(bucket));
        for counter in [numbers.classes.get(class), bucket].into_iter().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        numbers.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a call that has ended.
    pub fn called(&self, method: &'static str, outcome: &'static str) {
        self.calls.count((method, outcome));
    }

    /// Counts why a request was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.count(reason);
    }

    /// The page.
    pub fn page(&self, snapshot: &Snapshot) -> String {
        let mut page = Page(String::with_capacity(8 * 1024));
        page.family("mcp_requests_total", "counter", "Answers by route and class of status.");
        self.each_route(|route, numbers| {
            for (class, count) in CLASSES.iter().zip(&numbers.classes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    page.sample("mcp_requests_total", &[("route", route), ("class", class)], count);
                }
            }
        });
        page.family("mcp_request_seconds", "histogram", "From a worker's start to the answer's head.");
        self.each_route(|route, numbers| page.histogram(route, numbers));
        page.family("mcp_calls_total", "counter", "JSON-RPC calls by method and outcome.");
        for ((method, outcome), count) in self.calls.counts() {
            page.sample("mcp_calls_total", &[("method", method), ("outcome", outcome)], count);
        }
        page.family("mcp_refusals_total", "counter", "Requests that were refused, by reason.");
        page.by_word("mcp_refusals_total", "reason", &self.refusals.counts());
        page.family("mcp_door_refusals_total", "counter", "Connections and heads that became no request.");
        page.by_word("mcp_door_refusals_total", "reason", &snapshot.door_refusals);
        page.family("mcp_tolerated_total", "counter", "Requests that break the protocol and were served.");
        page.by_word("mcp_tolerated_total", "kind", &snapshot.tolerated);
        page.family("mcp_github_calls_total", "counter", "Calls to GitHub by outcome.");
        page.by_word("mcp_github_calls_total", "outcome", &snapshot.github_calls);
        page.family("mcp_build_info", "gauge", "Always 1; the label says which version runs.");
        page.sample("mcp_build_info", &[("version", &snapshot.version.escape_default().to_string())], 1);
        for (name, help, value) in &snapshot.gauges {
            page.family(name, "gauge", help);
            page.sample(name, &[], value);
        }
        page.0
    }

    /// The routes that somebody has asked for.
    fn each_route(&self, mut with: impl FnMut(&'static str, &RouteNumbers)) {
        for (slot, numbers) in self.routes.iter().enumerate() {
            if numbers.classes.iter().any(|count| count.load(Ordering::Relaxed) > 0)
                && let Some(name) = Route::slot_name(slot)
            {
                with(name, numbers);
            }
        }
    }
}

/// The text, line by line. Writing to a String cannot fail.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Names and values of labels are words of ours: nothing in them has to be escaped.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn by_word(&mut self, name: &str, label: &str, counts: &[(&'static str, u64)]) {
        for (word, count) in counts {
            self.sample(name, &[(label, word)], count);
        }
    }

    fn histogram(&mut self, route: &str, numbers: &RouteNumbers) {
        let mut below: u64 = 0;
        for (most, count) in limits::LATENCY_BUCKETS_MICROS.iter().zip(&numbers.buckets) {
            below = below.saturating_add(count.load(Ordering::Relaxed));
            let most = Duration::from_micros(*most).as_secs_f64().to_string();
            self.sample("mcp_request_seconds_bucket", &[("route", route), ("le", &most)], below);
        }
        let all =
            numbers.classes.iter().map(|count| count.load(Ordering::Relaxed)).fold(0, u64::saturating_add);
        // Read after the buckets, which are counted after the class: never below their sum.
        self.sample("mcp_request_seconds_bucket", &[("route", route), ("le", "+Inf")], all);
        let sum = Duration::from_micros(numbers.micros.load(Ordering::Relaxed)).as_secs_f64();
        self.sample("mcp_request_seconds_sum", &[("route", route)], sum);
        self.sample("mcp_request_seconds_count", &[("route", route)], all);
    }
}

/// The memory that this process has in RAM (bytes), if the system says.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Looks up what is not counted.
pub type Look = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// `/metrics`, for whoever may open the operator's socket, or the loopback port that the operator gave it.
pub struct Endpoint {
    metrics: Arc<Metrics>,
    look: Look,
}

impl Endpoint {
    /// The endpoint of these numbers.
    pub fn new(metrics: Arc<Metrics>, look: Look) -> Endpoint {
        Endpoint { metrics, look }
    }

    fn answer(&self, head: &Head) -> Response {
        if !matches!(head.method, Method::Get | Method::Head) {
            return Response::new(405).header("Allow", "GET, HEAD");
        }
        // A page in a browser on this machine, whose host name was pointed here, says so.
        let host = head.headers.one("host").ok().flatten().and_then(split_port);
        if head.peer.is_some() && !host.is_some_and(|(host, _)| is_loopback_host(host)) {
            return Response::new(421);
        }
        let page = self.metrics.page(&(self.look)());
        Response::new(200).bytes("text/plain; version=0.0.4; charset=utf-8", page)
    }
}

impl Handler for Endpoint {
    fn admit(&self, _: &Head) -> Result<Admission, Box<Response>> {
        Ok(Admission::up_to(0))
    }

    fn handle(&self, request: Request, responder: Responder) {
        responder.respond(match &*request.head.path {
            "/metrics" => self.answer(&request.head),
            _ => Response::new(404),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, fake};

    fn counted() -> Arc<Metrics> {
        let metrics = Metrics::default();
        metrics.answered(Some(Route::Mcp), 200, Duration::from_micros(700));
        metrics.answered(Some(Route::Mcp), 202, Duration::from_millis(30));
        metrics.answered(Some(Route::Mcp), 503, Duration::from_secs(100));
        metrics.answered(None, 404, Duration::ZERO);
        metrics.answered(None, 999, Duration::ZERO);
        metrics.refused("host");
        metrics.refused("host");
        metrics.called("tools/call", "ok");
        metrics.called("tools/call", "tool_error");
        metrics.called("tools/call", "ok");
        Arc::new(metrics)
    }

    fn endpoint() -> Endpoint {
        let snapshot = Snapshot {
            version: "1.2.3",
            gauges: vec![("mcp_connections", "Open connections.", 3)],
            github_calls: vec![("ok", 5)],
            door_refusals: vec![("too_slow", 1)],
            tolerated: vec![("repeated_version", 2)],
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
            r#"mcp_calls_total{method="tools/call",outcome="tool_error"} 1"#,
            r#"mcp_build_info{version="1.2.3"} 1"#,
            "# TYPE mcp_connections gauge",
            "mcp_connections 3",
        ] {
            assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("token"), "a route that nobody asked for has no line:\n{page}");
    }

    /// M2: a page whose host name was pointed at the port reads nothing.
    #[test]
    fn only_this_machine_is_told() {
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
}
