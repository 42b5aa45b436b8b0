//! What the log says of a call: its method and what it is for, both in words that this server knows. What a client calls by
//! names of its own choice is called `unknown`.

use std::borrow::Cow;

use serde::Deserialize;

use super::Core;
use super::call::{Operation, parse};
use super::intake::Message;
use crate::http::Responder;

/// The methods that are no [`Operation`].
const OTHERS: [&str; 10] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
];

impl Core {
    /// Tells the responder's witness which call a message is, if it is one.
    pub(super) fn note_call(&self, message: &Message<'_>, responder: &Responder) {
        #[derive(Deserialize)]
        struct Subject<'a> {
            #[serde(borrow)]
            name: Option<Cow<'a, str>>,
            #[serde(borrow)]
            uri: Option<Cow<'a, str>>,
        }
        let (Message::Request { method, params, .. }, Some(witness)) = (message, responder.witness()) else {
            return;
        };
        let operation = Operation::from_method(method);
        let other = || OTHERS.into_iter().find(|other| other == method);
        let method = operation.map(Operation::method).or_else(other).unwrap_or("unknown");
        let subject = match method {
            "tools/call" | "prompts/get" => {
                parse(params.as_deref()).ok().and_then(|Subject { name, .. }| name)
            }
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                parse(params.as_deref()).ok().and_then(|Subject { uri, .. }| uri)
            }
            _ => None,
        };
        let operation = operation.unwrap_or(Operation::ReadResource); // of which a subscription is
        let target = subject.as_deref().and_then(|name| self.backend.known(operation, name));
        witness.called(method, target);
    }
}
