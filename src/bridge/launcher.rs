//! What instances are made with: who starts them, and the clients that they serve.

use std::io;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::instance_key::InstanceKey;
use super::transport::{Receiver, Transport};
use crate::base::identity::Principal;
use crate::mcp::Interests;

/// Starts a transport for a person. Programs are the product's; tests have their own.
pub(super) trait Launcher: Send + Sync {
    fn launch(&self, person: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>>;

    /// Whether a peer may be begun in either era, and so is begun in its client's.
    fn mirrors_era(&self) -> bool {
        false
    }

    /// A digest of the person's token at GitHub, if an instance is given that when it starts. Once it is another, the instance is replaced.
    fn token_digest(&self, _person: &Principal) -> Option<[u8; 32]> {
        None
    }
}

/// The clients of instances.
pub(super) trait Audience: Send + Sync {
    /// A program says something that belongs to no call: whose program, the notification and its params.
    fn tell(&self, key: &InstanceKey, method: &str, params: Option<&RawValue>);

    /// What the clients want to be told of that.
    fn interests(&self, key: &InstanceKey) -> Interests;
}
