//! The era-free nouns: what a client asks of a backend, and what a backend answers.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::arguments;
use super::intake::is_absent;
use super::jsonrpc::Error;
use crate::base::json;

/// What a client can ask of a backend, in both eras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `tools/list`
    ListTools,
    /// `tools/call`
    CallTool,
    /// `prompts/list`
    ListPrompts,
    /// `prompts/get`
    GetPrompt,
    /// `resources/list`
    ListResources,
    /// `resources/templates/list`
    ListResourceTemplates,
    /// `resources/read`
    ReadResource,
    /// `completion/complete`
    Complete,
}

impl Operation {
    /// The operation of a method's name.
    pub fn from_method(method: &str) -> Option<Operation> {
        Some(match method {
            "tools/list" => Operation::ListTools,
            "tools/call" => Operation::CallTool,
            "prompts/list" => Operation::ListPrompts,
            "prompts/get" => Operation::GetPrompt,
            "resources/list" => Operation::ListResources,
            "resources/templates/list" => Operation::ListResourceTemplates,
            "resources/read" => Operation::ReadResource,
            "completion/complete" => Operation::Complete,
            _ => return None,
        })
    }

    /// Whether it lists what is offered, which costs next to nothing.
    pub fn is_list(self) -> bool {
        match self {
            Operation::ListTools
            | Operation::ListPrompts
            | Operation::ListResources
            | Operation::ListResourceTemplates => true,
            Operation::CallTool | Operation::GetPrompt | Operation::ReadResource | Operation::Complete => {
                false
            }
        }
    }

    /// Whether its params name a tool, prompt or resource. These are also the ones that may ask the client for more.
    pub(super) fn takes_a_name(self) -> bool {
        matches!(self, Operation::CallTool | Operation::GetPrompt | Operation::ReadResource)
    }

    /// The name or URI in its params.
    pub(super) fn named<'a>(
        self,
        name: &'a Option<String>,
        uri: &'a Option<String>,
    ) -> Result<&'a str, Error> {
        let name = if self == Operation::ReadResource { uri } else { name };
        name.as_deref().ok_or_else(|| Error::invalid_params("Invalid params: the name or URI is missing"))
    }

    /// The method's name.
    pub fn method(self) -> &'static str {
        match self {
            Operation::ListTools => "tools/list",
            Operation::CallTool => "tools/call",
            Operation::ListPrompts => "prompts/list",
            Operation::GetPrompt => "prompts/get",
            Operation::ListResources => "resources/list",
            Operation::ListResourceTemplates => "resources/templates/list",
            Operation::ReadResource => "resources/read",
            Operation::Complete => "completion/complete",
        }
    }
}

/// One request for the backend.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub operation: Operation,
    /// The params as the client wrote them: an object that was scanned (M10) and not built.
    pub params: Box<RawValue>,
}

impl Call {
    /// A call with the client's params; without any they are an empty object.
    pub(super) fn new(operation: Operation, params: Option<&RawValue>) -> Call {
        Call { operation, params: params.map_or_else(empty, RawValue::to_owned) }
    }

    /// The params as a type.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] with the reason in words.
    pub fn params<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        parse(Some(&self.params))
    }
}

/// Params as a type; absent ones are an empty object.
pub(super) fn parse<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Result<T, Error> {
    arguments::read(params.map_or("{}", RawValue::get))
        .map_err(|reason| Error::invalid_params(format!("Invalid params: {reason}")))
}

/// Reads a member that may be absent and that some clients write as null or `[]` then.
pub(super) fn absent_or<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    if is_absent(&value) { Ok(T::default()) } else { json::read(value.get()).map_err(D::Error::custom) }
}

fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("an empty object is JSON")
}

/// A result: the members of its object. What the era adds (`resultType`, cache hints, `serverInfo`) is not among them.
#[derive(Debug, Default)]
pub struct Reply {
    pub(super) members: Vec<(Cow<'static, str>, Box<RawValue>)>,
}

impl Reply {
    /// A result with one more member.
    ///
    /// # Errors
    /// [`Error::INTERNAL`] if `value` cannot be JSON (a map with keys that are no strings).
    pub fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: &impl Serialize,
    ) -> Result<Reply, Error> {
        let value = to_raw_value(value).map_err(|_| Error::internal())?;
        self.members.push((name.into(), value));
        Ok(self)
    }

