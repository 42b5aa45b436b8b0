//! Completion of the arguments of prompts and resource templates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backend::Context;
use super::call::{Reply, absent_or};
use super::jsonrpc::Error;
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

    /// The result for a request; an argument without a completer has no values.
    pub(super) fn complete(&self, context: &Context, request: CompleteParams) -> Result<Reply, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Completion {
            values: Vec<String>,
            total: usize,
            has_more: bool,
        }
        let CompleteParams { argument: NamedValue { name, value }, context: Known { arguments }, .. } =
            request;
        let partial = Partial { value, arguments };
        let mut values = self.0.get(&name).map(|completer| completer(context, &partial)).unwrap_or_default();
        let total = values.len();
        values.truncate(limits::COMPLETION_VALUES);
        let has_more = total > values.len();
        Reply::default().with("completion", &Completion { values, total, has_more })
    }
}

/// The params of `completion/complete`.
#[derive(Deserialize)]
pub(super) struct CompleteParams {
    #[serde(rename = "ref")]
    pub(super) reference: Reference,
    argument: NamedValue,
    #[serde(default)]
    context: Known,
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
