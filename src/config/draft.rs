//! From what the options said to a configuration: what is missing, what does not fit together, what holds by default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::clients::{ClientSettings, Switch};
use super::commands::StateFiles;
use super::given::{Environment, Snapshot};
use super::options;
use super::values::{ClientSecret, Door, Listen, TlsFiles};
use super::{Config, ConfigError, ConfigWarning, GitHubApp, Program, Watch};
use crate::base::capacity::Capacity;
use crate::base::limits;
use crate::base::log;
use crate::base::secret::Secret;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{AllowRule, DenyList, RedirectSchemes, Registration};
use crate::operator;
use crate::store::key_file::{self, Choice, KeyFile};

/// What is known without an option: which program this is, and what systemd and the user's session say.
pub(super) struct Host<'a> {
    pub(super) program: Program,
    pub(super) env: &'a Environment,
}

/// What the options said; whether that is enough is decided when all are read.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) given: Snapshot,
    pub(super) warnings: Vec<ConfigWarning>,
    pub(super) config_file: Option<PathBuf>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<ClientSecret>,
    pub(super) allow: Option<Vec<AllowRule>>,
    pub(super) clients_file: Option<PathBuf>,
    pub(super) denied: Option<DenyList>,
    pub(super) registration: Option<Registration>,
    pub(super) registrations_per_hour: Option<usize>,
    pub(super) redirect_schemes: Option<RedirectSchemes>,
    pub(super) documents: Option<Switch>,
    pub(super) allowed_origins: Option<Vec<String>>,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) listen: Option<Vec<Listen>>,
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
    pub(super) operator_socket: Option<PathBuf>,
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
     (to look around without one, use the command demo)",
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
const TLS_DOOR: ConfigError = ConfigError::BadValue(
    "MCP_TLS_CERT",
    "leave it out together with --behind-proxy and where all is Unix sockets: the proxy encrypts",
);
const PASSED: ConfigError = ConfigError::BadValue(
    "MCP_LISTEN",
    "systemd listens for this program: write systemd here, or disable the .socket unit",
);
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
            registrations_per_hour: self.registrations_per_hour.unwrap_or(limits::REGISTRATIONS),
            redirect_schemes: self.redirect_schemes.take().unwrap_or_default(),
            documents: self.documents.unwrap_or(Switch::On),
        };
        if settings.admit_anybody() { Ok(settings) } else { Err(NO_CLIENTS) }
    }

    /// # Errors
    /// [`ConfigError`]: everything that must be chosen, or does not fit together.
    pub(super) fn serve(mut self, host: &Host<'_>) -> Result<Config, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let clients = keep(&mut errors, self.clients());
        let state = keep(&mut errors, self.state_files(host));
        let url = keep(&mut errors, self.github_url.map_or_else(|| base_url(github::URL), Ok));
        let api_url = url.as_ref().map(|url| self.github_api_url.map_or_else(|| default_api_url(url), Ok));
        let api_url = api_url.and_then(|api_url| keep(&mut errors, api_url));
        let client_id = keep(&mut errors, self.client_id.ok_or(CLIENT_ID));
        let client_secret = keep(&mut errors, self.client_secret.ok_or(CLIENT_SECRET));
        let allow = keep(&mut errors, self.allow.ok_or(ALLOW));
        let tls = keep(&mut errors, tls(self.tls_cert, self.tls_key));
        let door = keep(&mut errors, door(self.listen, self.behind_proxy));
        let passed_sockets = host.passed_sockets();
        if let Some(door) = &door {
            let takes = matches!(door, Door::Edge(listens) if listens.contains(&Listen::Systemd));
            let is_https = self.public_url.as_ref().is_some_and(PublicUrl::is_https);
            let encrypted = tls.as_ref().is_some_and(Option::is_some);
            let faults = [
                (passed_sockets > 0 && !takes, PASSED),
                (self.public_url.is_none() && !is_loopback(door), PUBLIC_URL),
                (encrypted && !encrypts(door), TLS_DOOR),
                (encrypted && encrypts(door) && !is_https, TLS_URL),
            ];
            errors.extend(faults.into_iter().filter_map(|(is_fault, error)| is_fault.then_some(error)));
        }
        errors.extend(self.capacity.fault().map(|fault| ConfigError::BadValue("MCP_MAX_STREAMS", fault)));
        let (Some(clients), Some(state), Some(url), Some(api_url)) = (clients, state, url, api_url) else {
            return Err(errors);
        };
        let (Some(client_id), Some(client_secret), Some(allow)) = (client_id, client_secret, allow) else {
            return Err(errors);
        };
        let (Some(door), Some(tls), true) = (door, tls, errors.is_empty()) else { return Err(errors) };
        Ok(Config {
            program: host.program,
            file: self.config_file,
            given: self.given,
            warnings: self.warnings,
            passed_sockets,
            door,
            tls,
            given_url: self.public_url,
            state,
            github: GitHubApp { client_id, client_secret, api_url, url },
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
    pub(super) fn demo(mut self, host: &Host<'_>) -> Result<Config, Vec<ConfigError>> {
        let on_loopback =
            door(self.listen.clone(), self.behind_proxy.clone()).is_ok_and(|door| is_loopback(&door));
        let encrypted = self.tls_cert.is_some() || self.tls_key.is_some();
        if !on_loopback || encrypted || self.public_url.as_ref().is_some_and(PublicUrl::is_https) {
            return Err(vec![DEMO_LOOPBACK]);
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
        let directory = self.state_files(host).map_err(|error| vec![error])?.directory;
        (self.state_dir, self.key_file) = (Some(directory.join("demo")), None);
        self.serve(host)
    }

    /// Where the state is.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] if neither the options nor the host say.
    pub(super) fn state_files(&self, host: &Host<'_>) -> Result<StateFiles, ConfigError> {
        let directory = self.state_dir.clone().or_else(|| host.default_state_dir()).ok_or(STATE_DIR)?;
        let key_file = match &self.key_file {
            Some(path) => KeyFile { path: path.clone(), choice: Choice::Named },
            None => KeyFile { path: directory.join(key_file::NAME), choice: Choice::Default },
        };
        let socket = self.operator_socket.clone().unwrap_or_else(|| directory.join(operator::SOCKET));
        Ok(StateFiles { directory, key_file, socket })
    }
}

impl Host<'_> {
    fn set(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// systemd's directory, else the XDG base directory specification's. A relative path in either is ignored.
    fn default_state_dir(&self) -> Option<PathBuf> {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let systemd =
            || self.set("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
        let xdg = || self.set("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
        let home =
            || self.set("HOME").map(|home| PathBuf::from(home).join(".local/state")).and_then(absolute);
        let ours = |base: PathBuf| base.join(self.program.name);
        systemd().and_then(absolute).or_else(|| xdg().or_else(home).map(ours))
    }

    /// How many sockets systemd has opened for this process (sd_listen_fds(3)).
    fn passed_sockets(&self) -> i32 {
        self.set("LISTEN_FDS").and_then(|count| count.parse().ok()).filter(|count| *count > 0).unwrap_or(0)
    }
}

/// Whether only this machine reaches it, and at an address that makes a URL.
fn is_loopback(door: &Door) -> bool {
    matches!(door, Door::Edge(listens) if listens.iter().all(Listen::is_loopback))
}

/// Whether there is anything for a certificate to encrypt.
fn encrypts(door: &Door) -> bool {
    matches!(door, Door::Edge(listens) if listens.iter().any(|listen| !matches!(listen, Listen::Unix(_))))
}

fn keep<T>(errors: &mut Vec<ConfigError>, result: Result<T, ConfigError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn base_url(text: &str) -> Result<BaseUrl, ConfigError> {
    BaseUrl::parse(text).map_err(|why| ConfigError::BadValue("GITHUB_URL", why))
}

/// GitHub Enterprise Server has its API beside its pages; a token of one GitHub must never go to another.
fn default_api_url(url: &BaseUrl) -> Result<BaseUrl, ConfigError> {
    if *url == base_url(github::URL)? { base_url(github::API_URL) } else { base_url(&url.join("/api/v3")) }
}

fn door(listen: Option<Vec<Listen>>, behind_proxy: Option<Door>) -> Result<Door, ConfigError> {
    match (listen, behind_proxy) {
        (Some(_), Some(_)) => Err(ConfigError::BadValue(
            "MCP_LISTEN",
            "leave it out together with --behind-proxy: one door serves",
        )),
        (None, Some(door)) => Ok(door),
        (Some(listens), None) => Ok(Door::Edge(listens)),
        (None, None) => {
            Ok(Door::Edge(vec![Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, options::PORT)))]))
        }
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
