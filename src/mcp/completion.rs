//! Completion of the arguments of prompts and resource templates.

use std::collections::BTreeMap;

use serde_json::json;

use super::call::Reply;
use super::context::Context;
use super::jsonrpc::Error;
use super::members::Members;
use crate::base::limits;

type Completer = dyn Fn(&Context, &Partial) -> Vec<String> + Send + Sync;

/// The input that is to be completed.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The argument's value so far.
    pub value: String,
    /// The other arguments that are known already.
    pub arguments: BTreeMap<String, String>,
}

/// The completers of one prompt or template by argument.
pub(super) type Completers = BTreeMap<String, Box<Completer>>;

/// The result of `completion/complete`; an argument without a completer has no values.
pub(super) fn complete(completers: &Completers, context: &Context, params: &Members) -> Result<Reply, Error> {
    let argument = params.object("argument")?;
    let (name, value): (String, String) = (argument.require("name")?, argument.require("value")?);
    let arguments = params.object("context")?.present().read("arguments")?.unwrap_or_default();
    let partial = Partial { value, arguments };
    let mut values = completers.get(&name).map(|completer| completer(context, &partial)).unwrap_or_default();
    let total = values.len();
    values.truncate(limits::COMPLETION_VALUES);
    let completion = json!({ "hasMore": total > values.len(), "total": total, "values": values });
    Reply::default().with("completion", &completion)
}
