//! The MCP servers as their clients know them: each is the resource of its tokens (RFC 9728) and the issuer of these (RFC 8414).
//! Every URL that the endpoints name comes from here, never from a request (O15).

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::authorization::{AuthorizeError, ReturnTo};
use super::page::{self, Pages};
use super::policy::Rules;
use super::problem::Problem;
use super::redirect::RedirectUri;
use crate::base::{Mutex, Scopes, ServerAccess, trace};
use crate::http::{Form, PublicUrl, Response, Uri, append_query, escape};

/// The scope at GitHub without which it says nothing of a person's groups.
const SCOPE_OF_GROUPS: &str = "read:org";

/// The resource and its issuer.
#[derive(Clone, Debug)]
pub struct ProtectedResource {
    /// The path segment below the public URL; `None` of a server at the public URL itself, which is the only one.
    pub(super) name: Option<String>,
    /// The base URL of the endpoints, and the issuer identifier.
    pub url: PublicUrl,
    /// The canonical URI that tokens are bound to (RFC 8707).
    pub uri: Arc<str>,
    /// The scopes that clients may ask for.
    pub(super) scopes: Scopes,
    /// The scope that every call needs.
    pub(super) required_scope: Scopes,
    /// The scopes at GitHub, each with its description, of tokens that are handed to the server behind the bridge; `None` if none is.
    pub handed_scopes: Option<Vec<(String, String)>>,
    /// Whether tools call GitHub as the caller, so that GitHub's tokens are kept.
    pub tools_call_github: bool,
    /// Whether service tokens are refused.
    pub needs_user: bool,
    /// Its access rules, which can only narrow `MCP_ALLOW`.
    pub access: Arc<ServerAccess>,
    pub(super) pages: Pages,
    /// The document of RFC 8414, which is always the same; made when it is first asked for.
    pub(super) issuer_metadata: OnceLock<Vec<u8>>,
}

/// The resources of one process.
pub struct Resources {
    /// Guards the list, which SIGHUP replaces.
    pub(super) current: Mutex<Vec<Arc<ProtectedResource>>>,
    /// Pages that belong to no single server.
    pub pages: Pages,
}

impl Resources {
    /// Replaces the servers that are guarded.
    pub fn replace(&self, resources: Vec<Arc<ProtectedResource>>) {
        *self.current.lock() = resources;
    }

    pub(super) fn all(&self) -> Vec<Arc<ProtectedResource>> {
        self.current.lock().clone()
    }

    /// The resource with this URI.
    pub(super) fn find(&self, uri: &str) -> Option<Arc<ProtectedResource>> {
        self.current.lock().iter().find(|resource| *resource.uri == *uri).map(Arc::clone)
    }
}

/// The endpoint at which a client uses its tokens: clients of 2024-11-05 know the one resource by another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/mcp`
    Mcp,
    /// `/sse`
    Sse,
}

impl Endpoint {
    pub(super) fn path(self) -> &'static str {
        match self {
            Endpoint::Mcp => "/mcp",
            Endpoint::Sse => "/sse",
        }
    }
}

impl ProtectedResource {
    /// The MCP server below `public_url`, with the scope `mcp` and those that tools need beyond it.
    pub fn new(
        public_url: &PublicUrl,
        name: Option<&str>,
        tool_scopes: &Scopes,
        pages: Pages,
    ) -> ProtectedResource {
        let required_scope = Scopes::parse("mcp").unwrap_or_default();
        let scopes = required_scope.union(tool_scopes);
        let url = name.map_or_else(|| public_url.clone(), |name| public_url.below(name));
        let (name, uri) = (name.map(str::to_owned), url.join(Endpoint::Mcp.path()).into());
        let pages = pages.at(public_url.path(), url.path());
        ProtectedResource {
            name,
            url,
            uri,
            scopes,
            required_scope,
            handed_scopes: None,
            tools_call_github: false,
            needs_user: false,
            access: Arc::default(),
            pages,
            issuer_metadata: OnceLock::new(),
        }
    }

    /// The sentences of the consent page about the GitHub token of a login.
    pub(super) fn token_words(&self, rules: &Rules) -> String {
        const FOR_RULES: &str = " This server keeps the GitHub token of this login, encrypted, to ask GitHub now and then whether \
             you are still let in.";
        const FOR_TOOLS: &str = " This server keeps the GitHub token of this login, encrypted, and its tools call GitHub as you \
             with it, as long as the program has access.";
        const HANDED: &str = " This server keeps the GitHub token of this login, encrypted, and hands it to the server behind it, \
             which acts at GitHub as you with it, as long as the program has access.";
        let Some(scopes) = &self.handed_scopes else {
            let kept = if self.tools_call_github { FOR_TOOLS } else { FOR_RULES };
            return if self.keeps_token(rules) { kept.to_owned() } else { String::new() };
        };
        let is_new = self.asks_for_groups(rules) && scopes.iter().all(|(scope, _)| scope != SCOPE_OF_GROUPS);
        let of_rules = if is_new { "<li>See your organisations and teams</li>" } else { "" };
        if scopes.is_empty() && !is_new {
            return format!("{HANDED} That token can see what is public, and who you are.");
        }
        let scopes: String = scopes.iter().map(|(_, words)| format!("<li>{}</li>", escape(words))).collect();
        format!("{HANDED} That token can:</p><ul class=soft>{scopes}{of_rules}</ul><p class=soft>")
    }

