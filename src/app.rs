//! The application: each request from a door, from its head to its answer. It uses no socket, and no file but the audit log, without
//! which calls may be refused. It reads a clock for the times and rates of log lines alone.
//!
//! The order of the checks (M1): Host, path and method, Origin (of API routes), then the token or form that the route needs. Probes skip
//! Host and Origin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::trace::{self, RequestIds, Trace};
use crate::base::{Held, Mutex, Quota, Random, Subject, limits};
use crate::http::{
    Admission, Blocking, Handler, Head, Method, PublicUrl, Request, Responder, Response, Ticket,
    TrustedProxies, Witness,
};
use crate::mcp::Mcp;
use crate::metrics::Metrics;
use crate::oauth::{AuthorizationServer, Endpoint, ProtectedResource, token_of};
use crate::router::{MESSAGE, NoRoute, Route, RouteKind};

mod browser_rules;
mod log_line;
mod senders;
#[cfg(test)]
mod tests;

use self::browser_rules::BrowserRules;
use self::log_line::{LogLine, RequestLog};
use self::senders::Senders;

/// The parts of an application.
pub struct AppParts<'a> {
    /// The authorization server.
    pub oauth: Arc<AuthorizationServer>,
    /// The MCP servers: one without a name, or all with one. They share one set of limits.
    pub servers: Vec<McpServer>,
    /// Their public URL.
    pub public_url: PublicUrl,
    /// Origins of web pages that may call the API besides our own.
    pub allowed_origins: Vec<String>,
    /// Whether HTTP+SSE of 2024-11-05 is served, at `/sse` and `/message`.
    pub serves_http_sse: bool,
    /// The proxies whose X-Forwarded-For is trusted.
    pub proxies: TrustedProxies,
    /// The source of the prefix of the request ids.
    pub random: &'a dyn Random,
    /// Counts the answers.
    pub metrics: Arc<Metrics>,
}

/// One MCP server: the resource that its clients log in to, and the endpoint that serves their calls.
pub struct McpServer {
    /// The resource, which has the server's name.
    pub resource: Arc<ProtectedResource>,
    /// The endpoint.
    pub mcp: Mcp,
}

/// The application behind the public door.
pub struct App {
    oauth: Arc<AuthorizationServer>,
    /// Guards the list, which SIGHUP replaces.
    servers: Mutex<Vec<Arc<McpServer>>>,
    browsers: BrowserRules,
    senders: Senders,
    ids: RequestIds,
    log: Arc<RequestLog>,
    /// Counts the messages above [`limits::UNCHECKED_BODY_BYTES`] that are being read or wait for their answer.
    large_bodies: Arc<Quota<Subject>>,
    /// Whether the server is stopping.
    closing: AtomicBool,
}

/// A decision on the head of a request.
enum Decision {
    /// The head alone determines this answer.
    Answer(Response),
    /// A body of at most `limit` bytes is read, and then the route answers. A large message takes one of its user's places.
    Read { route: Route, limit: usize, place: Option<Held<Subject>> },
}

impl App {
    /// Combines the authorization server and the MCP endpoint.
    pub fn new(parts: AppParts<'_>) -> App {
        App {
            oauth: parts.oauth,
            browsers: BrowserRules::new(
                parts.public_url,
                (parts.allowed_origins, parts.serves_http_sse),
                parts.servers.iter().all(|server| server.resource.name().is_some()),
            ),
            servers: Mutex::new(parts.servers.into_iter().map(Arc::new).collect()),
            senders: Senders { proxies: parts.proxies, proxy_noticed: AtomicBool::new(false) },
            ids: RequestIds::new(parts.random),
            log: Arc::new(RequestLog::new(parts.metrics)),
            large_bodies: Quota::per_key(limits::LARGE_BODIES_PER_USER),
            closing: AtomicBool::new(false),
        }
    }

    /// Deletes expired grants, sessions and streams. Called every [`limits::SWEEP`].
    pub fn sweep(&self) {
        self.oauth.grants.sweep();
        self.end_unserved(); // a request that was admitted before may have opened one
        for server in self.servers() {
            let mcp = &server.mcp;
            mcp.sweep();
            // T17: also ends sessions and streams that were opened while their grant was being ended.
            for grant in mcp.grants() {
                if !self.oauth.grants.is_live(&server.resource, grant) {
                    mcp.end_grant(grant, Some(&server.resource.uri));
                }
            }
        }
    }

    /// Name and URI of each server, if servers have names.
    pub fn named_servers(&self) -> Vec<(String, Arc<str>)> {
        let servers = self.servers();
        let resources = servers.iter().map(|server| &server.resource);
        resources.filter_map(|resource| Some((resource.name()?.to_owned(), resource.uri.clone()))).collect()
    }

