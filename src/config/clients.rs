//! The options about OAuth clients, and the file that names the operator's own clients:
//!
//! ```json
//! [
//!   { "client_id": "agent", "client_name": "Our agent", "redirect_uris": ["https://agent.example/callback"],
//!     "client_secret_file": "agent-secret" }
//! ]
//! ```
//!
//! Without `client_secret_file` a client is public; with one it authenticates by HTTP Basic, or as
//! `token_endpoint_auth_method` says. A relative path starts where the file is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::client_secret::ClientSecret;
use crate::base::{StartupError, capped, limits};
use crate::oauth::{Client, ConfiguredMembers, RedirectSchemes, Registration};

/// The option that names the file.
const OPTION: &str = "MCP_CLIENTS";

/// The options about clients.
#[derive(Debug)]
pub struct ClientSettings {
    /// The file that names the operator's own.
    pub file: Option<PathBuf>,
    pub registration: Registration,
    /// Registrations of one sender.
    pub registrations_per_hour: usize,
    /// Private-use schemes that redirect URIs may have.
    pub redirect_schemes: RedirectSchemes,
    /// Whether a client's id may be the URL of its metadata document.
    pub documents: bool,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            file: None,
            registration: Registration::Open,
            registrations_per_hour: limits::REGISTRATIONS,
            redirect_schemes: RedirectSchemes::default(),
            documents: true,
        }
    }
}

impl ClientSettings {
    /// Whether any client at all is admitted.
    pub(super) fn admit_any(&self) -> bool {
        self.registration == Registration::Open || self.documents || self.file.is_some()
    }

    /// The operator's clients by their ids; none without a file.
    pub fn configured(&self) -> Result<BTreeMap<String, Client>, StartupError> {
        let mut clients = BTreeMap::new();
        let Some(path) = &self.file else { return Ok(clients) };
        let failed = |why: String| StartupError::in_file(OPTION, path, why);
        let folder = path.parent().unwrap_or(Path::new(""));
        for members in capped::json::<Vec<ConfiguredMembers>>(OPTION, path)? {
            let id = members.client_id.clone();
            let secret_file = members.client_secret_file.as_ref();
            let secret = secret_file.map(|file| ClientSecret::File(folder.join(file)).read()).transpose()?;
            let client =
                Client::configured(members, secret).map_err(|why| failed(format!("client {id:?}: {why}")))?;
            if clients.insert(id.clone(), client).is_some() {
                return Err(failed(format!("client {id:?} is there twice")));
            }
        }
        Ok(clients)
    }
}

#[cfg(test)]
mod tests;
