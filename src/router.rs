//! From a method and a raw path to a route, and to its MCP server. Exact matches only: nothing is decoded or
//! normalised (H8).

use crate::http::{Head, Method};

/// All routes of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The page for a person who opens the server in a browser.
    Home,
    /// The liveness probe.
    Health,
    /// The readiness probe.
    Ready,
    /// RFC 9728 metadata.
    ResourceMetadata,
    /// RFC 8414 metadata.
    ServerMetadata,
    /// Dynamic client registration.
    Register,
    /// The authorization endpoint.
    Authorize,
    /// The consent form's target.
    Consent,
    /// The redirect URI of logins at GitHub.
    Callback,
    /// The token endpoint.
    Token,
    /// The revocation endpoint.
    Revoke,
    /// A person's own grants.
    Account,
    /// The MCP endpoint.
    Mcp,
    /// The stream of HTTP+SSE (2024-11-05).
    Sse,
    /// The POST endpoint of HTTP+SSE.
    Message,
    /// RFC 9728 metadata of HTTP+SSE.
    SseMetadata,
}

/// The kind of client of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// A person.
    Page,
    /// A person whose client waits for the end of the login.
    Login,
    /// A load balancer, an orchestrator or a monitor, which knows the server by its address.
    Probe,
    /// A client that discovers the endpoints.
    Metadata,
    /// A client that registers, or trades tokens.
    OAuth,
    /// A client that sends an access token.
    Mcp,
}

/// The reasons for a request without a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// The path is unknown.
    NotFound,
    /// The path supports other methods: these, as the value of an Allow field.
    MethodNotAllowed(&'static str),
}

/// The path of [`Route::Message`].
pub const MESSAGE: &str = "/message";

/// Every path below the URL of a server, or shared by all. Clients join paths to a server's URL with and without a slash.
const PATHS: [(&str, Route); 21] = [
    ("/mcp", Route::Mcp),
    ("/mcp/", Route::Mcp),
    ("/token", Route::Token),
    ("/register", Route::Register),
    ("/revoke", Route::Revoke),
    ("/authorize", Route::Authorize),
    ("/consent", Route::Consent),
    ("/auth/callback", Route::Callback),
    ("/account", Route::Account),
    ("/.well-known/oauth-protected-resource/mcp", Route::ResourceMetadata),
    ("/.well-known/oauth-protected-resource/mcp/", Route::ResourceMetadata),
    ("/.well-known/oauth-protected-resource", Route::ResourceMetadata),
    ("/.well-known/oauth-authorization-server", Route::ServerMetadata),
    ("/.well-known/openid-configuration", Route::ServerMetadata),
    ("/sse", Route::Sse),
    (MESSAGE, Route::Message),
    ("/.well-known/oauth-protected-resource/sse", Route::SseMetadata),
    ("/healthz", Route::Health),
    ("/readyz", Route::Ready),
    ("/", Route::Home),
    ("", Route::Home),
];

/// Whether a server of this name would hide a path of our own.
pub fn is_reserved(name: &str) -> bool {
    PATHS.iter().any(|(path, _)| path.split('/').nth(1) == Some(name))
}

impl Route {
    /// The route of a request below the path `base`, and its server. `server` finds one by the name in the path; for a path
    /// without a name, the one that has none. Among several servers, routes that they share have no server.
    ///
    /// # Errors
    /// [`NoRoute`].
    pub fn of<S>(
        head: &Head,
        base: &str,
        server: impl FnOnce(Option<&str>) -> Option<S>,
    ) -> Result<(Route, Option<S>), NoRoute> {
        let (document, path) = split_document(&head.path);
        let find = |path: &str| {
            let row = PATHS.iter().find(|(known, _)| known.strip_prefix(document) == Some(path));
            row.map(|(_, route)| *route)
        };
        // Examples, with the base `/b` and a server `s`; the document of a metadata path is split off before:
        //
        //     path             below      route   name   served
        //     /b/mcp           /mcp       Mcp     -      if the only server has no name
        //     /b/s/mcp         /s/mcp     Mcp     s      if there is a server of that name
        //     /b/account       /account   Account -      always: shared
        //     /b/s/account     /s/account Account s      never
        //     /b               (empty)    Home    -      always
        //     /healthz         none       Health  -      always, and so below the base
        //     /mcp             none       Mcp     -      never
        let below = path.strip_prefix(base).filter(|below| below.is_empty() || below.starts_with('/'));
        let (route, name) = match (find(below.unwrap_or(path)), below.and_then(split_name)) {
            (Some(route), _) => (Some(route), None),
            (None, Some((name, rest))) => (find(rest), Some(name)),
            (None, None) => (None, None),
        };
        let route = route.ok_or(NoRoute::NotFound)?;
        let server = server(name);
        let is_served = match (name, &server) {
            _ if head.path.is_empty() => false,
            // Probes do not know the public URL.
            _ if below.is_none() => route.kind() == RouteKind::Probe,
            (None, Some(_)) => true,
            (None, None) => route.is_shared() || route == Route::Home,
            (Some(_), Some(_)) => !route.is_shared(),
            (Some(_), None) => false,
        };
        if !is_served {
            return Err(NoRoute::NotFound);
        }
        let method = head.method.as_str();
        // Some clients use HEAD to find out whether a login is needed; the application answers with the challenge, or 405.
        let asks_for_challenge = head.method == Method::Head && route.kind() == RouteKind::Mcp;
        if asks_for_challenge || route.methods().split(", ").any(|allowed| allowed == method) {
            Ok((route, server))
        } else {
            Err(NoRoute::MethodNotAllowed(route.methods()))
        }
    }

