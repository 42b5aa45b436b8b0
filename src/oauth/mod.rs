//! The authorization server.

pub mod provider;
