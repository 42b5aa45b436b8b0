//! MCP over Streamable HTTP: one core, any backend, and the two eras of the protocol: with sessions (up to 2025-11-25) and
//! stateless (2026-07-28).
//!
//! # A server of your own
//!
//! A [`ToolServer`] is built of [`Tool`]s, [`Prompt`]s and [`Resource`]s, each with a closure that serves it, and handed to
//! [`crate::run`]; that is the whole program. A closure gets the [`Context`] of its call and the arguments as a type of its
//! own, which is [`NoArguments`] for a tool without any. It runs on a worker thread and may block there.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::Duration;
//!
//! use mcp_oauth_server::mcp::{
//!     BuildError, CallError, Level, Match, NoArguments, Progress, Prompt, Resource, TaskSupport, Tool, ToolResult, ToolServer,
//! };
//! use serde::Deserialize;
//! use serde_json::{Value, json};
//!
//! fn main() -> ExitCode {
//!     // Options, login and transport are this crate's; help, messages and the state directory bear the name. The closure
//!     // gets the client for GitHub's API, if tools need it.
//!     mcp_oauth_server::run("archive", env!("CARGO_PKG_VERSION"), |_github| server())
//! }
//!
//! fn server() -> Result<ToolServer, BuildError> {
//!     ToolServer::builder("archive", "1.0.0")
//!         .with("title", "The Archive")
//!         .instructions("Look a record up before you delete it.")
//!         .scope("archive:write", "Delete records") // for the consent page
//!         .tool(look_up())
//!         .tool(delete())
//!         .tool(rebuild())
//!         .prompt(summary())
//!         .resource(Resource::new("archive://index", "Index").with("mimeType", "text/plain").text("1, 2, 3"))
//!         .resource(record())
//!         .build()
//! }
//!
//! #[derive(Deserialize)]
//! struct Id {
//!     id: u32,
//! }
//!
//! fn id_schema() -> Value {
//!     json!({ "type": "object", "properties": { "id": { "type": "integer" } }, "required": ["id"] })
//! }
//!
//! /// Arguments in, structured content out. An `Err` of text is a failure that the model reads and can act on.
//! fn look_up() -> Tool {
//!     Tool::new("look_up", "Looks a record up", id_schema())
//!         .with("annotations", json!({ "readOnlyHint": true }))
//!         .with("outputSchema", json!({ "type": "object", "properties": { "title": { "type": "string" } } }))
//!         .handler(|context, Id { id }| {
//!             context.log(Level::Info, &format!("{} looks up {id}", context.principal().login));
//!             match id {
//!                 1..=3 => Ok(ToolResult::structured(json!({ "title": format!("Record {id}") }))),
//!                 _ => Err(CallError::from("no such record: see archive://index")),
//!             }
//!         })
//! }
//!
//! /// Asks the person, and is for callers whose token has the scope `archive:write` only.
//! fn delete() -> Tool {
//!     #[derive(Deserialize)]
//!     struct Answer {
//!         reason: String,
//!     }
//!     Tool::new("delete", "Deletes a record", id_schema()).scopes("archive:write").handler(|context, Id { id }| {
//!         let form = json!({ "type": "object", "properties": { "reason": { "type": "string" } }, "required": ["reason"] });
//!         // Ask before you act: in 2026-07-28 the handler runs again, from its start, with the answer.
//!         match context.elicit("why", &format!("Why delete record {id}?"), &form)? {
//!             Some(Answer { reason }) => Ok(format!("deleted: {reason}")),
//!             None => Ok("left alone".to_owned()),
//!         }
//!     })
//! }
//!
//! /// Takes long: a task if the client supports tasks, else a stream with progress.
//! fn rebuild() -> Tool {
//!     let schema = json!({ "type": "object", "properties": {} });
//!     Tool::new("rebuild", "Rebuilds the index", schema).tasks(TaskSupport::Optional).handler(|context, NoArguments {}| {
//!         for step in 1..=3 {
//!             context.progress(&Progress { progress: f64::from(step), total: Some(3.0), message: None });
//!             // Instead of sleeping, so that the call ends when its result is no longer wanted.
//!             if context.cancel().wait(Duration::from_secs(10)) {
//!                 return Err(CallError::Cancelled);
//!             }
//!         }
//!         Ok("rebuilt")
//!     })
//! }
//!
//! fn summary() -> Prompt {
//!     #[derive(Deserialize)]
//!     struct Arguments {
//!         topic: String,
//!     }
//!     Prompt::new("summary", "Summarises what there is on a topic")
//!         .required_argument("topic", "What it is about")
//!         .complete("topic", |_, partial| {
//!             let topics = ["law", "land", "letters"].into_iter();
//!             topics.filter(|topic| topic.starts_with(&partial.value)).map(str::to_owned).collect()
//!         })
//!         .handler(|_, Arguments { topic }| Ok(format!("Summarise the records on {topic}.")))
//! }
//!
//! fn record() -> Resource {
//!     Resource::template("archive://record/{id}", "Record")
//!         .with("mimeType", "text/plain")
//!         .reader(|_, Match { variables, .. }| Ok(format!("Record {}", variables["id"])))
//! }
//! ```
//!
//! Errors in arguments are returned to the model in words that it can act on (`topic: invalid type: integer `7`, expected a
//! string`). A server does not start if a schema declares a property that the handler's type does not have. The rest of a schema
//! is not enforced, see [`Tool::handler`].
//!
//! The lists of a [`ToolServer`] are fixed while it runs. Resource contents may change: a [`Publisher`] notifies the clients. For
//! calls that are served elsewhere (a child process, another server) implement [`Backend`] instead of building a [`ToolServer`].
//!
//! Clients see the properties of a schema in alphabetical order. With the feature `preserve_order` of `serde_json` in your
//! `Cargo.toml`, they see them in yours.
//!
//! # Limits
//!
//! | of | limit | beyond it |
//! | --- | --- | --- |
//! | calls that run at once | 8 of one person, 48 in all | an error "Too many calls at once" |
//! | lists that run at once | 16 of one person, 96 in all | the same |
//! | streams of finished calls that the client leaves unread | 32 of one person | further results come without progress or questions |
//! | duration of a call, its questions included | 15 minutes | cancelled |
//! | tasks, kept for an hour | 64 of one person, 4 of them running; 24 running in all | a call without a task, or an error "Too many tasks" |
//! | request, result | 4 MiB | 413, or an error "The result is too large to be sent" |
//! | answer to a question | 5 minutes; 10 in 2026-07-28 | the call fails |
//! | answers that a call collects in 2026-07-28 (`requestState`) | 256 KiB | an error |
//! | completion values of one answer | 100 | left out; `hasMore` is true |
//! | resource subscriptions of one session or stream | 128 | an error |

