//! The log line of a request, and its part in the metrics, written when its answer is complete.
//!
//! A line has method, route, status, the time to the end of the answer, address, and user and client if they are authenticated;
//! JSON-RPC method, target, outcome and size of a call; the path if there is no route. Never a query, a header or a body (L1);
//! a refused Host or Origin has a line of its own.
//! The lines of calls, and of known callers that are refused, are recorded in the audit log as well; of the latter a limited number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit;
use crate::base::log::{self, Field};
use crate::base::trace::{self, Trace};
use crate::base::{ClientFingerprint, Mutex, Principal, RateLimit, Subject, Throttle, clock, limits};
use crate::http::{CallEnding, CallNote, CallOutcome, Head, Method, Witness};
use crate::metrics::Metrics;
use crate::router::Route;

/// The state shared by all lines.
pub(super) struct RequestLog {
    metrics: Arc<Metrics>,
    /// Bounds the lines of unauthenticated requests.
    strangers: Throttle,
    /// Bounds the recorded refusals. A valid token that no rule admits, or that a thief has, must not fill a disk.
    refusals: RateLimit<Subject>,
}

/// One line, written on drop. An incomplete request leaves none.
pub(super) struct LogLine {
    log: Arc<RequestLog>,
    trace: Trace,
    method: Method,
    route: Option<Route>,
    /// The path of a request that has no route.
    path: Option<Box<str>>,
    started: Instant,
    /// Guards the facts that are learned while the request is served.
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    caller: Option<Principal>,
    /// The OAuth client that an unauthenticated request names.
    client: Option<ClientFingerprint>,
    /// The JSON-RPC method, and its target.
    call: Option<(&'static str, Option<Box<str>>)>,
    /// The target in the client's spelling, if the server's differs or it has no such target. For the audit log alone.
    asked: Option<Box<str>>,
    /// The keyed hash of the call's arguments, if the operator enabled it.
    arguments: Option<String>,
    ending: Option<CallEnding>,
    reason: Option<&'static str>,
    status: Option<u16>,
    server: Option<Arc<str>>,
}

impl RequestLog {
    pub(super) fn new(metrics: Arc<Metrics>) -> RequestLog {
        let strangers = Throttle::new(limits::LOG_STRANGERS_PER_SECOND);
        let refusals = RateLimit::new(limits::RECORDED_REFUSALS, Duration::from_secs(60));
        RequestLog { metrics, strangers, refusals }
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

    /// Restarts the clock when the route begins: the time to read the body and to wait in the queue is not counted.
    pub(super) fn restarted(mut self) -> LogLine {
        self.started = clock::instant();
        self
    }

    fn write(&self) {
        let noted = self.noted.lock();
        // The request is incomplete, so it was not answered here.
        let Some(status) = noted.status else { return };
        let mut fields = Vec::with_capacity(16);
        fields.extend([
            Field::Method(self.method.as_str()),
            Field::Route(self.route.map_or("none", Route::name)),
            Field::Status(status),
            Field::Millis(self.started.elapsed()),
        ]);
        fields.extend(self.path.as_deref().map(Field::Path));
        fields.extend(noted.server.as_deref().map(Field::Server));
        let (ending, size) = noted.ending.unzip();
        let (outcome, error) = ending.map_or(("protocol_error", None), words);
        let bytes = u64::try_from(size.unwrap_or_default()).unwrap_or(u64::MAX);
        fields.extend(noted.call_fields());
        if let Some((method, _)) = noted.call {
            self.log.metrics.called(self.trace.server.clone(), method, outcome);
            fields.extend([Field::Outcome(outcome), Field::Bytes(bytes)]);
        }
        // The JSON-RPC error gives the sender the details; the log has one reason for all malformed messages.
        let message = matches!(self.route, Some(Route::Mcp | Route::Message)) && status == 400;
        if let Some(reason) = noted.reason.or(error).or(message.then_some("bad_message")) {
            self.log.metrics.refused(reason);
            fields.push(Field::Reason(reason));
        }
        fields.extend(noted.caller_fields());
        if noted.caller.is_none() {
            fields.extend(noted.client.as_ref().map(|client| Field::Client(client.as_str())));
            // Strangers control the rate of these. The metrics count them all.
            let Some(omitted) = self.log.strangers.pass("request", clock::monotonic()) else { return };
            fields.push(Field::Omitted(omitted));
        }
        log::info("request", &fields);
        let is_call = noted.call.as_ref().is_some_and(|(method, _)| is_recorded(method));
        let is_refusal = matches!(status, 401 | 403 | 429 | 503);
        let has_room = |caller| self.log.refusals.spend_as(caller, clock::monotonic()).is_ok();
        if noted.caller.as_ref().is_some_and(|caller| is_call || (is_refusal && has_room(caller.subject))) {
            fields.extend(noted.asked.as_deref().map(Field::Asked));
            audit::record("request", &fields);
        }
    }
}

impl Noted {
    fn caller_fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.caller.iter().flat_map(|caller| {
            let client = Field::Client(caller.client.as_str());
            [Field::User(caller.subject), Field::Login(&caller.login), client, Field::Grant(caller.grant)]
        })
    }

    fn call_fields(&self) -> impl Iterator<Item = Field<'_>> {
        let rpc = self.call.as_ref().map(|(method, _)| Field::Rpc(method));
        let target = self.call.as_ref().and_then(|(_, target)| target.as_deref()).map(Field::Target);
        let arguments = self.arguments.as_deref().map(Field::Arguments);
        [rpc, target, arguments].into_iter().flatten()
    }
}

/// The log's words for the outcome and its error.
fn words(outcome: CallOutcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        CallOutcome::Ok => ("ok", None),
        CallOutcome::ToolError => ("tool_error", None),
        CallOutcome::Cancelled => ("cancelled", None),
        CallOutcome::ProtocolError(word) => ("protocol_error", Some(word)),
    }
}

/// Whether calls of this method are recorded: those on tools, prompts and resources, completions and subscriptions included.
fn is_recorded(method: &str) -> bool {
    let kind = method.split_once('/').map(|(kind, _)| kind);
    matches!(kind, Some("tools" | "prompts" | "resources" | "completion" | "subscriptions"))
}

impl Witness for LogLine {
    fn identify(&self, caller: &Principal) {
        self.noted.lock().caller = Some(caller.clone());
    }

    fn called(&self, CallNote { method, target, asked, arguments }: CallNote<'_>) -> bool {
        let arguments = arguments.and_then(audit::hash);
        let mut noted = self.noted.lock();
        noted.call = Some((method, target.map(Into::into)));
        noted.asked = asked.filter(|_| asked != target).map(Into::into);
        noted.arguments = arguments;
        let asked = noted.asked.as_deref().map(Field::Asked);
        let fields = noted.caller_fields().chain(noted.call_fields()).chain(asked);
        !is_recorded(method) || audit::begin(fields)
    }

    fn ended(&self, ending: CallEnding) {
        self.noted.lock().ending = Some(ending);
    }

    fn answered(&self, status: u16) {
        self.log.metrics.answered(self.route, status, self.started.elapsed());
        let mut noted = self.noted.lock();
        noted.status = Some(status);
        // A late answer comes from a thread that serves no request, or another one.
        let notes = trace::notes();
        if let Some(current) = notes.trace.filter(|current| current.request == self.trace.request) {
            noted.server = current.server;
            (noted.reason, noted.client) = (notes.reason, notes.client);
            noted.caller = noted.caller.take().or(notes.caller);
        }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        trace::within(self.trace.clone(), || self.write());
    }
}
