//! From what the options said to a configuration: what is missing, what does not fit together, what holds by default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::clients::{ClientSettings, Switch};
use super::commands::StateFiles;
use super::options;
use super::values::{ClientSecret, Door, TlsFiles};
use super::{Config, ConfigError, GitHubApp, Watch};
use crate::base::capacity::Capacity;
use crate::base::log;
use crate::base::secret::Secret;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{AllowRule, DenyList, Registration};

/// What the options said; whether that is enough is decided when all are read.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<ClientSecret>,
    pub(super) allow: Option<Vec<AllowRule>>,
    pub(super) clients_file: Option<PathBuf>,
    pub(super) denied: Option<DenyList>,
    pub(super) registration: Option<Registration>,
    pub(super) documents: Option<Switch>,
    pub(super) allowed_origins: Option<Vec<String>>,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) behind_proxy: Option<Door>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) trusted_proxies: Option<TrustedProxies>,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) log_format: Option<log::Format>,
    pub(super) legacy_sse: Option<bool>,
    pub(super) capacity: Capacity,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) github_url: Option<BaseUrl>,
    pub(super) github_api_url: Option<BaseUrl>,
    pub(super) ca_file: Option<PathBuf>,
}

pub(super) const PUBLIC_URL: ConfigError = ConfigError::Missing(
    "MCP_PUBLIC_URL",
    "clients reach this server from elsewhere: write the URL that they use, like https://mcp.example.com",
);
const CLIENT_ID: ConfigError = ConfigError::Missing(
    "GITHUB_CLIENT_ID",
    "register an OAuth app at https://github.com/settings/developers and copy its client id \
     (to look around without one, run `mcp-oauth-server demo`)",
);
const CLIENT_SECRET: ConfigError = ConfigError::Missing(
    "GITHUB_CLIENT_SECRET",
    "copy the OAuth app's client secret there, or into a file that GITHUB_CLIENT_SECRET_FILE names",
);
const ALLOW: ConfigError = ConfigError::Missing(
    "MCP_ALLOW",
    "nobody would be let in. Write who may use this server, like user:octocat,org:github,team:github/docs, \
     or any for every GitHub account",
);
const STATE_DIR: ConfigError =
    ConfigError::Missing("MCP_STATE_DIR", "write a directory that survives restarts; HOME is not set either");
const DEMO_LOOPBACK: ConfigError = ConfigError::BadValue(
    "demo",
    "anyone can log in as anyone there, so it listens on a loopback address like 127.0.0.1:3001, has no public URL \
     and no certificate",
);
const TLS_KEY: ConfigError =
    ConfigError::Missing("MCP_TLS_KEY", "write the file with the certificate's private key");
const TLS_CERT: ConfigError =
    ConfigError::Missing("MCP_TLS_CERT", "write the file with the certificate of the key");
const TLS_DOOR: ConfigError =
    ConfigError::BadValue("MCP_TLS_CERT", "leave it out together with --behind-proxy: the proxy encrypts");
const TLS_URL: ConfigError = ConfigError::BadValue(
    "MCP_PUBLIC_URL",
    "with a certificate it begins with https://, like https://mcp.example.com",
);

const NO_CLIENTS: ConfigError = ConfigError::BadValue(
    "MCP_REGISTRATION",
    "no client could come: leave registration open or MCP_CLIENT_DOCUMENTS on, or name your clients in MCP_CLIENTS",
);

impl Draft {
    fn clients(&mut self) -> Result<ClientSettings, ConfigError> {
        let settings = ClientSettings {
            file: self.clients_file.take(),
            denied: self.denied.take().unwrap_or_default(),
            registration: self.registration.unwrap_or(Registration::Open),
            documents: self.documents.unwrap_or(Switch::On),
        };
        if settings.admit_anybody() { Ok(settings) } else { Err(NO_CLIENTS) }
    }