mod access;
mod arguments;
mod backend;
mod budgets;
mod call;
mod calls;
mod completion;
mod content;
mod context;
mod definition;
mod ending;
mod era;
mod exchange;
mod header;
mod http_sse;
mod intake;
pub(crate) mod jsonrpc;
mod legacy;
mod members;
mod methods;
mod mirrored;
mod modern;
mod mrtr;
mod prompt;
mod resource;
mod session;
mod session_id;
mod settings;
mod stream;
mod subscribers;
mod table;
mod task;
mod tool;
mod tool_server;

use std::sync::Arc;

use self::budgets::Budgets;
pub(crate) use self::call::TASKS_EXTENSION;
use self::calls::Calls;
pub(crate) use self::era::{Era, LEGACY_VERSIONS, MODERN_VERSION};
use self::exchange::{Exchange, Inbound};
use self::intake::{Message, accepts, not_read};
pub(crate) use self::methods::MethodRow;
use self::session_id::EndedSessions;
pub(crate) use self::settings::Settings;
use self::stream::OpenStream;
pub(crate) use self::subscribers::ListenFilter;
use self::subscribers::Subscribers;
use self::table::Table;
use self::task::Task;
use crate::base::log::{self, Field};
use crate::base::{AccessRule, Counters, Quota, RateLimit, trace};
use crate::http::{Blocking, Method, Request, Responder, Response};

#[cfg(feature = "internals")]
#[doc(hidden)]
#[path = "../../tests/lab/mcp.rs"]
pub mod fuzzing;

pub(crate) use self::access::ListEntry;
pub use self::backend::{Backend, Consent, Description, ToolRules};
pub use self::call::{Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Reply};
pub use self::completion::Partial;
pub use self::content::{Content, PromptResult, ResourceContents, Role, ToolResult};
pub use self::context::{Context, Progress};
pub use self::definition::BuildError;
pub use self::jsonrpc::{Error, RequestId};
pub use self::members::Members;
pub use self::methods::{List, Operation};
pub use self::mirrored::Mirrored;
pub use self::prompt::Prompt;
pub use self::resource::{Match, Resource};
pub use self::subscribers::{Interests, Publisher};
pub use self::tool::{NoArguments, TaskSupport, Tool};
pub use self::tool_server::{Builder, ToolServer};
pub use crate::base::{
    CallerSession, CancelToken, GrantId, Principal, Scopes, Secret, Subject, TokenName, UpstreamToken, UserId,
};

