//! The transport to a peer: messages are sent without blocking, received as text, until its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::message::OutgoingMessage;
use crate::base::Principal;

/// Starts a transport for a person. Programs and upstreams have the product's launchers; tests have their own.
pub(super) trait Launcher: Send + Sync {
    fn launch(&self, person: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>>;

    /// Whether peers may support either era, so that the handshake starts with the client's.
    fn mirrors_era(&self) -> bool {
        false
    }

    /// A digest of the person's GitHub token, if instances get that at their start. When the digest changes, the instance is replaced.
    fn token_digest(&self, _person: &Principal) -> Option<[u8; 32]> {
        None
    }
}

/// The transport to a peer. Nothing here blocks.
pub(super) trait Transport: Send + Sync {
    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered>;

    /// Ends the peer, gently at first: by the end of its input.
    fn end(&self);
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// The peer reads more slowly than messages are sent.
    Full,
    /// The peer has ended or is about to end.
    Ended,
}

/// The receiver of a peer's messages. Those of one stream come in order, on one thread.
pub(super) trait Receiver: Send + Sync {
    /// Handles one text; returns whether it is JSON-RPC.
    fn receive(&self, text: &str) -> bool;

    /// How long the peer may go on without an event; zero: it is to end. Asked after each event, and when that time has passed.
    fn patience(&self) -> Duration;

    /// A notification of the peer that belongs to no request.
    fn notified(&self, _method: &str, _params: Option<&RawValue>) {}

    /// The peer has lost the state of its clients' interests: in a new session, and when its subscription stream has ended.
    fn renewed(&self) {}

    /// A request was answered with an error on behalf of the peer, which goes on.
    fn failed(&self, _why: &str) {}

    /// The peer has answered a request, with a result or an error.
    fn reached(&self) {}

    /// The peer is about to end because `patience` has run out. Called at most once.
    fn ending(&self);

    /// Called once, last, with the cause of the peer's end in words.
    fn ended(&self, how: &str);
}
