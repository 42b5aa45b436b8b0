//! `initialize`, the handshake up to 2025-11-25.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Core;
use super::backend::{Implementation, ServerCapabilities};
use super::call::{ClientCapabilities, parse};
use super::exchange::Encoded;
use super::jsonrpc::{Error, RequestId};

/// What `initialize` settles.
pub(super) struct Initialize {
    /// The version that is spoken from now on.
    pub(super) version: &'static str,
    pub(super) client: ClientCapabilities,
}

impl Initialize {
    /// The client's version if it is one of `spoken`, else `latest`; the client then decides whether to go on.
    pub(super) fn read(
        params: Option<&RawValue>,
        spoken: &[&'static str],
        latest: &'static str,
    ) -> Result<Initialize, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct InitializeParams {
            protocol_version: String,
            #[serde(default)]
            capabilities: ClientCapabilities,
        }
        let InitializeParams { protocol_version, capabilities } = parse(params)?;
        let version = spoken.iter().find(|version| **version == protocol_version).copied().unwrap_or(latest);
        Ok(Initialize { version, client: capabilities })
    }

    /// The response.
    pub(super) fn encode(&self, core: &Core, id: &RequestId) -> Encoded {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct InitializeResult<'a> {
            protocol_version: &'static str,
            capabilities: ServerCapabilities,
            server_info: &'a Implementation,
            #[serde(skip_serializing_if = "Option::is_none")]
            instructions: Option<&'a str>,
        }
        let description = core.backend.description();
        let result = InitializeResult {
            protocol_version: self.version,
            capabilities: description.capabilities(),
            server_info: &description.info,
            instructions: description.instructions.as_deref(),
        };
        Encoded::result(id, &result)
    }
}