    fn servers(&self) -> Vec<Arc<McpServer>> {
        self.servers.lock().clone()
    }

    /// Replaces the servers. Requests that were admitted before are still served by the earlier ones.
    pub fn replace_servers(&self, servers: Vec<McpServer>) {
        self.oauth.resources.replace(servers.iter().map(|server| Arc::clone(&server.resource)).collect());
        *self.servers.lock() = servers.into_iter().map(Arc::new).collect();
        self.end_unserved();
    }

    /// Ends the sessions and streams of removed servers. All servers share one table, so any of them can.
    fn end_unserved(&self) {
        let servers = self.servers();
        let served: Vec<_> = servers.iter().map(|server| Arc::clone(&server.resource.uri)).collect();
        servers.first().iter().for_each(|any| any.mcp.keep_only(&served));
    }

    /// Whether the server is not stopping and grants can be written.
    fn is_ready(&self) -> bool {
        !self.closing.load(Ordering::Relaxed) && self.oauth.grants.is_ready()
    }

    /// Ends the streams that belong to no call, for the stop of the server.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.servers().iter().for_each(|server| server.mcp.close());
    }

    /// Cancels the running calls and tells their callers.
    pub fn give_up(&self) {
        self.servers().iter().for_each(|server| server.mcp.give_up());
    }

    /// Stops the backends one after the other, each within the time `left`. Without time, all of them begin to end.
    pub fn stop_backends(&self, left: impl Fn() -> Duration) {
        self.servers().iter().for_each(|server| server.mcp.stop_backend(left()));
    }

    /// Decides on a head. Runs on the door's thread: strangers who are refused here take no worker, and nothing is stored for them.
    fn decide(
        &self,
        found: Result<Route, NoRoute>,
        server: Option<&Arc<McpServer>>,
        head: &Head,
    ) -> Decision {
        let route = match self.browsers.check(found, head) {
            Ok(route) => route,
            Err(refusal) => return Decision::Answer(*refusal),
        };
        if let Some(answer) = self.browsers.answer(route, head) {
            return Decision::Answer(answer);
        }
        let read = |limit| Decision::Read { route, limit, place: None };
        let metadata = &self.oauth.metadata;
        match (route, server) {
            (Route::Account, _) if head.method == Method::Post => read(limits::FORM_BYTES),
            (Route::Account | Route::Callback, _) => read(0),
            (Route::Health, _) => Decision::Answer(Response::text(200, "ok\n")),
            (Route::Ready, _) if self.is_ready() => Decision::Answer(Response::text(200, "ready\n")),
            (Route::Ready, _) => Decision::Answer(Response::text(503, "not ready\n")),
            (Route::Home, None) => Decision::Answer(self.oauth.resources.pages.home_of_all()),
            // The router finds no other route without a server.
            (_, None) => Decision::Answer(self.browsers.no_route(NoRoute::NotFound, head)),
            (Route::Home, Some(server)) => Decision::Answer(server.resource.home()),
            (Route::Mcp | Route::Sse | Route::Message, Some(server)) => {
                self.admit_message(server, route, head)
            }
            (Route::Authorize, Some(_)) => read(0),
            (Route::Register | Route::Consent | Route::Token | Route::Revoke, Some(_)) => {
                read(limits::FORM_BYTES)
            }
            (Route::ResourceMetadata | Route::SseMetadata, Some(server)) => {
                Decision::Answer(metadata.resource(&server.resource, head, endpoint_of(route)))
            }
            (Route::ServerMetadata, Some(server)) => Decision::Answer(metadata.server(&server.resource)),
        }
    }

    /// Determines the size limit for the body of an MCP message. A large body is only read for an authenticated caller: strangers
    /// must not fill memory.
    fn admit_message(&self, server: &McpServer, route: Route, head: &Head) -> Decision {
        let challenge = |error| Decision::Answer(server.resource.challenge(head, endpoint_of(route), error));
        if let Err(error) = token_of(head) {
            return challenge(error);
        }
        match head.method {
            Method::Head => return Decision::Answer(self.browsers.no_method(route.methods())),
            Method::Get => return Decision::Read { route, limit: 0, place: None },
            Method::Post | Method::Delete | Method::Options | Method::Other(_) => {}
        }
        let small = Decision::Read { route, limit: limits::UNCHECKED_BODY_BYTES, place: None };
        if !head.may_exceed(limits::UNCHECKED_BODY_BYTES) {
            return small;
        }
        let caller = match self.oauth.bearer.principal(&server.resource, head) {
            Ok(caller) => caller,
            Err(error) => return challenge(error),
        };
        // A few places per user: slow bodies of one user block nobody else's.
        let Some(place) = self.large_bodies.take(caller.subject) else {
            // A chunked body has no announced length, and most are small.
            if head.headers.all("content-length").next().is_none() {
                return small;
            }
            trace::refused("large_bodies");
            trace::names_caller(&caller);
            let words = "You are sending other large messages already: wait until one of them is answered.\n";
            return Decision::Answer(Response::text(429, words).header("Retry-After", "1"));
        };
        Decision::Read { route, limit: limits::MCP_BYTES, place: Some(place) }
    }

    /// The answer of the authorization server to a whole request.
    fn answer(&self, route: Route, server: Option<&McpServer>, request: &Request) -> Response {
        let (oauth, head) = (&self.oauth, &request.head);
        match (route, server.map(|server| &*server.resource)) {
            (Route::Callback, _) => oauth.callback.get(head),
            (Route::Account, _) if head.method == Method::Post => oauth.account.post(request),
            (Route::Account, _) => oauth.account.get(head),
            (Route::Register, Some(resource)) => oauth.register.post(resource, request),
            (Route::Authorize, Some(resource)) => oauth.authorize.get(resource, head),
            (Route::Consent, Some(resource)) => oauth.consent.post(resource, request),
            (Route::Token, Some(resource)) => oauth.token.post(resource, request),
            (Route::Revoke, Some(resource)) => oauth.token.post_revocation(resource, request),
            // `decide` has answered these, or a ticket calls the MCP endpoint.
            (Route::Health | Route::Ready | Route::Home | Route::Mcp | Route::Sse | Route::Message, _)
            | (Route::ServerMetadata | Route::ResourceMetadata | Route::SseMetadata, _)
            | (_, None) => self.browsers.no_route(NoRoute::NotFound, head),
        }
    }

    fn call_mcp(
        &self,
        route: Route,
        McpServer { resource, mcp }: &McpServer,
        request: Request,
        responder: Responder,
    ) -> Option<Blocking> {
        let principal = match self.oauth.bearer.principal(resource, &request.head) {
            Ok(principal) => principal,
            Err(error) => {
                responder.respond(resource.challenge(&request.head, endpoint_of(route), error));
                return None;
            }
        };
        responder.identify(&principal);
        if route == Route::Mcp {
            return mcp.handle(request, principal, responder);
        }
        let (mcp, message_path) = (mcp.clone(), format!("{}{MESSAGE}", resource.url.path()));
        Some(Box::new(move || mcp.handle_http_sse(request, principal, (responder, &message_path))))
    }
}

