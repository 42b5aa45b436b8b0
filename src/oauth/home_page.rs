//! The home page: where the MCP endpoint is, and how the common clients are connected to it. Commands and links as the
//! clients' documentation had them in November 2026. Every value in them is escaped here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::page::Pages;
use crate::http::{Response, escape, percent_encode};

impl Pages {
    /// The page for a person who opens the server, or its `endpoint`, in a browser.
    pub(super) fn home(&self, status: u16, endpoint: &str) -> Response {
        let name = &self.name;
        let vs_code = percent_encode(&json!({ "name": name, "type": "http", "url": endpoint }).to_string());
        let cursor = percent_encode(&STANDARD.encode(json!({ "url": endpoint }).to_string()));
        let commands = [
            ("Claude Code", format!("claude mcp add --transport http {name} {endpoint}"), "claude mcp login"),
            ("Codex", format!("codex mcp add {name} --url {endpoint}"), "codex mcp login"),
            ("opencode", format!("opencode mcp add {name} --url {endpoint}"), "opencode mcp auth"),
            (
                "Gemini CLI",
                format!("gemini mcp add --scope user --transport http {name} {endpoint}"),
                "/mcp auth",
            ),
            ("Copilot CLI", format!("copilot mcp add --transport http {name} {endpoint}"), "/mcp auth"),
        ];
        let commands = commands.iter().map(|(client, add, log_in)| {
            let when = match *client {
                "Codex" => "logs in; later",
                "Gemini CLI" | "Copilot CLI" => "then, inside it",
                _ => "then",
            };
            let how =
                format!("<code>{}</code><small>{when} <code>{log_in} {name}</code></small>", escape(add));
            row(client, &how)
        });
        let commands: String = commands.collect();
        let links = [
            ("VS Code", format!("vscode:mcp/install?{vs_code}")),
            ("Cursor", format!("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={cursor}")),
        ];
        let links: String = links
            .iter()
            .map(|(client, link)| {
                row(client, &format!("<a href=\"{}\">Install in {client}</a>", escape(link)))
            })
            .collect();
        // These two connect from their makers' servers.
        let hosted = if endpoint.starts_with("https://") {
            row(
                "Claude (web, desktop, mobile)",
                "Settings, Connectors, “Add custom connector”: paste the address",
            ) + &row(
                "ChatGPT",
                "Settings, Apps, Advanced: Developer mode; then “Create app”: paste the address",
            )
        } else {
            row("Claude and ChatGPT on the web", "They reach only servers with a public https address.")
        };
        let body = format!(
            "<p>This is an MCP server: programs that speak the Model Context Protocol use it, at this address:</p>\
             <p class=address><code>{}</code></p>\
             <h2>Connect a client</h2><dl class=ways>{commands}{links}{hosted}</dl>\
             <p class=soft>Your client will open a browser to sign in with GitHub. Later, you can see \
             <a href=\"{}/account\">which programs act in your name</a>.</p>",
            escape(endpoint),
            self.base
        );
        self.page(status, "MCP server", &body)
    }

    /// The page for a person who opens the URL below which several servers are. It names none of them.
    pub fn home_of_all(&self) -> Response {
        let body = format!(
            "<p>There are MCP servers here: programs that speak the Model Context Protocol use them. Sign in with GitHub to see \
             <a href=\"{}/account\">which you may use, and which programs act in your name</a>.</p>",
            self.base
        );
        self.page(200, "MCP servers", &body)
    }
}

pub(super) fn row(what: &str, how: &str) -> String {
    format!("<div><dt>{what}</dt><dd>{how}</dd></div>")
}