    /// The scopes at GitHub of a token that is handed to the server behind the bridge; `None` if none is.
    pub(super) fn scopes_to_hand_over(&self, rules: &Rules) -> Option<String> {
        self.handed_scopes.as_ref().map(|_| self.provider_scope(rules))
    }

    /// The scopes that GitHub is asked for at a login under these rules.
    pub(super) fn provider_scope(&self, rules: &Rules) -> String {
        let handed = self.handed_scopes.iter().flatten().map(|(scope, _)| scope.as_str());
        let of_rules = self.asks_for_groups(rules).then_some(SCOPE_OF_GROUPS);
        let all: BTreeSet<&str> = of_rules.into_iter().chain(handed).collect();
        all.into_iter().collect::<Vec<_>>().join(" ")
    }

    /// The path segment of the server, if it is one of several.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// `GET /`: the page for a person who opens the server in a browser.
    pub fn home(&self) -> Response {
        self.pages.home(200, &self.uri)
    }

    /// The URI that tokens are bound to, if every resource that a request names is this one (RFC 8707 section 2).
    pub(super) fn named_by(&self, form: &Form) -> Option<&str> {
        form.values("resource").all(|named| self.is_named(named)).then_some(&*self.uri)
    }

    /// O13: the canonical URI, or the issuer that some clients name instead; scheme and host without
    /// case, all names of loopback alike, with or without the default port and one slash at the end.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let scheme = if self.url.is_https() { "https" } else { "http" };
        let uri = Uri::split(text);
        let is_endpoint = |path: &str| matches!(path, "" | "/" | "/mcp" | "/mcp/" | "/sse" | "/sse/");
        uri.scheme.eq_ignore_ascii_case(scheme)
            && uri.authority.is_some_and(|authority| self.url.accepts_host(authority))
            && uri.path.strip_prefix(self.url.path()).is_some_and(is_endpoint)
            && uri.query.is_none()
    }

    /// Whether the GitHub token of a login is kept under these rules, for tools or to ask about groups (G6).
    pub(super) fn keeps_token(&self, rules: &Rules) -> bool {
        self.tools_call_github || self.asks_for_groups(rules)
    }

    /// Whether GitHub has to be asked about groups at a login (G6).
    fn asks_for_groups(&self, rules: &Rules) -> bool {
        rules.has_groups() || self.access.rules().has_groups()
    }

    /// Refuses a client's request.
    pub(super) fn refuse(&self, to: &ReturnTo, error: AuthorizeError) -> Response {
        let (code, _) = error.wire();
        trace::refused(code);
        if to.is_trusted() {
            return see_other(self.error_location(to, error));
        }
        self.pages.interstitial(error, &self.way_back(to, error))
    }

    /// The page of a problem that ended a login, with a button that tells the client.
    pub(super) fn problem_page(&self, to: &ReturnTo, problem: Problem) -> Response {
        self.pages.ended_login(problem, &self.way_back(to, problem.answer()))
    }

    /// The button that takes the person back to the client with an error.
    pub(super) fn way_back(&self, to: &ReturnTo, error: AuthorizeError) -> String {
        page::way_back(to, &self.error_location(to, error))
    }

    fn error_location(&self, to: &ReturnTo, error: AuthorizeError) -> String {
        let (code, description) = error.wire();
        let state = to.state.as_deref().filter(|_| error != AuthorizeError::StateTooLong);
        let parameters = [("error", Some(code)), ("error_description", Some(description)), ("state", state)];
        self.answer_location(&to.redirect_uri, &parameters)
    }

    /// The redirect URI with these parameters and our `iss`, once (RFC 9207, O10).
    pub(super) fn answer_location(
        &self,
        redirect_uri: &RedirectUri,
        parameters: &[(&str, Option<&str>)],
    ) -> String {
        let present = parameters.iter().filter_map(|&(name, value)| Some((name, value?)));
        let issuer = self.url.to_string();
        let all: Vec<_> = present.chain([("iss", issuer.as_str())]).collect();
        append_query(redirect_uri.as_str(), &all)
    }
}

/// O11, B3: always 303, no body, never cached, never named as a referrer.
pub(super) fn see_other(location: String) -> Response {
    Response::new(303)
        .header("Location", location)
        .header("Cache-Control", "no-store")
        .header("Referrer-Policy", "no-referrer")
}
