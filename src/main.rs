//! The program: the demo's tools behind the server of this crate. Put your own tools in their place and it is your server.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_oauth_server::run(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), mcp_oauth_server::demo::tools)
}
