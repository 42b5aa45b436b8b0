//! End to end: the real binary, over sockets, with a fake GitHub.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod access;
mod audit;
mod audit_file;
mod audit_log;
mod audit_soak;
mod bridge;
mod calls;
mod crowd;
mod endings;
mod isolation;
mod limits;
mod listening;
mod login;
mod mcp;
mod operations;
mod operator;
mod peer;
mod reload;
mod seed;
mod servers;
mod storm;
mod tokens;
mod upstream;
