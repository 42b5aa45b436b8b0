//! A resource at one URI, or one at every URI that matches a template: its definition for clients, and the closure that reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::call::{CallError, Reply};
use super::completion::{Completers, Partial};
use super::content::ResourceContents;
use super::context::Context;
use super::definition::{BuildError, Definition};
use super::jsonrpc::Error;

type Reader = dyn Fn(&Context, &Match) -> Result<ResourceContents, CallError> + Send + Sync;

/// A resource, or a resource template.
pub struct Resource {
    pub(super) definition: Definition,
    pub(super) completers: Completers,
    /// Set by [`Resource::checked`]; a resource at one URI has none.
    pub(super) template: Option<UriTemplate>,
    reader: Option<Box<Reader>>,
}

/// The URI of a read, and the values of its template's variables.
#[derive(Clone, Debug)]
pub struct Match {
    /// The URI as requested.
    pub uri: String,
    /// The variables' values, decoded. Every variable of the template has one; a resource at one URI has no variables.
    pub variables: BTreeMap<String, String>,
}

impl Resource {
    /// A resource at one URI, without a reader.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Resource {
        Resource::described("uri", uri.into(), name.into())
    }

    /// A resource template, without a reader. `uri_template` is of RFC 6570 level 1: `{name}` stands for a text that,
    /// percent-decoded, has no `/`, `\` or control character, and is not empty, `.` or `..`; a URI with another text there
    /// does not match.
    pub fn template(uri_template: impl Into<String>, name: impl Into<String>) -> Resource {
        Resource::described("uriTemplate", uri_template.into(), name.into())
    }

    fn described(place: &'static str, uri: String, name: String) -> Resource {
        let definition = Definition::new([(place, uri.into()), ("name", name.into())]);
        Resource { definition, completers: Completers::default(), template: None, reader: None }
    }

    /// Sets a member of the resource's definition: `title`, `description`, `mimeType`, `size`, `annotations`, `icons`.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Resource {
        self.definition.set(name, value);
        self
    }

    /// Sets the closure that completes the value of a template's variable.
    pub fn complete(
        mut self,
        variable: impl Into<String>,
        completer: impl Fn(&Context, &Partial) -> Vec<String> + Send + Sync + 'static,
    ) -> Resource {
        self.completers.insert(variable.into(), Box::new(completer));
        self
    }

    /// Sets a constant text.
    pub fn text(self, text: impl Into<String>) -> Resource {
        let text = text.into();
        self.reader(move |_, _| Ok(text.clone()))
    }

    /// Sets the closure that reads the resource each time a client asks. It runs on a worker and may block there.
    pub fn reader<R: Into<ResourceContents>>(
        mut self,
        reader: impl Fn(&Context, &Match) -> Result<R, CallError> + Send + Sync + 'static,
    ) -> Resource {
        self.reader = Some(Box::new(move |context, found| reader(context, found).map(Into::into)));
        self
    }

    pub(super) fn is_template(&self) -> bool {
        self.definition.get("uriTemplate").is_some()
    }

    /// The URI or its template.
    pub(super) fn uri(&self) -> &str {
        self.definition.text(if self.is_template() { "uriTemplate" } else { "uri" })
    }

    /// The resource with its template parsed, if it is valid.
    pub(super) fn checked(self) -> Result<Resource, BuildError> {
        let refuse = |why| Err(BuildError::new("resource", self.uri(), why));
        let template = self.is_template().then(|| UriTemplate::parse(self.uri())).flatten();
        if self.is_template() && template.is_none() {
            return refuse("its URI is no template of RFC 6570 level 1");
        }
        // Official clients refuse the whole list for one URI without a scheme.
        if !self.uri().contains(':') {
            return refuse("its URI has no scheme");
        }
        let has =
            |name| template.iter().flat_map(|each| &each.variables).any(|(variable, _)| variable == name);
        if !self.completers.keys().all(has) {
            return refuse("it completes a variable that its URI does not have");
        }
        if self.reader.is_none() {
            return refuse("it has no reader");
        }
        Ok(Resource { template, ..self })
    }

    pub(super) fn read(&self, context: &Context, found: &Match) -> Result<Reply, CallError> {
        let reader = self.reader.as_ref().ok_or_else(Error::internal)?;
        let contents = reader(context, found)?.or_of(&found.uri, self.definition.get("mimeType"));
        Ok(Reply::default().with("contents", &[contents])?)
    }
}

/// A URI template of RFC 6570 level 1: `{name}` stands for the text of one path segment. Matched in linear time (M18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UriTemplate {
    /// The text before the first variable.
    prefix: String,
    /// Each variable, and the text between it and the next one or the end.
    variables: Vec<(String, String)>,
}

impl UriTemplate {
    /// Reads a template. `None` if it uses more of RFC 6570, or two variables touch: the end of the first one would be
    /// undefined.
    pub(super) fn parse(template: &str) -> Option<UriTemplate> {
        let mut parts = template.split('{');
        let prefix = parts.next()?.to_owned();
        let mut variables = Vec::new();
        for part in parts {
            let (name, literal) = part.split_once('}')?;
            let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !named || literal.contains('}') {
                return None;
            }
            variables.push((name.to_owned(), literal.to_owned()));
        }
        let touching = variables.iter().rev().skip(1).any(|(_, literal)| literal.is_empty());
        (!prefix.contains('}') && !variables.is_empty() && !touching)
            .then_some(UriTemplate { prefix, variables })
    }

    /// The values of the variables in `uri`, decoded. A value is one path segment, not empty, and ends where the text after
    /// its variable first occurs.
    pub(super) fn matches(&self, uri: &str) -> Option<BTreeMap<String, String>> {
        let mut rest = uri.strip_prefix(&self.prefix)?;
        let mut values = BTreeMap::new();
        let last = self.variables.len().saturating_sub(1);
        for (index, (name, literal)) in self.variables.iter().enumerate() {
            let (value, after) = if index == last {
                (rest.strip_suffix(literal.as_str())?, "")
            } else {
                rest.split_once(literal.as_str())?
            };
            let value = percent_decode_str(value).decode_utf8().ok().filter(|value| is_segment(value))?;
            values.insert(name.clone(), value.into_owned());
            rest = after;
        }
        Some(values)
    }
}

/// Whether a decoded value is one path segment (M18): a reader may use it as a file name, which must stay in its directory.
fn is_segment(value: &str) -> bool {
    let leads_elsewhere = |char: char| matches!(char, '/' | '\\') || char.is_control();
    !matches!(value, "" | "." | "..") && !value.contains(leads_elsewhere)
}
