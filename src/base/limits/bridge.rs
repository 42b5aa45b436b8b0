//! Limits of the bridge: of the programs that it starts, and of MCP servers (peers) in general.

use std::time::Duration;

/// A line of a program's standard output (bytes): a message. Above the limit of answers to clients, so that a result above that
/// limit only fails its own call.
pub const LINE_BYTES: usize = 8 * 1024 * 1024;
/// The messages of one batch of a peer.
pub const BATCH: usize = 1000;
/// Reads after a program's end: more than the capacity of a pipe.
pub const LAST_READS: usize = 128;
/// The amount of text other than JSON-RPC on a program's standard output that counts as a flood (bytes), and the period.
pub const NOISE: (usize, Duration) = (1024 * 1024, Duration::from_secs(60));
/// The part of a line of a program's standard error that is used (bytes).
pub const ERROR_LINE_BYTES: usize = 4 * 1024;
/// Lines of one program's standard error that are logged per second.
pub const ERROR_LINES: u32 = 20;
/// Lines of it that are repeated in the log line of the program's end: more than npm's notice of a newer version, which comes last.
pub const LAST_LINES: usize = 10;
/// Messages that wait until a program reads them (bytes); one message alone may be larger.
pub const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// The time for which a program may leave pending standard input unread.
pub const STALL: Duration = Duration::from_secs(30);
/// From the end of its input to SIGTERM, for a program that is stopped; from the end of its output to SIGKILL, for one that is not.
pub const CLOSE: Duration = Duration::from_secs(2);
/// From SIGTERM to SIGKILL.
pub const TERMINATE: Duration = Duration::from_secs(3);
/// Requests that run at one peer: above the limit of calls per user, for servers that several users share, and for lists, which do
/// not count as calls.
pub const REQUESTS: usize = 128;
/// Requests of clients at peers, per user and in total: each holds a thread and a connection if the peer is an upstream. Per user,
/// room for the running calls, as many that wait for answers, and lists.
pub const PASSED: (usize, usize) = (24, 128);
/// Requests of one peer to its client that wait for an answer.
pub const QUESTIONS: usize = 8;
/// The time after the cancellation of a call in which a shared peer's questions are not forwarded to other clients.
pub const LATE_QUESTIONS: Duration = Duration::from_secs(60);
/// Rounds of questions (MRTR) of one call, for clients that are asked while their call waits.
pub const ROUNDS: usize = 16;
/// The lifetime after which a program that fails is started again at once.
pub const STEADY: Duration = Duration::from_secs(60);
/// The pause before a start after the second failure in a row; doubled after each further one, up to [`PAUSE_MAX`].
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Callers whose program's description of itself, or failure, is kept.
pub const SLOTS: usize = 512;
/// A peer's description of itself (bytes): it is kept for each caller.
pub const GREETING_BYTES: usize = 64 * 1024;
/// The most members and elements of it: as values they take many times the memory of their text.
pub const GREETING_VALUES: usize = 1000;
/// Pending questions of peers to people, per user and in total, those of parked calls included: each holds a thread.
pub const QUESTIONS_WAITING: (usize, usize) = (8, 64);
/// Requests that wait for the first start of their program, per user and in total: each holds a worker.
pub const FIRST_CALLERS: (usize, usize) = (4, 24);
/// The stack of a bridge's threads (bytes): the deepest calls parse a message and complete a call.
pub const STACK_BYTES: usize = 256 * 1024;
/// Running programs, per person and in total, by default.
pub const PROGRAMS: (usize, usize) = (8, 64);
/// The time for which an unused program is kept, by default.
pub const IDLE: Duration = Duration::from_secs(600);
/// From the start of a program to its answer to `initialize`: `npx` and `uvx` fetch it first.
pub const START: Duration = Duration::from_secs(60);
/// File descriptors of one program: its pipes, its guardian's socket, a pipe that wakes its thread.
pub const DESCRIPTORS: usize = 8;
/// The shortest value of an environment variable that is redacted in the log (bytes): a shorter one may be an ordinary word or number.
pub const SECRET_BYTES: usize = 8;
/// Memory for the tools and prompts that a grant was listed (bytes): a thousand names, or a hundred tools with many mirrored
/// arguments.
pub const LISTED_BYTES: usize = 128 * 1024;
/// The longest path to an argument that is mirrored in a header (bytes): each such argument keeps its own.
pub const MIRRORED_PATH_BYTES: usize = 1024;
/// Pages of a list of tools that are read to find a tool.
pub const LIST_PAGES: usize = 16;
/// The longest name of a tool or prompt (bytes): the limit of MCP for tools.
pub const NAME_BYTES: usize = 128;

// ---- upstreams over HTTP ----

/// Messages that wait to be sent in their order.
pub const MESSAGES: usize = 256;
/// Timeout of resolving an upstream's name and of connecting to it, TLS included.
pub const CONNECT: Duration = Duration::from_secs(10);
/// The time for which a stream of notifications is kept open before it is reopened.
pub const LISTEN: Duration = Duration::from_secs(24 * 3600);
/// Timeout of an upstream's acceptance of a notification.
pub const NOTIFY: Duration = Duration::from_secs(10);
/// The part of an unsuccessful answer that is read (bytes).
pub const UPSTREAM_ERROR_BYTES: usize = 64 * 1024;
/// The longest event id that is sent back (bytes).
pub const EVENT_ID_BYTES: usize = 1024;
/// The shortest pause before a stream is resumed.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// Messages of one event stream of an upstream that are read without pauses.
pub const UNPACED_MESSAGES: usize = 100;
/// The pause between further reads: hardly noticed by a client, and long enough that a read brings many messages of a flood.
pub const READ_PACE: Duration = Duration::from_millis(2);
