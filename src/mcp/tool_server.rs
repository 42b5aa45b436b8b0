//! The backend for tools, prompts and resources in this process. Its lists are fixed when it is built. Handlers run on the worker
//! that serves the request, quick ones on the thread of the connection.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::access;
use super::backend::{Backend, Consent, Description, ToolRules};
use super::call::{Call, CallError, Reply};
use super::completion;
use super::content::ToolResult;
use super::context::Context;
use super::definition::{BuildError, Definition};
use super::jsonrpc::Error;
use super::methods::{List, Operation};
use super::prompt::Prompt;
use super::resource::{Match, Resource};
use super::subscribers::Publisher;
use super::tool::{TaskSupport, Tool};
use crate::base::{Mutex, Principal, Scopes};

type OnStart = Box<dyn FnOnce(Publisher) + Send>;

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
    consent: Consent,
    description: Arc<Description>,
    lists: HashMap<List, Reply>,
    tools: HashMap<String, Tool>,
    prompts: HashMap<String, Prompt>,
    resources: HashMap<String, Resource>,
    /// In order of precedence: the first that matches a URI reads it.
    templates: Vec<Resource>,
    /// Guards the closure that is called once.
    on_start: Mutex<Option<OnStart>>,
}

/// Builds a [`ToolServer`]; lists are in the order of the calls.
#[derive(Default)]
pub struct Builder {
    consent: Consent,
    info: Definition,
    instructions: Option<String>,
    lists_change: bool,
    tools: Vec<Tool>,
    prompts: Vec<Prompt>,
    resources: Vec<Resource>,
    on_start: Option<OnStart>,
}

impl ToolServer {
    /// A server without tools, prompts and resources. Clients see its name and version.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> Builder {
        let info = Definition::new([("name", name.into().into()), ("version", version.into().into())]);
        Builder { info, ..Builder::default() }
    }

    fn result(&self, context: &Context) -> Result<Reply, CallError> {
        let call = context.call();
        match call.operation {
            Operation::List(list) => self.list(list, call),
            Operation::CallTool => self.call_tool(call, context),
            Operation::GetPrompt => {
                let name = &call.subject;
                let prompt = self.prompts.get(name).ok_or_else(|| access::unknown("prompt", name))?;
                prompt.fill_in(context, &call.params)
            }
            Operation::ReadResource => {
                let uri = &call.subject;
                let (resource, found) = self.resource(uri).ok_or_else(|| access::no_resource(uri))?;
                resource.read(context, &found)
            }
            Operation::Complete => self.complete(call, context),
        }
    }

    /// A list, on one page: no cursor is valid.
    fn list(&self, list: List, call: &Call) -> Result<Reply, CallError> {
        match call.params.read::<String>("cursor")? {
            None => Ok(self.lists.get(&list).cloned().ok_or_else(Error::internal)?),
            Some(_) => Err(Error::invalid_params("Unknown cursor").into()),
        }
    }

    fn call_tool(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let name = &call.subject;
        let tool = self.tools.get(name).ok_or_else(|| access::unknown("tool", name))?;
        let handler = tool.handler.as_ref().ok_or_else(Error::internal)?;
        match tool.tasks {
            TaskSupport::Never | TaskSupport::ByHandler => {}
            TaskSupport::Optional => {
                let _ = context.become_task()?; // without a task the caller waits
            }
            TaskSupport::Required if context.become_task()? => {}
            TaskSupport::Required if context.client().takes_tasks() => {
                return Err(Error::new(Error::BUSY, "Too many tasks").into());
            }
            TaskSupport::Required => return Err(CallError::TaskRequired),
        }
        match handler.run(context, call.params.get("arguments")) {
            // A failure of the tool is a result, so that the model sees it and can correct itself (tools, "Error Handling").
            Err(CallError::Tool(text)) => Ok(ToolResult::error(text).reply()?),
            result => result,
        }
    }

    /// The resource at a URI, else the first template that matches it.
    fn resource(&self, uri: &str) -> Option<(&Resource, Match)> {
        let at = |variables| Match { uri: uri.to_owned(), variables };
        let fixed = self.resources.get(uri).map(|resource| (resource, at(Default::default())));
        fixed.or_else(|| {
            self.templates.iter().find_map(|each| Some((each, at(each.template.as_ref()?.matches(uri)?))))
        })
    }

    fn complete(&self, call: &Call, context: &Context) -> Result<Reply, CallError> {
        let reference = call.params.object("ref")?;
        let named = |member| reference.require::<String>(member);
        let completers = match &*named("type")? {
            "ref/prompt" => self.prompts.get(&named("name")?).map(|prompt| &prompt.completers),
            "ref/resource" => {
                let uri = named("uri")?;
                self.templates.iter().find(|each| each.uri() == uri).map(|each| &each.completers)
            }
            _ => None,
        };
        let completers = completers.ok_or_else(access::unknown_reference)?;
        Ok(completion::complete(completers, context, &call.params)?)
    }
}