    /// # Errors
    /// [`ConfigError`]: something must be chosen, or does not fit together.
    pub(super) fn serve(mut self, set: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let clients = self.clients()?;
        let url = self.github_url.map_or_else(|| base_url(github::URL), Ok)?;
        let github = GitHubApp {
            client_id: self.client_id.ok_or(CLIENT_ID)?,
            client_secret: self.client_secret.ok_or(CLIENT_SECRET)?,
            api_url: self.github_api_url.map_or_else(|| default_api_url(&url), Ok)?,
            url,
        };
        let allow = self.allow.ok_or(ALLOW)?;
        let door = door(self.listen, self.behind_proxy)?;
        if self.public_url.is_none() && !matches!(door, Door::Edge(address) if address.ip().is_loopback()) {
            return Err(PUBLIC_URL);
        }
        let tls = tls(self.tls_cert, self.tls_key)?;
        if tls.is_some() && !matches!(door, Door::Edge(_)) {
            return Err(TLS_DOOR);
        }
        if tls.is_some() && !self.public_url.as_ref().is_some_and(PublicUrl::is_https) {
            return Err(TLS_URL);
        }
        if let Some(fault) = self.capacity.fault() {
            return Err(ConfigError::BadValue("MCP_MAX_STREAMS", fault));
        }
        let StateFiles { directory: state_dir, key_file } = state_files(self.state_dir, self.key_file, set)?;
        Ok(Config {
            door,
            tls,
            given_url: self.public_url,
            state_dir,
            key_file,
            github,
            ca_file: self.ca_file,
            allow,
            clients,
            allowed_origins: self.allowed_origins.unwrap_or_default(),
            legacy_sse: self.legacy_sse.unwrap_or(false),
            capacity: self.capacity,
            watch: Watch {
                trusted_proxies: self.trusted_proxies.unwrap_or_default(),
                metrics_listen: self.metrics_listen,
                log_format: self.log_format.unwrap_or_default(),
            },
        })
    }

    /// A demo shares neither GitHub app nor state with the real thing: its made-up users must not become grants there.
    ///
    /// # Errors
    /// As [`Draft::serve`], and whatever would let others than this machine's users in.
    pub(super) fn demo(mut self, set: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let door = door(self.listen, self.behind_proxy.take())?;
        let on_loopback = matches!(door, Door::Edge(address) if address.ip().is_loopback());
        let encrypted = self.tls_cert.is_some() || self.tls_key.is_some();
        if !on_loopback || encrypted || self.public_url.as_ref().is_some_and(PublicUrl::is_https) {
            return Err(DEMO_LOOPBACK);
        }
        self.client_id = Some("demo".to_owned());
        self.client_secret = Some(ClientSecret::Given(Secret::new("demo".to_owned())));
        (self.github_url, self.github_api_url) = (None, None);
        self.allow.get_or_insert_with(|| vec![AllowRule::Any]);
        // A demo asks nothing of the internet unless it is told to.
        self.documents.get_or_insert(Switch::Off);
        // Where the MCP Inspector's page is.
        let inspector = || ["http://localhost:6274", "http://127.0.0.1:6274"].map(str::to_owned).to_vec();
        self.allowed_origins.get_or_insert_with(inspector);
        let directory = self.state_dir.or_else(|| default_state_dir(set)).ok_or(STATE_DIR)?;
        (self.state_dir, self.key_file) = (Some(directory.join("demo")), None);
        self.serve(set)
    }
}

fn base_url(text: &str) -> Result<BaseUrl, ConfigError> {
    BaseUrl::parse(text).map_err(|why| ConfigError::BadValue("GITHUB_URL", why))
}

/// GitHub Enterprise Server has its API beside its pages; a token of one GitHub must never go to another.
fn default_api_url(url: &BaseUrl) -> Result<BaseUrl, ConfigError> {
    if *url == base_url(github::URL)? { base_url(github::API_URL) } else { base_url(&url.join("/api/v3")) }
}

fn door(listen: Option<SocketAddr>, behind_proxy: Option<Door>) -> Result<Door, ConfigError> {
    match (listen, behind_proxy) {
        (Some(_), Some(_)) => Err(ConfigError::BadValue(
            "MCP_LISTEN",
            "leave it out together with --behind-proxy: one door serves",
        )),
        (None, Some(door)) => Ok(door),
        (Some(address), None) => Ok(Door::Edge(address)),
        (None, None) => Ok(Door::Edge(SocketAddr::from((Ipv4Addr::LOCALHOST, options::PORT)))),
    }
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (Some(_), None) => Err(TLS_KEY),
        (None, Some(_)) => Err(TLS_CERT),
    }
}

pub(super) fn state_files(
    directory: Option<PathBuf>,
    key_file: Option<PathBuf>,
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<StateFiles, ConfigError> {
    let directory = directory.or_else(|| default_state_dir(set)).ok_or(STATE_DIR)?;
    let key_file = key_file.unwrap_or_else(|| directory.join("key"));
    Ok(StateFiles { directory, key_file })
}

/// systemd's directory, else the XDG base directory specification's. A relative path in either is ignored.
fn default_state_dir(set: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let systemd = || set("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let xdg = || set("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || set("HOME").map(|home| PathBuf::from(home).join(".local/state")).and_then(absolute);
    let ours = |base: PathBuf| base.join("mcp-oauth-server");
    systemd().and_then(absolute).or_else(|| xdg().or_else(home).map(ours))
}
