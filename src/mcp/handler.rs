//! The closure behind a tool or a prompt, which takes its arguments as a type of its own.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::arguments;
use super::build_error::BuildError;
use super::call::{CallError, Reply};
use super::context::Context;
use super::jsonrpc::Error;

type Run = dyn Fn(&Context, &RawValue) -> Result<Reply, CallError> + Send + Sync;

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
        let run = move |context: &Context, arguments: &RawValue| {
            let arguments = arguments::read(arguments.get())
                .map_err(|reason| refuse(format!("Invalid arguments: {reason}")))?;
            run(context, arguments)
        };
        TypedHandler { reads: arguments::members::<A>(), run: Box::new(run) }
    }

    /// Runs the closure; absent arguments are an empty object.
    pub(super) fn run(&self, context: &Context, arguments: Option<&RawValue>) -> Result<Reply, CallError> {
        match arguments {
            Some(arguments) if arguments.get().starts_with('{') => (self.run)(context, arguments),
            Some(_) => Err(Error::invalid_params("Invalid params: arguments must be an object").into()),
            None => {
                (self.run)(context, &RawValue::from_string("{}".to_owned()).map_err(|_| Error::internal())?)
            }
        }
    }

    /// Checks that the closure reads each declared argument. `of` names what declares them.
    pub(super) fn check<'a>(
        &self,
        (kind, name): (&str, &str),
        mut declared: impl Iterator<Item = &'a str>,
    ) -> Result<(), BuildError> {
        let unread = |argument: &&str| !self.reads.is_empty() && !self.reads.contains(argument);
        match declared.find(unread) {
            Some(argument) => {
                let why = format!("its handler does not read the declared argument {argument:?}");
                Err(BuildError::new(kind, name, why))
            }
            None => Ok(()),
        }
    }
}
