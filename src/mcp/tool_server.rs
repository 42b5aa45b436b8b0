//! The backend for tools, prompts and resources in this process. What a program offers is fixed when it is built; handlers
//! run on the worker that brought their call.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::arguments;
use super::backend::{Backend, Context, Description, Implementation, Mirrored};
use super::build_error::{
    BuildError, check_prompts, check_resources, check_scope_words, check_templates, check_tools, tool_scopes,
};
use super::call::{Call, CallError, Operation, Outcome, Reply};
use super::completion::{CompleteParams, Reference};
use super::content::ToolResult;
use super::icon::Icon;
use super::jsonrpc::Error;
use super::prompt::Prompt;
use super::resource::{Match, Resource, ResourceTemplate};
use super::tool::{TaskSupport, Tool};
use crate::base::identity::Scopes;

/// Tools, prompts and resources in this process.
///
/// ```
/// use mcp_oauth_server::mcp::{Tool, ToolServer};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize)]
/// struct Sum { a: i64, b: i64 }
///
/// let number = json!({ "type": "integer" });
/// let schema = json!({ "type": "object", "properties": { "a": number, "b": number }, "required": ["a", "b"] });
/// let sum = Tool::new("sum", "Adds two numbers", schema).handler(|_, Sum { a, b }| {
///     a.checked_add(b).map(|sum| sum.to_string()).ok_or_else(|| "the sum is too large".into())
/// });
/// let server = ToolServer::builder("calculator", "1.0.0").tool(sum).build()?;
/// # Ok::<(), mcp_oauth_server::mcp::BuildError>(())
/// ```
pub struct ToolServer {
    description: Description,
    tools: Offer<Tool>,
    prompts: Offer<Prompt>,
    resources: Offer<Resource>,
    templates: Offer<ResourceTemplate>,
    mirrored: HashMap<String, Arc<[Mirrored]>>,
    scopes: HashMap<String, Arc<Scopes>>,
}

/// Things in the order given, by name, and as the list that clients see.
struct Offer<T> {
    all: Vec<T>,
    by_name: HashMap<Cow<'static, str>, usize>,
    list: Box<RawValue>,
}

impl<T> Offer<T> {
    fn new<D: Serialize>(
        all: Vec<T>,
        view: impl Fn(&T) -> (&Cow<'static, str>, &D),
    ) -> Result<Offer<T>, BuildError> {
        let definitions: Vec<&D> = all.iter().map(|each| view(each).1).collect();
        let list = to_raw_value(&definitions).expect("definitions are structs of strings and JSON values");
        let mut by_name = HashMap::with_capacity(all.len());
        for (index, each) in all.iter().enumerate() {
            let (name, _) = view(each);
            if by_name.insert(name.clone(), index).is_some() {
                return Err(BuildError::Duplicate(name.clone().into_owned()));
            }
        }
        Ok(Offer { all, by_name, list })
    }

    fn named(&self, name: &str) -> Option<&T> {
        self.by_name.get(name).and_then(|index| self.all.get(*index))
    }
}

/// Collects what a [`ToolServer`] offers; lists keep this order.
pub struct Builder {
    info: Implementation,
    instructions: Option<String>,
    scope_words: Vec<(String, String)>,
    lists_change: bool,
    keeps_github_tokens: bool,
    tools: Vec<Tool>,
    prompts: Vec<Prompt>,
    resources: Vec<Resource>,
    templates: Vec<ResourceTemplate>,
}

impl ToolServer {
    /// A server that offers nothing yet. Clients see its name and version.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> Builder {
        Builder {
            info: Implementation {
                name: name.into(),
                title: None,
                version: version.into(),
                icons: Vec::new(),
            },
            instructions: None,
            scope_words: Vec::new(),
            lists_change: false,
            keeps_github_tokens: false,
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
        }
    }

    fn outcome(&self, context: &Context) -> Result<Reply, CallError> {
        let call = context.call.as_ref().ok_or_else(Error::internal)?;
        match call.operation {
            Operation::ListTools => list(call, "tools", &self.tools.list),
            Operation::ListPrompts => list(call, "prompts", &self.prompts.list),
            Operation::ListResources => list(call, "resources", &self.resources.list),
            Operation::ListResourceTemplates => list(call, "resourceTemplates", &self.templates.list),
            Operation::CallTool => self.call_tool(call, context),
            Operation::GetPrompt => self.get_prompt(call, context),
            Operation::ReadResource => self.read_resource(call, context),
            Operation::Complete => self.complete(call, context),
        }
    }

