//! The table of options: name, value, default, help and effect of each in one place. The flag follows from the variable:
//! `MCP_PUBLIC_URL` is `--public-url`.

use std::path::PathBuf;

use super::client_secret::{self, ClientSecret};
use super::{Config, values};
use crate::base::startup_error::StartupError;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{DenyList, RedirectSchemes};

/// One option.
pub(super) struct ConfigOption {
    /// Its environment variable.
    pub(super) env: &'static str,
    pub(super) takes: Takes,
    /// The default, in words.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    /// Writes a value into the configuration, or says what is wrong with it.
    pub(super) apply: fn(&mut Config, &str) -> Result<(), &'static str>,
}

/// What stands for the value of an option in its help.
pub(super) enum Takes {
    One(&'static str),
    /// A comma list. The flag may be repeated.
    List(&'static str),
    /// A secret: not taken from the command line, which every user of the machine can read (G9).
    Secret(&'static str),
}

/// Which options a command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Everything,
    /// What a demo does not decide by itself.
    Demo,
    /// Where the state is, and nothing that could be wrong besides.
    StateFiles,
}

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "MCP_CONFIG";

/// What a demo, which is for this machine only, refuses wherever it is set.
pub(super) const NOT_IN_A_DEMO: [&str; 3] = ["MCP_BEHIND_PROXY", "MCP_TLS_CERT", "MCP_TLS_KEY"];

impl ConfigOption {
    /// Whether a command that reads these options reads this one.
    pub(super) fn is_read(&self, reads: Reads) -> bool {
        match reads {
            Reads::Everything => true,
            Reads::Demo => {
                let simulated = self.env.starts_with("GITHUB_") || self.env == "MCP_OAUTH_KEY_FILE";
                !simulated && !NOT_IN_A_DEMO.contains(&self.env)
            }
            Reads::StateFiles => {
                matches!(self.env, CONFIG | "MCP_STATE_DIR" | "MCP_OAUTH_KEY_FILE" | "MCP_OPERATOR_SOCKET")
            }
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.takes, Takes::List(_))
    }

    pub(super) fn is_secret(&self) -> bool {
        matches!(self.takes, Takes::Secret(_))
    }

    /// Its flag, if it is not a secret.
    pub(super) fn flag(&self) -> String {
        let name = self.env.strip_prefix("MCP_OAUTH_").or(self.env.strip_prefix("MCP_")).unwrap_or(self.env);
        format!("--{}", name.to_ascii_lowercase().replace('_', "-"))
    }
}

/// Every option, in the order in which `--help` and the README show them.
pub(super) const OPTIONS: &[ConfigOption] = &[
    ConfigOption {
        env: "GITHUB_CLIENT_ID",
        takes: Takes::One("ID"),
        default: "required",
        help: "the client id of your OAuth app at GitHub",
        apply: |config, value| set(&mut config.github.client_id, values::client_id(value)),
    },
    ConfigOption {
        env: "GITHUB_CLIENT_SECRET",
        takes: Takes::Secret("SECRET"),
        default: "required",
        help: "its client secret",
        apply: |config, value| {
            set(&mut config.github.client_secret, client_secret::parse(value).map(ClientSecret::Given))
        },
    },
    ConfigOption {
        env: "GITHUB_CLIENT_SECRET_FILE",
        takes: Takes::One("FILE"),
        default: "none",
        help: "a file with the client secret, and while you change it the other one in a second line; wins over GITHUB_CLIENT_SECRET",
        apply: |config, value| set(&mut config.github.client_secret, Ok(ClientSecret::File(value.into()))),
    },
    ConfigOption {
        env: "MCP_ALLOW",
        takes: Takes::List("RULES"),
        default: "required; any for demo",
        help: "who is let in: a comma list of user:LOGIN, id:NUMBER, org:ORG, team:ORG/SLUG; or any",
        apply: |config, value| set(&mut config.allow, values::allow_rules(value)),
    },
    ConfigOption {
        env: "MCP_PUBLIC_URL",
        takes: Takes::One("URL"),
        default: "http:// and the listen address, if that is loopback",
        help: "the https URL under which clients reach this server",
        apply: |config, value| set(&mut config.public_url, PublicUrl::parse(value).map(Some)),
    },
    ConfigOption {
        env: "MCP_LISTEN",
        takes: Takes::List("WHERE"),
        default: "127.0.0.1:3001",
        help: "where to listen: a comma list of IP address and port, unix:/PATH, systemd (its .socket unit); may be repeated",
        apply: |config, value| set(&mut config.listen, values::listen(value)),
    },
    ConfigOption {
        env: "MCP_TLS_CERT",
        takes: Takes::One("FILE"),
        default: "none",
        help: "the certificate and its chain, PEM: encrypt what is listened to; read again when the file changes",
        apply: |config, value| set(&mut config.tls_cert, path(value)),
    },
    ConfigOption {
        env: "MCP_TLS_KEY",
        takes: Takes::One("FILE"),
        default: "none",
        help: "its private key, PEM",
        apply: |config, value| set(&mut config.tls_key, path(value)),
    },
    ConfigOption {
        env: "MCP_BEHIND_PROXY",
        takes: Takes::One("ADDR"),
        default: "none",
        help: "instead of listening, take requests from a reverse proxy on a loopback HOST:PORT or unix:/PATH",
        apply: |config, value| set(&mut config.behind_proxy, values::behind_proxy(value).map(Some)),
    },
    ConfigOption {
        env: "MCP_TRUSTED_PROXY",
        takes: Takes::List("NETWORKS"),
        default: "none",
        help: "whose X-Forwarded-For is believed, for limits and the log: addresses, CIDRs, unix for the Unix socket",
        apply: |config, value| set(&mut config.trusted_proxies, TrustedProxies::parse(value)),
    },
    ConfigOption {
        env: "MCP_ALLOW_ORIGIN",
        takes: Takes::List("ORIGINS"),
        default: "none; the MCP Inspector's for demo",
        help: "a comma list of the origins of web pages and apps that may call the API, like https://inspector.example, app://name, null",
        apply: |config, value| set(&mut config.allowed_origins, values::origins(value)),
    },
    ConfigOption {
        env: "MCP_METRICS_LISTEN",
        takes: Takes::One("HOST:PORT"),
        default: "none; always on the operator's socket",
        help: "a loopback address and port for /metrics",
        apply: |config, value| set(&mut config.metrics_listen, values::metrics_listen(value).map(Some)),
    },
    ConfigOption {
        env: "MCP_LOG_FORMAT",
        takes: Takes::One("FORMAT"),
        default: "human",
        help: "how a line of the log is written: human or json",
        apply: |config, value| set(&mut config.log_format, values::log_format(value)),
    },
    ConfigOption {
        env: "MCP_CLIENTS",
        takes: Takes::One("FILE"),
        default: "none",
        help: "a JSON list of clients of your own: client_id, client_name, redirect_uris, perhaps client_secret_file",
        apply: |config, value| set(&mut config.clients.file, path(value)),
    },
    ConfigOption {
        env: "MCP_DENY_CLIENTS",
        takes: Takes::List("LIST"),
        default: "none",
        help: "clients that are refused and lose their grants: a comma list of fingerprints from the log, URLs and hosts",
        apply: |config, value| set(&mut config.clients.denied, DenyList::parse(value)),
    },
    ConfigOption {
        env: "MCP_REGISTRATION",
        takes: Takes::One("open|closed"),
        default: "open",
        help: "whether clients may register by themselves; those that have done so before stay",
        apply: |config, value| set(&mut config.clients.registration, values::registration(value)),
    },
    ConfigOption {
        env: "MCP_REGISTRATIONS_PER_HOUR",
        takes: Takes::One("NUMBER"),
        default: "600",
        help: "how often one address may register clients",
        apply: |config, value| set(&mut config.clients.registrations_per_hour, values::count(value)),
    },
    ConfigOption {
        env: "MCP_REDIRECT_SCHEMES",
        takes: Takes::List("SCHEMES"),
        default: "none",
        help: "a comma list of apps' own schemes, like myapp for myapp://callback, that clients may be answered at, besides those of known clients",
        apply: |config, value| set(&mut config.clients.redirect_schemes, RedirectSchemes::parse(value)),
    },
    ConfigOption {
        env: "MCP_CLIENT_DOCUMENTS",
        takes: Takes::One("on|off"),
        default: "on; off for demo",
        help: "whether a client's id may be the https URL of its metadata document, which this server then fetches",
        apply: |config, value| set(&mut config.clients.documents, values::switch(value)),
    },
    ConfigOption {
        env: "MCP_LEGACY_SSE",
        takes: Takes::One("on|off"),
        default: "off",
        help: "also serve the HTTP+SSE transport of 2024-11-05, at /sse and /message",
        apply: |config, value| set(&mut config.legacy_sse, values::switch(value)),
    },
    ConfigOption {
        env: "MCP_MAX_CONNECTIONS",
        takes: Takes::One("NUMBER"),
        default: "512",
        help: "connections at once, a thread and a descriptor each; an eighth of them from one address",
        apply: |config, value| set(&mut config.capacity.connections, values::count(value)),
    },
    ConfigOption {
        env: "MCP_MAX_STREAMS",
        takes: Takes::One("NUMBER"),
        default: "256",
        help: "open streams at once; leaves a quarter of the connections free",
        apply: |config, value| set(&mut config.capacity.streams, values::count(value)),
    },
    ConfigOption {
        env: "MCP_MAX_SESSIONS",
        takes: Takes::One("NUMBER"),
        default: "1000",
        help: "sessions at once",
        apply: |config, value| set(&mut config.capacity.sessions, values::count(value)),
    },
    ConfigOption {
        env: "MCP_MAX_STREAMS_PER_USER",
        takes: Takes::One("NUMBER"),
        default: "24",
        help: "open streams of one user",
        apply: |config, value| set(&mut config.capacity.streams_per_user, values::count(value)),
    },
    ConfigOption {
        env: "MCP_MAX_SESSIONS_PER_USER",
        takes: Takes::One("NUMBER"),
        default: "32",
        help: "sessions of one user; the least recently used one makes room",
        apply: |config, value| set(&mut config.capacity.sessions_per_user, values::count(value)),
    },
    ConfigOption {
        env: "MCP_MAX_CHILDREN",
        takes: Takes::One("NUMBER"),
        default: "64",
        help: "programs of `-- COMMAND` at once; the one unused for the longest time makes room",
        apply: |config, value| set(&mut config.bridge.most.1, values::count(value)),
    },
    ConfigOption {
        env: "MCP_MAX_CHILDREN_PER_USER",
        takes: Takes::One("NUMBER"),
        default: "8",
        help: "programs of one user",
        apply: |config, value| set(&mut config.bridge.most.0, values::count(value)),
    },
    ConfigOption {
        env: "MCP_BRIDGE_IDLE",
        takes: Takes::One("SECONDS"),
        default: "600",
        help: "how long a program is kept that nobody uses",
        apply: |config, value| set(&mut config.bridge.idle, values::seconds(value)),
    },
    ConfigOption {
        env: "MCP_CHILDREN_DIR",
        takes: Takes::One("DIR"),
        default: "beside the state directory, its name with .children",
        help: "where programs have their home directories, one per person",
        apply: |config, value| set(&mut config.bridge.directory, values::absolute(value).map(Some)),
    },
    ConfigOption {
        env: "MCP_CHILD_USER",
        takes: Takes::One("USER"),
        default: "the server's own",
        help: "the user that programs run as, by name or number; needs the right to",
        apply: |config, value| set(&mut config.bridge.user, Ok(Some(value.to_owned()))),
    },
    ConfigOption {
        env: CONFIG,
        takes: Takes::One("FILE"),
        default: "none",
        help: "a file of lines like MCP_ALLOW=user:octocat, with the names of the variables; variables and flags win over it",
        apply: |config, value| set(&mut config.file, path(value)),
    },
    ConfigOption {
        env: "MCP_STATE_DIR",
        takes: Takes::One("DIR"),
        default: "systemd's STATE_DIRECTORY, else a directory of the program's name in XDG_STATE_HOME or ~/.local/state",
        help: "where the grants, the key and the operator's socket are kept",
        apply: |config, value| set(&mut config.state_dir, Ok(value.into())),
    },
    ConfigOption {
        env: "MCP_OAUTH_KEY_FILE",
        takes: Takes::One("FILE"),
        default: "key in the state directory",
        help: "the server's key; made at the first start",
        apply: |config, value| set(&mut config.key_file, path(value)),
    },
    ConfigOption {
        env: "MCP_OPERATOR_SOCKET",
        takes: Takes::One("PATH"),
        default: "operator.sock in the state directory",
        help: "where a running server takes the operator's commands, if the state is on a volume that has no Unix sockets",
        apply: |config, value| set(&mut config.operator_socket, values::absolute(value).map(Some)),
    },
    ConfigOption {
        env: "GITHUB_URL",
        takes: Takes::One("URL"),
        default: github::URL,
        help: "your GitHub Enterprise Server, if you have one",
        apply: |config, value| set(&mut config.github.url, BaseUrl::parse(value)),
    },
    ConfigOption {
        env: "GITHUB_API_URL",
        takes: Takes::One("URL"),
        default: "https://api.github.com, or GITHUB_URL/api/v3",
        help: "its API",
        apply: |config, value| set(&mut config.github.api_url, BaseUrl::parse(value).map(Some)),
    },
    ConfigOption {
        env: "MCP_CA_FILE",
        takes: Takes::One("FILE"),
        default: "none",
        help: "certificates, PEM, trusted besides the built-in roots by every call to GitHub and for client documents",
        apply: |config, value| set(&mut config.ca_file, path(value)),
    },
];

fn set<T>(place: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *place = value?;
    Ok(())
}

fn path(text: &str) -> Result<Option<PathBuf>, &'static str> {
    Ok(Some(text.into()))
}

/// The variables of all options.
pub(super) fn names() -> String {
    OPTIONS.iter().map(|option| option.env).collect::<Vec<_>>().join(", ")
}

/// The option that has this flag, of those that are read.
pub(super) fn of_flag(flag: &str, reads: Reads) -> Result<&'static ConfigOption, StartupError> {
    let found = OPTIONS.iter().find(|option| option.flag() == flag);
    if let Some(secret) = found.filter(|option| option.is_secret()) {
        return Err(StartupError::new(format!(
            "a secret is not taken from the command line, which every user of this machine can read: \
             put it into a file that {}_FILE names",
            secret.env
        )));
    }
    found.filter(|option| option.is_read(reads)).ok_or_else(|| {
        let read = OPTIONS.iter().filter(|option| option.is_read(reads) && !option.is_secret());
        let flags: Vec<String> = read.map(ConfigOption::flag).collect();
        StartupError::new(format!("there is no option {flag:?} here; these are: {}", flags.join(", ")))
    })
}
