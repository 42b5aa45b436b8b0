//! The types of a call that are the same in both eras: the request to a backend, and its outcome.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::jsonrpc::{Error, RequestId};
use super::members::Members;
use super::methods::Operation;
use crate::base::{AccessRule, CancelToken, Principal};

/// The extension's name in the capabilities of both sides.
pub(crate) const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// One request for the backend.
#[derive(Debug)]
pub struct Call {
    /// The request.
    pub operation: Operation,
    /// Its target: the name of a tool or prompt, or the URI of a resource. Empty for other operations.
    pub subject: String,
    /// The params as the client wrote them, without those that count as absent.
    pub params: Members,
    pub(super) principal: Principal,
    /// The names that are open to the caller.
    pub(super) access: Arc<AccessRule>,
    pub(super) client: ClientCapabilities,
    pub(super) progress_token: Option<RequestId>,
    /// Tripped when the result is no longer wanted, and also when the client disconnects from a stream that has delivered it. It has no
    /// meaning after the end of the call.
    pub(super) cancel: CancelToken,
}

#[cfg(test)]
impl Call {
    /// A call of a tool without arguments.
    pub(super) fn of_tool(user: u64, tool: &str) -> Call {
        Call {
            operation: Operation::CallTool,
            subject: tool.to_owned(),
            params: Members::default(),
            principal: crate::base::fake::principal(user),
            access: Arc::default(),
            client: ClientCapabilities::default(),
            progress_token: None,
            cancel: CancelToken::new(),
        }
    }
}

/// A result. The members that an era adds (`resultType`, cache hints, `serverInfo`) are not among them.
pub type Reply = Members;

/// Severity of a log message (RFC 5424), least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For developers.
    Debug,
    /// Normal operation.
    Info,
    /// Normal, but worth a look.
    Notice,
    /// A condition that may become an error.
    Warning,
    /// An operation failed.
    Error,
    /// A component failed.
    Critical,
    /// Immediate action is required.
    Alert,
    /// The system is unusable.
    Emergency,
}

/// A capability of a client that a tool may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `sampling/createMessage`
    Sampling,
    /// `sampling/createMessage` with tools that the client's model may use.
    SamplingTools,
    /// `elicitation/create` with a form.
    Elicitation,
    /// `roots/list`
    Roots,
}

impl Capability {
    /// The capability's key in `ClientCapabilities`: the first part of its method, or `sampling.tools`.
    pub fn name(self) -> &'static str {
        let name = self.method().split_once('/').map_or("", |(name, _)| name);
        if self == Capability::SamplingTools { "sampling.tools" } else { name }
    }

    /// The capability that a method needs.
    pub fn of_method(method: &str) -> Option<Capability> {
        let all = [Capability::Sampling, Capability::Elicitation, Capability::Roots];
        all.into_iter().find(|capability| capability.method() == method)
    }

    /// The method that needs it.
    pub fn method(self) -> &'static str {
        match self {
            Capability::Sampling | Capability::SamplingTools => "sampling/createMessage",
            Capability::Elicitation => "elicitation/create",
            Capability::Roots => "roots/list",
        }
    }
}

/// The capabilities that a client declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Declared")]
pub struct ClientCapabilities(
    /// One bit each. A part of sealed session ids: the meaning of a bit must not change.
    pub(super) u8,
);

/// A member that is present declares a capability, also if it is an empty object.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Declared {
    sampling: Option<Value>,
    elicitation: Option<Value>,
    roots: Option<IgnoredAny>,
    extensions: Option<Value>,
}

impl TryFrom<Declared> for ClientCapabilities {
    type Error = String;

    fn try_from(declared: Declared) -> Result<ClientCapabilities, String> {
        let has = |name, value: &Option<Value>, member: &str| match value {
            None => Ok(false),
            Some(Value::Object(members)) => Ok(members.get(member).is_some_and(|value| !value.is_null())),
            // PHP writes an empty object as `[]`.
            Some(Value::Array(elements)) if elements.is_empty() => Ok(false),
            Some(_) => Err(format!("{name} must be an object")),
        };
        // An empty object means forms, as before the URL mode existed.
        let mode = |mode| has("elicitation", &declared.elicitation, mode);
        let forms = mode("form")? || !mode("url")?;
        let tools = declared.sampling.as_ref().and_then(|sampling| sampling.get("tools"));
        let bits = [
            (declared.sampling.is_some(), ClientCapabilities::bit(Capability::Sampling)),
            (tools.is_some_and(|tools| !tools.is_null()), ClientCapabilities::bit(Capability::SamplingTools)),
            (declared.elicitation.is_some() && forms, ClientCapabilities::bit(Capability::Elicitation)),
            (declared.roots.is_some(), ClientCapabilities::bit(Capability::Roots)),
            (has("extensions", &declared.extensions, TASKS_EXTENSION)?, ClientCapabilities::TASKS),
        ];
        Ok(ClientCapabilities(bits.iter().map(|(is_there, bit)| u8::from(*is_there) * bit).sum()))
    }
}

