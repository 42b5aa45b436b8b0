//! The numbers of the trusted door.

use std::time::Duration;

/// Requests that are answered at once besides open streams.
pub const TINY_THREADS_BESIDE_STREAMS: usize = 64;
/// The largest body of a request that may be dropped (bytes): tiny_http allocates what is missing of it, untouched.
pub const TINY_DROP_BYTES: usize = 64 * 1024 * 1024;
/// After so long without a request it is checked whether tiny_http still accepts connections.
pub const TINY_LOOK: Duration = Duration::from_millis(200);
/// After so many checks in a row that find a connection waiting, it does not.
pub const TINY_DEAD_LOOKS: u32 = 3;
/// The pause before a door is opened anew: long enough for descriptors to become free.
pub const TINY_REOPEN_PAUSE: Duration = Duration::from_millis(500);
