//! What cannot be offered, and the checks that find it when a server is built.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::backend::Mirrored;
use super::prompt::Prompt;
use super::resource::{Resource, ResourceTemplate};
use super::tool::Tool;
use super::uri_template::UriTemplate;
use crate::base::identity::Scopes;

/// What cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A tool's name is not 1 to 64 of `A-Z a-z 0-9 _ - .`.
    ToolName(String),
    /// A tool's input schema is not `type: object`.
    ToolSchema(String),
    /// A tool's or prompt's argument is not one that its handler reads.
    Argument {
        /// The tool or prompt.
        of: String,
        /// The argument.
        name: String,
    },
    /// A tool's `x-mcp-header` annotations break the rules.
    ToolHeaders(String),
    /// A tool's scopes are no list of scope tokens (RFC 6749 section 3.3).
    ToolScopes(String),
    /// A scope has words, and no tool needs it; or it has words twice.
    ScopeWords(String),
    /// A template is not of RFC 6570 level 1, or completes a variable that it does not have.
    Template(String),
    /// Two have this name or URI.
    Duplicate(String),
    /// This one has nothing that runs it.
    NoHandler(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::ToolName(name) => {
                write!(f, "tool name {name:?} is not 1 to 64 letters, digits, `_`, `-`, `.`")
            }
            BuildError::ToolSchema(name) => write!(f, "the input schema of tool {name:?} is not an object's"),
            BuildError::Argument { of, name } => {
                write!(f, "{of:?} declares the argument {name:?}, which its handler does not read")
            }
            BuildError::ToolHeaders(name) => {
                write!(f, "tool {name:?} has an x-mcp-header that clients must refuse")
            }
            BuildError::ToolScopes(name) => {
                write!(f, "the scopes of tool {name:?} are not separated by spaces, or have odd characters")
            }
            BuildError::ScopeWords(name) => {
                write!(f, "the scope {name:?} is needed by no tool, or has words twice")
            }
            BuildError::Template(template) => {
                write!(f, "resource template {template:?} is not of RFC 6570 level 1")
            }
            BuildError::Duplicate(name) => write!(f, "two tools, prompts or resources are called {name:?}"),
            BuildError::NoHandler(name) => write!(f, "{name:?} has no handler"),
        }
    }
}

impl std::error::Error for BuildError {}

/// The arguments of each tool that are repeated in headers, if the tools can be offered.
pub(super) fn check_tools(tools: &[Tool]) -> Result<HashMap<String, Arc<[Mirrored]>>, BuildError> {
    let mut mirrored = HashMap::new();
    for tool in tools {
        let definition = &tool.definition;
        let name = || definition.name.clone().into_owned();
        if !definition.has_valid_name() {
            return Err(BuildError::ToolName(name()));
        }
        if !definition.has_object_schema() {
            return Err(BuildError::ToolSchema(name()));
        }
        if tool.handler.is_none() {
            return Err(BuildError::NoHandler(name()));
        }
        check_arguments(&definition.name, definition.unread(tool.arguments), tool.arguments)?;
        let headers = definition.mirrored().ok_or_else(|| BuildError::ToolHeaders(name()))?;
        if !headers.is_empty() {
            mirrored.insert(name(), headers.into());
        }
    }
    Ok(mirrored)
}

/// The scopes of the tools that need some.
pub(super) fn tool_scopes(tools: &[Tool]) -> Result<HashMap<String, Arc<Scopes>>, BuildError> {
    let mut all = HashMap::new();
    for tool in tools {
        let name = tool.definition.name.clone().into_owned();
        let Some(scopes) = &tool.scopes else { return Err(BuildError::ToolScopes(name)) };
        if !scopes.is_empty() {
            all.insert(name, Arc::new(scopes.clone()));
        }
    }
    Ok(all)
}

/// Each scope with words is one that somebody can be asked for.
pub(super) fn check_scope_words(words: &[(String, String)], scopes: &Scopes) -> Result<(), BuildError> {
    let is_wrong = |name: &str| {
        (name != "mcp" && !scopes.contains(name))
            || words.iter().filter(|(other, _)| other == name).count() > 1
    };
    match words.iter().find(|(name, _)| is_wrong(name)) {
        Some((name, _)) => Err(BuildError::ScopeWords(name.clone())),
        None => Ok(()),
    }
}

/// A handler that names what it reads must read what is declared; `unread` is what it does not.
fn check_arguments(of: &str, unread: Option<&str>, arguments: &[&str]) -> Result<(), BuildError> {
    match unread.filter(|_| !arguments.is_empty()) {
        Some(name) => Err(BuildError::Argument { of: of.to_owned(), name: name.to_owned() }),
        None => Ok(()),
    }
}

pub(super) fn check_prompts(prompts: &[Prompt]) -> Result<(), BuildError> {
    for Prompt { definition, arguments, handler, .. } in prompts {
        if handler.is_none() {
            return Err(BuildError::NoHandler(definition.name.clone().into_owned()));
        }
        check_arguments(&definition.name, definition.unread(arguments), arguments)?;
    }
    Ok(())
}

pub(super) fn check_resources(resources: &[Resource]) -> Result<(), BuildError> {
    match resources.iter().find(|each| each.reader.is_none()) {
        Some(resource) => Err(BuildError::NoHandler(resource.definition.uri().clone().into_owned())),
        None => Ok(()),
    }
}

pub(super) fn check_templates(templates: &[ResourceTemplate]) -> Result<(), BuildError> {
    for each in templates {
        let name = || each.definition.uri().clone().into_owned();
        let fits =
            |template: &UriTemplate| each.completers.arguments().all(|variable| template.has(variable));
        if !each.template.as_ref().is_some_and(fits) {
            return Err(BuildError::Template(name()));
        }
        if each.reader.is_none() {
            return Err(BuildError::NoHandler(name()));
        }
    }
    Ok(())
}
