//! The foundation of every layer: time, randomness, secrets, the caller, the limits, the log.
//!
//! Imports no other module of this crate. No file here depends on HTTP, OAuth or MCP.

pub mod access;
pub mod bounded;
pub mod cancel;
pub mod capacity;
pub mod capped;
pub mod clock;
pub mod counters;
pub mod encoding;
pub mod identity;
pub mod json;
pub mod limits;
pub mod lock;
pub mod log;
pub mod membership;
pub mod network;
pub mod quota;
pub mod random;
pub mod rate;
pub mod secret;
pub mod sender;
pub mod startup_error;
pub mod throttle;
pub mod trace;
