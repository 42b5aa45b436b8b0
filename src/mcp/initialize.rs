//! `initialize`, the handshake up to 2025-11-25.

use super::backend::Backend;
use super::call::{ClientCapabilities, Reply};
use super::jsonrpc::Error;
use super::members::Members;
use crate::base::identity::Principal;

/// What `initialize` settles.
pub(super) struct Initialize {
    /// The version that is spoken from now on.
    pub(super) version: &'static str,
    pub(super) client: ClientCapabilities,
}

impl Initialize {
    /// The client's version if it is one of `spoken`, else `latest`; the client then decides whether to go on.
    pub(super) fn read(
        params: &Members,
        spoken: &[&'static str],
        latest: &'static str,
    ) -> Result<Initialize, Error> {
        let wanted: String = params.require("protocolVersion")?;
        let version = spoken.iter().find(|version| **version == wanted).copied().unwrap_or(latest);
        Ok(Initialize { version, client: params.read("capabilities")?.unwrap_or_default() })
    }

    /// The result.
    ///
    /// # Errors
    /// The backend's, if it cannot be described.
    pub(super) fn result(&self, backend: &dyn Backend, principal: &Principal) -> Result<Reply, Error> {
        let description = backend.description(principal)?;
        let reply = Reply::default()
            .with("protocolVersion", &self.version)?
            .with("capabilities", &description.capabilities)?
            .with("serverInfo", &description.info)?;
        match &description.instructions {
            Some(instructions) => reply.with("instructions", instructions),
            None => Ok(reply),
        }
    }
}
