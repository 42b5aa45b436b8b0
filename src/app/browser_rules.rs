//! Rules for browsers: the hosts that this server answers under, the pages that may call it, and the header fields of its
//! answers.

use std::borrow::Cow;

use crate::base::{Throttle, clock, log, trace};
use crate::http::{Field, Head, Method, PublicUrl, Response};
use crate::router::{NoRoute, Route, RouteKind};

/// CORS: the methods and fields that a page of another origin may send to the API, and the fields that it may read.
const CORS_METHODS: &str = "GET, POST, DELETE";
const CORS_REQUEST_HEADERS: &str = "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, \
                                    Mcp-Protocol-Version, Mcp-Method, Mcp-Name";
const CORS_RESPONSE_HEADERS: &str = "Mcp-Session-Id, WWW-Authenticate";

/// The rules for hosts and origins.
pub(super) struct BrowserRules {
    public_url: PublicUrl,
    /// Origins of web pages that may call the API, as in an `Origin` field.
    allowed_origins: Vec<String>,
    /// Whether HTTP+SSE of 2024-11-05 is served.
    serves_http_sse: bool,
    /// The URLs of the MCP endpoints, as a text for error messages.
    directions: String,
    /// Bounds the log lines about refusals.
    refusals: Throttle,
}

impl BrowserRules {
    pub(super) fn new(
        public_url: PublicUrl,
        (allowed_origins, serves_http_sse): (Vec<String>, bool),
        several: bool,
    ) -> BrowserRules {
        let directions = if several {
            format!("{} lists the MCP servers that you may use.", public_url.join("/account"))
        } else {
            format!("The MCP endpoint is {}", public_url.join("/mcp"))
        };
        let refusals = Throttle::new(1);
        BrowserRules { public_url, allowed_origins, serves_http_sse, directions, refusals }
    }

    /// The base path of all routes.
    pub(super) fn path(&self) -> &str {
        self.public_url.path()
    }

    /// The checks of Host and Origin (M2), and whether there is a route.
    ///
    /// # Errors
    /// The answer to a request that is refused.
    pub(super) fn check(&self, found: Result<Route, NoRoute>, head: &Head) -> Result<Route, Box<Response>> {
        // A2: a probe addresses the server by its IP address, or without a host; its answer is the same for everybody.
        if let Some(probe) = found.ok().filter(|route| route.kind() == RouteKind::Probe) {
            return Ok(probe);
        }
        // M2: the Host field reveals a page whose host name was pointed at this server (DNS rebinding).
        let host = head.headers.one("host").ok().flatten().unwrap_or_default();
        if !self.public_url.accepts_host(host) {
            trace::refused("host");
            self.log_refused("host", host, "set MCP_PUBLIC_URL if it is yours; proxies must pass on Host");
            let words = format!("This server is reached at {} only.\n", self.public_url);
            return Err(Response::text(421, words).into());
        }
        let is_off = |route: Route| route.is_http_sse() && !self.serves_http_sse;
        let route = found.and_then(|route| if is_off(route) { Err(NoRoute::NotFound) } else { Ok(route) });
        let route = route.map_err(|error| Box::new(self.no_route(error, head)));
        let refusal = self.refuse_origin(route.as_ref().is_ok_and(|route| route.is_api()), head);
        refusal.map_or(route, |refusal| Err(Box::new(refusal)))
    }

    /// The answer to a request that has no route.
    pub(super) fn no_route(&self, error: NoRoute, head: &Head) -> Response {
        match error {
            NoRoute::NotFound if is_public(head) && head.method == Method::Options => preflight(head),
            NoRoute::NotFound => {
                trace::refused("not_found");
                Response::text(404, format!("Nothing is here. {}\n", self.directions))
            }
            NoRoute::MethodNotAllowed(allow) => {
                trace::refused("method_not_allowed");
                self.no_method(allow)
            }
        }
    }

    /// M2: the API is closed to pages of other origins. The consent form checks its Origin itself, and shows a page.
    fn refuse_origin(&self, is_api: bool, head: &Head) -> Option<Response> {
        let Ok(origin) = head.headers.one("origin") else {
            trace::refused("two_origins");
            return Some(Response::text(400, "Two Origin fields.\n"));
        };
        let refused = origin.filter(|origin| is_api && !is_public(head) && !self.admits_origin(origin))?;
        trace::refused("origin");
        let hint = "if this is your web client, name its origin in MCP_ALLOW_ORIGIN";
        self.log_refused("origin", refused, hint);
        Some(Response::text(403, "Pages of this origin may not use this server.\n"))
    }

    /// The answer for browsers that takes precedence over the route's, if there is one.
    pub(super) fn answer(&self, route: Route, head: &Head) -> Option<Response> {
        if head.method == Method::Options { Some(preflight(head)) } else { self.elsewhere(route, head) }
    }

    /// Redirects a page that was requested under another name of loopback to the configured one: a login's cookie and forms are
    /// only valid there.
    fn elsewhere(&self, route: Route, head: &Head) -> Option<Response> {
        let is_page = matches!(route.kind(), RouteKind::Page | RouteKind::Login)
            && matches!(head.method, Method::Get | Method::Head);
        if !is_page || *self.public_url.as_named_by(head) == self.public_url {
            return None;
        }
        let query = head.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{}{}{query}", self.public_url.origin(), head.path);
        Some(Response::new(303).header("Location", location).header("Cache-Control", "no-store"))
    }

    /// The answer to a method that the path does not support.
    pub(super) fn no_method(&self, allow: &'static str) -> Response {
        let words = format!("This path does not take this method. {}\n", self.directions);
        Response::text(405, words).header("Allow", allow)
    }

    /// Logs at most once a second for each reason: strangers control the rate of requests.
    fn log_refused(&self, reason: &'static str, found: &str, hint: &'static str) {
        if let Some(omitted) = self.refusals.pass(reason, clock::monotonic()) {
            let (found, hint) = (log::Field::Addr(found), log::Field::Hint(hint));
            let fields = [log::Field::Reason(reason), found, hint, log::Field::Omitted(omitted)];
            log::info("request.refused", &fields);
        }
    }

    fn admits_origin(&self, origin: &str) -> bool {
        self.public_url.accepts_origin(origin) || self.allowed_origins.iter().any(|allowed| allowed == origin)
    }

    /// The fields of every answer (B2, M19).
    pub(super) fn common_fields(&self, route: Option<Route>, head: &Head) -> Vec<Field> {
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
        let kind = route.map(Route::kind);
        if !route.is_some_and(Route::is_api) {
            fields.push(("Cross-Origin-Resource-Policy", fixed("same-origin")));
            // Not on the pages of a login: it would sever a popup from the client's page that opened it.
            if kind == Some(RouteKind::Page) {
                fields.push(("Cross-Origin-Opener-Policy", fixed("same-origin")));
            }
            return fields;
        }
        if kind == Some(RouteKind::Mcp) {
            // M16: answers are for their caller alone.
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
}

/// Whether the request is for metadata, which pages of any origin may read (M19), because it is the same for everybody. This
/// includes a 404 there, because clients try several paths.
fn is_public(head: &Head) -> bool {
    head.path.contains("/.well-known/")
}

/// The answer to OPTIONS (a CORS preflight). Tools may take arguments from headers of their
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