/// The MCP endpoint. Clones are the same endpoint.
#[derive(Clone)]
pub(crate) struct Mcp(Arc<Core>);

/// Gauges for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Legacy sessions.
    pub sessions: usize,
    /// Open `subscriptions/listen` streams.
    pub listeners: usize,
    /// Running calls.
    pub calls: usize,
    /// Tasks, including finished ones until they are removed.
    pub tasks: usize,
}

/// The state that the files of this module share. Endpoints of several servers have their own settings and share the rest, so that
/// its limits hold for all servers together.
#[derive(Clone)]
struct Core {
    settings: Settings,
    subscribers: Arc<Subscribers>,
    calls: Arc<Calls>,
    /// The sessions and streams that each user opens.
    openings: Arc<RateLimit<Subject>>,
    /// The open streams of each user that belong to no call.
    streams: Arc<Quota<Subject>>,
    budgets: Budgets,
    tasks: Arc<Table<Task>>,
    /// Tripped when the server stops.
    closing: CancelToken,
    ended: Arc<EndedSessions>,
    /// The number of requests with known client faults that were served nevertheless, by kind.
    tolerated: Arc<Counters>,
}

impl Mcp {
    /// An endpoint without sessions.
    pub fn new(settings: Settings) -> Mcp {
        Mcp::connected(Core {
            subscribers: Arc::default(),
            calls: Calls::new(),
            openings: Arc::new(budgets::openings()),
            streams: Quota::per_key(settings.capacity.streams_per_user),
            budgets: Budgets::new(),
            tasks: Arc::default(),
            closing: CancelToken::new(),
            ended: Arc::default(),
            tolerated: Arc::default(),
            settings,
        })
    }

    /// The endpoint of another server, within the limits of this one.
    pub fn beside(&self, settings: Settings) -> Mcp {
        Mcp::connected(Core { settings, ..Core::clone(&self.0) })
    }

    fn connected(core: Core) -> Mcp {
        core.settings.backend.connect(core.publisher());
        Mcp(Arc::new(core))
    }

    /// Serves an authenticated request whose Host and Origin were checked. Answers through `responder`, now or later.
    /// Returns the part that may block.
    #[must_use]
    pub fn handle(&self, request: Request, principal: Principal, responder: Responder) -> Option<Blocking> {
        let (inbound, body) = self.inbound(request, principal, responder);
        if header::repeats_version(&inbound.head.headers) {
            self.0.tolerate("repeated_version", &inbound.principal);
        }
        let response = match inbound.head.method {
            Method::Post | Method::Get if !accepts(&inbound.head, "text/event-stream") => Ok(not_read(406)),
            Method::Post if !accepts(&inbound.head, "application/json") => Ok(not_read(406)),
            Method::Post => return self.post(&body, inbound),
            Method::Get => legacy::get(&self.0, &inbound),
            Method::Delete => legacy::delete(&self.0, &inbound),
            Method::Head | Method::Options | Method::Other(_) => {
                Ok(not_read(405).header("Allow", "GET, POST, DELETE"))
            }
        };
        inbound.responder.respond(response.unwrap_or_else(|refusal| refusal.response(None)));
        self.0.end_open_streams();
        None
    }

    /// Serves a request of HTTP+SSE (2024-11-05), as [`Mcp::handle`]: a GET opens the stream for all answers, whose first
    /// event names `message_path` as the path for messages; a POST is a message.
    pub fn handle_http_sse(
        &self,
        request: Request,
        principal: Principal,
        (responder, message_path): (Responder, &str),
    ) {
        let (inbound, body) = self.inbound(request, principal, responder);
        let response = match inbound.head.method {
            Method::Post => return http_sse::post(&self.0, &body, inbound),
            Method::Get if !accepts(&inbound.head, "text/event-stream") => Ok(not_read(406)),
            Method::Get => http_sse::open(&self.0, &inbound.principal, message_path),
            Method::Head | Method::Delete | Method::Options | Method::Other(_) => {
                Ok(Response::new(405).header("Allow", "GET, POST"))
            }
        };
        inbound.responder.respond(response.unwrap_or_else(|refusal| refusal.response(None)));
    }

    /// Whether the backend passes calls on.
    pub fn passes_on(&self) -> bool {
        self.0.settings.backend.passes_on()
    }

