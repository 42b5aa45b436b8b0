//! A server with many tools. One of them is `greet`.

use std::process::ExitCode;

use mcp_oauth_server::mcp::{BuildError, Tool, ToolServer};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Name {
    name: String,
}

fn greet(name: String) -> Tool {
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string", "description": "Name to greet" } },
        "required": ["name"],
    });
    Tool::new(name, "A simple greeting tool", schema)
        .handler(|_, Name { name }| Ok(format!("Hello, {name}!")))
}

fn server(count: usize) -> Result<ToolServer, BuildError> {
    let more = (1..count).map(|number| greet(format!("greet-{number}")));
    more.fold(ToolServer::builder("many", "1.0.0").tool(greet("greet".to_owned())), |builder, tool| {
        builder.tool(tool)
    })
    .build()
}

/// Runs the server's command line with this number of tools.
pub fn run(count: usize) -> ExitCode {
    mcp_oauth_server::run("many", "1.0.0", |_| server(count))
}
