//! End to end: the real binary, over sockets, with a fake GitHub.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod endings;
mod login;
mod mcp;
mod seed;