    fn call_tool(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let params: Named<'_> = call.params()?;
        let tool = self.tools.named(&params.name);
        let tool = tool.ok_or_else(|| unknown("tool", &params.name))?;
        let handler = tool.handler.as_ref().ok_or_else(Error::internal)?;
        match tool.tasks {
            TaskSupport::Never | TaskSupport::ByHandler => {}
            TaskSupport::Optional => {
                let _ = context.become_task()?; // without one the caller waits
            }
            TaskSupport::Required if context.become_task()? => {}
            TaskSupport::Required if context.client().takes_tasks() => {
                return Err(Error::new(Error::BUSY, "Too many tasks").into());
            }
            TaskSupport::Required => return Err(CallError::TaskRequired),
        }
        let result = match with_arguments(params.arguments, |arguments| handler(context, arguments)) {
            // A failure of the tool is a result: the model sees it and can do better (tools, "Error Handling").
            Err(CallError::Tool(text)) => ToolResult::error(text),
            other => other?,
        };
        Ok(result.reply()?)
    }

    fn get_prompt(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let params: Named<'_> = call.params()?;
        let prompt = self.prompts.named(&params.name).ok_or_else(|| unknown("prompt", &params.name))?;
        let handler = prompt.handler.as_ref().ok_or_else(Error::internal)?;
        let result = with_arguments(params.arguments, |arguments| {
            prompt.definition.check(arguments)?;
            handler(context, arguments)
        })?;
        Ok(result.reply()?)
    }

    fn read_resource(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        #[derive(Deserialize)]
        struct Params {
            uri: String,
        }
        let Params { uri } = call.params()?;
        let (contents, definition) = if let Some(Resource { definition, reader }) = self.resources.named(&uri)
        {
            let reader = reader.as_ref().ok_or_else(Error::internal)?;
            (reader(context)?, definition)
        } else {
            let Some((ResourceTemplate { definition, reader, .. }, variables)) = self.template(&uri) else {
                let error = Error::new(Error::RESOURCE_NOT_FOUND, "Resource not found");
                return Err(error.with_data(json!({ "uri": uri })).into());
            };
            let reader = reader.as_ref().ok_or_else(Error::internal)?;
            (reader(context, &Match { uri: uri.clone(), variables })?, definition)
        };
        let contents = contents.of(&uri, definition.mime_type.clone());
        Ok(Reply::default().with("contents", &[contents])?)
    }

    /// The first template that fits a URI, and what its variables are there.
    fn template(&self, uri: &str) -> Option<(&ResourceTemplate, BTreeMap<String, String>)> {
        let fits = |each: &ResourceTemplate| each.template.as_ref()?.matches(uri);
        self.templates.all.iter().find_map(|each| Some((each, fits(each)?)))
    }

    fn complete(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let params: CompleteParams = call.params()?;
        let completers = match &params.reference {
            Reference::Prompt { name } => self.prompts.named(name).map(|each| &each.completers),
            Reference::Resource { uri } => self.templates.named(uri).map(|each| &each.completers),
        };
        let completers =
            completers.ok_or_else(|| Error::invalid_params("Unknown prompt or resource template"))?;
        Ok(completers.complete(context, params)?)
    }
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Runs `handler` with the arguments; without any they are an empty object.
fn with_arguments<R>(
    arguments: Option<&RawValue>,
    handler: impl FnOnce(&RawValue) -> Result<R, CallError>,
) -> Result<R, CallError> {
    match arguments {
        Some(arguments) if arguments.get().starts_with('{') => handler(arguments),
        Some(_) => Err(Error::invalid_params("Invalid params: arguments must be an object").into()),
        None => handler(&RawValue::from_string("{}".to_owned()).map_err(|_| Error::internal())?),
    }
}

fn unknown(what: &str, name: &str) -> Error {
    Error::invalid_params(format!("Unknown {what}: {}", arguments::cut(name)))
}

/// Lists are whole: there is no next page, so no cursor can be one of ours.
fn list(call: &Call, name: &'static str, list: &RawValue) -> Result<Reply, CallError> {
    #[derive(Deserialize)]
    struct Page {
        cursor: Option<String>,
    }
    match call.params()? {
        Page { cursor: None } => Ok(Reply::default().with(name, &list)?),
        Page { cursor: Some(_) } => Err(Error::invalid_params("Unknown cursor").into()),
    }
}

impl Backend for ToolServer {
    fn description(&self) -> &Description {
        &self.description
    }

    fn call(&self, call: Call, context: Context) {
        let context = Context { call: Some(call), ..context };
        let outcome = match self.outcome(&context) {
            Ok(reply) => Outcome::Complete(reply),
            Err(CallError::Tool(text)) => Outcome::Failed(Error::new(Error::INTERNAL, text)),
            Err(CallError::Protocol(error)) => Outcome::Failed(error),
            Err(CallError::InputRequired(requests)) => Outcome::InputRequired(requests),
            Err(CallError::MissingCapability(capability)) => Outcome::MissingCapability(capability),
            Err(CallError::TaskRequired) => Outcome::TaskRequired,
            Err(CallError::Cancelled) => Outcome::Failed(Error::new(Error::INTERNAL, "Cancelled")),
        };
        context.complete(outcome);
    }

    fn mirrored(&self, tool: &str) -> Option<Arc<[Mirrored]>> {
        self.mirrored.get(tool).cloned()
    }

