//! The backend for tools, prompts and resources in this process. What a program offers is fixed when it is built; handlers
//! run on the worker that brought their call.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::arguments;
use super::backend::{Backend, Context, Description, Implementation, Mirrored};
use super::build_error::BuildError;
use super::call::{Call, CallError, Operation, Reply};
use super::completion::CompleteParams;
use super::content::ToolResult;
use super::definition::Definition;
use super::jsonrpc::Error;
use super::prompt::Prompt;
use super::resource::{Match, Resource};
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
    /// The results of the lists, each with the name of its member.
    lists: HashMap<Operation, (&'static str, Box<RawValue>)>,
    tools: HashMap<String, Tool>,
    prompts: HashMap<String, Prompt>,
    resources: HashMap<String, Resource>,
    /// In the order given: the first that fits a URI reads it.
    templates: Vec<Resource>,
    mirrored: HashMap<String, Arc<[Mirrored]>>,
    scopes: HashMap<String, Arc<Scopes>>,
}

/// Collects what a [`ToolServer`] offers; lists keep this order.
pub struct Builder {
    description: Description,
    tools: Vec<Tool>,
    prompts: Vec<Prompt>,
    resources: Vec<Resource>,
}

impl ToolServer {
    /// A server that offers nothing yet. Clients see its name and version.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> Builder {
        let description = Description {
            info: Implementation { name: name.into(), version: version.into(), more: Map::new() },
            instructions: None,
            operations: Vec::new(),
            lists_change: false,
            scopes: Scopes::default(),
            scope_words: Vec::new(),
            has_tasks: false,
            keeps_github_tokens: false,
        };
        Builder { description, tools: Vec::new(), prompts: Vec::new(), resources: Vec::new() }
    }

    fn result(&self, context: &Context) -> Result<Reply, CallError> {
        let call = context.call.as_ref().ok_or_else(Error::internal)?;
        match call.operation {
            Operation::ListTools
            | Operation::ListPrompts
            | Operation::ListResources
            | Operation::ListResourceTemplates => self.list(call),
            Operation::CallTool => self.call_tool(call, context),
            Operation::GetPrompt => {
                let Named { name, arguments } = call.params()?;
                let prompt = self.prompts.get(&*name).ok_or_else(|| unknown("prompt", &name))?;
                prompt.fill_in(context, arguments)
            }
            Operation::ReadResource => self.read_resource(call, context),
            Operation::Complete => self.complete(call, context),
        }
    }

    /// A list. It is whole: there is no next page, so no cursor can be one of ours.
    fn list(&self, call: &Call) -> Result<Reply, CallError> {
        #[derive(Deserialize)]
        struct Page {
            cursor: Option<String>,
        }
        let (name, list) = self.lists.get(&call.operation).ok_or_else(Error::internal)?;
        match call.params()? {
            Page { cursor: None } => Ok(Reply::default().with(*name, list)?),
            Page { cursor: Some(_) } => Err(Error::invalid_params("Unknown cursor").into()),
        }
    }

    fn call_tool(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let Named { name, arguments } = call.params()?;
        let tool = self.tools.get(&*name).ok_or_else(|| unknown("tool", &name))?;
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
        match handler.run(context, arguments) {
            // A failure of the tool is a result: the model sees it and can do better (tools, "Error Handling").
            Err(CallError::Tool(text)) => Ok(ToolResult::error(text).reply()?),
            result => result,
        }
    }

    fn read_resource(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        #[derive(Deserialize)]
        struct Params {
            uri: String,
        }
        let Params { uri } = call.params()?;
        match self.resource(&uri) {
            Some((resource, found)) => resource.read(context, &found),
            None => {
                let error = Error::new(Error::RESOURCE_NOT_FOUND, "Resource not found");
                Err(error.with_data(json!({ "uri": uri })).into())
            }
        }
    }

    /// The resource at a URI, else the first template that fits it.
    fn resource(&self, uri: &str) -> Option<(&Resource, Match)> {
        let found = |variables| Match { uri: uri.to_owned(), variables };
        match self.resources.get(uri) {
            Some(resource) => Some((resource, found(Default::default()))),
            None => self.templates.iter().find_map(|each| Some((each, found(each.variables(uri)?)))),
        }
    }

    fn complete(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let params: CompleteParams = call.params()?;
        let reference = &params.reference;
        let completers = match (&*reference.r#type, &reference.name, &reference.uri) {
            ("ref/prompt", Some(name), _) => self.prompts.get(name).map(|prompt| &prompt.completers),
            ("ref/resource", _, Some(uri)) => {
                self.templates.iter().find(|each| each.uri() == uri).map(|each| &each.completers)
            }
            _ => {
                let why =
                    "Invalid params: ref is neither a ref/prompt with a name nor a ref/resource with a uri";
                return Err(Error::invalid_params(why).into());
            }
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

fn unknown(what: &str, name: &str) -> Error {
    Error::invalid_params(format!("Unknown {what}: {}", arguments::cut(name)))
}

impl Backend for ToolServer {
    fn description(&self) -> &Description {
        &self.description
    }

    fn call(&self, call: Call, context: Context) {
        let context = Context { call: Some(call), ..context };
        let result = self.result(&context);
        context.complete(result);
    }

    fn mirrored(&self, tool: &str) -> Option<Arc<[Mirrored]>> {
        self.mirrored.get(tool).cloned()
    }

    fn scopes(&self, tool: &str) -> Option<Arc<Scopes>> {
        self.scopes.get(tool).cloned()
    }

    fn known(&self, operation: Operation, name: &str) -> Option<&str> {
        match operation {
            Operation::CallTool => self.tools.get(name).map(Tool::name),
            Operation::GetPrompt => self.prompts.get(name).map(Prompt::name),
            Operation::ReadResource => self.resource(name).map(|(resource, _)| resource.uri()),
            Operation::ListTools
            | Operation::ListPrompts
            | Operation::ListResources
            | Operation::ListResourceTemplates
            | Operation::Complete => None,
        }
    }
}

impl Builder {
    /// Sets a member of what clients see of the server itself: `title`, `icons`, `websiteUrl`. Pages show the title.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Builder {
        self.description.info.more.insert(name.to_owned(), value.into());
        self
    }

    /// Sets what a model should know about the server as a whole.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Builder {
        self.description.instructions = Some(instructions.into());
        self
    }

    /// Says what a scope allows, in words that people read before they agree: "Read your calendar". `name` is a scope that a
    /// tool needs, or `mcp`, which every caller has.
    pub fn scope(mut self, name: impl Into<String>, words: impl Into<String>) -> Builder {
        self.description.scope_words.push((name.into(), words.into()));
        self
    }

    /// Promises (`listChanged`) that clients are told when lists change, for programs that call
    /// [`Publisher::tools_changed`](super::Publisher::tools_changed) and its siblings. The lists of this server by itself are
    /// fixed, so nothing is promised otherwise.
    pub fn lists_change(mut self) -> Builder {
        self.description.lists_change = true;
        self
    }

    /// Keeps the caller's own GitHub token for tools that call GitHub as the caller: [`Context::principal`], its `upstream`.
    /// It is kept encrypted; without this it is dropped after the login. A tool to which GitHub answers 401 calls
    /// `upstream.refused()`, so that the client logs in again by itself.
    pub fn keep_github_tokens(mut self) -> Builder {
        self.description.keeps_github_tokens = true;
        self
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: Tool) -> Builder {
        self.tools.push(tool);
        self
    }

    /// Adds a prompt.
    pub fn prompt(mut self, prompt: Prompt) -> Builder {
        self.prompts.push(prompt);
        self
    }

    /// Adds a resource or a resource template.
    pub fn resource(mut self, resource: Resource) -> Builder {
        self.resources.push(resource);
        self
    }

    /// Builds the server.
    ///
    /// # Errors
    /// [`BuildError`] for the first thing that cannot be offered.
    pub fn build(self) -> Result<ToolServer, BuildError> {
        let Builder { mut description, tools, prompts, resources } = self;
        tools.iter().try_for_each(Tool::check)?;
        prompts.iter().try_for_each(Prompt::check)?;
        resources.iter().try_for_each(Resource::check)?;
        let named = |tool: &Tool| tool.name().to_owned();
        let scopes: HashMap<_, _> = tools
            .iter()
            .filter_map(|tool| Some((named(tool), Arc::new(tool.scopes.clone()?))))
            .filter(|(_, scopes)| !scopes.is_empty())
            .collect();
        let mirrored = tools
            .iter()
            .filter_map(|tool| Some((named(tool), tool.mirrored()?)))
            .filter(|(_, mirrored)| !mirrored.is_empty())
            .map(|(name, mirrored)| (name, mirrored.into()))
            .collect();
        description.scopes = scopes.values().fold(Scopes::default(), |all, each| all.union(each));
        check_scope_words(&description)?;
        description.operations = operations(&tools, &prompts, &resources);
        description.has_tasks = tools.iter().any(|tool| tool.tasks != TaskSupport::Never);
        let (templates, resources): (Vec<_>, Vec<_>) = resources.into_iter().partition(Resource::is_template);
        let lists = HashMap::from([
            (Operation::ListTools, list("tools", tools.iter().map(|each| &each.definition))),
            (Operation::ListPrompts, list("prompts", prompts.iter().map(|each| &each.definition))),
            (Operation::ListResources, list("resources", resources.iter().map(|each| &each.definition))),
            (
                Operation::ListResourceTemplates,
                list("resourceTemplates", templates.iter().map(|each| &each.definition)),
            ),
        ]);
        by_name("resource", templates.iter(), |each| each.uri())?;
        Ok(ToolServer {
            description,
            lists,
            tools: by_name("tool", tools, Tool::name)?,
            prompts: by_name("prompt", prompts, Prompt::name)?,
            resources: by_name("resource", resources, Resource::uri)?,
            templates,
            mirrored,
            scopes,
        })
    }
}

