//! Results of tools, prompts and resources.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::call::Reply;
use super::definition::Definition;
use super::jsonrpc::Error;

/// One piece of a result or a prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Content {
    r#type: &'static str,
    #[serde(flatten)]
    members: Definition,
}

impl Content {
    /// Text.
    pub fn text(text: impl Into<String>) -> Content {
        Content::new("text", [("text", text.into().into())])
    }

    /// An image: its bytes in base64 and its media type.
    pub fn image(base64: impl Into<String>, mime_type: &str) -> Content {
        Content::new("image", [("data", base64.into().into()), ("mimeType", mime_type.into())])
    }

    /// Audio: its bytes in base64 and its media type.
    pub fn audio(base64: impl Into<String>, mime_type: &str) -> Content {
        Content::new("audio", [("data", base64.into().into()), ("mimeType", mime_type.into())])
    }

    /// The contents of a resource. Without a URI, as made of a string, they are [`Content::text`].
    pub fn resource(ResourceContents(contents): ResourceContents) -> Content {
        match contents.get("uri") {
            Some(_) => Content::new("resource", [("resource", Value::Object(contents.into()))]),
            None => Content::text(contents.text("text")),
        }
    }

    /// A link to a resource that can be read: its URI and its name.
    pub fn resource_link(uri: impl Into<String>, name: impl Into<String>) -> Content {
        Content::new("resource_link", [("uri", uri.into().into()), ("name", name.into().into())])
    }

    fn new<const N: usize>(r#type: &'static str, members: [(&'static str, Value); N]) -> Content {
        Content { r#type, members: Definition::new(members) }
    }

    /// Sets a member: `annotations`; of a link, `title`, `description`, `mimeType`, `size`.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Content {
        self.members.set(name, value);
        self
    }
}

/// The contents of a resource, or of a part of it. A `String` or `&str` becomes the text of the resource, with its URI and media
/// type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ResourceContents(Definition);

impl ResourceContents {
    /// Text.
    pub fn text(uri: impl Into<String>, text: impl Into<String>) -> ResourceContents {
        ResourceContents(Definition::new([("uri", uri.into().into()), ("text", text.into().into())]))
    }

    /// Bytes, in base64.
    pub fn blob(uri: impl Into<String>, base64: impl Into<String>) -> ResourceContents {
        ResourceContents(Definition::new([("uri", uri.into().into()), ("blob", base64.into().into())]))
    }

    /// Sets a member: `mimeType`.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> ResourceContents {
        self.0.set(name, value);
        self
    }

    /// Adds the URI and the media type of the resource, unless the contents have their own.
    pub(super) fn or_of(mut self, uri: &str, mime_type: Option<&Value>) -> ResourceContents {
        for (name, value) in [("uri", Some(uri.into())), ("mimeType", mime_type.cloned())] {
            if let Some(value) = value.filter(|_| self.0.get(name).is_none()) {
                self.0.set(name, value);
            }
        }
        self
    }
}

impl<T: Into<String>> From<T> for ResourceContents {
    fn from(text: T) -> ResourceContents {
        ResourceContents(Definition::new([("text", text.into().into())]))
    }
}

/// The result of a tool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    content: Vec<Content>,
    structured: Option<Value>,
    is_error: bool,
}

impl ToolResult {
    /// Adds a piece of content.
    pub fn with(mut self, content: Content) -> ToolResult {
        self.content.push(content);
        self
    }

    /// A result with structured content, also as JSON text for clients that only support text. A `value` that is not an object is sent as
    /// text alone: clients of up to 2025-11-25 refuse it.
    pub fn structured(value: Value) -> ToolResult {
        let text = value.to_string();
        ToolResult { structured: Some(value).filter(Value::is_object), ..text.into() }
    }

    /// A failure, with a text for the model.
    pub fn error(text: impl Into<String>) -> ToolResult {
        ToolResult { is_error: true, ..ToolResult::from(text.into()) }
    }

    pub(super) fn reply(&self) -> Result<Reply, Error> {
        Reply::default()
            .with("content", &self.content)?
            .with_some("structuredContent", self.structured.as_ref())?
            .with_some("isError", self.is_error.then_some(true))
    }
}

impl<T: Into<String>> From<T> for ToolResult {
    fn from(text: T) -> ToolResult {
        Content::text(text).into()
    }
}

impl From<Content> for ToolResult {
    fn from(content: Content) -> ToolResult {
        ToolResult::default().with(content)
    }
}

/// The speaker of a message in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// The result of a prompt: the beginning of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptResult {
    messages: Vec<Value>,
}

impl PromptResult {
    /// Adds a message.
    pub fn with(mut self, role: Role, content: Content) -> PromptResult {
        self.messages.push(json!({ "role": role, "content": content }));
        self
    }

    pub(super) fn reply(&self) -> Result<Reply, Error> {
        Reply::default().with("messages", &self.messages)
    }
}

impl<T: Into<String>> From<T> for PromptResult {
    fn from(text: T) -> PromptResult {
        PromptResult::default().with(Role::User, Content::text(text))
    }
}
