//! What a test needs to use the real binary from outside: an HTTP client, a browser, a fake GitHub, and a server that
//! dies with its test.

pub(crate) mod browser;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod walk;