fn operations(tools: &[Tool], prompts: &[Prompt], resources: &[Resource]) -> Vec<Operation> {
    let mut operations = Vec::new();
    if !tools.is_empty() {
        operations.extend([Operation::ListTools, Operation::CallTool]);
    }
    if !prompts.is_empty() {
        operations.extend([Operation::ListPrompts, Operation::GetPrompt]);
    }
    if !resources.is_empty() {
        operations.extend([
            Operation::ListResources,
            Operation::ListResourceTemplates,
            Operation::ReadResource,
        ]);
    }
    if !prompts.is_empty() || resources.iter().any(Resource::is_template) {
        operations.push(Operation::Complete);
    }
    operations
}

/// A list as clients get it, with the name of its member.
fn list<'a>(name: &'static str, all: impl Iterator<Item = &'a Definition>) -> (&'static str, Box<RawValue>) {
    let all: Vec<_> = all.collect();
    (name, to_raw_value(&all).expect("definitions are JSON already"))
}

/// Indexes what has a name; no two may have the same.
fn by_name<T>(
    kind: &str,
    all: impl IntoIterator<Item = T>,
    name: fn(&T) -> &str,
) -> Result<HashMap<String, T>, BuildError> {
    let mut indexed = HashMap::new();
    for each in all {
        let name = name(&each).to_owned();
        if indexed.contains_key(&name) {
            return Err(BuildError::new(kind, &name, "there are two of this name or URI"));
        }
        indexed.insert(name, each);
    }
    Ok(indexed)
}

/// Checks that each scope with words is one that somebody can be asked for.
fn check_scope_words(Description { scopes, scope_words, .. }: &Description) -> Result<(), BuildError> {
    for (name, _) in scope_words {
        let refuse = |why| Err(BuildError::new("scope", name, why));
        if name != "mcp" && !scopes.contains(name) {
            return refuse("it has words, and no tool needs it");
        }
        if scope_words.iter().filter(|(other, _)| other == name).count() > 1 {
            return refuse("it has words twice");
        }
    }
    Ok(())
}
