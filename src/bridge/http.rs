//! Streamable HTTP as a transport: each message is a POST, the answer is JSON or an event stream, and a GET stream brings
//! messages that the upstream sends unasked.
//!
//! Threads of a session: `bridge-upstream` takes messages in order and owns the deadlines; it ends when [`Http`] is told to end or
//! the receiver's patience has run out. `bridge-request`, one for each running request, ends with its exchange. `bridge-listen` reads the
//! GET stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{RecvTimeoutError, Sender, TrySendError, bounded};
use ureq::http::{HeaderValue, Response, StatusCode};
use ureq::{Agent, Body, RequestBuilder};

use super::message::{self, OutgoingMessage};
use super::transport::{Launcher, Receiver, Transport, Undelivered};
use super::upstream::Upstream;
use super::upstream_answer::{answer, error_body, read};
use super::upstream_error::UpstreamError;
use super::upstream_exchanges::OpenExchanges;
use crate::base::{Mutex, Principal, Quota, clock, limits, log};
use crate::mcp::{self, Members};

/// Keys of exchanges that are not requests; requests use their ids, which begin at 1.
const LISTENING: u64 = 0;
const NOTIFYING: u64 = u64::MAX;

/// The end of a session that was ended here.
const SESSION_ENDED: &str = "its session was ended";

/// Starts sessions at an upstream.
pub(super) struct UpstreamLauncher(pub(super) Arc<Upstream>);

impl Launcher for UpstreamLauncher {
    fn mirrors_era(&self) -> bool {
        true
    }

    fn launch(&self, person: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>> {
        let (sender, queue) = bounded(limits::bridge::MESSAGES);
        let open = Arc::new(OpenExchanges::default());
        let renewal = Quota::new((1, 1)).waiting((limits::bridge::REQUESTS, limits::bridge::REQUESTS));
        let session = Arc::new(HttpSession {
            upstream: Arc::clone(&self.0),
            person: Principal { session: None, ..person.clone() }, // it may outlive the client's session
            receiver,
            open: Arc::clone(&open),
            renewal: Arc::new(renewal),
            listeners: AtomicU64::new(0),
            state: Mutex::default(),
        });
        start("bridge-upstream", session, move |session| session.run(&queue))?;
        Ok(Arc::new(Http { queue: Mutex::new(Some(sender)), open }))
    }
}

/// The outcome of an exchange.
type Exchanged<T> = Result<T, UpstreamError>;

/// A session at an upstream. Dropped, it is ended.
struct Http {
    /// Guards the queue to the session's thread; taken when the session is to end.
    queue: Mutex<Option<Sender<OutgoingMessage>>>,
    open: Arc<OpenExchanges>,
}

impl Transport for Http {
    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        let queue = self.queue.lock();
        let queue = queue.as_ref().ok_or(Undelivered::Ended)?;
        // Updates of interests, and answers to the upstream's questions, may be delayed, but are queued in order with everything else.
        // Without this limit, a client that repeats its updates, or an upstream that asks without end, would keep calls out.
        let can_wait = message.request.is_none() && !message.method.starts_with("notifications/");
        let queue = Some(queue).filter(|queue| !can_wait || queue.len() < limits::bridge::PASSED.0);
        queue.ok_or(Undelivered::Full)?.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Undelivered::Full,
            TrySendError::Disconnected(_) => Undelivered::Ended,
        })
    }

    fn end(&self) {
        self.queue.lock().take();
        self.open.close();
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts one of the threads named in the module comment.
fn start(
    name: &str,
    session: Arc<HttpSession>,
    work: impl FnOnce(&Arc<HttpSession>) + Send + 'static,
) -> io::Result<()> {
    let session = EndOnPanic(session);
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(limits::bridge::STACK_BYTES);
    thread.spawn(move || work(&session.0)).map(drop)
}

/// Ends a session whose thread panics, so that callers do not wait for answers.
struct EndOnPanic(Arc<HttpSession>);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.open.close();
            self.0.receiver.ended(SESSION_ENDED);
        }
    }
}

