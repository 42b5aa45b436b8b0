//! MCP over Streamable HTTP behind its own OAuth 2.1 authorization server and "Sign in with GitHub".
//!
//! ARCHITECTURE.md has the picture; each module says what it owns.

// The conformance tools are an example of the public API, and the tests of `mcp` use them as such.
#[cfg(test)]
extern crate self as mcp_oauth_server;

pub mod base;
pub mod config;
pub mod demo;
pub mod edge;
pub mod github;
pub mod http;
pub mod mcp;
pub mod oauth;
pub mod seal;
pub mod server;
pub mod simulated;
pub mod store;
pub mod sys;
pub mod tiny;
