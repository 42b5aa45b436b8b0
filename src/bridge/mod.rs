//! The bridge: existing MCP servers behind this server's login. A JSON-RPC client of each peer, over the pipes of a
//! program that is started for a person or over HTTP, serves the calls as a [`crate::mcp::Backend`].
//!
//! Programs are untrusted: they get an environment that is built from scratch, a guardian that leaves no process behind, and
//! data of requests on their standard input only.

mod backend;
mod bridges;
mod child_user;
mod entry;
mod events;
mod guardian;
mod handshake;
mod http;
mod instances;
mod interests;
mod launch;
mod lines;
mod listed;
mod message;
mod parked;
mod passed_call;
mod peer;
mod pool;
mod program;
mod program_log;
mod rounds;
mod servers;
mod setup;
mod stdio;
mod template;
mod transport;
mod trial;
mod unavailable;
mod upstream;
mod upstream_answer;
mod upstream_error;
mod upstream_exchanges;
mod upstream_message;

pub(crate) use self::backend::Bridge;
pub(crate) use self::bridges::{Bridges, ServerChanges, ServerSummary};
pub(crate) use self::child_user::ChildUser;
pub(crate) use self::entry::{BridgeOptions, BridgeSetup, Home, Isolation, Location, ServerEntry};
pub(crate) use self::guardian::serve as serve_as_guardian;
pub(crate) use self::upstream::UpstreamUrl;

#[cfg(test)]
mod fake;
