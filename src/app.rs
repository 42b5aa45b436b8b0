//! The application: each request that came through a door, from its head to its answer. It uses no socket, clock or disk.
//!
//! The order of the checks (M1): Host, Origin, path and method, then the token or form that the route needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::identity::UserId;
use crate::base::limits;
use crate::base::quota::{Held, Quota};
use crate::base::random::Random;
use crate::base::trace::{self, RequestIds, Trace};
use crate::http::{
    Admission, Blocking, Handler, Head, Method, PublicUrl, Request, Responder, Response, Ticket,
    TrustedProxies, Witness,
};
use crate::mcp::Mcp;
use crate::metrics::Metrics;
use crate::oauth::{AuthorizationServer, Endpoint, LiveGrants, token_of};
use crate::router::{MESSAGE, NoRoute, Route};

mod browser_rules;
mod log_line;
mod senders;
#[cfg(test)]
mod tests;

use self::browser_rules::{BrowserRules, plain};
use self::log_line::{LogLine, RequestLog};
use self::senders::Senders;

/// The parts of an application.
pub struct AppParts<'a> {
    /// The authorization server.
    pub oauth: AuthorizationServer,
    /// The MCP half.
    pub mcp: Mcp,
    /// Where clients reach the server.
    pub public_url: PublicUrl,
    /// Origins of web pages that may call the API besides our own.
    pub allowed_origins: Vec<String>,
    /// Whether HTTP+SSE of 2024-11-05 is served, at `/sse` and `/message`.
    pub serves_http_sse: bool,
    /// The proxies whose X-Forwarded-For is believed.
    pub proxies: TrustedProxies,
    /// The start of the request ids.
    pub random: &'a dyn Random,
    /// Counts the answers.
    pub metrics: Arc<Metrics>,
}

/// The application behind the public door.
pub struct App {
    oauth: AuthorizationServer,
    mcp: Mcp,
    browsers: BrowserRules,
    senders: Senders,
    ids: RequestIds,
    log: Arc<RequestLog>,
    /// Messages above [`limits::UNCHECKED_BODY_BYTES`] that are read or wait for their answer.
    large_bodies: Arc<Quota<UserId>>,
    /// Whether the server stops.
    closing: AtomicBool,
}

/// A decision on the head of a request.
enum Decision {
    /// The head alone decides.
    Answer(Response),
    /// A body of at most `limit` bytes is read, and `then` runs. A large message takes one of its user's places.
    Read { limit: usize, place: Option<Held<UserId>>, then: Continuation },
}

/// What answers a whole request.
#[derive(Clone, Copy)]
enum Continuation {
    OAuth(OAuthAnswer),
    Mcp(Endpoint),
}

type OAuthAnswer = fn(&AuthorizationServer, &Request) -> Response;

impl App {
    /// Combines the authorization server and the MCP endpoint.
    pub fn new(parts: AppParts<'_>) -> App {
        App {
            oauth: parts.oauth,
            mcp: parts.mcp,
            browsers: BrowserRules::new(parts.public_url, parts.allowed_origins, parts.serves_http_sse),
            senders: Senders { proxies: parts.proxies, proxy_noticed: AtomicBool::new(false) },
            ids: RequestIds::new(parts.random),
            log: Arc::new(RequestLog::new(parts.metrics)),
            large_bodies: Quota::per_key(limits::LARGE_BODIES_PER_USER),
            closing: AtomicBool::new(false),
        }
    }

    /// Ends what has expired. Called every [`limits::SWEEP`].
    pub fn sweep(&self) {
        self.oauth.grants.sweep();
        self.mcp.sweep();
        // T17: a session or stream that was opened while its grant was being ended goes with it after all.
        for grant in self.mcp.grants() {
            if !self.oauth.grants.is_live(grant) {
                self.mcp.end_grant(grant);
            }
        }
    }

    /// The grants, for the operator.
    pub fn grants(&self) -> &LiveGrants {
        &self.oauth.grants
    }

    /// Whether the server is not stopping and grants can be written.
    fn is_ready(&self) -> bool {
        !self.closing.load(Ordering::Relaxed) && self.oauth.grants.is_ready()
    }