impl Backend for ToolServer {
    fn consent(&self) -> &Consent {
        &self.consent
    }

    fn description(&self, _: &Principal) -> Result<Arc<Description>, Error> {
        Ok(Arc::clone(&self.description))
    }

    fn connect(&self, publisher: Publisher) {
        let Some(on_start) = self.on_start.lock().take() else { return };
        on_start(publisher);
    }

    fn call(&self, context: Context) {
        context.complete(self.result(&context));
    }

    fn is_quick(&self, _: &Principal, operation: Option<Operation>, subject: &str) -> bool {
        match operation {
            Some(Operation::CallTool) => self.tools.get(subject).is_none_or(|tool| tool.is_quick),
            Some(operation) => operation.is_list(),
            None => true,
        }
    }

    fn tool_rules(&self, _: &Principal, tool: &str) -> Option<Arc<ToolRules>> {
        self.tools.get(tool).map(|tool| Arc::clone(&tool.rules))
    }

    fn is_read_only(&self, _: &Principal, tool: &str) -> Option<bool> {
        let annotations = self.tools.get(tool).and_then(|tool| tool.definition.get("annotations"));
        Some(annotations.and_then(|hints| hints.get("readOnlyHint")) == Some(&Value::Bool(true)))
    }

    fn known(&self, _: &Principal, operation: Operation, name: &str) -> Option<Cow<'_, str>> {
        let known = match operation {
            Operation::CallTool => self.tools.get(name).map(Tool::name),
            Operation::GetPrompt => self.prompts.get(name).map(Prompt::name),
            Operation::ReadResource => self.resource(name).map(|(resource, _)| resource.uri()),
            Operation::List(_) | Operation::Complete => None,
        };
        known.map(Cow::from)
    }
}