/// The endpoint of a server that a route is, or describes.
fn endpoint_of(route: Route) -> Endpoint {
    if matches!(route, Route::Mcp | Route::ResourceMetadata) { Endpoint::Mcp } else { Endpoint::Sse }
}

impl Handler for App {
    /// The only place for route look-up, decision, request id, common header fields and log line.
    fn admit(self: Arc<Self>, mut head: Head) -> Admission {
        head.peer = self.senders.sender(&head);
        let named = |name: Option<&str>| {
            self.servers.lock().iter().find(|server| server.resource.name() == name).map(Arc::clone)
        };
        let (found, server) = match Route::of(&head, self.browsers.path(), named) {
            Ok((route, server)) => (Ok(route), server),
            Err(error) => (Err(error), None),
        };
        let name = server.as_ref().and_then(|server| server.resource.name()).map(Arc::from);
        let trace = Trace { request: self.ids.next(), peer: head.peer, server: name };
        let line = LogLine::new(&self.log, trace.clone(), found.ok(), &head);
        let fields = self.browsers.common_fields(found.ok(), &head);
        let decision = trace::within(trace.clone(), || {
            let decision = self.decide(found, server.as_ref(), &head);
            if let Decision::Answer(response) = &decision {
                line.answered(response.status());
            }
            decision
        });
        match decision {
            Decision::Answer(response) => Admission::Answered(response.with_fields(fields)),
            Decision::Read { route, limit, place } => {
                let called = server.clone().filter(|_| route.kind() == RouteKind::Mcp);
                let passes_on = called.as_ref().is_some_and(|server| server.mcp.passes_on());
                let run = move |body, mut responder: Responder| {
                    responder.fields = fields;
                    responder.witness = Some(Arc::new(line.restarted()));
                    let request = Request { head, body };
                    let rest: Blocking = match called {
                        Some(server) => trace::within(trace.clone(), || {
                            self.call_mcp(route, &server, request, responder)
                        })?,
                        // All of it may block: the authorization server writes grants and calls GitHub.
                        None => Box::new(move || {
                            responder.respond(self.answer(route, server.as_deref(), &request))
                        }),
                    };
                    Some(Box::new(move || trace::within(trace, rest)) as Blocking)
                };
                Admission::Welcome(Ticket { limit, place: Box::new(place), passes_on, run: Box::new(run) })
            }
        }
    }
}
