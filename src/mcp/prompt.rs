//! A prompt: its definition and the closure that fills it in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use super::arguments;
use super::backend::Context;
use super::call::CallError;
use super::completion::{Completers, Partial};
use super::content::PromptResult;
use super::icon::Icon;
use super::jsonrpc::Error;

type Handler = Box<dyn Fn(&Context, &RawValue) -> Result<PromptResult, CallError> + Send + Sync>;

/// A prompt.
pub struct Prompt {
    pub(super) definition: PromptDefinition,
    pub(super) completers: Completers,
    /// The arguments that the handler reads, if they are known by name.
    pub(super) arguments: &'static [&'static str],
    pub(super) handler: Option<Handler>,
}

#[derive(Debug, Serialize)]
pub(super) struct PromptDefinition {
    pub(super) name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    description: Cow<'static, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<Argument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    icons: Vec<Icon>,
}

/// An argument of a prompt. Its value is a string.
#[derive(Clone, Debug, Serialize)]
pub struct Argument {
    name: Cow<'static, str>,
    description: Cow<'static, str>,
    required: bool,
}

impl Argument {
    /// An argument that must be given.
    pub fn required(
        name: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
    ) -> Argument {
        Argument { name: name.into(), description: description.into(), required: true }
    }

    /// An argument that may be left out.
    pub fn optional(
        name: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
    ) -> Argument {
        Argument { required: false, ..Argument::required(name, description) }
    }
}

impl Prompt {
    /// A prompt without arguments or handler.
    pub fn new(name: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Prompt {
        let definition = PromptDefinition {
            name: name.into(),
            title: None,
            description: description.into(),
            arguments: Vec::new(),
            icons: Vec::new(),
        };
        Prompt { definition, completers: Completers::default(), arguments: &[], handler: None }
    }

    /// The same with a name for people.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Prompt {
        self.definition.title = Some(title.into());
        self
    }

    /// The same with one more picture that clients may show.
    pub fn icon(mut self, icon: Icon) -> Prompt {
        self.definition.icons.push(icon);
        self
    }

    /// The same with one more argument; clients show them in this order.
    pub fn argument(mut self, argument: Argument) -> Prompt {
        self.definition.arguments.push(argument);
        self
    }

    /// The same with completion of an argument's value.
    pub fn complete(
        mut self,
        argument: impl Into<String>,
        completer: impl Fn(&Context, &Partial) -> Vec<String> + Send + Sync + 'static,
    ) -> Prompt {
        self.completers.insert(argument.into(), completer);
        self
    }

    /// The same, filled in by `handler`. A request without a required argument, or with arguments that do not fit `A`,
    /// never reaches it. If `A` is a struct, an argument that it does not have is a [`BuildError`](super::BuildError).
    pub fn handler<A, R, F>(mut self, handler: F) -> Prompt
    where
        A: DeserializeOwned,
        R: Into<PromptResult>,
        F: Fn(&Context, A) -> Result<R, CallError> + Send + Sync + 'static,
    {
        self.arguments = arguments::members::<A>();
        self.handler = Some(Box::new(move |context, arguments| {
            let arguments = arguments::read(arguments.get())
                .map_err(|reason| Error::invalid_params(format!("Invalid arguments: {reason}")))?;
            handler(context, arguments).map(Into::into)
        }));
        self
    }
}

impl PromptDefinition {
    /// The first argument that is not among `arguments`.
    pub(super) fn unread(&self, arguments: &[&str]) -> Option<&str> {
        self.arguments.iter().map(|each| &*each.name).find(|name| !arguments.contains(name))
    }

    /// Checks that what must be given is given.
    pub(super) fn check(&self, arguments: &RawValue) -> Result<(), Error> {
        let given: BTreeMap<Cow<'_, str>, IgnoredAny> = arguments::read(arguments.get())
            .map_err(|reason| Error::invalid_params(format!("Invalid arguments: {reason}")))?;
        match self.arguments.iter().find(|each| each.required && !given.contains_key(&each.name)) {
            Some(missing) => Err(Error::invalid_params(format!("Missing argument: {}", missing.name))),
            None => Ok(()),
        }
    }
}
