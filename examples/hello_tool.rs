//! A server with one tool, behind "Sign in with GitHub". Try it: `cargo run --example hello_tool -- demo`.

use std::process::ExitCode;

use mcp_oauth_server::mcp::{BuildError, Tool, ToolServer};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Hello {
    greeting: String,
}

fn server() -> Result<ToolServer, BuildError> {
    let schema = json!({
        "type": "object",
        "properties": { "greeting": { "type": "string" } },
        "required": ["greeting"],
    });
    let hello = Tool::new("hello", "Greets the caller", schema)
        .handler(|context, Hello { greeting }| Ok(format!("{greeting}, {}!", context.principal().login)));
    ToolServer::builder("hello", "1.0.0").tool(hello).build()
}

fn main() -> ExitCode {
    mcp_oauth_server::run("hello", "1.0.0", |_| server())
}