impl ClientCapabilities {
    const TASKS: u8 = 8;

    fn bit(capability: Capability) -> u8 {
        match capability {
            Capability::Sampling => 1,
            Capability::Elicitation => 2,
            Capability::Roots => 4,
            Capability::SamplingTools => 16,
        }
    }

    /// Whether the client has declared `capability`.
    pub fn supports(&self, capability: Capability) -> bool {
        self.0 & ClientCapabilities::bit(capability) != 0
    }

    /// Whether the client supports tasks in place of results (2026-07-28 only).
    pub fn takes_tasks(&self) -> bool {
        self.0 & ClientCapabilities::TASKS != 0
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.method())
    }
}

/// A question to the client. Its JSON is that of MRTR: method and params.
#[derive(Clone, Debug, Serialize)]
pub struct InputRequest {
    /// The id of the question within its call: the same in every round.
    #[serde(skip)]
    pub key: String,
    /// The capability that the client needs; determines the method.
    #[serde(rename = "method")]
    pub capability: Capability,
    /// The params of the method.
    pub params: Box<RawValue>,
}

impl InputRequest {
    /// `sampling/createMessage`: has the client's model continue a conversation. `params` with `tools` need
    /// [`Capability::SamplingTools`].
    pub fn sampling(key: impl Into<String>, params: &Value) -> InputRequest {
        let has_tools = params.get("tools").or(params.get("toolChoice")).is_some();
        let capability = if has_tools { Capability::SamplingTools } else { Capability::Sampling };
        InputRequest::new(key.into(), capability, params)
    }

    /// `elicitation/create`: has the person fill in a form. `schema` is a flat JSON object schema. The answer is
    /// `{"action": "accept" | "decline" | "cancel", "content": {…}}`; `content` holds the form's fields and is there after
    /// `accept` only.
    pub fn elicitation(key: impl Into<String>, message: &str, schema: &Value) -> InputRequest {
        let params = json!({ "message": message, "requestedSchema": schema });
        InputRequest::new(key.into(), Capability::Elicitation, &params)
    }

    /// `roots/list`: the directories that the client works in.
    pub fn roots(key: impl Into<String>) -> InputRequest {
        InputRequest::new(key.into(), Capability::Roots, &json!({}))
    }

    fn new(key: String, capability: Capability, params: &Value) -> InputRequest {
        InputRequest { key, capability, params: to_raw_value(params).expect("a JSON value is JSON") }
    }
}

/// The reason for a call without a result; handlers return it with `?`.
///
/// Text becomes [`CallError::Tool`], so `Err("no such record".into())` is enough. An error of another library needs
/// `.map_err(|error| error.to_string())?`: the model reads the text, so decide what it may contain.
#[derive(Debug)]
pub enum CallError {
    /// The tool failed. The text is returned to the model, which can act on it.
    Tool(String),
    /// The request itself is wrong: a JSON-RPC error, which most clients show to the program and not to the model. In 2026-07-28 its code
    /// determines the HTTP status, and a code that the specification reserves is replaced; before, the status is 200.
    Protocol(Error),
    /// The client has to answer these questions first. Created by [`super::Context::ask`], and by backends whose peer asks.
    InputRequired(Vec<InputRequest>),
    /// The client lacks a capability that the call needs.
    MissingCapability(Capability),
    /// The call can only be a task, and the client does not support tasks.
    TaskRequired,
    /// The result is no longer wanted.
    Cancelled,
}

impl<T: Into<String>> From<T> for CallError {
    fn from(text: T) -> CallError {
        CallError::Tool(text.into())
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> CallError {
        CallError::Protocol(error)
    }
}
