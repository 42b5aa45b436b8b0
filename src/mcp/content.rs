//! What tools, prompts and resources answer with.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::call::Reply;
use super::jsonrpc::Error;

/// One piece of a result or a prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: Cow<'static, str>,
    },
    /// An image.
    Image {
        /// Its bytes in base64.
        data: Cow<'static, str>,
        /// Its media type.
        mime_type: Cow<'static, str>,
    },
    /// A sound.
    Audio {
        /// Its bytes in base64.
        data: Cow<'static, str>,
        /// Its media type.
        mime_type: Cow<'static, str>,
    },
    /// The contents of a resource.
    Resource {
        /// The contents.
        resource: ResourceContents,
    },
    /// A resource that can be read.
    ResourceLink {
        /// Where it is.
        uri: Cow<'static, str>,
        /// What it is called.
        name: Cow<'static, str>,
    },
}

impl Content {
    /// Text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Content {
        Content::Text { text: text.into() }
    }
}

/// The contents of a resource, or of a part of it. A text alone is those of the resource that is read, at its URI and of its
/// media type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceContents {
    uri: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'static, str>>,
    #[serde(flatten)]
    data: Data,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Data {
    Text(Cow<'static, str>),
    Blob(Cow<'static, str>),
}

impl ResourceContents {
    /// Text.
    pub fn text(uri: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> ResourceContents {
        ResourceContents { uri: uri.into(), mime_type: None, data: Data::Text(text.into()) }
    }

    /// Bytes, in base64.
    pub fn blob(uri: impl Into<Cow<'static, str>>, base64: impl Into<Cow<'static, str>>) -> ResourceContents {
        ResourceContents { uri: uri.into(), mime_type: None, data: Data::Blob(base64.into()) }
    }

    /// The same with a media type.
    pub fn mime_type(mut self, mime_type: impl Into<Cow<'static, str>>) -> ResourceContents {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// The same with what has been left to the resource that is read.
    pub(super) fn of(mut self, uri: &str, mime_type: Option<Cow<'static, str>>) -> ResourceContents {
        if self.uri.is_empty() {
            self.uri = uri.to_owned().into();
        }
        self.mime_type = self.mime_type.or(mime_type);
        self
    }
}

impl From<String> for ResourceContents {
    fn from(text: String) -> ResourceContents {
        ResourceContents::text("", text)
    }
}

impl From<&'static str> for ResourceContents {
    fn from(text: &'static str) -> ResourceContents {
        ResourceContents::text("", text)
    }
}

/// What a tool answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    content: Vec<Content>,
    structured: Option<Value>,
    is_error: bool,
}

impl ToolResult {
    /// A result with one more piece of content.
    pub fn with(mut self, content: Content) -> ToolResult {
        self.content.push(content);
        self
    }

    /// A result with structured content: as such, and as JSON text for clients that know only text.
    pub fn structured(value: Value) -> ToolResult {
        let text = Content::text(value.to_string());
        ToolResult { content: vec![text], structured: Some(value), is_error: false }
    }

    /// A failure that the model is told of in these words.
    pub fn error(text: impl Into<Cow<'static, str>>) -> ToolResult {
        ToolResult { content: vec![Content::text(text)], structured: None, is_error: true }
    }

    pub(super) fn reply(&self) -> Result<Reply, Error> {
        let mut reply = Reply::default().with("content", &self.content)?;
        if let Some(structured) = &self.structured {
            reply = reply.with("structuredContent", structured)?;
        }
        if self.is_error { reply.with("isError", &true) } else { Ok(reply) }
    }
}

impl From<String> for ToolResult {
    fn from(text: String) -> ToolResult {
        ToolResult::default().with(Content::text(text))
    }
}

impl From<&'static str> for ToolResult {
    fn from(text: &'static str) -> ToolResult {
        ToolResult::default().with(Content::text(text))
    }
}

impl From<Content> for ToolResult {
    fn from(content: Content) -> ToolResult {
        ToolResult::default().with(content)
    }
}

/// Who speaks in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptMessage {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Content,
}

/// What a prompt answers: a conversation to begin with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptResult {
    messages: Vec<PromptMessage>,
}

impl PromptResult {
    /// A prompt with one more message.
    pub fn with(mut self, role: Role, content: Content) -> PromptResult {
        self.messages.push(PromptMessage { role, content });
        self
    }

    pub(super) fn reply(&self) -> Result<Reply, Error> {
        Reply::default().with("messages", &self.messages)
    }
}

impl From<String> for PromptResult {
    fn from(text: String) -> PromptResult {
        PromptResult::default().with(Role::User, Content::text(text))
    }
}
