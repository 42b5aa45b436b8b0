//! The parts of an MCP endpoint.

use std::sync::Arc;

use super::backend::Backend;
use crate::base::{Capacity, Clock, Random, Scopes, ServerAccess};
use crate::http::Response;
use crate::seal::Keyring;

/// The parts of an MCP endpoint.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Serves the calls.
    pub backend: Arc<dyn Backend>,
    /// Seals session ids and `requestState`.
    pub keys: Arc<Keyring>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of random ids.
    pub random: Arc<dyn Random>,
    /// The limits on sessions and streams.
    pub capacity: Capacity,
    /// The access rules.
    pub access: Arc<ServerAccess>,
    /// The URI that the tokens of its callers are for.
    pub resource: Arc<str>,
    /// The answer to a caller whose token lacks these scopes.
    pub insufficient_scope: InsufficientScope,
}

/// Makes the answer with the scopes that the caller needs.
pub(crate) type InsufficientScope = Arc<dyn Fn(&Scopes) -> Response + Send + Sync>;
