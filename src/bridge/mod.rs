//! The bridge: MCP servers that exist already, behind this one's login. One JSON-RPC client of a peer, over the pipes of a
//! program that is started for a person, serves the calls as a [`crate::mcp::Backend`].
//!
//! Programs are strangers: they get an environment that is built from nothing, a guardian that leaves nothing of them, and no
//! request's data but on their standard input.

mod backend;
mod guardian;
mod handshake;
mod instances;
mod launch;
mod lines;
mod message;
mod passed_call;
mod peer;
mod program;
mod program_log;
mod setup;
mod stdio;
mod template;
mod transport;
mod unavailable;

pub(crate) use self::guardian::serve as serve_as_guardian;
pub(crate) use self::setup::{BridgeHost, BridgeOptions};

#[cfg(test)]
mod fake;
