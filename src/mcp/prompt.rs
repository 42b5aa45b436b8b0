//! A prompt: its definition for clients, and the closure that fills it in.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::{CallError, Reply};
use super::completion::{Completers, Partial};
use super::content::PromptResult;
use super::context::Context;
use super::definition::{BuildError, Definition};
use super::jsonrpc::Error;
use super::members::Members;
use super::tool::TypedHandler;

/// A prompt.
pub struct Prompt {
    pub(super) definition: Definition,
    pub(super) completers: Completers,
    handler: Option<TypedHandler>,
}

impl Prompt {
    /// A prompt without arguments or handler.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Prompt {
        let definition =
            Definition::new([("name", name.into().into()), ("description", description.into().into())]);
        Prompt { definition, completers: Completers::default(), handler: None }
    }

    /// Sets a member of the prompt's definition: `title`, `icons`.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Prompt {
        self.definition.set(name, value);
        self
    }

    /// Adds a required argument. The value of an argument is a string; clients show arguments in this order.
    pub fn required_argument(self, name: &str, description: &str) -> Prompt {
        self.argument(json!({ "name": name, "description": description, "required": true }))
    }

    /// Adds an optional argument.
    pub fn optional_argument(self, name: &str, description: &str) -> Prompt {
        self.argument(json!({ "name": name, "description": description, "required": false }))
    }

    fn argument(mut self, argument: Value) -> Prompt {
        let arguments: Vec<_> = self.arguments().cloned().chain([argument]).collect();
        self.definition.set("arguments", arguments);
        self
    }

    fn arguments(&self) -> impl Iterator<Item = &Value> {
        self.definition.get("arguments").and_then(Value::as_array).into_iter().flatten()
    }

    /// Sets the closure that completes an argument's value.
    pub fn complete(
        mut self,
        argument: impl Into<String>,
        completer: impl Fn(&Context, &Partial) -> Vec<String> + Send + Sync + 'static,
    ) -> Prompt {
        self.completers.insert(argument.into(), Box::new(completer));
        self
    }

    /// Sets the closure that fills the prompt in. A request without a required argument, or with arguments that do not fit
    /// `A`, never reaches it. If `A` is a struct, an argument that it does not have is a [`BuildError`].
    pub fn handler<A, R, F>(mut self, handler: F) -> Prompt
    where
        A: DeserializeOwned,
        R: Into<PromptResult>,
        F: Fn(&Context, A) -> Result<R, CallError> + Send + Sync + 'static,
    {
        let run = move |context: &Context, arguments| Ok(handler(context, arguments)?.into().reply()?);
        self.handler = Some(TypedHandler::new(|reason| Error::invalid_params(reason).into(), run));
        self
    }

    pub(super) fn name(&self) -> &str {
        self.definition.text("name")
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let refuse = |why| Err(BuildError::new("prompt", self.name(), why));
        let has = |argument: &String| self.arguments().filter_map(name_of).any(|name| name == argument);
        if !self.completers.keys().all(has) {
            return refuse("it completes an argument that it does not have");
        }
        let Some(handler) = &self.handler else { return refuse("it has no handler") };
        handler.check(("prompt", self.name()), self.arguments().filter_map(name_of))
    }

    pub(super) fn fill_in(&self, context: &Context, params: &Members) -> Result<Reply, CallError> {
        let handler = self.handler.as_ref().ok_or_else(Error::internal)?;
        let sent = params.object("arguments")?;
        let is_required = |argument: &&Value| argument.get("required") == Some(&Value::Bool(true));
        let mut required = self.arguments().filter(is_required).filter_map(name_of);
        match required.find(|name| sent.get(name).is_none()) {
            Some(missing) => Err(Error::invalid_params(format!("Missing argument: {missing}")).into()),
            None => handler.run(context, params.get("arguments")),
        }
    }
}

fn name_of(argument: &Value) -> Option<&str> {
    argument.get("name")?.as_str()
}
