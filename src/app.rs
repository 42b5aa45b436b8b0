//! The application: every request that came through a door, from its head to its answer. No socket, clock or disk in here.
//!
//! The checks come in this order (M1): Host, Origin, path and method, then what the route itself asks for.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::base::identity::{GrantId, UserId};
use crate::base::quota::Quota;
use crate::base::throttle::Throttle;
use crate::base::{clock, limits, log, trace};
use crate::http::{Admission, Field, Handler, Head, Method, PublicUrl, Request, Responder, Response};
use crate::mcp::Mcp;
use crate::oauth::{AuthorizationServer, Endpoint, Rules, token_of};
use crate::router::{MESSAGE, NoRoute, Route};
use crate::store;

/// What a browser may send to the API from a page of another origin, and read of the answer.
const CORS_METHODS: &str = "GET, POST, DELETE";
const CORS_REQUEST_HEADERS: &str = "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, \
                                    Mcp-Protocol-Version, Mcp-Method, Mcp-Name";
const CORS_RESPONSE_HEADERS: &str = "Mcp-Session-Id, WWW-Authenticate";

/// Everything behind the doors.
pub struct App {
    oauth: AuthorizationServer,
    mcp: Mcp,
    public_url: PublicUrl,
    /// Origins of web pages that may call the API, as browsers write them.
    allowed_origins: Vec<String>,
    /// Whether HTTP+SSE (2024-11-05) is served.
    serves_http_sse: bool,
    /// Messages above [`limits::UNCHECKED_BODY_BYTES`] that are read or wait for their answer.
    large_bodies: Arc<Quota<UserId>>,
    /// What the log has been told of refusals since the start.
    refusals: Throttle,
    started: Instant,
    /// Whether the server stops.
    closing: AtomicBool,
}

/// What is to be done for a request whose head alone does not decide the answer.
#[derive(Clone, Copy)]
enum Work {
    Mcp(Endpoint),
    Register,
    Authorize,
    Consent,
    Callback,
    Token,
    Revoke,
    Account,
}

impl App {
    /// Puts the two halves together. `allowed_origins` are those of web pages that may call the API, besides our own.
    pub fn new(
        oauth: AuthorizationServer,
        mcp: Mcp,
        public_url: PublicUrl,
        allowed_origins: Vec<String>,
    ) -> App {
        let large_bodies = Quota::per_key(limits::LARGE_BODIES_PER_USER);
        let (refusals, started) = (Throttle::new(1), clock::instant());
        let serves_http_sse = false;
        App {
            oauth,
            mcp,
            public_url,
            allowed_origins,
            serves_http_sse,
            large_bodies,
            refusals,
            started,
            closing: AtomicBool::new(false),
        }
    }

    /// The same with HTTP+SSE (2024-11-05), at `/sse` and `/message`.
    pub fn with_http_sse(mut self) -> App {
        self.serves_http_sse = true;
        self
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

    /// Ends a grant at the operator's word, with its sessions and streams; says whether there was one.
    ///
    /// # Errors
    /// [`store::Error`] if that is not durable yet.
    pub fn end_grant(&self, id: GrantId) -> Result<bool, store::Error> {
        self.oauth.grants.end(id, "operator")
    }

    /// The same for grants that cannot be looked up now; says whether that is remembered.
    pub fn end_later(&self, picks: store::Picks) -> bool {
        self.oauth.grants.end_later(None, "operator", picks)
    }

    /// Has other rules hold from now on; says whether they are others.
    pub fn change_rules(&self, rules: Rules) -> bool {
        self.oauth.grants.change_rules(rules)
    }

    /// Whether it can serve: it is not stopping, and what it grants can be written.
    fn is_ready(&self) -> bool {
        !self.closing.load(Ordering::Relaxed) && self.oauth.grants.is_ready()
    }

    /// Ends the streams that belong to no call, for a server that stops.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.mcp.close();
    }

    /// Cancels the calls that still run; their callers are told.
    pub fn give_up(&self) {
        self.mcp.give_up();
    }

