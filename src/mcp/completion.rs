//! Completion of the arguments of prompts and resource templates.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::call::Reply;
use super::context::Context;
use super::jsonrpc::Error;
use super::members::{Members, absent_or};
use crate::base::limits;

type Completer = dyn Fn(&Context, &Partial) -> Vec<String> + Send + Sync;

/// What a person has typed so far.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The argument's value so far.
    pub value: String,
    /// The other arguments that are known already.
    pub arguments: BTreeMap<String, String>,
}

/// The completers of one prompt or template by argument.
#[derive(Default)]
pub(super) struct Completers(BTreeMap<String, Box<Completer>>);

impl Completers {
    pub(super) fn insert(
        &mut self,
        argument: String,
        completer: impl Fn(&Context, &Partial) -> Vec<String> + Send + Sync + 'static,
    ) {
        self.0.insert(argument, Box::new(completer));
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The result for the params of a request; an argument without a completer has no values.
    pub(super) fn complete(&self, context: &Context, params: &Members) -> Result<Reply, Error> {
        let NamedValue { name, value } = params.require("argument")?;
        let Known { arguments } = params.read("context")?.unwrap_or_default();
        let partial = Partial { value, arguments };
        let mut values = self.0.get(&name).map(|completer| completer(context, &partial)).unwrap_or_default();
        let total = values.len();
        values.truncate(limits::COMPLETION_VALUES);
        let completion = json!({ "hasMore": total > values.len(), "total": total, "values": values });
        Reply::default().with("completion", &completion)
    }
}

/// What an argument belongs to: a `ref/prompt` with a name, or a `ref/resource` with the URI of a template.
#[derive(Deserialize)]
pub(super) struct Reference {
    pub(super) r#type: String,
    pub(super) name: Option<String>,
    pub(super) uri: Option<String>,
}

#[derive(Deserialize)]
struct NamedValue {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
struct Known {
    #[serde(default, deserialize_with = "absent_or")]
    arguments: BTreeMap<String, String>,
}
