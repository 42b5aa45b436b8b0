//! The numbers of the trusted door.

use std::time::Duration;

/// Requests that are answered at once besides open streams.
pub const TINY_THREADS_BESIDE_STREAMS: usize = 64;
/// How long a thread of the trusted door waits for a request before it ends.
pub const TINY_IDLE: Duration = Duration::from_secs(10);
/// After so many such waits without a request, what a replaced tiny_http had accepted counts as closed.
pub const TINY_SILENCES: u32 = 90;
/// The largest body that tiny_http reads by itself, on the connection's own thread (bytes).
pub const TINY_READ_AHEAD: usize = 1024;
/// Threads that read larger ones, each for as long as its client likes; the others are left for everybody else.
pub const TINY_BODIES: usize = 64;
/// The largest body that is skipped (bytes). tiny_http allocates what is missing of one that was cut off, without touching
/// it; a request with a larger body is leaked.
pub const TINY_SKIP_BYTES: u64 = 64 * 1024 * 1024;
/// A chunked body that fails so often in a row is at the end of its connection: before it, each failure takes a byte.
pub const TINY_SKIP_FAILURES: usize = 64 * 1024;
/// How often tiny_http is looked after.
pub const TINY_WATCH_STEP: Duration = Duration::from_millis(200);
/// After so many looks with connections that wait unaccepted, its accept loop counts as dead.
pub const TINY_DEAD_STEPS: u32 = 3;
/// Connections that it left behind and that are moved on at one such look.
pub const TINY_NUDGES: u32 = 8;
/// How many looks after the last request that is done.
pub const TINY_ACTIVE_STEPS: u32 = 10;
/// The pause after tiny_http was started again; doubled each time that does not help.
pub const TINY_REBUILD_PAUSE: Duration = Duration::from_millis(500);
/// The longest such pause.
pub const TINY_REBUILD_PAUSE_MAX: Duration = Duration::from_secs(30);
