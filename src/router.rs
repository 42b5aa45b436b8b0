//! From a method and a raw path to a route. Exact matches only: nothing is decoded or normalised (H8).

use crate::http::{Head, Method};

/// Everything this server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// What a person sees who opens the server in a browser.
    Home,
    /// Whether the process answers.
    Health,
    /// Whether it can serve.
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
    /// Where GitHub sends the browser back to.
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
    /// Where its clients post to.
    Message,
    /// RFC 9728 metadata of HTTP+SSE.
    SseMetadata,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// Nothing has this path.
    NotFound,
    /// The path takes other methods: these, as an Allow field lists them.
    MethodNotAllowed(&'static str),
}

/// Where clients of 2024-11-05 post to.
pub const MESSAGE: &str = "/message";

/// What `Allow` says of the MCP endpoint.
const MCP_METHODS: &str = "GET, POST, DELETE, OPTIONS";

/// Every path, and what `Allow` says of it. Clients join paths to a server's URL with and without a slash.
const TABLE: [(&str, Route, &str); 20] = [
    ("/mcp", Route::Mcp, MCP_METHODS),
    ("/mcp/", Route::Mcp, MCP_METHODS),
    ("/token", Route::Token, "POST, OPTIONS"),
    ("/register", Route::Register, "POST, OPTIONS"),
    ("/revoke", Route::Revoke, "POST, OPTIONS"),
    ("/authorize", Route::Authorize, "GET"),
    ("/consent", Route::Consent, "POST"),
    ("/auth/callback", Route::Callback, "GET"),
    ("/account", Route::Account, "GET, POST"),
    ("/.well-known/oauth-protected-resource/mcp", Route::ResourceMetadata, "GET, HEAD, OPTIONS"),
    ("/.well-known/oauth-protected-resource/mcp/", Route::ResourceMetadata, "GET, HEAD, OPTIONS"),
    ("/.well-known/oauth-protected-resource", Route::ResourceMetadata, "GET, HEAD, OPTIONS"),
    ("/.well-known/oauth-authorization-server", Route::ServerMetadata, "GET, HEAD, OPTIONS"),
    ("/.well-known/openid-configuration", Route::ServerMetadata, "GET, HEAD, OPTIONS"),
    ("/sse", Route::Sse, "GET, OPTIONS"),
    (MESSAGE, Route::Message, "POST, OPTIONS"),
    ("/.well-known/oauth-protected-resource/sse", Route::SseMetadata, "GET, HEAD, OPTIONS"),
    ("/healthz", Route::Health, "GET, HEAD"),
    ("/readyz", Route::Ready, "GET, HEAD"),
    ("/", Route::Home, "GET, HEAD"),
];

impl Route {
    /// The route of a request.
    ///
    /// # Errors
    /// [`NoRoute`].
    pub fn of(head: &Head) -> Result<Route, NoRoute> {
        let row = TABLE.iter().find(|(path, ..)| *path == &*head.path);
        let &(_, route, allow) = row.ok_or(NoRoute::NotFound)?;
        let method = head.method.as_str();
        // Some clients ask by HEAD whether a login is needed; the application answers with the challenge, or 405.
        let asks_for_challenge = head.method == Method::Head && route.takes_token();
        if asks_for_challenge || allow.split(", ").any(|allowed| allowed == method) {
            Ok(route)
        } else {
            Err(NoRoute::MethodNotAllowed(allow))
        }
    }

    /// Whether programs call it, perhaps from a page of another origin. The others are pages for people.
    pub fn is_api(self) -> bool {
        match self {
            Route::Mcp
            | Route::Sse
            | Route::Message
            | Route::SseMetadata
            | Route::Token
            | Route::Register
            | Route::Revoke
            | Route::ResourceMetadata
            | Route::ServerMetadata => true,
            Route::Home
            | Route::Health
            | Route::Ready
            | Route::Authorize
            | Route::Consent
            | Route::Callback
            | Route::Account => false,
        }
    }

