//! Options that must be set, and options that do not fit together.

use super::client_secret::{self, ClientSecret};
use super::sources::Given;
use super::values::Listen;
use super::{Config, options};
use crate::base::StartupError;
use crate::http::PublicUrl;

/// Advice for a public URL that is not set.
pub(super) const NO_PUBLIC_URL: &str =
    "clients reach this server from elsewhere: write the URL that they use, like https://mcp.example.com";

/// Reasons for which a server does not start with this configuration.
pub(super) fn of(config: &Config) -> Vec<StartupError> {
    let missing = [
        (
            config.github.client_id.is_empty(),
            "GITHUB_CLIENT_ID",
            "register an OAuth app at https://github.com/settings/developers and copy its client id \
             (to look around without one, use the command demo)",
        ),
        (
            matches!(config.github.client_secret, ClientSecret::Unset),
            "GITHUB_CLIENT_SECRET",
            client_secret::NOT_SET,
        ),
        (
            config.rules.allow.is_empty(),
            "MCP_ALLOW",
            "nobody would be let in. Write who may use this server, like user:octocat,org:github,team:github/docs, \
             or any for every GitHub account",
        ),
        (config.public_url.is_none() && !is_loopback(config), "MCP_PUBLIC_URL", NO_PUBLIC_URL),
        (
            config.tls_key.is_none() && config.tls_cert.is_some(),
            "MCP_TLS_KEY",
            "write the file with the certificate's private key",
        ),
        (
            config.tls_cert.is_none() && config.tls_key.is_some(),
            "MCP_TLS_CERT",
            "write the file with the certificate of the key",
        ),
    ];
    let has_certificate = config.tls_files().is_some();
    let has_tls_place = config.listen.iter().any(|place| place.path().is_none());
    let audit = &config.audit;
    let unfit = [
        (
            audit.path.is_none() && (audit.is_required || audit.hashes_arguments),
            "MCP_AUDIT_LOG",
            "MCP_AUDIT_REQUIRED and MCP_AUDIT_ARGUMENTS need it: write a file, or - for standard output",
        ),
        (
            config.access.is_some() && config.bridge.file.is_some(),
            "MCP_ACCESS",
            "leave it out together with --servers: each server of the file has its own rules, in its member access",
        ),
        (
            !config.clients.admit_any(),
            "MCP_REGISTRATION",
            "no client could log in: leave registration open or MCP_CLIENT_DOCUMENTS on, or name your clients in MCP_CLIENTS",
        ),
        (
            !config.listen.is_empty() && config.behind_proxy.is_some(),
            "MCP_LISTEN",
            "leave one of the two out: a server has MCP_LISTEN or MCP_BEHIND_PROXY",
        ),
        (
            config.passed_sockets > 0 && !config.listen.contains(&Listen::Systemd),
            "MCP_LISTEN",
            "systemd listens for this program: write systemd here, or disable the .socket unit",
        ),
        (
            has_certificate && !has_tls_place,
            "MCP_TLS_CERT",
            "leave it out with MCP_BEHIND_PROXY, and if all listeners are Unix sockets: the proxy encrypts",
        ),
        (
            has_certificate && has_tls_place && !is_https(config),
            "MCP_PUBLIC_URL",
            "with a certificate it begins with https://, like https://mcp.example.com",
        ),
    ];
    let mut faults: Vec<StartupError> = state_dir(config).into_iter().collect();
    let missing = missing.into_iter().filter(|(is_fault, ..)| *is_fault);
    faults.extend(missing.map(|(_, setting, what)| StartupError::missing(setting, what)));
    let unfit = unfit.into_iter().filter(|(is_fault, ..)| *is_fault);
    faults.extend(unfit.map(|(_, setting, why)| StartupError::unusable(setting, why)));
    faults.extend(config.capacity.fault().map(|why| StartupError::unusable("MCP_MAX_STREAMS", why)));
    faults
}

/// Reasons for which a demo does not start: its users prove nothing, so nobody but this machine's may reach it.
pub(super) fn of_demo(config: &Config, given: &[Given]) -> Vec<StartupError> {
    let is_open = given.iter().any(|each| options::NOT_IN_A_DEMO.contains(&each.option.env));
    if is_open || !is_loopback(config) || is_https(config) {
        let why = "anyone can log in as anyone there, so it listens on a loopback address like 127.0.0.1:3001, has no \
                   public URL and no certificate";
        return vec![StartupError::unusable("demo", why)];
    }
    of(config)
}

/// Reasons for which no command works.
pub(super) fn state_dir(config: &Config) -> Option<StartupError> {
    let what = "write a directory that survives restarts; HOME is not set either";
    config.state_dir.as_os_str().is_empty().then(|| StartupError::missing("MCP_STATE_DIR", what))
}

/// Whether only this machine reaches it, at addresses that make a URL.
fn is_loopback(config: &Config) -> bool {
    !config.listen.is_empty() && config.listen.iter().all(Listen::is_loopback)
}

fn is_https(config: &Config) -> bool {
    config.public_url.as_ref().is_some_and(PublicUrl::is_https)
}
