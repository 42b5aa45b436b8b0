//! Which clients the operator wants: the options about clients, and the file that names the operator's own.
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
use std::fs::File;
use std::path::{Path, PathBuf};

use super::{ClientSecret, ConfigError};
use crate::base::{capped, json, limits};
use crate::oauth::{Client, ConfiguredMembers, DenyList, RedirectSchemes, Registration};

/// What the options say about clients.
#[derive(Debug)]
pub struct ClientSettings {
    /// The file that names the operator's own.
    pub file: Option<PathBuf>,
    /// Whoever is refused.
    pub denied: DenyList,
    /// Whether strangers may register.
    pub registration: Registration,
    /// How often one sender may in an hour.
    pub registrations_per_hour: usize,
    /// Private-use schemes of redirect URIs that they may have.
    pub redirect_schemes: RedirectSchemes,
    /// Whether a client's id may be the URL of its document.
    pub documents: Switch,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl ClientSettings {
    /// Whether any client at all could come.
    pub(super) fn admit_anybody(&self) -> bool {
        self.registration == Registration::Open || self.documents == Switch::On || self.file.is_some()
    }

    /// The operator's clients by their ids; none without a file.
    ///
    /// # Errors
    /// [`ConfigError::ClientsFile`], or [`ConfigError::SecretFile`] of one of them.
    pub fn configured(&self) -> Result<BTreeMap<String, Client>, ConfigError> {
        let mut clients = BTreeMap::new();
        let Some(path) = &self.file else { return Ok(clients) };
        let failed = |why: String| ConfigError::ClientsFile(path.clone(), why);
        let text = File::open(path)
            .and_then(|file| capped::read_text_from(file, limits::CLIENTS_FILE_BYTES))
            .map_err(|error| failed(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for members in read(&text).map_err(|error| failed(error.to_string()))? {
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

fn read(text: &str) -> Result<Vec<ConfiguredMembers>, serde_json::Error> {
    let rules =
        json::Rules { depth: limits::METADATA_DEPTH, values: limits::JSON_VALUES, is_forbidden: |_| false };
    json::check(text, rules)?;
    serde_json::from_str(text)
}

pub(super) fn registration(text: &str) -> Result<Registration, &'static str> {
    match text {
        "open" => Ok(Registration::Open),
        "closed" => Ok(Registration::Closed),
        _ => Err("write open or closed"),
    }
}

pub(super) fn switch(text: &str) -> Result<Switch, &'static str> {
    match text {
        "on" => Ok(Switch::On),
        "off" => Ok(Switch::Off),
        _ => Err("write on or off"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A folder of its own, deleted at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let number = COUNT.fetch_add(1, Ordering::SeqCst);
            let path =
                std::env::temp_dir().join(format!("mcp-oauth-clients-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn ids(file: PathBuf) -> Result<Vec<String>, String> {
        let settings = ClientSettings {
            file: Some(file),
            denied: DenyList::default(),
            registration: Registration::Open,
            registrations_per_hour: limits::REGISTRATIONS,
            redirect_schemes: RedirectSchemes::default(),
            documents: Switch::On,
        };
        let clients = settings.configured().map_err(|error| error.to_string())?;
        Ok(clients.into_keys().collect())
    }

    /// What becomes of a file with this text, beside a file `secret`.
    fn check(text: &str, expected: Result<&[&str], &str>) {
        let folder = Folder::new();
        let file = folder.0.join("clients.json");
        fs::write(&file, text).unwrap();
        fs::write(folder.0.join("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
        match (ids(file), expected) {
            (Ok(ids), Ok(expected)) => assert_eq!(ids, expected),
            (Err(error), Err(part)) => {
                assert!(error.contains(part) && error.contains("clients-"), "{error}");
                assert!(!error.contains("0123456789abcdef"), "{error}");
            }
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_file_names_public_and_confidential_clients() {
        let uris = r#""redirect_uris": ["https://a.example/cb"]"#;
        check("[]", Ok(&[]));
        check(&format!(r#"[{{"client_id": "app", {uris}}}]"#), Ok(&["app"]));
        let agent = format!(
            r#"{{"client_id": "agent", "client_name": "Agent", {uris}, "client_secret_file": "secret",
                "token_endpoint_auth_method": "client_secret_post"}}"#
        );
        check(&format!(r#"[{agent}, {{"client_id": "app", {uris}}}]"#), Ok(&["agent", "app"]));
    }

    #[test]
    fn a_file_that_cannot_be_meant_so_is_refused() {
        let uris = r#""redirect_uris": ["https://a.example/cb"]"#;
        let app = format!(r#"{{"client_id": "app", {uris}}}"#);
        check("", Err("EOF"));
        check("{}", Err("invalid type: map"));
        check(&format!("[{app}, {app}]"), Err("client \"app\" is there twice"));
        check(&format!(r#"[{{"client_id": "a", "client_id": "b", {uris}}}]"#), Err("one name"));
        check(&format!(r#"[{{"client_id": "app", {uris}, "client_secret": "x"}}]"#), Err("unknown field"));
        check(r#"[{"client_id": "app"}]"#, Err("missing field"));
        check(
            r#"[{"client_id": "app", "redirect_uris": ["http://a.example/"]}]"#,
            Err("client \"app\": http"),
        );
        check(&format!(r#"[{{"client_id": "mcp_x", {uris}}}]"#), Err("does not start with mcp_"));
        let missing = format!(r#"[{{"client_id": "app", {uris}, "client_secret_file": "missing"}}]"#);
        check(&missing, Err("client secret cannot be read from"));
        assert!(ids("/nonexistent/clients.json".into()).unwrap_err().contains("/nonexistent/clients.json"));
    }
}
