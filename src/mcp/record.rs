//! What the log says of a call: its method and its subject, both in words that this server knows. A name of the client's own
//! choice is called `unknown`.

use super::Core;
use super::call::Operation;
use super::intake::Message;
use super::methods::MethodRow;
use crate::http::Responder;

impl Core {
    /// Tells the responder's witness which call a message is, if it is one.
    pub(super) fn note_call(&self, message: &Message<'_>, responder: &Responder) {
        let (Message::Request { method, params, .. }, Some(witness)) = (message, responder.witness()) else {
            return;
        };
        let Some(row) = MethodRow::find(method) else { return witness.called("unknown", None) };
        let subject = row.subject(params).ok().flatten();
        let operation = match row.name {
            "resources/subscribe" | "resources/unsubscribe" => Some(Operation::ReadResource),
            _ => row.operation,
        };
        let known = operation.zip(subject.as_deref());
        let target = known.and_then(|(operation, subject)| self.backend.known(operation, subject));
        witness.called(row.name, target.as_deref());
    }
}