    /// What is to be done for a request; or its answer, if the head alone decides that: a refusal, a document that is always
    /// the same, the challenge to whoever brings no token. Quick, because it runs on the door's thread: strangers who
    /// get no further take no worker, and nothing of theirs is kept.
    fn decide(&self, head: &Head) -> Result<Work, Box<Response>> {
        let route = self.route(head)?;
        if head.method == Method::Options {
            return Err(Box::new(preflight(head)));
        }
        if let Some(elsewhere) = self.elsewhere(route, head) {
            return Err(Box::new(elsewhere));
        }
        let endpoint = match route {
            Route::Mcp => Endpoint::Mcp,
            Route::Sse | Route::Message => Endpoint::Sse,
            Route::Register => return Ok(Work::Register),
            Route::Authorize => return Ok(Work::Authorize),
            Route::Consent => return Ok(Work::Consent),
            Route::Callback => return Ok(Work::Callback),
            Route::Account => return Ok(Work::Account),
            Route::Token => return Ok(Work::Token),
            Route::Revoke => return Ok(Work::Revoke),
            Route::Home => return Err(Box::new(self.oauth.resource.home())),
            Route::Health => return Err(plain(200, "ok\n")),
            Route::Ready if self.is_ready() => return Err(plain(200, "ready\n")),
            Route::Ready => return Err(plain(503, "not ready\n")),
            Route::ResourceMetadata => {
                return Err(Box::new(self.oauth.metadata.resource(head, Endpoint::Mcp)));
            }
            Route::SseMetadata => return Err(Box::new(self.oauth.metadata.resource(head, Endpoint::Sse))),
            Route::ServerMetadata => return Err(Box::new(self.oauth.metadata.server())),
        };
        match token_of(head) {
            Err(error) => Err(Box::new(self.oauth.resource.challenge(head, endpoint, error))),
            Ok(_) if head.method == Method::Head => Err(self.no_method(route.methods())),
            Ok(_) => Ok(Work::Mcp(endpoint)),
        }
    }

    /// A page that was asked for by another name of loopback is shown under the configured one: a login's cookie and
    /// forms are good there only.
    fn elsewhere(&self, route: Route, head: &Head) -> Option<Response> {
        let is_page =
            !route.is_api() && !route.is_probe() && matches!(head.method, Method::Get | Method::Head);
        if !is_page || *self.public_url.as_named_by(head) == self.public_url {
            return None;
        }
        let query = head.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let location = self.public_url.join(&head.path) + &query;
        Some(Response::new(303).header("Location", location).header("Cache-Control", "no-store"))
    }

    /// The checks that every request passes (M2).
    fn route(&self, head: &Head) -> Result<Route, Box<Response>> {
        let route = Route::of(head);
        // A2: a probe knows the server by its address, or by no name at all; its answer is the same for everybody.
        if let Ok(probe) = route
            && probe.is_probe()
        {
            return Ok(probe);
        }
        // M2: a page whose host name was pointed at us (DNS rebinding) says so in its Host field.
        let host = head.headers.one("host").ok().flatten().unwrap_or_default();
        if !self.public_url.accepts_host(host) {
            trace::refused("host");
            self.log_refused("host", host, "if this is your host, set MCP_PUBLIC_URL to it");
            return Err(plain(421, format!("This server is reached at {} only.\n", self.public_url)));
        }
        let route = match route {
            Ok(route) if route.is_http_sse() && !self.serves_http_sse => Err(NoRoute::NotFound),
            found => found,
        };
        let route = route.map_err(|error| match error {
            NoRoute::NotFound if is_public(head) && head.method == Method::Options => {
                Box::new(preflight(head))
            }
            NoRoute::NotFound => {
                trace::refused("not_found");
                let endpoint = self.public_url.join("/mcp");
                plain(404, format!("Nothing is here. The MCP endpoint is {endpoint}\n"))
            }
            NoRoute::MethodNotAllowed(allow) => {
                trace::refused("method_not_allowed");
                self.no_method(allow)
            }
        });
        // M2: the API is not for pages of other origins. The consent form checks its Origin itself, and shows a page.
        let guarded = route.as_ref().is_ok_and(|route| route.is_api()) && !is_public(head);
        match head.headers.one("origin") {
            Ok(Some(origin)) if guarded && !self.admits_origin(origin) => {
                trace::refused("origin");
                let hint = "if this is your web client, name its origin in MCP_ALLOW_ORIGIN";
                self.log_refused("origin", origin, hint);
                Err(plain(403, "Pages of this origin may not use this server.\n"))
            }
            Ok(_) => route,
            Err(_) => {
                trace::refused("two_origins");
                Err(plain(400, "Two Origin fields.\n"))
            }
        }
    }