    /// Ends the streams that belong to no call, because the server stops.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.mcp.close();
    }

    /// Cancels the running calls and tells their callers.
    pub fn give_up(&self) {
        self.mcp.give_up();
    }

    /// Ends what the backend runs, and waits for that up to `patience`.
    pub fn stop_backend(&self, patience: Duration) {
        self.mcp.stop_backend(patience);
    }

    /// Decides on a head. Runs on the door's thread: strangers who are refused here take no worker, and nothing is stored for them.
    fn decide(&self, found: Result<Route, NoRoute>, head: &Head) -> Decision {
        let route = match self.browsers.check(found, head) {
            Ok(route) => route,
            Err(refusal) => return Decision::Answer(*refusal),
        };
        if let Some(answer) = self.browsers.answer(route, head) {
            return Decision::Answer(answer);
        }
        let read = |limit, answer| Decision::Read { limit, place: None, then: Continuation::OAuth(answer) };
        let form = |answer: OAuthAnswer| read(limits::FORM_BYTES, answer);
        let page = |answer: OAuthAnswer| read(0, answer);
        match route {
            Route::Mcp | Route::Sse | Route::Message => self.admit_message(route, head),
            Route::Register => form(|oauth, request| oauth.register.post(request)),
            Route::Authorize => page(|oauth, request| oauth.authorize.get(&request.head)),
            Route::Consent => form(|oauth, request| oauth.consent.post(request)),
            Route::Callback => page(|oauth, request| oauth.callback.get(&request.head)),
            Route::Token => form(|oauth, request| oauth.token.post(request)),
            Route::Revoke => form(|oauth, request| oauth.token.post_revocation(request)),
            Route::Account if head.method == Method::Post => {
                form(|oauth, request| oauth.account.post(request))
            }
            Route::Account => page(|oauth, request| oauth.account.get(&request.head)),
            Route::Home => Decision::Answer(self.oauth.resource.home()),
            Route::Health => Decision::Answer(plain(200, "ok\n")),
            Route::Ready if self.is_ready() => Decision::Answer(plain(200, "ready\n")),
            Route::Ready => Decision::Answer(plain(503, "not ready\n")),
            Route::ResourceMetadata => Decision::Answer(self.oauth.metadata.resource(head, Endpoint::Mcp)),
            Route::SseMetadata => Decision::Answer(self.oauth.metadata.resource(head, Endpoint::Sse)),
            Route::ServerMetadata => Decision::Answer(self.oauth.metadata.server()),
        }
    }

    /// Decides how much body of an MCP message is read. A large body is only read for an authenticated caller: strangers
    /// must not fill memory.
    fn admit_message(&self, route: Route, head: &Head) -> Decision {
        let endpoint = if route == Route::Mcp { Endpoint::Mcp } else { Endpoint::Sse };
        let then = Continuation::Mcp(endpoint);
        let challenge = |error| Decision::Answer(self.oauth.resource.challenge(head, endpoint, error));
        if let Err(error) = token_of(head) {
            return challenge(error);
        }
        match head.method {
            Method::Head => return Decision::Answer(self.browsers.no_method(route.methods())),
            Method::Get => return Decision::Read { limit: 0, place: None, then },
            Method::Post | Method::Delete | Method::Options | Method::Other(_) => {}
        }
        if !head.may_exceed(limits::UNCHECKED_BODY_BYTES) {
            return Decision::Read { limit: limits::UNCHECKED_BODY_BYTES, place: None, then };
        }
        let caller = match self.oauth.bearer.principal(head) {
            Ok(caller) => caller,
            Err(error) => return challenge(error),
        };
        // A few places per user: slow bodies of one user block nobody else's.
        let Some(place) = self.large_bodies.take(caller.user) else {
            trace::refused("large_bodies");
            let words = "You are sending other large messages already: wait until one of them is answered.\n";
            return Decision::Answer(plain(429, words).header("Retry-After", "1"));
        };
        Decision::Read { limit: limits::MCP_BYTES, place: Some(place), then }
    }

    /// Serves a whole request. Returns the part that may block: all of what the authorization server does, which writes grants
    /// and calls GitHub.
    fn run(self: Arc<Self>, then: Continuation, request: Request, responder: Responder) -> Option<Blocking> {
        match then {
            Continuation::OAuth(answer) => {
                Some(Box::new(move || responder.respond(answer(&self.oauth, &request))))
            }
            Continuation::Mcp(endpoint) => self.call_mcp(endpoint, request, responder),
        }
    }

    fn call_mcp(&self, endpoint: Endpoint, request: Request, responder: Responder) -> Option<Blocking> {
        let principal = match self.oauth.bearer.principal(&request.head) {
            Ok(principal) => principal,
            Err(error) => {
                responder.respond(self.oauth.resource.challenge(&request.head, endpoint, error));
                return None;
            }
        };
        responder.identify(&principal);
        if endpoint == Endpoint::Mcp {
            return self.mcp.handle(request, principal, responder);
        }
        let mcp = self.mcp.clone();
        Some(Box::new(move || mcp.handle_http_sse(request, principal, (responder, MESSAGE))))
    }
}

impl Handler for App {
    /// The one place for route look-up, decision, request id, common header fields and log line.
    fn admit(self: Arc<Self>, mut head: Head) -> Admission {
        head.peer = self.senders.sender(&head);
        let trace = Trace { request: self.ids.next(), peer: head.peer };
        let found = Route::of(&head);
        let line = LogLine::new(&self.log, trace, found.ok(), &head);
        let fields = self.browsers.common_fields(found.ok(), &head);
        let decision = trace::within(trace, || {
            let decision = self.decide(found, &head);
            if let Decision::Answer(response) = &decision {
                line.answered(response.status());
            }
            decision
        });
        match decision {
            Decision::Answer(response) => Admission::Answered(response.with_fields(fields)),
            Decision::Read { limit, place, then } => {
                let run = move |body, responder: Responder| {
                    let responder = responder.with_fields(fields).with_witness(Arc::new(line.restarted()));
                    let rest = trace::within(trace, || self.run(then, Request { head, body }, responder))?;
                    Some(Box::new(move || trace::within(trace, rest)) as Blocking)
                };
                Admission::Welcome(Ticket::new(limit, run).holding(place))
            }
        }
    }
}