    fn scopes(&self, tool: &str) -> Option<Arc<Scopes>> {
        self.scopes.get(tool).cloned()
    }

    fn known(&self, operation: Operation, name: &str) -> Option<&str> {
        match operation {
            Operation::CallTool => self.tools.named(name).map(|tool| &*tool.definition.name),
            Operation::GetPrompt => self.prompts.named(name).map(|prompt| &*prompt.definition.name),
            Operation::ReadResource => match self.resources.named(name) {
                Some(resource) => Some(resource.definition.uri()),
                None => self.template(name).map(|(template, _)| &**template.definition.uri()),
            },
            Operation::ListTools
            | Operation::ListPrompts
            | Operation::ListResources
            | Operation::ListResourceTemplates
            | Operation::Complete => None,
        }
    }
}

impl Builder {
    /// The same with a name for people.
    pub fn title(mut self, title: impl Into<String>) -> Builder {
        self.info.title = Some(title.into());
        self
    }

    /// The same with one more picture that clients may show.
    pub fn icon(mut self, icon: Icon) -> Builder {
        self.info.icons.push(icon);
        self
    }

    /// The same with what a model should know about the server as a whole.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Builder {
        self.instructions = Some(instructions.into());
        self
    }

    /// The same with what a scope allows, in words that people read before they agree: "Read your calendar". `name` is a scope
    /// that a tool needs, or `mcp`, which every caller has.
    pub fn scope(mut self, name: impl Into<String>, words: impl Into<String>) -> Builder {
        self.scope_words.push((name.into(), words.into()));
        self
    }

    /// The same, with the promise (`listChanged`) that clients are told when lists change, for programs that call
    /// [`Publisher::tools_changed`](super::Publisher::tools_changed) and its siblings. The lists of this server by itself are
    /// fixed, so nothing is promised otherwise.
    pub fn lists_change(mut self) -> Builder {
        self.lists_change = true;
        self
    }

    /// The same, with the caller's own GitHub token for tools that call GitHub as the caller: [`Context::principal`], its
    /// `upstream`. It is kept encrypted; without this it is dropped after the login. A tool to which GitHub answers 401 calls
    /// `upstream.refused()`, so that the client logs in again by itself.
    pub fn keep_github_tokens(mut self) -> Builder {
        self.keeps_github_tokens = true;
        self
    }

    /// The same with one more tool.
    pub fn tool(mut self, tool: Tool) -> Builder {
        self.tools.push(tool);
        self
    }

    /// The same with one more prompt.
    pub fn prompt(mut self, prompt: Prompt) -> Builder {
        self.prompts.push(prompt);
        self
    }

    /// The same with one more resource.
    pub fn resource(mut self, resource: Resource) -> Builder {
        self.resources.push(resource);
        self
    }

    /// The same with one more resource template.
    pub fn template(mut self, template: ResourceTemplate) -> Builder {
        self.templates.push(template);
        self
    }

    /// The server.
    ///
    /// # Errors
    /// [`BuildError`] for the first thing that cannot be offered.
    pub fn build(self) -> Result<ToolServer, BuildError> {
        let mirrored = check_tools(&self.tools)?;
        check_prompts(&self.prompts)?;
        check_resources(&self.resources)?;
        check_templates(&self.templates)?;
        let scopes = tool_scopes(&self.tools)?;
        let operations = self.operations();
        let has_tasks = self.tools.iter().any(|tool| tool.tasks != TaskSupport::Never);
        let Builder {
            info,
            instructions,
            lists_change,
            scope_words,
            keeps_github_tokens,
            tools,
            prompts,
            resources,
            templates,
        } = self;
        let all_scopes = scopes.values().fold(Scopes::default(), |all, each| all.union(each));
        check_scope_words(&scope_words, &all_scopes)?;
        Ok(ToolServer {
            description: Description {
                info,
                instructions,
                operations,
                lists_change,
                scopes: all_scopes,
                scope_words,
                has_tasks,
                keeps_github_tokens,
            },
            tools: Offer::new(tools, |each| (&each.definition.name, &each.definition))?,
            prompts: Offer::new(prompts, |each| (&each.definition.name, &each.definition))?,
            resources: Offer::new(resources, |each| (each.definition.uri(), &each.definition))?,
            templates: Offer::new(templates, |each| (each.definition.uri(), &each.definition))?,
            mirrored,
            scopes,
        })
    }

    fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        if !self.tools.is_empty() {
            operations.extend([Operation::ListTools, Operation::CallTool]);
        }
        if !self.prompts.is_empty() {
            operations.extend([Operation::ListPrompts, Operation::GetPrompt]);
        }
        if !self.resources.is_empty() || !self.templates.is_empty() {
            operations.extend([
                Operation::ListResources,
                Operation::ListResourceTemplates,
                Operation::ReadResource,
            ]);
        }
        if !self.prompts.is_empty() || !self.templates.is_empty() {
            operations.push(Operation::Complete);
        }
        operations
    }
}