impl Builder {
    /// Sets a member of `serverInfo`: `title`, `icons`, `websiteUrl`. Pages show the title.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Builder {
        self.info.set(name, value);
        self
    }

    /// Sets the instructions for models that use the server.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Builder {
        self.instructions = Some(instructions.into());
        self
    }

    /// Sets the text for a scope on the consent page: "Read your calendar". `name` is a scope that a tool needs, or `mcp`, which
    /// every caller has.
    pub fn scope(mut self, name: impl Into<String>, words: impl Into<String>) -> Builder {
        self.consent.scope_words.push((name.into(), words.into()));
        self
    }

    /// Declares `listChanged`, for programs that call [`Publisher::tools_changed`](super::Publisher::tools_changed) and its
    /// siblings. Not declared by default, because the lists of this server are fixed.
    pub fn lists_change(mut self) -> Builder {
        self.lists_change = true;
        self
    }

    /// Sets a closure that gets the [`Publisher`] for changes outside of calls, such as those that a timer or a file watcher finds. It is
    /// called once when the server starts, not by `check`, on the thread that starts it and before the first connection is accepted. It
    /// must not block: a thread that it spawns waits for the changes. That thread ends with the process.
    ///
    /// ```
    /// # use std::sync::mpsc::Receiver;
    /// # use mcp_oauth_server::mcp::{BuildError, Resource, ToolServer};
    /// /// `changed` receives the URIs of files, from a watcher.
    /// fn server(changed: Receiver<String>) -> Result<ToolServer, BuildError> {
    ///     let notes = Resource::template("notes://{name}", "Notes").reader(|_, found| Ok(found.uri.clone()));
    ///     let server = ToolServer::builder("notes", "1.0.0").resource(notes);
    ///     let server = server.on_start(|publisher| {
    ///         std::thread::spawn(move || changed.iter().for_each(|uri| publisher.resource_updated(&uri)));
    ///     });
    ///     server.build()
    /// }
    /// ```
    pub fn on_start(mut self, start: impl FnOnce(Publisher) + Send + 'static) -> Builder {
        self.on_start = Some(Box::new(start));
        self
    }

    /// Keeps the caller's own GitHub token for tools that call GitHub as the caller: [`Context::principal`], its `upstream`.
    /// It is kept encrypted; without this it is dropped after the login. A tool to which GitHub answers 401 calls
    /// `upstream.is_good()`, so that the client logs in again by itself.
    pub fn keep_github_tokens(mut self) -> Builder {
        self.consent.keeps_github_tokens = true;
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
    /// [`BuildError`] for the first invalid tool, prompt, resource or scope.
    pub fn build(self) -> Result<ToolServer, BuildError> {
        let description = self.description();
        let Builder { mut consent, info, tools, prompts, resources, on_start, .. } = self;
        let tools = tools.into_iter().map(Tool::checked).collect::<Result<Vec<_>, _>>()?;
        prompts.iter().try_for_each(Prompt::check)?;
        let resources = resources.into_iter().map(Resource::checked).collect::<Result<Vec<_>, _>>()?;
        consent.scopes = tools.iter().fold(Scopes::default(), |all, tool| all.union(&tool.rules.scopes));
        consent.name = info.text("name").to_owned();
        consent.title = info.get("title").and_then(Value::as_str).unwrap_or(&consent.name).to_owned();
        check_scope_words(&consent)?;
        let (templates, resources): (Vec<_>, Vec<_>) = resources.into_iter().partition(Resource::is_template);
        let lists = HashMap::from([
            listed(List::Tools, tools.iter().map(|each| &each.definition)),
            listed(List::Prompts, prompts.iter().map(|each| &each.definition)),
            listed(List::Resources, resources.iter().map(|each| &each.definition)),
            listed(List::ResourceTemplates, templates.iter().map(|each| &each.definition)),
        ]);
        by_name("resource", templates.iter(), |each| each.uri())?;
        Ok(ToolServer {
            consent,
            description: Arc::new(description),
            lists,
            tools: by_name("tool", tools, Tool::name)?,
            prompts: by_name("prompt", prompts, Prompt::name)?,
            resources: by_name("resource", resources, Resource::uri)?,
            templates,
            on_start: Mutex::new(on_start),
        })
    }

    fn description(&self) -> Description {
        let mut list = Map::new();
        if self.lists_change {
            list.insert("listChanged".to_owned(), true.into());
        }
        let mut resources = list.clone();
        resources.insert("subscribe".to_owned(), true.into());
        let completes = !self.prompts.is_empty() || self.resources.iter().any(Resource::is_template);
        let capabilities = [
            (true, "logging", Map::new()),
            (!self.tools.is_empty(), "tools", list.clone()),
            (!self.prompts.is_empty(), "prompts", list),
            (!self.resources.is_empty(), "resources", resources),
            (completes, "completions", Map::new()),
        ];
        let offered = capabilities.into_iter().filter(|(is_offered, ..)| *is_offered);
        Description {
            info: self.info.clone().into(),
            instructions: self.instructions.clone(),
            capabilities: offered.map(|(_, name, value)| (name.to_owned(), value.into())).collect(),
            has_tasks: self.tools.iter().any(|tool| tool.tasks != TaskSupport::Never),
        }
    }
}

/// A list and its result.
fn listed<'a>(list: List, all: impl Iterator<Item = &'a Definition>) -> (List, Reply) {
    let reply = Reply::default().with(list.member(), &all.collect::<Vec<_>>());
    (list, reply.expect("definitions are JSON already"))
}

/// Indexes by name; names must be unique.
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

/// Checks that each scope with a text is `mcp` or needed by a tool.
fn check_scope_words(Consent { scopes, scope_words, .. }: &Consent) -> Result<(), BuildError> {
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