    /// Whether it says that the tool has failed.
    pub(super) fn is_error(&self) -> bool {
        self.members.iter().any(|(name, value)| name == "isError" && value.get() == "true")
    }

    /// The result by itself.
    pub(super) fn into_json(self) -> Result<Arc<RawValue>, Error> {
        to_raw_value(&self).map(Arc::from).map_err(|_| Error::internal())
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.members.iter().map(|(name, value)| (name, value)))
    }
}

/// How much a log message matters (RFC 5424), least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For developers.
    Debug,
    /// As it should be.
    Info,
    /// Normal, but worth a look.
    Notice,
    /// It may become an error.
    Warning,
    /// An operation failed.
    Error,
    /// A component failed.
    Critical,
    /// Act now.
    Alert,
    /// Nothing works.
    Emergency,
}

/// Something that a tool may want of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `sampling/createMessage`
    Sampling,
    /// `elicitation/create` with a form.
    Elicitation,
    /// `roots/list`
    Roots,
}

impl Capability {
    /// The capability's key in `ClientCapabilities`.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Sampling => "sampling",
            Capability::Elicitation => "elicitation",
            Capability::Roots => "roots",
        }
    }
}

/// What the client says that it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Declared")]
pub struct ClientCapabilities(
    /// One bit each. A part of sealed session ids: what a bit means must not change.
    pub(super) u8,
);

/// The capabilities as a client writes them: a member that is there declares one, an empty object included.
#[derive(Deserialize)]
struct Declared {
    sampling: Option<IgnoredAny>,
    elicitation: Option<Value>,
    roots: Option<IgnoredAny>,
    extensions: Option<Value>,
}

impl TryFrom<Declared> for ClientCapabilities {
    type Error = String;

    fn try_from(declared: Declared) -> Result<ClientCapabilities, String> {
        // PHP writes an empty object as `[]`.
        let check = |name: &str, value: &Option<Value>| match value {
            None | Some(Value::Object(_)) => Ok(()),
            Some(Value::Array(elements)) if elements.is_empty() => Ok(()),
            Some(_) => Err(format!("{name} must be an object")),
        };
        check("elicitation", &declared.elicitation)?;
        check("extensions", &declared.extensions)?;
        let has = |object: &Value, name| object.get(name).is_some_and(|member| !member.is_null());
        // An empty object means forms, as it did before there were URLs.
        let forms = declared.elicitation.is_some_and(|modes| has(&modes, "form") || !has(&modes, "url"));
        let tasks = declared.extensions.is_some_and(|all| has(&all, "io.modelcontextprotocol/tasks"));
        let bits = [
            (declared.sampling.is_some(), ClientCapabilities::bit(Capability::Sampling)),
            (forms, ClientCapabilities::bit(Capability::Elicitation)),
            (declared.roots.is_some(), ClientCapabilities::bit(Capability::Roots)),
            (tasks, ClientCapabilities::TASKS),
        ];
        Ok(ClientCapabilities(
            bits.iter().filter(|(is_there, _)| *is_there).fold(0, |all, (_, bit)| all | bit),
        ))
    }
}

impl ClientCapabilities {
    const TASKS: u8 = 8;

    fn bit(capability: Capability) -> u8 {
        match capability {
            Capability::Sampling => 1,
            Capability::Elicitation => 2,
            Capability::Roots => 4,
        }
    }

    /// Whether the client has declared `capability`.
    pub fn supports(&self, capability: Capability) -> bool {
        self.0 & ClientCapabilities::bit(capability) != 0
    }

    /// Whether the client takes a task for the result of a call (2026-07-28 only).
    pub fn takes_tasks(&self) -> bool {
        self.0 & ClientCapabilities::TASKS != 0
    }
}

/// A question to the client. Its JSON is that of MRTR: method and params.
#[derive(Clone, Debug)]
pub struct InputRequest {
    /// Names the question within its call: the same in every round.
    pub key: String,
    /// What the client must be able to do; decides the method.
    pub capability: Capability,
    /// The params of the method.
    pub params: Box<RawValue>,
}

impl Serialize for InputRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut question = serializer.serialize_struct("InputRequest", 2)?;
        question.serialize_field("method", self.method())?;
        question.serialize_field("params", &self.params)?;
        question.end()
    }
}

