//! A tool: its definition for clients, and the closure that runs it. Prompts use the same type of closure.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::arguments;
use super::backend::ToolRules;
use super::call::{CallError, Reply};
use super::content::ToolResult;
use super::context::Context;
use super::definition::{BuildError, Definition};
use super::jsonrpc::Error;
use super::mirrored::Mirrored;
use crate::base::{Principal, Scopes, is_plain};

type Run = dyn Fn(&Context, &str) -> Result<Reply, CallError> + Send + Sync;

/// A tool.
pub struct Tool {
    pub(super) definition: Definition,
    /// `None`: the given text is not a list of scopes.
    scopes: Option<Scopes>,
    /// Set by [`Tool::checked`].
    pub(super) rules: Arc<ToolRules>,
    pub(super) tasks: TaskSupport,
    pub(super) handler: Option<TypedHandler>,
    /// Whether the handler cannot block.
    pub(super) is_quick: bool,
}

/// The calls of a tool that become tasks. The client gets a task's handle at once and asks for the result later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskSupport {
    /// No call becomes a task.
    #[default]
    Never,
    /// Calls of clients that support tasks do, before the handler runs; other clients wait for the result.
    Optional,
    /// All calls do, before the handler runs; clients without support for tasks are refused.
    Required,
    /// Calls whose handler calls [`Context::become_task`] do, possibly after questions to the client.
    ByHandler,
}

/// The arguments of a tool without any: all members are ignored.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct NoArguments {}

impl Tool {
    /// A tool without a handler. `input_schema` is a JSON schema (2020-12 unless it says otherwise) with `type: object`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Tool {
        let definition = Definition::new([
            ("name", name.into().into()),
            ("description", description.into().into()),
            ("inputSchema", input_schema),
        ]);
        let (scopes, rules, tasks) = (Some(Scopes::default()), Arc::default(), TaskSupport::Never);
        Tool { definition, scopes, rules, tasks, handler: None, is_quick: false }
    }

    /// Sets a member of the tool's definition: `title`, `annotations` (`readOnlyHint` and so on), `icons`, `outputSchema`.
    ///
    /// An `outputSchema` is the JSON schema of [`ToolResult::structured`], which is not checked against it; it has `type: object`. Official
    /// clients refuse a result that does not fit it, or that has text only. They refuse icons whose `src` is not an `https:` or `data:`
    /// URI, and should refuse those of another site than the server's.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Tool {
        self.definition.set(name, value);
        self
    }

    /// Restricts the tool to callers whose token has these scopes, a space-separated list, beyond the scope `mcp` that all
    /// tokens have. Other callers are answered 403 with the scopes to ask for, and their client asks the person again.
    pub fn scopes(mut self, scopes: &str) -> Tool {
        self.scopes = Scopes::parse(scopes);
        self
    }

    /// Lets calls become tasks, for long work. A task runs on its worker like any call, counts as one of the user's running
    /// calls until it is over, and lives in memory for at most an hour.
    /// Notifications of a task ([`Context::log`], [`Context::progress`]) are dropped.
    pub fn tasks(mut self, tasks: TaskSupport) -> Tool {
        self.tasks = tasks;
        self
    }

    /// Sets the closure that runs the tool. It runs on a worker and may block there; to pause, it waits on
    /// [`Context::cancel`].
    ///
    /// Arguments are checked by deserializing them as `A`; the schema only describes them to the model. Arguments that do not fit
    /// `A` never reach the handler: the model gets an error with the place and the expected type. If `A` is a struct, a property
    /// of the schema that it does not have is a [`BuildError`]. The handler checks everything else that the schema says (ranges,
    /// lengths, patterns), and returns an `Err` with a text.
    pub fn handler<A, R, F>(mut self, handler: F) -> Tool
    where
        A: DeserializeOwned,
        R: Into<ToolResult>,
        F: Fn(&Context, A) -> Result<R, CallError> + Send + Sync + 'static,
    {
        let run = move |context: &Context, arguments| Ok(handler(context, arguments)?.into().reply()?);
        (self.handler, self.is_quick) = (Some(TypedHandler::new(CallError::Tool, run)), false);
        self
    }

    /// Sets the closure that runs a tool which answers from memory, in less than a millisecond. It runs on the thread of the
    /// client's connection, where a call costs about half as much as on a worker. It must not block: no files, no network,
    /// no sleep, no lock that is held for long, no use of [`Principal::upstream`]. While it runs, only its own client waits.
    /// Otherwise like [`Tool::handler`], but without waits, reports and questions on the [`Context`].
    ///
    /// ```
    /// # use mcp_oauth_server::mcp::Tool;
    /// # use serde_json::json;
    /// #[derive(serde::Deserialize)]
    /// struct Word { word: String }
    ///
    /// let schema = json!({ "type": "object", "properties": { "word": { "type": "string" } }, "required": ["word"] });
    /// let reverse = Tool::new("reverse", "Reverses a word", schema)
    ///     .quick_handler(|_, Word { word }| Ok(word.chars().rev().collect::<String>()));
    /// ```
    pub fn quick_handler<A, R, F>(self, handler: F) -> Tool
    where
        A: DeserializeOwned,
        R: Into<ToolResult>,
        F: Fn(&Principal, A) -> Result<R, CallError> + Send + Sync + 'static,
    {
        let tool = self.handler(move |context, arguments| handler(context.principal(), arguments));
        Tool { is_quick: true, ..tool }
    }

    pub(super) fn name(&self) -> &str {
        self.definition.text("name")
    }

    /// The tool with the rules of its calls, if it is valid.
    pub(super) fn checked(self) -> Result<Tool, BuildError> {
        let name = self.name();
        let refuse = |why| Err(BuildError::new("tool", name, why));
        if !is_plain(name, "_-.", 1..=64) {
            return refuse("a name is 1 to 64 letters, digits, `_`, `-`, `.`"); // tools, "Tool Names"
        }
        let is_of_object = |schema: &Value| schema.get("type").and_then(Value::as_str) == Some("object");
        if !is_of_object(self.schema()) {
            return refuse("the input schema has no `type: object`");
        }
        // Official clients refuse the whole list for one definition of another form.
        if !self.definition.get("outputSchema").is_none_or(is_of_object) {
            return refuse("the output schema has no `type: object`");
        }
        if !self.definition.get("annotations").is_none_or(are_annotations) {
            return refuse("its `annotations` need a string as `title` and true or false as hints");
        }
        let Some(scopes) = self.scopes.clone() else {
            return refuse("its scopes are not separated by spaces, or have odd characters");
        };
        let Some(mirrored) = Mirrored::of_schema(self.schema()) else {
            return refuse("it has an x-mcp-header that clients must refuse");
        };
        let Some(handler) = &self.handler else { return refuse("it has no handler") };
        let properties = self.schema().get("properties").and_then(Value::as_object);
        handler
            .check(("tool", name), properties.into_iter().flat_map(|all| all.keys().map(String::as_str)))?;
        Ok(Tool { rules: Arc::new(ToolRules { scopes, mirrored }), ..self })
    }

    fn schema(&self) -> &Value {
        self.definition.get("inputSchema").unwrap_or(&Value::Null)
    }
}

