//! MCP over Streamable HTTP behind its own OAuth 2.1 authorization server and "Sign in with GitHub".
//!
//! A server with tools of your own is a `main` that calls [`run`] with a [`mcp::ToolServer`]; it has every option of
//! `mcp-oauth-server --help`. ARCHITECTURE.md has the picture; each module says what it owns.

// The conformance tools are an example of the public API, and the tests of `mcp` use them as such.
#[cfg(test)]
extern crate self as mcp_oauth_server;

pub mod app;
pub mod base;
pub mod client_metadata;
pub mod config;
pub mod demo;
pub mod edge;
pub mod front;
pub mod github;
pub mod http;
pub mod mcp;
pub mod metrics;
pub mod oauth;
pub mod operate;
pub mod operator;
pub mod router;
mod run;
pub mod seal;
pub mod serve;
pub mod server;
pub mod simulated;
pub mod store;
pub mod sys;
pub mod tiny;

pub use run::run;
