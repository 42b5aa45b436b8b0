//! A tool: its definition, as clients see it, and the closure that runs it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::arguments;
use super::backend::{Context, Mirrored};
use super::call::CallError;
use super::content::ToolResult;
use super::icon::Icon;
use crate::base::identity::Scopes;

type Handler = Box<dyn Fn(&Context, &RawValue) -> Result<ToolResult, CallError> + Send + Sync>;

/// A tool.
pub struct Tool {
    pub(super) definition: ToolDefinition,
    /// `None`: a list that is no list of scopes.
    pub(super) scopes: Option<Scopes>,
    pub(super) tasks: TaskSupport,
    /// The arguments that the handler reads, if they are known by name.
    pub(super) arguments: &'static [&'static str],
    pub(super) handler: Option<Handler>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolDefinition {
    pub(super) name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    description: Cow<'static, str>,
    input_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    icons: Vec<Icon>,
}

/// Whether the calls of a tool become tasks: handles that the client gets at once, to ask for the result later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskSupport {
    /// They do not.
    #[default]
    Never,
    /// They do, before the handler runs, if the client takes tasks; other clients wait for the result.
    Optional,
    /// They do, before the handler runs; a client that takes no tasks is refused.
    Required,
    /// They do when the handler says so with [`Context::become_task`], perhaps after it has asked the client something.
    ByHandler,
}

/// The arguments of a tool that takes none: whatever is sent is ignored.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct NoArguments {}

impl Tool {
    /// A tool without a handler. `input_schema` is a JSON schema (2020-12 unless it says otherwise) with `type: object`.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
        input_schema: Value,
    ) -> Tool {
        let definition = ToolDefinition {
            name: name.into(),
            title: None,
            description: description.into(),
            input_schema,
            output_schema: None,
            annotations: None,
            icons: Vec::new(),
        };
        let (scopes, tasks) = (Some(Scopes::default()), TaskSupport::Never);
        Tool { definition, scopes, tasks, arguments: &[], handler: None }
    }

    /// The same with a name for people.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Tool {
        self.definition.title = Some(title.into());
        self
    }

    /// The same with one more picture that clients may show.
    pub fn icon(mut self, icon: Icon) -> Tool {
        self.definition.icons.push(icon);
        self
    }

    /// The same with a JSON schema of its structured content: what [`ToolResult::structured`] is given. It is not checked.
    pub fn output_schema(mut self, schema: Value) -> Tool {
        self.definition.output_schema = Some(schema);
        self
    }

    /// The same with hints about its behaviour (`readOnlyHint` and so on).
    pub fn annotations(mut self, annotations: Value) -> Tool {
        self.definition.annotations = Some(annotations);
        self
    }

    /// The same for callers whose token has these scopes, a space-separated list, beyond the scope `mcp` that all have.
    /// Others are answered 403 with what to ask for, and their client asks the person again.
    pub fn scopes(mut self, scopes: &str) -> Tool {
        self.scopes = Scopes::parse(scopes);
        self
    }

    /// The same with calls that may become tasks, for work that takes longer than a client likes to wait. A task runs on its
    /// worker like any call, counts as one of the user's running calls until it is over, and lives in memory for at most
    /// `TASK_LIFETIME`. Notifications of a task ([`Context::log`], [`Context::progress`]) are dropped.
    pub fn tasks(mut self, tasks: TaskSupport) -> Tool {
        self.tasks = tasks;
        self
    }

    /// The same, run by `handler`. It runs on a worker and may block there; to pause, it waits on [`Context::cancel`].
    ///
    /// `A` is what checks arguments; the schema is what the model is told of them. Arguments that do not fit `A` never reach
    /// the handler: the model reads where, and what was expected there. If `A` is a struct, a property of the schema that it
    /// does not have is a [`BuildError`](super::BuildError); what else the schema says (ranges, lengths, patterns) is for the
    /// handler to check, with an `Err` in words.
    pub fn handler<A, R, F>(mut self, handler: F) -> Tool
    where
        A: DeserializeOwned,
        R: Into<ToolResult>,
        F: Fn(&Context, A) -> Result<R, CallError> + Send + Sync + 'static,
    {
        self.arguments = arguments::members::<A>();
        self.handler = Some(Box::new(move |context, arguments| {
            let arguments = arguments::read(arguments.get())
                .map_err(|reason| CallError::Tool(format!("Invalid arguments: {reason}")))?;
            handler(context, arguments).map(Into::into)
        }));
        self
    }
}

