//! The official conformance suite's server, behind the same login as any other: `make conformance` runs the suite against it.
//! Options and environment are those of `mcp-oauth-server`; `demo` simulates GitHub.

use std::process::ExitCode;

// Its own modules are found beside it, as when a test of the crate includes it.
#[path = "tools.rs"]
mod tools;

fn main() -> ExitCode {
    mcp_oauth_server::run("conformance", env!("CARGO_PKG_VERSION"), |_| tools::server())
}