/// Whether a value is of the form of `annotations`. Members of other names are extensions.
fn are_annotations(value: &Value) -> bool {
    let is = |member: &str, fits: fn(&Value) -> bool| value.get(member).is_none_or(fits);
    let hints = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
    value.is_object() && is("title", Value::is_string) && hints.iter().all(|hint| is(hint, Value::is_boolean))
}

/// The closure behind a tool or a prompt, which takes its arguments as a type of its own.
pub(super) struct TypedHandler {
    /// The arguments that the closure reads; empty if its type does not name them.
    reads: &'static [&'static str],
    run: Box<Run>,
}

impl TypedHandler {
    /// A handler; `refuse` makes the error for arguments that do not fit `A`.
    pub(super) fn new<A: DeserializeOwned>(
        refuse: fn(String) -> CallError,
        run: impl Fn(&Context, A) -> Result<Reply, CallError> + Send + Sync + 'static,
    ) -> TypedHandler {
        let run = move |context: &Context, arguments: &str| {
            let arguments = arguments::read("", arguments)
                .map_err(|reason| refuse(format!("Invalid arguments: {reason}")))?;
            run(context, arguments)
        };
        TypedHandler { reads: arguments::members::<A>(), run: Box::new(run) }
    }

    /// Runs the closure; absent arguments are an empty object.
    pub(super) fn run(&self, context: &Context, arguments: Option<&RawValue>) -> Result<Reply, CallError> {
        let arguments = arguments.map_or("{}", RawValue::get);
        if !arguments.starts_with('{') {
            return Err(Error::invalid_params("Invalid params: arguments must be an object").into());
        }
        (self.run)(context, arguments)
    }

    /// Checks that the closure reads each argument that a tool or a prompt declares.
    pub(super) fn check<'a>(
        &self,
        (kind, name): (&str, &str),
        mut declared: impl Iterator<Item = &'a str>,
    ) -> Result<(), BuildError> {
        let unread = |argument: &&str| !self.reads.is_empty() && !self.reads.contains(argument);
        let Some(argument) = declared.find(unread) else { return Ok(()) };
        let why = format!("its handler does not read the declared argument {argument:?}");
        Err(BuildError::new(kind, name, why))
    }
}
