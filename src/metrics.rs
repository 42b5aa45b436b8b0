//! The counters of a running server, and `/metrics` in the text format of Prometheus (version 0.0.4).
//!
//! No part of a request becomes a label: routes, classes, methods and reasons come from closed sets, names of servers from the
//! configuration, so that clients cannot make the page longer.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Counters, Mutex, limits};
use crate::http::{Admission, Handler, Head, Method, Response, is_loopback_host, split_port};
use crate::router::Route;

/// Counters of requests.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Guards the counters of the used routes, by name.
    routes: Mutex<BTreeMap<&'static str, RouteNumbers>>,
    refusals: Counters,
    /// By server, if there are several, JSON-RPC method and outcome.
    calls: Counters<(Option<Arc<str>>, &'static str, &'static str)>,
}

/// Counters of one route.
#[derive(Clone, Debug, Default)]
struct RouteNumbers {
    /// Answers with 1xx, 2xx, 3xx, 4xx, 5xx.
    classes: [u64; 5],
    /// Answers by time taken, at the bounds of [`limits::LATENCY_BUCKETS_MICROS`]. Each answer counts in one bucket only.
    buckets: [u64; limits::LATENCY_BUCKETS_MICROS.len()],
    /// All answers together (microseconds).
    micros: u64,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, route: Option<Route>, status: u16, taken: Duration) {
        let class = usize::from(status / 100).saturating_sub(1);
        let bucket =
            limits::LATENCY_BUCKETS_MICROS.iter().position(|&most| taken <= Duration::from_micros(most));
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let mut routes = self.routes.lock();
        let numbers = routes.entry(route.map_or("none", Route::name)).or_default();
        let bucket = bucket.and_then(|bucket| numbers.buckets.get_mut(bucket));
        for counter in [numbers.classes.get_mut(class), bucket].into_iter().flatten() {
            *counter = counter.saturating_add(1);
        }
        numbers.micros = numbers.micros.saturating_add(micros);
    }

    /// Counts a call that has ended, of the server of this name.
    pub fn called(&self, server: Option<Arc<str>>, method: &'static str, outcome: &'static str) {
        self.calls.count((server, method, outcome));
    }

    /// Counts a refused request, by reason.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.count(reason);
    }

    /// The page with these counters.
    pub fn page(&self) -> Page {
        let mut page = Page(String::with_capacity(8 * 1024));
        page.family("mcp_requests_total", "counter", "Answers by route and class of status.");
        let routes = self.routes.lock().clone();
        for (route, numbers) in &routes {
            for (class, count) in CLASSES.iter().zip(&numbers.classes).filter(|(_, count)| **count > 0) {
                page.sample("mcp_requests_total", &[("route", route), ("class", class)], count);
            }
        }
        page.family("mcp_request_seconds", "histogram", "From a worker's start to the answer's head.");
        routes.iter().for_each(|(route, numbers)| page.histogram(route, numbers));
        page.family("mcp_calls_total", "counter", "JSON-RPC calls by server, method and outcome.");
        for ((server, method, outcome), count) in self.calls.counts() {
            let server = server.as_deref().map(|name| name.escape_default().to_string());
            let mut labels: Vec<_> = server.as_deref().map(|name| ("server", name)).into_iter().collect();
            labels.extend([("method", method), ("outcome", outcome)]);
            page.sample("mcp_calls_total", &labels, count);
        }
        let refusals = self.refusals.counts();
        page.counters("mcp_refusals_total", "Requests that were refused, by reason.", "reason", &refusals);
        page
    }
}

/// The text, line by line. Writing to a String cannot fail.
pub struct Page(pub String);

impl Page {
    /// Begins a family of samples.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Adds a sample. Callers escape the values of labels that come from no closed set.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Adds a family of counters, each with a word that `label` describes.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, counts: &[(&'static str, u64)]) {
        self.family(name, "counter", help);
        for (word, count) in counts {
            self.sample(name, &[(label, word)], count);
        }
    }

    /// Adds a family of one gauge.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, route: &str, numbers: &RouteNumbers) {
        let mut below: u64 = 0;
        for (most, count) in limits::LATENCY_BUCKETS_MICROS.iter().zip(&numbers.buckets) {
            below = below.saturating_add(*count);
            let most = Duration::from_micros(*most).as_secs_f64().to_string();
            self.sample("mcp_request_seconds_bucket", &[("route", route), ("le", &most)], below);
        }
        let all = numbers.classes.iter().copied().fold(0, u64::saturating_add);
        self.sample("mcp_request_seconds_bucket", &[("route", route), ("le", "+Inf")], all);
        let sum = Duration::from_micros(numbers.micros).as_secs_f64();
        self.sample("mcp_request_seconds_sum", &[("route", route)], sum);
        self.sample("mcp_request_seconds_count", &[("route", route)], all);
    }
}

/// The resident memory of this process (bytes), if the system reports it.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Adds to the page what other modules count.
pub type AddOthers = Box<dyn Fn(&mut Page) + Send + Sync>;

/// `/metrics`, on the operator's socket and on the configured loopback port.
pub struct Endpoint {
    metrics: Arc<Metrics>,
    add_others: AddOthers,
}

impl Endpoint {
    pub fn new(metrics: Arc<Metrics>, add_others: AddOthers) -> Endpoint {
        Endpoint { metrics, add_others }
    }

    fn answer(&self, head: &Head) -> Response {
        if !matches!(head.method, Method::Get | Method::Head) {
            return Response::new(405).header("Allow", "GET, HEAD");
        }
        // DNS rebinding: a page in a browser on this machine sends its own host name.
        let host = head.headers.one("host").ok().flatten().and_then(split_port);
        if head.peer.is_some() && !host.is_some_and(|(host, _)| is_loopback_host(host)) {
            return Response::new(421);
        }
        let mut page = self.metrics.page();
        (self.add_others)(&mut page);
        Response::new(200).bytes("text/plain; version=0.0.4; charset=utf-8", page.0)
    }
}

impl Handler for Endpoint {
    fn admit(self: Arc<Self>, head: Head) -> Admission {
        match &*head.path {
            "/metrics" => Admission::up_to(0, head, move |request| self.answer(&request.head)),
            _ => Admission::Answered(Response::new(404)),
        }
    }
}

#[cfg(test)]
mod tests;