    fn no_method(&self, allow: &'static str) -> Box<Response> {
        let endpoint = self.public_url.join("/mcp");
        let response =
            plain(405, format!("This path does not take this method. The MCP endpoint is {endpoint}\n"));
        Box::new(response.header("Allow", allow))
    }

    /// At most once a second for each reason: strangers choose how often they come.
    fn log_refused(&self, reason: &'static str, found: &str, hint: &'static str) {
        if let Some(omitted) = self.refusals.pass(reason, self.started.elapsed()) {
            let fields = [
                log::Field::Reason(reason),
                log::Field::Addr(found),
                log::Field::Hint(hint),
                log::Field::Omitted(omitted),
            ];
            log::info("request.refused", &fields);
        }
    }

    fn admits_origin(&self, origin: &str) -> bool {
        self.public_url.accepts_origin(origin) || self.allowed_origins.iter().any(|allowed| allowed == origin)
    }

    /// What every answer to a request carries (B2, M19).
    fn common_fields(&self, head: &Head) -> Vec<Field> {
        let fixed = |text: &'static str| Cow::Borrowed(text);
        let mut fields: Vec<Field> = Vec::with_capacity(8);
        fields.push(("X-Content-Type-Options", fixed("nosniff")));
        fields.push(("Referrer-Policy", fixed("no-referrer")));
        if self.public_url.is_https() {
            fields.push(("Strict-Transport-Security", fixed("max-age=31536000")));
        }
        if is_public(head) {
            fields.push(("Access-Control-Allow-Origin", fixed("*")));
            return fields;
        }
        let route = Route::of(head).ok();
        if !route.is_some_and(Route::is_api) {
            fields.push(("Cross-Origin-Resource-Policy", fixed("same-origin")));
            // Not on the pages of a login: it severs a popup from the client's page that opened it.
            if matches!(route, Some(Route::Home | Route::Account)) {
                fields.push(("Cross-Origin-Opener-Policy", fixed("same-origin")));
            }
            return fields;
        }
        if route.is_some_and(Route::takes_token) {
            // M16: what a tool says is for its caller.
            fields.push(("Cache-Control", fixed("no-store")));
        }
        fields.push(("Vary", fixed("Origin")));
        let origin = head.headers.one("origin").ok().flatten();
        if let Some(origin) = origin.filter(|origin| self.admits_origin(origin)) {
            fields.push(("Access-Control-Allow-Origin", Cow::Owned(origin.to_owned())));
            fields.push(("Access-Control-Expose-Headers", fixed(CORS_RESPONSE_HEADERS)));
        }
        fields
    }

    /// A large body takes one of the few places that its user has: nobody's slow bodies keep others' from being read.
    fn admit_large(&self, user: UserId) -> Result<Admission, Box<Response>> {
        let words = "You are sending other large messages already: wait until one of them is answered.\n";
        let place = self.large_bodies.take(user).ok_or_else(|| {
            trace::refused("large_bodies");
            Box::new(plain(429, words).header("Retry-After", "1"))
        })?;
        Ok(Admission::up_to(limits::MCP_BYTES).holding(place))
    }

