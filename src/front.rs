//! What every request passes on its way to the application, whichever door it came through: its client's address is
//! found, it gets an id, and its answer leaves one line in the log and its trace in the numbers.
//!
//! Of a request the log has method, route, status, the time to the end of the answer, address and, once proven, who asked; of
//! a call its JSON-RPC method, its target and its outcome; of a path that is none of ours that path. Never a query, a header
//! or a body (L1).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use crate::base::identity::{ClientFingerprint, GrantId, Principal, UserId};
use crate::base::lock::Mutex;
use crate::base::log::{self, Field};
use crate::base::random::Random;
use crate::base::throttle::Throttle;
use crate::base::trace::{self, RequestIds, Trace};
use crate::base::{clock, limits};
use crate::http::{
    Admission, CallOutcome, Handler, Head, Method, Request, Responder, Response, TrustedProxies, Witness,
};
use crate::metrics::Metrics;
use crate::router::Route;

/// A handler in front of another.
pub struct Front {
    app: Arc<dyn Handler>,
    proxies: TrustedProxies,
    /// Whether the log has been told of a proxy that is not one of them.
    proxy_noticed: AtomicBool,
    ids: RequestIds,
    metrics: Arc<Metrics>,
    /// What the log has been told of strangers' requests.
    strangers: Arc<Throttle>,
    /// What that counts from.
    started: Instant,
}

/// What becomes one line of the log, when the answer is complete.
struct Entry {
    trace: Trace,
    method: Method,
    route: Option<Route>,
    /// The path of a request that has no route.
    path: Option<Box<str>>,
    started: Instant,
    metrics: Arc<Metrics>,
    strangers: Arc<Throttle>,
    /// When the server was started, on the clock of `started`.
    since: Instant,
    /// Guards what is found out meanwhile.
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    caller: Option<(UserId, ClientFingerprint, GrantId)>,
    /// The OAuth client that the request names, if nobody has proven who asks.
    client: Option<ClientFingerprint>,
    /// The JSON-RPC method, and what it is for.
    call: Option<(&'static str, Option<Box<str>>)>,
    outcome: Option<CallOutcome>,
    reason: Option<&'static str>,
    status: u16,
}

impl Front {
    /// Puts itself before `app`.
    pub fn new(
        app: Arc<dyn Handler>,
        proxies: TrustedProxies,
        random: &dyn Random,
        metrics: Arc<Metrics>,
    ) -> Front {
        let strangers = Arc::new(Throttle::new(limits::LOG_STRANGERS_PER_SECOND));
        let ids = RequestIds::new(random);
        let (proxy_noticed, started) = (AtomicBool::new(false), clock::instant());
        Front { app, proxies, proxy_noticed, ids, metrics, strangers, started }
    }

    /// H10: whoever comes through a proxy on this machine that is not named shares the limits of one sender. The log says so
    /// once.
    fn look_for_proxy(&self, head: &Head) {
        let is_local = head.peer.is_none_or(|peer| peer.to_canonical().is_loopback());
        let speaks_for_others = ["x-forwarded-for", "forwarded", "x-real-ip"];
        if is_local
            && !self.proxies.contain(head.peer)
            && head.headers.iter().any(|(name, _)| speaks_for_others.contains(&name))
            && !self.proxy_noticed.swap(true, Ordering::Relaxed)
        {
            let name = head.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_canonical().to_string());
            let hint = "everybody behind this proxy counts as one sender for the limits: name it in MCP_TRUSTED_PROXY, and have it set X-Forwarded-For";
            log::warn("proxy.not_trusted", &[Field::Addr(&name), Field::Hint(hint)]);
        }
    }

    fn trace(&self, head: &Head) -> Trace {
        self.look_for_proxy(head);
        Trace { request: self.ids.next(), peer: self.proxies.client(head.peer, &head.headers) }
    }

    fn entry(&self, head: &Head, trace: Trace) -> Entry {
        let route = Route::of(head).ok();
        Entry {
            trace,
            method: head.method.clone(),
            route,
            path: route.is_none().then(|| (*head.path).into()),
            started: clock::instant(),
            metrics: Arc::clone(&self.metrics),
            strangers: Arc::clone(&self.strangers),
            since: self.started,
            noted: Mutex::default(),
        }
    }
}

impl Handler for Front {
    fn admit(&self, head: &Head) -> Result<Admission, Box<Response>> {
        let trace = self.trace(head);
        trace::within(trace, || {
            self.app.admit(head).inspect_err(|response| self.entry(head, trace).answered(response.status()))
        })
    }

