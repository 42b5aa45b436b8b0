//! A server with as many tools as its program's name ends in: `many_tools-1000 demo`. One of them is `greet`.

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

fn main() -> ExitCode {
    // The command line and the environment are the server's.
    let program = std::env::args().next().unwrap_or_default();
    let count = program.rsplit('-').next().and_then(|count| count.parse().ok()).unwrap_or(1);
    mcp_oauth_server::run(|_| server(count))
}
