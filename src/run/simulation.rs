//! The parts that only the demo has: the simulated GitHub, and the advice that it prints.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::{Capacity, OsRandom, StartupError, SystemClock, limits};
use crate::config::GitHubApp;
use crate::edge::{self, Door, Listener};
use crate::github::BaseUrl;
use crate::http::PublicUrl;
use crate::serve;
use crate::simulated::{ORG, Simulated, TEAM};
use crate::workers::Pool;

/// The simulated GitHub, behind an edge of its own on a loopback port.
pub(super) struct SimulatedGitHub {
    edge: Door,
    pool: Arc<Pool>,
}

impl SimulatedGitHub {
    /// Starts it and sets its URLs in `app`.
    pub(super) fn start(app: &mut GitHubApp) -> Result<SimulatedGitHub, StartupError> {
        let failed = |why: &dyn std::fmt::Display| {
            StartupError::new(format!("the simulated GitHub cannot listen on a loopback port: {why}"))
        };
        let listener =
            Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|error| failed(&error))?;
        app.url = BaseUrl::parse(&format!("http://{}", listener.name())).map_err(|why| failed(&why))?;
        let secret = app.client_secret.read()?;
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let simulated = Simulated::new(&app.client_id, &secret, clock, random);
        let pool = Arc::new(Pool::start(Capacity::default().queue()).map_err(serve::no_threads)?);
        let edge =
            edge::open(vec![listener], Arc::new(simulated), Arc::clone(&pool), edge::Settings::default());
        Ok(SimulatedGitHub { edge: edge.map_err(|error| failed(&error))?, pool })
    }

    pub(super) fn stop(mut self) {
        self.edge.stop(limits::DRAIN);
        self.pool.stop(limits::DRAIN);
    }
}

/// The advice at the start of a demo. `servers` are names and URLs, if there are several.
pub(super) fn next_steps(url: &PublicUrl, servers: &[(String, Arc<str>)]) -> String {
    let origin = url.to_string();
    let (places, connecting) = match servers {
        [] => (format!("{origin}/mcp"), connecting_to_one(&origin)),
        several => (origin.clone(), connecting_to_several(several)),
    };
    format!(
        r#"
  Serving MCP at {places}, with a SIMULATED GitHub: no account needed, nothing leaves this computer.

  Connect a client; it opens a browser, where you pick one of the made-up users:
    octocat is in org:{ORG} and team:{ORG}/{TEAM}, mona is invited only, hubot is in neither

{connecting}
  With the real GitHub: register an OAuth app at https://github.com/settings/developers
  (callback URL {origin}/auth/callback), stop this with Ctrl-C, put the app's client secret
  into a file that only you can read, and set the options:
    (umask 077; cat > github-secret)     # paste the secret, then Enter and Ctrl-D
    export GITHUB_CLIENT_ID=... GITHUB_CLIENT_SECRET_FILE=github-secret MCP_ALLOW=user:YOUR-LOGIN
  Then repeat the command that started this, without the word demo.

"#
    )
}

fn connecting_to_one(origin: &str) -> String {
    format!(
        r#"    Claude Code    claude mcp add --transport http demo {origin}/mcp && claude mcp login demo
    Codex          codex mcp add demo --url {origin}/mcp
    VS Code        code --add-mcp '{{"name":"demo","type":"http","url":"{origin}/mcp"}}'
    Cursor         ~/.cursor/mcp.json: {{"mcpServers":{{"demo":{{"url":"{origin}/mcp"}}}}}}
    MCP Inspector  npx @modelcontextprotocol/inspector   (Streamable HTTP, {origin}/mcp)
    Others, and links that install it: {origin}/
"#
    )
}

fn connecting_to_several(servers: &[(String, Arc<str>)]) -> String {
    let line = |(name, url): &(String, Arc<str>)| {
        format!("    claude mcp add --transport http {name} {url} && claude mcp login {name}\n")
    };
    let lines: String = servers.iter().map(line).collect();
    lines + "    Other clients take the same URLs; without /mcp, each opens a page that says how.\n"
}

#[cfg(test)]
mod tests;