    fn handle(&self, mut request: Request, responder: Responder) {
        let trace = self.trace(&request.head);
        let entry = self.entry(&request.head, trace);
        request.head.peer = trace.peer;
        trace::within(trace, || self.app.handle(request, responder.with_witness(Arc::new(entry))));
    }
}

impl Witness for Entry {
    fn identify(&self, caller: &Principal) {
        self.lock().caller = Some((caller.user, caller.client.clone(), caller.grant));
    }

    fn called(&self, method: &'static str, target: Option<&str>) {
        self.lock().call = Some((method, target.map(Into::into)));
    }

    fn ended(&self, outcome: CallOutcome) {
        self.lock().outcome = Some(outcome);
    }

    fn answered(&self, status: u16) {
        self.metrics.answered(self.route, status, self.started.elapsed());
        let mut noted = self.lock();
        noted.status = status;
        // An answer that comes later comes from a thread that does not work on this request, or on another.
        if trace::current() == Some(self.trace) {
            (noted.reason, noted.client) = (trace::reason(), trace::client());
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        trace::within(self.trace, || self.write());
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock()
    }

    fn write(&self) {
        let Noted { caller, client, call, outcome, reason, status } = &*self.lock();
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut fields = Vec::with_capacity(12);
        fields.extend([
            Field::Method(self.method.as_str()),
            Field::Route(self.route.map_or("none", Route::name)),
            Field::Status(*status),
            Field::Millis(millis),
        ]);
        fields.extend(self.path.as_deref().map(Field::Path));
        // What is no message of the protocol is told to its sender in a JSON-RPC error; the log says that it was that.
        let message = matches!(self.route, Some(Route::Mcp | Route::Message)) && *status == 400;
        let mut reason = reason.or(message.then_some("bad_message"));
        if let Some(CallOutcome::ProtocolError(word)) = *outcome {
            reason = Some(word);
        }
        if let Some((method, target)) = call {
            let outcome = match outcome {
                Some(CallOutcome::Ok) => "ok",
                Some(CallOutcome::ToolError) => "tool_error",
                Some(CallOutcome::Cancelled) => "cancelled",
                Some(CallOutcome::ProtocolError(_)) | None => "protocol_error",
            };
            self.metrics.called(method, outcome);
            fields.push(Field::Rpc(method));
            fields.extend(target.as_deref().map(Field::Target));
            fields.push(Field::Outcome(outcome));
        }
        if let Some(reason) = reason {
            self.metrics.refused(reason);
            fields.push(Field::Reason(reason));
        }
        let Some((user, client, grant)) = caller else {
            fields.extend(client.as_ref().map(|client| Field::Client(client.as_str())));
            // Strangers choose how often they come. The numbers count them all.
            if let Some(omitted) = self.strangers.pass("request", self.since.elapsed()) {
                fields.push(Field::Omitted(omitted));
                log::info("request", &fields);
            }
            return;
        };
        let (user, grant) = (user.to_string(), grant.to_string());
        fields.extend([Field::User(&user), Field::Client(client.as_str()), Field::Grant(&grant)]);
        log::info("request", &fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::CountedRandom;
    use crate::http::fake::request;
    use crate::metrics::Snapshot;

    /// What the application saw, by path.
    #[derive(Default)]
    struct Seen {
        traces: Mutex<Vec<(Option<Trace>, Option<std::net::IpAddr>)>>,
        held: Mutex<Vec<Responder>>,
    }

    impl Handler for Seen {
        fn admit(&self, head: &Head) -> Result<Admission, Box<Response>> {
            if &*head.path != "/healthz" {
                return Ok(Admission::up_to(0));
            }
            trace::refused("host");
            Err(Box::new(Response::new(421)))
        }

        fn handle(&self, request: Request, responder: Responder) {
            self.traces.lock().push((trace::current(), request.head.peer));
            responder.identify(&crate::base::identity::fake::principal(7));
            match &*request.head.path {
                "/mcp" => self.held.lock().push(responder),
                _ => {
                    trace::refused("no_token");
                    responder.respond(Response::new(401));
                }
            }
        }
    }

    struct Desk {
        seen: Arc<Seen>,
        front: Front,
        metrics: Arc<Metrics>,
    }

    fn desk(proxies: &str) -> Desk {
        let (seen, metrics) = (Arc::new(Seen::default()), Arc::new(Metrics::default()));
        let proxies = TrustedProxies::parse(proxies).unwrap();
        let random = CountedRandom::default();
        let front = Front::new(Arc::clone(&seen) as _, proxies, &random, Arc::clone(&metrics));
        Desk { seen, front, metrics }
    }

    impl Desk {
        /// The page has each of these lines.
        fn check(&self, lines: &[&str]) {
            let page = self.metrics.page(&Snapshot::default());
            for line in lines {
                assert!(page.lines().any(|each| each == *line), "{line} is not in\n{page}");
            }
        }
    }

    /// H10: only a proxy on this machine is looked for: of strangers, anybody can send these fields.
    #[test]
    fn a_proxy_on_this_machine_that_is_not_named_is_noticed() {
        let noticed = |proxies: &str, peer: Option<&str>, field: &str| {
            let desk = desk(proxies);
            let mut request = request("GET", "/").with(field, "198.51.100.1");
            request.head.peer = peer.map(|peer| peer.parse().unwrap());
            desk.front.handle(request, Responder::pair().0);
            desk.front.proxy_noticed.load(Ordering::Relaxed)
        };
        for field in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
            assert!(
                noticed("10.0.0.0/8", Some("127.0.0.1"), field) && noticed("127.0.0.1", Some("::1"), field)
            );
            assert!(noticed("127.0.0.1", None, field) && !noticed("unix", None, field), "{field}");
            assert!(!noticed("127.0.0.1", Some("127.0.0.1"), field), "{field}");
            assert!(!noticed("127.0.0.1", Some("192.0.2.1"), field), "{field}");
        }
        assert!(!noticed("10.0.0.0/8", Some("127.0.0.1"), "Accept"));
    }

    /// H10: the application counts and logs the client, not its proxy.
    #[test]
    fn the_application_is_told_the_clients_address_and_each_request_has_an_id_of_its_own() {
        let desk = desk("127.0.0.1");
        for hop in ["198.51.100.1", "198.51.100.2"] {
            let request = request("GET", "/").with("X-Forwarded-For", hop);
            desk.front.handle(request, Responder::pair().0);
        }
        let seen = desk.seen.traces.lock();
        let peers: Vec<_> = seen.iter().map(|(_, peer)| peer.unwrap().to_string()).collect();
        assert_eq!(peers, ["198.51.100.1", "198.51.100.2"]);
        assert!(seen.iter().all(|(trace, peer)| trace.unwrap().peer == *peer));
        assert_ne!(seen[0].0.unwrap().request, seen[1].0.unwrap().request);
        assert_eq!(trace::current(), None);
    }

    #[test]
    fn every_answer_is_counted_once_with_its_reason() {
        let desk = desk("unix");
        desk.front.handle(request("GET", "/"), Responder::pair().0);
        assert!(desk.front.admit(&request("GET", "/healthz").head).is_err());
        desk.front.admit(&request("GET", "/").head).unwrap();
        desk.check(&[
            r#"mcp_requests_total{route="home",class="4xx"} 1"#,
            r#"mcp_requests_total{route="health",class="4xx"} 1"#,
            r#"mcp_refusals_total{reason="host"} 1"#,
            r#"mcp_refusals_total{reason="no_token"} 1"#,
        ]);
    }

    #[test]
    fn a_message_that_is_none_has_a_reason() {
        let desk = desk("unix");
        desk.front.handle(request("POST", "/mcp"), Responder::pair().0);
        desk.seen.held.lock().pop().unwrap().respond(Response::new(400));
        desk.check(&[
            r#"mcp_requests_total{route="mcp",class="4xx"} 1"#,
            r#"mcp_refusals_total{reason="bad_message"} 1"#,
        ]);
    }

    #[test]
    fn an_answer_from_another_request_takes_no_reason_along() {
        let desk = desk("unix");
        desk.front.handle(request("POST", "/mcp"), Responder::pair().0);
        let held = desk.seen.held.lock().pop().unwrap();
        let other = Trace { request: trace::RequestId([9; 6]), peer: None };
        trace::within(other, || {
            trace::refused("of_the_other");
            held.respond(Response::new(200));
        });
        desk.check(&[r#"mcp_requests_total{route="mcp",class="2xx"} 1"#]);
        assert!(!desk.metrics.page(&Snapshot::default()).contains("of_the_other"));
    }
}