    /// The gauges.
    pub fn counts(&self) -> Counts {
        Counts {
            sessions: self.0.subscribers.sessions.count(),
            listeners: self.0.subscribers.subscriptions().len(),
            calls: self.0.calls.count(),
            tasks: self.0.tasks.count(),
        }
    }

    /// The number of requests that were served although they break the protocol, by kind.
    pub fn tolerated(&self) -> Vec<(&'static str, u64)> {
        self.0.tolerated.counts()
    }

    fn inbound(&self, request: Request, caller: Principal, mut responder: Responder) -> (Inbound, Vec<u8>) {
        responder.unread = Some(self.0.budgets.unread.share(caller.subject));
        (Inbound { head: request.head, principal: caller, responder, stream: None }, request.body)
    }

    /// Decides whether serving a message may block; no other place does.
    fn post(&self, body: &[u8], inbound: Inbound) -> Option<Blocking> {
        let status = if era::of_headers(&inbound.head.headers) == Era::Modern { 400 } else { 200 };
        let (inbound, message) = self.0.receive(inbound, body, status)?;
        let era = era::classify(&message, &inbound.head.headers);
        let is_quick = self.0.is_quick(&message, &inbound.principal);
        let core = Arc::clone(&self.0);
        let serve: Blocking = Box::new(move || {
            match era {
                Era::Legacy => legacy::post(&core, inbound, message),
                Era::Modern => modern::post(&core, inbound, message),
            }
            core.end_open_streams();
        });
        if is_quick {
            serve();
            return None;
        }
        Some(serve)
    }
}

impl Core {
    /// Whether serving a message cannot block.
    fn is_quick(&self, message: &Message, caller: &Principal) -> bool {
        let (operation, subject) = match message {
            Message::Request(request) => (request.operation(), request.subject().ok().flatten()),
            Message::Notification { .. } => (None, None),
            Message::Response { .. } => return true,
        };
        // The server may have to be asked for the annotations of its tool.
        if operation == Some(Operation::CallTool) && self.access(caller).read_only {
            return false;
        }
        self.settings.backend.is_quick(caller, operation, &subject.unwrap_or_default())
    }

    /// Passes a call to the backend, if there is room for it (M17).
    fn start(&self, exchange: Arc<Exchange>) {
        match self.calls.begin(&exchange, self.settings.clock.monotonic()) {
            Ok(permit) => {
                match self.opens(&exchange.call) {
                    Ok(true) => {}
                    Ok(false) => return exchange.close(),
                    Err(error) => return exchange.complete(Err(error.into())),
                }
                let context = Context { exchange, publisher: self.publisher(), permit };
                trace::in_tool(|| self.settings.backend.call(context));
            }
            Err(why) => exchange.complete(Err(Error::new(Error::BUSY, why).into())),
        }
    }

    /// The rules for calls of a tool, if this access rule lets the caller call it.
    fn tool_rules(&self, access: &AccessRule, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>> {
        let opens = self.opens_tool(access, caller, tool);
        opens.then(|| self.settings.backend.tool_rules(caller, tool)).flatten()
    }

    /// The answer to a caller whose token lacks scopes that a tool needs: it names those and the scopes of the token.
    fn scope_refusal(&self, principal: &Principal, rules: &ToolRules) -> Option<Response> {
        let has_all = rules.scopes.is_subset(&principal.scopes);
        (!has_all).then(|| (self.settings.insufficient_scope)(&principal.scopes.union(&rules.scopes)))
    }

    /// Counts a request that is served although its client breaks the protocol; the log names the first client of each kind.
    fn tolerate(&self, kind: &'static str, principal: &Principal) {
        if self.tolerated.count(kind) == 1 {
            log::info("client.tolerated", &[Field::Client(principal.client.as_str()), Field::Reason(kind)]);
        }
    }

    /// Whether a user may open one more session or stream now (M17).
    fn may_open(&self, user: Subject) -> bool {
        self.openings.spend_as(user, self.settings.clock.monotonic()).is_ok()
    }

    /// A place for one more stream of the caller's that belongs to no call; `None` if the limit is reached (M17).
    fn open_stream(&self, principal: &Principal) -> Option<OpenStream> {
        let place = self.streams.take(principal.subject).filter(|_| self.may_open(principal.subject))?;
        let lifetime = principal.expires.since(self.settings.clock.now());
        Some(OpenStream { place, expires: self.settings.clock.monotonic().saturating_add(lifetime) })
    }
}

#[cfg(test)]
#[path = "../../examples/conformance/tools.rs"]
mod conformance_tools;
#[cfg(test)]
mod tests;
