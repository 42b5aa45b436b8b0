//! Limits of the grants that are kept in a Valkey server.

#![cfg(feature = "valkey")]

use std::time::Duration;

/// Connections at once, one for each operation that runs. An operation takes well below a millisecond.
pub const CONNECTIONS: usize = 16;
/// Timeout of the wait for a free connection, of connecting, and of each answer.
pub const ANSWER: Duration = Duration::from_secs(1);
/// The idle time after which a connection is pinged; without an answer it is closed after [`ANSWER`]. So a revocation at another
/// server takes effect within 5 s, also if the network loses it.
pub const SILENCE: Duration = Duration::from_secs(1);
/// The maximum time after the last message in which cached records are used.
pub const HEARD: Duration = Duration::from_secs(3);
/// The pause after a failure, doubled after each further one: the first and the longest.
pub const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The time for which a refusal by GitHub is doubted: another server may have exchanged the token and wait for the answer, which takes
/// [`super::GITHUB_CALL`] at most.
pub const EXCHANGE: Duration = Duration::from_secs(11);
/// The pause between two looks at the grant meanwhile.
pub const EXCHANGE_LOOK: Duration = Duration::from_millis(200);
