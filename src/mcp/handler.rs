//! The closure behind a tool or a prompt, which takes its arguments as a type of its own.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::arguments;
use super::call::{CallError, Reply};
use super::context::Context;
use super::definition::BuildError;
use super::jsonrpc::Error;

type Run = dyn Fn(&Context, &str) -> Result<Reply, CallError> + Send + Sync;

pub(super) struct TypedHandler {
    /// The arguments that the closure reads; empty if its type does not name them.
    reads: &'static [&'static str],
    run: Box<Run>,
}

impl TypedHandler {
    /// A handler; `refuse` makes the error for arguments that do not fit `A`.
    pub(super) fn new<A: DeserializeOwned>(
        refuse: fn(String) -> CallError,
        run: impl Fn(&Context, A) -> Result<Reply, CallError> + Send + Sync + 'static,
    ) -> TypedHandler {
        let run = move |context: &Context, arguments: &str| {
            let arguments = arguments::read(arguments)
                .map_err(|reason| refuse(format!("Invalid arguments: {reason}")))?;
            run(context, arguments)
        };
        TypedHandler { reads: arguments::members::<A>(), run: Box::new(run) }
    }

    /// Runs the closure; absent arguments are an empty object.
    pub(super) fn run(&self, context: &Context, arguments: Option<&RawValue>) -> Result<Reply, CallError> {
        let arguments = arguments.map_or("{}", RawValue::get);
        if !arguments.starts_with('{') {
            return Err(Error::invalid_params("Invalid params: arguments must be an object").into());
        }
        (self.run)(context, arguments)
    }

    /// Checks that the closure reads each argument that a tool or a prompt declares.
    pub(super) fn check<'a>(
        &self,
        (kind, name): (&str, &str),
        mut declared: impl Iterator<Item = &'a str>,
    ) -> Result<(), BuildError> {
        let unread = |argument: &&str| !self.reads.is_empty() && !self.reads.contains(argument);
        let Some(argument) = declared.find(unread) else { return Ok(()) };
        let why = format!("its handler does not read the declared argument {argument:?}");
        Err(BuildError::new(kind, name, why))
    }
}