    /// Whether it is for callers with an access token.
    pub fn takes_token(self) -> bool {
        matches!(self, Route::Mcp | Route::Sse | Route::Message)
    }

    /// Whether it is a probe's: of a load balancer, an orchestrator or a monitor, which knows the server by its address.
    pub fn is_probe(self) -> bool {
        matches!(self, Route::Health | Route::Ready)
    }

    /// The methods of its path, as an Allow field lists them.
    pub fn methods(self) -> &'static str {
        TABLE.iter().find(|(_, route, _)| *route == self).map_or("", |(.., allow)| allow)
    }

    /// Places for whatever is kept by route; the last is for requests without one.
    pub const SLOTS: usize = TABLE.len() + 1;

    /// This route's place.
    pub fn slot(route: Option<Route>) -> usize {
        let row = TABLE.iter().position(|(_, each, _)| Some(*each) == route);
        row.unwrap_or(TABLE.len())
    }

    /// What the log calls whoever has this place, if somebody has.
    pub fn slot_name(slot: usize) -> Option<&'static str> {
        match TABLE.get(slot) {
            Some((_, route, _)) => Some(route.name()),
            None => (slot == TABLE.len()).then_some("none"),
        }
    }

    /// Whether it belongs to HTTP+SSE (2024-11-05), which is off unless it is asked for.
    pub fn is_http_sse(self) -> bool {
        matches!(self, Route::Sse | Route::Message | Route::SseMetadata)
    }

    /// What the log calls it.
    pub fn name(self) -> &'static str {
        match self {
            Route::Home => "home",
            Route::Health => "health",
            Route::Ready => "ready",
            Route::ResourceMetadata => "resource_metadata",
            Route::ServerMetadata => "server_metadata",
            Route::Register => "register",
            Route::Authorize => "authorize",
            Route::Consent => "consent",
            Route::Callback => "callback",
            Route::Token => "token",
            Route::Revoke => "revoke",
            Route::Account => "account",
            Route::Mcp => "mcp",
            Route::Sse => "sse",
            Route::Message => "message",
            Route::SseMetadata => "sse_metadata",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fake::request;

    fn route(method: &str, path: &str) -> Result<Route, NoRoute> {
        Route::of(&request(method, path).head)
    }

    /// H9, A1: these are all the paths that strangers reach, and none of them is the operator's.
    #[test]
    fn every_path_has_its_methods() {
        for (path, expected, allow) in TABLE {
            for method in allow.split(", ") {
                assert_eq!(route(method, path), Ok(expected), "{method} {path}");
            }
            for method in ["PUT", "TRACE", "CONNECT", "PATCH", "get"] {
                assert_eq!(route(method, path), Err(NoRoute::MethodNotAllowed(allow)), "{method} {path}");
            }
        }
    }

    /// H8: a path is what it is, byte for byte.
    #[test]
    fn similar_paths_are_not_found() {
        for path in [
            "/mcp//",
            "//mcp",
            "/MCP",
            "/./mcp",
            "/%6dcp",
            "/mcp%2F",
            "/mcp;a=b",
            "/x/../mcp",
            "/token/",
            "",
            "*",
            "/consent/",
        ] {
            assert_eq!(route("POST", path), Err(NoRoute::NotFound), "{path}");
        }
    }

    /// H8: people write the server's URL with a slash at its end, too.
    #[test]
    fn the_mcp_endpoint_may_end_in_a_slash() {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            assert_eq!(route(method, "/mcp/"), Ok(Route::Mcp), "{method}");
        }
        let metadata = "/.well-known/oauth-protected-resource/mcp/";
        assert_eq!(route("GET", metadata), Ok(Route::ResourceMetadata));
    }

    /// O14: the authorization endpoint is GET and nothing else.
    #[test]
    fn authorize_takes_get_only() {
        for method in ["HEAD", "POST", "OPTIONS"] {
            assert_eq!(route(method, "/authorize"), Err(NoRoute::MethodNotAllowed("GET")), "{method}");
        }
    }
}
