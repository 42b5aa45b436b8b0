//! Limits of the grants that are kept in a Valkey server.

#![cfg(feature = "valkey")]

use std::time::Duration;

/// Connections at once, one for each operation that runs. An operation takes well below a millisecond.
pub const CONNECTIONS: usize = 16;
/// How long one is waited for, and how long its connecting and each of its answers may take.
pub const ANSWER: Duration = Duration::from_secs(1);
/// A connection on which nothing was heard for this long is asked for a sign of life, and given up after [`ANSWER`]: a revocation
/// at another server takes effect within 5 s, also if the network swallows it.
pub const SILENCE: Duration = Duration::from_secs(1);
/// Records in memory are used for this long after the last message, at the longest.
pub const HEARD: Duration = Duration::from_secs(3);
/// After a failure nothing is tried for this long, twice as long after the next, and so on up to the second.
pub const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
