//! Rereading of the servers and their rules on SIGHUP.

use super::Server;
use super::prepare::named;
use crate::audit;
use crate::base::{StartupError, log};
use crate::bridge::ServerChanges;
use crate::config::Config;

impl Server {
    /// Reads the certificate, the servers file and the access rules again, where there are any.
    pub fn reload(&self, config: &Config) {
        self.tls.iter().for_each(|tls| tls.reload());
        self.reload_servers(config);
        self.reload_access(config);
    }

    /// Reads the servers file again, if there is one, and serves what it says now; a file with mistakes changes nothing.
    fn reload_servers(&self, config: &Config) {
        let (Some(bridges), Some(file)) = (&self.bridges, &config.bridge.file) else { return };
        match bridges.reread(config.bridge_setup()) {
            Ok(ServerChanges { added, changed, removed }) => {
                self.app.replace_servers(self.endpoints.of(named(bridges, config)));
                let path = file.display().to_string();
                let [added, changed, removed] = [added, changed, removed].map(|names| names.join(","));
                let mut fields = vec![log::Field::Path(&path)];
                let changes = [
                    (&added, log::Field::Added(&added)),
                    (&changed, log::Field::Changed(&changed)),
                    (&removed, log::Field::Removed(&removed)),
                ];
                fields.extend(changes.iter().filter(|(names, _)| !names.is_empty()).map(|(_, field)| *field));
                // SIGHUP also comes from the rotation of logs.
                let tell = if fields.len() > 1 { audit::info } else { log::info };
                tell("servers.reloaded", &fields);
            }
            Err(mistakes) => log_mistakes("servers.not_reloaded", &mistakes),
        }
    }

    /// Reads the file of `MCP_ACCESS` again, if there is one; a file with mistakes changes nothing.
    fn reload_access(&self, config: &Config) {
        let Some(file) = &config.access else { return };
        let rules = config.access_rules();
        let rules = rules.inspect_err(|mistakes| log_mistakes("access.not_reloaded", mistakes));
        if rules.is_ok_and(|rules| self.access.replace(rules)) {
            audit::info("access.changed", &[log::Field::Path(&file.display().to_string())]);
        }
    }
}

/// Logs the mistakes for which a file is not used.
pub fn log_mistakes(event: &'static str, mistakes: &[StartupError]) {
    let hint = log::Field::Hint("correct that and send SIGHUP again; nothing was changed");
    for mistake in mistakes {
        log::error(event, &[log::Field::Error(&mistake.to_string()), hint]);
    }
}