/// State shared by the threads of a session.
struct HttpSession {
    upstream: Arc<Upstream>,
    person: Principal,
    receiver: Arc<dyn Receiver>,
    open: Arc<OpenExchanges>,
    /// One renewal at a time.
    renewal: Arc<Quota<()>>,
    /// The number of times that the GET stream was started: only the latest thread goes on reading.
    listeners: AtomicU64,
    /// Guards the negotiated session state.
    state: Mutex<SessionState>,
}

#[derive(Clone, Default)]
struct SessionState {
    /// `Mcp-Session-Id`.
    id: Option<HeaderValue>,
    /// The version that `initialize` negotiated; `None` in 2026-07-28, where each message carries its own.
    version: Option<String>,
    /// The request that started the session, for the next one, and when it was last sent.
    initialize: Option<(Arc<OutgoingMessage>, Instant)>,
}

impl HttpSession {
    fn run(self: &Arc<HttpSession>, queue: &crossbeam_channel::Receiver<OutgoingMessage>) {
        loop {
            match queue.recv_timeout(self.receiver.patience()) {
                Ok(message) => self.dispatch(message),
                Err(RecvTimeoutError::Timeout) if self.receiver.patience().is_zero() => {
                    self.receiver.ending();
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.open.close();
        self.delete(&self.state.lock().clone());
        self.receiver.ended(SESSION_ENDED);
    }

    /// Sends a message. Requests get a thread; other messages are sent on this one, so that they arrive in order.
    fn dispatch(self: &Arc<HttpSession>, message: OutgoingMessage) {
        let Some(id) = message.request else { return self.notify(&message) };
        let agent = self.upstream.agent(message.deadline());
        if !self.open.add(id, &agent) {
            return; // the end of the session answers all waiting requesters
        }
        let message = Arc::new(message);
        let sent = Arc::clone(&message);
        let work = move |session: &Arc<HttpSession>| {
            let result = session.ask(&sent, id, &agent);
            if session.open.remove(id)
                && let Err(error) = result
            {
                session.fail(&sent, id, &error);
            }
        };
        if start("bridge-request", Arc::clone(self), work).is_err() && self.open.remove(id) {
            let error = UpstreamError::Unusable("there is no thread for it: try again in a moment".into());
            self.fail(&message, id, &error);
        }
    }

    /// Sends a notification or an answer.
    fn notify(self: &Arc<HttpSession>, message: &OutgoingMessage) {
        // In 2026-07-28 the end of its stream cancels a request (transports, "Cancellation").
        if let Some(cancelled) = message.cancels()
            && self.state.lock().version.is_none()
        {
            return self.open.interrupt(cancelled);
        }
        let agent = self.upstream.agent(limits::bridge::NOTIFY);
        if !self.open.add(NOTIFYING, &agent) {
            return;
        }
        let sent = self.post(&agent, message);
        if self.open.remove(NOTIFYING)
            && let Err(error) = &sent
        {
            self.log(error);
        }
        if let Some(cancelled) = message.cancels() {
            self.open.interrupt(cancelled);
        }
        if sent.is_ok() && message.method == "notifications/initialized" {
            self.start_listening();
        }
        // Each answer takes a connection of its own: an upstream that asks without end would keep a thread busy all the time.
        if message.method.is_empty() {
            self.open.closed.wait(limits::bridge::READ_PACE);
        }
    }

    /// Sends a request and reads until its answer, in a new session if the upstream does not know this one any more.
    fn ask(self: &Arc<HttpSession>, message: &OutgoingMessage, id: u64, agent: &Agent) -> Exchanged<()> {
        // A running renewal comes first: a new session accepts no request before `notifications/initialized`.
        drop(self.renewal.wait((), limits::bridge::START));
        let session = self.state.lock().id.clone();
        match self.ask_once(message, id, agent) {
            Err(UpstreamError::SessionLost) => {
                self.renew(session.as_ref(), agent)?;
                self.ask_once(message, id, agent)
            }
            other => other,
        }
    }

    fn ask_once(&self, message: &OutgoingMessage, id: u64, agent: &Agent) -> Exchanged<()> {
        let deadline = clock::instant() + limits::CALL;
        let response = self.post(agent, message)?;
        self.receiver.reached();
        let Some(mut response) = response else { return Ok(()) };
        if message.is_initialize() {
            let mut state = self.state.lock();
            state.id = response.headers().get("mcp-session-id").cloned();
            state.initialize = Some((Arc::new(message.clone()), clock::instant()));
        }
        while let Some(end) = read(response, &self.open.closed, &mut |text| self.take(message, id, text))? {
            // The stream can be resumed if its events have ids (2025-11-25, transports, "Resumability").
            let last_id =
                end.last_id.filter(|_| clock::instant() < deadline).ok_or(UpstreamError::NO_ANSWER)?;
            self.open.closed.wait(end.retry);
            response = self.stream(agent, Some(&last_id))?;
        }
        Ok(())
    }

    /// Passes a message to the receiver; returns whether it is the answer to this request.
    fn take(&self, message: &OutgoingMessage, id: u64, text: &str) -> bool {
        let answer = answer(text, id);
        if let Some(answer) = answer.filter(|_| message.is_initialize()) {
            let version = answer.ok().and_then(|result| message::member(result, "protocolVersion"));
            self.state.lock().version = version;
        }
        self.receiver.receive(text);
        answer.is_some()
    }

    /// Starts a new session unless another request has done so. The upstream's process may have been replaced.
    fn renew(self: &Arc<HttpSession>, lost: Option<&HeaderValue>, agent: &Agent) -> Exchanged<()> {
        let _turn = self.renewal.wait((), limits::bridge::START).ok_or(UpstreamError::SessionLost)?;
        let replaced = self.state.lock().clone();
        if replaced.id.as_ref() != lost {
            return Ok(());
        }
        let (initialize, begun) = replaced.initialize.clone().ok_or(UpstreamError::SessionLost)?;
        // Clients are told of each renewal and may read the lists again, in which an upstream may lose the session again.
        self.open.closed.wait(limits::bridge::PAUSE.saturating_sub(begun.elapsed()));
        // The peer drops the answer, because nobody waits for it.
        self.ask_once(&initialize, initialize.request.unwrap_or_default(), agent)?;
        // Status 400 may have had another cause: then the old session is still alive.
        if self.state.lock().id != replaced.id {
            self.delete(&replaced);
        }
        let initialized = message::notification("notifications/initialized", Members::default());
        self.post(agent, &initialized)?;
        self.start_listening();
        self.receiver.renewed();
        Ok(())
    }

    /// Reads the GET stream in a thread of its own, in place of an earlier one.
    fn start_listening(self: &Arc<HttpSession>) {
        let number = self.listeners.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        // Without it, messages outside of calls are not received; the stream is optional for upstreams anyway.
        let _ = start("bridge-listen", Arc::clone(self), move |session| session.listen(number));
    }

    fn listen(&self, number: u64) {
        let (mut last_id, mut pause) = (None, limits::bridge::PAUSE);
        while self.listeners.load(Ordering::SeqCst) == number {
            let begun = clock::instant();
            let agent = self.upstream.agent(limits::CALL);
            if !self.open.add(LISTENING, &agent) {
                return;
            }
            let take = &mut |text: &str| {
                self.receiver.receive(text);
                false
            };
            let longer = pause.saturating_mul(2).min(limits::bridge::PAUSE_MAX);
            let response = self.stream(&agent, last_id.as_deref());
            let kind =
                response.as_ref().ok().and_then(|response| response.headers().get("content-type").cloned());
            match response.and_then(|response| read(response, &self.open.closed, take)) {
                Ok(Some(end)) => {
                    let is_steady = begun.elapsed() >= limits::bridge::STEADY;
                    pause = if is_steady { end.retry } else { end.retry.max(longer) };
                    last_id = end.last_id.or(last_id);
                }
                Err(UpstreamError::Unreachable(_)) => pause = longer,
                Err(error) if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) => {
                    self.log(&error);
                    pause = longer;
                }
                Ok(None) | Err(_) => return, // it offers no such stream
            }
            self.open.closed.wait(pause);
        }
    }

    /// Sends a message. Returns the response with its body unread; `None` if it was a JSON-RPC error, which is passed to the receiver.
    fn post(&self, agent: &Agent, message: &OutgoingMessage) -> Exchanged<Option<Response<Body>>> {
        let mut state = self.state.lock().clone();
        if message.is_initialize() {
            (state.id, state.version) = (None, None);
        }
        let mut request = agent.post(self.upstream.url.as_str()).header("Content-Type", "application/json");
        for (name, value) in message.headers() {
            request = request.header(name, value);
        }
        let request = self.with_headers(request, &state, "application/json, text/event-stream")?;
        let response = request.send(&message.text)?;
        if response.status().is_success() {
            return Ok(Some(response));
        }
        let status = response.status();
        let body = error_body(response);
        let is_answer = message.request.is_some_and(|id| answer(&body, id).is_some());
        // 404 means that the session is over. Some servers answer 400, and have not processed the message either.
        let is_lost = status == StatusCode::NOT_FOUND || (status == StatusCode::BAD_REQUEST && !is_answer);
        if state.id.is_some() && is_lost {
            return Err(UpstreamError::SessionLost);
        }
        let error = UpstreamError::of_status(status, &body);
        // To the bridge itself, a JSON-RPC error with the status of a failure is that failure.
        if !is_answer || (message.is_ours() && matches!(error, UpstreamError::Unusable(_))) {
            return Err(error);
        }
        self.receiver.receive(&body);
        Ok(None)
    }

    /// Opens the GET stream, or resumes a stream.
    fn stream(&self, agent: &Agent, last_id: Option<&str>) -> Exchanged<Response<Body>> {
        let state = self.state.lock().clone();
        let mut request = agent.get(self.upstream.url.as_str());
        if let Some(last_id) = last_id {
            request = request.header("Last-Event-ID", last_id.as_bytes());
        }
        let response = self.with_headers(request, &state, "text/event-stream")?.call()?;
        match response.status().as_u16() {
            200..=299 => Ok(response),
            // Of a proxy while its upstream restarts.
            code @ (429 | 502..=504) => Err(ureq::Error::StatusCode(code).into()),
            _ => Err(UpstreamError::of_status(response.status(), "")),
        }
    }

    /// Ends a session at the upstream, whose answer is ignored.
    fn delete(&self, state: &SessionState) {
        if state.id.is_some() {
            let request = self.upstream.agent(limits::bridge::CLOSE).delete(self.upstream.url.as_str());
            let _ = self.with_headers(request, state, "application/json").map(RequestBuilder::call);
        }
    }

    fn with_headers<B>(
        &self,
        mut request: RequestBuilder<B>,
        state: &SessionState,
        accept: &str,
    ) -> Exchanged<RequestBuilder<B>> {
        request = request.header("Accept", accept);
        if let Some(id) = &state.id {
            request = request.header("Mcp-Session-Id", id);
        }
        if let Some(version) = &state.version {
            request = request.header("MCP-Protocol-Version", version);
        }
        self.upstream.add_headers(request, &self.person)
    }

    /// Answers a request on behalf of the upstream.
    fn fail(&self, message: &OutgoingMessage, id: u64, error: &UpstreamError) {
        if !message.may_fail() {
            self.log(error);
        }
        // The instance's failure to start names the server, and is counted.
        let text = if message.is_ours() {
            error.to_string()
        } else {
            self.receiver.failed(&error.to_string());
            format!("The server {:?} did not answer: {error}", self.upstream.server)
        };
        let is_refusal = message.is_ours() && matches!(error, UpstreamError::Refused(_));
        let code = if is_refusal { mcp::Error::INVALID_REQUEST } else { mcp::Error::INTERNAL };
        let error = mcp::Error::new(code, text);
        self.receiver.receive(&message::answer(id, Err::<(), _>(&error)).text);
    }

    fn log(&self, error: &UpstreamError) {
        let Some(omitted) = self.upstream.log_limit.pass("failed", clock::monotonic()) else { return };
        let text = error.to_string();
        let server = log::Field::Server(&self.upstream.server);
        log::warn("upstream.failed", &[server, log::Field::Error(&text), log::Field::Omitted(omitted)]);
    }
}

#[cfg(test)]
mod tests;
