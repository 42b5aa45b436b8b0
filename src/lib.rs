//! MCP over Streamable HTTP behind its own OAuth 2.1 authorization server and "Sign in with GitHub".
//!
//! A server with tools of your own is a `main` that calls [`run`] with a [`mcp::ToolServer`]; it has every option of
//! `mcp-oauth-server --help`, and `demo` with a simulated GitHub:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use mcp_oauth_server::mcp::{BuildError, Tool, ToolServer};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize)]
//! struct Hello {
//!     greeting: String,
//! }
//!
//! fn server() -> Result<ToolServer, BuildError> {
//!     let schema = json!({
//!         "type": "object",
//!         "properties": { "greeting": { "type": "string" } },
//!         "required": ["greeting"],
//!     });
//!     let hello = Tool::new("hello", "Greets the caller", schema)
//!         .handler(|context, Hello { greeting }| Ok(format!("{greeting}, {}!", context.principal().login)));
//!     ToolServer::builder("hello", "1.0.0").tool(hello).build()
//! }
//!
//! fn main() -> ExitCode {
//!     mcp_oauth_server::run("hello", "1.0.0", |_| server())
//! }
//! ```
//!
//! [`mcp`] has the other features of a server: prompts, resources, tasks, elicitation and sampling. [`github`] is the client
//! for tools that call GitHub. The README has the options and the commands of the operator, ARCHITECTURE.md the code map.
//!
//! # Tests
//!
//! A [`mcp::Context`] only exists within a call. Unit tests therefore call the function behind the handler. A test of the whole server
//! needs no login: start the program with `demo --state-dir DIR` and `MCP_LISTEN` at a free port, and run
//! `NAME tokens add ci --state-dir DIR/demo --json`. `token_added.token` in its output is a bearer token for any MCP client. The
//! caller is then the service token `token:ci`, without a token at GitHub.

// The conformance tools are an example of the public API, and the tests of `mcp` use them as such.
#[cfg(test)]
extern crate self as mcp_oauth_server;

mod app;
mod audit;
mod base;
mod bridge;
mod check;
mod config;
mod demo;
mod documents;
mod edge;
pub mod github;
mod http;
pub mod mcp;
mod metrics;
mod oauth;
mod operate;
mod operator;
mod router;
mod run;
mod seal;
mod serve;
mod simulated;
mod store;
mod sys;
mod tiny;
mod trust;
mod workers;

#[doc(hidden)]
pub use run::main;
pub use run::run;

/// The internals that the laboratory below `tests/` uses.
#[cfg(feature = "internals")]
#[doc(hidden)]
#[path = "../tests/lab/internals.rs"]
pub mod internals;
