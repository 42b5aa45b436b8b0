//! The log line of a request, and its part in the metrics, written when its answer is complete.
//!
//! A line has method, route, status, the time to the end of the answer, address, and user and client if they are authenticated;
//! JSON-RPC method, target and outcome of a call; the path if there is no route. Never a query, a header or a body (L1).

use std::sync::Arc;
use std::time::Instant;

use crate::base::identity::{ClientFingerprint, Principal};
use crate::base::lock::Mutex;
use crate::base::log::{self, Field};
use crate::base::throttle::Throttle;
use crate::base::trace::{self, Trace};
use crate::base::{clock, limits};
use crate::http::{CallOutcome, Head, Method, Witness};
use crate::metrics::Metrics;
use crate::router::Route;

/// The state that all lines share.
pub(super) struct RequestLog {
    metrics: Arc<Metrics>,
    /// Bounds the lines of unauthenticated requests.
    strangers: Throttle,
    started: Instant,
}

/// One line, written on drop. A request that did not become whole leaves none.
pub(super) struct LogLine {
    log: Arc<RequestLog>,
    trace: Trace,
    method: Method,
    route: Option<Route>,
    /// The path of a request that has no route.
    path: Option<Box<str>>,
    started: Instant,
    /// Guards what is learned while the request is served.
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    caller: Option<Principal>,
    /// The OAuth client that an unauthenticated request names.
    client: Option<ClientFingerprint>,
    /// The JSON-RPC method, and its target.
    call: Option<(&'static str, Option<Box<str>>)>,
    outcome: Option<CallOutcome>,
    reason: Option<&'static str>,
    status: Option<u16>,
    server: Option<Arc<str>>,
}

impl RequestLog {
    pub(super) fn new(metrics: Arc<Metrics>) -> RequestLog {
        let strangers = Throttle::new(limits::LOG_STRANGERS_PER_SECOND);
        RequestLog { metrics, strangers, started: clock::instant() }
    }
}

impl LogLine {
    pub(super) fn new(log: &Arc<RequestLog>, trace: Trace, route: Option<Route>, head: &Head) -> LogLine {
        LogLine {
            log: Arc::clone(log),
            trace,
            method: head.method.clone(),
            route,
            path: route.is_none().then(|| (*head.path).into()),
            started: clock::instant(),
            noted: Mutex::default(),
        }
    }

    /// Restarts the clock: a worker has taken the request.
    pub(super) fn restarted(mut self) -> LogLine {
        self.started = clock::instant();
        self
    }

    fn write(&self) {
        let Noted { caller, client, call, outcome, reason, status, server } = &*self.noted.lock();
        // The request did not become whole, so it was not answered here.
        let Some(status) = *status else { return };
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut fields = Vec::with_capacity(12);
        fields.extend([
            Field::Method(self.method.as_str()),
            Field::Route(self.route.map_or("none", Route::name)),
            Field::Status(status),
            Field::Millis(millis),
        ]);
        fields.extend(self.path.as_deref().map(Field::Path));
        fields.extend(server.as_deref().map(Field::Server));
        // The JSON-RPC error tells the sender what is wrong with a message; the log has one word for all of these.
        let message = matches!(self.route, Some(Route::Mcp | Route::Message)) && status == 400;
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
            self.log.metrics.called(method, outcome);
            fields.push(Field::Rpc(method));
            fields.extend(target.as_deref().map(Field::Target));
            fields.push(Field::Outcome(outcome));
        }
        if let Some(reason) = reason {
            self.log.metrics.refused(reason);
            fields.push(Field::Reason(reason));
        }
        let client = caller.as_ref().map(|caller| &caller.client).or(client.as_ref());
        fields.extend(caller.as_ref().map(|caller| Field::User(caller.subject)));
        fields.extend(client.map(|client| Field::Client(client.as_str())));
        fields.extend(caller.as_ref().map(|caller| Field::Grant(caller.grant)));
        if caller.is_none() {
            // Strangers choose how often they come. The metrics count them all.
            let told = self.log.strangers.pass("request", self.log.started.elapsed());
            let Some(omitted) = told else { return };
            fields.push(Field::Omitted(omitted));
        }
        log::info("request", &fields);
    }
}

impl Witness for LogLine {
    fn identify(&self, caller: &Principal) {
        self.noted.lock().caller = Some(caller.clone());
    }

    fn called(&self, method: &'static str, target: Option<&str>) {
        self.noted.lock().call = Some((method, target.map(Into::into)));
    }

    fn ended(&self, outcome: CallOutcome) {
        self.noted.lock().outcome = Some(outcome);
    }

    fn answered(&self, status: u16) {
        self.log.metrics.answered(self.route, status, self.started.elapsed());
        let mut noted = self.noted.lock();
        noted.status = Some(status);
        // A late answer comes from a thread that works on no request, or on another.
        if let Some(current) = trace::current().filter(|current| current.request == self.trace.request) {
            noted.server = current.server;
            (noted.reason, noted.client) = (trace::reason(), trace::client());
        }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        trace::within(self.trace.clone(), || self.write());
    }
}
