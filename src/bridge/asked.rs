//! A request of this server's own to a peer.

use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use super::instances::Instance;
use super::peer::{Requester, Settled};
use crate::base::limits;
use crate::mcp::Members;

/// Sends a request and waits for its result.
///
/// # Errors
/// An error text, if no result comes.
pub(super) fn ask(instance: &Instance, method: &str, params: &Members) -> Result<Members, String> {
    let (sender, receiver) = bounded(1);
    let sent = instance.peer.request(method, params, Arc::new(OwnRequest(sender)));
    sent.map_err(|_| "it cannot be asked".to_owned())?;
    receiver.recv_timeout(limits::bridge::NOTIFY).unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// The sending side of the waiting caller.
struct OwnRequest(Sender<Result<Members, String>>);

impl Requester for OwnRequest {
    fn answer(self: Arc<Self>, answer: Settled<'_>) {
        let read = match answer {
            Settled::Answered(Ok(result)) => {
                serde_json::from_str(result.get()).map_err(|_| "its answer is no object".to_owned())
            }
            Settled::Answered(Err(_)) => Err("it answers with an error".to_owned()),
            Settled::Ended(end) => Err(end.to_string()),
        };
        let _ = self.0.send(read); // the caller has given up
    }
}