impl ToolDefinition {
    /// Whether a name is one that every client takes (tools, "Tool Names").
    pub(super) fn has_valid_name(&self) -> bool {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        (1..=64).contains(&self.name.len()) && self.name.bytes().all(allowed)
    }

    pub(super) fn has_object_schema(&self) -> bool {
        self.input_schema.get("type").and_then(Value::as_str) == Some("object")
    }

    /// The first property of the schema that is not among `arguments`.
    pub(super) fn unread(&self, arguments: &[&str]) -> Option<&str> {
        let properties = self.input_schema.get("properties").and_then(Value::as_object)?;
        properties.keys().map(String::as_str).find(|name| !arguments.contains(name))
    }

    /// The arguments that are repeated in headers; `None` if the annotations break the rules of transports, "Custom Headers
    /// from Tool Parameters": clients then drop the tool.
    pub(super) fn mirrored(&self) -> Option<Vec<Mirrored>> {
        let mut found = Vec::new();
        collect(&self.input_schema, &mut Vec::new(), &mut found)?;
        let names: BTreeSet<&str> = found.iter().map(|each| each.header.as_str()).collect();
        let whole = names.len() == found.len() && found.len() == annotations(&self.input_schema);
        whole.then_some(found)
    }
}

const ANNOTATION: &str = "x-mcp-header";

/// Walks the properties of properties, the only places where an annotation may stand.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Option<()> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Some(()) };
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(annotation) = property.get(ANNOTATION) {
            let header = annotation.as_str().filter(|name| is_token(name))?;
            let kind = property.get("type").and_then(Value::as_str);
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return None;
            }
            let header = format!("mcp-param-{}", header.to_ascii_lowercase());
            found.push(Mirrored { header, path: path.clone() });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Some(())
}

/// A field name's characters (RFC 9110 section 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// How many annotations there are anywhere.
fn annotations(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| usize::from(name == ANNOTATION).saturating_add(annotations(value)))
            .sum(),
        Value::Array(elements) => elements.iter().map(annotations).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, expected: Option<&[(&str, &[&str])]>) {
        let found = Tool::new("t", "", schema.clone()).definition.mirrored();
        let expected = expected.map(|all| {
            let mirrored = |(header, path): &(&str, &[&str])| Mirrored {
                header: (*header).to_owned(),
                path: path.iter().map(|name| (*name).to_owned()).collect(),
            };
            all.iter().map(mirrored).collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{schema}");
    }

    #[test]
    fn annotations_stand_on_primitive_properties_only() {
        let schema = |property: Value| json!({"type": "object", "properties": {"a": property}});
        let region = json!({"type": "string", "x-mcp-header": "Region"});
        check(schema(json!({"type": "string"})), Some(&[]));
        check(schema(region.clone()), Some(&[("mcp-param-region", &["a"])]));
        check(
            schema(json!({"type": "object", "properties": {"b": region}})),
            Some(&[("mcp-param-region", &["a", "b"])]),
        );
        check(schema(json!({"type": "number", "x-mcp-header": "A"})), None);
        check(schema(json!({"type": "string", "x-mcp-header": ""})), None);
        check(schema(json!({"type": "string", "x-mcp-header": "a b"})), None);
        check(schema(json!({"type": "array", "items": region})), None);
        check(json!({"type": "object", "anyOf": [schema(region.clone())]}), None);
        check(
            json!({"type": "object", "properties": {"a": region, "b": {"type": "string", "x-mcp-header": "REGION"}}}),
            None,
        );
    }
}