    fn call_mcp(&self, endpoint: Endpoint, request: Request, responder: Responder) {
        let principal = match self.oauth.bearer.principal(&request.head) {
            Ok(principal) => principal,
            Err(error) => {
                return responder.respond(self.oauth.resource.challenge(&request.head, endpoint, error));
            }
        };
        responder.identify(&principal);
        match endpoint {
            Endpoint::Mcp => self.mcp.handle(request, principal, responder),
            Endpoint::Sse => self.mcp.handle_http_sse(request, principal, (responder, MESSAGE)),
        }
    }

    /// How much body of an MCP message is read.
    fn admit_message(&self, endpoint: Endpoint, head: &Head) -> Result<Admission, Box<Response>> {
        if !head.may_exceed(limits::UNCHECKED_BODY_BYTES) {
            return Ok(Admission::up_to(limits::UNCHECKED_BODY_BYTES));
        }
        match self.oauth.bearer.principal(head) {
            Ok(caller) => self.admit_large(caller.user),
            Err(error) => Err(Box::new(self.oauth.resource.challenge(head, endpoint, error))),
        }
    }
}

impl Handler for App {
    /// Decides on the head alone how much body is welcome. A large JSON-RPC message is only read for a caller whose token
    /// is good, so that strangers cannot have megabytes kept for them.
    fn admit(&self, head: &Head) -> Result<Admission, Box<Response>> {
        let admitted = self.decide(head).and_then(|work| match work {
            Work::Mcp(_) if head.method == Method::Get => Ok(Admission::up_to(0)),
            Work::Mcp(endpoint) => self.admit_message(endpoint, head),
            Work::Register | Work::Consent | Work::Token | Work::Revoke | Work::Account => {
                Ok(Admission::up_to(limits::FORM_BYTES))
            }
            Work::Authorize | Work::Callback => Ok(Admission::up_to(0)),
        });
        admitted.map_err(|response| Box::new(response.with_fields(self.common_fields(head))))
    }

    fn handle(&self, request: Request, responder: Responder) {
        let responder = responder.with_fields(self.common_fields(&request.head));
        let head = &request.head;
        let response = match self.decide(head) {
            Err(response) => *response,
            Ok(Work::Mcp(endpoint)) => return self.call_mcp(endpoint, request, responder),
            Ok(Work::Register) => self.oauth.register.post(&request),
            Ok(Work::Authorize) => self.oauth.authorize.get(head),
            Ok(Work::Consent) => self.oauth.consent.post(&request),
            Ok(Work::Callback) => self.oauth.callback.get(head),
            Ok(Work::Account) if head.method == Method::Post => self.oauth.account.post(&request),
            Ok(Work::Account) => self.oauth.account.get(head),
            Ok(Work::Token) => self.oauth.token.post(&request),
            Ok(Work::Revoke) => self.oauth.token.post_revocation(&request),
        };
        responder.respond(response);
    }
}

/// Whether it asks for metadata: the same for everybody, so that pages of any origin may read it (M19). What is not there is
/// no secret either, and clients look in several places.
fn is_public(head: &Head) -> bool {
    head.path.starts_with("/.well-known/")
}

/// The answer to OPTIONS: browsers ask before they let a page call the API. Tools may take arguments from headers of their
/// own, so any `Mcp-Param-…` that is asked for is allowed.
fn preflight(head: &Head) -> Response {
    let asked = head.headers.one("access-control-request-headers").ok().flatten().unwrap_or_default();
    let token = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let parameters = asked.split(',').map(|name| name.trim().to_ascii_lowercase());
    let parameters = parameters.filter(|name| name.starts_with("mcp-param-") && token(name));
    let allowed = parameters.fold(CORS_REQUEST_HEADERS.to_owned(), |list, name| list + ", " + &name);
    Response::new(204)
        .header("Access-Control-Allow-Methods", CORS_METHODS)
        .header("Access-Control-Allow-Headers", allowed)
        .header("Access-Control-Max-Age", "600")
}

fn plain(status: u16, text: impl Into<String>) -> Box<Response> {
    Box::new(Response::new(status).bytes("text/plain; charset=utf-8", text.into()))
}

#[cfg(test)]
mod tests;