    /// The name in log and metrics, the kind of client, and the methods as the value of an Allow field.
    fn row(self) -> (&'static str, RouteKind, &'static str) {
        match self {
            Route::Home => ("home", RouteKind::Page, "GET, HEAD"),
            Route::Account => ("account", RouteKind::Page, "GET, POST"),
            Route::Authorize => ("authorize", RouteKind::Login, "GET"),
            Route::Consent => ("consent", RouteKind::Login, "POST"),
            Route::Callback => ("callback", RouteKind::Login, "GET"),
            Route::Health => ("health", RouteKind::Probe, "GET, HEAD"),
            Route::Ready => ("ready", RouteKind::Probe, "GET, HEAD"),
            Route::ResourceMetadata => ("resource_metadata", RouteKind::Metadata, "GET, HEAD, OPTIONS"),
            Route::ServerMetadata => ("server_metadata", RouteKind::Metadata, "GET, HEAD, OPTIONS"),
            Route::SseMetadata => ("sse_metadata", RouteKind::Metadata, "GET, HEAD, OPTIONS"),
            Route::Register => ("register", RouteKind::OAuth, "POST, OPTIONS"),
            Route::Token => ("token", RouteKind::OAuth, "POST, OPTIONS"),
            Route::Revoke => ("revoke", RouteKind::OAuth, "POST, OPTIONS"),
            Route::Mcp => ("mcp", RouteKind::Mcp, "GET, POST, DELETE, OPTIONS"),
            Route::Sse => ("sse", RouteKind::Mcp, "GET, OPTIONS"),
            Route::Message => ("message", RouteKind::Mcp, "POST, OPTIONS"),
        }
    }

    /// The name in log and metrics.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The kind of its client.
    pub fn kind(self) -> RouteKind {
        self.row().1
    }

    /// The methods of its path, as the value of an Allow field.
    pub fn methods(self) -> &'static str {
        self.row().2
    }

    /// Whether programs call the route, perhaps from a page of another origin. The others are pages and probes.
    pub fn is_api(self) -> bool {
        match self.kind() {
            RouteKind::Metadata | RouteKind::OAuth | RouteKind::Mcp => true,
            RouteKind::Page | RouteKind::Login | RouteKind::Probe => false,
        }
    }

    /// Whether the route is shared by all servers.
    fn is_shared(self) -> bool {
        matches!(self, Route::Account | Route::Callback | Route::Health | Route::Ready)
    }

    /// Whether the route belongs to HTTP+SSE (2024-11-05), which is off by default.
    pub fn is_http_sse(self) -> bool {
        matches!(self, Route::Sse | Route::Message | Route::SseMetadata)
    }
}

/// Splits the path of a well-known document from that of the server or resource after it (RFC 8414 section 3.1). The first is
/// empty in other paths.
fn split_document(path: &str) -> (&str, &str) {
    const WELL_KNOWN: &str = "/.well-known/";
    let name = path.strip_prefix(WELL_KNOWN).map(|rest| rest.split('/').next().unwrap_or_default());
    path.split_at(name.map_or(0, |name| WELL_KNOWN.len().saturating_add(name.len())))
}

/// The first segment of a path, and the rest.
fn split_name(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    Some(path.split_at(path.find('/').unwrap_or(path.len())))
}

#[cfg(test)]
mod tests;