impl InputRequest {
    /// The method of the question.
    pub fn method(&self) -> &'static str {
        match self.capability {
            Capability::Sampling => "sampling/createMessage",
            Capability::Elicitation => "elicitation/create",
            Capability::Roots => "roots/list",
        }
    }

    /// `sampling/createMessage`: has the client's model continue a conversation.
    ///
    /// # Errors
    /// [`Error::INTERNAL`] if `params` cannot be JSON.
    pub fn sampling(key: impl Into<String>, params: &impl Serialize) -> Result<InputRequest, Error> {
        InputRequest::new(key, Capability::Sampling, params)
    }

    /// `elicitation/create`: has the person fill in a form. `schema` is a flat JSON object schema. The answer is
    /// `{"action": "accept" | "decline" | "cancel", "content": {…}}`; `content` holds the form's fields and is there after
    /// `accept` only.
    ///
    /// # Errors
    /// [`Error::INTERNAL`] if `schema` cannot be JSON.
    pub fn elicitation(
        key: impl Into<String>,
        message: &str,
        schema: &impl Serialize,
    ) -> Result<InputRequest, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a, S> {
            message: &'a str,
            requested_schema: &'a S,
        }
        InputRequest::new(key, Capability::Elicitation, &Params { message, requested_schema: schema })
    }

    /// `roots/list`: the directories that the client works in.
    ///
    /// # Errors
    /// None that can happen; the signature is that of its siblings.
    pub fn roots(key: impl Into<String>) -> Result<InputRequest, Error> {
        InputRequest::new(key, Capability::Roots, &serde_json::Map::new())
    }

    fn new(
        key: impl Into<String>,
        capability: Capability,
        params: &impl Serialize,
    ) -> Result<InputRequest, Error> {
        let params = to_raw_value(params).map_err(|_| Error::internal())?;
        Ok(InputRequest { key: key.into(), capability, params })
    }
}

/// Why a handler ends without a result. Made for `?`.
#[derive(Debug)]
pub enum CallError {
    /// The tool failed; the model is told so in these words and can act on them.
    Tool(String),
    /// The request itself is wrong.
    Protocol(Error),
    /// The client has to answer these first. Made by [`super::Context::ask`] only.
    InputRequired(Vec<InputRequest>),
    /// The client cannot do what is needed.
    MissingCapability(Capability),
    /// The call can only be a task, and the client takes none.
    TaskRequired,
    /// Nobody waits for the result any more.
    Cancelled,
}

impl From<String> for CallError {
    fn from(text: String) -> CallError {
        CallError::Tool(text)
    }
}

impl From<&str> for CallError {
    fn from(text: &str) -> CallError {
        CallError::Tool(text.to_owned())
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> CallError {
        CallError::Protocol(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(capabilities: &str, expected: [bool; 3]) {
        let client: ClientCapabilities = serde_json::from_str(capabilities).unwrap();
        let all = [Capability::Sampling, Capability::Elicitation, Capability::Roots];
        assert_eq!(all.map(|capability| client.supports(capability)), expected, "{capabilities}");
    }

    #[test]
    fn a_capability_is_there_when_its_object_is() {
        check("{}", [false, false, false]);
        check(r#"{"sampling":{"tools":{}},"roots":{"listChanged":true},"x":1}"#, [true, false, true]);
        check(r#"{"elicitation":{}}"#, [false, true, false]);
        check(r#"{"elicitation":{"url":{}}}"#, [false, false, false]);
        check(r#"{"elicitation":{"url":{},"form":{}}}"#, [false, true, false]);
        check(r#"{"elicitation":{"url":{},"form":null}}"#, [false, false, false]);
        check(
            r#"{"sampling":null,"elicitation":null,"roots":null,"extensions":null}"#,
            [false, false, false],
        );
        check(r#"{"sampling":[],"elicitation":[],"roots":[],"extensions":[]}"#, [true, true, true]);
        for bad in [
            r#"{"elicitation":[{}]}"#,
            r#"{"extensions":["io.modelcontextprotocol/tasks"]}"#,
            r#"{"elicitation":7}"#,
        ] {
            assert!(serde_json::from_str::<ClientCapabilities>(bad).is_err(), "{bad}");
        }
    }
}
